"""Figures of calibration: reliability before and after recalibration, risk and coverage."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import pandas as pd

from fer.figures.engine import FigureJob
from fer.figures.statistics_rows import (
    KEYS,
    TRAINED,
    Records,
    about_row,
    as_records,
    of_run,
    row_name,
    shown_rows,
    statistics_path,
    statistics_table,
)
from fer.figures.style import COLOURS, LINES, MARK, titled_figure
from fer.results.study_files import StoredStudy
from utils import file_fingerprint

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


# ---------------------------------------------------------------- reliability


def reliability_jobs(study: StoredStudy) -> Iterator[FigureJob]:
    """Per network or soft ensemble, lowest seed: accuracy against confidence, as trained and recalibrated.

    Raises InputError when a table is damaged.
    """
    shown = shown_rows(study)
    if shown.empty:
        return
    bins = statistics_table(study, "reliability")
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
        yield FigureJob(f"statistics/reliability_{row_name(first)}", plot_reliability, title, details, run=str(run))


def plot_reliability(title: list[str], bins: Mapping[str, Records], scores: Mapping[str, dict[str, Any]]) -> Figure:
    """Accuracy against confidence, a panel per recalibration (names as in reliability.csv, "as trained" first).

    `bins`: rows of reliability.csv; `scores`: the row of calibration.csv (ece, ece_low, ece_high, nll, temperature).
    Points carry Wilson intervals; each stands for equally many pictures.
    """
    width = max(3.6 * len(bins), 5.0)
    figure, top = titled_figure(title, width, 4.2)
    row = figure.subplots(1, len(bins), sharex=True, sharey=True, squeeze=False)[0]
    for axes, (kind, records) in zip(row, bins.items(), strict=True):
        _reliability_panel(axes, pd.DataFrame(records))
        axes.set_title(_reliability_heading(kind, scores[kind], len(records)), size=9)
        axes.set_xlabel("confidence")
    row[0].set_ylabel("accuracy")
    handles, labels = row[0].get_legend_handles_labels()
    figure.legend(handles, labels, ncols=3, loc="lower left", bbox_to_anchor=(0.35 / width, 0))
    figure.subplots_adjust(
        left=0.55 / width, right=1 - 0.1 / width, bottom=0.78 / 4.2 * top, top=top - 0.13, wspace=0.1
    )
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
    """Per training set and variant: errors among the most confident answers, by how many are kept, all networks.

    Raises InputError when a table is damaged.
    """
    shown = shown_rows(study)
    path = statistics_path(study, "risk_coverage")
    stamp = file_fingerprint(path) if path.is_file() else None
    rows = shown[shown["probabilities"] == TRAINED]
    for (train_on, variant), part in rows.groupby(["train_on", "variant"]):
        runs = {row["model"]: [str(row[key]) for key in KEYS] for _, row in part.iterrows()}
        areas = {row["model"]: float(row["aurc"]) for _, row in part.iterrows()}
        first = part.iloc[0]
        title = [f"Answering only when sure: {train_on} test set", about_row(study, first)]
        yield FigureJob(
            f"statistics/risk_coverage_{train_on}_{variant}", draw_risk_coverage, title,
            {"runs": runs, "areas": areas}, (study,), stamp,
        )  # fmt: skip


def draw_risk_coverage(
    study: StoredStudy, title: list[str], runs: dict[str, list[str]], areas: dict[str, float]
) -> Figure:
    """Risk against coverage of the rows `runs` of risk_coverage.csv. Raises InputError when that is damaged."""
    table = statistics_table(study, "risk_coverage")
    curves = {name: table[(table[KEYS] == keys).all(axis=1)] for name, keys in runs.items()}
    return plot_risk_coverage(title, {name: curve for name, curve in curves.items() if len(curve)}, areas)


def plot_risk_coverage(title: list[str], curves: Mapping[str, pd.DataFrame], areas: Mapping[str, float]) -> Figure:
    """Share of errors among the most confident, by how many are kept; `curves`: rows of risk_coverage.csv by name."""
    columns = 1 if len(curves) <= 4 else 2
    below = 0.6 + 0.18 * -(-len(curves) // columns)
    figure, top = titled_figure(title, 6.4, 3.4 + below)
    axes = figure.subplots()
    for number, name in enumerate(sorted(curves, key=lambda name: areas[name])):
        style = LINES[number // len(COLOURS) % len(LINES)]
        colour = COLOURS[number % len(COLOURS)]
        table = curves[name]
        axes.plot(table["coverage"], table["risk"], style, color=colour, label=f"{name} (area {areas[name]:.3f})")
    highest = max(float(table["risk"].max()) for table in curves.values())
    axes.set(xlim=(0, 1), ylim=(0, min(1, max(highest * 1.05, 0.02))), xlabel="coverage: share of pictures answered")
    axes.set_ylabel("risk: share of these answered wrongly")
    axes.grid()
    figure.legend(*axes.get_legend_handles_labels(), ncols=columns, loc="lower left", fontsize=8)
    figure.subplots_adjust(left=0.11, right=0.98, bottom=below / figure.get_figheight(), top=top)
    return figure
