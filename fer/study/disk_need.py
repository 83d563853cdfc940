"""The disk a plan needs: prepared faces, packs, weights and checkpoints that are not there yet, against what is free.

Packs and weights are counted exactly, prepared faces by a few of the dataset's pictures; predictions, tables and
figures are small beside them and left out.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from fer.audit.quality import QUALITY_SIDE
from fer.data.samples import DatasetSamples
from fer.data.whole_sets import dataset_of
from fer.faces.packs import packed_bytes
from fer.faces.prepared import prepared_folder, read_manifest
from fer.layouts.emotions import classes_among
from fer.layouts.pictures import UnreadablePicture, open_picture
from fer.runs.run import PlannedRun, Run
from fer.settings.settings import Settings
from fer.study.plan import Study, trainings_of
from fer.study.predictions import scored_sets
from fer.study.speed import SpeedBook, parameter_count, some_samples
from fer.study.variants import picture_recipe, scored_variant
from preprocessing import recipe as preparation_recipe
from utils import InputError, free_space

PREPARED, PACKS, WEIGHTS, CHECKPOINTS = "prepared faces", "packs", "weights", "checkpoints"
BYTES_OF_A_WEIGHT = 4  # float32, whatever format a network is fitted in
HEADER = 256  # bytes around the pixels of a picture that no compression made smaller
LOOKED_AT = 12  # pictures of a dataset that are saved in memory, to see what a prepared face takes


@dataclass(frozen=True)
class Need:
    """Bytes of one kind of file still to be written under `folder`."""

    kind: str
    folder: Path
    size: int


def needed_space(study: Study, runs: Iterable[PlannedRun], book: SpeedBook) -> list[Need]:
    """What the runs to do will write; nothing for runs that are finished. Torch is imported when there is one."""
    to_do = [planned for planned in runs if not planned.finished]
    settings = study.settings
    sizes = [BYTES_OF_A_WEIGHT * _parameters(settings, planned.run, book) for planned in to_do]
    copies = [_checkpoint_copies(planned.run) for planned in to_do]
    # A checkpoint is removed when its run is finished, so there is one at a time.
    checkpoint = max((size * count for size, count in zip(sizes, copies, strict=True)), default=0)
    needs = [
        *space_of_pictures(study, to_do),
        Need(WEIGHTS, settings.output_path, sum(sizes)),
        Need(CHECKPOINTS, settings.output_path, checkpoint),
    ]
    return [need for need in needs if need.size]


def space_of_pictures(study: Study, runs: Sequence[PlannedRun]) -> list[Need]:
    """What the prepared faces and packs of these runs will write."""
    settings = study.settings
    pictures = wanted_pictures(study, runs)
    audited = sum(_audit_bytes(study, name) for name in study.datasets) if runs else 0
    needs = [
        Need(PREPARED, settings.datasets_path, sum(_prepared_bytes(study, *item) for item in pictures.items())),
        Need(PACKS, settings.output_path, sum(_packs_bytes(study, *item) for item in pictures.items()) + audited),
    ]
    return [need for need in needs if need.size]


def most_space(settings: Settings, labels: dict[str, np.ndarray], splits: int, book: SpeedBook) -> list[Need]:
    """The most a plan can need, before any picture is read and whatever of it is there already.

    `labels`: of every face of each dataset, int64 [N]; `splits`: how often a training is repeated for other splits.
    """
    variants = {*settings.variants, *map(scored_variant, settings.variants), *settings.test_variants} - {"same"}
    faces = sum(map(len, labels.values()))
    extras = sum(map(_most_extras, labels.values())) if _has_extras(variants, settings) else 0
    gray_or_colour = 1 if settings.grayscale else 3
    pixels = QUALITY_SIDE**2 * faces
    for variant, size in {(variant, row.input_size) for variant in variants for row in settings.models.values()}:
        side = size if variant == "raw" else min(size, settings.face_size)
        count = extras if variant == "augmented" else faces
        pixels += count * side * side * (3 if variant == "raw" else gray_or_colour)
    prepared = faces + extras if variants != {"raw"} else 0
    sizes = {name: BYTES_OF_A_WEIGHT * parameter_count(book, name, row) for name, row in settings.models.items()}
    weights = sum(sizes.values())
    judging = settings.noise_folds * len(labels) * sizes.get(settings.label_noise or "", 0)
    trainings = len(list(trainings_of(settings))) * len(settings.variants) * len(settings.seeds) * splits
    needs = [
        Need(PREPARED, settings.datasets_path, prepared * (settings.face_size**2 * gray_or_colour + HEADER)),
        Need(PACKS, settings.output_path, pixels),
        Need(WEIGHTS, settings.output_path, weights * trainings * (2 if settings.oracle else 1) + judging),
    ]
    return [need for need in needs if need.size]


def _has_extras(variants: Iterable[str], settings: Settings) -> bool:
    return "augmented" in variants and settings.balance_of("augmented") == "oversample"


def _most_extras(labels: np.ndarray) -> int:
    counts = np.bincount(labels[labels >= 0], minlength=1)  # -1: pictures without labels
    return int(len(classes_among(labels)) * counts.max() - counts.sum())


def describe_needs(needs: list[Need], how: str = "") -> str:
    """In one line, with what is free; empty where nothing is needed. `how` stands before the number."""
    if not needs:
        return ""
    folders = dict.fromkeys(need.folder for need in needs)
    free = ", ".join(f"{free_space(folder) / 1e9:,.1f} GB free at {folder}" for folder in folders)
    parts = ", ".join(f"{need.kind} {need.size / 1e6:,.0f} MB" for need in needs)
    return f"disk: {how}{sum(need.size for need in needs) / 1e9:,.2f} GB ({parts}); {free}"


def refuse_full_disk(needs: list[Need]) -> None:
    """Raise InputError when what is to be written has no room on one of its disks."""
    disks: dict[int, list[Need]] = {}
    for need in needs:
        disks.setdefault(_disk_of(need.folder), []).append(need)
    problems = []
    for on_disk in disks.values():
        size, free = sum(need.size for need in on_disk), free_space(on_disk[0].folder)
        if size > free:
            parts = ", ".join(f"{need.kind} {need.size / 1e6:,.0f} MB under {need.folder}" for need in on_disk)
            problems.append(
                f"The disk is too small for this study: it needs {size / 1e9:,.2f} GB ({parts}), {free / 1e9:,.2f} GB "
                "are free. Free some space, name an OUTPUT_DIR or DATASETS_DIR on another disk, or ask for less: "
                "MODEL_CONFIG, SEEDS, VARIANTS, LIMIT_PER_SPLIT."
            )
    if problems:
        raise InputError(problems)


def _disk_of(folder: Path) -> int:
    return next(place for place in (folder, *folder.absolute().parents) if place.exists()).stat().st_dev


# ---------------------------------------------------------------- weights


def _parameters(settings: Settings, run: Run, book: SpeedBook) -> int:
    return parameter_count(book, run.model, settings.models[run.model])


def _checkpoint_copies(run: Run) -> int:
    """How often a checkpoint holds the weights: themselves, the optimizer's moments, the running average."""
    moments = (run.hyper.momentum > 0) if run.hyper.optimizer == "sgd" else 2
    return 1 + int(moments) + (run.hyper.ema_decay > 0)


