"""Balancing the classes of training rows: which rows are drawn again or left out, and extra copies on disk.

Only training rows ever come here: splits are made first, and validation and test rows stay as they are.
The extra copies of variant `augmented` lie in `datasets/augmented_<name>/<class>/<stem>_aug<k>.png`; the
originals are not among them, they are the prepared faces.
"""

from __future__ import annotations

import json
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from fer.faces.augmentation import AUGMENTATION_VERSION, augment_images, make_transform
from fer.faces.prepared import Job, Row, make_or_load, picture_stem
from fer.layouts.emotions import ALL_EMOTIONS
from fer.layouts.pictures import open_picture
from fer.settings.augmentation_rows import described
from fer.settings.settings import Settings
from utils import InputError, canonical_json, fingerprint, read_json

# Raise when other rows are drawn, or when the same copy comes out differently.
EXTRAS_VERSION = [1, AUGMENTATION_VERSION]


# ---------------------------------------------------------------- which rows


def oversampled(labels: np.ndarray, seed: int) -> np.ndarray:
    """Positions in which every class is as frequent as the largest: all rows in order, then rows drawn again.

    By imbalanced-learn's RandomOverSampler. Classes without any row stay without. int64 [M], M >= N.
    """
    from imblearn.over_sampling import RandomOverSampler

    return _drawn(RandomOverSampler(random_state=seed), labels)


def undersampled(labels: np.ndarray, seed: int) -> np.ndarray:
    """Positions kept when every class is cut to the smallest one present: int64 [M], M <= N, sorted.

    By imbalanced-learn's RandomUnderSampler.
    """
    from imblearn.under_sampling import RandomUnderSampler

    return np.sort(_drawn(RandomUnderSampler(random_state=seed), labels))


def _drawn(sampler: Any, labels: np.ndarray) -> np.ndarray:
    if len(np.unique(labels)) < 2:  # imbalanced-learn refuses what is balanced already
        return np.arange(len(labels))
    positions = np.arange(len(labels))[:, None]
    sampler.fit_resample(positions, labels)
    return sampler.sample_indices_.astype(np.int64)


# ---------------------------------------------------------------- extra copies on disk


def write_extras_or_load(
    train: pd.DataFrame, folder: Path, manifest: pd.DataFrame, settings: Settings, name: str
) -> tuple[Path, pd.DataFrame]:
    """Save a changed copy for every row that oversampling draws again, or find those made before.

    `train` are the training samples of dataset `name`, `folder` and `manifest` their prepared faces. Each
    copy is changed by the row OFFLINE_AUGMENTATION with draws fixed by SPLIT_SEED, the content of its source and its
    number among the copies of that source, so it does not depend on which other copies there are.

    Returns the folder and the copies, sorted by sample_id (`<source_id>+aug<k>`): columns sample_id,
    source_id, label, content (identifies the pixels) and file (posix path inside the folder).
    Raises ValueError when a row of another split is among `train`, InputError for a damaged folder or
    a face that cannot be read any more.
    """
    strays = train.loc[train["split"] != "train", "sample_id"]
    if len(strays):
        raise ValueError(f"only training rows may be balanced, not {strays.iloc[0]} and {len(strays) - 1} others")
    recipe = extras_recipe(folder, settings)
    wanted = _wanted_extras(train, manifest, settings.split_seed)
    job = Job(
        base=settings.datasets_path / f"augmented_{name}",
        recipe=recipe,
        wanted=wanted,
        make=partial(
            make_extra,
            folder=folder,
            seed=settings.split_seed,
            augmentation=canonical_json(_offline(settings)),
        ),
        save_format=settings.save_format,
        workers=settings.workers,
        what=f"augmenting {name}",
    )
    extras_folder, made = make_or_load(job)
    lost = made[made["file"] == ""]
    if len(lost):
        raise InputError(
            f"{len(lost)} extra copies of {name} could not be made; {lost['sample_id'].iloc[0]}: "
            f"{lost['reason'].iloc[0]}. Delete {folder} so that its faces are made again."
        )
    made["source_id"], made["label"] = made["source"], wanted["label"].to_numpy()
    made["content"] += ":" + fingerprint(recipe) + made["sample_id"].str.extract(r"(\+aug\d+)$")[0]
    return extras_folder, made[["sample_id", "source_id", "label", "content", "file"]]


def extras_recipe(folder: Path, settings: Settings) -> dict[str, Any]:
    """All that shapes the pixels of the extra copies of the prepared faces in `folder`."""
    return {
        "version": EXTRAS_VERSION,
        "faces": read_json(folder / "recipe.json"),
        "seed": settings.split_seed,
    } | changes_recipe(settings)


def changes_recipe(settings: Settings) -> dict[str, Any]:
    """What the copies are changed by; the light set is told by its strength and probability alone, as it always was."""
    how = _offline(settings)
    is_light = how.get("kind") == "light"
    return {name: how[name] for name in ("strength", "probability")} if is_light else {"augmentation": how}


def _offline(settings: Settings) -> dict[str, Any]:
    """The row as `described`; one that changes nothing is the light set without strength."""
    return described(settings.offline_row()) or {"kind": "light", "strength": 0.0, "probability": 1.0}


def _wanted_extras(train: pd.DataFrame, manifest: pd.DataFrame, seed: int) -> pd.DataFrame:
    files = manifest.loc[manifest["file"] != "", ["sample_id", "file", "content"]]
    rows = train[["sample_id", "split", "label"]].merge(files, on="sample_id", validate="1:1")
    rows = rows.sort_values("sample_id", ignore_index=True)
    drawn = rows.iloc[oversampled(rows["label"].to_numpy(), seed)[len(rows) :]]
    copy = drawn.groupby("sample_id").cumcount() + 1
    mark = copy.astype(str)
    extras = drawn.assign(
        copy=copy,
        source=drawn["sample_id"],
        source_file=drawn["file"],
        sample_id=drawn["sample_id"] + "+aug" + mark,
        folder=drawn["label"].map(dict(enumerate(ALL_EMOTIONS))),
        stem=drawn["sample_id"].map(picture_stem) + "_aug" + mark,
    )
    return extras.drop(columns="file").sort_values("sample_id", ignore_index=True)


def make_extra(extra: Row, folder: Path, seed: int, augmentation: str) -> tuple[Image.Image, Row]:
    """One changed copy of a prepared face; `extra` has source_file, content and copy.

    Raises UnreadablePicture.
    """
    face = open_picture(folder, extra["source_file"])
    pixels = np.asarray(face).reshape(face.height, face.width, -1)
    key = (seed, int(fingerprint(extra["content"], 16), 16), int(extra["copy"]))
    changed = augment_images([pixels], _transform(augmentation, face.width), key)[0]
    return Image.fromarray(changed.squeeze()), {"method": json.loads(augmentation).get("kind", "own row")}


@lru_cache(maxsize=1)
def _transform(augmentation: str, side: int) -> Any:
    return make_transform(json.loads(augmentation), side)
