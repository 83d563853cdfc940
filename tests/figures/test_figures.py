"""Promises about figures: what is there, drawn again only when something they show changed."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from fake_study import FakeStudy, fake_history

import fer.figures.draw as figures
import fer.figures.engine as engine
from fer.figures.class_distributions import plot_distribution, plot_stacked_distribution
from fer.figures.confusion import draw_confusion_matrix, plot_confusion_matrix
from fer.figures.draw import draw_figures, figure_jobs
from fer.figures.engine import FigureJob
from fer.figures.training import plot_learning_curves
from fer.results.tables import write_tables
from fer.settings.settings import EMOTIONS
from utils import write_text


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    return caplog


@pytest.fixture
def small(tmp_path: Path) -> FakeStudy:
    """One run on one dataset, one policy: five figures."""
    return FakeStudy(tmp_path, ("studio",), (("studio",),), tta=("none",))


def drawn(study: FakeStudy, plot_format: str = "png") -> set[str]:
    paths = draw_figures(study.output, plot_format, "all")
    assert all(path.stat().st_size > 1000 for path in paths)
    return {path.relative_to(study.output).as_posix() for path in paths}


def planned(study: FakeStudy) -> dict[str, FigureJob]:
    """The jobs of a study by path, nothing drawn."""
    return figure_jobs(figures.read_study(study.output), "png")


def times(study: FakeStudy) -> dict[str, int]:
    paths = study.output.rglob("*.png")
    return {path.relative_to(study.output).as_posix(): path.stat().st_mtime_ns for path in paths}


SMALL = {
    "class_distributions/studio_dist_original.png",
    "class_distributions/studio_dist_balanced.png",
    "learning_curves/studio__preprocessed__tiny__s42.png",
    "learning_curves/all_architectures.png",
    "confusion_matrices/studio_tiny_cm.png",
    "error_analysis/studio_tiny_error_analysis.png",
}
PREDICTED = {name for name in SMALL if name.startswith(("confusion", "error"))}


@pytest.mark.slow
def test_names_are_short_where_the_study_has_one_of_each(small: FakeStudy) -> None:
    assert drawn(small) == SMALL == set(times(small))


@pytest.mark.slow
def test_names_say_what_the_study_has_several_of(tmp_path: Path) -> None:
    study = FakeStudy(tmp_path, variants=("preprocessed", "augmented"), seeds=(1, 2))
    names = set(planned(study))
    runs = len(study.plan())
    assert "confusion_matrices/wild_from_studio+wild_augmented_tiny_s2_cm.png" in names
    assert "confusion_matrices/TTA/wild_from_studio+wild_augmented_tiny_s2_cm_TTA.png" in names
    assert "learning_curves/studio+wild__augmented__tiny__s1.png" in names
    assert {
        f"class_distributions/{of}_dist_{kind}.png" for of in ("combined", "all") for kind in ("original", "balanced")
    } <= names
    assert len([name for name in names if "TTA/" in name]) == runs * len(study.datasets)
    alone = [run for run in study.plan() if len(run.run.train_on) == 1]
    groups = len(study.train_on) * len(study.variants)  # two seeds each: side by side
    assert len(names) == 9 + runs + groups + 2 * runs * len(study.datasets) + len(alone)


def test_policies_are_named_where_several_beside_none(tmp_path: Path) -> None:
    study = FakeStudy(tmp_path, ("studio",), (("studio",),), tta=("none", "flip", "three_views"))
    assert {name for name in planned(study) if "TTA" in name} == {
        "confusion_matrices/TTA/studio_tiny_cm_TTA_flip.png",
        "confusion_matrices/TTA/studio_tiny_cm_TTA_three_views.png",
    }


def test_test_variants_are_named_where_a_variant_meets_several(tmp_path: Path) -> None:
    study = FakeStudy(tmp_path, ("studio",), (("studio",),), tta=("none",), test_variants=("raw", "preprocessed"))
    assert {name for name in planned(study) if "_cm" in name} == {
        "confusion_matrices/studio_raw-faces_tiny_cm.png",
        "confusion_matrices/studio_preprocessed-faces_tiny_cm.png",
    }


def test_runs_that_share_a_name_are_told_apart_by_their_hash(small: FakeStudy) -> None:
    run = small.plan()[0]
    twin = run.folder.with_name(run.name[:-8] + "0123abcd")
    twin.mkdir()
    for path in run.folder.glob("*.*"):
        (twin / path.name).write_bytes(path.read_bytes())
    path = small.output / "study.json"
    stored = json.loads(path.read_text())
    path.write_text(json.dumps(stored | {"runs": [run.name, twin.name]}))
    curves = {name for name in planned(small) if name.startswith("learning_curves") and "architectures" not in name}
    slug = "learning_curves/studio__preprocessed__tiny__s42"
    assert curves == {f"{slug}_{run.name[-8:]}.png", f"{slug}_0123abcd.png"}


@pytest.mark.slow
def test_second_call_draws_nothing(small: FakeStudy, monkeypatch: pytest.MonkeyPatch) -> None:
    first = drawn(small)
    before = times(small)
    monkeypatch.setattr(engine, "_draw", None)  # a call would raise
    assert drawn(small) == first
    assert times(small) == before


def changed(before: dict[str, int], after: dict[str, int]) -> set[str]:
    return {path for path in before.keys() | after.keys() if before.get(path) != after.get(path)}


@pytest.mark.slow
def test_only_what_shows_a_change_is_drawn_again(small: FakeStudy) -> None:
    drawn(small)
    before = times(small)
    folder = small.plan()[0].folder
    write_text(folder / "history.csv", fake_history(7).to_csv(index=False))
    drawn(small)
    assert changed(before, times(small)) == {
        "learning_curves/studio__preprocessed__tiny__s42.png", "learning_curves/all_architectures.png",
    }  # fmt: skip

    before = times(small)
    study_file = small.output / "study.json"
    study_file.write_text(study_file.read_text().replace('"LIMIT_PER_SPLIT": null', '"LIMIT_PER_SPLIT": 50'))
    drawn(small)
    assert changed(before, times(small)) == SMALL

    before = times(small)
    (small.output / "confusion_matrices" / "studio_tiny_cm.png").unlink()
    drawn(small)
    assert changed(before, times(small)) == {"confusion_matrices/studio_tiny_cm.png"}


@pytest.mark.slow
def test_other_format_replaces_and_foreign_files_stay(small: FakeStudy) -> None:
    drawn(small)
    own = small.output / "confusion_matrices" / "my_notes.png"
    own.write_bytes(b"not drawn here")
    assert drawn(small, "svg") == {name.replace(".png", ".svg") for name in SMALL}
    assert set(times(small)) == {"confusion_matrices/my_notes.png"}


@pytest.mark.slow
@pytest.mark.parametrize("plot_format", ["png", "pdf", "svg"])
def test_equal_figures_have_equal_bytes(small: FakeStudy, tmp_path: Path, plot_format: str) -> None:
    for number, (path, job) in enumerate(planned(small).items()):
        twice = [tmp_path / f"{number}{letter}.{plot_format}" for letter in "ab"]
        assert all(engine._draw(job, copy) for copy in twice), path
        assert twice[0].read_bytes() == twice[1].read_bytes(), path


@pytest.mark.slow
def test_figures_of_runs_that_left_the_plan_are_removed(tmp_path: Path) -> None:
    study = FakeStudy(tmp_path, ("studio",), (("studio",),), seeds=(1, 2), tta=("none",))
    both = drawn(study)
    study.seeds = (1,)
    study.write()
    names = drawn(study)
    assert set(times(study)) == names
    assert not any("_s2" in name for name in names)
    assert any("_s2" in name for name in both)


@pytest.mark.slow
def test_damaged_files_leave_out_their_figure_and_name_it(small: FakeStudy, logged: pytest.LogCaptureFixture) -> None:
    drawn(small)
    folder = small.plan()[0].folder
    (folder / "history.csv").write_text("epoch,train_loss\n1,oops\n")
    predictions = folder / "predictions" / "studio__test__preprocessed__none.npz"
    whole = predictions.read_bytes()
    predictions.write_bytes(whole[:500])
    left = {name for name in SMALL if "dist" in name}
    for _ in range(2):
        logged.clear()
        assert drawn(small) == left == set(times(small))
        assert str(folder / "history.csv") in logged.text
        assert str(predictions) in logged.text
    predictions.write_bytes(whole)
    assert drawn(small) == left | PREDICTED


@pytest.mark.slow
def test_damaged_samples_table_leaves_out_its_distributions(small: FakeStudy, logged: pytest.LogCaptureFixture) -> None:
    (small.output / "samples" / "studio_samples.csv").write_text("nothing of use\n")
    assert drawn(small) == {name for name in SMALL if "dist" not in name}
    assert "studio_samples.csv" in logged.text


@pytest.mark.slow
def test_study_without_a_finished_run_shows_its_datasets(tmp_path: Path) -> None:
    study = FakeStudy(tmp_path, finished=False)
    assert drawn(study) == {f"class_distributions/{name}_dist_original.png" for name in ("all", *study.datasets)}


@pytest.mark.slow
def test_stopping_half_way_keeps_what_is_drawn(small: FakeStudy, monkeypatch: pytest.MonkeyPatch) -> None:
    draw = engine._draw
    done: list[Path] = []

    def stop_at_third(job: FigureJob, path: Path) -> Path:
        if len(done) == 2:
            raise KeyboardInterrupt
        done.append(path)
        return draw(job, path)

    monkeypatch.setattr(engine, "_draw", stop_at_third)
    with pytest.raises(KeyboardInterrupt):
        draw_figures(small.output, "png")
    monkeypatch.setattr(engine, "_draw", draw)
    before = times(small)
    assert drawn(small) == SMALL
    assert len(changed(before, times(small))) == len(SMALL) - 2


# ---------------------------------------------------------------- what a reader sees


def texts(figure: object) -> list[str]:
    from matplotlib.text import Text

    return [text.get_text() for text in figure.findobj(Text)]  # type: ignore[attr-defined]


def words_of(study: FakeStudy, part: str) -> str:
    """Title of the job whose name holds `part`."""
    return " ".join(next(job.title for name, job in planned(study).items() if part in name))


@pytest.mark.slow
def test_titles_say_dataset_variant_model_n_and_what_to_mistrust(tmp_path: Path) -> None:
    plain = FakeStudy(tmp_path / "plain")
    for part in ("studio_dist_original", "learning_curves", "_cm"):
        assert "SAMPLE DATA" not in words_of(plain, part)
        assert "LIMIT_PER_SPLIT" not in words_of(plain, part)
    study = FakeStudy(tmp_path / "limited", sample_data=("studio",), limit=300)
    for part in ("studio_dist_original", "studio_dist_balanced", "combined_dist", "learning_curves", "_cm"):
        assert "SAMPLE DATA" in words_of(study, part)
        assert "LIMIT_PER_SPLIT = 300" in words_of(study, part)
    assert "SAMPLE DATA" not in words_of(study, "wild_dist_original")
    title = words_of(study, "wild_from_studio_tiny_cm")
    assert all(word in title for word in ("tiny", "wild test set", "trained on studio", "preprocessed", "seed 42"))
    entry = next(entry for entry in figures.read_study(study.output).predictions if entry.split == "test")
    figure = draw_confusion_matrix(entry, ["title"])
    assert any(text.startswith(f"n = {sum(study.counts['test'])} · accuracy 0.") for text in texts(figure))


def test_confusion_matrix_shows_shares_of_each_true_class_from_0_to_1() -> None:
    counts = np.zeros((7, 7), dtype=int)
    counts[0, :2] = 3, 1
    counts[3, 3] = 2
    figure = plot_confusion_matrix(counts, ["title"])
    image = figure.axes[0].images[0]
    assert image.get_clim() == (0, 1)
    assert np.asarray(image.get_array())[0].tolist() == [0.75, 0.25, 0, 0, 0, 0, 0]
    shown = texts(figure)
    assert shown.count("no images") == 5
    assert "angry\nn = 4" in shown
    assert "fear\nn = 0" in shown


def test_bars_stand_for_the_counts() -> None:
    before, after = [5, 1, 2, 9, 4, 3, 6], [9] * 7
    figure = plot_distribution(["title"], {"before": before, "after": after})
    heights = [[bar.get_height() for bar in bars] for bars in figure.axes[0].containers]
    assert heights == [before, after]


@pytest.mark.slow
def test_stacked_panels_share_their_scale() -> None:
    small, large = [1] * 7, [100] * 7
    panels = {"raw": {"a": small, "b": small}, "augmented": {"a": small, "b": large}}
    figure = plot_stacked_distribution(["title"], panels)
    first, second = figure.axes
    assert first.get_ylim() == second.get_ylim()
    assert "101" in texts(figure)


@pytest.mark.slow
@pytest.mark.parametrize("epochs", [1, 2, 60])
def test_learning_curves_of_any_length_with_gaps(epochs: int) -> None:
    history = fake_history(3, epochs)
    history.loc[epochs - 1, ["val_macro_f1", "train_loss"]] = np.nan
    figure = plot_learning_curves(history, ["title"], 1, "balanced_accuracy", "remark")
    loss, accuracy, f1 = figure.axes
    assert loss.get_ylim()[0] == 0
    assert accuracy.get_ylim() == f1.get_ylim() == (0, 1)
    figure.canvas.draw()
    assert any("kept: epoch 1 (best validation balanced accuracy)" in text for text in texts(figure))


def test_long_titles_are_wrapped_inside_the_figure() -> None:
    title = ["a " * 200, "b " * 300]
    figure = plot_confusion_matrix(np.eye(len(EMOTIONS), dtype=int), title)
    figure.canvas.draw()
    frame = figure.get_window_extent()
    for text in figure.texts:
        box = text.get_window_extent()
        assert box.x1 <= frame.x1
        assert box.y0 >= figure.axes[0].get_window_extent().y1


def test_history_keeps_its_columns() -> None:
    """The builder writes what training writes, so that these tests read the real columns."""
    from fer.results.study_files import HISTORY_COLUMNS

    assert isinstance(fake_history(1), pd.DataFrame)
    assert set(HISTORY_COLUMNS) <= set(fake_history(1))


@pytest.mark.slow
def test_what_is_noted_of_a_figure_is_plain_also_where_all_runs_are_combined(tmp_path: Path) -> None:
    study = FakeStudy(tmp_path, train_on=(("studio", "wild"),))
    write_tables(study.output)
    jobs = figure_jobs(figures.with_derived(figures.read_study(study.output)), "png")
    assert "metrics" in {name.split("/")[0] for name in jobs}
    for job in jobs.values():
        json.dumps(job.facts)
