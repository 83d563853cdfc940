"""The time of each stage at 1, 3, 10 and 30 times as many pictures: linear or better?

    python benchmarks/growth.py

One dataset of cropped faces of 48 pixels goes through the pipeline in this process, stage by stage, at each size, each
size into an output folder of its own. "grows by" is the exponent p between the two largest sizes, time ~ pictures^p: 1
is linear. Aim: at most 1.1, the allowance being noise. A stage whose time at the largest size is below 0.2 s has no
exponent: it costs nothing.
"""

from __future__ import annotations

import math
import shutil
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import harness
from made_pictures import class_folders, study_of

import main as pipeline
from fer.settings.settings import Settings
from fer.study.execution import execute, write_study
from fer.study.plan import open_study, planned_runs
from fer.study.variants import training_faces
from preprocessing import preprocess_or_load

AIM, NOTHING = 1.1, 0.2


def stages(settings: Settings) -> Iterator[tuple[str, harness.Round]]:
    """Name and measurement of each stage, in order; later ones use what earlier ones left on disk."""
    study, reading = harness.timed(partial(open_study, settings))
    yield "read", reading
    data = study.datasets["measured"]
    preparing = partial(preprocess_or_load, data.samples, data.root, data.row, settings, data.name)
    yield "prepare", harness.timed(preparing)[1]
    runs, planning = harness.timed(partial(planned_runs, study))
    yield "plan", planning
    run = runs[0].run
    rows = study.training(run.train_on).samples
    yield "extras, pack", harness.timed(partial(training_faces, study.datasets, rows, run, settings))[1]
    write_study(study, runs)
    failures, training = harness.timed(partial(execute, study, runs))
    yield "train, score", training
    if failures:
        raise RuntimeError(f"the run failed: {failures}")
    write_study(study, runs)
    reporting = partial(pipeline.report, settings.output_path, settings.plot_format)
    yield "tables, figures", harness.timed(reporting)[1]
    yield "read again", harness.timed(partial(open_study, settings))[1]
    yield "prepare again", harness.timed(preparing)[1]


def run(options: dict[str, Any]) -> list[harness.Row]:
    """One row a stage. `options`: images (at 1 time), times (list of numbers)."""
    seconds: dict[str, list[harness.Round]] = {}
    with tempfile.TemporaryDirectory() as name:
        for times in [1, *options["times"]]:  # the first one pays for imports; it is measured again
            folder = Path(name) / str(times)
            shutil.rmtree(folder, ignore_errors=True)
            if times == 1:
                seconds.clear()
            dataset = class_folders(folder / "dataset", options["images"] * times)
            for stage, one in stages(study_of(dataset, folder / "out", VARIANTS=("augmented",))):
                seconds.setdefault(stage, []).append(one)
    return [_row(stage, found, options["times"]) for stage, found in seconds.items()]


def _row(stage: str, found: list[harness.Round], times: list[int]) -> harness.Row:
    row: harness.Row = {"stage": stage}
    row |= {f"{n}x s": one.wall for n, one in zip(times, found, strict=True)}
    row |= {f"{n}x CPU s": one.cpu for n, one in zip(times, found, strict=True)}
    exponent = math.nan
    if len(times) > 1 and found[-1].wall >= NOTHING:
        exponent = math.log(found[-1].cpu / found[-2].cpu) / math.log(times[-1] / times[-2])
    return row | {"grows by": exponent, "aim": AIM, "reached": not exponent > AIM}


def main() -> None:
    """The command."""
    title = "Growth: seconds of each stage at {images} drawn pictures and so many times more"
    harness.command("growth", __doc__, title, run, images=300, times=(1, 3, 10, 30))


if __name__ == "__main__":
    main()
