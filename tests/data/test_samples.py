"""Promises about rows: no group and no content in two splits, nothing lost without a reason."""

from __future__ import annotations

import shutil
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from conftest import draw_class_picture
from hypothesis import given
from hypothesis import strategies as st

from fer.data.copies import settle_copies, settle_copies_between
from fer.data.samples import SETTLED, load_samples
from fer.data.splits import SPLITS, assign_splits, connected_groups, limit_per_split
from fer.settings.settings import EMOTIONS, Settings


def rows_of(table: list[tuple[int, str, str, str, str]]) -> pd.DataFrame:
    """`content` may end in a box (":1,1,9,9"): what the column `face` keeps of it and `content` does not."""
    rows = pd.DataFrame(table, columns=["label", "split", "subject", "photo", "face"])
    rows["content"] = rows["face"].str.partition(":")[0]
    rows["sample_id"] = [f"d/{i:05d}.png" for i in range(len(rows))]
    return rows


NAMES = st.sampled_from(["", "a", "b", "c", "d"])
CONTENT = st.integers(0, 40).map(str)
FREE_ROWS = st.lists(st.tuples(st.integers(0, 6), st.just(""), NAMES, NAMES, CONTENT), min_size=1, max_size=80)
OFFICIAL = st.sampled_from(["train", "train", "train", "val", "test", ""])
ANY_ROWS = st.lists(st.tuples(st.integers(0, 6), OFFICIAL, st.just(""), st.just(""), CONTENT), min_size=1, max_size=80)


@pytest.mark.slow
@given(FREE_ROWS, st.integers(0, 99))
def test_no_group_in_two_splits_where_none_is_official(table: list, seed: int) -> None:
    rows = rows_of(table)
    rows["group"] = connected_groups(rows)
    rows["split"] = assign_splits(rows, seed, 0.2, 0.2)
    assert set(rows["split"]) <= set(SPLITS)
    assert (rows.groupby("group")["split"].nunique() == 1).all()
    for column in ("subject", "photo", "content"):
        named = rows[rows[column] != ""]
        assert (named.groupby(column)["split"].nunique() == 1).all()


@pytest.mark.slow
@given(ANY_ROWS, st.integers(0, 99))
def test_dropping_copies_leaves_no_content_in_two_splits_and_every_test_row(table: list, seed: int) -> None:
    rows = rows_of(table)
    rows["group"] = connected_groups(rows)
    rows["split"] = assign_splits(rows, seed, 0.2, 0.2)
    kept, removed = settle_copies(rows, "drop", 1)
    assert (kept.groupby("content")["split"].nunique() == 1).all()
    assert not (removed["split"] == "test").any()
    assert len(kept) + len(removed) == len(rows)
    assert (removed["reason"] != "").all()


@pytest.mark.slow
@given(ANY_ROWS)
def test_official_rows_never_move(table: list) -> None:
    rows = rows_of(table)
    rows["group"] = connected_groups(rows)
    split = assign_splits(rows, 1, 0.2, 0.2)
    official = rows["split"].isin(["val", "test"])
    assert (split[official] == rows["split"][official]).all()


def test_groups_join_through_a_chain() -> None:
    rows = rows_of([(0, "", "ann", "", "1"), (0, "", "ann", "p", "2"), (0, "", "", "p", "3"), (0, "", "", "", "4")])
    group = connected_groups(rows)
    assert group[0] == group[1] == group[2] != group[3]


def test_few_persons_of_each_rarest_class_still_give_a_validation_set() -> None:
    """Nine persons with six or seven pictures each: a tenth of each class is no person, a tenth of all is one."""
    rows = rows_of([(i % 8, "", f"p{i % 9}", "", f"{i}") for i in range(64) if i % 8 < 7])
    rows["group"] = connected_groups(rows)
    for seed in range(20):
        split = assign_splits(rows, seed, 0.1, 0.2)
        persons = rows.groupby(split)["subject"].nunique()
        assert persons["train"] >= 6 and 1 <= persons["val"] <= 2 and 1 <= persons["test"] <= 3
        assert (rows.assign(split=split).groupby("subject")["split"].nunique() == 1).all()


