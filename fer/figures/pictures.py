"""Figures that show faces of the datasets: samples per class, pictures left out, most confident mistakes.

They need the datasets and the prepared faces, so they are drawn after a study, not by --report of a copied folder.
They show real people and stay in the output folder: `--export` leaves them out.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from data_loader import FaceRows
from evaluation import Predictions
from fer.audit.contact_sheets import delivered_face, spread
from fer.data.samples import NEEDED, DatasetSamples, read_samples
from fer.faces.augmentation import augment_images, make_transform
from fer.figures.engine import FigureJob
from fer.figures.result_rows import chosen_by_validation
from fer.figures.selection import masked
from fer.figures.style import titled_figure
from fer.figures.titles import joined, name_parts, notes, run_words
from fer.layouts.emotions import ALL_EMOTIONS, class_names
from fer.layouts.pictures import UnreadablePicture
from fer.results.study_files import PredictionEntry, StoredStudy, read_predictions
from fer.runs.run import ORACLE, PlannedRun
from fer.study.plan import Study
from fer.study.variants import picture_recipe, saved_faces, scored_faces, scored_variant, training_faces
from utils import InputError, fingerprint

if TYPE_CHECKING:
    from matplotlib.figure import Figure

EXAMPLES = 2  # per class and column of the sample grid
REASONS, REJECTED_SHOWN = 8, 8
MISTAKES = 8  # per class
SIDE, INCH = 96, 0.95  # pixels and inches of a picture's side
CAPTION_LINE, GAP, EMPTY = 0.135, 0.06, 0.4  # inches; the last: a row without pictures


class PackedPixels:
    """Pixels uint8 [S, S, C] by sample_id, gathered from their pack when asked for."""

    def __init__(self, rows: FaceRows):
        self.rows, self.places = rows, {name: place for place, name in enumerate(rows.sample_ids)}

    def __contains__(self, sample_id: str) -> bool:
        return sample_id in self.places

    def __getitem__(self, sample_id: str) -> np.ndarray:
        place = self.places[sample_id]
        return np.array(self.rows.packs[self.rows.pack[place]].open()[self.rows.row[place]])


# ---------------------------------------------------------------- samples of each class


def sample_jobs(study: Study, stored: StoredStudy, runs: list[PlannedRun]) -> Iterator[FigureJob]:
    """Per dataset a grid: training faces of each class raw, preprocessed, and as augmented training sees them."""
    settings = study.settings
    for name, data in study.datasets.items():
        run, split = _augmented_run(runs, name), NEEDED[data.row.role]
        size = run.run.hyper.input_size if run else next(iter(settings.models.values())).input_size
        shown = [
            "raw",
            *(["preprocessed"] if set(settings.variants) - {"raw"} else []),
            *(["augmented"] if run else []),
        ]
        title = [
            f"{name}: samples of each class",
            joined("the same faces in each group of columns", f"n = {len(data.rows(split[0])):,} {split[1]} pictures",
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
            section="data",
            caption=f"{split[1].capitalize()} faces of each emotion in {name}: as delivered, as saved after "
            "preparation, and as training sees them. Look for faces that are cut off, turned, or changed until the "
            "emotion is gone.",
            alt=f"Grid of faces of {name}: an emotion per row, the same faces in each group of columns.",
            is_key=True,
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
    split = NEEDED[data.row.role][0]
    shown = data.rows(split).sort_values("face", kind="stable")
    prepared = faces_of(study, data, "preprocessed", size, split) if len(variants) > 1 else None
    saved = saved_faces(data, study.settings) if prepared is not None else {}
    balanced = _balanced_faces(study, data, run) if run else None
    has_extras = balanced is not None and any("+aug" in name for name in balanced.places)
    online = run is not None and run.run.hyper.augmentation and run.run.hyper.augment_engine == "albumentations"
    words = {
        "raw": True,
        "preprocessed, as saved": prepared is not None,
        "extra copy on disk": has_extras,
        "as seen in training": bool(online),
    }
    rows = []
    for label, emotion in enumerate(class_names(study.settings.classes)):
        of_class = shown[shown["label"] == label]
        chosen = _examples(of_class, balanced if has_extras else None)
        groups = [[CaptionedPicture(_readable(data, row)) for row in chosen]]
        if prepared is not None:
            faces = [prepared[row["sample_id"]] for row in chosen]
            groups.append([CaptionedPicture(_saved(saved[row["sample_id"]])) for row in chosen])
            if has_extras and balanced is not None:
                groups.append([_extra(balanced, row["sample_id"]) for row in chosen])
            if online and run is not None:
                groups.append([CaptionedPicture(face) for face in _augmented(faces, run, data.name, label)])
        empty = [CaptionedPicture(None)] * (EXAMPLES - len(chosen))
        rows.append(PictureRow(f"{emotion}\nn = {len(of_class):,}", [one for group in groups for one in group + empty]))
    return plot_picture_rows(title, rows, [(EXAMPLES, heading) for heading, there in words.items() if there])


def _balanced_faces(study: Study, data: DatasetSamples, run: PlannedRun) -> PackedPixels:
    """The rows an augmented run draws from this dataset, extra copies among them."""
    alone = replace(run.run, train_on=(data.name,))
    rows = {data.name: study.training(run.run.train_on).samples[data.name]}
    return PackedPixels(training_faces({data.name: data}, rows, alone, study.settings)[0])


def _examples(rows: pd.DataFrame, balanced: PackedPixels | None) -> list[dict[str, Any]]:
    """Up to EXAMPLES rows, drawn by face; of those with an extra copy where there are enough."""
    with_copy = rows[[balanced is not None and f"{name}+aug1" in balanced for name in rows["sample_id"]]]
    chosen = with_copy if len(with_copy) >= EXAMPLES else rows
    return [{str(key): value for key, value in chosen.iloc[place].items()} for place in spread(len(chosen), EXAMPLES)]


def _readable(data: DatasetSamples, row: dict[str, Any]) -> np.ndarray:
    try:
        return np.asarray(delivered_face(data.root, row["path"], row["face"]))
    except (UnreadablePicture, OSError) as error:
        raise InputError(f"{data.root / row['path']} cannot be shown: {error}.") from error


def _saved(path: Path) -> np.ndarray:
    """The prepared face as it lies on disk: its pack holds what a network sees, often much smaller."""
    from PIL import Image

    try:
        with Image.open(path) as picture:
            return np.asarray(picture)
    except OSError as error:
        raise InputError(f"{path} cannot be shown: {error}.") from error


def _extra(balanced: PackedPixels, sample_id: str) -> CaptionedPicture:
    name = f"{sample_id}+aug1"
    return (
        CaptionedPicture(balanced[name]) if name in balanced else CaptionedPicture(None, "none: class is large enough")
    )


def _augmented(faces: list[np.ndarray], run: PlannedRun, dataset: str, label: int) -> list[np.ndarray]:
    """Faces changed as the batches of training are; each dataset's grid has draws of its own, to show more of them."""
    how, own = run.run.hyper.augmentation or {}, int(fingerprint(dataset, 8), 16)
    return [
        augment_images([face], make_transform(how, len(face)), (run.run.seed, own, label, place))[0]
        for place, face in enumerate(faces)
    ]


