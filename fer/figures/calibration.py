"""Figures of calibration: reliability before and after recalibration, risk and coverage."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import pandas as pd

from fer.figures.engine import FigureJob
from fer.figures.looks import Places, look, network_legend, places
from fer.figures.result_rows import chosen_by_validation
from fer.figures.statistics_rows import (
    KEYS,
    Records,
    about_row,
    as_records,
    of_run,
    row_name,
    shown_rows,
    statistics_path,
    statistics_table,
)
from fer.figures.style import COLOURS, LEGEND_LINE, MARK, WIDTH, legend_rows, titled_figure
from fer.figures.titles import joined, notes
from fer.results.study_files import StoredStudy
from fer.statistics.calibration_tables import TRAINED
from utils import file_fingerprint

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


# ---------------------------------------------------------------- reliability

TO_READ = (
    "Points below the dashed line are overconfident; where its interval crosses the line, no error of calibration is "
    "shown."
)
ACROSS = 4  # panels side by side


def reliability_jobs(study: StoredStudy) -> Iterator[FigureJob]:
    """Accuracy against confidence of the networks that validation chooses; then of every one, also recalibrated.

    Networks and soft ensembles of the lowest seed. Raises InputError when a table is damaged.
    """
    shown = shown_rows(study)
    if shown.empty:
        return
    bins = statistics_table(study, "reliability")
    chosen = {run.name for run in chosen_by_validation(study, alone=True).values()}
    best = shown[shown["run"].isin(chosen) & (shown["probabilities"] == TRAINED)]
    if len(best):
        yield _chosen_reliability(study, best, bins)
    for run, rows in shown.groupby("run", sort=False):
        first = rows.iloc[0]
        found = of_run(bins, first)
        if found.empty:
            continue
        kinds = list(dict.fromkeys(found["probabilities"]))
        details = {
            "bins": {kind: as_records(found[found["probabilities"] == kind]) for kind in kinds},
            "scores": {kind: as_records(rows[rows["probabilities"] == kind])[0] for kind in kinds},
        }
        title = [f"Reliability of {first['model']} on the {first['test_on']} test set", about_row(study, first)]
        yield FigureJob(
            f"statistics/reliability_{row_name(first)}", plot_reliability, title, details, run=str(run),
            section="calibration",
            caption=f"How often {first['model']} is right (points, with 95 % intervals) where it claims a confidence, "
            f"on {first['test_on']}, as trained and recalibrated on validation pictures. {TO_READ}",
            alt=f"Reliability diagrams of {first['model']} on {first['test_on']}, a panel per recalibration.",
        )  # fmt: skip


def _chosen_reliability(study: StoredStudy, rows: pd.DataFrame, bins: pd.DataFrame) -> FigureJob:
    """One page of `rows`, the rows of calibration.csv of the chosen networks as trained: a panel per dataset."""
    details: dict[str, dict[str, Any]] = {"bins": {}, "scores": {}}
    for _, row in rows.iterrows():
        heading = f"{row['test_on']}: {row['model']}, {row['variant']}"
        found = of_run(bins, row)
        details["bins"][heading] = as_records(found[found["probabilities"] == TRAINED])
        details["scores"][heading] = as_records(row.to_frame().T)[0]
    counts = ", ".join(f"{row['test_on']} {row['n']:,.0f}" for _, row in rows.iterrows())
    about = joined("as trained, lowest seed, no TTA", f"test pictures: {counts}", *notes(study, *rows["test_on"]))
    return FigureJob(
        "statistics/reliability_chosen", plot_reliability,
        ["Reliability of the networks that validation chooses for each dataset", about], details,
        section="calibration",
        caption="How often each network is right (points, with 95 % intervals) where it claims a confidence, on the "
        f"test set of the dataset it was trained on. {TO_READ}",
        alt="Reliability diagrams, accuracy against confidence, a panel per dataset.",
        is_key=True,
        is_lead=True,
    )  # fmt: skip


def plot_reliability(title: list[str], bins: Mapping[str, Records], scores: Mapping[str, dict[str, Any]]) -> Figure:
    """Accuracy against confidence, a panel per heading (a recalibration as named in reliability.csv, or a dataset).

    `bins`: rows of reliability.csv; `scores`: the row of calibration.csv (ece, ece_low, ece_high, nll, temperature).
    Points carry Wilson intervals; each stands for equally many pictures.
    """
    across = min(len(bins), ACROSS)
    lines, width = -(-len(bins) // across), max(3.6 * across, 5.0)
    body = 3.9 * lines + 0.3
    figure, top = titled_figure(title, width, body)
    grid = figure.subplots(lines, across, sharex=True, sharey=True, squeeze=False)
    for axes, (kind, records) in zip(grid.ravel(), bins.items(), strict=False):
        _reliability_panel(axes, pd.DataFrame(records))
        axes.set_title(_reliability_heading(kind, scores[kind], len(records)), size=9)
        axes.set_xlabel("confidence")
    for axes in grid.ravel()[len(bins) :]:
        axes.set_visible(False)
    for axes in grid[:, 0]:
        axes.set_ylabel("accuracy")
    handles, labels = grid[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, ncols=3, loc="lower left", bbox_to_anchor=(0.35 / width, 0))
    figure.subplots_adjust(
        left=0.55 / width, right=1 - 0.1 / width, bottom=0.78 / body * top, top=top - 0.55 / body * top, wspace=0.1,
        hspace=0.32,
    )  # fmt: skip
    return figure


def _reliability_panel(axes: Axes, table: pd.DataFrame) -> None:
    axes.plot([0, 1], [0, 1], color=MARK, linewidth=0.8, linestyle="--", label="perfect")
    x, y = table["confidence"].to_numpy(), table["accuracy"].to_numpy()
    axes.vlines(x, y, x, color=COLOURS[1], linewidth=3, alpha=0.55, label="gap")
    below, above = y - table["low"].to_numpy(), table["high"].to_numpy() - y
    axes.errorbar(
        x, y, [below.clip(0), above.clip(0)], fmt="o", color=COLOURS[0], markersize=4, elinewidth=1,
        label="bin, 95 % interval",
    )  # fmt: skip
    axes.set(xlim=(0, 1), ylim=(0, 1), aspect="equal")
    axes.grid()


def _reliability_heading(kind: str, scores: Mapping[str, Any], bins: int) -> str:
    temperature = "" if pd.isna(scores["temperature"]) else f" {scores['temperature']:.2f}"
    ece = f"ECE {scores['ece']:.3f} [{scores['ece_low']:.3f}, {scores['ece_high']:.3f}], {bins} bins"
    return f"{kind}{temperature}\n{ece}\nNLL {scores['nll']:.3f}, Brier {scores['brier']:.3f}"


# ---------------------------------------------------------------- risk and coverage


def risk_jobs(study: StoredStudy) -> Iterator[FigureJob]:
    """Errors among the most confident answers, by how many are kept, of all networks, on one page.

    Raises InputError when a table is damaged.
    """
    shown = shown_rows(study)
    path = statistics_path(study, "risk_coverage")
    stamp = file_fingerprint(path) if path.is_file() else None
    rows = shown[shown["probabilities"] == TRAINED]
    single = rows[~rows["train_on"].str.contains("+", regex=False)] if len(rows) else rows
    rows = rows if single.empty else single
    if rows.empty:
        return
    panels: dict[str, dict[str, list[Any]]] = {}
    variants = list(dict.fromkeys(rows["variant"]))
    for train_on in dict.fromkeys(rows["train_on"]):
        for variant in variants:
            part = rows[(rows["train_on"] == train_on) & (rows["variant"] == variant)]
            panels[f"{train_on}: {variant}"] = {
                row["model"]: [*(str(row[key]) for key in KEYS), float(row["aurc"])] for _, row in part.iterrows()
            }
    title = [
        "Answering only when sure: rows trained and tested on, columns variants",
        joined("lowest seed, no TTA", *notes(study, *study.datasets)),
    ]
    yield FigureJob(
        "statistics/risk_coverage", draw_risk_coverage, title,
        {"panels": panels, "columns": len(variants), "places": places(study, rows["model"])}, (study,), stamp,
        section="calibration",
        caption="Share of wrong answers when a network answers only its most confident pictures. A curve that falls "
        "steeply to the left belongs to a network whose confidence tells right from wrong; a flat one is of no use.",
        alt="Grid of line charts: share of errors against share of pictures answered, a line per network.",
        is_key=True,
    )  # fmt: skip


def draw_risk_coverage(
    study: StoredStudy, title: list[str], panels: dict[str, dict[str, list[Any]]], columns: int, places: Places
) -> Figure:
    """Risk against coverage; `panels`: heading to network to its keys in risk_coverage.csv and area.

    Raises InputError when that table is damaged.
    """
    table = statistics_table(study, "risk_coverage")
    curves = {
        heading: {name: table[(table[list(KEYS)] == keys).all(axis=1)] for name, (*keys, _) in found.items()}
        for heading, found in panels.items()
    }
    areas = {heading: {name: row[-1] for name, row in found.items()} for heading, found in panels.items()}
    return plot_risk_coverage(title, curves, areas, columns, places)


def plot_risk_coverage(
    title: list[str],
    panels: Mapping[str, Mapping[str, pd.DataFrame]],
    areas: Mapping[str, Mapping[str, float]],
    columns: int,
    places: Places,
) -> Figure:
    """Share of errors among the most confident, by how many are kept; rows of risk_coverage.csv by heading and name.

    The name of the smallest area stands above each panel.
    """
    names = sorted({name for found in panels.values() for name in found}, key=lambda name: (places[name], name))
    lines = -(-len(panels) // columns)
    below = 0.55 + LEGEND_LINE * legend_rows(names)
    body = 2.0 * lines + below
    figure, top = titled_figure(title, WIDTH, body)
    height = body / top
    grid = figure.subplots(lines, columns, sharex=True, sharey=True, squeeze=False)
    for axes, (heading, found) in zip(grid.ravel(), panels.items(), strict=False):
        for name, curve in found.items():
            shown = look(places[name])
            axes.plot(curve["coverage"], curve["risk"], shown.line, color=shown.colour, linewidth=1.4, label=name)
        if found:
            best = min(areas[heading], key=areas[heading].__getitem__)
            axes.set_title(f"least area: {best}, {areas[heading][best]:.3f}", size=7.5, loc="right")
        axes.set_title(heading, size=9)
        axes.set(xlim=(0, 1), ylim=(0, 1))
        axes.grid()
    for axes in grid[-1]:
        axes.set_xlabel("coverage: share answered", size=8)
    for axes in grid[:, 0]:
        axes.set_ylabel("risk: share wrong", size=8)
    network_legend(figure, names, places)
    figure.subplots_adjust(
        left=0.06, right=0.985, bottom=below / height, top=top - 0.28 / height, hspace=0.25, wspace=0.07
    )
    return figure
