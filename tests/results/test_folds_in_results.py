"""Promises about folds in results: pooled once, the same numbers everywhere, no seeds; only whole teams vote."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from fake_study import FakeStudy
from made_results import Study, with_oracles

from evaluation import load_predictions
from fer.figures.draw import figure_jobs
from fer.report.paper_tables import write_paper_tables
from fer.report.table_formats import as_markdown
from fer.results.ensembles import with_derived
from fer.results.scores import MAJORITY
from fer.results.study_files import read_study
from fer.results.tables import write_tables
from fer.results.trainings import per_training, spread_words
from fer.settings.settings import EMOTIONS
from fer.statistics.bootstrap import scores_once
from fer.statistics.comparisons import write_statistics

FOLDS = ("r0f0", "r0f1", "r1f0", "r1f1")


@dataclass
class Folds(Study):
    """Two repeats of two folds of "studio"; all of them answer the same rows of "wild", an official test set."""

    folds: tuple[str, ...] = FOLDS

    def write_predictions(self, planned: Any, item: dict[str, str], **changes: Any) -> Path:
        if item["test_on"] == "studio":
            return super().write_predictions(planned, item, **changes)
        return FakeStudy.write_predictions(self, planned, item, sample_ids=self.ids("wild", item["split"]))


def make(tmp_path: Path, **parts: Any) -> Folds:
    return Folds(tmp_path, **{"train_on": (("studio",),), "tta": ("none",), **parts})


def pooled_scores(study: Folds, repeat: str, seed: int = 42, model: str = "tiny") -> dict[str, float]:
    """By hand: the folds of a repeat after one another."""
    runs = [p for p in study.plan() if p.run.split.startswith(repeat) and (p.run.seed, p.run.model) == (seed, model)]
    found = [load_predictions(next((run.folder / "predictions").glob("studio__test__*none*"))) for run in runs]
    labels, answers = (np.concatenate([getattr(one, name) for one in found]) for name in ("labels", "predicted"))
    return scores_once(labels, answers, len(EMOTIONS))


@pytest.mark.slow
def test_every_table_and_figure_is_made_of_pooled_folds(tmp_path: Path) -> None:
    study = make(tmp_path)
    results, _ = write_tables(tmp_path)
    values = [pooled_scores(study, repeat)["macro_f1"] for repeat in ("r0", "r1")]
    mean, sd = np.mean(values), np.std(values, ddof=1)
    own = results[(results["test_on"] == "studio") & (results["run"] != MAJORITY)]
    assert own["rows"].value_counts().to_dict() == {"fold": 4, "pooled": 2}
    assert own.query("rows == 'pooled'")["macro_f1"].tolist() == pytest.approx(values)
    tables = {table.name: table for table in write_paper_tables(tmp_path, results)}
    wide = pd.read_csv(tmp_path / "comprehensive_results.csv").query("section == 'individual'").iloc[0]
    assert (wide["studio none macro_f1"], wide["studio none macro_f1 sd"]) == pytest.approx((mean, sd))
    assert wide["studio none n"] == 2
    shown = {"md": f"{100 * mean:.1f} ± {100 * sd:.1f}"}
    shown["tex"] = rf"{100 * mean:.1f}\,{{\scriptsize $\pm$ {100 * sd:.1f}}}"
    for suffix in ("md", "tex"):
        text = (tmp_path / "tables" / f"comprehensive_individual.{suffix}").read_text()
        assert shown[suffix] in text
        assert f"{sum(study.counts['test'])} pictures, folds pooled" in text
        assert "repeats of one seed" in text
    recall = tables["per_class_recall_studio_pooled"]
    assert recall.rows[0].cells[-1].text == "2"
    jobs = figure_jobs(with_derived(read_study(tmp_path)), "png")
    panel = jobs["metrics/studio_metrics.png"].details["panels"]["macro-F1"]["tiny"]["preprocessed"]
    assert panel["values"] == pytest.approx(values)
    assert len([name for name in jobs if name.startswith("confusion_matrices/studio")]) == 2
    write_statistics(tmp_path)
    seeds = pd.read_csv(tmp_path / "statistics" / "seeds.csv").query("metric == 'macro_f1' and test_on == 'studio'")
    assert seeds[["mean", "sd", "n", "n_seeds", "n_repeats"]].iloc[0].tolist() == pytest.approx([mean, sd, 2, 1, 2])


@pytest.mark.slow
def test_the_baseline_answers_the_same_rows_as_the_networks(tmp_path: Path) -> None:
    study = make(tmp_path)
    results, _ = write_tables(tmp_path)
    baseline = results.query("run == @MAJORITY and test_on == 'studio'")
    assert baseline["rows"].tolist() == ["pooled"]
    assert baseline["n_test"].tolist() == [sum(study.counts["test"])]
    most = int(np.argmax(np.sum([study.counts[split] for split in ("train", "val")], axis=0)))
    assert baseline["accuracy"].item() == pytest.approx(study.counts["test"][most] / sum(study.counts["test"]))


@pytest.mark.slow
def test_folds_on_another_sets_own_rows_are_averaged_and_no_seeds(tmp_path: Path) -> None:
    make(tmp_path)
    results, _ = write_tables(tmp_path)
    cross = results.query("test_on == 'wild' and run != @MAJORITY")
    assert (cross["rows"].tolist(), len(cross)) == (["official"] * 4, 4)
    means = per_training(cross)
    assert sorted(means["split"]) == ["r0", "r1"]
    first = cross[cross["split"].str.startswith("r0")]["accuracy"].mean()
    assert means.set_index("split").loc["r0", "accuracy"] == pytest.approx(first)
    assert spread_words(means) == "repeats of one seed"
    pd.testing.assert_frame_equal(per_training(means), means)


@pytest.mark.slow
def test_folds_are_not_counted_as_seeds(tmp_path: Path) -> None:
    make(tmp_path, models=("cnn", "vit"))
    write_statistics(tmp_path)
    table = pd.read_csv(tmp_path / "statistics" / "comparisons.csv").query("family == 'models'")
    assert set(table["test_on"]) == {"studio", "wild"}
    assert table["weights_only"].all()
    assert (table["seeds_first"] == 1).all()
    assert (table["n_folds"] == 4).all()
    said = json.loads((tmp_path / "statistics" / "statements.json").read_text())["statements"]
    for one in said:
        assert "These weights only" in one["scope"]
        assert "4 folds: their trainings share most of their pictures" in one["scope"]
        assert "other seeds and other pictures" not in one["scope"]


@pytest.mark.slow
def test_three_seeds_of_folds_are_three_seeds(tmp_path: Path) -> None:
    make(tmp_path, models=("cnn", "vit"), seeds=(1, 2, 3), datasets=("studio",))
    write_statistics(tmp_path)
    table = pd.read_csv(tmp_path / "statistics" / "comparisons.csv").query("family == 'models'")
    assert (table["seeds_first"] == 3).all()
    assert (table["n_first"] == 6).all()
    assert not table["weights_only"].any()


@pytest.mark.slow
def test_a_repeat_with_a_fold_missing_stands_in_no_mean(tmp_path: Path) -> None:
    study = make(tmp_path, datasets=("studio",))
    shutil.rmtree(study.plan()[1].folder)
    results, _ = write_tables(tmp_path)
    own = results.query("run != @MAJORITY")
    assert own.query("rows == 'pooled'")["split"].tolist() == ["r1"]
    assert (own["rows"] == "fold").sum() == 3
    reasons = json.loads((tmp_path / "tables" / "left_out.json").read_text())
    assert any("1 of 2 planned folds are scored; not there: r0f1" in reason for reason in reasons)


@pytest.mark.slow
def test_a_damaged_fold_is_said_and_the_repeat_left_out(tmp_path: Path) -> None:
    study = make(tmp_path, datasets=("studio",))
    path = next((study.plan()[0].folder / "predictions").glob("studio__test__*"))
    path.write_bytes(path.read_bytes()[:100])
    results, _ = write_tables(tmp_path)
    assert results.query("rows == 'pooled' and run != @MAJORITY")["split"].tolist() == ["r1"]
    reasons = " ".join(json.loads((tmp_path / "tables" / "left_out.json").read_text()))
    assert path.name in reasons
    assert "not there: r0f0" in reasons


@pytest.mark.slow
def test_calibration_and_groups_are_of_pooled_folds(tmp_path: Path) -> None:
    study = make(tmp_path, datasets=("studio",))
    write_statistics(tmp_path)
    for name in ("calibration", "groups"):
        table = pd.read_csv(tmp_path / "statistics" / f"{name}.csv")
        assert table["run"].nunique() == 2, name
    calibration = pd.read_csv(tmp_path / "statistics" / "calibration.csv")
    assert (calibration["n"] == sum(study.counts["test"])).all()
    assert set(calibration["probabilities"]) == {"as trained", "temperature"}


@pytest.mark.slow
def test_a_training_costs_once_whatever_it_was_tested_on(tmp_path: Path) -> None:
    study = make(tmp_path, seeds=(1, 2))
    for planned in study.plan():
        record = json.loads((planned.folder / "run.json").read_text())
        record["facts"]["train_seconds"] = 10.0 * planned.run.seed
        (planned.folder / "run.json").write_text(json.dumps(record))
    results, _ = write_tables(tmp_path)
    assert set(results["test_on"]) == {"studio", "wild"}
    write_paper_tables(tmp_path, results)
    cost = pd.read_csv(tmp_path / "tables" / "cost.csv").iloc[0]
    assert cost["n"] == 4, "two seeds of two repeats"
    assert (cost["train_seconds"], cost["train_seconds sd"]) == pytest.approx((15, np.std([10, 10, 20, 20], ddof=1)))


@pytest.mark.slow
def test_an_oracle_is_no_training_that_cost_anything(tmp_path: Path) -> None:
    with_oracles(Study(tmp_path, train_on=(("studio",),), seeds=(1, 2), tta=("none",)))
    results, _ = write_tables(tmp_path)
    write_paper_tables(tmp_path, results)
    assert pd.read_csv(tmp_path / "tables" / "cost.csv")["n"].tolist() == [2]


# ---------------------------------------------------------------- ensembles


@pytest.mark.slow
def test_only_whole_teams_vote(tmp_path: Path) -> None:
    study = FakeStudy(tmp_path, ("studio",), (("studio",),), models=("a", "b", "c"), seeds=(1, 2, 3), tta=("none",))
    gone = next(planned for planned in study.plan() if (planned.run.model, planned.run.seed) == ("b", 2))
    shutil.rmtree(gone.folder)
    results, _ = write_tables(tmp_path)
    votes = results[results["model"] == "ensemble_soft"]
    assert votes["seed"].tolist() == [1, 3]
    assert {len(members.split(" / ")) for members in votes["members"]} == {3}
    tables = {table.name: as_markdown(table) for table in write_paper_tables(tmp_path, results)}
    line = next(line for line in tables["comprehensive_ensemble"].splitlines() if "soft" in line)
    assert line.rstrip(" |").endswith("2")
    reasons = json.loads((tmp_path / "tables" / "left_out.json").read_text())
    assert reasons == [
        f"The ensembles of studio, preprocessed, seed 2: 2 of 3 planned networks are finished; not there: {gone.name}."
    ]


def test_teams_whose_training_has_not_begun_are_not_called_left_out(tmp_path: Path) -> None:
    FakeStudy(tmp_path, ("studio",), (("studio",),), models=("a", "b"), finished=False)
    assert with_derived(read_study(tmp_path)).left_out == ()


# ---------------------------------------------------------------- oracles


@pytest.mark.slow
def test_optimism_is_told_only_of_sets_the_oracle_saw(tmp_path: Path) -> None:
    study = Study(tmp_path, train_on=(("studio",),), seeds=(1, 2), tta=("none",))
    with_oracles(study)
    write_statistics(tmp_path)
    assert set(pd.read_csv(tmp_path / "statistics" / "optimism.csv")["test_on"]) == {"studio"}
    results, _ = write_tables(tmp_path)
    oracles = results[results["selection"] == "oracle"].set_index("test_on")["optimism"]
    assert oracles["studio"].notna().all()
    assert oracles["wild"].isna().all()
