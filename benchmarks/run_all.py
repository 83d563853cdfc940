"""Every benchmark that needs no data of yours, one after another, each a command of its own: 23 minutes on two cores.

    python benchmarks/run_all.py [--smallest]

Tables go to the terminal and to saidas/benchmarks/all.txt, JSON to saidas/benchmarks/NAME.json. A benchmark that fails
is named at the end, and the exit code is 1; the others run. `--smallest` only shows that each runs. Left out is
near_copies.py, which plants its copies among real faces.
"""

from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Step:
    """A benchmark, the promise it holds, its options in a full run, and the smallest ones that run at all."""

    name: str
    holds: str
    full: str
    smallest: str


STEPS = (
    Step("input_pipeline", "5 and 10 times torchvision's samples/s (own default), 3 and 4 times (same list)",
         "--images 256 --rounds 3", "--images 8 --rounds 1 --batch 8 --workers 0"),
    Step("training_ceiling", "loading costs training at most 3 % (resnet18) and 10 % (mobilenet)",
         "--rounds 5", "--networks small_residual --rounds 1 --workers 0"),
    Step("augmentation", "5,000 pictures/s of 48 px on one thread by the batch engine", "", "--batches 4 --rounds 1"),
    Step("training_step", "where a small network's step spends its time, and what other ways of doing it bring",
         "", "--rounds 1 --batch 4"),
    Step("views", "three views cost at most 3.1 times one; their data path is 10 times image by image",
         "--images 192 --rounds 5", "--images 8 --rounds 1 --batch 8"),
    Step("face_finding", "2 times the faces/s of facenet-pytorch's detect, with the same boxes",
         "--images 64 --rounds 3", "--images 3 --rounds 1"),
    Step("reading", "35,887 files read and packed in 45 s, again in 1 s", "", "--images 140 --again 1"),
    Step("rerun", "a finished study of 36 runs is at its report in 5 s, without torch",
         "--rounds 3", "--seeds 1 --rounds 1"),
    Step("plan_reads", "what is finished is read once: plans of 63 and 1,000 runs, one training", "", "--runs 3"),
    Step("memory", "main process below 1,000 MB, a worker below 400 MB at 92,000 pictures", "", "--sizes 98"),
    Step("growth", "every stage grows linearly with the pictures", "", "--images 98 --times 1"),
    Step("scale", "rows, copies, packs, plans and tables of 100,000 faces grow as n^1.1 at most, in 4 GB",
         "--sizes 10000 100000", "--sizes 140 --stages read"),
    Step("figures", "the figures of 36 runs in 150 s and 1 GB, again in seconds", "", "--seeds 1"),
    Step("label_noise", "of 10 and 30 % planted label noise on drawn faces, how much is found",
         "", "--pictures 140 --epochs 1 --folds 2 --shares 0.1"),
    Step("interval_coverage", "95 % intervals hold the truth, equal networks differ in 5 %",
         "--simulations 200", "--simulations 4"),
)  # fmt: skip


def main() -> int:
    """Run all; returns the exit code."""
    from harness import RESULTS

    failed = []
    RESULTS.mkdir(parents=True, exist_ok=True)
    with (RESULTS / "all.txt").open("w", encoding="utf-8") as stream:
        for step in STEPS:
            started = time.perf_counter()
            options = step.smallest if sys.argv[1:] == ["--smallest"] else step.full
            command = [sys.executable, str(HERE / f"{step.name}.py"), *options.split()]
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
            text = f"\n{step.name}: {step.holds}{done.stdout}{time.perf_counter() - started:.0f} s\n"
            print(text, flush=True)
            stream.write(text)
            if done.returncode:
                failed.append(step.name)
    print(f"failed: {', '.join(failed)}" if failed else "all done")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
