"""Samples: which faces of a dataset are used, in which split, and why the others are not.

A Samples table is a plain DataFrame, one row a face, sorted by `sample_id`:

| column | meaning |
|---|---|
| sample_id | dataset / path inside it, plus `#face` where one picture holds several rows |
| path, original_path | picture as delivered, and the whole photo it was cut from ("" if none), inside the dataset |
| label, delivered | index in ALL_EMOTIONS, in use and as delivered (see CONFLICTS in data/copies.py); -1: none |
| dataset | name of the row in config.py's DATASETS |
| split | train, val or test; "unlabelled" |
| group | number of the connected component over same subject, same photo, same source picture |
| content | hash of the decoded source picture, the same for every face of it: see data/copies.py |
| face | which face of it: `content`, and where its box is given ":" and that box; identifies rows in packs and keys |
| photo_content | checksum of the file at `original_path`; "" where there is none or it cannot be opened |
| width, height, gray | size of the delivered face in pixels; whether its three channels are equal |
| shares | FER+: the share of the votes for each expression, see data/readers.py |
| subject, photo, confidence, box_left, box_top, box_right, box_bottom | as far as the dataset tells |

Splits are made once per dataset, in data/splits.py. Everything later filters.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import pandas as pd

from fer.columns.files import LEFT, SHARES
from fer.data.copies import NEAR_COPY, NEAR_GROUP, settle_rows
from fer.data.decoding import decode_all
from fer.data.readers import Listing, listing_signature, read_dataset
from fer.data.rejections import rejection_notes
from fer.data.splits import (
    SPLITS,
    UNLABELLED,
    assign_by_role,
    assign_splits,
    connected_groups,
    limit_per_split,
)
from fer.layouts.emotions import ALL_EMOTIONS
from fer.layouts.known_datasets import Counts
from fer.layouts.layouts import LAYOUTS
from fer.settings.settings import DatasetRow, Settings
from utils import (
    InputError,
    file_fingerprint,
    fingerprint,
    log,
    read_csv,
    read_sealed,
    write_sealed,
    write_text,
)

# Raise when the meaning of a cached samples table changes.
SAMPLES_VERSION = 6
# What a dataset of each role must have rows of, and in words; the splits of it that are used.
NEEDED = {"train": ("train", "training"), "test": ("test", "test"), "unlabelled": (UNLABELLED, "unlabelled")}
SPLITS_OF_ROLE = {"train": SPLITS, "test": ("test",), "unlabelled": ()}
PARTS = ("samples", "rejected", "funnel")  # tables of a dataset in saidas/samples/
READABLE = ["sample_id", "path", "label", "split", "content", "face"]
SETTLED = ("copies", "conflicts")
STEPS = ("in file", "confidence", "readable", *SETTLED, "limit")
TEXT_COLUMNS = (
    "sample_id", "path", "original_path", "dataset", "split", "subject", "photo", "content", "face", "photo_content",
    NEAR_GROUP, SHARES,
)  # fmt: skip


@dataclass(frozen=True)
class DatasetSamples:
    """One dataset as it enters every experiment.

    `samples` holds the rows in use, `rejected` the others (sample_id, path, step, reason; label as delivered, split
    and all other columns where the picture could be read), `funnel` how many rows each step kept (step, removed, kept),
    `notes` what a user should know about it.
    `official_test`: its owner ships a test set, or it is never trained on; `fold`: which split this is, see
    data/folds.py.
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
    expected: Counts | None = None  # the known number of rows per split and emotion of a whole copy
    # What was read of its prepared faces, see study/variants.py; all its folds share it.
    prepared: dict[tuple[str, str], tuple[Path, pd.DataFrame]] = field(default_factory=dict, repr=False, compare=False)

    @cached_property
    def _by_split(self) -> dict[str, pd.DataFrame]:
        return {}

    def rows(self, split: str) -> pd.DataFrame:
        """The samples of one split, in order; found once, since every run of a plan asks: never change them."""
        if split not in self._by_split:
            self._by_split[split] = self.samples[self.samples["split"] == split]
        return self._by_split[split]

    @property
    def readable(self) -> pd.DataFrame:
        """READABLE columns of every picture that could be read, in use or not; labels as delivered."""
        left = self.rejected[self.rejected["content"] != ""]
        used = self.samples.assign(label=self.samples["delivered"])
        return pd.concat([table[READABLE] for table in (used, left)]).astype({"label": int})

    @property
    def unsettled(self) -> pd.DataFrame:
        """The rows a fold can split anew, see `stands_in_folds`; labels as delivered.

        Their pictures are prepared and packed together, so that other folds, seeds of the split and policies find them.
        Columns and order of `samples`, index 0..n-1.
        """
        left = self.rejected[stands_in_folds(self.rejected["step"])]
        left = left.assign(delivered=left["label"])  # all labels, given to no rows, would become rows of their own
        used = self.samples.assign(label=self.samples["delivered"])
        both = pd.concat([used, left[used.columns].astype(used.dtypes)]) if len(left) else used
        return both.sort_values("sample_id", ignore_index=True)

    @cached_property
    def largest_side(self) -> int:
        """Of the delivered faces in `unsettled`, in pixels: one size of pack for all splits and policies."""
        left = self.rejected.loc[stands_in_folds(self.rejected["step"]), ["width", "height"]]
        return int(pd.concat([self.samples[["width", "height"]], left]).to_numpy(dtype=float).max())

    @cached_property
    def photos(self) -> str:
        """Fingerprint of the whole photos behind the rows in use; "" where there are none."""
        contents = self.samples["photo_content"]
        return fingerprint(contents.tolist(), 32) if (contents != "").any() else ""

    @cached_property
    def is_gray(self) -> bool:
        """Whether all faces in `unsettled` are gray."""
        left = self.rejected.loc[stands_in_folds(self.rejected["step"]), "gray"]
        return bool(self.samples["gray"].all()) and bool(left.astype(bool).all())


