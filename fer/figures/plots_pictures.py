"""How figures with pictures of faces look: rows of tiles with short captions. Reads and writes no file."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from fer.figures.style import titled_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SIDE = 96  # pixels a tile is drawn with
INCH = 0.95  # inches a tile is wide
LINE = 0.135  # inches a line of a caption
GAP = 0.06


class Tile(NamedTuple):
    """A picture, uint8 [S, S] or [S, S, 1 or 3], or None for an empty place; and the words below it."""

    pixels: np.ndarray | None
    caption: str = ""


class TileRow(NamedTuple):
    """Tiles side by side, and the words left of them."""

    words: str
    tiles: Sequence[Tile]


def plot_tiles(title: list[str], rows: Sequence[TileRow], headings: Sequence[tuple[int, str]] = ()) -> Figure:
    """Rows of tiles; `headings` are (tiles wide, words) from left to right, with a gap after each."""
    columns = max([1, sum(wide for wide, _ in headings), *(len(row.tiles) for row in rows)])
    starts = np.cumsum([0, *(wide for wide, _ in headings)])
    shift = [GAP * 3 * sum(start <= column for start in starts[1:-1]) for column in range(columns)]
    lines = [max([len(_wrapped(t.caption)) for t in row.tiles if t.pixels is not None] + [0]) for row in rows]
    heights = [INCH + LINE * count + GAP for count in lines]
    left = 1.15
    width = max(left + columns * INCH + shift[-1] + 0.1, 6.5)
    body = sum(heights) + 0.25 * bool(headings) + 0.1
    figure, top = titled_figure(title, width, body)
    height = body / top
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    axes.set(xlim=(0, width), ylim=(0, height))
    for start, (_, words) in zip(starts, headings, strict=False):
        axes.text(left + start * INCH + shift[start], body - 0.14, words, size=9, weight="bold")
    y = body - 0.25 * bool(headings)
    for row, tall in zip(rows, heights, strict=True):
        words = "\n".join(part for line in row.words.splitlines() for part in textwrap.wrap(line, 16)[:6])
        axes.text(0.1, y - INCH / 2, words, size=8, va="center")
        for column, tile in enumerate(row.tiles):
            x = left + column * INCH + shift[column]
            if tile.pixels is not None:
                shown = (x, x + INCH - GAP, y - INCH + GAP, y)
                pixels = _shown(tile.pixels)
                axes.imshow(pixels, extent=shown, cmap="gray", vmin=0, vmax=255, interpolation="none", aspect="auto")
            caption, below = "\n".join(_wrapped(tile.caption)), y - INCH + GAP / 2
            axes.text(x, y if tile.pixels is None else below, caption, size=6.5, va="top", linespacing=1.05)
        y -= tall
    axes.set(xlim=(0, width), ylim=(0, height))
    return figure


def _wrapped(caption: str) -> list[str]:
    return [part for line in caption.splitlines() for part in textwrap.wrap(line, 17)][:4]


def _shown(pixels: np.ndarray) -> np.ndarray:
    """The picture with SIDE x SIDE pixels; smaller ones keep their pixels visible."""
    import cv2

    pixels = np.ascontiguousarray(pixels.squeeze())
    larger = pixels.shape[0] < SIDE
    return cv2.resize(pixels, (SIDE, SIDE), interpolation=cv2.INTER_NEAREST if larger else cv2.INTER_AREA)
