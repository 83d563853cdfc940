"""Variants: the faces of a dataset as raw, preprocessed or augmented pictures, ready to gather in batches."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from data_loader import FaceRows
from fer.columns.files import NO_FACE, SHARES
from fer.data.samples import DatasetSamples
from fer.data.splits import limit_per_split
from fer.faces.balancing import EXTRAS_VERSION, changes_recipe, oversampled, undersampled, write_extras_or_load
from fer.faces.class_shares import even_counts
from fer.faces.packs import PACK_VERSION, Pack, pack_or_load
from fer.layouts.label_sheets import BOX_COLUMNS
from fer.runs.run import Run
from fer.settings.settings import Settings
from preprocessing import SEEN_BEYOND, detection_rates, preprocess_or_load
from preprocessing import recipe as preparation_recipe
from utils import InputError, fingerprint, log, write_text


def scored_variant(variant: str) -> str:
    """The variant of the pictures a network trained on `variant` is validated and, by default, tested on."""
    return "preprocessed" if variant == "augmented" else variant


def picture_recipe(data: DatasetSamples, variant: str, network_size: int, settings: Settings) -> dict[str, Any]:
    """All that shapes the pixels of `variant`, the delivered pictures aside, as plain values without paths.

    `photos`: the whole photos in which the faces of all rows in use are looked for, where there are any.
    """
    recipe: dict[str, Any] = {
        "variant": variant,
        "faces": data.row.faces,
        "pack": [PACK_VERSION, _side(data, variant, network_size, settings)],
    }
    if variant != "raw":
        recipe["preparation"] = preparation_recipe(settings, data.row)
        recipe["no_face"] = settings.no_face if data.row.faces != "cropped" else "keep"  # a crop is always a face
        if data.photos:
            recipe["photos"] = data.photos
    if _has_extras(variant, settings):
        recipe["extras"] = [EXTRAS_VERSION, settings.split_seed, *changes_recipe(settings).values()]
    return recipe


def _has_extras(variant: str, settings: Settings) -> bool:
    return variant == "augmented" and settings.balance_of("augmented") == "oversample"


def draws_rows(variant: str, settings: Settings) -> bool:
    """Whether balancing draws rows with SPLIT_SEED beyond what the recipe of extra copies says already."""
    return settings.balance_of(variant) in ("oversample", "undersample") and not _has_extras(variant, settings)


def _side(data: DatasetSamples, variant: str, network_size: int, settings: Settings) -> int:
    """Side of the packed pictures: prepared faces of cropped sets hold no more than their source does."""
    source = min(data.largest_side, network_size)
    if variant == "raw":
        return source
    return min(settings.face_size, source if data.row.faces == "cropped" else network_size)


# ---------------------------------------------------------------- faces of one dataset


@dataclass(frozen=True)
class _PackedFaces:
    """A pack of a dataset, and which sample stands in which of its rows."""

    pack: Pack
    sample_ids: pd.Index

    def rows_of(self, samples: pd.DataFrame) -> FaceRows:
        """The faces of `samples`, in that order."""
        rows = self.sample_ids.get_indexer(pd.Index(samples["sample_id"]))
        assert (rows >= 0).all(), f"{self.pack.pixels} lacks {samples['sample_id'][rows < 0].tolist()[:3]}"
        return FaceRows.from_pack(self.pack, rows, samples["label"].to_numpy(), samples["sample_id"].tolist())


def _packed(data: DatasetSamples, variant: str, network_size: int, settings: Settings) -> _PackedFaces:
    """The rows of `data.samples`, and those other splits and policies would use, as raw or preprocessed pictures."""
    files, root, gray = data.unsettled, data.root, data.is_gray
    if variant != "raw":
        root, files = _prepared_files(data, settings)
        gray = gray or settings.grayscale
    side = _side(data, variant, network_size, settings)
    folder = settings.output_path / "cache" / "packed"
    pack = pack_or_load(files, root, side, gray, folder, f"{data.name}__{variant}")
    return _PackedFaces(pack, pd.Index(files["sample_id"]))


def _prepared_files(data: DatasetSamples, settings: Settings) -> tuple[Path, pd.DataFrame]:
    """Folder of the prepared pictures and a files table for `pack_or_load` with sample_id, of those there are."""
    folder, manifest = _prepared(data, settings)
    lost = manifest[(manifest["file"] == "") & manifest["sample_id"].isin(data.samples["sample_id"])]
    if len(lost):
        first = lost.iloc[0]
        raise InputError(
            f"{data.name}: {len(lost)} pictures could not be prepared; {first['sample_id']}: {first['reason']}. "
            "Mend or remove them and run the same command again; the others are kept."
        )
    there = manifest[manifest["file"] != ""]
    face = there["content"] + ":" + fingerprint(preparation_recipe(settings, data.row))
    return folder, _whole_pictures(there["file"], face).assign(sample_id=there["sample_id"].to_numpy())


def saved_faces(data: DatasetSamples, settings: Settings) -> dict[str, Path]:
    """Where the prepared face of each sample was saved, at its full size, by sample_id."""
    folder, files = _prepared_files(data, settings)
    return {name: folder / path for name, path in zip(files["sample_id"], files["path"], strict=True)}


def _prepared(data: DatasetSamples, settings: Settings) -> tuple[Path, pd.DataFrame]:
    """Folder and manifest of the prepared faces, one row for each of `data.unsettled`; missing ones are made.

    The manifest is read and the folder gone through once: trainings, scoring and figures of a command ask again.
    """
    place = (str(settings.datasets_path), fingerprint(preparation_recipe(settings, data.row), 32))
    if place not in data.prepared:
        data.prepared[place] = preprocess_or_load(data.unsettled, data.root, data.row, settings, data.name)
    folder, manifest = data.prepared[place]
    if data.row.faces != "cropped" and data.fold == "official":
        _note_detection(data.name, _in_use(data, manifest), settings)
    return folder, manifest


def _in_use(data: DatasetSamples, manifest: pd.DataFrame) -> pd.DataFrame:
    """The manifest's rows of `data.samples`, in that order, with split and label as they are there."""
    rows = manifest.set_index("sample_id").loc[data.samples["sample_id"]].reset_index()
    return rows.assign(split=data.samples["split"].to_numpy(), label=data.samples["label"].to_numpy())


