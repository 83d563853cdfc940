"""The style of every figure: colours, lines, hatches, the title, the legend's size.

Readable in print and by every kind of colour vision; scores are always drawn on the scale 0 to 1.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from matplotlib.figure import Figure

STYLE = {
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.6,
    "hatch.linewidth": 0.6,
    "legend.frameon": False,
    "pdf.fonttype": 42,  # real fonts: publishers refuse Type 3
    "svg.hashsalt": "figures",
    "text.parse_math": False,
}
# Okabe and Ito's colours (https://jfly.uni-koeln.de/color/), told apart by every kind of colour vision, their yellow
# (hardly seen on white paper) replaced by a dark brown; in this order neighbours also differ in lightness.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#56B4E9", "#D55E00", "#7B4A12", "#CC79A7")
CLASS_COLOURS = (*COLOURS, "#999999")  # contempt, where it is a class
DARK = ("#0072B2", "#7B4A12")  # words on these are white
Line = Literal["-", "--", "-.", ":"]
LINES: tuple[Line, ...] = ("-", "--", "-.", ":")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
TRAINING, VALIDATION, MARK = "#0072B2", "#D55E00", "#444444"
SCORE_NAMES = {"macro_f1": "macro-F1", "balanced_accuracy": "balanced accuracy"}
LINE, LEGEND_LINE = 0.18, 0.19  # inches a line of the title, of a legend
WIDTH = 9.6  # inches


def titled_figure(title: list[str], width: float, body: float) -> tuple[Figure, float]:
    """An empty figure `width` inches wide, `body` inches high below its title, and the body's share of it.

    The first line of the title is bold; long lines are wrapped, and make the figure higher.
    """
    from matplotlib.figure import Figure

    lines = [(part, "bold", 11) for part in textwrap.wrap(title[0], int(width * 11))]
    lines += [(part, "normal", 9) for text in title[1:] for part in textwrap.wrap(text, int(width * 14.5))]
    height = body + LINE * len(lines) + 0.2
    figure = Figure(figsize=(width, height))
    for number, (text, weight, size) in enumerate(lines):
        y = 1 - (0.1 + LINE * number + 0.03 * (size < 11)) / height
        figure.text(0.1 / width, y, text, weight=weight, size=size, va="top")
    return figure, body / height


def legend_columns(names: Sequence[str]) -> int:
    """How many entries of a legend fit side by side under a figure of WIDTH."""
    return max(1, min(len(names), 130 // (max(map(len, names), default=1) + 8)))


def legend_rows(names: Sequence[str]) -> int:
    """How many lines a legend of `names` takes."""
    return -(-len(names) // legend_columns(names))


def score_text(value: float, signed: bool = False) -> str:
    """A score with three decimals; where `signed`, also with its sign, a real minus."""
    return (f"{value:+.3f}" if signed else f"{value:.3f}").replace("-", "\N{MINUS SIGN}")