@pytest.mark.slow
def test_splits_are_stratified_and_close_to_the_fraction() -> None:
    draws = np.random.default_rng(0)
    labels = draws.choice(7, 5000, p=[0.3, 0.2, 0.2, 0.1, 0.1, 0.06, 0.04])
    rows = rows_of([(int(label), "", "", "", str(i)) for i, label in enumerate(labels)])
    rows["group"] = connected_groups(rows)
    split = assign_splits(rows, 3, 0.1, 0.2)
    share = pd.crosstab(labels, split, normalize="index")
    assert np.allclose(share["test"], 0.2, atol=0.01)
    assert np.allclose(share["val"], 0.08, atol=0.01)


def test_the_limit_is_stratified_and_keeps_every_class() -> None:
    rows = rows_of([(i % 2, "train", "", "", str(i)) for i in range(400)] + [(6, "train", "", "", "rare")])
    kept = limit_per_split(rows, 40, seed=1)
    assert 40 <= len(kept) <= 42
    assert set(kept["label"]) == {0, 1, 6}
    assert abs((kept["label"] == 0).sum() - (kept["label"] == 1).sum()) <= 1


def test_every_listed_row_is_used_or_rejected_with_a_reason(tiny_settings: Callable[..., Settings]) -> None:
    settings = tiny_settings(LIMIT_PER_SPLIT=40)
    root = settings.resolve(settings.datasets["alpha"].path)
    shutil.copy(root / "test/happy/happy_000.png", root / "train/happy/copy.png")
    (root / "train/sad/broken.png").write_bytes(b"not a picture")
    data = load_samples("alpha", settings)
    listed = sum(1 for _ in root.rglob("*.png"))
    assert len(data.samples) + len(data.rejected) == listed == data.funnel["kept"].iloc[0]
    assert data.funnel["kept"].iloc[-1] == len(data.samples)
    steps = data.rejected.set_index("path")["step"]
    assert steps["train/sad/broken.png"] == "readable"
    assert steps["train/happy/copy.png"] == "copies"
    assert (data.rejected["reason"].str.len() > 3).all()


@pytest.mark.slow
def test_cached_samples_equal_fresh_ones_and_follow_the_folder(
    tiny_settings: Callable[..., Settings],
) -> None:
    settings = tiny_settings()
    first, second = load_samples("alpha", settings), load_samples("alpha", settings)
    pd.testing.assert_frame_equal(first.samples, second.samples, check_dtype=False)
    root = settings.resolve(settings.datasets["alpha"].path)
    draw_class_picture(root / "train/fear/new.png", EMOTIONS.index("fear"), 999)
    third = load_samples("alpha", settings)
    assert len(third.samples) == len(first.samples) + 1
    assert (third.rows("test")["sample_id"].tolist()) == first.rows("test")["sample_id"].tolist()


@pytest.mark.slow
def test_a_damaged_cache_is_made_again(tiny_settings: Callable[..., Settings]) -> None:
    settings = tiny_settings()
    first = load_samples("alpha", settings)
    table = settings.output_path / "samples" / "alpha_samples.csv"
    table.write_text(table.read_text()[:200])
    assert load_samples("alpha", settings).samples["sample_id"].tolist() == first.samples["sample_id"].tolist()


def test_thin_classes_are_named(tiny_settings: Callable[..., Settings]) -> None:
    settings = tiny_settings()
    shutil.rmtree(settings.resolve(settings.datasets["alpha"].path) / "test/disgust")
    notes = load_samples("alpha", settings).notes
    assert any("no test picture of disgust" in note for note in notes)
    assert any("validation pictures of" in note for note in notes)


def test_the_control_of_dropping_copies_removes_as_many_others_of_each_class() -> None:
    draws = np.random.default_rng(5)
    rows = rows_of([(int(draws.integers(7)), "", "", "", str(draws.integers(900))) for _ in range(1000)])
    rows["split"] = draws.choice(SPLITS, len(rows), p=[0.7, 0.15, 0.15])
    used, copies = settle_copies(rows, "drop", seed=1)
    control, random = settle_copies(rows, "drop_random", seed=1)
    per_class = [part[part["split"] == "train"]["label"].value_counts().sort_index() for part in (used, control)]
    assert per_class[0].equals(per_class[1])
    assert copies.loc[copies["split"] == "train", "content"].isin(control["content"]).all()
    assert used[used["split"] != "train"].equals(control[control["split"] != "train"])
    assert set(random["sample_id"]) != set(copies["sample_id"])