def _note_detection(name: str, manifest: pd.DataFrame, settings: Settings) -> None:
    """Write samples/<name>_detection.csv (rates per class and split) and _no_face.csv (the rows concerned)."""
    folder = settings.output_path / "samples"
    no_face = manifest.loc[manifest["method"] != "detected", list(NO_FACE)]
    for part, table in (("detection", detection_rates(manifest)), ("no_face", no_face)):
        path, text = folder / f"{name}_{part}.csv", table.to_csv(index=False)
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            write_text(path, text)
            if part == "detection":
                found = (manifest["method"] == "detected").sum()
                log.info("%s: a face was detected in %d of %d pictures", name, found, len(manifest))
                beyond = manifest["beyond"][manifest["beyond"] > SEEN_BEYOND]
                log.info(
                    "%s: %d of %d crops leave their picture (by %.0f %% of the crop at the median), mirrored there",
                    name, len(beyond), len(manifest), 100 * beyond.median() if len(beyond) else 0,
                )  # fmt: skip


def _whole_pictures(paths: pd.Series, face: pd.Series) -> pd.DataFrame:
    table = pd.DataFrame({"path": paths.to_numpy(), "face": face.to_numpy()})
    return table.reindex(columns=["path", "face", *BOX_COLUMNS])


def faces_of(data: DatasetSamples, rows: pd.DataFrame, variant: str, network_size: int, settings: Settings) -> FaceRows:
    """Some rows of a dataset, in their order, as raw or preprocessed pictures."""
    return _packed(data, variant, network_size, settings).rows_of(rows)


def scored_faces(data: DatasetSamples, split: str, variant: str, network_size: int, settings: Settings) -> FaceRows:
    """The rows of one split as raw or preprocessed pictures."""
    return faces_of(data, data.rows(split), variant, network_size, settings)


# ---------------------------------------------------------------- faces to train on


def training_faces(
    datasets: dict[str, DatasetSamples],
    samples: dict[str, pd.DataFrame],
    run: Run,
    settings: Settings,
    doubtful: frozenset[str] = frozenset(),
) -> tuple[FaceRows, dict[str, FaceRows], dict[str, dict[str, Any]]]:
    """Balanced training rows, validation rows per dataset, and counts per dataset for run.json.

    `samples` holds the training and validation rows of each dataset of `run.train_on`; `doubtful` the sample_id of
    rows whose label is doubted: among training rows they are treated as `run.hyper.doubtful` says.
    Raises InputError when nothing is left to train or to validate on.
    """
    parts, validation, counts = [], {}, {}
    for name, table in samples.items():
        if run.hyper.doubtful == "drop":
            table = table[(table["split"] != "train") | ~table["sample_id"].isin(doubtful)]
        train, balanced, val = _one_dataset(datasets[name], table, run, settings, doubtful)
        if not len(train) or not len(val):
            raise InputError(
                f"{name}: {len(train)} training and {len(val)} validation pictures; both are needed. "
                "Raise VAL_FRACTION, or leave the dataset out."
            )
        parts.append(_with_shares(balanced, table, run.hyper.classes) if run.hyper.soft_labels else balanced)
        validation[name] = val
        counts[name] = {
            "n_train": len(train),
            "n_val": len(val),
            "original": _per_class(train, run.hyper.classes),
            "balanced": _per_class(balanced, run.hyper.classes, drawn_evenly=run.balance == "weighted_sampler"),
        }
    return FaceRows.join(parts), validation, counts


