"""Figures that show faces of the datasets: samples per class, pictures left out, most confident mistakes.

They need the datasets and the prepared faces, so they are drawn after a study, not by --report of a copied folder.
They show real people and stay in the output folder: `--export` leaves them out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from data_loader import FaceRows
from evaluation import Predictions
from fer.audit.contact_sheets import delivered_face, spread
from fer.data.samples import DatasetSamples, read_samples
from fer.faces.augmentation import augment_images, make_transform
from fer.figures.drawing import draw_changed, named_jobs, write_left_out
from fer.figures.figures_selection import masked
from fer.figures.jobs import FigureJob, joined, name_parts, notes, run_words
from fer.figures.plots_pictures import Tile, TileRow, plot_tiles
from fer.layouts.pictures import UnreadablePicture
from fer.results.study_files import PredictionEntry, StoredStudy, read_predictions, read_study
from fer.runs.run import ORACLE, PlannedRun
from fer.settings.settings import EMOTIONS
from fer.study.plan import Study
from fer.study.variants import picture_recipe, scored_variant, test_faces, training_faces
from utils import InputError, fingerprint, lock_in

if TYPE_CHECKING:
    from matplotlib.figure import Figure

EXAMPLES = 2  # per class and column of the sample grid
REASONS, REJECTED_SHOWN = 8, 8
MISTAKES = 8  # per class
LEFT_OUT = "left_out_pictures.json"


def draw_picture_figures(study: Study, runs: list[PlannedRun], plot_format: str) -> list[Path]:
    """Draw what changed of the figures that show faces; returns all that are there.

    `runs` is the present plan. What cannot be drawn is warned of and listed in left_out_pictures.json.
    """
    output = study.settings.output_path
    stored = read_study(output)
    jobs = [*_sample_jobs(study, stored, runs), *_rejected_jobs(study, stored), *_mistake_jobs(study, stored)]
    with lock_in(output, "picture_figures"):
        named = named_jobs(jobs, plot_format)
        drawn, failed = draw_changed(output, named, output / "cache" / "picture_figures.json", here=True)
        write_left_out(output / LEFT_OUT, failed)
    return sorted(output / path for path in drawn)


# ---------------------------------------------------------------- pixels by name


class Faces:
    """Pixels uint8 [S, S, C] by sample_id, gathered from their pack when asked for."""

    def __init__(self, rows: FaceRows):
        self.rows, self.places = rows, {name: place for place, name in enumerate(rows.sample_ids)}

    def __contains__(self, sample_id: str) -> bool:
        return sample_id in self.places

    def __getitem__(self, sample_id: str) -> np.ndarray:
        place = self.places[sample_id]
        return np.array(self.rows.packs[self.rows.pack[place]].open()[self.rows.row[place]])


# ---------------------------------------------------------------- samples of each class


def _sample_jobs(study: Study, stored: StoredStudy, runs: list[PlannedRun]) -> Iterator[FigureJob]:
    """Per dataset a grid: training faces of each class raw, preprocessed, and as augmented training sees them."""
    settings = study.settings
    for name, data in study.datasets.items():
        run = _augmented_run(runs, name)
        size = run.run.hyper.input_size if run else next(iter(settings.models.values())).input_size
        shown = [
            "raw",
            *(["preprocessed"] if set(settings.variants) - {"raw"} else []),
            *(["augmented"] if run else []),
        ]
        title = [
            f"{name}: samples of each class",
            joined("the same faces in each group of columns", f"n = {len(data.rows('train')):,} training pictures",
                   *notes(stored, name)),
        ]  # fmt: skip
        yield FigureJob(
            name=f"sample_grids/{name}_samples",
            draw=draw_samples,
            title=title,
            details={"variants": shown, "size": size},
            sources=(study, data, run),
            stamp=[
                study.training((name,)).fingerprints,
                [picture_recipe(data, variant, size, settings) for variant in shown],
                run and run.name,
            ],
        )


def _augmented_run(runs: list[PlannedRun], name: str) -> PlannedRun | None:
    """A planned run that trains on augmented faces of the dataset, with as few others as there is."""
    having = [planned for planned in runs if planned.run.variant == "augmented" and name in planned.run.train_on]
    return min(having, key=_datasets, default=None)


def _datasets(planned: PlannedRun) -> int:
    return len(planned.run.train_on)


def draw_samples(
    study: Study, data: DatasetSamples, run: PlannedRun | None, title: list[str], variants: list[str], size: int
) -> Figure:
    """The grid of one dataset. Raises InputError when a picture is gone."""
    train = data.rows("train").sort_values("content", kind="stable")
    prepared = Faces(test_faces(data, "train", "preprocessed", size, study.settings)) if len(variants) > 1 else None
    balanced = _balanced_faces(study, data, run) if run else None
    has_extras = balanced is not None and any("+aug" in name for name in balanced.places)
    online = run is not None and run.run.hyper.augmentation and run.run.hyper.augment_engine == "albumentations"
    words = {
        "raw": True,
        "preprocessed": prepared is not None,
        "extra copy on disk": has_extras,
        "as seen in training": bool(online),
    }
    rows = []
    for label, emotion in enumerate(EMOTIONS):
        of_class = train[train["label"] == label]
        chosen = _examples(of_class, balanced if has_extras else None)
        groups = [[Tile(_readable(data, row)) for row in chosen]]
        if prepared is not None:
            faces = [prepared[row["sample_id"]] for row in chosen]
            groups.append([Tile(face) for face in faces])
            if has_extras and balanced is not None:
                groups.append([_extra(balanced, row["sample_id"]) for row in chosen])
            if online and run is not None:
                groups.append([Tile(face) for face in _augmented(faces, run, label)])
        empty = [Tile(None)] * (EXAMPLES - len(chosen))
        rows.append(TileRow(f"{emotion}\nn = {len(of_class):,}", [tile for group in groups for tile in group + empty]))
    return plot_tiles(title, rows, [(EXAMPLES, heading) for heading, there in words.items() if there])


def _balanced_faces(study: Study, data: DatasetSamples, run: PlannedRun) -> Faces:
    """The rows an augmented run draws from this dataset, extra copies among them."""
    alone = replace(run.run, train_on=(data.name,))
    rows = {data.name: study.training(run.run.train_on).samples[data.name]}
    return Faces(training_faces({data.name: data}, rows, alone, study.settings)[0])


def _examples(rows: pd.DataFrame, balanced: Faces | None) -> list[dict[str, Any]]:
    """Up to EXAMPLES rows, drawn by content; of those with an extra copy where there are enough."""
    with_copy = rows[[balanced is not None and f"{name}+aug1" in balanced for name in rows["sample_id"]]]
    chosen = with_copy if len(with_copy) >= EXAMPLES else rows
    return [{str(key): value for key, value in chosen.iloc[place].items()} for place in spread(len(chosen), EXAMPLES)]


def _readable(data: DatasetSamples, row: dict[str, Any]) -> np.ndarray:
    try:
        return np.asarray(delivered_face(data.root, row["path"], row["content"]))
    except (UnreadablePicture, OSError) as error:
        raise InputError(f"{data.root / row['path']} cannot be shown: {error}.") from error


def _extra(balanced: Faces, sample_id: str) -> Tile:
    name = f"{sample_id}+aug1"
    return Tile(balanced[name]) if name in balanced else Tile(None, "none: class is large enough")


def _augmented(faces: list[np.ndarray], run: PlannedRun, label: int) -> list[np.ndarray]:
    """Faces changed as the batches of training are, with draws of their own."""
    transform = make_transform(**(run.run.hyper.augmentation or {}))
    return [augment_images([face], transform, (run.run.seed, label, place))[0] for place, face in enumerate(faces)]


# ---------------------------------------------------------------- pictures left out


def _rejected_jobs(study: Study, stored: StoredStudy) -> Iterator[FigureJob]:
    """Per dataset thumbnails of what the selection left out, a row per reason; LIMIT_PER_SPLIT left out no fault."""
    for name, data in study.datasets.items():
        rejected = _rejected(study, data)
        if rejected.empty:
            continue
        title = [
            f"{name}: pictures left out",
            joined(f"n = {len(rejected):,} of {len(data.samples) + len(data.rejected):,} listed", *notes(stored, name)),
        ]
        stamp = fingerprint(rejected[["sample_id", "why", "content"]].fillna("").to_numpy().tolist())
        yield FigureJob(f"eda/{name}_rejected", draw_rejected, title, {}, (data, rejected), stamp)


def _rejected(study: Study, data: DatasetSamples) -> pd.DataFrame:
    """Rejected rows with `why`, and those in whose pictures no face was found where NO_FACE is "reject"."""
    rejected = data.rejected[data.rejected["step"] != "limit"].assign(why=_why)
    path = study.settings.output_path / "samples" / f"{data.name}_no_face.csv"
    if study.settings.no_face == "reject" and path.is_file():
        lost = read_samples(path)
        lost = lost[~lost["found"] & (lost["split"] == "train")]
        without = data.samples[data.samples["sample_id"].isin(lost["sample_id"])]
        rejected = pd.concat([rejected, without.assign(why="no face found")])
    return rejected


def _why(rejected: pd.DataFrame) -> list[str]:
    return [f"{step}: {masked(str(reason))}" for step, reason in zip(rejected["step"], rejected["reason"], strict=True)]


def draw_rejected(data: DatasetSamples, rejected: pd.DataFrame, title: list[str]) -> Figure:
    """Thumbnails by reason, the most frequent first; a picture that cannot be opened is an empty place."""
    rows = []
    for why, times in rejected["why"].value_counts().head(REASONS).items():
        found = rejected[rejected["why"] == why].sort_values("sample_id")
        shown = [found.iloc[place] for place in spread(times, REJECTED_SHOWN)]
        rows.append(TileRow(f"{why}\nn = {times:,}", [_thumbnail(data, row) for row in shown]))
    return plot_tiles(title, rows)


def _thumbnail(data: DatasetSamples, row: pd.Series) -> Tile:
    caption = Path(str(row["path"])).stem + (f"\n{EMOTIONS[int(row['label'])]}" if not pd.isna(row["label"]) else "")
    try:
        face = delivered_face(data.root, str(row["path"]), "" if pd.isna(row["content"]) else str(row["content"]))
        return Tile(np.asarray(face), caption)
    except (UnreadablePicture, OSError) as error:
        return Tile(None, f"{caption}\n{error}")


# ---------------------------------------------------------------- most confident mistakes


def _mistake_jobs(study: Study, stored: StoredStudy) -> Iterator[FigureJob]:
    """Per dataset, variant and network: its most confident errors on a dataset it was trained on, lowest seed."""
    own = [entry for entry in stored.predictions if _is_shown(entry)]
    first: dict[tuple[Any, ...], PredictionEntry] = {}
    for entry in sorted(own, key=_seed_and_split):
        run = entry.run.run
        first.setdefault((entry.run.train_on, run["variant"], run["model"], run["mixing"], entry.test_on), entry)
    for entry in first.values():
        run = entry.run.run
        data = study.at(run["split"]).datasets[entry.test_on]
        size = run["hyper"]["input_size"]
        title = [
            f"Most confident mistakes of {run['model']} on the {entry.test_on} test set",
            run_words(entry.run),
            joined(f"test pictures {entry.test_variant}", "no TTA", f"n = {len(data.rows('test')):,}",
                   *notes(stored, entry.test_on, *run["train_on"])),
        ]  # fmt: skip
        yield FigureJob(
            name=f"mistakes/{'_'.join([entry.test_on, *name_parts(stored, entry.run)])}_mistakes",
            draw=draw_mistakes,
            title=title,
            details={"size": size},
            sources=(study, data, entry),
            stamp=[entry.stamp(), picture_recipe(data, entry.test_variant, size, study.settings)],
            run=entry.run.name,
        )


def _is_shown(entry: PredictionEntry) -> bool:
    run = entry.run.run
    honest = run["selection"] != ORACLE
    matching = entry.test_on in run["train_on"] and entry.test_variant == scored_variant(run["variant"])
    return honest and matching and entry.split == "test" and entry.tta == "none"


def _seed_and_split(entry: PredictionEntry) -> tuple[int, str]:
    return entry.run.run["seed"], entry.run.run["split"]


def draw_mistakes(study: Study, data: DatasetSamples, entry: PredictionEntry, title: list[str], size: int) -> Figure:
    """A row per true class, the most confident errors first. Raises InputError when the predictions are damaged."""
    found = read_predictions(entry)
    faces = _test_faces(study, data, entry.test_variant, size)
    sure = found.probabilities.max(axis=1)
    rows = []
    for label, emotion in enumerate(EMOTIONS):
        of_class = found.labels == label
        wrong = np.flatnonzero(of_class & (found.predicted != label))
        worst = wrong[np.argsort(-sure[wrong], kind="stable")][:MISTAKES]
        words = f"{emotion}\n{len(wrong):,} of {of_class.sum():,} wrong"
        rows.append(TileRow(words, [_mistake(faces, found, place) for place in worst]))
    return plot_tiles(title, rows)


def _mistake(faces: Faces, found: Predictions, place: int) -> Tile:
    row, label = found.probabilities[place], found.labels[place]
    said = f"said {EMOTIONS[row.argmax()]} {row.max():.2f}"
    return Tile(faces[str(found.sample_ids[place])], f"{said}\ntrue {EMOTIONS[label]} {row[label]:.2f}")


def _test_faces(study: Study, data: DatasetSamples, variant: str, size: int) -> Faces:
    return Faces(test_faces(data, "test", variant, size, study.settings))
