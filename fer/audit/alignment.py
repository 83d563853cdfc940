"""How alike two small gray pictures are once one is laid over the other: shifted and stretched a little.

A picture cropped by a few per cent differs from its original almost everywhere, pixel by pixel. So the two are
first aligned: shift, stretch along each axis, brightness and contrast, by Gauss-Newton steps on the pixel
differences (Lucas and Kanade, IJCAI 1981; Baker and Matthews, IJCV 2004). Then the correlation of their locally
normalised detail is taken: without that, the black border of aligned faces makes strangers look alike.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

FARTHEST = 0.11  # of the side: shifts beyond it are no slight crop
STRETCH = 0.18  # how much larger or smaller one may be than the other
DAMPING = 1e-2  # keeps the step of a flat picture finite
DETAIL = 2.5 / 32  # of the side: width of the neighbourhood that detail is measured in
FLOOR = 0.1  # of a picture's own contrast: weaker detail is noise, and is not blown up

Placement = np.ndarray  # float32 [M, 4]: shift in x and y (share of the side), stretch in x and y (0: none)


class Layer(NamedTuple):
    """Pictures at one size: `pixels` with mean 0 and contrast 1, `detail` locally normalised; float16 [N, T, T]."""

    pixels: np.ndarray
    detail: np.ndarray

    def take(self, rows: np.ndarray, mirrored: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Pixels and detail of `rows` as float32 [M, T, T]; left and right swapped where `mirrored` is true."""
        chosen = [part[rows].astype(np.float32) for part in self]
        if mirrored is not None:
            for part in chosen:
                part[mirrored] = part[mirrored, :, ::-1]
        return chosen[0], chosen[1]


def make_layer(pictures: np.ndarray) -> Layer:
    """The layer of uint8 pictures [N, T, T]."""
    pixels = np.empty(pictures.shape, dtype=np.float16)
    detail = np.empty(pictures.shape, dtype=np.float16)
    for start in range(0, len(pictures), 4096):
        part = slice(start, start + 4096)
        values = _standardised(pictures[part].astype(np.float32))
        pixels[part], detail[part] = values, _local_detail(values)
    return Layer(pixels, detail)


def _standardised(pictures: np.ndarray) -> np.ndarray:
    centred = pictures - pictures.mean((1, 2), keepdims=True)
    return centred / np.maximum(centred.std((1, 2), keepdims=True), 1.0)


def _local_detail(pictures: np.ndarray) -> np.ndarray:
    """Difference to the neighbourhood's mean over the neighbourhood's contrast."""
    from scipy.ndimage import gaussian_filter

    width = (0, DETAIL * pictures.shape[1], DETAIL * pictures.shape[1])
    difference = pictures - gaussian_filter(pictures, width)
    return difference / (np.sqrt(gaussian_filter(difference**2, width)) + FLOOR)


def align(first: np.ndarray, second: np.ndarray, start: Placement | None = None, steps: int = 2) -> Placement:
    """Where to sample each of `second` so that it lies over its partner in `first`; both float32 [M, T, T]."""
    place = np.zeros((len(first), 4), np.float32) if start is None else start
    limit = np.array([FARTHEST, FARTHEST, STRETCH, STRETCH], np.float32)
    for _ in range(steps):
        moved, mask = _moved(second, place)
        place = np.clip(place + np.clip(_step(first, moved, mask), -limit / 2, limit / 2), -limit, limit)
    return place


def _step(first: np.ndarray, moved: np.ndarray, mask: np.ndarray) -> Placement:
    """The least-squares change of placement: first = offset + gain * moved + change * slope, over the mask."""
    count, side = len(first), first.shape[1]
    across = (np.arange(side, dtype=np.float32) - (side - 1) / 2)[None, None, :]
    down = across.transpose(0, 2, 1)
    slope_x, slope_y = np.gradient(moved, axis=2), np.gradient(moved, axis=1)
    terms = [np.ones_like(moved), moved, slope_x, slope_y, slope_x * across, slope_y * down]
    matrix = (np.stack(terms, axis=1) * mask[:, None]).reshape(count, 6, side * side)  # not -1: there may be no pair
    squares = matrix @ matrix.transpose(0, 2, 1) + DAMPING * np.eye(6, dtype=np.float32)
    solution = np.linalg.solve(squares, matrix @ (first * mask).reshape(count, side * side, 1))[..., 0]
    gain = np.maximum(solution[:, 1:2], 0.2)  # a negative of a picture is no copy: it must not turn the step round
    return (solution[:, 2:] / gain / [side, side, 1, 1]).astype(np.float32)


def _moved(pictures: np.ndarray, place: Placement) -> tuple[np.ndarray, np.ndarray]:
    """The pictures sampled at their placement (bilinear), and 1 where that lies inside them, else 0."""
    across, inside_x = _sampling(place[:, 0], place[:, 2], pictures.shape[1])
    down, inside_y = _sampling(place[:, 1], place[:, 3], pictures.shape[1])
    mask = inside_y[:, :, None] & inside_x[:, None, :]
    return down @ pictures @ across.transpose(0, 2, 1), mask.astype(np.float32)


def _sampling(shift: np.ndarray, stretch: np.ndarray, side: int) -> tuple[np.ndarray, np.ndarray]:
    """Weights [M, T, T] of linear interpolation along one axis, and which of the T places lie inside."""
    middle = (side - 1) / 2
    grid = np.arange(side, dtype=np.float32)
    places = (1 + stretch[:, None]) * (grid - middle) + shift[:, None] * side + middle
    weights = np.clip(1 - np.abs(places[:, :, None] - grid), 0, None)
    return weights.astype(np.float32), (places >= 0) & (places <= side - 1)


def similarity(first: np.ndarray, second: np.ndarray, place: Placement) -> np.ndarray:
    """Correlation, -1 to 1, of detail [M, T, T] with the other's detail at its placement, where both show."""
    moved, mask = _moved(second, place)
    count = np.maximum(mask.sum((1, 2), keepdims=True), 1)
    one, two = ((part - (part * mask).sum((1, 2), keepdims=True) / count) * mask for part in (first, moved))
    norms = np.sqrt((one**2).sum((1, 2)) * (two**2).sum((1, 2)))
    return (one * two).sum((1, 2)) / np.maximum(norms, 1e-6)