def _with_shares(faces: FaceRows, table: pd.DataFrame, classes: int) -> FaceRows:
    """The faces with the shares of the votes as targets, extra copies like their source; as they are without votes."""
    if SHARES not in table:
        return faces
    votes = dict(zip(table["sample_id"], table[SHARES], strict=True))
    texts = [votes[name if name in votes else name.rpartition("+aug")[0]] for name in faces.sample_ids]
    shares = np.array([text.split() for text in texts], dtype=np.float32)
    shares = np.pad(shares, ((0, 0), (0, classes - shares.shape[1])))  # of seven: none voted for contempt, or it is out
    return replace(faces, shares=shares / shares.sum(axis=1, keepdims=True))


def _per_class(faces: FaceRows, classes: int, drawn_evenly: bool = False) -> list[int]:
    if drawn_evenly:
        return even_counts(faces.label, classes)
    return np.bincount(faces.label, minlength=classes).tolist()


def _one_dataset(
    data: DatasetSamples, table: pd.DataFrame, run: Run, settings: Settings, doubtful: frozenset[str]
) -> tuple[FaceRows, FaceRows, FaceRows]:
    """Training rows as they are, the same balanced and weighted, and validation rows."""
    size = run.hyper.input_size
    faces = _packed(data, scored_variant(run.variant), size, settings)
    wanted = data.samples["sample_id"].isin(table["sample_id"])
    is_train = wanted & (data.samples["split"] == "train")
    if run.variant != "raw" and settings.no_face == "reject":
        is_train &= _face_found(data, settings)
    if run.hyper.train_share < 1:
        is_train &= data.samples.index.isin(_share(data.samples[is_train], run).index)
    train = faces.rows_of(data.samples[is_train])
    val = faces.rows_of(data.samples[wanted & (data.samples["split"] == "val")])
    balanced = _balance(train, data, is_train, run, settings)
    if isinstance(run.hyper.doubtful, float):
        extra = {name for name in balanced.sample_ids if name.rpartition("+aug")[0] in doubtful}
        balanced = balanced.weighted(doubtful | extra, run.hyper.doubtful)
    return train, balanced, val


def _share(rows: pd.DataFrame, run: Run) -> pd.DataFrame:
    """TRAIN_SHARE of training rows, each class in proportion, drawn by the run's seed."""
    return limit_per_split(rows, max(round(run.hyper.train_share * len(rows)), 1), run.seed)


def _face_found(data: DatasetSamples, settings: Settings) -> pd.Series:
    manifest = _in_use(data, _prepared(data, settings)[1])
    return pd.Series(manifest["found"].to_numpy(dtype=bool), index=data.samples.index)


def _balance(train: FaceRows, data: DatasetSamples, is_train: pd.Series, run: Run, settings: Settings) -> FaceRows:
    """Oversample or undersample to equal classes; other choices leave the rows as they are."""
    if run.balance == "undersample":
        return train.take(undersampled(train.label, settings.split_seed))
    if run.balance != "oversample":
        return train
    if run.variant != "augmented":
        return train.take(oversampled(train.label, settings.split_seed))
    extras = _extras(data, is_train, run.hyper.input_size, settings)
    return FaceRows.join([train, extras], one_source=True)


def _extras(data: DatasetSamples, is_train: pd.Series, network_size: int, settings: Settings) -> FaceRows:
    """The offline copies of rare classes as their own pack, made from training rows only."""
    rows = data.samples[is_train]
    folder, extras = write_extras_or_load(rows, *_prepared(data, settings), settings, data.name)
    strays = ~extras["source_id"].isin(rows["sample_id"])
    assert not strays.any(), f"extra copies left training: {extras.loc[strays, 'source_id'].tolist()[:3]}"
    side = _side(data, "augmented", network_size, settings)
    files = _whole_pictures(extras["file"], extras["content"])
    gray = settings.grayscale or data.is_gray
    cache = settings.output_path / "cache" / "packed"
    pack = pack_or_load(files, folder, side, gray, cache, f"{data.name}__extras")
    return FaceRows.from_pack(pack, np.arange(len(extras)), extras["label"].to_numpy(), extras["sample_id"].tolist())
