"""How figures by training set and test set look: heat maps, and the class mixes beside them.

Plain values and one title in, a matplotlib Figure out. Reads and writes no file. The style is that of
fer.figures.style.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from fer.figures.style import COLOURS, titled_figure
from fer.settings.settings import EMOTIONS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage

CELL_WIDTH, CELL_HEIGHT = 0.82, 0.42  # inches
# Gaps smaller than this stay pale: a scale by the largest alone would paint noise.
LEAST_REACH = 0.2
Matrices = Mapping[str, Mapping[str, Mapping[str, float]]]


def plot_heat_maps(
    title: list[str],
    panels: Matrices,
    columns: int,
    signed: bool = False,
    mixes: Mapping[str, Sequence[int]] | None = None,
) -> Figure:
    """A heat map per heading, rows trained on, columns tested on; empty cells were not tested.

    All on one scale, 0 to 1; where `signed`, as far below 0 as above. `mixes`: rows per class (EMOTIONS order) by
    name, drawn below as shares.
    """
    trained = list(dict.fromkeys(name for parts in panels.values() for name in parts))
    tested = sorted({name for parts in panels.values() for found in parts.values() for name in found})
    lines = -(-len(panels) // columns)
    left = min(0.075 * max(len(_wrapped(name)) for text in trained for name in [text]) + 0.35, 2.2)
    map_width, map_height = CELL_WIDTH * len(tested), max(CELL_HEIGHT * len(trained), 0.6)
    below = 0.55 + 0.3 * len(mixes) + 0.65 if mixes else 0.0
    width = max(left + (map_width + 0.3) * columns + 0.75, 7.2)
    body = (map_height + 0.75) * lines + 0.1 + below
    figure, top = titled_figure(title, width, body)
    height, ceiling = body / top, body
    reach = _reach(panels) if signed else 1.0
    for place, (heading, parts) in enumerate(panels.items()):
        line, column = divmod(place, columns)
        x, y = left + column * (map_width + 0.3), ceiling - 0.3 - line * (map_height + 0.75) - map_height
        axes = figure.add_axes((x / width, y / height, map_width / width, map_height / height))
        image = _heat_map(axes, _values(parts, trained, tested), signed, reach)
        axes.set_title("\n".join(textwrap.wrap(heading, int(map_width * 13))), size=9)
        axes.set_xticks(range(len(tested)), [textwrap.fill(name, 12) for name in tested])
        axes.set_yticks(range(len(trained)), [_wrapped(name) for name in trained] if column == 0 else [])
        axes.tick_params(length=0)
    _scale(figure, image, (left + columns * (map_width + 0.3) - 0.1) / width, y / height, map_height / height, signed)
    if mixes:
        _mix_panel(figure, mixes, width, height, below)
    return figure


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
        text = (f"{value:+.3f}" if signed else f"{value:.3f}").replace("-", "\N{MINUS SIGN}")
        axes.text(column, row, text, ha="center", va="center", color="white" if strength > 0.55 else "#222222")
    for side in axes.spines.values():
        side.set_visible(False)
    return image


def _scale(figure: Figure, image: AxesImage, x: float, y: float, height: float, signed: bool) -> None:
    bar = figure.add_axes((x, y, 0.15 / figure.get_figwidth(), height))
    figure.colorbar(image, bar, label="gap" if signed else "score").outline.set_visible(False)


def _mix_panel(figure: Figure, mixes: Mapping[str, Sequence[int]], width: float, height: float, below: float) -> None:
    """Shares of the classes, a bar per set: a score also falls where the tested mix differs from the trained one."""
    axes = figure.add_axes((1.55 / width, 0.62 / height, 1 - 1.75 / width, (below - 1.15) / height))
    counts = np.array(list(mixes.values()), dtype=float)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    base = np.zeros(len(counts))
    for place, name in enumerate(EMOTIONS):
        axes.barh(range(len(counts)), shares[:, place], left=base, color=COLOURS[place], edgecolor="white", label=name)
        for row, share in enumerate(shares[:, place]):
            if share >= 0.05:
                axes.text(base[row] + share / 2, row, f"{share:.2f}", ha="center", va="center", size=7)
        base += shares[:, place]
    names = [f"{name}" for name in mixes]
    axes.set_yticks(range(len(counts)), names)
    axes.invert_yaxis()
    axes.set(xlim=(0, 1))
    axes.set_title("class mixes: share of each class", size=9)
    axes.tick_params(axis="y", length=0)
    axes.legend(ncols=len(EMOTIONS), loc="upper left", bbox_to_anchor=(0, -0.32 / max(below - 1.15, 0.3)), fontsize=8)
