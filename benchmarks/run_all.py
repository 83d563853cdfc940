"""Every benchmark, one after another, each as a command of its own: about 20 minutes on two idle cores.

    python benchmarks/run_all.py

Tables go to the terminal and to saidas/benchmarks/all.txt, JSON to saidas/benchmarks/NAME.json. A benchmark that fails
is named at the end, and the exit code is 1; the others run.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

# Name and options of each; the defaults of the scripts measure longer.
STEPS = (
    ("input_pipeline", "--images", "256", "--rounds", "3"),
    ("training_ceiling", "--rounds", "5"),
    ("views", "--images", "192", "--rounds", "5"),
    ("face_finding", "--images", "64", "--rounds", "3"),
    ("reading",),
    ("rerun", "--rounds", "3"),
    ("plan_reads",),
    ("memory",),
    ("growth",),
    ("figures",),
)
HERE = Path(__file__).resolve().parent


def main() -> int:
    """Run all; returns the exit code."""
    from harness import RESULTS

    failed = []
    RESULTS.mkdir(parents=True, exist_ok=True)
    with (RESULTS / "all.txt").open("w", encoding="utf-8") as stream:
        for name, *options in STEPS:
            started = time.perf_counter()
            command = [sys.executable, str(HERE / f"{name}.py"), *options]
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
            text = f"{done.stdout}{name}: {time.perf_counter() - started:.0f} s\n"
            print(text, flush=True)
            stream.write(text)
            if done.returncode:
                failed.append(name)
    print(f"failed: {', '.join(failed)}" if failed else "all done")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