# ---------------------------------------------------------------- pictures left out


def rejected_jobs(study: Study, stored: StoredStudy) -> Iterator[FigureJob]:
    """Per dataset thumbnails of what the selection left out, a row per reason.

    Without those LIMIT_PER_SPLIT left out, and without those that cannot be opened: the selection funnel counts them.
    """
    for name, data in study.datasets.items():
        rejected = _rejected(study, data)
        if rejected.empty:
            continue
        title = [
            f"{name}: pictures left out",
            joined(
                f"n = {len(rejected):,} of {len(data.samples) + len(data.rejected):,} listed, those aside that "
                "cannot be opened or that LIMIT_PER_SPLIT left out",
                *notes(stored, name),
            ),
        ]
        stamp = fingerprint(rejected[["sample_id", "why", "face"]].fillna("").to_numpy().tolist())
        yield FigureJob(
            f"eda/{name}_rejected", draw_rejected, title, {}, (data, rejected), stamp,
            section="audit",
            caption=f"Pictures of {name} that the selection left out, a row per reason, the most frequent first. Look "
            "for pictures that should have stayed.",
            alt=f"Rows of small pictures left out of {name}, each row under its reason.",
            is_key=True,
        )  # fmt: skip


def _rejected(study: Study, data: DatasetSamples) -> pd.DataFrame:
    """Rejected rows with `why`, and those in whose pictures no face was found where NO_FACE is "reject"."""
    rejected = data.rejected[~data.rejected["step"].isin(("limit", "readable"))].assign(why=_why)
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
        rows.append(PictureRow(f"{why}\nn = {times:,}", [_thumbnail(data, row) for row in shown]))
    return plot_picture_rows(title, rows)


