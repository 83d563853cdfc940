"""Samples: which faces of a dataset are used, in which split, and why the others are not.

A Samples table is a plain DataFrame, one row a face, sorted by `sample_id`:

| column | meaning |
|---|---|
| sample_id | dataset / path inside it, plus `#face` where one picture holds several rows |
| path, original_path | picture as delivered, and the whole photo it was cut from ("" if none), inside the dataset |
| label, delivered | index in `settings.EMOTIONS`, the one in use and the one delivered (see data/conflicts.py) |
| dataset | name of the row in config.py's DATASETS |
| split | train, val or test |
| group | number of the connected component over same subject, same photo, same source picture |
| content | which face: hash of the decoded source picture, plus the box where one is given; see data/copies.py |
| photo_content | checksum of the file at `original_path`; "" where there is none or it cannot be opened |
| width, height, gray | size of the delivered face in pixels; whether its three channels are equal |
| subject, photo, confidence, box_left, box_top, box_right, box_bottom | as far as the dataset tells |

Splits are made here, once per dataset, from source rows and SPLIT_SEED. Everything later filters.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from fer.data.conflicts import settle_conflicts
from fer.data.copies import pictures, settle_copies
from fer.data.readers import Listing, listing_signature, read_dataset
from fer.data.rejections import rejection_notes
from fer.layouts.file_states import file_state
from fer.layouts.pictures import UnreadablePicture, content_hash, crop_box, open_picture
from fer.settings.settings import EMOTIONS, DatasetRow, Settings
from utils import (
    InputError,
    file_fingerprint,
    fingerprint,
    log,
    progress,
    read_csv,
    read_sealed,
    write_sealed,
    write_text,
)

# Raise when the meaning of a cached samples table changes.
SAMPLES_VERSION = 5
SPLITS = ("train", "val", "test")
PARTS = ("samples", "rejected", "funnel")  # tables of a dataset in saidas/samples/
BOX = ["box_left", "box_top", "box_right", "box_bottom"]
READABLE = ["sample_id", "path", "label", "split", "content"]
REJECTED = ["sample_id", "path", "step", "reason", "label", "split", "content"]
SETTLED = ("copies", "conflicts")
STEPS = ("in file", "confidence", "readable", *SETTLED, "limit")
TEXT_COLUMNS = (
    "sample_id", "path", "original_path", "dataset", "split", "subject", "photo", "content", "photo_content",
)  # fmt: skip


@dataclass(frozen=True)
class DatasetSamples:
    """One dataset as it enters every experiment.

    `samples` holds the rows in use, `rejected` the others (sample_id, path, step, reason; label as delivered, split
    and all other columns where the picture could be read), `funnel` how many rows each step kept (step, removed, kept),
    `notes` what a user should know about it.
    `official_test`: its owner ships a test set; `fold`: which split this is (see data/folds.py).
    """

    name: str
    root: Path
    row: DatasetRow
    samples: pd.DataFrame
    rejected: pd.DataFrame
    funnel: pd.DataFrame
    notes: tuple[str, ...]
    official_test: bool
    fold: str = "official"

    def rows(self, split: str) -> pd.DataFrame:
        """The samples of one split, in order."""
        return self.samples[self.samples["split"] == split]

    @property
    def readable(self) -> pd.DataFrame:
        """Every picture that could be read, in use or not: sample_id, path, label as delivered, split, content."""
        left = self.rejected[self.rejected["content"] != ""]
        used = self.samples.assign(label=self.samples["delivered"])
        return pd.concat([table[READABLE] for table in (used, left)]).astype({"label": int})

    @property
    def unsettled(self) -> pd.DataFrame:
        """The rows a fold can split anew: before copies and conflicts left, after the limit; labels as delivered.

        Their pictures are prepared and packed together, so that other folds, seeds of the split and policies find them.
        Columns and order of `samples`, index 0..n-1.
        """
        left = self.rejected[self.rejected["step"].isin(SETTLED)]
        left = left.assign(delivered=left["label"])  # all labels, given to no rows, would become rows of their own
        used = self.samples.assign(label=self.samples["delivered"])
        both = pd.concat([used, left[used.columns].astype(used.dtypes)]) if len(left) else used
        return both.sort_values("sample_id", ignore_index=True)

    @cached_property
    def largest_side(self) -> int:
        """Of the delivered faces in `unsettled`, in pixels: one size of pack for all splits and policies."""
        left = self.rejected.loc[self.rejected["step"].isin(SETTLED), ["width", "height"]]
        return int(pd.concat([self.samples[["width", "height"]], left]).to_numpy(dtype=float).max())

    @cached_property
    def is_gray(self) -> bool:
        """Whether all faces in `unsettled` are gray."""
        left = self.rejected.loc[self.rejected["step"].isin(SETTLED), "gray"]
        return bool(self.samples["gray"].all()) and bool(left.astype(bool).all())


def load_samples(name: str, settings: Settings) -> DatasetSamples:
    """Read one active dataset into samples; from `saidas/samples/` when nothing it depends on changed.

    Raises InputError when the folder has another layout or no training row is left.
    """
    row = settings.datasets[name]
    root = settings.resolve(row.path)
    listing = read_dataset(name, row, root)
    folder = settings.output_path / "samples"
    key = _samples_key(listing, root, settings)
    cached = _load_cached(folder, name, key)
    if cached is None:
        cached = _select_samples(listing, root, settings, folder)
        _store(folder, name, key, *cached)
    samples, rejected, funnel = cached
    if not (samples["split"] == "train").any():
        raise InputError(f"{name}: no training picture is left of {len(listing.samples)} rows in {root}.")
    unusable = [f"{name}: {note}" for note in rejection_notes(rejected, int(funnel["kept"].iloc[0]))]
    notes = [*listing.notes, *unusable, *_thin_classes(name, samples)]
    official = bool((listing.samples["split"] == "test").any())
    return DatasetSamples(name, root, row, samples, rejected, funnel, tuple(notes), official)


# ---------------------------------------------------------------- cache


def _samples_key(listing: Listing, root: Path, settings: Settings) -> str:
    return fingerprint(
        {
            "version": SAMPLES_VERSION,
            "listing": listing_signature(listing, root),
            "rejected": len(listing.rejected),
            "splits": [settings.split_seed, settings.val_fraction, settings.test_fraction],
            "copies": settings.copies,
            "conflicts": settings.conflicts,
            "limit": settings.limit_per_split,
        },
        length=32,
    )


def _load_cached(folder: Path, name: str, key: str) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame] | None:
    marker = folder / f"{name}_samples.json"
    if not marker.is_file():
        return None
    try:
        known = read_sealed(marker)
        tables = [read_samples(folder / f"{name}_{part}.csv") for part in PARTS]
    except (InputError, OSError, ValueError, RecursionError) as error:
        log.warning("%s: the cached samples cannot be used (%s: %s); they are made again.", marker, name, error)
        return None
    if known.get("key") != key or known.get("rows") != [len(table) for table in tables]:
        return None
    return tables[0], tables[1], tables[2]


def _store(
    folder: Path, name: str, key: str, samples: pd.DataFrame, rejected: pd.DataFrame, funnel: pd.DataFrame
) -> None:
    marker = folder / f"{name}_samples.json"
    marker.unlink(missing_ok=True)
    for part, table in (("samples", samples), ("rejected", rejected), ("funnel", funnel)):
        write_text(folder / f"{name}_{part}.csv", table.to_csv(index=False))
    files = {part: file_fingerprint(folder / f"{name}_{part}.csv") for part in PARTS}
    write_sealed(marker, {"key": key, "rows": [len(samples), len(rejected), len(funnel)], "files": files})


def refuse_changed(path: Path) -> None:
    """Raise InputError when a table of saidas/samples/ is not what the checksum beside it says, if there is one."""
    name, _, part = path.stem.rpartition("_")
    marker = path.with_name(f"{name}_samples.json")
    if part not in PARTS or not (marker.is_file() and path.is_file()):
        return
    try:
        known = read_sealed(marker).get("files", {part: None})[part]  # versions before this one noted none
    except FileNotFoundError:
        return  # main.py has just begun to write the tables anew
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(f"{marker} is damaged ({error}). Run main.py: it is written again.") from error
    if known is not None and file_fingerprint(path) != known:
        raise InputError(f"{path} was changed since it was written. Run main.py: it is written again.")


def read_samples(path: Path) -> pd.DataFrame:
    """Read a samples, rejected or funnel table: text columns stay text, empty text stays empty.

    Raises InputError when it was changed since it was written, OSError, ValueError.
    """
    refuse_changed(path)
    table = read_csv(path, TEXT_COLUMNS)
    return table.assign(**{column: table[column].fillna("") for column in TEXT_COLUMNS if column in table})


# ---------------------------------------------------------------- from listing to samples


def _select_samples(
    listing: Listing, root: Path, settings: Settings, folder: Path
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    decoded, unreadable = decode_all(listing.samples, root)
    decoded["group"] = connected_groups(decoded)
    decoded["split"] = assign_splits(decoded, settings.split_seed, settings.val_fraction, settings.test_fraction)
    decoded["delivered"] = decoded["label"]
    settled, left = settle_rows(decoded, settings)
    chosen = limit_per_split(settled, settings.limit_per_split, settings.split_seed)
    beyond = settled.loc[~settled.index.isin(chosen.index)].assign(
        step="limit", reason=f"LIMIT_PER_SPLIT = {settings.limit_per_split}"
    )
    out = pd.concat([left, beyond])
    parts = [part for part in (listing.rejected, unreadable, out.assign(label=out["delivered"])) if len(part)]
    rejected = pd.concat(parts, ignore_index=True) if parts else beyond
    others = [column for column in decoded if column not in (*REJECTED, "delivered")]
    rejected = rejected.reindex(columns=[*REJECTED, *others])
    for column in ("content", "split"):  # empty where a row was never read
        rejected[column] = rejected[column].astype(object).fillna("")
    return chosen.reset_index(drop=True), rejected, _funnel(rejected, len(chosen))


def settle_rows(rows: pd.DataFrame, settings: Settings) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Apply COPIES and CONFLICTS to the rows of one dataset, already split; test rows and their labels stay.

    Returns the rows that stay, and those that leave with step and reason.
    """
    used, copies = settle_copies(rows, settings.copies, settings.split_seed)
    settled, disputed, relabelled = settle_conflicts(used, settings.conflicts)
    if settings.conflicts != "keep":
        log.info(
            "%s: identical training pictures with different labels: %d rows dropped, %d relabelled",
            rows["dataset"].iloc[0], len(disputed), len(relabelled),
        )  # fmt: skip
    parts = [part for part in (copies, disputed) if len(part)]
    return settled, pd.concat(parts) if parts else copies


