"""Promises about copies: identical pictures are found as delivered, in unions too, and damage is named."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from fer.leaks import Copies, copied_ids
from utils import InputError


def write_dataset(
    output: Path, name: str, used: list[tuple[str, str]], left: list[tuple[str, str, str]] | None = None
) -> None:
    """`used`: (split, content) of each row, named name/0, name/1 …; `left`: (step, split, content) of rejected rows."""
    folder = output / "samples"
    folder.mkdir(exist_ok=True)
    rows = [{"sample_id": f"{name}/{i}", "split": split, "content": content} for i, (split, content) in enumerate(used)]
    pd.DataFrame(rows).to_csv(folder / f"{name}_samples.csv", index=False)
    rejected = pd.DataFrame(left or [], columns=["step", "split", "content"])
    rejected.to_csv(folder / f"{name}_rejected.csv", index=False)


@pytest.fixture
def output(tmp_path: Path) -> Path:
    write_dataset(
        tmp_path,
        "one",
        [("train", "a"), ("val", "b"), ("test", "a"), ("test", "c"), ("test", "d"), ("test", "e"), ("test", "b")],
        [("copies", "train", "c"), ("copies", "val", "d"), ("limit", "train", "e"), ("readable", "train", "")],
    )
    write_dataset(tmp_path, "two", [("train", "d"), ("test", "a"), ("test", "z")])
    return tmp_path


def test_copies_are_those_in_use_and_those_that_left_training_as_copies(output: Path) -> None:
    assert copied_ids(output, ("one",), "one") == {"one/2", "one/3"}


def test_copies_across_datasets_and_in_unions(output: Path) -> None:
    assert copied_ids(output, ("two",), "one") == {"one/4"}
    assert copied_ids(output, ("one", "two"), "one+two") == {"one/2", "one/3", "one/4", "two/1"}


def test_a_dataset_with_a_plus_in_its_name_is_no_union(output: Path) -> None:
    write_dataset(output, "c+k", [("train", "q"), ("test", "q")])
    assert copied_ids(output, ("c+k",), "c+k") == {"c+k/1"}


def test_damaged_or_missing_tables_are_named(output: Path) -> None:
    (output / "samples" / "two_rejected.csv").write_text("step,reason\n")
    with pytest.raises(InputError, match=r"two_rejected\.csv"):
        copied_ids(output, ("two",), "one")
    with pytest.raises(InputError, match=r"gone_samples\.csv"):
        copied_ids(output, ("gone",), "one")


def test_stamp_follows_the_samples_tables_and_tells_when_they_are_not_whole(output: Path) -> None:
    marker = output / "samples" / "one_samples.json"
    assert not Copies(output).known(["one"])
    marker.write_text('{"key": "first"}')
    first = Copies(output).stamp(["one"])
    assert Copies(output).known(["one"])
    marker.write_text('{"key": "second"}')
    assert Copies(output).stamp(["one"]) != first
