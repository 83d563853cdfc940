"""What `--check` says of the datasets: where each was looked for, what was found there, and what is missing."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from rich.table import Table

from fer.data.readers import Listing, missing_datasets, read_dataset
from fer.data.rejections import rejection_notes
from fer.layouts.emotions import ALL_EMOTIONS, CONTEMPT, EMOTIONS, classes_among
from fer.layouts.known_datasets import KNOWN_DATASETS, known_counts
from fer.settings.settings import DatasetRow
from utils import InputError

if TYPE_CHECKING:
    from rich.console import Console


def check_datasets(
    console: Console, active: dict[str, tuple[DatasetRow, Path]]
) -> tuple[dict[str, Listing], list[str]]:
    """Print what lies in the folder of every active dataset; returns what was read, and what is to mend."""
    listings: dict[str, Listing] = {}
    problems: list[str] = []
    for name, (row, root) in active.items():
        if row.sample and not root.exists():
            console.print(f"{name}: sample faces, not drawn yet; the first run draws them")
            continue
        absent = missing_datasets({name: (row, root)})
        if absent:
            problems += absent
            state = "there, but not as a dataset of its layout" if holds_something(root) else "not there"
            console.print(f"{name}: looked for in {root}: {state}{_size(row)}", highlight=False)
            continue
        try:
            listings[name] = read_dataset(name, row, root)
        except InputError as error:
            problems += error.problems
            console.print(f"{name}: looked for in {root}: there, but it cannot be used{_size(row)}", highlight=False)
            continue
        _print_dataset(console, name, row, root, listings[name])
    return listings, problems


def known_labels(row: DatasetRow) -> np.ndarray:
    """int64 [N]: the label of every face that a whole copy is known to hold; empty where that is not known."""
    counts = None if row.sample else known_counts(row.layout)
    per_class = np.array([[of[emotion] for emotion in EMOTIONS] for of in (counts or {}).values()], int)
    return np.repeat(np.arange(len(EMOTIONS)), per_class.reshape(-1, len(EMOTIONS)).sum(0))


def holds_something(root: Path) -> bool:
    """Whether there is a file there, or a folder that is not empty."""
    return root.exists() and not (root.is_dir() and next(root.iterdir(), None) is None)


def _size(row: DatasetRow) -> str:
    """How large a whole copy is, as far as that is known."""
    known = None if row.sample else KNOWN_DATASETS.get(row.layout)
    if known is None:
        return ""
    disk = f"{known.megabytes} MB" if known.megabytes else "size unknown"
    faces = len(known_labels(row))
    return f"; a whole copy: {f'{faces:,} faces' if faces else 'number of faces unknown'}, {disk}"


def _print_dataset(console: Console, name: str, row: DatasetRow, root: Path, listing: Listing) -> None:
    """Pictures per official split and class, and below those that differ the known ones."""
    console.print(f"{name}: looked for in {root}", highlight=False)
    counts = pd.crosstab(listing.samples["split"], listing.samples["label"])
    known, names = listing.expected_counts or {}, classes_among(listing.samples["label"].to_numpy())
    names = ALL_EMOTIONS if any(CONTEMPT in of for of in known.values()) else names
    counts = counts.reindex(columns=range(len(names)), fill_value=0)
    splits = [*counts.index, *(split for split in known if split not in counts.index)]
    found = {split: counts.loc[split].tolist() if split in counts.index else [0] * len(names) for split in splits}
    expected = {split: [known[split].get(emotion, 0) for emotion in names] for split in known}
    words = [
        *([f"role {row.role}"] if row.role != "train" else []),
        *(["sample data"] if row.sample else []),
        *(["all counts as known"] if found == expected else []),
    ]
    table = Table(title=", ".join([f"{name}: layout {listing.layout}, {len(listing.samples)} faces", *words]))
    for column in ("official split", *names):
        table.add_column(column, justify="left" if column == "official split" else "right")
    for split in splits:
        table.add_row(split or "none", *map(str, found[split]))
        if split in known and found[split] != expected[split]:
            table.add_row("  known", *map(str, expected[split]), style="dim")
    console.print(table if (listing.samples["label"] >= 0).any() else table.title)
    below = int((listing.rejected["step"] == "confidence").sum())
    if below:
        console.print(f"  rejected: {below} below min_confidence")
    for note in [*listing.notes, *rejection_notes(listing.rejected, len(listing.samples) + len(listing.rejected))]:
        console.print(f"  note: {note}")
