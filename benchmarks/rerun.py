"""How long main.py takes when everything is finished: a study of 36 runs, and the demo.

    python benchmarks/rerun.py

The study is made first, by main.py itself, from a few drawn faces with networks and epochs as small as can be (about
two minutes); then main.py runs again, as a command of its own, several times. Aim: 5 seconds before figures are drawn
again, without importing torch. `--demo 1` adds the finished demo, running it first where it is not finished.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import harness
from made_pictures import class_folders

from utils import log

AIM = 5.0
# main.py as a command, but noting when the report begins and whether torch was imported by then and at the end.
PROBE = """
import json, sys, time
started = time.perf_counter()
import main
facts, report = {}, main.report
def noted(*arguments):
    facts.update(until_report=time.perf_counter() - started, torch_by_then="torch" in sys.modules)
    return report(*arguments)
main.report = noted
code = main.main(sys.argv[1:])
facts.update(code=code, torch="torch" in sys.modules)
print(json.dumps(facts))
"""


def study_file(folder: Path, seeds: int) -> Path:
    """A study of 2 datasets, individual and combined, 2 networks and `seeds` seeds: 6 runs a seed."""
    sets = {}
    for name in ("alpha", "beta"):
        root = class_folders(folder / name, 168)
        sets[name] = {"path": str(root), "layout": "folders", "faces": "cropped"}
    network = {"batch_size": 32, "weights": None, "input_size": 16, "channels": 1}
    values = {
        "ACTIVE_DATASETS": tuple(sets), "DATASETS": sets, "OUTPUT_DIR": str(folder / "out"),
        "DATASETS_DIR": str(folder / "prepared"), "VARIANTS": ("preprocessed",), "TTA": ("none",),
        "EXPERIMENTS": ("individual", "combined"), "SEEDS": tuple(range(1, seeds + 1)), "FACE_SIZE": 16, "EPOCHS": 1,
        "MODEL_CONFIG": {"tiny_plain": network, "tiny_residual": network}, "LEARNING_RATE": 1e-3, "DEVICE": "cpu",
        "WORKERS": 0,
    }  # fmt: skip
    path = folder / "study.py"
    path.write_text("".join(f"{name} = {value!r}\n" for name, value in values.items()), encoding="utf-8")
    return path


def once(*arguments: str) -> harness.Row:
    """main.py with `arguments` in a new process: seconds in all and until the report, exit code, torch imported."""
    started = time.perf_counter()
    command = [sys.executable, "-c", PROBE, *arguments]
    done = subprocess.run(command, cwd=harness.PROJECT, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{command} failed:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1]) | {"total": time.perf_counter() - started}


def row_of(what: str, runs: int, rounds: list[harness.Row]) -> harness.Row:
    """Medians over the rounds."""
    until = [one["until_report"] for one in rounds]
    row = {
        "what": what,
        "runs": runs,
        "until report s": statistics.median(until),
        "lowest": min(until),
        "highest": max(until),
        "total s": statistics.median(one["total"] for one in rounds),
        "torch before report": any(one["torch_by_then"] for one in rounds),
        "torch at the end": any(one["torch"] for one in rounds),
        "n": len(rounds),
        "aim": AIM,
    }
    return row | {"reached": row["until report s"] <= AIM and not row["torch before report"]}


def run(options: dict[str, Any]) -> list[harness.Row]:
    """One row a study. `options`: seeds (6 runs each), rounds, demo (0 or 1)."""
    rows = []
    with tempfile.TemporaryDirectory() as name:
        study = study_file(Path(name), options["seeds"])
        log.info("making the study")
        made = once("--config", str(study))
        log.info("made in %.0f s", made["total"])
        runs = len(json.loads((Path(name) / "out" / "study.json").read_text(encoding="utf-8"))["runs"])
        rounds = [once("--config", str(study)) for _ in range(options["rounds"])]
        rows.append(row_of("finished study", runs, rounds))
    if options["demo"]:
        once("--demo")
        found = harness.PROJECT / "saidas" / "demo" / "study.json"
        rounds = [once("--demo") for _ in range(options["rounds"])]
        rows.append(row_of("finished demo", len(json.loads(found.read_text(encoding="utf-8"))["runs"]), rounds))
    return rows


def main() -> None:
    """The command."""
    harness.command("rerun", __doc__, "main.py on finished studies, seconds", run, seeds=6, rounds=5, demo=0)


if __name__ == "__main__":
    main()
