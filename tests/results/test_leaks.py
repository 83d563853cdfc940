"""Promises about copies among test pictures: as delivered, by picture and not by face, in folds, and near ones."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from fer.results.leaks import Copies
from utils import InputError


def write_dataset(
    output: Path, name: str, used: list[tuple[str, str]], left: list[tuple[str, str, str]] | None = None
) -> None:
    """`used`: (split, face) of each row, named name/0, name/1 …; `left`: (step, split, face) of rejected rows."""
    folder = output / "samples"
    folder.mkdir(exist_ok=True)
    rows = [{"sample_id": f"{name}/{i}", "split": split, "face": face} for i, (split, face) in enumerate(used)]
    rejected = pd.DataFrame(left or [], columns=["step", "split", "face"])
    rejected["sample_id"] = [f"{name}/left{number}" for number in range(len(rejected))]
    for part, table in (("samples", pd.DataFrame(rows)), ("rejected", rejected)):
        table = table.assign(content=[face.partition(":")[0] for face in table["face"]])
        table.to_csv(folder / f"{name}_{part}.csv", index=False)


def identical(output: Path, train_on: tuple[str, ...], tested: str) -> frozenset[str]:
    return Copies(output).find(train_on, tested).identical


@pytest.fixture
def output(tmp_path: Path) -> Path:
    write_dataset(
        tmp_path,
        "one",
        [("train", "a"), ("val", "b"), *(("test", content) for content in "acdebf")],
        [("copies", "train", "c"), ("copies", "val", "d"), ("limit", "train", "e"), ("readable", "train", ""),
         ("limit", "test", "f")],
    )  # fmt: skip
    write_dataset(tmp_path, "two", [("train", "d"), ("test", "a"), ("test", "z")])
    return tmp_path


def test_every_row_that_is_no_test_row_as_delivered_counts(output: Path) -> None:
    """Training and validation, in use or not: "f" stands in test rows alone."""
    assert identical(output, ("one",), "one") == {f"one/{number}" for number in (2, 3, 4, 5, 6)}


def test_copies_across_datasets(output: Path) -> None:
    assert identical(output, ("two",), "one") == {"one/4"}
    assert identical(output, ("one", "two"), "two") == {"two/1"}


def test_a_picture_is_the_same_with_and_without_a_box(output: Path) -> None:
    """A dataset that gives boxes may hold whole pictures of another as its photos, or two faces of one photo."""
    write_dataset(
        output, "wild", [("train", "a:1,1,9,9"), ("val", "z:0,0,5,5"), ("test", "a:5,1,9,9"), ("test", "q:1")]
    )
    assert identical(output, ("wild",), "two") == {"two/1", "two/2"}
    assert identical(output, ("two",), "wild") == frozenset()
    assert identical(output, ("wild",), "wild") == {"wild/2"}
    for part in ("samples", "rejected"):  # versions before this one kept both columns in one
        path = output / "samples" / f"wild_{part}.csv"
        table = pd.read_csv(path)
        table.assign(content=table["face"]).drop(columns="face").to_csv(path, index=False)
    assert identical(output, ("wild",), "two") == {"two/1", "two/2"}


def test_folds_count_by_their_own_test_rows(output: Path) -> None:
    """Rows the limit left out stand in no fold; the others that are not tested are trained or validated on."""
    found = Copies(output).find(("one",), "one", held_out=["one/0", "one/1", "one/5", "one/7"])
    assert found.identical == {"one/0", "one/1"}
    assert Copies(output).find(("one",), "one", [f"one/{number}" for number in (0, 2)]).identical == frozenset()


def test_near_copies_are_those_of_the_rest_beside_rows_in_use(output: Path) -> None:
    assert Copies(output).find(("one",), "one").near is None, "no audit"
    write_dataset(output, "near", [("train", "k"), ("val", "l"), *(("test", content) for content in "mnnko")])
    pairs = [("near/0", "near/2"), ("near/3", "near/1"), ("near/5", "near/2"), ("near/6", "near/2")]
    table = pd.DataFrame(pairs, columns=["left", "right"]).assign(dataset_left="near", dataset_right="near")
    (output / "audit").mkdir()
    table.to_csv(output / "audit" / "near_pairs.csv", index=False)
    (output / "audit" / "audit.json").write_text('{"key": "one", "datasets": {"near": {}}}')
    found = Copies(output).find(("near",), "near")
    assert found.identical == {"near/5"}
    assert found.near == {"near/2", "near/3", "near/4"}
    before = Copies(output).find(("near", "two"), "near")
    assert before.near is None, "a network that learnt from a dataset that was not audited"
    (output / "audit" / "near_pairs.csv").write_text("left\nnobody\n")
    with pytest.raises(InputError, match=r"near_pairs\.csv"):
        Copies(output).find(("near",), "near")


def test_a_dataset_with_a_plus_in_its_name_is_no_union(output: Path) -> None:
    write_dataset(output, "c+k", [("train", "q"), ("test", "q")])
    assert identical(output, ("c+k",), "c+k") == {"c+k/1"}


def test_damaged_or_missing_tables_are_named(output: Path) -> None:
    (output / "samples" / "two_rejected.csv").write_text("step,reason\n")
    with pytest.raises(InputError, match=r"two_rejected\.csv"):
        identical(output, ("two",), "one")
    with pytest.raises(InputError, match=r"gone_samples\.csv"):
        identical(output, ("gone",), "one")


def test_stamp_follows_the_samples_tables_and_tells_when_they_are_not_whole(output: Path) -> None:
    marker = output / "samples" / "one_samples.json"
    assert not Copies(output).known(["one"])
    marker.write_text('{"key": "first"}')
    first = Copies(output).stamp(["one"])
    assert Copies(output).known(["one"])
    marker.write_text('{"key": "second"}')
    assert Copies(output).stamp(["one"]) != first
