"""Promises about the figures made of results: the numbers of the tables, no oracle in a mean, damage named."""

from __future__ import annotations

import json
from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from fake_study import FakeStudy, fake_history
from made_results import Study
from matplotlib.collections import LineCollection

import fer.figures.engine as engine
from fer.figures.cost import _apart, _side_by_side
from fer.figures.cross_dataset import gap_matrix, sizes_in_words
from fer.figures.draw import draw_figures, figure_jobs
from fer.figures.engine import FigureJob
from fer.figures.estimates import Estimate, plot_estimates
from fer.figures.looks import look
from fer.figures.manifest import SECTIONS, listed_figures
from fer.figures.result_rows import chosen_by_validation, rows_selected_on_validation
from fer.figures.training import plot_architectures
from fer.results.ensembles import with_derived
from fer.results.study_files import read_study
from fer.results.tables import read_results, write_tables
from fer.statistics.comparisons import write_statistics
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
        "learning_curves/studio_augmented_architectures.png", "metrics/overview.png",
        "metrics/studio_metrics.png", "metrics/studio+wild_per_class.png", "metrics/wild_augmentation_gain.png",
        "tta/tta_gain.png",
        "cross_dataset/cross_dataset_evaluation.png", "cross_dataset/cross_dataset_evaluation_augmented.png",
        "cross_dataset/generalisation_gap.png", "combined/individual_vs_combined.png",
        "ensemble_results/studio_augmented_ensembles_wild.png", "cost/cost.png",
        "cost/augmented_score_against_cost.png",
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
    shown = jobs["metrics/studio_metrics.png"].details["panels"]["macro-F1"]["cnn"]
    assert shown["augmented"]["values"] == own["macro_f1"].tolist()
    gap = jobs["cross_dataset/generalisation_gap.png"].details["panels"]["augmented"]["wild"]["studio"]
    networks = table[(table["members"] == "") & (table["variant"] == "augmented") & (table["tta"] == "none")]
    on_studio = networks[networks["test_on"] == "studio"].groupby("train_on")["macro_f1"].mean()
    assert gap == pytest.approx(on_studio["studio"] - on_studio["wild"])


def test_a_test_set_without_some_classes_says_so_beside_its_size() -> None:
    rows = pd.DataFrame({"test_on": ["a", "web", "web"], "n_test": [1200, 37, 36], "n_classes": [7, 4, 4]})
    assert sizes_in_words(rows) == "test pictures: a 1,200, web 37 (4 classes)"


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


def one(*values: float, low: float | None = None, high: float | None = None) -> Estimate:
    return {"values": list(values), "low": low, "high": high}


def test_a_point_is_the_mean_with_its_interval_and_a_mark_per_seed() -> None:
    panels = {"p": {"cnn": {"raw": one(0.4, 0.6, low=0.3, high=0.7)}, "vit": {"raw": one(0.7)}}}
    axes = plot_estimates(["title"], panels, {"cnn": 0, "vit": 1}, "score", columns=1, baselines={"p": 0.25}).axes[0]
    drawn = [np.asarray(line.get_xdata(), dtype=float).tolist() for line in axes.lines]
    assert [0.4, 0.6] in drawn
    assert [x for x in drawn if x in ([0.5], [0.7])] == [[0.5], [0.7]]
    assert [0.25, 0.25] in drawn
    ends = [tuple(part.get_segments()[0][:, 0]) for part in axes.collections if isinstance(part, LineCollection)]
    assert ends == [(0.3, 0.7)]
    assert axes.get_xlim() == (0, 1)


def test_gains_have_zero_in_the_middle() -> None:
    panels = {"p": {"cnn": {"a": one(0.3), "b": one(-0.1)}}, "q": {}}
    low, high = plot_estimates(["title"], panels, {"cnn": 0}, "gain", least=0.05).axes[0].get_xlim()
    assert low == -high
    assert high > 0.3


@pytest.mark.slow
def test_scores_have_intervals_and_the_majority_line(tmp_path: Path) -> None:
    Study(tmp_path, ("studio",), (("studio",),), models=("cnn", "vit"), tta=("none",))
    write_tables(tmp_path)
    write_statistics(tmp_path)
    jobs = jobs_of(tmp_path)
    for name, heading in (("metrics/studio_metrics.png", "macro-F1"), ("metrics/studio_per_class.png", "recall\nsad")):
        details = jobs[name].details
        assert all(found["low"] < found["high"] for by in details["panels"][heading].values() for found in by.values())
        assert heading in details["baselines"]
    assert "macro recall" not in jobs["metrics/studio_metrics.png"].details["panels"]  # it is balanced accuracy


@pytest.mark.slow
def test_the_network_of_a_dataset_is_the_one_validation_prefers(tmp_path: Path) -> None:
    Study(tmp_path, ("studio",), (("studio",),), models=("cnn", "vit"), tta=("none",))
    write_tables(tmp_path)
    path = tmp_path / "validation_results.csv"
    table = pd.read_csv(path)
    for best in ("cnn", "vit"):
        table.assign(macro_f1=(table["model"] == best).astype(float)).to_csv(path, index=False)
        chosen = chosen_by_validation(with_derived(read_study(tmp_path)))
        assert {name: run.run["model"] for name, run in chosen.items()} == {"studio": best}


# ---------------------------------------------------------------- what is drawn, and the words about it


