"""Time and memory of an audit of 10,000, 30,000 and 90,000 pictures.

    python benchmarks/audit_growth.py [--config studies/mine.py] [--set KEY=VALUE] [--sizes 10000 …]

The pictures are those of the first active dataset over and over, each bent, turned, shaded and overlaid with noise so
strongly that no two are near copies. The audit starts from these packed pictures, as it does in a study once the
packs are there; each size runs in a process of its own. Prints a table, writes OUTPUT_DIR/benchmarks/audit_growth.json.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from fer.audit.audit import audit_packed, write_audit
from fer.audit.quality import QUALITY_SIDE
from fer.data.samples import DatasetSamples, load_samples
from fer.faces.packs import pack_or_load
from fer.layouts.layouts import BOX_COLUMNS
from fer.settings.settings import EMOTIONS, DatasetRow, Settings, load_settings
from utils import progress, start_logging, write_json

SIZES = (10_000, 30_000, 90_000)


def main() -> None:
    """Run the benchmark as the module says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    given = parser.parse_args()
    start_logging()
    settings = load_settings(given.config, given.set)
    lines = []
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "pictures.npy"
        np.save(file, many_pictures(settings, max(given.sizes)))
        context = multiprocessing.get_context("spawn")
        for size in given.sizes:
            with context.Pool(1) as pool:
                lines.append(pool.apply(measure, (file, size)))
    path = settings.output_path / "benchmarks" / "audit_growth.json"
    threads = os.environ.get("OMP_NUM_THREADS", "unset")
    write_json(path, {"cores": os.cpu_count(), "omp_num_threads": threads, "results": lines})
    _print(lines)
    print(f"written to {path}")


def many_pictures(settings: Settings, count: int) -> np.ndarray:
    """uint8 [count, 48, 48, 1], no two near copies of each other."""
    import cv2

    data = load_samples(settings.active_datasets[0], settings)
    files = data.samples.drop_duplicates("face")[["path", "face", *BOX_COLUMNS]]
    cache = settings.output_path / "cache" / "packed"
    source = pack_or_load(files, data.root, QUALITY_SIDE, True, cache, f"{data.name}__growth").open()
    draws = np.random.default_rng(settings.split_seed)
    made = np.empty((count, QUALITY_SIDE, QUALITY_SIDE, 1), np.uint8)
    corners = np.array([[0, 0], [QUALITY_SIDE, 0], [0, QUALITY_SIDE]], np.float32)
    for row in progress(range(count), "making pictures", count):
        bend = cv2.getAffineTransform(corners, corners + draws.uniform(-10, 10, (3, 2)).astype(np.float32))
        picture = cv2.warpAffine(
            np.ascontiguousarray(source[row % len(source)][..., 0]), bend, (QUALITY_SIDE, QUALITY_SIDE),
            borderMode=cv2.BORDER_REFLECT,
        )  # fmt: skip
        shade = cv2.resize(draws.normal(0, 25, (4, 4)), (QUALITY_SIDE, QUALITY_SIDE), interpolation=cv2.INTER_CUBIC)
        noisy = picture + shade + draws.normal(0, 4, picture.shape)
        made[row, ..., 0] = np.clip(noisy, 0, 255)
    return made


def measure(file: Path, count: int) -> dict[str, Any]:
    """Audit the first `count` pictures of `file`: seconds, CPU seconds, peak memory of this process in MB, pairs."""
    draws = np.random.default_rng(0)
    names = [f"many/{row:06}" for row in range(count)]
    samples = pd.DataFrame({
        "sample_id": names, "path": names, "dataset": "many", "content": names, "face": names,
        "width": 48, "height": 48, "label": draws.integers(len(EMOTIONS), size=count),
        "split": draws.choice(["train", "val", "test"], count),
    })  # fmt: skip
    samples["delivered"] = samples["label"]
    rejected = pd.DataFrame(columns=["sample_id", "path", "label", "split", "content", "face"])
    row = DatasetRow(path="many", layout="folders", faces="cropped")
    data = DatasetSamples("many", file.parent, row, samples, rejected, pd.DataFrame(), (), False)
    started, cpu = time.perf_counter(), time.process_time()
    findings = audit_packed({"many": data}, {"many": np.load(file, mmap_mode="r")[:count]})
    write_audit(findings, file.parent / str(count))
    return {
        "pictures": count,
        "seconds": time.perf_counter() - started,
        "cpu_seconds": time.process_time() - cpu,
        "peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "near_pairs": len(findings.near_pairs),
    }


def _print(lines: list[dict[str, Any]]) -> None:
    table = Table(box=None, title="audit of packed pictures")
    for column in ("pictures", "seconds", "CPU seconds", "CPU ms a picture", "peak memory MB", "near pairs"):
        table.add_column(column, justify="right")
    for line in lines:
        table.add_row(
            str(line["pictures"]), f"{line['seconds']:.1f}", f"{line['cpu_seconds']:.1f}",
            f"{1000 * line['cpu_seconds'] / line['pictures']:.2f}", f"{line['peak_memory_mb']:.0f}",
            str(line["near_pairs"]),
        )  # fmt: skip
    Console().print(table)


if __name__ == "__main__":
    main()