def stands_in_folds(step: pd.Series) -> pd.Series:
    """bool per row, by the step it left at ("" where it is in use): whether a fold splits it anew.

    Copies and conflicts are settled anew in each fold. A limit draws from what they left, so beside one they stay away:
    a fold would otherwise hold all copies of the dataset beside the few rows drawn.
    """
    in_use = step == ""
    return in_use if (step == "limit").any() else in_use | step.isin(SETTLED)


# Dataset, its readable rows and root, settings: what near_group is of each row. Rooms after this one have the pictures.
NearGroups = Callable[[str, pd.DataFrame, Path, Settings], pd.Series]


def load_samples(name: str, settings: Settings, near_groups: NearGroups | None = None) -> DatasetSamples:
    """Read one active dataset into samples; from `saidas/samples/` when nothing it depends on changed.

    COPIES = "drop_near" needs `near_groups` (audit/near_groups.py).

    Raises InputError when the folder has another layout, or no row is left of what its "role" asks for.
    """
    row = settings.datasets[name]
    root = settings.resolve(row.path)
    listing = read_dataset(name, row, root)
    folder = settings.output_path / "samples"
    key = _samples_key(listing, row, root, settings)
    cached = _load_cached(folder, name, key)
    if cached is None:
        cached = _select_samples(listing, row, root, settings, near_groups)
        _store(folder, name, key, *cached)
    samples, rejected, funnel = cached
    wanted, words = NEEDED[row.role]
    if not (samples["split"] == wanted).any():
        raise InputError(f"{name}: no {words} picture is left of {len(listing.samples)} rows in {root}.")
    unusable = [f"{name}: {note}" for note in rejection_notes(rejected, int(funnel["kept"].iloc[0]))]
    notes = [*listing.notes, *unusable, *_thin_classes(name, samples, settings.classes, row.role)]
    official = row.role != "train" or bool((listing.samples["split"] == "test").any())
    expected = listing.expected_counts
    return DatasetSamples(name, root, row, samples, rejected, funnel, tuple(notes), official, expected=expected)


# ---------------------------------------------------------------- cache


