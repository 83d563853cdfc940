"""Promises of `--check` about datasets: where they were looked for, known counts, how to get what is missing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from layout_trees import row_of, touch

from fer.layouts.known_datasets import KNOWN_DATASETS, OWN_LAYOUTS
from fer.layouts.layouts import LAYOUTS
from fer.settings.settings import DatasetRow, Settings
from fer.study.dataset_check import known_labels
from fer.study.inspection import print_check


def words_of(settings: Settings, rows: dict[str, DatasetRow], capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    active = {name: (row, Path(row.path)) for name, row in rows.items()}
    code = print_check(settings.model_copy(update={"active_datasets": tuple(rows), "datasets": rows}), active)
    return code, unwrapped(capsys.readouterr().out)


def unwrapped(text: str) -> str:
    """The text without any space: a terminal breaks long paths where it must."""
    return "".join(text.split())


def test_a_missing_dataset_is_named_with_its_page_terms_and_size(
    tiny_settings: Callable[..., Settings], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    row = row_of("affectnet", path=str(tmp_path / "AffectNet"))
    code, words = words_of(tiny_settings(), {"affectnet": row}, capsys)
    assert code == 2
    for expected in (
        f"affectnet: looked for in {tmp_path / 'AffectNet'}: not there; a whole copy: 287,401 faces, size unknown",
        "mohammadmahoor.com", "research only", "licence agreement", "disk: at most about",
    ):  # fmt: skip
        assert unwrapped(expected) in words


def test_another_dataset_or_half_of_one_is_not_said_to_be_absent(
    tiny_settings: Callable[..., Settings], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    touch(tmp_path, "FER2013/CK+48/anger/S010_004_00000017.png", "ExpW/label/label.lst")
    (tmp_path / "ExpW/label/label.lst").write_text("a.jpg 0 1 2 3 4 50 3\n")
    names = {"fer2013": "FER2013", "expw": "ExpW", "jaffe": "none"}
    rows = {name: row_of(name, path=str(tmp_path / folder)) for name, folder in names.items()}
    code, words = words_of(tiny_settings(), rows, capsys)
    assert code == 2
    other = f"looked for in {tmp_path / 'FER2013'}: there, but not as a dataset of its layout; a whole"
    assert unwrapped(other) in words
    assert unwrapped(f"looked for in {tmp_path / 'ExpW'}: there, but it cannot be used; a whole") in words
    assert unwrapped(f"looked for in {tmp_path / 'none'}: not there; a whole") in words


def test_counts_that_differ_stand_above_the_known_ones(
    tiny_settings: Callable[..., Settings], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    touch(tmp_path, "train/happy/Training_1.jpg", "test/sad/PrivateTest_2.jpg")
    code, words = words_of(tiny_settings(), {"fer2013": row_of("fer2013", path=str(tmp_path))}, capsys)
    assert code == 0
    train = "│ train │ 0 │ 0 │ 0 │ 1 │ 0 │ 0 │ 0 │ │ known │ 3995 │ 436 │ 4097 │ 7215 │ 4830 │ 3171 │ 4965 │"
    missing = "│ val │ 0 │ 0 │ 0 │ 0 │ 0 │ 0 │ 0 │ │ known │ 467 "  # a split that is missing altogether
    assert unwrapped(train) in words and unwrapped(missing) in words


def test_every_layout_of_a_public_dataset_is_known() -> None:
    families = {layout.family for layout in LAYOUTS.values()} - set(OWN_LAYOUTS)
    assert families == set(KNOWN_DATASETS)


def test_labels_of_a_whole_copy_are_as_many_as_its_authors_state() -> None:
    assert len(known_labels(row_of("expw", path="x"))) == 91793
    assert (known_labels(row_of("fer2013", path="x")) == 1).sum() == 547  # disgust, the rarest
    assert len(known_labels(row_of("kdef", path="x"))) == 0


def test_pictures_without_labels_are_counted_and_have_no_table(
    tiny_settings: Callable[..., Settings], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    touch(tmp_path / "more", "some/a.jpg", "b.jpg")
    settings = tiny_settings()
    rows = {**settings.datasets, "more": row_of("pictures", path=str(tmp_path / "more"), role="unlabelled")}
    code, words = words_of(settings, rows, capsys)
    assert code == 0
    assert unwrapped("more: layout pictures, 2 faces, role unlabelled output:") in words
