"""Promises about the statistics of a study: right numbers, made once, honest about seeds, damage named."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from fake_study import FakeStudy
from made_results import CLASS_COUNTS, Study, one, predicted, read, with_oracles
from scipy import stats

from evaluation import load_predictions
from fer.metrics.metrics import compared_by
from fer.settings.settings import EMOTIONS, PROJECT
from fer.statistics.bootstrap import scores_once
from fer.statistics.comparisons import FILES, write_statistics
from fer.statistics.families import over_datasets
from utils import InputError


@pytest.fixture
def small(tmp_path: Path) -> Study:
    """Two models, one data set, one seed, one policy."""
    return Study(tmp_path, ("studio",), (("studio",),), models=("cnn", "vit"), tta=("none",))


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    return caplog


def stamps(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}


# ---------------------------------------------------------------- intervals and seeds


@pytest.mark.slow
def test_every_scored_row_has_its_intervals(small: Study) -> None:
    folder = write_statistics(small.output)
    assert {path.name for path in folder.iterdir()} == set(FILES)
    table = read(small, "intervals")
    run = small.plan()[0]
    labels, answer = predicted(small, run)
    own = table[table["run"] == run.name].set_index(["metric", "method"])
    expected = stats.binomtest(int((labels == answer).sum()), len(labels)).proportion_ci(method="wilson")
    assert own.loc[("accuracy", "wilson"), ["low", "high"]].tolist() == pytest.approx(list(expected))
    scores = scores_once(labels, answer, len(EMOTIONS))
    for name in compared_by("macro_f1"):
        row = own.loc[(name, "bootstrap over groups")]
        assert row["low"] < row["value"] < row["high"]
        assert row["value"] == pytest.approx(scores[name])
    groups = pd.read_csv(small.output / "samples" / "studio_samples.csv").query("split == 'test'")
    assert (own.xs("bootstrap over groups", level="method")["n_groups"] == len(labels) // 2).all()
    assert own.loc[("recall_disgust", "wilson"), "n_groups"] == groups.query("label == 1")["group"].nunique()
    assert own.loc[("recall_disgust", "wilson"), "n"] == 12


@pytest.mark.slow
def test_seeds_are_spread_over(tmp_path: Path) -> None:
    study = Study(tmp_path, ("studio",), (("studio",),), seeds=(1, 2, 3), tta=("none",))
    write_statistics(study.output)
    row = read(study, "seeds").set_index("metric").loc["macro_f1"]
    values = [scores_once(*predicted(study, run), len(EMOTIONS))["macro_f1"] for run in study.plan()]
    assert (row["mean"], row["sd"]) == pytest.approx((np.mean(values), np.std(values, ddof=1)))
    assert (row["n"], row["seeds"], row["folds"]) == (3, "1 2 3", "official")


@pytest.mark.slow
def test_folds_of_a_repeat_are_one_answer_to_all_rows(tmp_path: Path) -> None:
    folds = ("r0f0", "r0f1", "r1f0", "r1f1")
    study = Study(tmp_path, ("studio",), (("studio",),), tta=("none",), folds=folds)
    write_statistics(study.output)
    runs = study.plan()
    parts = [predicted(study, run) for run in runs]
    whole = [np.hstack(parts[:2]), np.hstack(parts[2:])]
    values = [scores_once(labels, answer, len(EMOTIONS))["macro_f1"] for labels, answer in whole]
    row = read(study, "seeds").set_index("metric").loc["macro_f1"]
    assert row["n"] == 2
    assert (row["min"], row["max"]) == pytest.approx((min(values), max(values)))
    pooled = read(study, "intervals").query("metric == 'macro_f1' and split.str.contains(' ')", engine="python")
    assert pooled["split"].tolist() == ["r0f0 | r0f1", "r1f0 | r1f1"]
    assert (pooled["n"] == sum(CLASS_COUNTS["test"])).all()


@pytest.mark.slow
def test_repeated_splits_are_trainings_of_their_own(tmp_path: Path) -> None:
    study = Study(tmp_path, ("studio",), (("studio",),), tta=("none",), folds=("r0", "r1"))
    write_statistics(study.output)
    assert (read(study, "seeds")["n"] == 2).all()


# ---------------------------------------------------------------- comparisons


def pair(study: Study, metric: str = "accuracy", **wanted: Any) -> pd.Series:
    table = read(study, "comparisons")
    for name, value in {"metric": metric, **wanted}.items():
        table = table[table[name] == value]
    assert len(table) == 1
    return table.iloc[0]


@pytest.mark.slow
def test_two_networks_are_compared_on_the_same_rows(small: Study) -> None:
    write_statistics(small.output)
    row = pair(small, family="models", first="cnn", second="vit")
    (labels, first), (_, second) = (predicted(small, run) for run in small.plan())
    right = first == labels, second == labels
    only = int((right[0] & ~right[1]).sum()), int((~right[0] & right[1]).sum())
    assert row["p_mcnemar"] == pytest.approx(stats.binomtest(only[0], sum(only)).pvalue)
    assert row["p"] >= row["p_mcnemar"]
    assert row["difference"] == pytest.approx(right[0].mean() - right[1].mean())
    assert row["weights_only"]


def test_three_seeds_speak_of_the_architecture(tmp_path: Path) -> None:
    study = Study(tmp_path, ("studio",), (("studio",),), models=("cnn", "vit"), seeds=(1, 2, 3), tta=("none",))
    write_statistics(study.output)
    row = pair(study, family="models", first="cnn", second="vit")
    assert (row["n_first"], row["n_second"], row["weights_only"]) == (3, 3, False)
    assert np.isnan(row["p_mcnemar"])
    assert "3 or more seeds a side" in (study.output / "statistics" / "statements.md").read_text()


def better_by_far(study: Study, run: Any) -> None:
    labels = np.repeat(np.arange(len(EMOTIONS)), study.counts["test"])
    study.write_predictions(run, one(run, study), probabilities=np.eye(len(EMOTIONS), dtype=np.float32)[labels])


@pytest.mark.slow
def test_what_is_declared_is_primary_and_the_rest_exploratory(small: Study) -> None:
    write_statistics(small.output)
    table = read(small, "comparisons")
    assert set(table["family"]) == {"models", "ensembles"}
    primary = (table["family"] == "models") & (table["metric"] == "macro_f1")
    assert ((table["role"] == "primary") == primary).all()
    path = small.output / "study.json"
    stored = json.loads(path.read_text())
    stored["config"] |= {"PRIMARY_METRIC": "cohen_kappa", "PRIMARY_COMPARISONS": ["ensembles"]}
    path.write_text(json.dumps(stored))
    write_statistics(small.output)
    table = read(small, "comparisons")
    assert ((table["role"] == "primary") == (table["metric"] == "cohen_kappa") & (table["family"] == "ensembles")).all()


@pytest.mark.slow
def test_primary_are_single_networks_on_what_they_were_trained_on(tmp_path: Path) -> None:
    """Each question once a setting: ensembles, unions, other datasets and other test variants are exploratory."""
    variants, tested = ("raw", "preprocessed", "augmented"), ("same", "raw")
    study = Study(tmp_path, variants=variants, models=("cnn", "vit"), test_variants=tested, tta=("none",))
    write_statistics(study.output)
    table = read(study, "comparisons").fillna({"train_on": "", "variant": "", "model": ""})
    primary = table[table["role"] == "primary"]
    assert not primary.duplicated(["family", "test_on", "train_on", "variant", "model", "first", "second"]).any()
    # two test sets and two training sets that hold each; three variants; two networks
    assert primary["family"].value_counts().to_dict() == {"models": 12, "variants": 24, "training sets": 12}
    for row in primary.to_dict("records"):
        trained = [row["first"], row["second"]] if row["family"] == "training sets" else [row["train_on"]]
        assert row["test_on"] in study.datasets and all(row["test_on"] in names.split("+") for names in trained)
        assert not any("ensemble" in row[name] for name in ("model", "first", "second"))
    # pairs across datasets are still compared, corrected for each other and labelled
    across = table.query("family == 'training sets' and metric == 'macro_f1' and model == 'cnn' and variant == 'raw'")
    pair = across[(across["first"] == "studio") & (across["second"] == "wild")]
    assert set(pair["role"]) == {"exploratory"}
    assert set(pair["test_on"]) == {"studio", "wild"}
    assert set(pair["pairs_in_family"]) == {2}  # of three, one is primary


@pytest.mark.slow
def test_a_statement_says_what_holds_and_of_what(small: Study) -> None:
    better_by_far(small, small.plan()[1])
    write_statistics(small.output)
    said = json.loads((small.output / "statistics" / "statements.json").read_text())["statements"]
    text = next(one for one in said if one["family"] == "ensembles" and one["metric"] == "accuracy")
    assert "has the highest accuracy, 1.000. It is better than cnn 0." in text["text"]
    assert re.search(r"No difference is shown between it and [^.]*1\.000", text["text"])
    networks = next(one for one in said if one["family"] == "models" and one["metric"] == "accuracy")
    assert networks["text"].startswith("vit has the highest accuracy, 1.000. It is better than cnn 0.")
    assert (networks["pairs"], networks["differences"], networks["n_groups"]) == (1, 1, 126)
    assert text["weights_only"] == "all"
    assert "These weights only" in text["scope"]
    assert text["scope"].startswith(f"p and intervals hold for all {text['pairs']} comparisons together")
    page = (small.output / "statistics" / "statements.md").read_text()
    assert page.index("## Primary differences: 1") < page.index("| studio | vit | cnn | macro-F1 +0.")
    assert page.index("| studio | vit | cnn | macro-F1 +0.") < page.index("## Exploratory differences")


@pytest.mark.slow
def test_a_page_of_many_comparisons_is_as_short_as_one_of_few(tmp_path: Path) -> None:
    """And says how many false differences to expect."""
    models = tuple(f"net{number}" for number in range(6))
    study = Study(tmp_path, models=models, variants=("raw", "preprocessed"))
    for planned in study.plan()[::2]:
        better_by_far(study, planned)
    write_statistics(study.output)
    assert len(read(study, "comparisons")) > 1000
    page = (study.output / "statistics" / "statements.md").read_text()
    assert page.count("\n") <= 80
    assert "expect up to" in page and "more, less sure than these" in page


@pytest.mark.slow
def test_equal_networks_are_a_tie(small: Study) -> None:
    for run in small.plan():
        better_by_far(small, run)
    write_statistics(small.output)
    row = pair(small, family="models", first="cnn", second="vit")
    assert (row["p"], row["verdict"]) == (1, "no difference shown")


@pytest.mark.slow
def test_families_hold_what_differs_in_one_thing(tmp_path: Path) -> None:
    sets = (("studio",), ("wild",), ("studio", "wild"))
    study = Study(tmp_path, train_on=sets, variants=("raw", "preprocessed", "augmented"), models=("cnn",))
    write_statistics(study.output)
    table = read(study, "comparisons").query("metric == 'accuracy' and test_on == 'studio'").fillna("")
    found = dict(list(table.groupby("family")))
    assert set(found) == {"TTA", "training sets", "variants"}
    variants = found["variants"].query("train_on == 'wild'")
    assert set(zip(variants["first"], variants["second"], strict=True)) == {
        ("augmented", "preprocessed"), ("augmented", "raw"), ("preprocessed", "raw"),
    }  # fmt: skip
    assert set(variants["test_variant"]) == {"own"}
    assert len(found["training sets"].query("variant == 'raw'")) == 3
    assert set(found["TTA"]["second"]) == {"none"}
    assert set(found["training sets"]["tta"]) == {"none"}


def test_six_data_sets_are_compared_by_their_ranks() -> None:
    same = {"variant": "raw", "balance": "none", "mixing": "natural", "selection": "macro_f1", "test_variant": "raw"}
    scores = np.random.default_rng(0).random((7, 3))
    rows = [
        same | {"train_on": train, "test_on": test, "model": model, "tta": "none", "is_oracle": False}
        | {"metric": "accuracy", "mean": scores["abcdefg".index(test), number] + (train != test)}
        for train in "abcdefg" for test in "abcdefg" for number, model in enumerate(("cnn", "resnet", "vit"))
    ]  # fmt: skip
    table = pd.DataFrame(over_datasets(pd.DataFrame(rows)))
    assert table["p"].iloc[0] == pytest.approx(stats.friedmanchisquare(*scores.T).pvalue)
    assert table["first"].tolist() == ["cnn", "cnn", "resnet"]
    assert over_datasets(pd.DataFrame([row for row in rows if row["test_on"] in "abcde"])) == []


# ---------------------------------------------------------------- oracles


@pytest.mark.slow
def test_optimism_is_oracle_minus_its_counterpart_and_kept_apart(tmp_path: Path) -> None:
    study = Study(tmp_path, ("studio",), (("studio",),), seeds=(1, 2, 3), tta=("none",))
    oracles = with_oracles(study)
    write_statistics(study.output)
    table = read(study, "optimism").query("metric == 'accuracy'")
    assert table["n_seeds"].tolist() == [1, 1, 1, 3]
    first = [np.equal(*predicted(study, run)).mean() for run in (oracles[0], study.plan()[0])]
    assert table["optimism"].iloc[0] == pytest.approx(first[0] - first[1])
    assert table["optimism"].iloc[3] == pytest.approx(table["optimism"].iloc[:3].mean())
    assert (table["low"] <= table["optimism"]).all()
    assert (table["low"] >= 0).all()
    assert "p" not in table
    assert table["weights_only"].tolist() == [True, True, True, False]
    assert read(study, "comparisons").empty
    assert read(study, "seeds").groupby("is_oracle")["n"].unique().map(list).to_dict() == {False: [3], True: [3]}


# ---------------------------------------------------------------- calibration and groups


@pytest.mark.slow
def test_temperatures_come_from_validation(small: Study) -> None:
    run = small.plan()[0]
    write_statistics(small.output)
    before = read(small, "calibration").set_index(["run", "probabilities"])
    better_by_far(small, run)  # other test answers, the same validation
    write_statistics(small.output)
    after = read(small, "calibration").set_index(["run", "probabilities"])
    place = (run.name, "temperature")
    assert after.loc[place, "temperature"] == before.loc[place, "temperature"]
    assert after.loc[place, "n_val"] == sum(CLASS_COUNTS["val"])
    assert np.isnan(before.loc[(run.name, "as trained"), "temperature"])
    found = load_predictions(run.folder / "predictions" / one(run, small, split="val")["file"])
    assert before.loc[place, "temperature"] == pytest.approx(
        best_temperature(found.labels, found.probabilities), rel=0.03
    )


def best_temperature(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """By trying many."""
    tried = np.geomspace(0.1, 10, 400)
    powers = [probabilities.astype(float) ** (1 / temperature) for temperature in tried]
    losses = [-np.log((p / p.sum(1, keepdims=True))[np.arange(len(labels)), labels]).mean() for p in powers]
    return float(tried[int(np.argmin(losses))])


@pytest.mark.slow
def test_balanced_training_is_corrected_for_its_prior(tmp_path: Path) -> None:
    study = Study(tmp_path, ("studio",), (("studio",),), variants=("preprocessed", "augmented"), tta=("none",))
    write_statistics(study.output)
    kinds = read(study, "calibration").groupby("variant")["probabilities"].unique().map(list).to_dict()
    assert kinds["preprocessed"] == ["as trained", "temperature"]
    assert kinds["augmented"] == ["as trained", "temperature", "prior corrected", "prior corrected, temperature"]
    bins = read(study, "reliability").groupby(["run", "probabilities"])["n"].sum()
    assert (bins == sum(CLASS_COUNTS["test"])).all()
    assert (read(study, "risk_coverage").groupby("run").size() <= 100).all()


@pytest.mark.slow
def test_groups_by_face_size_and_a_note_on_what_is_missing(small: Study) -> None:
    write_statistics(small.output)
    table = read(small, "groups")
    assert set(table["attribute"]) == {"face_size"}
    assert (table.groupby("run")["n"].sum() == sum(CLASS_COUNTS["test"])).all()
    assert (table.groupby("run")["is_worst"].sum() <= 1).all()
    assert "brightness" in (small.output / "statistics" / "statements.md").read_text()


# ---------------------------------------------------------------- made once, and damage


@pytest.mark.slow
def test_nothing_new_costs_nothing(small: Study) -> None:
    folder = write_statistics(small.output)
    before = stamps(folder)
    code = (
        "import sys; from pathlib import Path; from fer.statistics.comparisons import write_statistics\n"
        f"write_statistics(Path({str(small.output)!r}))\n"
        "heavy = {'scipy', 'sklearn', 'statsmodels', 'scikit_posthocs', 'torch', 'matplotlib'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    assert stamps(folder) == before


@pytest.mark.slow
@pytest.mark.parametrize("change", ["a prediction", "a group", "a missing file"])
def test_what_changed_is_made_anew(small: Study, change: str) -> None:
    folder = write_statistics(small.output)
    before = stamps(folder)
    if change == "a prediction":
        better_by_far(small, small.plan()[0])
    elif change == "a group":
        path = small.output / "samples" / "studio_samples.csv"
        path.write_text(pd.read_csv(path).assign(group=0).to_csv(index=False))
    else:
        (folder / "seeds.csv").unlink()
    write_statistics(small.output)
    assert stamps(folder)["intervals.csv"] != before["intervals.csv"]
    assert (folder / "seeds.csv").is_file()


def damage(study: Study, how: str) -> Path:
    run = study.plan()[0]
    path = run.folder / "predictions" / one(run, study)["file"]
    if how == "cut":
        path.write_bytes(path.read_bytes()[:200])
    elif how == "other rows":
        found = load_predictions(path)
        FakeStudy.write_predictions(study, run, one(run, study), sample_ids=np.char.add("new/", found.sample_ids))
    return path


@pytest.mark.slow
@pytest.mark.parametrize("how", ["cut", "other rows"])
def test_a_damaged_file_is_left_out_by_name(small: Study, how: str, logged: pytest.LogCaptureFixture) -> None:
    path = damage(small, how)
    write_statistics(small.output)
    assert str(path) in logged.text
    assert small.plan()[0].name not in set(read(small, "intervals")["run"])
    assert small.plan()[1].name in set(read(small, "intervals")["run"])
    assert path.name in (small.output / "statistics" / "statements.md").read_text()
    logged.clear()
    write_statistics(small.output)  # not taken for finished
    assert str(path) in logged.text


@pytest.mark.slow
def test_a_damaged_validation_file_costs_the_temperature_alone(small: Study, logged: pytest.LogCaptureFixture) -> None:
    run = small.plan()[0]
    path = run.folder / "predictions" / one(run, small, split="val")["file"]
    path.write_bytes(b"cut")
    write_statistics(small.output)
    assert str(path) in logged.text
    kinds = read(small, "calibration").groupby("run")["probabilities"].unique().map(list)
    assert kinds[run.name] == ["as trained"]
    assert kinds[small.plan()[1].name] == ["as trained", "temperature"]
    small.write_predictions(run, one(run, small, split="val"))
    write_statistics(small.output)
    assert read(small, "calibration").query("run == @run.name")["probabilities"].tolist() == [
        "as trained",
        "temperature",
    ]


def test_no_run_yet_leaves_empty_tables(tmp_path: Path) -> None:
    study = Study(tmp_path, finished=False)
    write_statistics(study.output)
    assert read(study, "intervals").empty
    assert "value" in read(study, "intervals")


def test_no_study_is_an_error_with_its_fix(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"study\.json"):
        write_statistics(tmp_path)


def sample_columns(study: Study) -> Iterator[pd.Series]:
    for name in ("intervals", "seeds", "comparisons", "calibration", "groups", "reliability", "risk_coverage"):
        yield read(study, name)["sample_data"]


@pytest.mark.slow
def test_drawn_faces_are_called_sample_data(tmp_path: Path) -> None:
    study = Study(tmp_path, train_on=(("studio",), ("wild",)), models=("cnn", "vit"), tta=("none",))
    study.sample_data = ("wild",)
    study.write()
    write_statistics(study.output)
    for column in sample_columns(study):
        assert set(column) == {True, False}
    said = json.loads((study.output / "statistics" / "statements.json").read_text())["statements"]
    assert all(one["text"].startswith("SAMPLE DATA.") == one["sample_data"] for one in said)
