"""Promises of GRID's table: a point is no seed, validation alone chooses, nothing of it enters another table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from grid_study import GridStudy, validation_of
from planted import findings_of

from evaluation import load_predictions
from fer.figures.grid import grid_jobs
from fer.figures.grid_classes import grid_class_jobs
from fer.report.page import write_report
from fer.report.settings_compared import COLUMNS, LINES, across_settings, compare_lines, compare_runs
from fer.results.all_runs import all_runs, by_setup, setting_columns, write_all_runs
from fer.results.study_files import read_study
from fer.results.tables import write_tables
from fer.settings.settings import EMOTIONS
from fer.statistics.grid import read_grid_classes, read_grid_table, write_grid
from utils import InputError


def better_at_the_second(run: Any, item: dict[str, str]) -> float:
    return 0.75 if run.hyper.learning_rate == 1e-4 else 0.45


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> GridStudy:
    return GridStudy(
        tmp_path_factory.mktemp("grid"), datasets=("studio",), train_on=(("studio",),), models=("tiny", "wide"),
        seeds=(1, 2, 3), skill=better_at_the_second,
    )  # fmt: skip


@pytest.mark.slow
def test_two_learning_rates_never_enter_one_mean(study: GridStudy) -> None:
    """Every mean over seeds, in results.csv as in grid.csv, is over runs of one learning rate."""
    results, validation = write_tables(study.output)
    own = {one.name for one in study.plan()}
    networks = results[results["model"].isin(["tiny", "wide"])]
    assert set(networks["run"]) == own
    assert set(validation.loc[validation["model"].isin(["tiny", "wide"]), "run"]) == own
    table = write_grid(study.output)
    assert table is not None
    for rate in study.rates:
        expected = validation_of(study, rate)
        for model in ("tiny", "wide"):
            row = table[(table["model"] == model) & (table["LEARNING_RATE"] == rate)].iloc[0]
            assert row["n_seeds"] == 3 and row["validation_score"] == pytest.approx(
                expected.xs(model, level=1).mean(), abs=1e-6
            )
        overall = table[(table["train_on"] == "") & (table["LEARNING_RATE"] == rate)].iloc[0]
        assert overall["n_setups"] == 2 and overall["validation_score"] == pytest.approx(expected.mean(), abs=1e-6)


def test_validation_chooses_the_better_value_and_says_how_sure(study: GridStudy) -> None:
    table = write_grid(study.output)
    assert table is not None
    chosen = table[table["chosen_by_validation"]]
    assert len(chosen) == 3 and set(chosen["LEARNING_RATE"]) == {1e-4}
    others = table[~table["chosen_by_validation"]]
    assert (others["below_best_low"] > 0).all() and (others["below_best"] < others["below_best_high"]).all()
    assert (table["low"] < table["validation_score"]).all() and (table["validation_score"] < table["high"]).all()
    read = read_grid_table(study.output)
    assert read is not None
    pd.testing.assert_frame_equal(read, table, check_dtype=False)


@pytest.mark.slow
def test_the_finding_says_by_validation_and_what_was_tested(study: GridStudy) -> None:
    write_tables(study.output)
    write_grid(study.output)
    sentence = findings_of(study)["grid"].sentence
    assert sentence.startswith("By validation, LEARNING_RATE = 0.0001 is the best of 2 points of GRID: macro-F1")
    assert "interval" in sentence and sentence.endswith("all other tables are about LEARNING_RATE = 0.001.")


@pytest.mark.slow
def test_equal_values_are_told_as_no_difference(tmp_path: Path) -> None:
    study = GridStudy(tmp_path, datasets=("studio",), train_on=(("studio",),))
    table = write_grid(study.output)
    assert table is not None and table["weights_only"].all()  # one seed: about these weights
    assert table["below_best_low"].dropna().iloc[0] < 0 < table["below_best_high"].dropna().iloc[0]
    write_tables(study.output)
    assert ", no difference shown" in findings_of(study)["grid"].sentence


def test_a_point_with_fewer_seeds_is_not_chosen(tmp_path: Path) -> None:
    study = GridStudy(tmp_path, datasets=("studio",), train_on=(("studio",),), seeds=(1, 2), skill=better_at_the_second)
    (study.at(1e-4)[0].folder / "run.json").unlink()
    table = write_grid(study.output)
    assert table is not None and not table["chosen_by_validation"].any()


def test_a_study_without_grid_leaves_no_table(study: GridStudy, tmp_path: Path) -> None:
    plain = GridStudy(tmp_path, datasets=("studio",), train_on=(("studio",),), rates=(1e-3, 1e-4))
    write_grid(plain.output)
    super(GridStudy, plain).write()
    assert write_grid(plain.output) is None and read_grid_table(plain.output) is None
    assert list(grid_jobs(read_study(plain.output))) == []


def test_the_figure_holds_every_point(study: GridStudy) -> None:
    write_grid(study.output)
    (job,) = grid_jobs(read_study(study.output))
    assert job.name == "grid/LEARNING_RATE" and job.is_key and job.caption and job.alt
    (panel,) = job.details["panels"].values()
    assert set(panel) == {"tiny", "wide"} and all(list(points) == ["0.001", "0.0001"] for points in panel.values())
    assert all(points["0.0001"][3] for points in panel.values())
    job.draw(*job.sources, title=job.title, **job.details)


def test_recall_by_class_is_that_of_the_predictions(study: GridStudy) -> None:
    """Counted again from the files: mean and deviation over seeds, and the pictures of each class."""
    write_grid(study.output)
    table = read_grid_classes(study.output)
    assert table is not None and len(table) == 2 * 2 * 7
    for rate in study.rates:
        by_seed: list[list[float]] = []
        for one in study.at(rate):
            if one.run.model == "wide":
                (path,) = one.folder.glob("predictions/*__val__*__none.npz")
                found = load_predictions(path)
                right = found.probabilities.argmax(1) == found.labels
                by_seed.append([right[found.labels == label].mean() for label in range(7)])
        rows = table[(table["model"] == "wide") & (table["LEARNING_RATE"] == rate)]
        assert rows["class"].tolist() == list(EMOTIONS) and set(rows["n_seeds"]) == {3}
        assert rows["recall"].to_numpy() == pytest.approx(np.mean(by_seed, axis=0))
        assert rows["sd"].to_numpy() == pytest.approx(np.std(by_seed, axis=0, ddof=1))
        assert rows["support"].tolist() == np.bincount(found.labels, minlength=7).tolist()


def test_the_figure_of_classes_holds_every_point_and_marks_the_chosen(study: GridStudy) -> None:
    table = write_grid(study.output)
    (job,) = grid_class_jobs(read_study(study.output))
    assert job.name == "grid/classes" and job.is_key and table is not None
    assert set(job.details["panels"]) == {"tiny on studio, preprocessed", "wide on studio, preprocessed"}
    for panel in job.details["panels"].values():
        assert list(panel["cells"]) == ["0.001", "0.0001"] and panel["chosen"] == "0.0001"
        assert all(len(row) == 8 for row in panel["cells"].values()) and list(panel["columns"]) == list(EMOTIONS)
    score = table[(table["model"] == "tiny") & (table["LEARNING_RATE"] == 1e-3)]["validation_score"].iloc[0]
    assert job.details["panels"]["tiny on studio, preprocessed"]["cells"]["0.001"][0] == [score, None]
    figure = job.draw(*job.sources, title=job.title, **job.details)
    words = "\n".join(item.get_text() for item in figure.findobj() if hasattr(item, "get_text"))
    assert "\N{BLACK RIGHT-POINTING TRIANGLE} 0.0001" in words and all(name in words for name in EMOTIONS)


# ---------------------------------------------------------------- every finished run


def test_all_runs_show_what_differs_and_test_scores_of_the_plan_alone(study: GridStudy) -> None:
    write_tables(study.output)
    table = all_runs(study.output, "macro_f1")
    assert len(table) == 12 and setting_columns(table) == ["LEARNING_RATE"]
    assert table["val_macro_f1"].is_monotonic_decreasing
    assert (table["test_score"].notna() == (table["LEARNING_RATE"] == 1e-3)).all()
    assert (table["in_plan"] == (table["LEARNING_RATE"] == 1e-3)).all()
    setups = by_setup(table, "macro_f1")
    assert len(setups) == 4 and (setups["seeds"] == 3).all() and set(setups["LEARNING_RATE"][:2]) == {"0.0001"}


def test_compare_prints_at_most_thirty_lines_of_a_hundred_columns(
    study: GridStudy, capsys: pytest.CaptureFixture[str]
) -> None:
    compare_runs(study.output, "macro_f1")
    printed = capsys.readouterr().out.splitlines()
    assert any("LEARNING_RATE" in line for line in printed) and not any("DROPOUT" in line for line in printed)
    assert (study.output / "tables" / "all_runs.csv").is_file()
    table = write_all_runs(study.output, "macro_f1")
    many = pd.concat([table.assign(model=f"net{i}", LEARNING_RATE=f"{i}" * 30, HEAD="x" * 60) for i in range(40)])
    many.loc[many["seed"] == 1, "HEAD"] = "y"
    lines = compare_lines(many, "macro_f1")
    assert len(lines) == LINES - 1 and max(map(len, lines)) <= COLUMNS and "more" in lines[-1]


def test_compare_with_a_word_shows_what_holds_it(study: GridStudy) -> None:
    table = write_all_runs(study.output, "macro_f1")
    assert "2 setups" in compare_lines(table, "macro_f1", "wide")[0]
    assert "2 setups" in compare_lines(table, "macro_f1", "LEARNING_RATE=0.0001")[0]
    assert "4 setups" in compare_lines(table, "macro_f1", "learning_rate")[0]
    with pytest.raises(InputError, match='Did you mean "wide"'):
        compare_lines(table, "macro_f1", "wiide")


@pytest.mark.slow
def test_the_page_has_both_tables(study: GridStudy) -> None:
    write_tables(study.output)
    write_grid(study.output)
    grid, runs = across_settings(study.output)
    assert grid.name == "grid" and len(runs.rows) == 4
    first = grid.blocks[0].rows[0]
    assert first.cells[0].text == "LEARNING_RATE = 0.0001" and first.cells[1].best
    page = write_report(study.output, []).read_text(encoding="utf-8")
    assert '<section id="settings">' in page and "LEARNING_RATE = 0.0001" in page
