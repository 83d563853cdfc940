"""ROC and precision–recall curves: what a network's probabilities are worth at every threshold."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import numpy as np

from evaluation import Predictions
from fer.figures.confusion import chosen_entries
from fer.figures.engine import FigureJob
from fer.figures.looks import Places, look, network_legend, places
from fer.figures.style import LEGEND_LINE, MARK, WIDTH, legend_rows, titled_figure
from fer.figures.titles import joined, notes
from fer.results.study_files import PredictionEntry, StoredStudy, read_predictions
from fer.runs.run import ORACLE
from fer.study.variants import scored_variant

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

GRID = np.linspace(0, 1, 201)  # where the curves of the classes are averaged
# By name: (true positive rate on GRID of false positive rates, precision on GRID of recalls), means over classes.
Curves = Mapping[str, tuple[np.ndarray, np.ndarray]]


def threshold_jobs(study: StoredStudy) -> Iterator[FigureJob]:
    """ROC and precision–recall curves on each test set, of all networks trained as the one that validation chooses.

    A row of panels per dataset; lowest seed, without TTA.
    """
    panels: dict[str, dict[str, PredictionEntry]] = {}
    for chosen in chosen_entries(study):
        heading = f"{chosen.test_on} (trained on {chosen.run.train_on}, {chosen.run.run['variant']})"
        panels[heading] = _rivals(study, chosen)
    if not panels:
        return
    names = {name for found in panels.values() for name in found}
    yield FigureJob(
        name="metrics/roc_and_precision_recall",
        draw=draw_threshold_curves,
        title=[
            "ROC and precision–recall curves, each class against all others, mean over classes",
            joined(
                "training set and variant that validation chooses for each test set, lowest seed, no TTA",
                *notes(study, *study.datasets),
            ),
        ],
        details={"places": places(study, names)},
        sources=(panels,),
        stamp={head: {name: entry.stamp() for name, entry in found.items()} for head, found in panels.items()},
        section="results",
        caption="Left: share of a class that is found against false alarms, as the threshold falls; the diagonal is "
        "chance. Right: precision against recall, which shows what rare classes cost; the dotted line is chance. A "
        "network whose curve lies above another everywhere ranks faces better, whatever threshold is chosen.",
        alt="Pairs of ROC and precision–recall charts, a pair per dataset, a line per network.",
        is_key=True,
    )


def _rivals(study: StoredStudy, chosen: PredictionEntry) -> dict[str, PredictionEntry]:
    """By model, predictions like `chosen` of every network trained on the same set and variant, lowest seed."""
    found: dict[str, PredictionEntry] = {}
    for entry in sorted(study.predictions, key=_seed):
        run = entry.run
        alike = run.train_on == chosen.run.train_on and run.run["variant"] == chosen.run.run["variant"]
        scored = (entry.test_on, entry.split, entry.tta, entry.rows) == (chosen.test_on, "test", "none", chosen.rows)
        own = entry.test_variant == scored_variant(run.run["variant"])
        if alike and scored and own and not run.members and run.run["selection"] != ORACLE:
            found.setdefault(run.run["model"], entry)
    return found


def _seed(entry: PredictionEntry) -> int:
    return int(entry.run.run["seed"])


def draw_threshold_curves(
    panels: Mapping[str, Mapping[str, PredictionEntry]], title: list[str], places: Places
) -> Figure:
    """Curves of predictions files. Raises InputError when one is damaged."""
    found, chance = {}, {}
    for heading, entries in panels.items():
        loaded = {name: read_predictions(entry) for name, entry in entries.items()}
        found[heading] = {name: mean_curves(one) for name, one in loaded.items()}
        labels = next(iter(loaded.values())).labels
        chance[heading] = 1 / len(np.unique(labels))  # the mean share of a class
    return plot_threshold_curves(title, found, chance, places)


def mean_curves(found: Predictions) -> tuple[np.ndarray, np.ndarray]:
    """True positive rate and precision on GRID, each class against all others, means over the classes present.

    Precision is that of the highest threshold reaching a recall, or better at a higher recall, as in average precision
    without interpolation between thresholds.
    """
    from sklearn.metrics import precision_recall_curve, roc_curve

    rates, precisions = [], []
    for label in range(found.probabilities.shape[1]):
        positive = found.labels == label
        if not positive.any() or positive.all():
            continue
        false, true, _ = roc_curve(positive, found.probabilities[:, label])
        precision, recall, _ = precision_recall_curve(positive, found.probabilities[:, label])
        rates.append(np.interp(GRID, false, true))
        precisions.append(np.interp(GRID, recall[::-1], np.maximum.accumulate(precision)[::-1]))
    return np.mean(rates, axis=0), np.mean(precisions, axis=0)


def plot_threshold_curves(
    title: list[str], panels: Mapping[str, Curves], chance: Mapping[str, float], places: Places
) -> Figure:
    """A row of two panels per heading: ROC, precision–recall. `chance`: precision of guessing, by heading."""
    names = sorted({name for found in panels.values() for name in found}, key=lambda name: places[name])
    across = 2 if len(panels) > 1 else 1  # datasets side by side
    lines = -(-len(panels) // across)
    below = 0.5 + LEGEND_LINE * legend_rows(names)
    body = 2.45 * lines + below
    figure, top = titled_figure(title, WIDTH, body)
    height = body / top
    grid = figure.subplots(lines, 2 * across, squeeze=False).reshape(-1, 2)
    for (roc, precision), (heading, found) in zip(grid, panels.items(), strict=False):
        roc.plot([0, 1], [0, 1], color=MARK, linewidth=0.8, linestyle=(0, (1, 2)))
        precision.axhline(chance[heading], color=MARK, linewidth=0.8, linestyle=(0, (1, 2)))
        for name, (rate, precise) in found.items():
            shown = look(places[name])
            roc.plot(GRID, rate, shown.line, color=shown.colour, linewidth=1.4)
            precision.plot(GRID, precise, shown.line, color=shown.colour, linewidth=1.4)
        roc.set_title(heading, size=8.5)
        _name_axes(roc, "false positive rate", "true positive rate")
        _name_axes(precision, "recall", "precision")
    for axes in grid[len(panels) :].ravel():
        axes.set_visible(False)
    network_legend(figure, names, places)
    figure.subplots_adjust(left=0.055, right=0.99, bottom=below / height, top=top - 0.25 / height,
                           hspace=0.42, wspace=0.36)  # fmt: skip
    return figure


def _name_axes(axes: Axes, x: str, y: str) -> None:
    axes.set(xlim=(0, 1), ylim=(0, 1.01))
    axes.set_xlabel(x, size=8, labelpad=1)
    axes.set_ylabel(y, size=8, labelpad=3)
    axes.tick_params(labelsize=8)
    axes.grid()