@pytest.mark.slow
def test_key_figures_are_few_each_with_words_and_a_section_has_one_lead(study: FakeStudy) -> None:
    jobs = jobs_of(study.output)
    key = [job for job in jobs.values() if job.is_key]
    assert len(key) <= 40 < len(jobs)
    for name, job in jobs.items():
        assert job.section in SECTIONS, name
        for words in (job.caption, job.alt):
            assert len(words.split()) > 5, name
            assert words[0].isupper(), name
            assert words.endswith("."), name
    leads = Counter((job.section, job.run * (job.section == "run")) for job in jobs.values() if job.is_lead)
    assert max(leads.values()) == 1
    assert {run for section, run in leads if section == "run"} == set(read_study(study.output).planned)
    assert all(job.is_key for job in jobs.values() if job.is_lead and job.section != "run")


def test_contact_sheets_of_the_audit_are_listed_with_their_words(tmp_path: Path) -> None:
    write_text(tmp_path / "audit" / "flagged.png", "a picture")
    write_text(tmp_path / "audit" / "notes.png", "not drawn here")
    listed = listed_figures(tmp_path)
    assert list(listed) == ["audit/flagged.png"]
    facts = listed["audit/flagged.png"]
    assert (facts["section"], facts["is_key"], facts["is_lead"]) == ("audit", True, True)
    assert facts["caption"].endswith(".")
    assert facts["alt"].startswith("Contact sheet")


def test_points_of_equal_cost_stand_side_by_side_and_names_apart() -> None:
    shifts = _side_by_side({"a": 10.0, "b": 10.0, "c": 90.0}, (5.0, 100.0))
    assert shifts["a"] != shifts["b"]
    assert shifts["c"] == 0
    apart = _apart([0.9, 0.9, 0.02, 0.01], 0.05)
    assert min(high - low for high, low in pairwise(apart)) == pytest.approx(0.05)
    assert min(apart) >= 0


@pytest.mark.slow
def test_a_network_keeps_its_colour_and_line_in_every_figure(study: FakeStudy) -> None:
    given = [job.details["places"] for job in jobs_of(study.output).values() if "places" in job.details]
    assert len(given) > 5
    assert all(len({found[name] for found in given if name in found}) == 1 for name in ("cnn", "vit"))
    assert len({look(place)[:2] for place in range(28)}) == 28
    assert len({look(place)[::2] for place in range(49)}) == 49


@pytest.mark.slow
def test_from_all_to_key_true_figures_stay_and_stale_ones_go(tmp_path: Path) -> None:
    study = FakeStudy(tmp_path, ("studio",), (("studio",),), seeds=(1, 2), tta=("none",))
    every = set(draw_figures(tmp_path, "png", "all"))
    assert set(draw_figures(tmp_path, "png", "key")) == every
    curves = tmp_path / "learning_curves/studio__preprocessed__tiny__s1.png"
    assert curves in every
    write_text(study.plan()[0].folder / "history.csv", fake_history(9).to_csv(index=False))
    left = set(draw_figures(tmp_path, "png", "key"))
    assert left == every - {curves, tmp_path / "learning_curves/studio_preprocessed_architectures.png"}
    assert not curves.is_file()
    listed = listed_figures(tmp_path)
    assert {tmp_path / name for name in listed} == left
    assert listed["learning_curves/all_architectures.png"]["section"] == "training"
    assert set(draw_figures(tmp_path, "png", "all")) == every


def test_architectures_of_different_length_with_gaps() -> None:
    long, short = fake_history(1, 8), fake_history(2, 3)
    short.loc[1, "val_loss"] = np.nan
    figure = plot_architectures({"cnn": [long, short], "vit": [short]}, ["title"], {"cnn": 0, "vit": 1})
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
    drawn = {path.relative_to(tmp_path).as_posix() for path in draw_figures(tmp_path, "png", "all")}
    assert {"learning_curves/studio_preprocessed_architectures.png", "metrics/studio_metrics.png"} <= drawn
    left = {one["what"]: one["why"] for one in json.loads((tmp_path / "left_out.json").read_text())}
    assert set(left) == {"class figures", "learning_curves/studio__preprocessed__tiny__s1.png"}
    assert "history.csv" in left["learning_curves/studio__preprocessed__tiny__s1.png"]
    before = {name: (tmp_path / name).stat().st_mtime_ns for name in drawn}
    draw_figures(tmp_path, "png", "all")
    assert before == {name: (tmp_path / name).stat().st_mtime_ns for name in drawn}


@pytest.mark.slow
def test_a_study_of_36_runs_has_at_most_40_key_figures(tmp_path: Path) -> None:
    """3 datasets and their union, 3 variants, 3 networks, one seed, and all that a study can draw by default.

    Figures with faces are three a dataset at most (samples, pictures left out, mistakes of the chosen network); one
    contact sheet of the audit is key.
    """
    names = ("alpha", "beta", "gamma")
    counts = {"train": (3,) * 7, "val": (3,) * 7, "test": (5,) * 7}
    union = [*((name,) for name in names), names]
    three = ("raw", "preprocessed", "augmented")
    Study(tmp_path, names, union, variants=three, models=("cnn", "residual", "vit"), seeds=(1,), class_counts=counts)
    write_tables(tmp_path)
    write_statistics(tmp_path)
    funnel = pd.DataFrame([{"dataset": name, "step": "listed", "removed": 0, "kept": 9, "found": 9} for name in names])
    write_text(tmp_path / "selection_funnel.csv", funnel.to_csv(index=False))
    for name in names:
        write_text(tmp_path / "audit" / f"{name}_quality.csv", "dataset\n")
        write_text(tmp_path / "samples" / f"{name}_detection.csv", "dataset,label,n,detected\nalpha,0,9,9\n")
    jobs = figure_jobs(with_derived(read_study(tmp_path)), "png")
    key = [name for name, job in jobs.items() if job.is_key]
    assert len({name.split("/")[0] for name in key}) > 7, "a whole study was planned"
    assert len(key) + 3 * len(names) + 1 <= 40, key
