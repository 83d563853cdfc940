"""Do two output folders hold the same study? For changes that must not change a number.

    python tests/same_outputs.py BEFORE AFTER

BEFORE and AFTER are two `saidas/` folders (or `saidas/demo/`) of the same study, made before and after the change.
Compared byte by byte: the names of all runs (slug and key), every `weights.pth`, `results.csv` and the other tables,
and every CSV under `statistics/`, without the columns that measure time and memory, which differ from run to run
anyway. Prints what differs; exit code 0 when nothing does.
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import pandas as pd

# Measured, or the time of day, so never twice the same.
COST = {
    "first_scored",
    "train_seconds", "images_per_second", "peak_gpu_mb", "peak_ram_mb", "latency_ms",
}  # fmt: skip


def weights_of(folder: Path) -> dict[str, str]:
    """SHA-256 of every run's weights, by the run's folder name."""
    files = sorted(folder.glob("saved_models/*/weights.pth"))
    return {file.parent.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def table_of(file: Path) -> str:
    """A CSV as text, every value as it is written, without the columns of COST."""
    table = pd.read_csv(file, dtype=str, keep_default_na=False)
    return table.drop(columns=[name for name in table if name in COST]).to_csv(index=False)


def tables_of(folder: Path) -> dict[str, str]:
    """The tables of a study by their path."""
    files = [*folder.glob("*.csv"), *folder.glob("statistics/*.csv"), *folder.glob("samples/*.csv")]
    return {str(file.relative_to(folder)): table_of(file) for file in sorted(files)}


def differences(before: Path, after: Path) -> list[str]:
    """One line for each run, weights or table that is not the same in both."""
    found = []
    for what, one, other in (
        ("weights", weights_of(before), weights_of(after)),
        ("table", tables_of(before), tables_of(after)),
    ):
        for name in sorted(one.keys() | other.keys()):
            if name not in one or name not in other:
                found.append(f"{what} {name}: only in {before if name in one else after}")
            elif one[name] != other[name]:
                found.append(f"{what} {name}: differs")
    return found


def main(before: str, after: str) -> int:
    """Compare, print, return the exit code."""
    found = differences(Path(before), Path(after))
    runs, tables = len(weights_of(Path(before))), len(tables_of(Path(before)))
    print("\n".join(found) or f"the same: {runs} runs with their keys and weights, {tables} tables")
    return 1 if found or not runs else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:3]))
