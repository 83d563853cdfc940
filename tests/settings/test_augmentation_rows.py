"""Promises of AUGMENTATIONS: rows read as one writes them, known by what they do, refused in sentences."""

from __future__ import annotations

from typing import Any

import pytest

from fer.settings.augmentation_rows import AUGMENTATIONS, AugmentationRow, described, row_of, words_of_augmentation
from fer.settings.settings import check_settings, load_settings
from utils import InputError

MINE = {"flip": 0.5, "rotation": {"range": 10, "probability": 0.5}, "blur": 0.01, "zoom": (-0.2, 0.1)}


def key_of(row: dict[str, Any]) -> dict[str, Any] | None:
    return described(AugmentationRow.model_validate(row))


def test_the_shipped_sets_have_the_keys_they_had_before_there_were_rows() -> None:
    assert described(AUGMENTATIONS["light"]) == {"kind": "light", "strength": 1.0, "probability": 1.0}
    assert described(AUGMENTATIONS["strong"]) == {"kind": "strong", "strength": 1.0, "probability": 0.8}
    weaker = load_settings(overrides=["AUGMENTATIONS.strong.strength=0.5"]).augmentations["strong"]
    assert described(weaker) == {"kind": "strong", "strength": 0.5, "probability": 0.8}


def test_a_key_knows_what_a_row_does_and_not_how_it_is_written_or_called() -> None:
    copy = AUGMENTATIONS["strong"].model_dump()
    assert key_of(copy) == described(AUGMENTATIONS["strong"])
    assert key_of({"rotation": 10}) == key_of({"rotation": (-10, 10), "strength": 1.0, "zoom": 0})
    assert key_of({"rotation": 10}) == key_of({"rotation": 5, "strength": 2.0})
    assert key_of({"rotation": 10}) != key_of({"rotation": 11})
    assert key_of(copy | {"holes": 0.1}) not in (None, key_of(copy))


@pytest.mark.parametrize(
    "row", [{"flip": 0.0}, {"rotation": 0}, MINE | {"strength": 0.0}, {"rotation": 9, "probability": 0.0}]
)
def test_a_row_that_changes_no_picture_is_none(row: dict[str, Any]) -> None:
    assert key_of(row) is None


@pytest.mark.parametrize("row", [MINE, *(row.model_dump() for row in AUGMENTATIONS.values())])
def test_a_row_comes_back_from_its_key_and_from_its_dump(row: dict[str, Any]) -> None:
    read = AugmentationRow.model_validate(row)
    assert AugmentationRow.model_validate(read.model_dump(mode="json")) == read
    back = row_of(described(read) or {})
    assert (back.changes(), back.flip, back.apply, back.probability) == (
        read.changes(), read.flip, read.apply, read.probability,
    )  # fmt: skip


def test_any_row_can_be_named_online_and_offline_beside_the_shipped_ones() -> None:
    settings = check_settings(
        {"AUGMENTATIONS": {"mine": MINE}, "ONLINE_AUGMENTATION": {"raw": "mine"}, "OFFLINE_AUGMENTATION": "geometric"}
    )
    assert settings.online_row("raw") == AugmentationRow.model_validate(MINE)
    assert settings.online_row("augmented") == AUGMENTATIONS["strong"]
    assert settings.online_row("preprocessed") is None
    assert settings.offline_row() == AUGMENTATIONS["geometric"]


def test_a_grid_reaches_into_a_row() -> None:
    grid = {"AUGMENTATIONS.strong.strength": (0.5, 1.0), "AUGMENTATIONS.strong.rotation": (5, 15)}
    settings = check_settings({"GRID": grid, "ONLINE_AUGMENTATION": "strong"})
    rows = [settings.at(point).online_row("raw") for point in settings.points()]
    assert [(row.strength, row.changes()["rotation"].range[1]) for row in rows if row] == [
        (0.5, 2.5), (0.5, 7.5), (1.0, 5), (1.0, 15),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"rotatoin": 5}, 'AUGMENTATIONS.mine has no entry "rotatoin". Did you mean "rotation"?'),
        (
            {"rotation": 90},
            "AUGMENTATIONS.mine.rotation = 90: rotation is drawn within -45 to 45 degrees, here -90 to 90",
        ),
        ({"rotation": "5"}, 'rotation = "5": write a number or (low, high), -45 to 45 degrees'),
        ({"rotation": {"range": 5, "often": 1}}, 'or {"range": …, "probability": 0.5}'),
        ({"rotation": {"range": 5, "probability": 5}}, "its probability is from 0 to 1"),
        ({"rotation": -5}, "here 5 to -5"),
        ({"rotation": 10**400}, "write a number or (low, high), -45 to 45 degrees"),
        ({"zoom": {"range": 0.1, "probability": 10**400}}, "its probability is from 0 to 1"),
        ({"zoom": float("nan")}, "zoom is drawn within -0.5 to 0.5 of the size"),
        ({"blur": (0.02, 0.01)}, "here 0.02 to 0.01"),
        ({"erasing": 0.4}, "within 0 to 0.3 of the area"),
        ({"rotation": 30, "strength": 2.0}, 'with "strength": 2, rotation is drawn within -45 to 45 degrees, here -60'),
        ({"apply": "one", "zoom": {"range": 0.1, "probability": 0.5}}, "Leave out the probability of zoom"),
        ({"flip": 2}, "AUGMENTATIONS.mine.flip = 2 should be less than or equal to 1"),
    ],
)
def test_a_wrong_row_is_refused_in_a_sentence(row: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError) as caught:
        check_settings({"AUGMENTATIONS": {"mine": row}})
    (problem,) = caught.value.problems
    assert words in problem


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (
            {"ONLINE_AUGMENTATION": "stron"},
            'names "stron", but AUGMENTATIONS has only none, light, strong, geometric. Did',
        ),
        ({"OFFLINE_AUGMENTATION": "none"}, "unchanged copies would teach nothing"),
        ({"AUGMENTATIONS": {"none": MINE}}, 'a row "none", which is the word for no change. Rename it'),
        (
            {"STRONG_STRENGTH": 0.5},
            "STRONG_STRENGTH is not a setting any more; it is an entry of a row, AUGMENTATIONS.str",
        ),
        (
            {"GRID": {"LIGHT_PROBABILITY": (0.5, 1.0)}},
            "is not a setting any more; it is an entry of a row, AUGMENTATIONS.l",
        ),
    ],
)
def test_names_that_lead_nowhere_are_told_where_to_go(values: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError) as caught:
        check_settings(values)
    (problem,) = caught.value.problems
    assert words in problem


def test_a_caption_names_a_shipped_set_or_what_an_own_one_does() -> None:
    assert words_of_augmentation({"kind": "strong", "strength": 1.0, "probability": 0.8}) == "strong"
    assert words_of_augmentation(key_of(MINE) or {}) == "flip, rotation, zoom, blur"
