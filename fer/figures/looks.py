"""One look per network, colour and line style and marker, the same in every figure of a study."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from fer.figures.style import COLOURS, LINES, MARKERS, Line, legend_columns
from fer.results.study_files import StoredStudy

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

ENSEMBLES = ("ensemble_soft", "ensemble_hard", "ensemble_weighted")
Places = Mapping[str, int]


class Look(NamedTuple):
    """How a network is drawn: no two of 28 share both colour and line style, none of 49 both colour and marker."""

    colour: str
    line: Line
    marker: str


def look(place: int) -> Look:
    """The look at a place of the study's order of networks."""
    marker = MARKERS[(place + place // len(COLOURS)) % len(MARKERS)]
    return Look(COLOURS[place % len(COLOURS)], LINES[place % len(LINES)], marker)


def places(study: StoredStudy, labels: Iterable[str]) -> dict[str, int]:
    """The place of each label in the study's order: networks of the plan by name, then ensembles.

    A label may say more than the model, "cnn (weights)": the first of these has the model's place, the others places
    behind all, the same wherever these labels stand together.
    """
    order = [*sorted({run["model"] for run in study.planned.values()}), *ENSEMBLES]
    found: dict[str, int] = {}
    for label in sorted(set(labels)):
        model = label.partition(" (")[0]
        place = order.index(model) if model in order else len(order)
        found[label] = place + len(order) * sum(other.partition(" (")[0] == model for other in found)
    return found


def network_handle(name: str, place: int, marker: bool = False) -> Line2D:
    """What stands for a network in a legend."""
    from matplotlib.lines import Line2D

    shown = look(place)
    return Line2D([], [], color=shown.colour, linestyle=shown.line, marker=shown.marker if marker else None, label=name)


def network_legend(figure: Figure, names: Sequence[str], order: Places, marker: bool = False) -> None:
    """A legend under the figure, a line per network."""
    handles = [network_handle(name, order[name], marker) for name in names]
    figure.legend(
        handles=handles, ncols=legend_columns(names), loc="lower left", bbox_to_anchor=(0.04, 0), fontsize=8,
        handlelength=3.2,
    )  # fmt: skip
