"""Test pictures that also stand in the training data: which are copies, and which of the others have a near copy.

A test row is a copy, for a training, when its source picture stands in a row of that training's datasets which is no
test row: of training or of validation, which chooses the epoch, "as delivered", so also when it left before the
training began (see data/copies.py). A network trained without the copies is then scored on the same two parts of the
test set as one that saw them. Rows that LIMIT_PER_SPLIT left out count in the splits a study starts from; neither
they nor what left before them stand in a fold, and count in none.

Found in the samples tables and the audit a study leaves on disk, so neither pictures nor settings are needed.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from fer.data.copies import NEAR_GROUP, is_in
from fer.data.samples import read_samples, stands_in_folds
from fer.data.whole_sets import dataset_of, is_whole
from utils import InputError, read_csv, read_json


class TestCopies(NamedTuple):
    """`identical`: sample_id of the test rows that are copies; `near`: of those among the others with a near copy in
    the rows in use that are no test rows, or None where no audit tells of all these datasets."""

    identical: frozenset[str]
    near: frozenset[str] | None


@dataclass
class Copies:
    """Which test rows of a study are copies; each table is read at most once, and only when asked for."""

    output: Path
    _tables: dict[str, pd.DataFrame] = field(default_factory=dict)
    _keys: dict[str, str | None] = field(default_factory=dict)
    _pairs: pd.DataFrame | None = None
    _found: dict[tuple[tuple[str, ...], str, frozenset[str] | None], TestCopies] = field(default_factory=dict)

    def stamp(self, names: Iterable[str]) -> list[Any]:
        """Changes with the samples tables of these datasets or the audit; None for a table that is not there whole."""
        return [self._key("audit/audit.json"), *(self._key(f"samples/{name}_samples.json") for name in names)]

    def known(self, names: Iterable[str]) -> bool:
        """True when the samples tables of all these datasets are there whole."""
        return None not in self.stamp(names)[1:]

    def find(self, train_on: Iterable[str], tested: str, held_out: Iterable[str] | None = None) -> TestCopies:
        """The copies among the test rows of the dataset `tested`, for a training on `train_on`.

        `held_out`: sample_id of the test rows of all these datasets in a fold; None for the splits the samples tables
        tell. Raises InputError when a table is damaged or older than its columns.
        """
        key = (tuple(train_on), tested, None if held_out is None else frozenset(held_out))
        if key not in self._found:  # every network, seed and policy asks for the same
            self._found[key] = self._find(*key)
        return self._found[key]

    def _find(self, train_on: tuple[str, ...], tested: str, held_out: frozenset[str] | None) -> TestCopies:
        known = {name: self._rows(name, held_out) for name in dict.fromkeys([*train_on, dataset_of(tested)])}
        seen = pd.concat([known[name][~known[name]["is_test"]] for name in train_on])
        tests = known[dataset_of(tested)]
        tests = tests if is_whole(tested) else tests[tests["is_test"]]
        copied = is_in(tests, seen)
        near = self._near(tests[~copied], seen) if self._audited >= {*train_on, dataset_of(tested)} else None
        return TestCopies(frozenset(tests.loc[copied, "sample_id"]), near)

    def _near(self, tests: pd.DataFrame, seen: pd.DataFrame) -> frozenset[str]:
        """The audit names one row for all that show its face: `left` and `right` stand for their `face`.

        Near copies that left training ("drop_near") are told by `near_group`: a training without them is scored on the
        same part of the test set as one with them.
        """
        pairs = self._near_pairs()
        partners = pd.concat([pairs, pairs.rename(columns={"left": "right", "right": "left"})])
        beside = partners.loc[partners["right"].isin(set(seen.loc[seen["in_use"], "face"])), "left"]
        near = tests["face"].isin(set(beside)) | ((tests[NEAR_GROUP] != "") & is_in(tests, seen, NEAR_GROUP))
        return frozenset(tests.loc[near, "sample_id"])

    @cached_property
    def _audited(self) -> set[str]:
        """The datasets the audit looked at: the active ones, so not all that a network may have learnt from before."""
        if self._key("audit/audit.json") is None:
            return set()
        return set(read_json(self.output / "audit" / "audit.json").get("datasets", ()))

    def _near_pairs(self) -> pd.DataFrame:
        """`left`, `right`: each two faces that are near copies."""
        if self._pairs is None:
            path = self.output / "audit" / "near_pairs.csv"
            try:
                pairs = read_csv(path, ["left", "right", "dataset_left", "dataset_right"])
                names = sorted({*pairs["dataset_left"], *pairs["dataset_right"]})
                rows = [self._delivered(name)[["sample_id", "face"]] for name in names]
                face = pd.concat(rows).set_index("sample_id")["face"] if rows else pd.Series(dtype=str)
                self._pairs = pd.DataFrame({side: face[pairs[side]].to_numpy() for side in ("left", "right")})
            except (OSError, ValueError, KeyError) as error:
                raise InputError(f"{path} is damaged or older ({error}). Run main.py: it is written again.") from error
        return self._pairs

    def _rows(self, name: str, held_out: frozenset[str] | None) -> pd.DataFrame:
        """Rows as delivered: sample_id, content, face, near_group, in_use, and is_test in this fold."""
        rows = self._delivered(name)
        if held_out is None:
            return rows.assign(is_test=rows["split"] == "test")
        rows = rows[stands_in_folds(rows["step"])]
        return rows.assign(is_test=rows["sample_id"].isin(held_out))

    def _delivered(self, name: str) -> pd.DataFrame:
        """Every readable row: sample_id, split, content, face, near_group, in_use, and its step ("" in use)."""
        if name not in self._tables:
            columns = ["sample_id", "split", "content", "face", NEAR_GROUP]
            used = self._table(f"{name}_samples.csv", columns).assign(step="", in_use=True)
            left = self._table(f"{name}_rejected.csv", [*columns, "step"]).assign(in_use=False)
            self._tables[name] = pd.concat([used, left[left["content"] != ""]], ignore_index=True)
        return self._tables[name]

    def _table(self, file: str, columns: list[str]) -> pd.DataFrame:
        path = self.output / "samples" / file
        try:
            table = read_samples(path)
            return (table if NEAR_GROUP in table else table.assign(**{NEAR_GROUP: ""}))[columns]
        except (OSError, ValueError, KeyError) as error:
            raise InputError(f"{path} is damaged or older ({error}). Run main.py: it is written again.") from error

    def _key(self, marker: str) -> str | None:
        if marker not in self._keys:
            try:
                self._keys[marker] = str(read_json(self.output / marker)["key"])
            except (OSError, ValueError, KeyError, TypeError):
                self._keys[marker] = None  # being written, or never was: not known
        return self._keys[marker]


def parts_of(output: Path, test_on: str) -> tuple[str, ...]:
    """Datasets a test set holds: itself, the dataset of `<dataset>@all`, or the parts of a union "a+b"."""
    test_on = dataset_of(test_on)
    if (output / "samples" / f"{test_on}_samples.csv").is_file():
        return (test_on,)
    return tuple(test_on.split("+"))
