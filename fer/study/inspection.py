"""What `--check` and `--plan` print. Neither trains, and `--check` writes nothing."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Collection
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from rich.table import Table

from fer.console.terminal import console as new_console
from fer.data.readers import Listing
from fer.data.splits import SPLITS
from fer.machine.precision import FULL
from fer.runs.run import PlannedRun, folders_by_slug, what_made_it_new
from fer.settings.settings import DatasetRow, Settings
from fer.study.dataset_check import check_datasets, known_labels
from fer.study.disk_need import describe_needs, most_space, needed_space
from fer.study.plan import Study, describe_idle, planned_pretrainings
from fer.study.plan_estimate import describe_estimate, estimate_plan
from fer.study.predictions import missing_predictions
from fer.study.preflight import problems_before_start
from fer.study.pretraining import PlannedPretraining
from fer.study.speed import speed_book
from utils import InputError, log

if TYPE_CHECKING:
    from rich.console import Console


MOST_SHOWN = 1000  # runs that --plan lists one by one; all are counted


def refuse_bad_output(output: Path) -> None:
    """Raise InputError when OUTPUT_DIR cannot be written."""
    try:
        output.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=output):
            pass
    except OSError as error:
        raise InputError(f"OUTPUT_DIR {output} cannot be written ({error.strerror}). Name another folder.") from error


# ---------------------------------------------------------------- --check


def print_check(settings: Settings, active: dict[str, tuple[DatasetRow, Path]]) -> int:
    """Config, dataset folders, layouts, counts, disk and device. Returns 0, or 2 when something is missing."""
    console = new_console()
    console.print(f"config: valid, {len(settings.models)} models, variants {', '.join(settings.variants)}")
    if idle := describe_idle(settings):
        console.print(idle, highlight=False)
    listings, problems = check_datasets(console, active)
    _print_machine(console, settings)
    unready = problems_before_start(settings)
    if not unready:
        console.print(_most_space(settings, listings, active))
    problems += unready
    for problem in problems:
        console.print("to mend:", problem, style="red")
    return 2 if problems else 0


def _most_space(settings: Settings, listings: dict[str, Listing], active: dict[str, tuple[DatasetRow, Path]]) -> str:
    """In one line: the disk that the whole plan can need at most, whatever is finished already; "" if not known.

    Of a dataset that is not there, the faces that a whole copy is known to hold.
    """
    labels = {name: _labels_in_use(settings, listing.samples["label"].to_numpy()) for name, listing in listings.items()}
    absent = {name: known_labels(row) for name, (row, _) in active.items() if name not in listings}
    labels |= {name: _labels_in_use(settings, known) for name, known in absent.items() if len(known)}
    unknown = [name for name, known in absent.items() if not len(known)]
    if not labels:
        return "disk: how much is needed is not known before a dataset is there"
    splits = max([_splits(settings, listing) for listing in listings.values()], default=1)
    needs = most_space(settings, labels, splits, replace(speed_book(settings, measure=False), keep=False))
    without = f"; {', '.join(unknown)} not counted" if unknown else ""
    return f"{describe_needs(needs, 'at most about ')}{without}; --plan says it exactly"


def _labels_in_use(settings: Settings, labels: np.ndarray) -> np.ndarray:
    """int64 [N]; with LIMIT_PER_SPLIT as many as it leaves at most, spread evenly over the dataset."""
    most = len(SPLITS) * settings.limit_per_split if settings.limit_per_split else len(labels)
    return labels[np.linspace(0, len(labels) - 1, min(most, len(labels))).astype(int)]


def _splits(settings: Settings, listing: Listing) -> int:
    """How often a training on this dataset is repeated for other splits."""
    if settings.splits == "official" or (listing.samples["split"] == "test").any():
        return 1
    if settings.splits == "subjects":
        return max(listing.samples["subject"].nunique(), 1)
    return settings.repeats * (settings.folds if settings.splits == "kfold" else 1)


def _print_machine(console: Console, settings: Settings) -> None:
    folder = settings.output_path
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free / 2**30
    writable = os.access(folder, os.W_OK)
    console.print(f"output: {settings.output_path}, {free:.0f} GiB free{'' if writable else ', NOT WRITABLE'}")
    gpu = shutil.which("nvidia-smi") is not None
    console.print(
        f"device: DEVICE = {settings.device}; {os.cpu_count()} CPU cores; NVIDIA driver "
        f"{'found' if gpu else 'not found'}; torch {'installed' if find_spec('torch') else 'MISSING'}"
    )


# ---------------------------------------------------------------- --plan


def print_plan(study: Study, runs: list[PlannedRun], only_summary: bool = False) -> None:
    """Every run with its state, what made it new, and what all will take, in time and on disk.

    With `only_summary`, runs are only counted where any is to do, and nothing is timed that was not timed before.
    """
    to_do = [planned for planned in runs if not planned.finished]
    before = planned_pretrainings(study, runs).values()
    if not only_summary:
        _print_pretrainings(before)
        _print_runs(study, runs)
    to_score = sum(planned.finished and bool(missing_predictions(study, planned)) for planned in runs)
    done = len(runs) - len(to_do) - to_score
    if only_summary and done == len(runs):
        return  # nothing to do: what was found says more
    log.info("plan: %d runs, %d done, %d to score, %d to do", len(runs), done, to_score, len(to_do))
    if before:
        log.info("before them: %d pretrainings, %d done", len(before), sum(one.finished for one in before))
    _note_precision(study.settings, runs)
    book = speed_book(study.settings, measure=not only_summary)
    for line in describe_estimate(estimate_plan(study, runs, book)):
        log.info("%s", line)
    if disk := describe_needs(needed_space(study, runs, book)):
        log.info("%s", disk)


def _note_precision(settings: Settings, runs: list[PlannedRun]) -> None:
    """On a GPU: that half precision makes these other runs than a CPU's would be."""
    half = sorted({planned.run.hyper.precision for planned in runs} - {FULL})
    if half and settings.amp in ("auto", "on"):
        log.info(
            'precision: %s, by AMP = "%s" on this machine. It shapes the weights: runs made where it gives another one '
            "(most CPUs: fp32) are other runs. AMP = \"off\" or \"%s\" pins it.",
            ", ".join(half), settings.amp, half[0],
        )  # fmt: skip


