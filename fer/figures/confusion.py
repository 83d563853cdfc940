"""Figures of errors: confusion matrices, and where a network is wrong."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from evaluation import Predictions, accuracy, balanced_accuracy, macro_f1
from fer.figures.engine import FigureJob
from fer.figures.result_rows import chosen_by_validation
from fer.figures.style import COLOURS, titled_figure
from fer.figures.titles import joined, name_parts, notes, run_words
from fer.layouts.emotions import ALL_EMOTIONS, EMOTIONS, class_names
from fer.results.study_files import PredictionEntry, StoredStudy, read_predictions
from fer.runs.run import ORACLE
from fer.statistics.significance import wilson_interval
from fer.study.variants import scored_variant

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
        shown: dict[str, Any] = {"sources": (entry,), "stamp": entry.stamp(), "run": run.name, "section": "run"}
        name = f"{folder}/{'_'.join(parts)}"
        what = f"{run.run['model']} on {entry.test_on}"
        yield FigureJob(
            name, draw_confusion_matrix, title, {}, **shown,
            caption=f"What {what} answers (columns) to each true emotion (rows), as shares of the true class with "
            "counts below. Dark cells off the diagonal are its habits of confusion.",
            alt=f"Confusion matrix of {what}, true emotion by answer.",
        )  # fmt: skip
        if entry.tta == "none" and entry.test_on == run.train_on:
            errors = f"error_analysis/{'_'.join(parts[:-1])}_error_analysis"
            yield FigureJob(
                errors, draw_error_analysis, title, {}, **shown,
                caption=f"Where {what} is wrong: error rate of each emotion with its interval, the pairs confused at "
                "the highest rate, and all errors as shares of the true class.",
                alt=f"Four panels on the errors of {what}: rates per class, worst pairs, error matrix, summary.",
            )  # fmt: skip


def chosen_jobs(study: StoredStudy) -> Iterator[FigureJob]:
    """The confusion matrices of the networks that validation chooses, one per dataset, side by side."""
    entries = chosen_entries(study)
    if not entries:
        return
    yield FigureJob(
        name="confusion_matrices/chosen_by_validation",
        draw=draw_chosen_matrices,
        title=[
            "Confusion matrices of the networks that validation chooses",
            joined("share of each true class, no TTA", *notes(study, *(entry.test_on for entry in entries))),
        ],
        details={},
        sources=(entries,),
        stamp=[entry.stamp() for entry in entries],
        section="errors",
        caption="For each dataset the network with the best validation score, on the test set: rows are true emotions, "
        "columns answers. Look for emotions whose diagonal is pale, and for the column that swallows them.",
        alt="Confusion matrices, true emotion by answer, one per dataset, for the network that validation chooses.",
        is_key=True,
        is_lead=True,
    )  # fmt: skip


def chosen_entries(study: StoredStudy) -> list[PredictionEntry]:
    """Per dataset the test predictions without TTA of the network that validation chooses there."""
    chosen = {name: run.name for name, run in chosen_by_validation(study).items()}
    return [
        entry
        for entry in study.predictions
        if entry.split == "test" and entry.tta == "none" and entry.rows != "fold"
        and chosen.get(entry.test_on) == entry.run.name
        and entry.test_variant == scored_variant(entry.run.run["variant"])
    ]  # fmt: skip


def _counts(found: Predictions) -> np.ndarray:
    classes = len(found.classes)
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
    _hatch_absent(axes, np.flatnonzero(support == 0), len(support))
    names = class_names(len(counts))
    axes.set_xticks(range(len(names)), names, size=None if len(names) == len(EMOTIONS) else 8)  # eight stand closer
    axes.set_yticks(range(len(names)), [f"{c}\nn = {n:,}" for c, n in zip(names, support, strict=True)])
    axes.tick_params(length=0)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    bar = figure.add_axes((0.17 + side + 0.03, 0.48 * top / 4.9, 0.03, height))
    figure.colorbar(image, bar, label="share of the true class").outline.set_visible(False)
    return figure


def _hatch_absent(axes: Axes, rows: np.ndarray, classes: int) -> None:
    from matplotlib.patches import Rectangle

    for row in rows:
        corner = (-0.5, row - 0.5)
        axes.add_patch(Rectangle(corner, classes, 1, facecolor="#eeeeee", edgecolor="#bbbbbb", hatch="////"))
        box = {"facecolor": "white", "edgecolor": "none", "pad": 2}
        axes.text((classes - 1) / 2, row, "no images", ha="center", va="center", bbox=box)


def draw_chosen_matrices(entries: list[PredictionEntry], title: list[str]) -> Figure:
    """Matrices of several predictions files side by side. Raises InputError when one is damaged."""
    panels = {}
    for entry in entries:
        found = read_predictions(entry)
        score = macro_f1(found.labels, found.probabilities)
        run = entry.run.run
        heading = f"{entry.test_on} (n = {len(found.labels):,})\n{run['model']}, macro-F1 {score:.3f}\n"
        heading += textwrap.shorten(f"{entry.run.train_on}, {run['variant']}", 44, placeholder="…")
        panels[heading] = _counts(found)
    return plot_matrices(title, panels)


def plot_matrices(
    title: list[str],
    panels: Mapping[str, np.ndarray],
    axes_words: tuple[str, str] = ("true", "predicted"),
    bar_words: str = "share of the true class",
) -> Figure:
    """Confusion matrices [C, C] side by side, three in a row; in the cells shares of each line. `axes_words`: y, x."""
    columns = min(3, len(panels))
    lines, side = -(-len(panels) // columns), 2.45
    width = 0.75 + columns * (side + 0.12) + 0.75
    body = lines * (side + 1.12)
    figure, top = titled_figure(title, max(width, 6.4), body)
    height, width = body / top, max(width, 6.4)
    for place, (heading, counts) in enumerate(panels.items()):
        line, column = divmod(place, columns)
        x, y = 0.75 + column * (side + 0.12), body - line * (side + 1.12) - 0.5 - side
        axes = figure.add_axes((x / width, y / height, side / width, side / height))
        support = counts.sum(axis=1)
        shares = counts / np.maximum(support, 1)[:, None]
        image = axes.imshow(shares, vmin=0, vmax=1, cmap="Blues")
        for (row, cell), share in np.ndenumerate(shares):
            if support[row]:
                axes.text(cell, row, f"{share:.2f}".lstrip("0") if share < 0.995 else "1", ha="center", va="center",
                          size=7, color="white" if share > 0.5 else "#222222")  # fmt: skip
        _hatch_absent(axes, np.flatnonzero(support == 0), len(support))
        axes.set_title(heading, size=8.5)
        names = class_names(len(support))
        axes.set_xticks(range(len(names)), names, size=7.5, rotation=45, ha="right", rotation_mode="anchor")
        axes.set_yticks(range(len(names)), names if column == 0 else [], size=7.5)
        axes.tick_params(length=0)
        axes.set_xlabel(axes_words[1], size=8, labelpad=1)
        if column == 0:
            axes.set_ylabel(axes_words[0], size=8)
    bar = figure.add_axes(((0.75 + columns * (side + 0.12)) / width, (body - 0.5 - side) / height, 0.12 / width,
                           side / height))  # fmt: skip
    figure.colorbar(image, bar, label=bar_words).outline.set_visible(False)
    return figure


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
    (rates, pairs), (matrix, words) = figure.subplots(2, 2, width_ratios=(1.1, 1))
    support = counts.sum(axis=1)
    wrong = counts - np.diag(np.diag(counts))
    share = wrong.sum(axis=1) / np.maximum(support, 1)
    low, high = wilson_interval(wrong.sum(axis=1), np.maximum(support, 1))
    for place, (rate, n) in enumerate(zip(share, support, strict=True)):
        if n:
            rates.vlines(place, low[place], high[place], color=COLOURS[4], linewidth=1.6)
            rates.plot(place, rate, "o", color=COLOURS[4])
            rates.annotate(f"{rate:.2f}", (place, rate), xytext=(5, 3), textcoords="offset points", size=8)
        else:
            rates.annotate("no\nimages", (place, 0), ha="center", va="bottom", size=8)
    majority, names = int(support.argmax()), class_names(len(support))
    rates.plot([place for place in range(len(names)) if place != majority], [1] * (len(names) - 1), "_",
               color="#444444", markersize=14)  # fmt: skip
    rates.plot(majority, 0, "_", color="#444444", markersize=14, label=f"always answering {names[majority]}")
    rates.legend(loc="upper left", bbox_to_anchor=(0, 1.0), fontsize=8)
    rates.set_xlim(-0.5, len(names) - 0.3)
    rates.set_xticks(range(len(names)), [f"{c}\nn={n:,}" for c, n in zip(names, support, strict=True)], size=8)
    rates.set(ylim=(0, 1.22), title="error rate per class, 95 % interval")
    rates.set_yticks(np.arange(0, 1.01, 0.2))
    rates.grid(axis="y")
    _pairs(pairs, wrong, support)
    _errors(figure, matrix, wrong, support)
    words.axis("off")
    words.set_title("summary")
    words.text(0, 0.95, "\n".join(summary), va="top", size=10, linespacing=1.7, transform=words.transAxes)
    figure.subplots_adjust(left=0.075, right=0.9, bottom=0.07, top=top - 0.04, hspace=0.34, wspace=0.34)
    return figure


def _pairs(axes: Axes, wrong: np.ndarray, support: np.ndarray) -> None:
    """The ten pairs confused at the highest rate of the true class, each with its interval."""
    shares = wrong / np.maximum(support, 1)[:, None]
    order = [place for place in np.argsort(-shares, axis=None, kind="stable")[:10] if wrong.flat[place]]
    rows, columns = np.unravel_index(np.array(order, dtype=int), wrong.shape)
    low, high = wilson_interval(wrong[rows, columns], support[rows])
    for place, (row, column) in enumerate(zip(rows, columns, strict=True)):
        axes.hlines(place, low[place], high[place], color=COLOURS[0], linewidth=1.6)
        axes.plot(shares[row, column], place, "o", color=COLOURS[0])
        words = f"{shares[row, column]:.0%}: {wrong[row, column]:,} of {support[row]:,}"
        axes.annotate(words, (1.02, place), va="center", size=8, annotation_clip=False)
    axes.set_yticks(
        range(len(order)), [f"{ALL_EMOTIONS[r]} → {ALL_EMOTIONS[c]}" for r, c in zip(rows, columns, strict=True)]
    )
    axes.set(xlim=(0, 1), ylim=(max(len(order), 1) - 0.4, -0.6))
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x")
    axes.set_title("most confused pairs (true → predicted), share of the true class" if order else "no errors")


def _errors(figure: Figure, axes: Axes, wrong: np.ndarray, support: np.ndarray) -> None:
    """Off the diagonal: the share of each true class, 0 to 1 as in every matrix, and the count below it."""
    shares = np.ma.masked_array(wrong / np.maximum(support, 1)[:, None], mask=np.eye(len(wrong), dtype=bool))
    axes.set_facecolor("#eeeeee")
    image = axes.imshow(shares, cmap="Oranges", vmin=0, vmax=1, aspect="auto")
    for (row, column), n in np.ndenumerate(wrong):
        if row != column and support[row]:
            share = n / support[row]
            axes.text(column, row, f"{share:.2f}\n{n:,}", ha="center", va="center", size=7.5,
                      color="white" if share > 0.6 else "#222222")  # fmt: skip
    names = class_names(len(support))
    axes.set_xticks(range(len(names)), names, size=8)
    axes.set_yticks(range(len(names)), names, size=8)
    axes.tick_params(length=0)
    axes.set(title="errors: share of the true class, and pictures", xlabel="predicted", ylabel="true")
    figure.colorbar(image, ax=axes, fraction=0.04, pad=0.02).outline.set_visible(False)
