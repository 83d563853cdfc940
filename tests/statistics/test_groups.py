"""Promises about groups: read as shipped, never guessed; own numbers each; a handful of rows is not the worst."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fer.audit.audit import audit_or_report
from fer.columns.files import GROUP
from fer.data.attributes import read_rafdb_attributes, write_attributes
from fer.data.samples import load_samples
from fer.settings.settings import Settings
from fer.statistics.groups import groupings, missing_facts, quantile_bins, read_row_facts, results_by_group
from utils import InputError

LANDMARKS = "48.6\t40.1\n70.2\t41\n60\t52.5\n50\t66\n69\t66\n"


def annotate(root: Path, stem: str, attributes: str = "0\n1\n2\n", landmarks: str = LANDMARKS) -> None:
    folder = root / "Annotation" / "manual"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{stem}_manu_attri.txt").write_text(landmarks + attributes)


# ---------------------------------------------------------------- attributes


def test_rafdb_attributes_in_words(tmp_path: Path) -> None:
    annotate(tmp_path, "train_00001", "1\n0\n4\n")
    annotate(tmp_path, "test_0001", "2\n2\n0")
    rows = read_rafdb_attributes(tmp_path).to_dict("records")
    assert rows == [
        {"stem": "test_0001", "gender": "unsure", "race": "Asian", "age": "0-3"},
        {"stem": "train_00001", "gender": "female", "race": "Caucasian", "age": "70+"},
    ]


@pytest.mark.parametrize(
    ("attributes", "landmarks", "said"),
    [
        ("0\n3\n1\n", LANDMARKS, "race = '3', expected 0 to 2"),
        ("0\n1\n", LANDMARKS, "found 7 lines"),
        ("0\n1\n-1\n", LANDMARKS, "age = '-1'"),
        ("0\n1\n2\n", LANDMARKS.replace("\t41", ""), "5 lines 'x y'"),
    ],
)
def test_another_file_is_refused(tmp_path: Path, attributes: str, landmarks: str, said: str) -> None:
    annotate(tmp_path, "test_0001")
    annotate(tmp_path, "test_0002", attributes, landmarks)
    with pytest.raises(InputError, match="test_0002_manu_attri") as caught:
        read_rafdb_attributes(tmp_path)
    assert said in str(caught.value)


def test_attributes_go_to_their_samples(tmp_path: Path) -> None:
    annotate(tmp_path / "raf" / "basic", "test_0001")
    samples = pd.DataFrame({
        "sample_id": ["raf/a", "raf/b"],
        "path": ["basic/Image/aligned/test_0001_aligned.jpg", "basic/Image/aligned/test_0002_aligned.jpg"],
    })  # fmt: skip
    path = write_attributes(tmp_path, "raf", tmp_path / "raf", samples)
    assert path is not None
    assert path.read_text().splitlines() == [
        "sample_id,gender,race,age",
        "raf/a,male,African-American,20-39",
        "raf/b,,,",
    ]
    before = path.stat().st_mtime_ns
    write_attributes(tmp_path, "raf", tmp_path / "raf", samples)
    assert path.stat().st_mtime_ns == before
    write_attributes(tmp_path, "raf", tmp_path / "raf", samples[1:])
    assert path.read_text().splitlines()[1:] == ["raf/b,,,"]


@pytest.mark.parametrize("change", ["another format", "no longer there"])
def test_attributes_that_cannot_be_read_any_more_make_no_groups(tmp_path: Path, change: str) -> None:
    """Whatever was read before: the table of it is gone, and the study goes on with a warning."""
    root = tmp_path / "raf"
    annotate(root / "basic", "test_0001")
    samples = pd.DataFrame({"sample_id": ["raf/a"], "path": ["basic/Image/aligned/test_0001_aligned.jpg"]})
    path = write_attributes(tmp_path, "raf", root, samples)
    assert path is not None
    annotations = root / "basic/Annotation/manual"
    if change == "another format":
        os.utime(path, (0, 10**9))  # the file is written in place: its folder keeps its time
        os.utime(annotations, (0, 10**8))
        (annotations / "test_0001_manu_attri.txt").write_text("age: 31\n")
        with pytest.raises(InputError, match="found 1 lines"):
            write_attributes(tmp_path, "raf", root, samples)
    else:
        shutil.rmtree(annotations)
        assert write_attributes(tmp_path, "raf", root, samples) is None
    assert not path.exists()


@pytest.mark.slow
def test_an_unknown_format_of_attributes_is_a_warning(
    tiny_settings: Callable[..., Settings], caplog: pytest.LogCaptureFixture
) -> None:
    settings = tiny_settings()
    data = load_samples("alpha", settings)
    (data.root / "Annotation/manual").mkdir(parents=True)
    annotate(data.root, "happy_000", "age: 31\n")
    assert audit_or_report({"alpha": data}, settings) is not None
    found = [(record.levelname, record.getMessage()) for record in caplog.records]
    said = list(dict.fromkeys(one for one in found if "attributes" in one[1]))
    assert [level for level, _ in said] == ["WARNING"]
    assert "happy_000_manu_attri.txt" in said[0][1]
    assert "happy_000_manu_attri.txt" in (settings.output_path / "audit/left_out.json").read_text()
    assert "Traceback" not in (settings.output_path / "audit/failed.txt").read_text()


def test_a_dataset_without_attributes_gets_none(tmp_path: Path) -> None:
    assert write_attributes(tmp_path, "plain", tmp_path, pd.DataFrame({"sample_id": [], "path": []})) is None
    assert not (tmp_path / "samples").exists()
    with pytest.raises(InputError, match="Kaggle"):
        read_rafdb_attributes(tmp_path)


# ---------------------------------------------------------------- rows


@pytest.fixture
def output(tmp_path: Path) -> Path:
    """Samples of a dataset, their quality and their attributes, in different order."""
    (tmp_path / "samples").mkdir()
    (tmp_path / "audit").mkdir()
    samples = {"sample_id": ["w/a", "w/b", "w/c"], "group": [0, 0, 1], "width": [48, 60, 80], "height": [50, 50, 90]}
    quality = {"sample_id": ["w/c", "w/a"], "brightness": [120.0, 90], "sharpness": [3.5, 1], "flag": ["", "dark"]}
    attributes = {"sample_id": ["w/b", "w/a", "w/c"], "gender": ["male", "", "female"]}
    pd.DataFrame(samples).to_csv(tmp_path / "samples" / "w_samples.csv", index=False)
    pd.DataFrame(quality).to_csv(tmp_path / "audit" / "w_quality.csv", index=False)
    pd.DataFrame(attributes).to_csv(tmp_path / "samples" / "w_attributes.csv", index=False)
    return tmp_path


def test_what_is_known_of_each_row(output: Path) -> None:
    facts = read_row_facts(output, "w")
    assert facts["face_size"].tolist() == [48, 50, 80]
    assert facts.loc["w/c", "brightness"] == 120
    assert np.isnan(facts.loc["w/b", "sharpness"])
    assert facts["gender"].tolist() == ["", "male", "female"]
    assert missing_facts(output, "w") == []


def test_what_is_not_there_is_said(output: Path) -> None:
    (output / "audit" / "w_quality.csv").unlink()
    assert list(read_row_facts(output, "w")) == ["group", "face_size", "gender"]
    assert ["brightness" in note for note in missing_facts(output, "w")] == [True]


def test_a_damaged_table_is_named(output: Path) -> None:
    (output / "audit" / "w_quality.csv").write_text("sample_id,brightness\nw/a,1\n")
    with pytest.raises(InputError, match=r"w_quality\.csv"):
        read_row_facts(output, "w")


# ---------------------------------------------------------------- groups


def test_bins_hold_about_equally_many_rows_in_order() -> None:
    values = pd.Series(np.arange(100.0), index=[f"id{i}" for i in range(100)])
    values.iloc[7] = np.nan
    groups = quantile_bins(values)
    assert groups.iloc[7] == ""
    assert groups[groups != ""].value_counts().between(24, 26).all()
    assert groups["id0"] == "0 to 25"


def test_one_size_for_all_is_no_grouping() -> None:
    facts = pd.DataFrame({"group": [1, 2], "face_size": [48, 48], "gender": ["male", "female"]})
    assert [name for name, _ in groupings(facts)] == ["gender"]


def test_each_group_has_its_own_numbers() -> None:
    groups = pd.Series(["male"] * 40 + ["female"] * 60 + ["unsure"] * 5 + [""] * 10)
    labels = np.zeros(115, dtype=int)
    predicted = np.repeat([0, 1, 0, 1, 1, 0], [30, 10, 54, 6, 5, 10])
    rows = {row["group"]: row for row in results_by_group("gender", groups, labels, predicted)}
    assert set(rows) == {"male", "female", "unsure"}
    assert set(rows["male"]) == set(GROUP)
    assert (rows["male"]["n"], rows["male"]["accuracy"]) == (40, 0.75)
    assert rows["male"]["low"] < 0.75 < rows["male"]["high"]
    assert rows["male"]["gap"] == pytest.approx(0.75 - 0.9)
    assert rows["male"]["gap_low"] < 0.75 - 0.9 < rows["male"]["gap_high"]
    assert (rows["female"]["gap"], rows["female"]["is_worst"]) == (0, False)
    # Five rows, all wrong: bad luck as well as anything else.
    assert [name for name, row in rows.items() if row["is_worst"]] == ["male"]


def test_groups_come_in_the_order_of_their_numbers() -> None:
    ages = pd.Series(["70+", "4-19", "0-3", "20-39"])
    rows = results_by_group("age", ages, np.zeros(4, dtype=int), np.zeros(4, dtype=int))
    assert [row["group"] for row in rows] == ["0-3", "4-19", "20-39", "70+"]
    assert np.isnan(rows[0]["gap"])
