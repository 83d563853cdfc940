"""Promises about the figures made of results: the numbers of the tables, no oracle in a mean, damage named."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from fake_study import FakeStudy, fake_history
from matplotlib.patches import Rectangle

import fer.figures.engine as engine
from fer.figures.cross_dataset import gap_matrix
from fer.figures.draw import draw_figures, figure_jobs
from fer.figures.engine import FigureJob
from fer.figures.metrics import plot_bars
from fer.figures.result_rows import rows_selected_on_validation
from fer.figures.training import plot_architectures
from fer.results.ensembles import with_derived
from fer.results.study_files import read_study
from fer.results.tables import read_results, write_tables
from utils import write_text


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> FakeStudy:
    """Two datasets and their union, two models, two variants, two seeds."""
    output = tmp_path_factory.mktemp("study")
    made = FakeStudy(output, models=("cnn", "vit"), variants=("preprocessed", "augmented"), seeds=(1, 2), limit=9)
    write_tables(output)
    return made


def jobs_of(output: Path) -> dict[str, FigureJob]:
    return figure_jobs(with_derived(read_study(output)), "png")


@pytest.mark.slow
def test_every_kind_has_its_figures_and_says_the_limit(study: FakeStudy) -> None:
    jobs = jobs_of(study.output)
    expected = {
        "learning_curves/studio_augmented_architectures.png", "metrics/studio_augmented_metrics.png",
        "metrics/studio+wild_preprocessed_per_class.png", "metrics/wild_augmentation_gain.png", "tta/tta_gain.png",
        "cross_dataset/cross_dataset_evaluation.png", "cross_dataset/cross_dataset_evaluation_augmented.png",
        "cross_dataset/generalisation_gap.png", "combined/individual_vs_combined_augmented.png",
        "ensemble_results/studio_augmented_ensembles_wild.png", "cost/studio_augmented_cost.png",
        "cost/wild_preprocessed_accuracy_vs_cost.png",
        "error_analysis/studio_from_studio_augmented_cnn_s1_error_analysis.png",
    }  # fmt: skip
    assert expected <= jobs.keys()
    assert all("LIMIT_PER_SPLIT = 9" in " ".join(jobs[name].title) for name in expected)
    assert not any(name.startswith("error_analysis/wild_from_studio_") for name in jobs)


@pytest.mark.slow
def test_numbers_are_those_of_the_tables(study: FakeStudy) -> None:
    table = read_results(study.output)
    rows = table[(table["train_on"] == "studio") & (table["variant"] == "augmented") & (table["tta"] == "none")]
    own = rows[(rows["test_on"] == "studio") & (rows["model"] == "cnn")]
    jobs = jobs_of(study.output)
    shown = jobs["metrics/studio_augmented_metrics.png"].details["panels"][""]["cnn"]
    assert shown["macro-F1"] == own["macro_f1"].tolist()
    gap = jobs["cross_dataset/generalisation_gap.png"].details["panels"]["augmented"]["wild"]["studio"]
    networks = table[(table["members"] == "") & (table["variant"] == "augmented") & (table["tta"] == "none")]
    on_studio = networks[networks["test_on"] == "studio"].groupby("train_on")["macro_f1"].mean()
    assert gap == pytest.approx(on_studio["studio"] - on_studio["wild"])


def test_gap_compares_runs_of_the_same_seed_alone() -> None:
    rows = pd.DataFrame(
        [("a", "a", 1, 0.9), ("a", "a", 2, 0.5), ("b", "a", 1, 0.4)],
        columns=["train_on", "test_on", "seed", "macro_f1"],
    ).assign(label="cnn", split="official")
    assert gap_matrix(rows) == {"b": {"a": pytest.approx(0.5)}}
    assert gap_matrix(rows[:2]) == {}


def test_oracle_rows_are_in_no_mean(tmp_path: Path) -> None:
    study = FakeStudy(tmp_path, ("studio",), (("studio",),), seeds=(1, 2))
    write_tables(tmp_path)
    path = tmp_path / "results.csv"
    table = pd.read_csv(path)
    table.loc[table["seed"] == 2, "selection"] = "oracle"
    table.to_csv(path, index=False)
    rows = rows_selected_on_validation(with_derived(read_study(study.output)))
    assert set(rows["seed"]) == {1}


def test_bars_are_means_with_a_point_per_seed() -> None:
    panels = {"p": {"cnn": {"accuracy": [0.4, 0.6]}, "vit": {"accuracy": [0.7]}}}
    axes = plot_bars(["title"], panels, "score").axes[0]
    assert [bar.get_height() for bar in axes.patches if isinstance(bar, Rectangle)] == pytest.approx([0.5, 0.7])
    assert np.asarray(axes.lines[0].get_ydata()).tolist() == [0.4, 0.6]


def test_gains_have_zero_in_the_middle() -> None:
    figure = plot_bars(["title"], {"p": {"cnn": {"a": [0.3], "b": [-0.1]}}, "q": {}}, "gain", 0.05, signed=True)
    low, high = figure.axes[0].get_ylim()
    assert low == -high
    assert high > 0.3


def test_architectures_of_different_length_with_gaps() -> None:
    long, short = fake_history(1, 8), fake_history(2, 3)
    short.loc[1, "val_loss"] = np.nan
    figure = plot_architectures({"cnn": [long, short], "vit": [short]}, ["title"])
    assert figure.axes[0].get_ylim() == figure.axes[1].get_ylim() == (0, 1)
    thick = next(line for line in figure.axes[0].lines if line.get_label() == "cnn")
    assert len(np.asarray(thick.get_xdata())) == 3


@pytest.mark.slow
def test_damage_is_left_out_by_name_and_the_rest_is_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By several processes."""
    monkeypatch.setattr(engine, "MANY", 3)
    study = FakeStudy(tmp_path, ("studio",), (("studio",),), seeds=(1, 2), tta=("none",))
    write_tables(tmp_path)
    folder = study.plan()[0].folder
    write_text(folder / "history.csv", "epoch,train_loss\n1,oops\n")
    write_text(tmp_path / "per_class_results.csv", "nothing\n")
    drawn = {path.relative_to(tmp_path).as_posix() for path in draw_figures(tmp_path, "png")}
    assert {"learning_curves/studio_preprocessed_architectures.png", "metrics/studio_preprocessed_metrics.png"} <= drawn
    left = {one["what"]: one["why"] for one in json.loads((tmp_path / "left_out.json").read_text())}
    assert set(left) == {"metric figures", "learning_curves/studio__preprocessed__tiny__s1.png"}
    assert "history.csv" in left["learning_curves/studio__preprocessed__tiny__s1.png"]
    before = {name: (tmp_path / name).stat().st_mtime_ns for name in drawn}
    draw_figures(tmp_path, "png")
    assert before == {name: (tmp_path / name).stat().st_mtime_ns for name in drawn}
