"""Promises about one's own datasets: class folders of any names or numbers, and any CSV with paths and labels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from layout_trees import LABEL, by_name, problem, read, reasons, row_of, touch, write

from fer.data.readers import find_layout
from fer.settings.settings import EMOTIONS, check_settings
from utils import InputError

# ---------------------------------------------------------------- class folders


def test_class_folders_by_a_map_of_names(tmp_path: Path) -> None:
    touch(tmp_path, "train/Wut/a.jpg", "train/freude/b.jpg", "train/sad/c.jpg", "train/contempt/d.jpg", "train/x/e.jpg")
    touch(tmp_path, "test/FREUDE/f.jpg")
    classes = {"wut": "angry", "Freude": "happy", "contempt": None}
    listing = read(tmp_path, "folders", classes=classes)
    rows = by_name(listing)
    assert [EMOTIONS[rows[f"{name}.jpg"]["label"]] for name in "abcf"] == ["angry", "happy", "sad", "happy"]
    assert set(rows) == {"a.jpg", "b.jpg", "c.jpg", "f.jpg"}
    assert "'contempt' is left out" in reasons(listing)
    assert "'x' is not one of" in reasons(listing)


@pytest.mark.parametrize("split", ["train/", ""])
def test_numbered_class_folders(tmp_path: Path, split: str) -> None:
    touch(tmp_path, *(f"{split}{number}/{number}.jpg" for number in range(1, 8)))
    order = ["surprise", "fear", "disgust", "happy", "sad", "angry", "neutral"]
    own = dict(enumerate(order, 1))
    for classes in ("rafdb", own):
        rows = by_name(read(tmp_path, "folders", classes=classes))
        assert [EMOTIONS[rows[f"{number}.jpg"]["label"]] for number in range(1, 8)] == order
    assert "does not have a layout" in problem(tmp_path, "folders")


def test_train_folders_are_training_pictures_whatever_their_split_folder(tmp_path: Path) -> None:
    touch(tmp_path, "dataset/train/happy/a.PNG", "dataset/test/feliz/b.jpg", "dataset/train/sad/.DS_Store")
    touch(tmp_path, "dataset/train/sad/c.webp", "dataset/train/grid/d.png", "dataset/train/sad/c.webp~")
    listing = read(tmp_path, "train_folders", classes={"feliz": "happy"})
    found = {row["path"]: (EMOTIONS[row["label"]], row["split"]) for row in listing.samples.to_dict("records")}
    assert found == {
        "dataset/train/happy/a.PNG": ("happy", "train"), "dataset/test/feliz/b.jpg": ("happy", "train"),
        "dataset/train/sad/c.webp": ("sad", "train"),
    }  # fmt: skip
    assert listing.rejected["path"].to_list() == ["dataset/train/grid/d.png"]
    assert any("no test set" in note for note in listing.notes)


def test_affectnets_numbers_leave_contempt_out(tmp_path: Path) -> None:
    touch(tmp_path, *(f"train/{number}/{number}.jpg" for number in range(8)), "test/0/x.jpg")
    listing = read(tmp_path, "folders", classes="affectnet")
    rows = by_name(listing)
    assert rows["6.jpg"]["label"] == LABEL["angry"]
    assert "7.jpg" not in rows
    assert "'7' is left out" in reasons(listing)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"classes": {"1": "joyful"}}, '"joyful" is not one of "angry"'),
        ({"classes": "raf"}, 'numbering: "rafdb"'),
        ({"table": "x.csv"}, '"table" belongs to layout "csv" only'),
        ({"layout": "csv", "columns": {"pth": "x"}}, "pth"),
    ],
)
def test_wrong_entries_of_a_row_are_named(values: dict[str, Any], words: str) -> None:
    row = {"path": "x", "layout": "folders", "faces": "cropped"} | values
    with pytest.raises(InputError) as caught:
        check_settings({"DATASETS": {"mine": row}, "ACTIVE_DATASETS": ("mine",), "EXPERIMENTS": ("individual",)})
    assert words in str(caught.value)
    assert "DATASETS.mine" in str(caught.value)


# ---------------------------------------------------------------- tables


def test_a_table_with_everything(tmp_path: Path) -> None:
    touch(tmp_path, "faces/a.jpg", "faces/b c.png", "faces/d.jpg")
    write(
        tmp_path / "labels.csv",
        "\ufeffSplit;File;Emotion;Person;box_left;box_top;box_right;box_bottom;more",
        "training;faces\\a.jpg;Happiness;p1;1;2;30;40;x",
        "test;faces/a.jpg;3;p1;50;2;80;40;x",
        'valid;"faces/b c.png"; sad ;p2;;;;;"quoted;',
        'line"',
        "test;./faces/d.jpg;Anger;p3;0;0;9.5;9;x",
    )
    listing = read(tmp_path, "csv", faces="box", classes={"3": "happy"})
    assert listing.layout == "csv"
    assert listing.rejected.empty
    rows = listing.samples
    assert rows["sample_id"].to_list() == [
        "name/faces/a.jpg#0", "name/faces/a.jpg#1", "name/faces/b c.png", "name/faces/d.jpg",
    ]  # fmt: skip
    assert [EMOTIONS[label] for label in rows["label"]] == ["happy", "happy", "sad", "angry"]
    assert rows["split"].to_list() == ["train", "test", "val", "test"]
    assert rows["subject"].to_list() == ["p1", "p1", "p2", "p3"]
    boxes = rows[["box_left", "box_top", "box_right", "box_bottom"]].to_numpy()
    assert boxes[0].tolist() == [1, 2, 30, 40]
    assert np.isnan(boxes[2]).all()


def test_a_table_of_two_columns_is_enough(tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg", "b.jpg")
    write(tmp_path / "t.csv", "path,label", "a.jpg,fear", "b.jpg,Neutral", "")
    listing = read(tmp_path, "csv")
    assert listing.samples["label"].to_list() == [LABEL["fear"], LABEL["neutral"]]
    assert listing.samples["split"].to_list() == ["", ""]
    assert any("taken from all rows" in note for note in listing.notes)


def test_own_column_names_and_boxes_of_width_and_height(tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg")
    write(tmp_path / "one.csv", "img\temo\tX\tY\tw\th", "a.jpg\tfear\t10\t20\t30\t40")
    write(tmp_path / "two.csv", "path,label", "a.jpg,sad")
    columns = {"path": "img", "label": "Emo", "left": "x", "top": "Y", "width": "w", "height": "h"}
    assert '"table": "one.csv"' in problem(tmp_path, "csv", columns=columns)
    row = read(tmp_path, "csv", columns=columns, table="one.csv", faces="box").samples.iloc[0]
    assert (row.box_left, row.box_top, row.box_right, row.box_bottom) == (10, 20, 40, 60)
    assert read(tmp_path, "csv", table="two.csv").samples["label"].to_list() == [LABEL["sad"]]
    assert "no such file" in problem(tmp_path, "csv", table="three.csv")
    assert "lacks the columns path (img)" in problem(tmp_path, "csv", table="two.csv", columns=columns)


def test_bad_rows_of_a_table_are_named(tmp_path: Path) -> None:
    bad = {
        "a.jpg,7,train,1,2,30,40": "'7' is not one of angry",
        "a.jpg,sad,later,1,2,30,40": "split 'later'",
        "a.jpg,sad,,1,2,30,40": "split ''",
        "../other/a.jpg,sad,train,1,2,30,40": "no path inside",
        "/etc/passwd,sad,train,1,2,30,40": "no path inside",
        "C:\\a.jpg,sad,train,1,2,30,40": "no path inside",
        ",sad,train,1,2,30,40": "no path inside",
        "a\0b/a.jpg,sad,train,1,2,30,40": "no path inside",
        "a.jpg,sad,train,1,2,1,40": "empty box",
        "a.jpg,sad,train,1,x,1,40": "not all numbers",
        "a.jpg,sad,train,1,2": "5 columns instead of 7",
        "a.jpg,fear,train,1,2,30,40": "same picture and box",
        "gone.jpg,sad,train,1,2,30,40": "no such file",
    }
    touch(tmp_path, "a.jpg")
    write(tmp_path / "t.csv", "path,label,split,left,top,right,bottom", "a.jpg,sad,train,1,2,30,40", *bad, ",,,,,,")
    listing = read(tmp_path, "csv", faces="box")
    assert len(listing.samples) == 1
    found = listing.rejected["reason"].to_list()
    assert len(found) == len(bad) + 1  # the last line: commas alone
    for number, words in enumerate(bad.values(), 3):
        ours = [reason for reason in found if reason.startswith(f"line {number}: ") or words == "no such file"]
        assert any(words in reason for reason in ours), (number, words, found)


def test_a_table_is_found_by_its_ending(tmp_path: Path) -> None:
    write(tmp_path / "Labels.CSV", "path,label")
    assert find_layout("name", row_of("csv"), tmp_path) == ("csv", tmp_path)
    assert "can be used" in problem(tmp_path, "csv")