def _thumbnail(data: DatasetSamples, row: pd.Series) -> CaptionedPicture:
    caption = Path(str(row["path"])).stem + (
        f"\n{ALL_EMOTIONS[int(row['label'])]}" if not pd.isna(row["label"]) else ""
    )
    try:
        face = delivered_face(data.root, str(row["path"]), "" if pd.isna(row["face"]) else str(row["face"]))
        return CaptionedPicture(np.asarray(face), caption)
    except (UnreadablePicture, OSError) as error:
        return CaptionedPicture(None, f"{caption}\n{error}")


# ---------------------------------------------------------------- most confident mistakes


def mistake_jobs(study: Study, stored: StoredStudy) -> Iterator[FigureJob]:
    """Per dataset, variant and network: its most confident errors on a dataset it was trained on, lowest seed."""
    chosen = {found.name for found in chosen_by_validation(stored).values()}
    for entry in first_entries(stored):
        run = entry.run.run
        data = study.at(run["split"]).datasets[entry.test_on]
        size = run["hyper"]["input_size"]
        title = [
            f"Most confident mistakes of {run['model']} on the {entry.test_on} test set",
            run_words(entry.run),
            "below each face the answer, then the truth, with the probability that the network gave to each",
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
            section="errors" if entry.run.name in chosen else "run",
            caption=f"The errors of {run['model']} on {entry.test_on} of which it was most certain, a row per true "
            "emotion. Faces whose label looks wrong to you are noise of the labels, not of the network.",
            alt=f"Rows of misclassified faces of {entry.test_on}, each with the answer, its confidence and the truth.",
            is_key=entry.run.name in chosen,
        )


def first_entries(stored: StoredStudy) -> list[PredictionEntry]:
    """Per training sets, variant, network and test set among these: the run with the lowest seed, without TTA."""
    own = [entry for entry in stored.predictions if _is_shown(entry)]
    first: dict[tuple[Any, ...], PredictionEntry] = {}
    for entry in sorted(own, key=_seed_and_split):
        run = entry.run.run
        first.setdefault((entry.run.train_on, run["variant"], run["model"], run["mixing"], entry.test_on), entry)
    return list(first.values())


def _is_shown(entry: PredictionEntry) -> bool:
    run = entry.run.run
    on_validation = run["selection"] != ORACLE
    matching = entry.test_on in run["train_on"] and entry.test_variant == scored_variant(run["variant"])
    return on_validation and matching and entry.split == "test" and entry.tta == "none"


def _seed_and_split(entry: PredictionEntry) -> tuple[int, str]:
    return entry.run.run["seed"], entry.run.run["split"]


def draw_mistakes(study: Study, data: DatasetSamples, entry: PredictionEntry, title: list[str], size: int) -> Figure:
    """A row per true class, the most confident errors first. Raises InputError when the predictions are damaged."""
    found = read_predictions(entry)
    faces = faces_of(study, data, entry.test_variant, size)
    confidence = found.probabilities.max(axis=1)
    rows = []
    for label, emotion in enumerate(found.classes):
        of_class = found.labels == label
        wrong = np.flatnonzero(of_class & (found.predicted != label))
        worst = wrong[np.argsort(-confidence[wrong], kind="stable")][:MISTAKES]
        words = f"{emotion}\n{len(wrong):,} of {of_class.sum():,} wrong"
        rows.append(PictureRow(words, [_mistake(faces, found, place) for place in worst]))
    return plot_picture_rows(title, rows)


