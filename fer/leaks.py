"""Test pictures that also stand in training: identical pixels in the training data as its owner delivered it.

Found by `content` in the samples tables a study leaves on disk, so neither pictures nor settings are needed.
"As delivered" means with the copies that left training before it began: a network trained without them can
be scored on the same two parts of the test set as one that saw them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from fer.samples import read_samples
from utils import InputError, read_json


@dataclass
class Copies:
    """Which test rows of a study are copies; each samples table is read at most once, and only when asked for."""

    output: Path
    _tables: dict[str, tuple[frozenset[str], pd.Series]] = field(default_factory=dict)
    _keys: dict[str, str | None] = field(default_factory=dict)

    def stamp(self, names: Iterable[str]) -> list[Any]:
        """Changes with the samples tables of these datasets; None for one that is not there whole."""
        return [self._keys[name] if name in self._keys else self._key(name) for name in names]

    def known(self, names: Iterable[str]) -> bool:
        """True when the samples tables of all these datasets are there whole."""
        return None not in self.stamp(names)

    def ids(self, train_on: Iterable[str], tested: Iterable[str]) -> frozenset[str]:
        """`sample_id` of the test rows of `tested` whose picture stands in the training data of `train_on`.

        Raises InputError when a samples table is damaged or older than its column `content`.
        """
        contents = frozenset[str]().union(*(self._read(name)[0] for name in train_on))
        found: set[str] = set()
        for name in tested:
            tests = self._read(name)[1]
            found |= set(tests.index[tests.isin(contents)])
        return frozenset(found)

    def _key(self, name: str) -> str | None:
        marker = self.output / "samples" / f"{name}_samples.json"
        try:
            self._keys[name] = str(read_json(marker)["key"])
        except (OSError, ValueError, KeyError, TypeError):
            self._keys[name] = None  # being written, or never was: the copies are not known
        return self._keys[name]

    def _read(self, name: str) -> tuple[frozenset[str], pd.Series]:
        """Contents of the training rows as delivered, and content of each test row by `sample_id`."""
        if name not in self._tables:
            used = self._table(f"{name}_samples.csv", ["sample_id", "split", "content"])
            left = self._table(f"{name}_rejected.csv", ["step", "split", "content"])
            contents = [used.loc[used["split"] == "train", "content"]]
            contents.append(left.loc[(left["step"] == "copies") & (left["split"] == "train"), "content"])
            tests = used[used["split"] == "test"].set_index("sample_id")["content"]
            self._tables[name] = frozenset(pd.concat(contents)) - {""}, tests
        return self._tables[name]

    def _table(self, file: str, columns: list[str]) -> pd.DataFrame:
        path = self.output / "samples" / file
        try:
            return read_samples(path)[columns]
        except (OSError, ValueError, KeyError) as error:
            raise InputError(f"{path} is damaged or older ({error}). Run main.py: it is written again.") from error


def copied_ids(output: Path, train_on: tuple[str, ...], test_on: str) -> frozenset[str]:
    """`sample_id` of the test rows of `test_on` (a dataset, or a union "a+b") that have a copy in training.

    Training: the rows in use of the datasets `train_on`, and those that left training as copies.
    Raises InputError when a samples table is damaged.
    """
    return Copies(output).ids(train_on, parts_of(output, test_on))


def parts_of(output: Path, test_on: str) -> tuple[str, ...]:
    """Datasets a test set holds: itself, or the parts of a union "a+b"."""
    if (output / "samples" / f"{test_on}_samples.csv").is_file():
        return (test_on,)
    return tuple(test_on.split("+"))
