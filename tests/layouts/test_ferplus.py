"""Promises about FER+ and the copy of FER2013 that is split anew: rules of voting, joined rows, refusals."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from layout_trees import problem, read, reasons, row_of, touch, write

from fer.layouts.fer2013 import RESPLIT_TRAIN, RESPLIT_VAL, refuse_resplit
from fer.layouts.ferplus import majority, most_votes
from fer.layouts.known_datasets import RESPLIT_COUNTS
from fer.layouts.label_sheets import Place
from fer.settings.settings import EMOTIONS, check_settings
from utils import InputError

HEADER = "Usage,Image name,neutral,happiness,surprise,sadness,anger,disgust,fear,contempt,unknown,NF"
# Usage, image, votes, by majority, by arg-max; FER2013's own label is angry everywhere
ROWS = [
    ("Training", "fer0000000.png", "4,0,0,1,3,2,0,0,0,0", None, "neutral"),  # 4 of 9 that count: no majority
    ("Training", "fer0000001.png", "1,6,1,1,1,0,0,0,0,0", "happy", "happy"),
    ("Training", "", "0,0,0,0,0,0,0,0,0,10", None, None),  # no face, and no image name
    ("PublicTest", "fer0000003.png", "0,0,5,0,0,0,5,0,0,0", None, "surprise"),  # a tie
    ("PublicTest", "fer0000004.png", "0,0,0,0,0,0,1,8,1,0", None, None),  # contempt
    ("PrivateTest", "fer0000005.png", "0,0,0,0,0,6,0,0,3,0", "disgust", "disgust"),  # nine votes
    ("PrivateTest", "fer0000006.png", "0,0,0,0,3,0,0,0,7,0", None, None),  # unknown
    ("PrivateTest", "fer0000007.png", "0,0,0,1,0,0,6,0,3,0", "fear", "fear"),
]


def ferplus(root: Path, votes: list[str] | None = None) -> Path:
    lines = [f"{usage},{name},{cells}" for usage, name, cells, *_ in ROWS] if votes is None else votes
    write(root / "fer2013new.csv", HEADER, *lines, "")
    write(root / "fer2013.csv", "emotion,pixels,Usage", *(f"0,1 2,{row[0]}" for row in ROWS), "")
    return root


@pytest.mark.parametrize(("rule", "column"), [("majority", 3), ("argmax", 4)])
def test_labels_come_from_votes_by_the_named_rule(tmp_path: Path, rule: str, column: int) -> None:
    listing = read(ferplus(tmp_path), "ferplus", vote_rule=rule)
    expected = {f"fer2013.csv#{number}": row[column] for number, row in enumerate(ROWS) if row[column]}
    found = {row["path"]: EMOTIONS[row["label"]] for row in listing.samples.to_dict("records")}
    assert found == expected
    split = dict(zip(listing.samples["path"], listing.samples["split"], strict=True))
    assert (split["fer2013.csv#1"], split["fer2013.csv#5"]) == ("train", "test")
    assert len(listing.samples) + len(listing.rejected) == len(ROWS)
    for words in ("contempt by the votes", "no face by the votes", "unknown by the votes"):
        assert words in reasons(listing)
    assert any(f"by the rule '{rule}'" in note for note in listing.notes)
    assert any("where 3153 are known" in note or "where 3546 are known" in note for note in listing.notes)
    assert any("1 pictures have two or more" in note for note in listing.notes) == (rule == "argmax")


def test_the_official_rule_drops_single_votes_and_wants_more_than_half() -> None:
    votes = np.zeros((4, 10))
    votes[0, [1, 2]] = 5, 5  # half is not more than half
    votes[1, [1, 2, 3, 4, 5]] = 3, 2, 1, 1, 1  # 3 of 5 that count
    votes[2, :] = 1  # nothing counts
    votes[3, [0, 7]] = 2, 8
    assert majority(votes).tolist() == [8, 1, 8, 7]
    assert most_votes(votes).tolist() == [1, 1, 0, 7]


def test_tables_that_do_not_belong_together_are_refused(tmp_path: Path) -> None:
    lines = [f"{usage},{name},{cells}" for usage, name, cells, *_ in ROWS]
    assert "has 7 rows and FER2013's table 8" in problem(ferplus(tmp_path, lines[1:]), "ferplus")
    assert "line 2 has another Usage" in problem(ferplus(tmp_path, lines[::-1]), "ferplus")


def test_a_vote_that_is_no_number_is_named_with_its_line(tmp_path: Path) -> None:
    lines = [f"{usage},{name},{cells}" for usage, name, cells, *_ in ROWS]
    lines[7] = lines[7].replace(",6,", ",x,")
    listing = read(ferplus(tmp_path, lines), "ferplus")
    assert "line 9: not all numbers" in reasons(listing)
    assert len(listing.samples) == 2


def shares_of(root: Path, **values: Any) -> dict[str, dict[str, float]]:
    """By file name the shares above zero, as written."""
    rows = read(root, "ferplus", **values).samples
    return {
        path.rpartition("/")[2]: {
            name: float(part) for name, part in zip(EMOTIONS, text.split(), strict=True) if float(part)
        }
        for path, text in zip(rows["path"], rows["shares"], strict=True)
    }


def test_votes_are_kept_as_soft_labels_by_what_the_rule_counts(tmp_path: Path) -> None:
    by_rule = {rule: shares_of(ferplus(tmp_path / rule), vote_rule=rule) for rule in ("majority", "argmax")}
    assert by_rule["majority"]["fer2013.csv#1"] == {"happy": 1.0}  # four single votes do not count
    assert by_rule["argmax"]["fer2013.csv#1"] == {
        "happy": 0.6,
        "neutral": 0.1,
        "surprise": 0.1,
        "sad": 0.1,
        "angry": 0.1,
    }
    assert by_rule["majority"]["fer2013.csv#7"] == {"fear": 1.0}  # unknown is no expression
    assert by_rule["argmax"]["fer2013.csv#0"] == {"neutral": 0.4, "sad": 0.1, "angry": 0.3, "disgust": 0.2}


def test_contempt_counts_as_the_expression_the_row_names(tmp_path: Path) -> None:
    listing = read(ferplus(tmp_path), "ferplus", contempt="disgust")
    found = {row["path"]: (EMOTIONS[row["label"]], row["shares"]) for row in listing.samples.to_dict("records")}
    assert found["fer2013.csv#4"] == ("disgust", "0 1 0 0 0 0 0")
    assert "contempt" not in reasons(listing)


def test_contempt_kept_is_an_eighth_share(tmp_path: Path) -> None:
    """The row's votes by the majority rule, single ones aside: 8 of 8 for contempt; elsewhere its share is 0."""
    listing = read(ferplus(tmp_path), "ferplus", contempt="contempt")
    found = {row["path"]: (row["label"], row["shares"]) for row in listing.samples.to_dict("records")}
    assert found["fer2013.csv#4"] == (7, "0 0 0 0 0 0 0 1")
    assert found["fer2013.csv#5"] == (1, "0 1 0 0 0 0 0 0")