def _mistake(faces: PackedPixels, found: Predictions, place: int) -> CaptionedPicture:
    row, label = found.probabilities[place], found.labels[place]
    words = [f"{ALL_EMOTIONS[which]} {row[which]:.2f}" for which in (int(row.argmax()), int(label))]
    return CaptionedPicture(faces[str(found.sample_ids[place])], "\n".join(words))


def faces_of(study: Study, data: DatasetSamples, variant: str, size: int, split: str = "test") -> PackedPixels:
    """The faces of a split as a variant shows them."""
    return PackedPixels(scored_faces(data, split, variant, size, study.settings))


# ---------------------------------------------------------------- rows of pictures


class CaptionedPicture(NamedTuple):
    """A picture, uint8 [S, S] or [S, S, 1 or 3], or None for an empty place; and the words below it."""

    pixels: np.ndarray | None
    caption: str = ""


class PictureRow(NamedTuple):
    """Pictures side by side, and the words left of them."""

    words: str
    pictures: Sequence[CaptionedPicture]


def plot_picture_rows(title: list[str], rows: Sequence[PictureRow], headings: Sequence[tuple[int, str]] = ()) -> Figure:
    """Rows of pictures with short captions; `headings` are (pictures wide, words), left to right."""
    columns = max([1, sum(wide for wide, _ in headings), *(len(row.pictures) for row in rows)])
    starts = np.cumsum([0, *(wide for wide, _ in headings)])
    shift = [GAP * 3 * sum(start <= column for start in starts[1:-1]) for column in range(columns)]
    lines = [
        max([len(_wrapped(picture.caption)) for picture in row.pictures if picture.pixels is not None] + [0])
        for row in rows
    ]
    faces = [INCH if row.pictures else EMPTY for row in rows]
    heights = [high + CAPTION_LINE * count + GAP for high, count in zip(faces, lines, strict=True)]
    left = 1.15
    width = max(left + columns * INCH + shift[-1] + 0.1, 6.5)
    body = sum(heights) + 0.25 * bool(headings) + 0.1
    figure, top = titled_figure(title, width, body)
    height = body / top
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    axes.set(xlim=(0, width), ylim=(0, height))
    for start, (_, words) in zip(starts, headings, strict=False):
        axes.text(left + start * INCH + shift[start], body - 0.14, words, size=9, weight="bold")
    y = body - 0.25 * bool(headings)
    for row, tall in zip(rows, heights, strict=True):
        words = "\n".join(part for line in row.words.splitlines() for part in textwrap.wrap(line, 16)[:6])
        axes.text(0.1, y - (INCH if row.pictures else EMPTY) / 2, words, size=8, va="center")
        for column, picture in enumerate(row.pictures):
            x = left + column * INCH + shift[column]
            if picture.pixels is not None:
                shown = (x, x + INCH - GAP, y - INCH + GAP, y)
                pixels = _shown(picture.pixels)
                axes.imshow(pixels, extent=shown, cmap="gray", vmin=0, vmax=255, interpolation="none", aspect="auto")
            caption, below = "\n".join(_wrapped(picture.caption)), y - INCH + GAP / 2
            axes.text(x, y if picture.pixels is None else below, caption, size=6.5, va="top", linespacing=1.05)
        y -= tall
    axes.set(xlim=(0, width), ylim=(0, height))
    return figure


def _wrapped(caption: str) -> list[str]:
    return [part for line in caption.splitlines() for part in textwrap.wrap(line, 17)][:4]


def _shown(pixels: np.ndarray) -> np.ndarray:
    """The picture with SIDE x SIDE pixels; smaller ones keep their pixels visible."""
    import cv2

    pixels = np.ascontiguousarray(pixels.squeeze())
    larger = pixels.shape[0] < SIDE
    return cv2.resize(pixels, (SIDE, SIDE), interpolation=cv2.INTER_NEAREST if larger else cv2.INTER_AREA)
