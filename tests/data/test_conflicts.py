"""Promises about conflicting labels of identical training pictures."""

from __future__ import annotations

import pandas as pd
import pytest

from fer.data.copies import settle_conflicts
from utils import InputError

# name, face, label, split: two against one; a tie; agreement; a conflict that only testing sees.
ROWS = pd.DataFrame(
    [
        ("m1", "aa", 4, "train"), ("m2", "aa", 2, "train"), ("m3", "aa", 4, "train"), ("v1", "aa", 1, "val"),
        ("t1", "bb", 0, "train"), ("t2", "bb", 1, "train"),
        ("s1", "cc", 3, "train"), ("s2", "cc", 3, "train"),
        ("x1", "dd", 5, "train"), ("x2", "dd", 6, "test"), ("x3", "dd", 5, "test"),
        ("b1", "ee:1,1,9,9", 0, "train"), ("b2", "ee:5,1,9,9", 1, "train"),
    ],
    columns=["sample_id", "face", "label", "split"],
).set_index(pd.Index(range(100, 113)))  # fmt: skip
UNTOUCHED = ["v1", "s1", "s2", "x1", "x2", "x3", "b1", "b2"]


def test_keep_changes_nothing() -> None:
    rows, removed, relabelled = settle_conflicts(ROWS, "keep")
    pd.testing.assert_frame_equal(rows, ROWS)
    assert len(removed) == len(relabelled) == 0


def test_drop_removes_every_copy_in_training_only() -> None:
    rows, removed, relabelled = settle_conflicts(ROWS, "drop")
    pd.testing.assert_frame_equal(rows, ROWS[ROWS["sample_id"].isin(UNTOUCHED)])
    assert removed["sample_id"].tolist() == ["m1", "m2", "m3", "t1", "t2"]
    assert set(removed["step"]) == {"conflicts"}
    assert removed["reason"].iloc[0] == "identical pictures are labelled 2 x sad, 1 x fear"
    assert len(relabelled) == 0


def test_majority_relabels_and_drops_ties() -> None:
    rows, removed, relabelled = settle_conflicts(ROWS, "majority")
    assert removed["sample_id"].tolist() == ["t1", "t2"]
    assert relabelled.to_dict("records") == [{"sample_id": "m2", "delivered": 2, "label": 4}]
    labels = dict(zip(rows["sample_id"], rows["label"], strict=True))
    before = dict(zip(ROWS["sample_id"], ROWS["label"], strict=True))
    assert labels == {name: before[name] for name in ("m1", "m3", *UNTOUCHED)} | {"m2": 4}
    assert rows["label"].dtype == ROWS["label"].dtype


@pytest.mark.parametrize("policy", ["keep", "drop", "majority"])
def test_a_table_without_conflicts_stays_as_it_is(policy: str) -> None:
    calm = ROWS[ROWS["sample_id"].isin(UNTOUCHED)]
    rows, removed, relabelled = settle_conflicts(calm, policy)
    pd.testing.assert_frame_equal(rows, calm)
    assert len(removed) == len(relabelled) == 0
    assert settle_conflicts(calm.iloc[:0], policy).rows.empty


def test_an_unknown_policy_names_the_valid_ones() -> None:
    with pytest.raises(InputError, match="keep, drop, majority"):
        settle_conflicts(ROWS, "vote")
