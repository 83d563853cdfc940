"""Figures of generalisation: scores by training set and test set, the gap to training on the tested set."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from fer.data.folds import OFFICIAL
from fer.data.whole_sets import dataset_of
from fer.figures.engine import FigureJob
from fer.figures.result_rows import is_ensemble, models_in_order, rows_selected_on_validation
from fer.figures.style import CLASS_COLOURS, DARK, score_text, titled_figure
from fer.figures.titles import joined, notes
from fer.layouts.emotions import EMOTIONS, class_names
from fer.results.study_files import StoredStudy, read_class_counts
from fer.results.trainings import spread_words

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage

Matrix = dict[str, dict[str, float]]
Matrices = Mapping[str, Mapping[str, Mapping[str, float]]]
SCORES = {"accuracy": "accuracy", "macro_f1": "macro-F1"}
CELL_WIDTH, CELL_HEIGHT = 0.82, 0.42  # inches
LEAST_WIDTH = 7.6  # inches: the title is not to be wrapped more than once
# Gaps smaller than this stay pale: a scale by the largest alone would paint noise.
LEAST_REACH = 0.2


# ---------------------------------------------------------------- scores


def cross_jobs(study: StoredStudy) -> Iterator[FigureJob]:
    """Scores of every training set on every test set: over all networks by variant, and per variant by model.

    And, where sets were tested on each other, what training on another set than the tested one costs.
    """
    rows = rows_selected_on_validation(study)
    if rows.empty:
        return
    rows = rows[(rows["tta"] == "none") & rows["test_on"].map(dataset_of).isin(study.datasets)].copy()
    if rows["test_on"].nunique() < 2:
        return
    rows["kind"] = _kinds(rows)
    networks = rows[~is_ensemble(rows)]
    known = notes(study, *study.datasets)
    about = joined(f"no TTA, mean over {_averaged(networks)}", sizes_in_words(rows, study.classes), *known)
    title = ["Cross-dataset evaluation: trained on (rows), tested on (columns)", about]
    panels = {
        f"{kind}\n{words}": matrix(part, score)
        for score, words in SCORES.items()
        for kind, part in networks.groupby("kind", sort=False)
    }
    columns = min(networks["kind"].nunique(), 3)
    yield FigureJob(
        name="cross_dataset/cross_dataset_evaluation",
        draw=plot_heat_maps,
        title=title,
        details={"panels": panels, "columns": columns},
        section="results",
        caption="Each row is a training set, each column a test set, each number the mean over all networks. The "
        "diagonal is testing at home; read down a column to see what another training set costs there. Macro-F1 "
        "averages the classes that a test set holds, so columns with other classes are not comparable.",
        alt="Heat maps of accuracy and macro-F1: training sets in rows, test sets in columns, a map per variant.",
        is_key=True,
    )
    for kind, part in rows.groupby("kind", sort=False):
        if part["label"].nunique() > 1:
            yield _by_model(str(kind), part, known, study.classes)
    if (gaps := {str(kind): gap_matrix(part) for kind, part in networks.groupby("kind", sort=False)}) and any(
        gaps.values()
    ):
        yield _gap_job(study, networks, {kind: found for kind, found in gaps.items() if found})


def _kinds(rows: pd.DataFrame) -> pd.Series:
    """The variant trained on, and the pictures tested on where these are of another variant."""
    apart = rows["variant"] + ", tested on " + rows["test_variant"]
    return rows["variant"].where(rows["matching"], apart)


def _averaged(rows: pd.DataFrame) -> str:
    counts = {"network": rows["label"].nunique(), "seed": rows["seed"].nunique()}
    repeats = rows[rows["split"] != OFFICIAL]["split"].nunique()
    counts |= {"repeat": repeats} if repeats > 1 else {}
    return ", ".join(f"{count} {name}{'s' * (count > 1)}" for name, count in counts.items())


def sizes_in_words(rows: pd.DataFrame, classes: int = len(EMOTIONS)) -> str:
    """Pictures of each test set, and of how many classes where some are missing: macro-F1 averages those present."""
    counts = rows.groupby("test_on")[["n_test", "n_classes"]].max().astype(int)
    sizes = zip(counts.index, counts["n_test"].to_list(), counts["n_classes"].to_list(), strict=True)
    words = [f"{name} {n:,}" + (f" ({present} classes)" if present < classes else "") for name, n, present in sizes]
    return "test pictures: " + ", ".join(words)


def _by_model(kind: str, part: pd.DataFrame, known: list[str], classes: int) -> FigureJob:
    panels = {label: matrix(part[part["label"] == label], "macro_f1") for label in models_in_order(part)}
    title = [
        f"Cross-dataset evaluation by model, {kind}: trained on (rows), tested on (columns)",
        joined(f"macro-F1, no TTA, mean over {spread_words(part)}", sizes_in_words(part, classes), *known),
    ]
    name = f"cross_dataset/cross_dataset_evaluation_{kind.replace(', tested on ', '_on_')}"
    return FigureJob(
        name, plot_heat_maps, title, {"panels": panels, "columns": min(len(panels), 4)},
        section="results",
        caption=f"Macro-F1 of each network by training set (rows) and test set (columns), {kind}. Look for a network "
        "that keeps more of its score away from home than the others.",
        alt="Heat maps of macro-F1, one per network: training sets in rows, test sets in columns.",
    )  # fmt: skip


def matrix(rows: pd.DataFrame, score: str) -> Matrix:
    """Mean of a score over models, then seeds alike, by training set (one dataset first) and test set."""
    means = rows.groupby(["train_on", "test_on"])[score].mean()
    order = sorted(rows["train_on"].unique(), key=_fewest_first)
    tested = sorted(rows["test_on"].unique())
    return {
        train: {test: float(means[train, test]) for test in tested if (train, test) in means.index} for train in order
    }


def _fewest_first(train_on: str) -> tuple[int, str]:
    return train_on.count("+"), train_on


# ---------------------------------------------------------------- the gap


def gap_matrix(rows: pd.DataFrame) -> Matrix:
    """Macro-F1 on T of networks trained on T alone, minus that of networks trained on S; T ≠ S.

    Pairs of the same model, seed and fold are compared; 0 is no loss. Empty where there are no such pairs.
    """
    same = ["label", "seed", "split", "test_on"]
    own = rows[rows["train_on"] == rows["test_on"]]
    others = rows[rows["train_on"] != rows["test_on"]]
    both = others.merge(own, on=same, suffixes=("", "_own"))
    both["gap"] = both["macro_f1_own"] - both["macro_f1"]
    return matrix(both, "gap") if len(both) else {}


def _gap_job(study: StoredStudy, rows: pd.DataFrame, gaps: dict[str, Matrix]) -> FigureJob:
    title = [
        "Generalisation gap: macro-F1 lost on a test set (columns) by training on another set (rows)",
        joined(
            "(trained on T, tested on T) minus (trained on S, tested on T); below 0: S serves better",
            f"no TTA, mean over {_averaged(rows)}", *notes(study, *study.datasets),
        ),
    ]  # fmt: skip
    details: dict[str, Any] = {"panels": gaps, "columns": min(len(gaps), 3), "signed": True, "mixes": _mixes(study)}
    return FigureJob(
        "cross_dataset/generalisation_gap", plot_heat_maps, title, details,
        section="results",
        caption="Macro-F1 that a test set (columns) loses when a network learned from another set (rows) instead of "
        "its own. The bars below show the class mixes: part of a loss can come from classes that are rarer there.",
        alt="Heat maps of the loss in macro-F1 by training and test set, above bars of each set's class mix.",
        is_key=True,
    )  # fmt: skip


def _mixes(study: StoredStudy) -> dict[str, list[int]]:
    """Rows per class in training and in test of each dataset. Raises InputError when a samples table is damaged."""
    mixes: dict[str, list[int]] = {}
    for name in study.datasets:
        counts = read_class_counts(study.output, name, study.classes)
        training = {} if name in study.only_tested else {f"{name} training": counts["train"]}
        mixes |= training | {f"{name} test": counts["test"]}
    return mixes


# ---------------------------------------------------------------- heat maps, and the class mixes below them


def plot_heat_maps(
    title: list[str],
    panels: Matrices,
    columns: int,
    signed: bool = False,
    mixes: Mapping[str, Sequence[int]] | None = None,
) -> Figure:
    """A heat map per heading, rows trained on, columns tested on; empty cells were not tested.

    All on one scale, 0 to 1; where `signed`, as far below 0 as above. `mixes`: rows per class by name, drawn
    below as shares.
    """
    trained = list(dict.fromkeys(name for parts in panels.values() for name in parts))
    tested = sorted({name for parts in panels.values() for found in parts.values() for name in found})
    lines = -(-len(panels) // columns)
    left = min(0.075 * max(len(_wrapped(name)) for name in trained) + 0.5, 2.3)
    map_width = max(CELL_WIDTH * len(tested), min((LEAST_WIDTH - left - 0.75) / columns - 0.3, 1.6 * len(tested)))
    map_height = max(CELL_HEIGHT * len(trained), 0.6)
    below = 0.3 * len(mixes) + 0.8 if mixes else 0.0
    width = max(left + (map_width + 0.3) * columns + 0.75, LEAST_WIDTH)
    body = (map_height + 0.85) * lines + 0.05 + below
    figure, top = titled_figure(title, width, body)
    height = body / top
    reach = _reach(panels) if signed else 1.0
    for place, (heading, parts) in enumerate(panels.items()):
        line, column = divmod(place, columns)
        x, y = left + column * (map_width + 0.3), body - 0.42 - line * (map_height + 0.85) - map_height
        axes = figure.add_axes((x / width, y / height, map_width / width, map_height / height))
        image = _heat_map(axes, _values(parts, trained, tested), signed, reach)
        axes.set_title(_padded(heading, panels, map_width), size=9)
        if line == lines - 1:
            axes.set_xlabel("tested on", size=8, labelpad=1)
        if column == 0:
            axes.set_ylabel("trained on", size=8, labelpad=2)
        axes.set_xticks(range(len(tested)), [textwrap.fill(name, 12) for name in tested])
        axes.set_yticks(range(len(trained)), [_wrapped(name) for name in trained] if column == 0 else [])
        axes.tick_params(length=0)
    _scale(figure, image, (left + columns * (map_width + 0.3) - 0.1) / width, y / height, map_height / height, signed)
    if mixes:
        _mix_panel(figure, mixes, width, height, below)
    return figure


def _padded(heading: str, panels: Matrices, width: float) -> str:
    """The heading over as many lines as the longest takes, its words above."""
    wrapped = {
        name: [part for line in name.splitlines() for part in textwrap.wrap(line, int(width * 12))] for name in panels
    }
    most = max(map(len, wrapped.values()))
    return "\n".join([""] * (most - len(wrapped[heading])) + wrapped[heading])


def _wrapped(name: str) -> str:
    """A union over two lines where its name is long."""
    return name if len(name) <= 24 else "+\n".join(textwrap.wrap(name.replace("+", " "), 22)).replace(" ", "+")


def _values(parts: Mapping[str, Mapping[str, float]], trained: list[str], tested: list[str]) -> np.ndarray:
    return np.array([[parts.get(row, {}).get(column, np.nan) for column in tested] for row in trained])


def _reach(panels: Matrices) -> float:
    found = [abs(value) for parts in panels.values() for row in parts.values() for value in row.values()]
    return max(LEAST_REACH, *found)


def _heat_map(axes: Axes, cells: np.ndarray, signed: bool, reach: float) -> AxesImage:
    """Blue to orange through white for gaps, light to dark blue for scores: both safe for every colour vision."""
    low = -reach if signed else 0.0
    axes.set_facecolor("#eeeeee")
    image = axes.imshow(cells, vmin=low, vmax=reach, cmap="PuOr_r" if signed else "Blues", aspect="auto")
    for (row, column), value in np.ndenumerate(cells):
        if np.isnan(value):
            axes.text(column, row, "–", ha="center", va="center", color="#777777")
            continue
        strength = abs(value) / reach
        colour = "white" if strength > 0.55 else "#222222"
        axes.text(column, row, score_text(value, signed), ha="center", va="center", color=colour)
    for side in axes.spines.values():
        side.set_visible(False)
    return image


def _scale(figure: Figure, image: AxesImage, x: float, y: float, height: float, signed: bool) -> None:
    bar = figure.add_axes((x, y, 0.15 / figure.get_figwidth(), height))
    figure.colorbar(image, bar, label="gap" if signed else "score").outline.set_visible(False)


def _mix_panel(figure: Figure, mixes: Mapping[str, Sequence[int]], width: float, height: float, below: float) -> None:
    """Shares of the classes, a bar per set: a score also falls where the tested mix differs from the trained one."""
    axes = figure.add_axes((1.55 / width, 0.62 / height, 1 - 1.75 / width, 0.3 * len(mixes) / height))
    counts = np.array(list(mixes.values()), dtype=float)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    base = np.zeros(len(counts))
    for place, name in enumerate(class_names(shares.shape[1])):
        axes.barh(
            range(len(counts)), shares[:, place], left=base, color=CLASS_COLOURS[place], edgecolor="white", label=name
        )
        for row, share in enumerate(shares[:, place]):
            if share >= 0.05:
                axes.text(base[row] + share / 2, row, f"{share:.2f}", ha="center", va="center", size=7,
                          color="white" if CLASS_COLOURS[place] in DARK else "#222222")  # fmt: skip
        base += shares[:, place]
    axes.set_yticks(range(len(counts)), list(mixes))
    axes.invert_yaxis()
    axes.set(xlim=(0, 1))
    axes.set_title("class mixes: share of each class", size=9)
    axes.tick_params(axis="y", length=0)
    figure.legend(
        *axes.get_legend_handles_labels(), ncols=shares.shape[1], loc="lower right", bbox_to_anchor=(1, 0), fontsize=8,
        columnspacing=1.0, handlelength=1.4,
    )  # fmt: skip
