"""How long the figures of a study of 36 runs, three test sets and TTA or not take: the first time, and the second.

    python benchmarks/figures.py [--seeds 3]

The study is made up (tests/made_results.py), its tables and statistics written before the clock starts. Aims on two
cores: 150 seconds, then seconds; under 1 GB for this process and its workers together.
"""

from __future__ import annotations

import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import harness
from memory import Watch

sys.path.append(str(harness.PROJECT / "tests"))

DATASETS = ("alpha", "beta", "gamma")
SECONDS_AIM, MEMORY_AIM = 150.0, 1000.0


def study_in(folder: Path, seeds: int) -> None:
    """3 datasets and their union, 3 models: 12 runs a seed; and their ensembles."""
    from made_results import Study

    from fer.results.tables import write_tables
    from fer.statistics.comparisons import write_statistics

    train_on = [*((name,) for name in DATASETS), DATASETS]
    Study(folder, DATASETS, train_on, models=("cnn", "residual", "vit"), seeds=tuple(range(1, seeds + 1)))
    write_tables(folder)
    write_statistics(folder)


def run(options: dict[str, Any]) -> list[harness.Row]:
    """A row for FIGURES = "key" and one for "all", the same study. `options`: seeds (12 runs each)."""
    with tempfile.TemporaryDirectory() as folder:
        study_in(Path(folder), options["seeds"])
        return [_row(Path(folder), which, 12 * options["seeds"]) for which in ("key", "all")]


def _row(folder: Path, which: str, runs: int) -> harness.Row:
    """Figures that are there, seconds first and again, memory at most in MB; "all" finds the key ones drawn."""
    from fer.figures.draw import draw_figures

    watch = Watch()
    draw = partial(draw_figures, folder, "png", which)
    drawn, first = watch.over(partial(harness.timed, draw))
    _, again = watch.over(partial(harness.timed, draw))
    row = {"FIGURES": which, "runs": runs, "figures": len(drawn), "first s": first.wall, "again s": again.wall}
    reached = first.wall <= SECONDS_AIM and watch.together < MEMORY_AIM
    return row | {"peak MB": watch.together, "aim s": SECONDS_AIM, "aim MB": MEMORY_AIM, "reached": reached}


def main() -> None:
    """The command."""
    harness.command("figures", __doc__, "Figures of a made-up study", run, seeds=3)


if __name__ == "__main__":
    main()
