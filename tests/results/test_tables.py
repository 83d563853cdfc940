"""Promises about tables: right numbers, the same bytes again, nothing computed twice, what is damaged named."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from fake_study import FakeStudy

import fer.results.scores as scores
from fer.columns.files import RESULTS, TEST_ONLY
from fer.report.paper_tables import paper_tables
from fer.results.scores import MAJORITY
from fer.results.study_files import read_study
from fer.results.tables import read_results, write_funnel, write_tables
from fer.settings.settings import EMOTIONS, PROJECT
from utils import InputError

CSV_FILES = ("results.csv", "validation_results.csv", "per_class_results.csv")


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    return caplog


def state(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Time and bytes of every file below a folder, the lock files aside."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.suffix != ".lock"]
    return {str(path.relative_to(folder)): (path.stat().st_mtime_ns, path.read_bytes()) for path in files}


def test_entry(study: FakeStudy, **wanted: str) -> tuple[Any, dict[str, str]]:
    """First run of the plan, and its first test entry that holds these values."""
    planned = study.plan()[0]
    listed = json.loads((study.output / "study.json").read_text())["predictions"][planned.name]
    wanted = {"split": "test", **wanted}
    return planned, next(item for item in listed if wanted.items() <= item.items())


test_entry.__test__ = False  # type: ignore[attr-defined]


def one_hot(classes: list[int]) -> np.ndarray:
    return np.eye(len(EMOTIONS), dtype=np.float32)[classes]


@pytest.fixture
def small(tmp_path: Path) -> FakeStudy:
    """One run on one dataset, one policy; test rows: two angry, one disgust, one happy."""
    counts = {"train": (3, 2, 2, 9, 2, 2, 2), "val": (1,) * 7, "test": (2, 1, 0, 1, 0, 0, 0)}
    study = FakeStudy(tmp_path, ("studio",), (("studio",),), tta=("none",), class_counts=counts)
    study.write_predictions(*test_entry(study), probabilities=one_hot([0, 1, 1, 3]))
    return study


def test_results_hold_hand_computed_metrics_with_absent_classes(small: FakeStudy) -> None:
    results, _ = write_tables(small.output)
    row = results[results["run"] != MAJORITY].iloc[0]
    assert row["accuracy"] == pytest.approx(3 / 4)
    assert row["balanced_accuracy"] == row["macro_recall"] == pytest.approx((1 / 2 + 1 + 1) / 3)
    assert row["macro_precision"] == pytest.approx((1 + 1 / 2 + 1) / 3)
    assert row["macro_f1"] == pytest.approx((2 / 3 + 2 / 3 + 1) / 3)
    assert row["macro_auc"] == pytest.approx((3 / 4 + 2.5 / 3 + 1) / 3)
    assert row["cohen_kappa"] == pytest.approx((3 / 4 - 5 / 16) / (1 - 5 / 16))
    assert (row["n_train"], row["n_val"], row["n_test"], row["n_classes"]) == (22, 7, 4, 3)

    classes = pd.read_csv(small.output / "per_class_results.csv")
    classes = classes[classes["run"] != MAJORITY].set_index("class")
    assert list(classes.index) == list(EMOTIONS)
    assert classes["support"].tolist() == [2, 1, 0, 1, 0, 0, 0]
    assert classes["precision"].iloc[0] == 1
    assert classes["recall"].iloc[0] == 0.5
    assert np.isnan(classes.loc["fear", ["precision", "recall", "f1", "auc"]].to_numpy(dtype=float)).all()


def test_majority_class_answers_the_largest_training_class(small: FakeStudy) -> None:
    results, validation = write_tables(small.output)
    row = results[results["run"] == MAJORITY].iloc[0]
    assert (row["model"], row["test_on"], row["train_on"]) == (MAJORITY, "studio", "studio")
    assert row["accuracy"] == pytest.approx(1 / 4)  # happy is the largest class of training, angry of test
    assert row["balanced_accuracy"] == pytest.approx(1 / 3)
    assert validation.loc[validation["run"] == MAJORITY, "accuracy"].item() == pytest.approx(1 / 7)


@pytest.mark.slow
def test_one_row_per_run_set_and_policy_in_the_promised_columns(tmp_path: Path) -> None:
    study = FakeStudy(tmp_path, seeds=(1, 2), sample_data=("wild",), limit=300)
    results, validation = write_tables(tmp_path)
    assert list(results) == list(RESULTS)
    assert list(validation) == [{"n_test": "n_rows"}.get(name, name) for name in RESULTS if name not in TEST_ONLY]
    runs = results[results["run"] != MAJORITY]
    unions = len(study.seeds) * len(study.tta)
    assert len(runs) == len(study.plan()) * len(study.datasets) * len(study.tta) + unions
    assert not runs.duplicated(["run", "test_on", "test_variant", "tta"]).any()
    assert set(runs["run"]) == {planned.name for planned in study.plan()}
    assert sorted(results.loc[results["run"] == MAJORITY, "test_on"]) == ["studio", "studio+wild", "wild"]
    combined = runs[runs["train_on"] == "studio+wild"]
    assert set(combined["n_train"]) == {2 * sum(study.counts["train"])}
    union = runs[runs["test_on"] == "studio+wild"]
    assert set(union["train_on"]) == {"studio+wild"}
    assert set(union["n_test"]) == {2 * sum(study.counts["test"])}
    parts = combined[combined["test_on"] != "studio+wild"].groupby(["run", "tta"])["accuracy"].mean()
    assert union.set_index(["run", "tta"])["accuracy"].sort_index().to_numpy() == pytest.approx(parts.to_numpy())
    assert set(results["limit_per_split"]) == {300}
    only_studio = (results["train_on"] == "studio") & (results["test_on"] == "studio")
    assert results["sample_data"].tolist() == (~only_studio).tolist()
    assert set(validation["n_rows"]) == {sum(study.counts["val"])}
    stored = pd.read_csv(tmp_path / "results.csv")
    assert stored["macro_f1"].tolist() == results["macro_f1"].tolist(), "floats are written unrounded"


@pytest.mark.slow
def test_second_call_changes_no_file_and_computes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    FakeStudy(tmp_path, train_on=(("studio", "wild"),))
    first = write_tables(tmp_path)
    before = state(tmp_path)
    monkeypatch.setattr(scores, "all_metrics", None)  # a call would raise
    second = write_tables(tmp_path)
    assert state(tmp_path) == before
    pd.testing.assert_frame_equal(first[0], second[0])
    pd.testing.assert_frame_equal(first[1], second[1])


@pytest.mark.slow
def test_tables_do_not_depend_on_the_cache_or_on_the_order_of_the_plan(tmp_path: Path) -> None:
    FakeStudy(tmp_path, train_on=(("wild",), ("studio", "wild")))
    write_tables(tmp_path)
    before = {name: (tmp_path / name).read_bytes() for name in CSV_FILES}
    for path in (tmp_path / "cache" / "tables.json", *(tmp_path / name for name in CSV_FILES)):
        path.unlink()
    path = tmp_path / "study.json"
    stored = json.loads(path.read_text())
    path.write_text(json.dumps(stored | {"runs": stored["runs"][::-1]}))
    write_tables(tmp_path)
    assert {name: (tmp_path / name).read_bytes() for name in CSV_FILES} == before


@pytest.mark.slow
def test_only_new_predictions_are_scored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study = FakeStudy(tmp_path, seeds=(1,))
    write_tables(tmp_path)
    study.seeds = (1, 2)
    study.write()
    scored = []
    compute = scores.all_metrics

    def counted(labels: np.ndarray, probabilities: np.ndarray) -> dict[str, float]:
        scored.append(len(labels))
        return compute(labels, probabilities)

    monkeypatch.setattr(scores, "all_metrics", counted)
    results, _ = write_tables(tmp_path)
    new_files = list(tmp_path.glob("saved_models/*__s2__*/predictions/*.npz"))
    assert new_files
    new_unions = len(study.tta)
    assert len(scored) == len(new_files) + new_unions
    assert set(results["seed"].dropna()) == {1, 2}


def test_new_key_with_other_probabilities_is_scored_again(small: FakeStudy) -> None:
    write_tables(small.output)
    planned, item = test_entry(small)
    path = small.output / "study.json"
    path.write_text(path.read_text().replace(item["key"], "new key"))
    small.write_predictions(planned, item | {"key": "new key"}, probabilities=one_hot([0, 0, 1, 3]))
    results, _ = write_tables(small.output)
    assert results.loc[results["run"] == planned.name, "accuracy"].item() == 1


@pytest.mark.slow
@pytest.mark.parametrize("damage", ["cut", "classes", "key", "nan", "gone"])
def test_damaged_predictions_are_left_out_named_and_taken_back_once_mended(
    tmp_path: Path, logged: pytest.LogCaptureFixture, damage: str
) -> None:
    study = FakeStudy(tmp_path, train_on=(("studio",),))
    whole, _ = write_tables(tmp_path)
    (tmp_path / "cache" / "tables.json").unlink()
    planned, item = test_entry(study, test_on="wild", tta="three_views")
    path = planned.folder / "predictions" / item["file"]
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:400])
    elif damage == "gone":
        path.unlink()
    else:
        rows = sum(study.counts["test"])
        changes: dict[str, dict[str, Any]] = {
            "classes": {"classes": EMOTIONS[::-1]},
            "key": {"key": "of other weights"},
            "nan": {"probabilities": np.full((rows, len(EMOTIONS)), np.nan, np.float32)},
        }
        study.write_predictions(planned, item, **changes[damage])
    for _ in range(2):  # also when all others come from the cache
        logged.clear()
        results, _ = write_tables(tmp_path)
        assert [str(path) in record.getMessage() for record in logged.records] == [True]
        left_out = whole["run"].eq(planned.name) & whole["test_on"].eq("wild") & whole["tta"].eq("three_views")
        pd.testing.assert_frame_equal(results, whole[~left_out].reset_index(drop=True))
    study.write_predictions(planned, item)
    pd.testing.assert_frame_equal(write_tables(tmp_path)[0], whole)


def test_cut_file_is_noticed_although_its_metrics_are_known(small: FakeStudy, logged: pytest.LogCaptureFixture) -> None:
    write_tables(small.output)
    planned, item = test_entry(small)
    path = planned.folder / "predictions" / item["file"]
    path.write_bytes(path.read_bytes()[:-100])
    results, _ = write_tables(small.output)
    assert results.empty
    assert str(path) in logged.text


@pytest.mark.slow
def test_damaged_run_json_leaves_out_that_run_only(tmp_path: Path, logged: pytest.LogCaptureFixture) -> None:
    study = FakeStudy(tmp_path)
    first, *others = study.plan()
    (first.folder / "run.json").write_text('{"inputs": {}}')
    results, _ = write_tables(tmp_path)
    assert set(results["run"]) == {planned.name for planned in others} | {MAJORITY}
    assert str(first.folder / "run.json") in logged.text


@pytest.mark.slow
def test_damaged_samples_table_leaves_out_the_majority_row_only(
    tmp_path: Path, logged: pytest.LogCaptureFixture
) -> None:
    FakeStudy(tmp_path)
    whole, _ = write_tables(tmp_path)
    path = tmp_path / "samples" / "wild_samples.csv"
    path.write_text("label,split\nhappy,test\n")
    results, _ = write_tables(tmp_path)
    left_out = whole["run"].eq(MAJORITY) & whole["test_on"].str.contains("wild")
    pd.testing.assert_frame_equal(results, whole[~left_out].reset_index(drop=True))
    assert str(path) in logged.text


@pytest.mark.slow
def test_edited_or_damaged_outputs_are_written_again(tmp_path: Path, logged: pytest.LogCaptureFixture) -> None:
    FakeStudy(tmp_path, train_on=(("studio", "wild"),))
    write_tables(tmp_path)
    before = {name: (tmp_path / name).read_bytes() for name in CSV_FILES}
    (tmp_path / "results.csv").write_text("edited by hand")
    (tmp_path / "per_class_results.csv").unlink()
    (tmp_path / "cache" / "tables.json").write_text('{"version": [')
    write_tables(tmp_path)
    assert {name: (tmp_path / name).read_bytes() for name in CSV_FILES} == before
    assert "tables.json" in logged.text


def test_study_without_a_finished_run_still_has_tables(tmp_path: Path) -> None:
    FakeStudy(tmp_path, finished=False)
    results, validation = write_tables(tmp_path)
    assert results.empty
    assert validation.empty
    assert list(pd.read_csv(tmp_path / "results.csv")) == list(RESULTS)


@pytest.mark.parametrize("content", [None, "[1]", "{}", '{"runs": ['])
def test_unusable_study_json_is_named(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "study.json").write_text(content)
    with pytest.raises(InputError, match=re.escape(str(tmp_path / "study.json"))):
        write_tables(tmp_path)


def test_funnel_joins_the_datasets(tmp_path: Path) -> None:
    FakeStudy(tmp_path, sample_data=("wild",))
    write_funnel(tmp_path, ["studio", "wild"])
    funnel = pd.read_csv(tmp_path / "selection_funnel.csv")
    assert list(funnel) == ["dataset", "step", "removed", "kept", "found", "sample_data"]
    assert funnel["dataset"].tolist() == ["studio"] * 3 + ["wild"] * 3
    assert funnel["step"].tolist() == ["listed", "copies", "used"] * 2  # faces were never looked for
    assert funnel["sample_data"].tolist() == [False] * 3 + [True] * 3


@pytest.mark.slow
@pytest.mark.parametrize(("no_face", "removed"), [("keep", 0), ("reject", 1)])
def test_funnel_counts_training_rows_rejected_for_want_of_a_face(tmp_path: Path, no_face: str, removed: int) -> None:
    FakeStudy(tmp_path)
    study_json = tmp_path / "study.json"
    study_json.write_text(study_json.read_text().replace('"NO_FACE": "keep"', f'"NO_FACE": "{no_face}"'))
    rows = pd.DataFrame(
        {"sample_id": ["a", "b", "c"], "split": ["train", "test", "train"], "found": [False, False, True]}
    )
    rows.to_csv(tmp_path / "samples" / "studio_no_face.csv", index=False)
    funnel = write_funnel(tmp_path, ["studio"]).set_index("step")
    assert funnel.loc["no face", "removed"] == removed
    assert funnel.loc["no face", "found"] == funnel.loc["copies", "kept"] - 2
    assert funnel.loc["used", "kept"] == funnel.loc["copies", "kept"] - removed


# ---------------------------------------------------------------- sections, ensembles, copies, oracle


@pytest.mark.slow
def test_each_row_names_its_kind_of_experiment(tmp_path: Path) -> None:
    names = ("a", "b", "c")
    trained = (("a",), ("a", "b"), names)
    counts = {"train": (2,) * 7, "val": (1,) * 7, "test": (1,) * 7}
    FakeStudy(tmp_path, names, trained, models=("tiny", "other"), tta=("none",), splits=("test",), class_counts=counts)
    results = write_tables(tmp_path)[0]
    ensembles = results["model"].str.startswith("ensemble_")
    assert set(results.loc[ensembles, "section"]) == {"ensemble"}
    members = results.loc[ensembles & (results["train_on"] == "a"), "members"].str.split(" / ").map(set)
    assert all(found == set(results.loc[results["train_on"].eq("a") & results["model"].isin(["tiny", "other"]), "run"])
               for found in members)  # fmt: skip
    tiny = results[results["model"] == "tiny"].set_index(["train_on", "test_on"])["section"].to_dict()
    assert tiny == {
        ("a", "a"): "individual", ("a", "b"): "cross", ("a", "c"): "cross",
        ("a+b", "a"): "combined", ("a+b", "b"): "combined", ("a+b", "a+b"): "combined",
        ("a+b", "c"): "leave_one_out",
        ("a+b+c", "a"): "combined", ("a+b+c", "b"): "combined", ("a+b+c", "c"): "combined",
        ("a+b+c", "a+b+c"): "combined",
    }  # fmt: skip


def test_gain_of_tta_is_against_the_same_pictures_without_it(tmp_path: Path) -> None:
    FakeStudy(tmp_path, train_on=(("studio",),), splits=("test",))
    results = write_tables(tmp_path)[0].query("run != @MAJORITY").set_index(["test_on", "tta"])
    for test_on in ("studio", "wild"):
        plain, views = results.loc[(test_on, "none")], results.loc[(test_on, "three_views")]
        assert views["tta_gain"] == pytest.approx(views["accuracy"] - plain["accuracy"])
        assert np.isnan(plain["tta_gain"])


@pytest.mark.slow
def test_accuracy_is_split_by_copies_in_training_and_follows_the_samples_table(small: FakeStudy) -> None:
    planned, item = test_entry(small)
    ids = np.array(["s/0", "s/1", "s/2", "s/3"])
    small.write_predictions(planned, item, sample_ids=ids, probabilities=one_hot([0, 1, 1, 3]))

    def row() -> dict[str, Any]:
        results = write_tables(small.output)[0]
        return results[results["run"] == planned.name].iloc[0].to_dict()

    assert pd.isna(row()["n_copies"]), "without samples tables the copies are not known"
    write_contents(small.output, {"s/0": "x", "s/1": "y", "s/2": "z", "s/3": "z"}, ["y", "q"], key="first")
    found = row()
    assert (found["n_copies"], found["accuracy_copies"]) == (1, 0)
    assert (found["n_without_copies"], found["accuracy_without_copies"]) == (3, 1)
    classes = pd.read_csv(small.output / "per_class_results.csv")
    copies = next(t for t in paper_tables(small.output, read_results(small.output), classes) if t.name == "copies")
    cells = [cell.text for cell in copies.rows[0].cells[-7:]]
    assert cells == ["75.0", "100.0", "–", "0.0", "1", "–", "1"]
    assert "without an identical copy" in [column.name for column in copies.columns]
    write_contents(small.output, {"s/0": "x", "s/1": "y", "s/2": "z", "s/3": "z"}, ["q"], key="second")
    found = row()
    assert (found["n_copies"], found["n_without_copies"]) == (0, 4)
    assert np.isnan(found["accuracy_copies"])


def write_contents(output: Path, tests: dict[str, str], train: list[str], key: str) -> None:
    """A samples table of "studio" with these test contents by sample_id, and training contents."""
    rows = [{"sample_id": i, "label": 0, "split": "test", "content": c} for i, c in tests.items()]
    rows += [{"sample_id": f"t/{i}", "label": 0, "split": "train", "content": c} for i, c in enumerate(train)]
    pd.DataFrame(rows).to_csv(output / "samples" / "studio_samples.csv", index=False)
    pd.DataFrame(columns=["sample_id", "step", "split", "content"]).to_csv(
        output / "samples" / "studio_rejected.csv", index=False
    )
    (output / "samples" / "studio_samples.json").write_text(json.dumps({"key": key}))


def with_oracle(tmp_path: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Tables of one run chosen on validation and one better run whose epoch was chosen on the test set."""
    counts = {"train": (3,) * 7, "val": (1,) * 7, "test": (2,) * 7}
    study = FakeStudy(tmp_path, ("studio",), (("studio",),), models=("tiny", "peeking"), class_counts=counts,
                      tta=("none",))  # fmt: skip
    peeking = next(planned for planned in study.plan() if planned.run.model == "peeking")
    path = peeking.folder / "run.json"
    path.write_text(path.read_text().replace('"selection": "macro_f1"', '"selection": "oracle"'))
    item = next(i for i in json.loads((tmp_path / "study.json").read_text())["predictions"][peeking.name]
                if i["split"] == "test")  # fmt: skip
    study.write_predictions(peeking, item, probabilities=one_hot(sorted(list(range(7)) * 2)))
    return write_tables(tmp_path)