# ---------------------------------------------------------------- pictures


def wanted_pictures(study: Study, runs: Iterable[PlannedRun]) -> dict[str, set[tuple[str, int]]]:
    """(variant, network size) of the pictures of each dataset that `runs` train on or are scored on."""
    wanted: dict[str, set[tuple[str, int]]] = {}
    for run in _shown_alike(planned.run for planned in runs):
        size = run.hyper.input_size
        for name in run.train_on:
            wanted.setdefault(name, set()).update({(run.variant, size), (scored_variant(run.variant), size)})
        for name, _, variant in scored_sets(study.at(run.split), run):
            wanted.setdefault(dataset_of(name), set()).add((variant, size))
    return wanted


def _shown_alike(runs: Iterable[Run]) -> Collection[Run]:
    """One of all runs that are shown the same pictures: seeds and points of GRID by the thousand need no more."""
    shown = {(run.train_on, run.pretrained_on, run.variant, run.split, run.hyper.input_size): run for run in runs}
    return shown.values()


def packed_shape(data: DatasetSamples, variant: str, size: int, settings: Settings) -> tuple[int, int]:
    """Side in pixels and channels of the packed pictures of a dataset and variant, for a network of `size` pixels."""
    gray = data.is_gray or (variant != "raw" and settings.grayscale)
    return picture_recipe(data, variant, size, settings)["pack"][1], 1 if gray else 3


