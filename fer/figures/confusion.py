"""Figures of errors: confusion matrices, and where a network is wrong."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from evaluation import Predictions, accuracy, balanced_accuracy, macro_f1
from fer.figures.engine import FigureJob
from fer.figures.style import COLOURS, titled_figure
from fer.figures.titles import joined, name_parts, notes, run_words
from fer.results.study_files import PredictionEntry, StoredStudy, read_predictions
from fer.runs.run import ORACLE
from fer.settings.settings import EMOTIONS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def confusion_jobs(study: StoredStudy) -> Iterator[FigureJob]:
    """Per run (folds of a repeat: together), test set, variant and TTA policy: the confusion matrix, and its counts.

    Without TTA, on all it was trained on, also the error analysis. Of the ensembles the soft vote stands for all, on
    its own data alone, in ensemble_results/.
    """
    tests = [entry for entry in study.predictions if entry.split == "test" and entry.rows != "fold"]
    pairs = {(entry.run.run["variant"], entry.test_variant) for entry in tests}
    several_variants = len(pairs) > len({variant for variant, _ in pairs})
    several_policies = len({entry.tta for entry in tests} - {"none"}) > 1
    for entry in tests:
        run = entry.run
        own = set(entry.test_on.split("+")) <= set(run.run["train_on"])
        if run.members and not (own and run.run["model"] == "ensemble_soft"):
            continue
        parts = [entry.test_on, *([f"{entry.test_variant}-faces"] if several_variants else [])]
        parts += [*name_parts(study, run), "cm"]
        folder = "ensemble_results/confusion_matrices" if run.members else "confusion_matrices"
        if entry.tta != "none":
            folder += "/TTA"
            parts += ["TTA", *([entry.tta] if several_policies else [])]
        scored = [f"test pictures {entry.test_variant}", "no TTA" if entry.tta == "none" else f"TTA {entry.tta}"]
        title = [
            f"{run.run['model']} on the {entry.test_on} test set",
            run_words(run),
            joined(*scored, *notes(study, *entry.test_on.split("+"), *run.run["train_on"])),
        ]
        if run.run["selection"] == ORACLE:
            title.append("ORACLE: the epoch was chosen on the test set")
        shown: dict[str, Any] = {"sources": (entry,), "stamp": entry.stamp(), "run": run.name}
        name = f"{folder}/{'_'.join(parts)}"
        yield FigureJob(name, draw_confusion_matrix, title, {}, **shown)
        if entry.tta == "none" and entry.test_on == run.train_on:
            errors = f"error_analysis/{'_'.join(parts[:-1])}_error_analysis"
            yield FigureJob(errors, draw_error_analysis, title, {}, **shown)


def _counts(found: Predictions) -> np.ndarray:
    classes = len(EMOTIONS)
    pairs = np.bincount(found.labels * classes + found.predicted, minlength=classes**2)
    return pairs.reshape(classes, classes)


# ---------------------------------------------------------------- confusion matrices


def draw_confusion_matrix(entry: PredictionEntry, title: list[str]) -> Figure:
    """Confusion matrix of a predictions file, n and scores in the title. Raises InputError when damaged."""
    found = read_predictions(entry)
    scores = {"accuracy": accuracy, "balanced accuracy": balanced_accuracy, "macro-F1": macro_f1}
    values = [f"{name} {score(found.labels, found.probabilities):.3f}" for name, score in scores.items()]
    return plot_confusion_matrix(_counts(found), title=[*title, joined(f"n = {len(found.labels):,}", *values)])


def plot_confusion_matrix(counts: np.ndarray, title: list[str]) -> Figure:
    """Rows true, columns predicted, int [C, C]; each row is drawn as shares from 0 to 1, the count below each.

    A class without test images is hatched and says so.
    """
    figure, top = titled_figure(title, 6.4, 4.9)
    side, height = 4.35 / 6.4, 4.35 * top / 4.9
    axes = figure.add_axes((0.17, 0.48 * top / 4.9, side, height))
    support = counts.sum(axis=1)
    shares = counts / np.maximum(support, 1)[:, None]
    image = axes.imshow(shares, vmin=0, vmax=1, cmap="Blues")
    for (row, column), share in np.ndenumerate(shares):
        if support[row]:
            colour = "white" if share > 0.5 else "#222222"
            axes.text(
                column, row, f"{share:.2f}\n{counts[row, column]:,}", ha="center", va="center", color=colour, size=8
            )
    _hatch_absent(axes, np.flatnonzero(support == 0))
    axes.set_xticks(range(len(EMOTIONS)), EMOTIONS)
    axes.set_yticks(range(len(EMOTIONS)), [f"{c}\nn = {n:,}" for c, n in zip(EMOTIONS, support, strict=True)])
    axes.tick_params(length=0)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    bar = figure.add_axes((0.17 + side + 0.03, 0.48 * top / 4.9, 0.03, height))
    figure.colorbar(image, bar, label="share of the true class").outline.set_visible(False)
    return figure


def _hatch_absent(axes: Axes, rows: np.ndarray) -> None:
    from matplotlib.patches import Rectangle

    for row in rows:
        corner = (-0.5, row - 0.5)
        axes.add_patch(Rectangle(corner, len(EMOTIONS), 1, facecolor="#eeeeee", edgecolor="#bbbbbb", hatch="////"))
        box = {"facecolor": "white", "edgecolor": "none", "pad": 2}
        axes.text((len(EMOTIONS) - 1) / 2, row, "no images", ha="center", va="center", bbox=box)


# ---------------------------------------------------------------- error analysis


def draw_error_analysis(entry: PredictionEntry, title: list[str]) -> Figure:
    """Where a predictions file is wrong, in four panels. Raises InputError when damaged."""
    found = read_predictions(entry)
    right = found.predicted == found.labels
    confidence = found.probabilities.max(axis=1)
    summary = [
        f"test pictures: {len(right):,}",
        f"errors: {(~right).sum():,} ({(~right).mean():.1%})",
        f"accuracy: {right.mean():.3f}",
        f"balanced accuracy: {balanced_accuracy(found.labels, found.probabilities):.3f}",
        f"macro-F1: {macro_f1(found.labels, found.probabilities):.3f}",
        f"mean confidence when right: {confidence[right].mean():.3f}" if right.any() else "never right",
        f"mean confidence when wrong: {confidence[~right].mean():.3f}" if not right.all() else "never wrong",
        f"errors with confidence above 0.9: {(~right & (confidence > 0.9)).sum():,}",
    ]
    title = [f"Errors of {title[0]}", *title[1:]]
    return plot_error_analysis(_counts(found), [*title, f"n = {len(right):,}"], summary)


def plot_error_analysis(counts: np.ndarray, title: list[str], summary: list[str]) -> Figure:
    """Four panels from int [C, C] (rows true): error rate per class, ten most confused pairs, errors, summary."""
    figure, top = titled_figure(title, 11, 7.4)
    (rates, pairs), (matrix, words) = figure.subplots(2, 2, width_ratios=(1, 1.15))
    support = counts.sum(axis=1)
    wrong = counts - np.diag(np.diag(counts))
    share = wrong.sum(axis=1) / np.maximum(support, 1)
    rates.bar(range(len(EMOTIONS)), share, color=COLOURS[4])
    for place, (rate, n) in enumerate(zip(share, support, strict=True)):
        rates.annotate(f"{rate:.2f}" if n else "no images", (place, rate), ha="center", va="bottom", size=8)
    rates.set_xticks(range(len(EMOTIONS)), [f"{c}\nn={n:,}" for c, n in zip(EMOTIONS, support, strict=True)], size=8)
    rates.set(ylim=(0, 1.08), title="error rate per class")
    rates.grid(axis="y")
    _pairs(pairs, wrong, support)
    _errors(matrix, wrong, support)
    words.axis("off")
    words.set_title("summary")
    words.text(0, 0.95, "\n".join(summary), va="top", size=10, linespacing=1.7, transform=words.transAxes)
    figure.subplots_adjust(left=0.08, right=0.985, bottom=0.07, top=top - 0.04, hspace=0.34, wspace=0.3)
    return figure


def _pairs(axes: Axes, wrong: np.ndarray, support: np.ndarray) -> None:
    order = [place for place in np.argsort(-wrong, axis=None, kind="stable")[:10] if wrong.flat[place]]
    rows, columns = np.unravel_index(np.array(order, dtype=int), wrong.shape)
    found = wrong[rows, columns]
    axes.barh(range(len(order)), found, color=COLOURS[0])
    axes.set_yticks(range(len(order)), [f"{EMOTIONS[r]} → {EMOTIONS[c]}" for r, c in zip(rows, columns, strict=True)])
    for place, (n, row) in enumerate(zip(found, rows, strict=True)):
        axes.annotate(f" {n:,} ({n / support[row]:.0%} of {EMOTIONS[row]})", (n, place), va="center", size=8)
    axes.set_xlim(0, 1.45 * max([*found, 1]))
    axes.xaxis.set_visible(False)
    axes.tick_params(axis="y", length=0)
    axes.invert_yaxis()
    axes.set_title("most confused pairs (true → predicted)" if order else "no errors")


def _errors(axes: Axes, wrong: np.ndarray, support: np.ndarray) -> None:
    """Off the diagonal: the share of each true class, and the count below it."""
    shares = wrong / np.maximum(support, 1)[:, None]
    top = max(float(shares.max()), 0.01)
    axes.imshow(shares, cmap="Oranges", vmin=0, vmax=top, aspect="auto")
    for (row, column), n in np.ndenumerate(wrong):
        if row != column and support[row]:
            colour = "white" if shares[row, column] > 0.6 * top else "#222222"
            axes.text(
                column, row, f"{shares[row, column]:.2f}\n{n:,}", ha="center", va="center", color=colour, size=7.5
            )
    axes.set_xticks(range(len(EMOTIONS)), EMOTIONS, size=8)
    axes.set_yticks(range(len(EMOTIONS)), EMOTIONS, size=8)
    axes.tick_params(length=0)
    axes.set(title="errors: share of the true class, and pictures", xlabel="predicted", ylabel="true")