def test_optimism_stands_beside_the_oracle_of_the_same_training(tmp_path: Path) -> None:
    with_oracle(tmp_path)
    path = next(tmp_path.glob("saved_models/*peeking*/run.json"))
    path.write_text(path.read_text().replace('"model": "peeking"', '"model": "tiny"'))
    results, validation = write_tables(tmp_path)
    chosen, oracle = (results[results["selection"] == rule].iloc[0] for rule in ("macro_f1", "oracle"))
    assert oracle["optimism"] == pytest.approx(1 - chosen["accuracy"])
    assert results["optimism"].notna().sum() == 1
    assert "optimism" not in validation


@pytest.mark.slow
def test_reading_a_finished_study_needs_no_heavy_package() -> None:
    code = (
        "import sys, fer.results.tables, fer.report.summary, fer.figures.draw;"
        "print([m for m in ('torch', 'timm', 'sklearn', 'matplotlib', 'seaborn') if m in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_a_study_knows_what_it_declared(tmp_path: Path) -> None:
    study = FakeStudy(tmp_path, train_on=(("studio",),))
    assert (read_study(tmp_path).primary_metric, len(read_study(tmp_path).primary_comparisons)) == ("macro_f1", 3)
    path = study.output / "study.json"
    stored = json.loads(path.read_text())
    declared = {"PRIMARY_METRIC": "accuracy", "PRIMARY_COMPARISONS": ["TTA"]}
    path.write_text(json.dumps(stored | {"config": stored["config"] | declared}))
    assert (read_study(tmp_path).primary_metric, read_study(tmp_path).primary_comparisons) == ("accuracy", ("TTA",))
    path.write_text(json.dumps(stored | {"config": stored["config"] | declared | {"PRIMARY_METRIC": "<b>"}}))
    with pytest.raises(InputError, match="no metric"):
        read_study(tmp_path)