def _funnel(rejected: pd.DataFrame, used: int) -> pd.DataFrame:
    """Rows kept after each step: starts with all rows the dataset lists, ends with those in use."""
    removed = rejected["step"].value_counts()
    kept = used + len(rejected)
    rows = [{"step": "listed", "removed": 0, "kept": kept}]
    for step in STEPS:
        kept -= int(removed.get(step, 0))
        rows.append({"step": step, "removed": int(removed.get(step, 0)), "kept": kept})
    return pd.DataFrame(rows)


def decode_all(rows: pd.DataFrame, root: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Decode every picture once; add content, width, height, gray.

    Returns the readable rows and the unreadable ones with step and reason.
    """
    names = rows.groupby("path", sort=False).indices
    boxes = rows[BOX].to_numpy(dtype=float)
    facts: dict[int, dict] = {}
    with ThreadPoolExecutor() as pool:
        jobs = pool.map(_decode_picture, [root] * len(names), names, [boxes[i] for i in names.values()])
        for positions, found in zip(names.values(), progress(jobs, f"reading {root.name}", len(names)), strict=True):
            facts.update(zip(positions, found, strict=True))
    table = pd.concat([rows, pd.DataFrame([facts[i] for i in range(len(rows))], index=rows.index)], axis=1)
    table["photo_content"] = _photo_contents(rows["original_path"], root)
    bad = table["reason"] != ""
    return table[~bad].drop(columns=["reason"]), table[bad].assign(step="readable")


def _photo_contents(photos: pd.Series, root: Path) -> pd.Series:
    """Checksum of each photo's file, read once; its pixels are decoded only where faces are looked for in it."""
    names = sorted(set(photos) - {""})
    with ThreadPoolExecutor() as pool:
        found = dict(zip(names, pool.map(_photo_content, [root / name for name in names]), strict=True))
    return photos.map({**found, "": ""}).astype("str")


def _photo_content(file: Path) -> str:
    return "" if file_state(file).problem else file_fingerprint(file, 32)


def _decode_picture(root: Path, path: str, boxes: np.ndarray) -> list[dict]:
    """Facts about each face (row of `boxes` [K, 4], NaN for the whole picture) of one picture."""
    unread = {"content": "", "width": 0, "height": 0, "gray": False}
    try:
        picture = open_picture(root, path)
    except UnreadablePicture as error:
        return [unread | {"reason": str(error)}] * len(boxes)
    content, facts = content_hash(picture), []
    for box in boxes:
        try:
            face = picture if np.isnan(box).any() else crop_box(picture, tuple(box))
        except UnreadablePicture as error:
            facts.append(unread | {"reason": str(error)})
            continue
        place = "" if face is picture else ":" + ",".join(f"{side:g}" for side in box)
        pixels = np.asarray(face)
        gray = pixels.ndim == 2 or bool((pixels == pixels[..., :1]).all())
        facts.append(
            {
                "content": content + place,
                "width": face.width,
                "height": face.height,
                "gray": gray,
                "reason": "",
            }
        )
    return facts


def face_contents(rows: pd.DataFrame) -> pd.Series:
    """What identifies each face: `content`, and the box where one is given and not yet in it. Needs content, BOX."""
    boxes = rows[BOX].to_numpy(dtype=float)
    bare = np.isnan(boxes).any(axis=1) | rows["content"].str.contains(":", regex=False).to_numpy(dtype=bool)
    faces = [
        content if plain else f"{content}:{','.join(f'{edge:g}' for edge in box)}"
        for content, plain, box in zip(rows["content"], bare, boxes, strict=True)
    ]
    return pd.Series(faces, index=rows.index, dtype="str")


def prepared_contents(rows: pd.DataFrame) -> pd.Series:
    """What identifies each prepared face beside its recipe: `face_contents`, and the photo it is looked for in."""
    photo = rows["photo_content"]
    return face_contents(rows) + ("@" + photo).where(photo != "", "")


# ---------------------------------------------------------------- groups and splits


def connected_groups(rows: pd.DataFrame) -> np.ndarray:
    """Number the connected components over same subject, same photo, same source picture: int[N]."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    count = len(rows)
    left, right = [np.zeros(0, dtype=int)], [np.zeros(0, dtype=int)]
    for values in (rows["subject"], rows["photo"], pictures(rows["content"])):
        positions = np.flatnonzero(values.to_numpy() != "")
        codes, _ = pd.factorize(values.to_numpy()[positions])
        first = np.full(codes.max(initial=-1) + 1, count)
        np.minimum.at(first, codes, positions)
        left.append(positions)
        right.append(first[codes])
    edges = np.concatenate(left), np.concatenate(right)
    graph = coo_matrix((np.ones(len(edges[0]), dtype=bool), edges), shape=(count, count))
    return connected_components(graph, directed=False)[1]


def assign_splits(rows: pd.DataFrame, seed: int, val_fraction: float, test_fraction: float) -> pd.Series:
    """Complete the official splits: a test set where none is official, then a validation set from training.

    Needs columns split ("" where not official), label and group. Groups stay together in what is
    carved here; official splits are never changed, so a group can stand in two of them.
    """
    split = rows["split"].copy()
    if not (split == "test").any():
        free = split == ""
        split[take_fraction(rows[free], test_fraction, seed)] = "test"
    split[split == ""] = "train"
    if not (split == "val").any():
        split[take_fraction(rows[split == "train"], val_fraction, seed + 1)] = "val"
    return split


def take_fraction(rows: pd.DataFrame, fraction: float, seed: int) -> pd.Index:
    """Index of about `fraction` of the rows of each class, whole groups, drawn by `seed`.

    A group counts for its rarest class. Own code because scikit-learn's StratifiedGroupKFold walks
    the groups in Python for every fold: minutes at the 34,000 groups of FER2013.
    """
    rarity = rows["label"].map(rows["label"].value_counts())
    groups = rows.assign(rarity=rarity).sort_values(["rarity", "sample_id"]).groupby("group", sort=True)
    table = groups.agg(label=("label", "first"), size=("label", "size"), first=("sample_id", "min"))
    table = table.sort_values("first")
    table = table.iloc[np.random.default_rng(seed).permutation(len(table))]
    ahead = table.groupby("label")["size"].cumsum() - table["size"]
    wanted = fraction * table.groupby("label")["size"].transform("sum")
    several = table.groupby("label")["size"].transform("count") > 1
    taken = table.index[several & (ahead + table["size"] / 2 <= wanted.clip(lower=1))]
    return rows.index[rows["group"].isin(taken)]


def limit_per_split(rows: pd.DataFrame, limit: int | None, seed: int) -> pd.DataFrame:
    """At most `limit` rows of each split, each class in proportion (at least one), drawn by `seed`."""
    if limit is None:
        return rows
    order = pd.Series(np.random.default_rng(seed).random(len(rows)), index=rows.index)
    kept = []
    for _, part in rows.groupby("split"):
        counts = part["label"].value_counts().sort_index()
        quota = counts if len(part) <= limit else (counts * limit / len(part)).round().clip(1, counts)
        for label, wanted in quota.items():
            kept.append(order[part.index[part["label"] == label]].nsmallest(int(wanted)).index)
    return rows.loc[np.sort(np.concatenate(kept))] if kept else rows


def _thin_classes(name: str, samples: pd.DataFrame) -> list[str]:
    counts = (
        samples.groupby(["split", "label"])
        .size()
        .unstack(fill_value=0)
        .reindex(index=SPLITS, columns=range(len(EMOTIONS)), fill_value=0)
    )
    notes = []
    for label, emotion in enumerate(EMOTIONS):
        train, val, test = counts[label]
        if train == 0:
            notes.append(f"{name}: no training picture of {emotion}; a network trained on it alone cannot learn it")
        if train == 1:
            notes.append(f"{name}: a single training picture of {emotion}; a network can only learn it by heart")
        if val < 10:
            notes.append(f"{name}: {val} validation pictures of {emotion}; scores that choose the epoch are noisy")
        if test == 0:
            notes.append(f"{name}: no test picture of {emotion}; its metrics are NaN, macro averages skip it")
    return notes