def packs_to_make(study: Study, name: str, wanted: Iterable[tuple[str, int]]) -> dict[tuple[str, int], int]:
    """Pictures of each pack (variant, side) of a dataset that is not there yet; "augmented" is its extra copies."""
    data, settings = study.datasets[name], study.settings
    missing = {}
    for variant, size in wanted:
        side, channels = packed_shape(data, variant, size, settings)
        count = extra_copies(study, name) if variant == "augmented" else len(data.unsettled)
        part = "extras" if variant == "augmented" else variant
        there = packed_bytes(settings.output_path / "cache" / "packed", f"{name}__{part}__{side}__*.npy")
        if count and not any(0 < found - count * side * side * channels < 4096 for found in there):
            missing[variant, side] = count
    return missing


def _packs_bytes(study: Study, name: str, wanted: set[tuple[str, int]]) -> int:
    data, settings = study.datasets[name], study.settings
    channels = {variant: packed_shape(data, variant, 1, settings)[1] for variant, _ in wanted}
    missing = packs_to_make(study, name, wanted)
    return sum(count * side * side * channels[variant] for (variant, side), count in missing.items())


def _audit_bytes(study: Study, name: str) -> int:
    """Of the audit's pack of a dataset; 0 where there is one."""
    data = study.datasets[name]
    side = min(QUALITY_SIDE, data.largest_side)
    size = len(data.unsettled) * side * side
    there = packed_bytes(study.settings.output_path / "cache" / "packed", f"{name}__*__{side}__*.npy")
    return 0 if any(0 < found - size < 4096 for found in there) else size


def unprepared(study: Study, name: str) -> int:
    """Faces of a dataset that are not prepared yet."""
    settings, data = study.settings, study.datasets[name]
    folder = prepared_folder(settings.datasets_path / f"preprocessed_{name}", preparation_recipe(settings, data.row))
    return max(len(data.unsettled) - len(read_manifest(folder)), 0)


def extra_copies(study: Study, name: str) -> int:
    """Extra copies of rare classes that variant `augmented` asks for."""
    if study.settings.balance_of("augmented") != "oversample":
        return 0
    counts = np.bincount(study.datasets[name].rows("train")["label"].to_numpy())
    return int((counts.max() - counts[counts > 0]).sum())


def unmade_extras(study: Study, name: str) -> int:
    """Those that no folder of extra copies holds yet."""
    made = [len(read_manifest(folder)) for folder in study.settings.datasets_path.glob(f"augmented_{name}*")]
    return max(extra_copies(study, name) - max(made, default=0), 0)


def _prepared_bytes(study: Study, name: str, wanted: set[tuple[str, int]]) -> int:
    variants = {variant for variant, _ in wanted} - {"raw"}
    count = unprepared(study, name) if variants else 0
    count += unmade_extras(study, name) if "augmented" in variants else 0
    return round(count * _face_bytes(study.datasets[name], study.settings)) if count else 0


def _face_bytes(data: DatasetSamples, settings: Settings) -> float:
    """Mean bytes of a dataset's pictures at FACE_SIZE, saved as prepared ones are, without looking for a face."""
    sizes = []
    for sample in some_samples(data, LOOKED_AT):
        try:
            picture = open_picture(data.root, sample["path"])
        except UnreadablePicture:
            continue  # it is reported where pictures are read
        stream = BytesIO()
        side = (settings.face_size, settings.face_size)
        face = (picture.convert("L") if settings.grayscale else picture).resize(side, Image.Resampling.BILINEAR)
        if settings.save_format == "jpeg":
            face.save(stream, "JPEG", quality=95, subsampling=0)
        else:
            face.save(stream, "PNG", compress_level=3)
        sizes.append(stream.tell())
    return float(np.mean(sizes)) if sizes else 3.0 * settings.face_size**2
