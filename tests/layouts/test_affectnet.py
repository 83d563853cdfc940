"""Promises about AffectNet and Aff-Wild2: their numbers as meant, what is no expression left out and said."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from layout_trees import by_name, problem, read, reasons, row_of, touch, write

from fer.layouts.known_datasets import AFFECTNET_COUNTS
from fer.settings.settings import EMOTIONS

ORDER = ["neutral", "happy", "sad", "surprise", "fear", "disgust", "angry"]
HEADER = "subDirectory_filePath,face_x,face_y,face_width,face_height,facial_landmarks,expression,valence,arousal"


@pytest.mark.parametrize("lists", ["", "Manually_Annotated_file_lists/"])
def test_affectnet_lists(tmp_path: Path, lists: str) -> None:
    lines = [f"1/{number}.jpg,10,20,30,40,1;2;3,{number},0.1,-2" for number in range(11)]
    lines += ["1/12.jpg,10,20,0,40,1;2,3,0,0", "1/13.jpg,10,20,x,40,1;2,3,0,0", "1/3.jpg,10,20,30,40,1,4,0,0"]
    write(tmp_path / f"{lists}training.csv", HEADER, *lines)
    write(tmp_path / f"{lists}validation.csv", HEADER, "2/v.JPG,1,2,3,4,1;2,6,0,0", "2/gone.jpg,1,2,3,4,1;2,6,0,0")
    touch(tmp_path, *(f"Manually_Annotated_Images/1/{number}.jpg" for number in range(14)))
    touch(tmp_path, "Manually_Annotated_Images/2/v.JPG")
    listing = read(tmp_path, "affectnet", faces="box")
    assert listing.layout == "affectnet lists"
    rows = by_name(listing)
    assert [EMOTIONS[rows[f"{number}.jpg"]["label"]] for number in range(7)] == ORDER
    assert (rows["v.JPG"]["split"], rows["0.jpg"]["split"], len(rows)) == ("test", "train", 8)
    box = [rows["0.jpg"][f"box_{edge}"] for edge in ("left", "top", "right", "bottom")]
    assert box == [10, 20, 40, 60]
    for words in ("expression 7 is left out", "expression 10 is left out", "empty box", "not all numbers", "same face"):
        assert words in reasons(listing)
    assert any("validation set is the test set" in note for note in listing.notes)


def test_contempt_counts_as_the_expression_the_row_names(tmp_path: Path) -> None:
    touch(tmp_path, "train/7/a.jpg", "train/0/b.jpg", "val/7/c.jpg")
    listing = read(tmp_path, "affectnet", contempt="disgust")
    assert {row["path"]: EMOTIONS[row["label"]] for row in listing.samples.to_dict("records")} == {
        "train/7/a.jpg": "disgust", "train/0/b.jpg": "neutral", "val/7/c.jpg": "disgust",
    }  # fmt: skip
    assert 'belongs to layout "affectnet" or "ckplus" or "ferplus" only' in refused("folders", contempt="disgust")


def refused(layout: str, **values: str) -> str:
    with pytest.raises(ValueError) as caught:
        row_of(layout, **values)
    return str(caught.value)


@pytest.mark.slow
@pytest.mark.parametrize("val", ["val_set", "valid_set"])
def test_affectnet_arrays_hold_numbers_or_texts(tmp_path: Path, val: str) -> None:
    for folder, number, value in (("train_set", 1, "3"), ("train_set", 2, 6), ("train_set", 3, "7"), (val, 4, 0.0)):
        touch(tmp_path, f"{folder}/images/{number}.jpg", f"{folder}/annotations/{number}_val.npy")
        np.save(tmp_path / f"{folder}/annotations/{number}_exp.npy", np.array(value))
    touch(tmp_path, "train_set/images/5.jpg", "train_set/images/6.jpg", "train_set/annotations/6_exp.npy")
    touch(tmp_path, "train_set/images/8.jpg")
    np.save(tmp_path / "train_set/annotations/8_exp.npy", np.array({"a": 1}, dtype=object), allow_pickle=True)
    listing = read(tmp_path, "affectnet")
    rows = by_name(listing)
    assert {name: (EMOTIONS[row["label"]], row["split"]) for name, row in rows.items()} == {
        "1.jpg": ("surprise", "train"), "2.jpg": ("angry", "train"), "4.jpg": ("neutral", "test"),
    }  # fmt: skip
    assert len(listing.rejected) == 4
    assert "expression 7 is left out" in reasons(listing) and "5_exp.npy cannot be read: no such file" in reasons(
        listing
    )


def test_affectnet_folders(tmp_path: Path) -> None:
    touch(tmp_path, *(f"train/{number}/{number}.png" for number in range(8)), "val/1/v.png")
    listing = read(tmp_path, "affectnet")
    rows = by_name(listing)
    assert [EMOTIONS[rows[f"{number}.png"]["label"]] for number in range(7)] == ORDER
    assert rows["v.png"]["split"] == "test"
    assert "'7' is left out" in reasons(listing)
    touch(tmp_path, "test/1/t.png")
    rows = by_name(read(tmp_path, "affectnet"))
    assert (rows["v.png"]["split"], rows["t.png"]["split"]) == ("val", "test")


def test_the_files_of_2021_have_one_contempt_less_than_the_lists(tmp_path: Path) -> None:
    for name in ("training", "validation"):
        write(tmp_path / f"lists/{name}.csv", HEADER, f"1/{name}.jpg,1,2,3,4,1;2,7,0,0")
        touch(tmp_path, f"lists/Manually_Annotated_Images/1/{name}.jpg")
    for folder in ("train_set", "val_set"):
        touch(tmp_path, f"arrays/{folder}/images/1.jpg", f"arrays/{folder}/annotations/1_val.npy")
        np.save(tmp_path / f"arrays/{folder}/annotations/1_exp.npy", np.array("7"))
    for layout, known in (("lists", 4000), ("arrays", 3999)):  # as their owners state
        expected = read(tmp_path / layout, "affectnet", contempt="disgust").expected_counts
        assert sum((expected or {})["test"].values()) == known


def test_affectnets_known_counts_add_up() -> None:
    assert {split: sum(of.values()) for split, of in AFFECTNET_COUNTS.items()} == {"train": 283901, "test": 3500}


# ---------------------------------------------------------------- Aff-Wild2


def affwild2(root: Path) -> Path:
    labels = root / "EXPR_Classification_Challenge"
    header = "Neutral,Anger,Disgust,Fear,Happiness,Sadness,Surprise,Other"
    write(labels / "Train_Set/1-30-1280x720_left.txt", header, "1", "1", "-1", "-1", "7", "7", "6", "6", "9", "")
    write(labels / "Validation_Set/video2.txt", header.removesuffix(",Other"), "4\r", "4\r", "0", "")
    touch(root, *(f"cropped_aligned/1-30-1280x720_left/{frame:05d}.jpg" for frame in range(1, 11)))
    return touch(root, "cropped_aligned/video2/00001.jpg", "cropped_aligned/video2/.DS_Store")


def test_affwild2_takes_one_frame_in_so_many(tmp_path: Path) -> None:
    listing = read(affwild2(tmp_path), "affwild2", every_frame=2)
    found = [(row.path[-9:-4], EMOTIONS[row.label], row.split, row.subject) for row in listing.samples.itertuples()]
    assert found == [
        ("00001", "angry", "train", "1-30-1280x720"), ("00007", "surprise", "train", "1-30-1280x720"),
        ("00001", "happy", "test", "video2"),
    ]  # fmt: skip
    for words in ("other, none of the seven", "label '9' has no name", "no crop of this frame"):
        assert words in reasons(listing)
    assert any("one frame in 2 is used; 1 of these are not annotated" in note for note in listing.notes)
    assert len(read(tmp_path, "affwild2").samples) == 2  # the first of each video


def test_affwild2_without_names_in_the_first_line(tmp_path: Path) -> None:
    write(affwild2(tmp_path) / "EXPR_Classification_Challenge/Train_Set/x.txt", "1", "2")
    assert "should name the classes" in problem(tmp_path, "affwild2")
