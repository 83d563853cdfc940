"""A dataset as one large test set for networks that never saw it: `<dataset>@all`, where CROSS_TEST = "all".

All its rows in use, of every split. A row whose picture stands anywhere in the datasets a network was trained on is
left out for that network, so a score of `<dataset>@all` is one on pictures that are new to it. Like a union "a+b" it is
a test set of its own in every table, never mixed with the dataset's official test set.
"""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

from fer.data.copies import is_in
from fer.data.samples import DatasetSamples

MARK = "@all"  # no name of a dataset can hold it


def whole(name: str) -> str:
    """What a dataset is called as one test set."""
    return name + MARK


def is_whole(test_on: str) -> bool:
    """True for a name that `whole` made."""
    return test_on.endswith(MARK)


def dataset_of(test_on: str) -> str:
    """The dataset whose rows a test set holds (of a union: its name as it is)."""
    return test_on.removesuffix(MARK)


def unseen_rows(data: DatasetSamples, trained_on: Iterable[DatasetSamples]) -> pd.DataFrame:
    """The rows of `data` whose picture stands in none of the datasets `trained_on`, in any split, in use or not."""
    rows = data.samples
    for other in trained_on:
        rows = rows[~is_in(rows, other.readable)]
    return rows