def _print_pretrainings(planned: Collection[PlannedPretraining]) -> None:
    """Each with the faces it learns from and how far it is; nothing where there is none."""
    table = Table(title=f"{len(planned)} pretrainings, before the runs that start from them")
    for column in ("pretraining", "faces", "epochs", "state"):
        table.add_column(column, overflow="fold")
    for one in planned:
        state = "to continue" if (one.folder / "checkpoint.pth").is_file() else "to do"
        table.add_row(
            f"{one.name}: {one.folder.name}", f"{one.count:,}", str(one.run.hyper.epochs),
            "done" if one.finished else state,
        )  # fmt: skip
    if planned:
        new_console().print(table)


def _print_runs(study: Study, runs: list[PlannedRun]) -> None:
    first = f", the first {MOST_SHOWN:,} of them" if len(runs) > MOST_SHOWN else ""
    table = Table(title=f"{len(runs)} runs in {study.models_folder}{first}")
    for column in ("run", "state", "why"):
        table.add_column(column, overflow="fold")
    folders = folders_by_slug(study.models_folder)
    for planned in runs[:MOST_SHOWN]:
        table.add_row(planned.name, *_state(study, planned, folders))
    new_console().print(table)


def _state(study: Study, planned: PlannedRun, folders: dict[str, list[Path]]) -> tuple[str, str]:
    if planned.finished:
        missing = len(missing_predictions(study, planned))
        return ("done", "") if not missing else ("to score", f"{missing} prediction files")
    failed = (planned.folder / "failed.txt").is_file()
    if (planned.folder / "checkpoint.pth").is_file():
        return "to continue", "failed before" if failed else "interrupted"
    return "to do", what_made_it_new(planned, folders) + ("; failed before" if failed else "")
