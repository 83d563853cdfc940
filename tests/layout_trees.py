"""Small trees of datasets as their owners ship them, and what holds for every listing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fer.columns.files import LISTED
from fer.data.readers import REJECTED_COLUMNS, Listing, read_dataset
from fer.settings.settings import EMOTIONS, DatasetRow
from utils import InputError

LABEL = {emotion: label for label, emotion in enumerate(EMOTIONS)}


def row_of(layout: str, **values: Any) -> DatasetRow:
    return DatasetRow(
        **{"path": "unused", "layout": layout, "faces": "box" if layout == "expw" else "cropped", **values}
    )


def touch(root: Path, *paths: str) -> Path:
    """Readers open no picture, so empty files do."""
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).touch()
    return root


def write(file: Path, *lines: str) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes("\n".join(lines).encode())
    return file


def read(root: Path, layout: str, **values: Any) -> Listing:
    """Read and check what holds for every listing."""
    row = row_of(layout, **values)
    listing = read_dataset("name", row, root)
    samples, rejected = listing.samples, listing.rejected
    assert tuple(samples.columns) in (LISTED, (*LISTED, "shares"))
    assert list(rejected.columns) == REJECTED_COLUMNS
    assert list(samples.index) == list(range(len(samples)))
    assert samples["sample_id"].is_unique
    assert samples["sample_id"].to_list() == sorted(samples["sample_id"])
    assert all(a.startswith(f"name/{b}") for a, b in zip(samples["sample_id"], samples["path"], strict=True))
    assert samples["label"].dtype == np.int64
    assert set(samples["label"]) <= set(range(8 if row.keeps_contempt else 7))
    assert set(samples["split"]) <= {"train", "val", "test", ""}
    assert set(rejected["step"]) <= {"in file", "confidence"}
    assert (rejected["reason"] != "").all()
    assert all(note.startswith("name: ") for note in listing.notes)
    return listing


def by_name(listing: Listing) -> dict[str, dict[str, Any]]:
    rows = listing.samples.to_dict("records")
    return {str(row["path"]).rpartition("/")[2]: row for row in rows}


def problem(root: Path, layout: str, **values: Any) -> str:
    with pytest.raises(InputError) as caught:
        read_dataset("name", row_of(layout, **values), root)
    assert len(caught.value.problems) == 1
    return str(caught.value)


def reasons(listing: Listing) -> str:
    return "\n".join(listing.rejected["reason"])
