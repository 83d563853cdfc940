"""Promises about the figures of statistics: every number is drawn, and differences shown look unlike ties."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import same_color
from matplotlib.figure import Figure

from fer.figures.calibration import plot_reliability, plot_risk_coverage
from fer.figures.comparisons import DIFFERENT, plot_comparison_intervals
from fer.figures.groups import plot_groups
from fer.figures.style import STYLE

TITLE = ["A figure", "n = 100"]


@pytest.fixture(autouse=True)
def style() -> Iterator[None]:
    with mpl.rc_context(STYLE):  # type: ignore[arg-type]
        yield


def texts(figure: Figure) -> str:
    """All words in a figure, drawn once, so that nothing raises and nothing is off the page."""
    FigureCanvasAgg(figure).draw()
    found = [item for item in figure.findobj() if hasattr(item, "get_text") and item.get_visible()]
    width, height = figure.canvas.get_width_height()
    for item in found:
        if item.get_text():
            box = item.get_window_extent()
            assert min(box.x0, box.y0, width - box.x1, height - box.y1) > -1, item.get_text()
    return "\n".join(item.get_text() for item in found)


def pair(first: str, second: str, difference: float, verdict: str, **changes: Any) -> dict[str, Any]:
    row = {"first": first, "second": second, "metric": "macro_f1", "difference": difference, "verdict": verdict}
    row |= {
        "low_adjusted": difference - 0.02,
        "high_adjusted": difference + 0.02,
        "p_adjusted": 0.012,
        "weights_only": False,
    }
    return row | changes


def test_a_forest_names_the_better_side_first() -> None:
    pairs = [
        pair("cnn", "vit", -0.05, "second is better"),
        pair("cnn", "resnet", 0.01, "no difference shown", p_adjusted=0.4, weights_only=True),
    ]
    figure = plot_comparison_intervals(TITLE, pairs)
    words = texts(figure)
    assert "vit over cnn" in words
    assert "cnn over resnet *" in words
    assert "these weights only" in words
    assert "p = 0.012" in words
    axes = figure.axes[0]
    dots = [line for line in axes.lines if line.get_marker() == "o"]
    assert [(float(dot.get_xdata()[0]), same_color(dot.get_markerfacecolor(), DIFFERENT)) for dot in dots] == [
        (0.05, True), (0.01, False),
    ]  # fmt: skip
    ends = [tuple(float(x) for x in part.get_segments()[0][:, 0]) for part in axes.collections]
    assert ends == [pytest.approx((0.03, 0.07)), pytest.approx((-0.01, 0.03))]


@pytest.mark.slow
@pytest.mark.parametrize("count", [1, 45])
def test_a_forest_of_any_size_fits_its_page(count: int) -> None:
    pairs = [pair(f"network_number_{i}", "ensemble_weighted", 0.001 * i, "first is better") for i in range(count)]
    assert texts(plot_comparison_intervals(TITLE, pairs)).count("over ensemble_weighted") == count


@pytest.mark.slow
def test_reliability_before_and_after() -> None:
    values = np.linspace(0.3, 0.9, 4)
    table = pd.DataFrame({"confidence": values, "accuracy": values - 0.1, "low": values - 0.15, "high": values})
    bins = table.to_dict("records")
    scores = {"ece": 0.1, "ece_low": 0.08, "ece_high": 0.12, "nll": 0.9, "brier": 0.5, "temperature": None}
    kinds = {"as trained": scores, "temperature": scores | {"temperature": 1.5}}
    figure = plot_reliability(TITLE, dict.fromkeys(kinds, bins), kinds)
    words = texts(figure)
    assert "as trained\nECE 0.100 [0.080, 0.120], 4 bins" in words
    assert "temperature 1.50\n" in words
    assert [axes.get_xlim() for axes in figure.axes] == [(0, 1), (0, 1)]


def test_risk_and_coverage_of_many_networks_keep_their_legend() -> None:
    curve = pd.DataFrame({"coverage": [0.5, 1.0], "risk": [0.1, 0.2]})
    names = {f"network {i}": 0.1 + 0.01 * i for i in range(12)}
    places = {name: place for place, name in enumerate(names)}
    figure = plot_risk_coverage(TITLE, {"studio": dict.fromkeys(names, curve)}, {"studio": names}, 1, places)
    words = texts(figure)
    assert all(name in words for name in names)
    assert "least area: network 0, 0.100" in words
    looks = {(str(line.get_color()), line.get_linestyle()) for line in figure.axes[0].lines}
    assert len(looks) == 12


def test_groups_show_their_size_and_the_worst() -> None:
    rows = [
        {"attribute": "gender", "group": "male", "n": 40, "accuracy": 0.7, "low": 0.6, "high": 0.8, "gap": -0.1,
         "gap_low": -0.18, "gap_high": -0.02},
        {"attribute": "gender", "group": "female", "n": 60, "accuracy": 0.8, "low": 0.7, "high": 0.9, "gap": 0.0},
        {"attribute": "age", "group": "70+", "n": 3, "accuracy": 0.3, "low": 0.1, "high": 0.8, "gap": np.nan},
    ]  # fmt: skip
    table = pd.DataFrame(rows).assign(is_worst=[True, False, False])
    figure = plot_groups(TITLE, table.to_dict("records"), 0.76)
    words = texts(figure)
    assert {"n = 40", "n = 60", "best", "fewer than 30", "\N{MINUS SIGN}0.100 worst"} <= set(words.split("\n"))
    gaps = next(axes for axes in figure.axes if axes.get_xlim()[0] < 0)
    assert (-0.18, -0.02) in [tuple(part.get_segments()[0][:, 0]) for part in gaps.collections]
    assert "all pictures, 0.760" in words
