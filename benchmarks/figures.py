"""How long the figures of a study of 36 runs, three test sets and TTA or not take: the first time, and the second.

    python benchmarks/figures.py [--seeds 3]

The study is made up (tests/fake_study.py), its tables and statistics written before the clock starts. Aims on two
cores: 150 seconds, then seconds; under 1 GB for this process and its workers together.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(PROJECT), str(PROJECT / "tests")]

from utils import log, start_logging, write_json  # noqa: E402

DATASETS = ("alpha", "beta", "gamma")


def study_in(folder: Path, seeds: int) -> None:
    """3 datasets and their union, 3 models: 12 runs a seed; and their ensembles."""
    from made_results import Study

    from fer.results.tables import write_tables
    from fer.statistics.comparisons import write_statistics

    train_on = [*((name,) for name in DATASETS), DATASETS]
    Study(folder, DATASETS, train_on, models=("cnn", "residual", "vit"), seeds=tuple(range(1, seeds + 1)))
    write_tables(folder)
    write_statistics(folder)


class PeakMemory:
    """The most memory this process and its children held together, in MB, looked at ten times a second."""

    def __init__(self) -> None:
        self.peak = 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> PeakMemory:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        import psutil

        own = psutil.Process()
        while not self._stop.wait(0.1):
            total = 0
            for process in (own, *own.children(recursive=True)):
                try:
                    total += process.memory_info().rss
                except psutil.NoSuchProcess:  # it ended in between
                    continue
            self.peak = max(self.peak, total / 2**20)


def measure(folder: Path) -> dict[str, Any]:
    """Figures, seconds of the first and the second call, peak memory in MB."""
    from fer.figures.draw import draw_figures

    seconds = []
    with PeakMemory() as memory:
        for _ in range(2):
            started = time.perf_counter()
            drawn = draw_figures(folder, "png")
            seconds.append(round(time.perf_counter() - started, 1))
    return {
        "figures": len(drawn), "seconds": seconds[0], "seconds_again": seconds[1], "peak_mb": round(memory.peak),
    }  # fmt: skip


def main() -> None:
    """Make the study, draw it twice, print and write what was measured."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3, help="12 runs each")
    seeds = parser.parse_args().seeds
    start_logging()
    with tempfile.TemporaryDirectory() as folder:
        study_in(Path(folder), seeds)
        measured = {"runs": 12 * seeds} | measure(Path(folder))
    log.info("%s", ", ".join(f"{name} {value}" for name, value in measured.items()))
    write_json(PROJECT / "saidas" / "benchmarks" / "figures.json", measured)


if __name__ == "__main__":
    main()