def test_the_official_scripts_folders_are_read_like_the_table(tmp_path: Path) -> None:
    """As src/generate_training_data.py writes them: no header, a box as one quoted cell, pictures beside the list."""
    folders = {"Training": "FER2013Train", "PublicTest": "FER2013Valid", "PrivateTest": "FER2013Test"}
    for usage, folder in folders.items():
        named = [(name, cells) for used, name, cells, *_ in ROWS if used == usage and name]
        write(
            tmp_path / "data" / folder / "label.csv", *(f'{name},"(0, 0, 48, 48)",{cells}' for name, cells in named), ""
        )
        touch(tmp_path / "data" / folder, *(name for name, _ in named), "Thumbs.db", ".DS_Store")
    (tmp_path / "data/FER2013Test/fer0000007.png").unlink()
    listing = read(tmp_path, "ferplus", vote_rule="argmax")
    found = {row["path"]: (EMOTIONS[row["label"]], row["split"]) for row in listing.samples.to_dict("records")}
    assert found == {
        "data/FER2013Train/fer0000000.png": ("neutral", "train"),
        "data/FER2013Train/fer0000001.png": ("happy", "train"),
        "data/FER2013Valid/fer0000003.png": ("surprise", "val"),
        "data/FER2013Test/fer0000005.png": ("disgust", "test"),
    }
    table = shares_of(ferplus(tmp_path / "table"), vote_rule="argmax")
    shares = shares_of(tmp_path, vote_rule="argmax")
    assert shares["fer0000003.png"] == {"surprise": 0.5, "fear": 0.5}
    assert {name: table[f"fer2013.csv#{int(name[3:10])}"] for name in shares} == shares
    missing = listing.rejected[listing.rejected["path"].str.endswith("fer0000007.png")]
    assert len(missing) == 1


# ---------------------------------------------------------------- the copy that is split anew


def test_the_resplit_copy_is_read_and_said(tmp_path: Path) -> None:
    touch(tmp_path, "images/train/happy/1.jpg", "images/validation/sad/2.jpg")
    listing = read(tmp_path, "fer2013_resplit")
    assert listing.samples["split"].to_list() == ["train", "val"]
    assert any("FER2013's pictures in another split" in note for note in listing.notes)
    assert any("1 rows where 28821 are known" in note for note in listing.notes)
    assert sum(RESPLIT_COUNTS["train"].values()) in RESPLIT_TRAIN
    assert sum(RESPLIT_COUNTS["val"].values()) == RESPLIT_VAL


@pytest.mark.parametrize(("other", "refused"), [("fer2013", True), ("ferplus", True), ("rafdb", False)])
def test_the_resplit_copy_is_refused_beside_fer2013(other: str, refused: bool) -> None:
    rows: dict[str, dict[str, Any]] = {
        "a": {"path": "a", "layout": "fer2013_resplit", "faces": "cropped"},
        "b": {"path": "b", "layout": other, "faces": "cropped"},
    }
    values = {"DATASETS": rows, "ACTIVE_DATASETS": ("a", "b")}
    if refused:
        with pytest.raises(InputError, match="a, b hold the same pictures"):
            check_settings(values)
    else:
        check_settings(values)


def test_class_folders_that_are_the_resplit_copy_do_not_pass_for_another_set(tmp_path: Path) -> None:
    place = Place("mine", row_of("folders"), tmp_path, tmp_path)
    samples = pd.DataFrame({"split": ["train"] * 28821 + ["val"] * 7066})
    with pytest.raises(InputError, match="fer2013_resplit"):
        refuse_resplit(place, samples)
    refuse_resplit(place, samples[1:])