def _samples_key(listing: Listing, row: DatasetRow, root: Path, settings: Settings) -> str:
    role = {} if row.role == "train" else {"role": row.role}
    near = {"near": list(NEAR_COPY)} if settings.copies == "drop_near" else {}
    return fingerprint(
        role
        | near
        | {
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

    Tables of older versions held content and face in one column, and are read as if they held two.
    Raises InputError when it was changed since it was written, OSError, ValueError.
    """
    refuse_changed(path)
    table = read_csv(path, TEXT_COLUMNS)
    table = table.assign(**{column: table[column].fillna("") for column in TEXT_COLUMNS if column in table})
    if "content" in table and "face" not in table:
        table = table.assign(face=table["content"], content=table["content"].str.split(":", n=1).str[0])
    return table


# ---------------------------------------------------------------- from listing to samples


def _select_samples(
    listing: Listing, row: DatasetRow, root: Path, settings: Settings, near_groups: NearGroups | None
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    decoded, unreadable = decode_all(listing.samples, root, LAYOUTS[listing.layout].has_blank)
    if settings.copies == "drop_near" and row.role == "train":
        assert near_groups is not None, "near copies are found by a room after this one"
        decoded[NEAR_GROUP] = near_groups(str(decoded["dataset"].iloc[0]), decoded, root, settings)
    decoded["group"] = connected_groups(decoded)
    if row.role == "train":
        decoded["split"] = assign_splits(decoded, settings.split_seed, settings.val_fraction, settings.test_fraction)
    else:
        decoded["split"] = assign_by_role(decoded, row.role)
    decoded["delivered"] = decoded["label"]
    settled, left = settle_rows(decoded, settings)
    chosen = limit_per_split(settled, settings.limit_per_split, settings.split_seed)
    beyond = settled.loc[~settled.index.isin(chosen.index)].assign(
        step="limit", reason=f"LIMIT_PER_SPLIT = {settings.limit_per_split}"
    )
    out = pd.concat([left, beyond])
    parts = [part for part in (listing.rejected, unreadable, out.assign(label=out["delivered"])) if len(part)]
    rejected = pd.concat(parts, ignore_index=True) if parts else beyond
    others = [column for column in decoded if column not in (*LEFT, "delivered")]
    rejected = rejected.reindex(columns=[*LEFT, *others])
    for column in {"content", "face", "split", NEAR_GROUP} & set(rejected):  # empty where a row was never read
        rejected[column] = rejected[column].astype(object).fillna("")
    return chosen.reset_index(drop=True), rejected, _funnel(rejected, len(chosen))


def _funnel(rejected: pd.DataFrame, used: int) -> pd.DataFrame:
    """Rows kept after each step: starts with all rows the dataset lists, ends with those in use."""
    removed = rejected["step"].value_counts()
    kept = used + len(rejected)
    rows = [{"step": "listed", "removed": 0, "kept": kept}]
    for step in STEPS:
        kept -= int(removed.get(step, 0))
        rows.append({"step": step, "removed": int(removed.get(step, 0)), "kept": kept})
    return pd.DataFrame(rows)


def _thin_classes(name: str, samples: pd.DataFrame, classes: int, role: str = "train") -> list[str]:
    counts = (
        samples.groupby(["split", "label"])
        .size()
        .unstack(fill_value=0)
        .reindex(index=SPLITS, columns=range(classes), fill_value=0)
    )
    notes = []
    for split, least, most, words in THIN:
        if split not in SPLITS_OF_ROLE[role]:
            continue
        found = {ALL_EMOTIONS[label]: n for label, n in enumerate(counts.loc[split]) if least <= n <= most}
        if found:
            named = [f"{emotion} ({n})" if most > least else emotion for emotion, n in found.items()]
            notes.append(f"{name}: {words.format(', '.join(named))}")
    return notes


# Split, fewest and most pictures of a class, and what is said of all such classes of a dataset in one line.
THIN = (
    ("train", 0, 0, "no training picture of {}; a network trained on this dataset alone cannot learn that"),
    ("train", 1, 1, "a single training picture of {}; a network can only memorise it"),
    ("val", 0, 9, "few validation pictures of {}; scores that choose the epoch are noisy"),
    ("test", 0, 0, "no test picture of {}; metrics of that are NaN, macro averages skip it"),
)
