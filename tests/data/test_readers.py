"""Promises about listing datasets: labels and splits are right, and no line and no file gets lost."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from layout_trees import LABEL, by_name, problem, read, reasons, row_of, touch, write

from fer.data.readers import (
    find_layout,
    listing_signature,
    missing_datasets,
)
from fer.data.rejections import rejection_notes
from fer.layouts.expw import EXPW_LABELS, expw_photo
from fer.layouts.known_datasets import known_counts
from fer.layouts.rafdb import RAFDB_LABELS
from fer.settings.settings import EMOTIONS
from utils import InputError

FER2013_COUNTS = known_counts("fer2013") or {}

# ---------------------------------------------------------------- RAF-DB


def rafdb(root: Path, *lines: str, originals: bool = False) -> Path:
    base = root / "basic"
    write(base / RAFDB_LABELS, *lines)
    names = [line.split()[0] for line in lines if line.endswith(tuple("1234567")) and ".jpg" in line]
    touch(base, "Image/aligned/.DS_Store", *(f"Image/aligned/{n[:-4]}_aligned.jpg" for n in names))
    if originals:
        touch(base, *(f"Image/original/{name}" for name in names))
    return root


RAFDB_LINES = [f"train_{number:05d}.jpg {number}" for number in range(1, 8)] + ["test_0001.jpg 4"]


@pytest.mark.parametrize("start", ["", "basic"])
def test_rafdb_original(tmp_path: Path, start: str) -> None:
    rafdb(tmp_path, *RAFDB_LINES)
    listing = read(tmp_path / start, "rafdb")
    assert listing.layout == "rafdb original"
    rows = by_name(listing)
    order = ["surprise", "fear", "disgust", "happy", "sad", "angry", "neutral"]
    for number, emotion in enumerate(order, 1):
        assert rows[f"train_{number:05d}_aligned.jpg"]["label"] == LABEL[emotion]
        assert rows[f"train_{number:05d}_aligned.jpg"]["split"] == "train"
    assert rows["test_0001_aligned.jpg"]["split"] == "test"
    assert rows["test_0001_aligned.jpg"]["label"] == LABEL["happy"]
    assert (listing.samples["original_path"] == "").all()
    assert listing.rejected.empty
    assert (tmp_path / start / listing.samples["path"][0]).is_file()


def test_rafdb_names_the_original_only_where_faces_are_to_be_found(tmp_path: Path) -> None:
    rafdb(tmp_path, *RAFDB_LINES, originals=True)
    (tmp_path / "basic/Image/original/test_0001.jpg").unlink()
    listing = read(tmp_path, "rafdb", faces="whole")
    rows = by_name(listing)
    assert rows["train_00003_aligned.jpg"]["original_path"] == "basic/Image/original/train_00003.jpg"
    assert rows["test_0001_aligned.jpg"]["original_path"] == ""
    assert any("1 of 8 faces have no photo" in note for note in listing.notes)
    assert (read(tmp_path, "rafdb").samples["original_path"] == "").all()


def test_rafdb_bad_lines_are_named_with_number_and_reason(tmp_path: Path) -> None:
    bad = {
        "": "",
        "train_00001.jpg": "1 columns instead of 2",
        "train_00002.jpg 9": "label 9 is not one of 1 to 7",
        "train_00003.jpg two": "two",
        "other_1.jpg 3": "neither train_",
        "  ": "",
        "train_99999.jpg 3": "not in Image/aligned",
        "train_00001.jpg 2": "same face as line 1 (label 1 there, 2 here)",
        "train_00004.jpg 2.5": "label 2.5",
        "train_00004.jpg nan": "nan",
    }
    rafdb(tmp_path, "train_00001.jpg 1", *bad)
    (tmp_path / "basic/Image/aligned/train_99999_aligned.jpg").unlink()
    listing = read(tmp_path, "rafdb")
    assert listing.samples["path"].to_list() == ["basic/Image/aligned/train_00001_aligned.jpg"]
    for line, words in enumerate(bad.values(), 2):
        found = [reason for reason in listing.rejected["reason"] if reason.startswith(f"line {line}: ")]
        assert [words in reason for reason in found] == ([True] if words else [])
    assert len(listing.rejected) == 8
    note = rejection_notes(listing.rejected, 9)[0]
    assert "8 of 9 rows cannot be used (88.9%)" in note
    assert "train: 2 x label 9 is not one of 1 to 7 (and the like)" in note


def test_rafdb_compound_labels_are_not_taken_for_basic_ones(tmp_path: Path) -> None:
    rafdb(tmp_path, *(f"train_{number:05d}.jpg {number}" for number in range(1, 12)))
    assert "compound" in problem(tmp_path, "rafdb")


@pytest.mark.parametrize("start", ["", "DATASET"])
def test_rafdb_kaggle(tmp_path: Path, start: str) -> None:
    touch(tmp_path, *(f"DATASET/train/{n}/train_{n}_aligned.JPG" for n in range(1, 8)), "train_labels.csv")
    touch(
        tmp_path,
        "DATASET/test/6/a.png",
        "DATASET/test/6/._a.png",
        "DATASET/test/6/Thumbs.db",
        "DATASET/test/1/b.jpg~",
    )
    listing = read(tmp_path / start, "rafdb", faces="whole")
    rows = by_name(listing)
    assert rows["train_1_aligned.JPG"]["label"] == LABEL["surprise"]
    assert rows["train_7_aligned.JPG"]["label"] == LABEL["neutral"]
    assert (rows["a.png"]["label"], rows["a.png"]["split"]) == (LABEL["angry"], "test")
    assert len(rows) == 8
    assert any("test/1/ holds no picture" in note for note in listing.notes)


# ---------------------------------------------------------------- ExpW


def expw(root: Path, *lines: str, pictures: str = "image/origin") -> Path:
    write(root / "label/label.lst", *lines)
    names = {line.split()[0] for line in lines if len(line.split()) == 8}
    return touch(root, *(f"{pictures}/{name}" for name in names))


EXPW_LINES = [
    "b_man_2.jpg 0 10 20 110 90 80.5 3",
    "a_man_1.jpg 1 -5 40 90 70 30 0",
    "a_man_1.jpg 0 1 2 50 40 60 6",
]


@pytest.mark.parametrize("pictures", ["image/origin", "image/origin/origin", "image", "origin/origin"])
def test_expw_original(tmp_path: Path, pictures: str) -> None:
    listing = read(expw(tmp_path, *EXPW_LINES, "", " ", pictures=pictures), "expw")
    samples = listing.samples
    assert listing.layout == "expw original"
    assert samples["sample_id"].to_list() == [
        f"name/{pictures}/{end}" for end in ("a_man_1.jpg#0", "a_man_1.jpg#1", "b_man_2.jpg#0")
    ]
    last = samples.iloc[2]
    # The file says top left right bottom: 10 20 110 90.
    assert (last.box_left, last.box_top, last.box_right, last.box_bottom) == (20, 10, 110, 90)
    assert (last.confidence, last.label, last.split) == (80.5, LABEL["happy"], "")
    assert samples["photo"].to_list() == ["a_man_1.jpg", "a_man_1.jpg", "b_man_2.jpg"]
    assert listing.rejected.empty


def test_expw_confidence_threshold(tmp_path: Path) -> None:
    listing = read(expw(tmp_path, *EXPW_LINES), "expw", min_confidence=60)
    assert listing.samples["confidence"].to_list() == [60, 80.5]
    assert listing.rejected.to_dict("records") == [
        {"sample_id": "name/image/origin/a_man_1.jpg#1", "path": "image/origin/a_man_1.jpg",
         "reason": "confidence 30 is below min_confidence = 60", "step": "confidence", "split": ""}
    ]  # fmt: skip
    assert "below min_confidence" in problem(tmp_path, "expw", min_confidence=99)


def test_expw_bad_lines(tmp_path: Path) -> None:
    bad = {
        "x.jpg 0 1 2 50 40 60": "7 columns instead of 8",
        "x.jpg 0 1 2 50 40 60 7": "label 7 is not one of 0 to 6",
        "x.jpg 0 1 left 50 40 60 3": "left",
        "x.jpg 0 1 2 50 40 inf 3": "inf",
        "x.jpg 0 1 2 2 40 60 3": "empty box",
        "x.jpg -1 1 2 50 40 60 3": "face id -1",
        "x.jpg 0.5 1 2 50 40 60 3": "face id 0.5",
        "gone.jpg 0 1 2 50 40 60 3": "no picture 'gone.jpg'",
        "../label/x.jpg 0 1 2 50 40 60 3": "no picture",
        "b_man_2.jpg 4 10 20 110 90 80.5 5": "same face as line 1 (label 3 there, 5 here)",
    }
    root = expw(tmp_path, *EXPW_LINES)
    touch(root, "image/origin/x.jpg", "label/x.jpg")
    write(root / EXPW_LABELS[0], *EXPW_LINES, *bad)
    listing = read(root, "expw")
    assert len(listing.samples) == 3
    assert len(listing.rejected) == len(bad)
    for line, words in enumerate(bad.values(), 4):
        found = [reason for reason in listing.rejected["reason"] if reason.startswith(f"line {line}: ")]
        assert len(found) == 1
        assert words in found[0]


def test_expw_one_face_id_for_two_boxes_makes_two_samples(tmp_path: Path) -> None:
    lines = ["a.jpg 0 0 0 20 20 9 1", "a.jpg 0 0 30 60 20 9 2"]
    listing = read(expw(tmp_path, *lines), "expw")
    assert listing.samples["sample_id"].to_list() == [
        "name/image/origin/a.jpg#0",
        "name/image/origin/a.jpg#0.2",
    ]


def test_expw_names_with_spaces_and_other_case(tmp_path: Path) -> None:
    root = touch(tmp_path, "image/origin/an old man_3.JPG", "image/origin/A.jpg", "image/origin/a.jpg")
    write(
        root / "label.lst",
        "an old man_3.jpg 0 1 2 50 40 60 3",
        "A.jpg 0 1 2 50 40 60 3",
        "a.jpg 0 1 2 50 40 60 4",
    )
    rows = by_name(read(root, "expw"))
    assert rows["an old man_3.JPG"]["photo"] == "an old man_3.JPG"
    assert (rows["A.jpg"]["label"], rows["a.jpg"]["label"]) == (3, 4)


def test_expw_without_pictures_says_what_to_unpack(tmp_path: Path) -> None:
    write(tmp_path / "label/label.lst", *EXPW_LINES)
    assert "origin.7z.001" in problem(tmp_path, "expw")
    touch(tmp_path, "image/origin/b_man_2.jpg")
    assert any("2 of 3 faces have no picture" in note for note in read(tmp_path, "expw").notes)


def test_expw_notes_boxes_in_another_order(tmp_path: Path) -> None:
    lines = [f"p{n}.jpg 0 {10 + n} {200 + n} 80 70 60 3" for n in range(10)] + EXPW_LINES
    assert any("order top, left, right, bottom" in note for note in read(expw(tmp_path, *lines), "expw").notes)


@pytest.mark.parametrize("start", ["", "Expw-F"])
def test_expw_folders(tmp_path: Path, start: str) -> None:
    touch(
        tmp_path,
        "Expw-F/happy/4angry_actor_13.jpg",
        "Expw-F/sad/angry_actor_13_2.jpg",
        "Expw-F/fear/shy_boy_7.jpg",
    )
    listing = read(tmp_path / start, "expw")
    rows = by_name(listing)
    assert rows["4angry_actor_13.jpg"]["photo"] == rows["angry_actor_13_2.jpg"]["photo"] == "angry_actor_13"
    assert rows["shy_boy_7.jpg"]["photo"] == "shy_boy_7"
    assert rows["shy_boy_7.jpg"]["label"] == LABEL["fear"]
    assert (listing.samples["split"] == "").all()
    assert any('faces = "cropped" is meant' in note for note in listing.notes)
    noted = read(tmp_path, "expw", min_confidence=60)
    assert any("min_confidence = 60 has no effect" in note for note in noted.notes)
    assert len(noted.samples) == 3


def test_photo_names_without_a_clear_pattern_stay_apart() -> None:
    assert expw_photo("happy/1234.jpg") == "1234"
    assert expw_photo("happy/a.jpg") != expw_photo("happy/b.jpg")


# ---------------------------------------------------------------- FER2013


def test_fer2013_folders_take_the_split_from_the_file_name(tmp_path: Path) -> None:
    touch(tmp_path, "train/happy/Training_1.jpg", "test/fear/PublicTest_2.jpg", "test/fear/PrivateTest_3.JPEG")
    listing = read(tmp_path, "fer2013")
    assert {name: row["split"] for name, row in by_name(listing).items()} == {
        "Training_1.jpg": "train", "PublicTest_2.jpg": "val", "PrivateTest_3.JPEG": "test",
    }  # fmt: skip
    assert not [note for note in listing.notes if "name" in note.removeprefix("name: ")]


def test_fer2013_folders_with_names_that_tell_nothing(tmp_path: Path) -> None:
    touch(tmp_path, "images/train/happy/1.jpg", "images/test/fear/2.jpg", "images/train/sad/PrivateTest_3.jpg")
    listing = read(tmp_path, "fer2013")
    assert {name: row["split"] for name, row in by_name(listing).items()} == {
        "1.jpg": "train", "2.jpg": "test", "PrivateTest_3.jpg": "test",
    }  # fmt: skip
    assert any("1 test pictures do not say PublicTest_" in note for note in listing.notes)
    assert any("1 pictures lie in another folder" in note for note in listing.notes)


@pytest.mark.parametrize(
    ("file", "header", "order"),
    [
        ("fer2013.csv", "emotion,pixels,Usage", "{0},{1},{2}"),
        ("fer2013/fer2013.csv", "emotion,pixels,Usage", '"{0}","{1}","{2}"'),
        ("icml_face_data.csv", "emotion, Usage, pixels", "{0}, {2}, {1}"),
    ],
)
def test_fer2013_tables(tmp_path: Path, file: str, header: str, order: str) -> None:
    rows = [(0, "1 2", "Training"), (6, "3 4", "PublicTest"), (3, "5 6", "PrivateTest")]
    write(tmp_path / file, header, *(order.format(*row) for row in rows), "")
    listing = read(tmp_path, "fer2013")
    assert listing.layout == "fer2013 table"
    assert listing.samples["path"].to_list() == [f"{file}#0", f"{file}#1", f"{file}#2"]
    assert listing.samples["label"].to_list() == [0, 6, 3]
    assert listing.samples["split"].to_list() == ["train", "val", "test"]


def test_fer2013_table_bad_rows(tmp_path: Path) -> None:
    lines = ["0,1 2,Training", "7,1 2,Training", "", "1,1 2,Train", "2,,Training", "3,1 2"]
    lines += [",1 2,Training", "4,1 2,PublicTest,x"]
    write(tmp_path / "fer2013.csv", "emotion,pixels,Usage", *lines)
    listing = read(tmp_path, "fer2013")
    assert len(listing.samples) == 1
    assert listing.rejected["reason"].to_list() == [
        "line 3: emotion '7' is not one of 0 to 6",
        "line 5: Usage 'Train' is not one of Training, PublicTest, PrivateTest",
        "line 6: no pixels",
        "line 7: 2 columns instead of 3",
        "line 8: emotion '' is not one of 0 to 6",
        "line 9: 4 columns instead of 3",
    ]


def test_fer2013_table_without_usage(tmp_path: Path) -> None:
    write(tmp_path / "fer2013.csv", "emotion,pixels", "0,1 2")
    assert "lacks the columns usage" in problem(tmp_path, "fer2013")


def test_a_second_layout_is_named_not_read(tmp_path: Path) -> None:
    write(tmp_path / "fer2013.csv", "emotion,pixels,Usage", "0,1 2,Training")
    touch(tmp_path, "train/happy/Training_1.jpg", "test/fear/PublicTest_2.jpg")
    listing = read(tmp_path, "fer2013")
    assert len(listing.samples) == 1
    assert any("not read: fer2013 folders" in note for note in listing.notes)


# ---------------------------------------------------------------- class folders


def test_plain_folders_know_usual_names(tmp_path: Path) -> None:
    touch(tmp_path, "train/Anger/a.jpg", "train/HAPPINESS/b.jpg", "train/sadness/c.webp", "train/afraid/d.tiff")
    touch(
        tmp_path,
        "validation/Surprised/e.jpg",
        "test/disgusted/f.bmp",
        "test/neutral/g.jpg",
        "test/readme.txt",
    )
    rows = by_name(read(tmp_path, "folders"))
    assert {name: (EMOTIONS[row["label"]], row["split"]) for name, row in rows.items()} == {
        "a.jpg": ("angry", "train"), "b.jpg": ("happy", "train"), "c.webp": ("sad", "train"),
        "d.tiff": ("fear", "train"), "e.jpg": ("surprise", "val"), "f.bmp": ("disgust", "test"),
        "g.jpg": ("neutral", "test"),
    }  # fmt: skip


def test_unknown_and_empty_class_folders(tmp_path: Path) -> None:
    touch(tmp_path, "train/happy/a.jpg", "train/contempt/b.jpg", "train/contempt/c.jpg", "train/fear/Thumbs.db")
    touch(tmp_path, "test/happy/d.jpg", "test/__MACOSX/e.jpg", "test/.hidden/f.jpg")
    listing = read(tmp_path, "folders")
    assert listing.rejected["path"].to_list() == ["train/contempt/b.jpg", "train/contempt/c.jpg"]
    assert "2 x class folder 'contempt' is not one of angry, anger" in rejection_notes(listing.rejected, 9)[0]
    assert any("class folder train/fear/ holds no picture" in note for note in listing.notes)
    assert len(listing.samples) == 2


@pytest.mark.parametrize("start", ["", "train/"])
def test_folders_without_an_official_split(tmp_path: Path, start: str) -> None:
    touch(tmp_path, f"{start}happy/a.jpg", f"{start}sad/b.jpg")
    listing = read(tmp_path, "folders")
    assert listing.samples["split"].to_list() == ["", ""]
    assert any("no folder val/ or test/" in note for note in listing.notes)


def test_folders_without_a_test_set(tmp_path: Path) -> None:
    touch(tmp_path, "images/train/happy/a.jpg", "images/validation/sad/b.jpg")
    listing = read(tmp_path, "folders")
    assert listing.samples["split"].to_list() == ["train", "val"]
    assert any("no test set" in note for note in listing.notes)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such names")
def test_file_names_that_are_not_utf8_are_rejected(tmp_path: Path) -> None:
    touch(tmp_path, "train/happy/a.jpg", "test/happy/b.jpg")
    (tmp_path / "train/happy" / os.fsdecode(b"gl\xfccklich.jpg")).touch()
    listing = read(tmp_path, "folders")
    assert len(listing.samples) == 2
    assert "UTF-8" in reasons(listing)
    listing.rejected.to_csv().encode()


# ---------------------------------------------------------------- wrong and missing folders


def test_a_wrong_layout_says_what_was_sought_found_and_would_fit(tmp_path: Path) -> None:
    touch(tmp_path, "train/happy/Training_1.jpg", "test/fear/PublicTest_2.jpg")
    text = problem(tmp_path, "rafdb")
    for words in (
        str(tmp_path),
        RAFDB_LABELS,
        "train/<1..7>",
        "Found instead: test, train",
        "shuvoalok/raf-db-dataset",
    ):
        assert words in text
    assert 'a layout of the family "fer2013"' in text
    assert "ACTIVE_DATASETS" in text
    assert "label/label.lst" in problem(tmp_path, "expw")


def test_an_unreadable_dataset_says_why(tmp_path: Path) -> None:
    write(tmp_path / "label/label.lst", "just words", "more words")
    touch(tmp_path, "image/origin/a.jpg")
    text = problem(tmp_path, "expw")
    assert "2 rejected" in text
    assert "line 1: 2 columns instead of 8" in text
    touch(tmp_path, "none/train/happy/notes.txt", "none/test/happy/notes.txt")
    assert "no picture in it" in problem(tmp_path / "none", "fer2013")


def test_every_missing_dataset_is_listed(tmp_path: Path) -> None:
    touch(tmp_path, "good/train/happy/a.jpg", "empty/.gitkeep", "file", "wrong/what/a.jpg")
    layouts = {"good": "folders", "empty": "expw", "file": "fer2013", "wrong": "rafdb", "absent": "rafdb"}
    active = {name: (row_of(layout), tmp_path / name) for name, layout in layouts.items()}
    problems = missing_datasets(active)
    assert [text.split(":")[0] for text in problems] == ["empty", "file", "wrong", "absent"]
    for name, text in zip(["empty", "file", "wrong", "absent"], problems, strict=True):
        assert str(tmp_path / name) in text
        assert f'take "{name}" out of ACTIVE_DATASETS' in text
        assert "To get it: " in text
    assert "is an empty folder" in problems[0]
    assert "is a file" in problems[1]
    assert "does not exist" in problems[3]
    assert find_layout("good", *active["good"]) == ("folders", tmp_path / "good")


def test_counts_are_compared_with_the_known_ones(tmp_path: Path) -> None:
    rafdb(tmp_path, *RAFDB_LINES)
    listing = read(tmp_path, "rafdb")
    note = next(note for note in listing.notes if " test: " in note)
    assert "1 rows where 3068 are known" in note
    assert "happy 1 of 1185" in note
    assert listing.expected_counts == known_counts("rafdb")
    drawn = read(tmp_path, "rafdb", sample=True)
    assert drawn.notes == []
    assert drawn.expected_counts is None


def test_known_counts_add_up_to_what_the_authors_state() -> None:
    counts = {name: known_counts(name) or {} for name in ("rafdb", "expw", "fer2013")}
    totals = {name: {split: sum(of.values()) for split, of in each.items()} for name, each in counts.items()}
    assert totals == {
        "rafdb": {"train": 12271, "test": 3068},
        "expw": {"": 91793},
        "fer2013": {"train": 28709, "val": 3589, "test": 3589},
    }
    fer2013 = pd.DataFrame(FER2013_COUNTS).sum(axis=1)
    assert [fer2013[emotion] for emotion in EMOTIONS] == [4953, 547, 5121, 8989, 6077, 4002, 6198]


@pytest.mark.slow
def test_the_right_counts_need_no_note(tmp_path: Path) -> None:
    usages = {"train": "Training", "val": "PublicTest", "test": "PrivateTest"}
    lines = [
        f"{LABEL[emotion]},0,{usages[split]}"
        for split, counts in FER2013_COUNTS.items()
        for emotion, count in counts.items()
        for _ in range(count)
    ]
    write(tmp_path / "fer2013.csv", "emotion,pixels,Usage", *lines)
    assert read(tmp_path, "fer2013").notes == []
    write(tmp_path / "fer2013.csv", "emotion,pixels,Usage", *lines[1:])
    assert len(read(tmp_path, "fer2013").notes) == 1


# ---------------------------------------------------------------- signature


def test_signature_changes_exactly_with_files_and_labels(tmp_path: Path) -> None:
    root = expw(tmp_path, *EXPW_LINES)

    def signature() -> str:
        return listing_signature(read(root, "expw"), root)

    first = signature()
    assert len(first) == 32
    touch(root, "image/origin/unlisted.jpg", "image/origin/.DS_Store")
    assert signature() == first
    seen = {first}
    picture = root / "image/origin/b_man_2.jpg"
    picture.write_bytes(b"other content")
    seen.add(signature())
    os.utime(picture, ns=(0, 10**18 + 1))
    seen.add(signature())
    write(root / EXPW_LABELS[0], EXPW_LINES[0].replace("80.5 3", "80.5 4"), *EXPW_LINES[1:])
    seen.add(signature())
    write(root / EXPW_LABELS[0], EXPW_LINES[0].replace(" 90 ", " 91 "), *EXPW_LINES[1:])
    seen.add(signature())
    write(root / EXPW_LABELS[0], *EXPW_LINES[1:])
    seen.add(signature())
    listing = read(root, "expw")
    (root / "image/origin/a_man_1.jpg").unlink()
    seen.add(listing_signature(listing, root))
    assert len(seen) == 7


def test_signature_sees_the_original_pictures_and_the_table(tmp_path: Path) -> None:
    root = rafdb(tmp_path / "rafdb", *RAFDB_LINES, originals=True)
    listing = read(root, "rafdb", faces="whole")
    first = listing_signature(listing, root)
    (root / "basic/Image/original/train_00001.jpg").write_bytes(b"changed")
    assert listing_signature(listing, root) != first
    table = write(tmp_path / "fer2013.csv", "emotion,pixels,Usage", "0,1 2,Training")
    listing = read(tmp_path, "fer2013")
    first = listing_signature(listing, tmp_path)
    write(table, "emotion,pixels,Usage", "0,1 23,Training")
    assert listing_signature(listing, tmp_path) != first


# ---------------------------------------------------------------- any label file at all

JUNK = st.binary(max_size=40) | st.text(max_size=40).map(lambda text: text.encode("utf-8", "replace"))
NUMBER = st.sampled_from(
    [b"0", b"1", b"3", b"7", b"-4", b"50", b"1e300", b"nan", b"-inf", b"2.5", b"1_0", b"x", b"9" * 40]
)
NAME = st.sampled_from(
    [b"train_1.jpg", b"TRAIN_1.JPG", b"test_2.jpg", b"train_/1.jpg", b"x.jpg", b".", b"../a.jpg", b"{0}"]
)
RAFDB_LINE = st.builds(lambda *cells: b" ".join(cells), NAME, NUMBER)
EXPW_LINE = st.builds(lambda *cells: b" ".join(cells), NAME, *[NUMBER] * 7)
USAGE = st.sampled_from([b"Training", b"PublicTest", b"PrivateTest", b"training ", b"", b"\xff"])
TABLE_LINE = st.builds(lambda *cells: b",".join(cells), NUMBER, st.sampled_from([b"1 2", b"", b'"']), USAGE)
NEWLINE = st.sampled_from([b"\n", b"\r\n", b"\r"])


def check_lines(root: Path, layout: str, lines: list[str] | list[bytes]) -> None:
    """Each line is used, rejected or blank; with nothing to use the reader says so."""
    written = sum(bool(line.strip()) for line in lines)
    try:
        listing = read(root, layout)
    except InputError as error:
        assert f"{written} rejected" in str(error)
        return
    assert len(listing.samples) + len(listing.rejected) == written
    assert listing.rejected["sample_id"].is_unique
    listing.samples.to_csv().encode()
    listing.rejected.to_csv().encode()


def as_lines(data: bytes) -> list[str]:
    return data.decode("utf-8-sig", "replace").replace("\r\n", "\n").replace("\r", "\n").split("\n")


@pytest.mark.slow
@settings(max_examples=80, deadline=None)
@given(st.lists(RAFDB_LINE | RAFDB_LINE | JUNK, max_size=12), NEWLINE)
@example([b"train_1.jpg 3"], b"\r\n")
@example([b"\xef\xbb\xbftrain_1.jpg 3", b"train_1.jpg 3"], b"\r")
def test_any_rafdb_label_file_is_accounted_for(lines: list[bytes], newline: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = touch(
            Path(folder),
            "Image/aligned/train_1_aligned.jpg",
            "Image/aligned/test_2_aligned.jpg",
            RAFDB_LABELS,
        )
        (root / RAFDB_LABELS).write_bytes(newline.join(lines))
        check_lines(root, "rafdb", as_lines(newline.join(lines)))


@pytest.mark.slow
@settings(max_examples=80, deadline=None)
@given(st.lists(EXPW_LINE | EXPW_LINE | JUNK, max_size=12), NEWLINE)
@example([b"x.jpg 0 0 0 50 50 50 3", b"x.jpg 0 0 1 50 50 50 3"], b"\n")
def test_any_expw_label_file_is_accounted_for(lines: list[bytes], newline: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = touch(Path(folder), "image/origin/x.jpg", "image/origin/train_1.jpg", "label.lst")
        (root / "label.lst").write_bytes(newline.join(lines))
        check_lines(root, "expw", as_lines(newline.join(lines)))


@pytest.mark.slow
@settings(max_examples=80, deadline=None)
@given(st.lists(TABLE_LINE | TABLE_LINE | JUNK, max_size=12))
@example([b"3,1 2,Training", b"", b"4,1 2,PublicTest"])
@example([b"\xa0"])
def test_any_fer2013_table_is_accounted_for(lines: list[bytes]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        data = b"\n".join(lines)
        (root / "fer2013.csv").write_bytes(b"emotion,pixels,Usage\n" + data)
        check_lines(root, "fer2013", data.split(b"\n"))