def test_a_copy_is_a_picture_without_its_box() -> None:
    rows = rows_of([(0, "train", "", "", "p:1,1,9,9"), (1, "test", "", "", "p:5,1,9,9"), (2, "val", "", "", "p"),
                    (3, "train", "", "", "q:1,1,9,9"), (4, "train", "", "", "q:5,1,9,9")])  # fmt: skip
    kept, removed = settle_copies(rows, "drop", 1)
    assert kept["label"].tolist() == [1, 3, 4], "faces side by side in one split stay"
    assert removed["label"].tolist() == [0, 2]


def test_copies_leave_between_datasets_whatever_boxes_they_draw() -> None:
    one = rows_of([(0, split, "", "", f"p{number}") for number, split in enumerate(["train", "val", "test"] * 2)])
    two = rows_of(
        [(1, split, "", "", f"p{number}:1,2,3,4") for number, split in enumerate(["train", "test", "val"] * 2)]
    )
    kept = settle_copies_between({"one": one, "two": two}, "drop", 1)
    assert kept["one"]["content"].tolist() == ["p0", "p2", "p3", "p5"], "validation that two tests on leaves"
    assert kept["two"]["content"].tolist() == ["p0", "p1", "p3", "p4"], "validation that one tests on leaves"


def test_the_control_between_datasets_keeps_the_copies_and_hands_out_as_many_others() -> None:
    draws = np.random.default_rng(7)
    tables = {}
    for name in ("one", "two"):
        rows = rows_of([(int(draws.integers(7)), "", "", "", str(draws.integers(900))) for _ in range(600)])
        rows["split"] = draws.choice(SPLITS, len(rows), p=[0.7, 0.15, 0.15])
        tables[name] = settle_copies(rows, "drop", seed=1)[0]
    drop, control = (settle_copies_between(tables, policy, seed=1) for policy in ("drop", "drop_random"))
    assert settle_copies_between(tables, "keep", seed=1)["one"] is tables["one"]
    for name, rows in tables.items():
        gone = rows.drop(index=drop[name].index).query("split == 'train'")
        assert len(gone) > 20 and gone.index.isin(control[name].index).all(), "the copies stay"
        sizes = [part[["split", "label"]].value_counts().sort_index() for part in (drop[name], control[name])]
        assert sizes[0].equals(sizes[1])
        assert drop[name].query("split != 'train'").equals(control[name].query("split != 'train'"))


@pytest.mark.slow
def test_readable_rows_are_those_in_use_and_those_that_left_as_copies(
    tiny_settings: Callable[..., Settings],
) -> None:
    kept = load_samples("alpha", tiny_settings(COPIES="keep", OUTPUT_DIR=str(tiny_settings().output_path / "keep")))
    dropped = load_samples("alpha", tiny_settings())
    assert len(kept.readable) == len(dropped.readable) == len(kept.samples)
    assert set(dropped.readable["sample_id"]) == set(kept.samples["sample_id"])


def test_rows_left_for_other_reasons_are_not_settled_anew(tiny_settings: Callable[..., Settings]) -> None:
    """A limit leaves rows out where no copy and no conflict does: only those in use are prepared and packed."""
    data = load_samples("alpha", tiny_settings(LIMIT_PER_SPLIT=20))
    assert len(data.rejected) and not data.rejected["step"].isin(SETTLED).any()
    assert data.unsettled["sample_id"].tolist() == sorted(data.samples["sample_id"])


def test_a_class_with_a_single_training_picture_is_said() -> None:
    from fer.data.samples import _thin_classes

    rows = pd.DataFrame({"split": ["train"] * 3, "label": [0, 1, 1]})
    said = [note for note in _thin_classes("alpha", rows, 7) if "single training picture" in note]
    assert said == ["alpha: a single training picture of angry; a network can only memorise it"]


def test_classes_with_few_validation_pictures_are_one_line() -> None:
    from fer.data.samples import _thin_classes

    rows = pd.DataFrame({"split": "val", "label": [label for label in range(7) for _ in range(9 + (label > 1))]})
    (said,) = [note for note in _thin_classes("alpha", rows, 7) if "validation" in note]
    assert said == "alpha: few validation pictures of angry (9), disgust (9); scores that choose the epoch are noisy"
