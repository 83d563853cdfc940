"""The drawing tools of the sample faces: smooth curves, a canvas in face units, the turn of a head.

One face unit is half the width of the face; the origin lies between the eyes, x runs to the right of the
picture and y down.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache

import cv2
import numpy as np

Array = np.ndarray
Colour = tuple[float, float, float]
Points = Array | Sequence[tuple[float, float]]


# ---------------------------------------------------------------- curves


@cache
def _spline_weights(count: int, steps: int) -> Array:
    """Weights (count * steps, count) of a closed Catmull-Rom spline."""
    t = np.arange(steps) / steps
    basis = np.stack([-t + 2 * t**2 - t**3, 2 - 5 * t**2 + 3 * t**3, t + 4 * t**2 - 3 * t**3, -(t**2) + t**3])
    weights = np.zeros((count, steps, count))
    for point in range(count):
        for k in range(4):
            weights[point, :, (point + k - 1) % count] += basis[k] / 2
    return weights.reshape(count * steps, count)


def closed_curve(points: Points, steps: int = 6) -> Array:
    """Smooth closed polygon (N * steps, 2) through the points (N, 2)."""
    return _spline_weights(len(points), steps) @ np.asarray(points, float)


def open_curve(points: Points, steps: int = 6) -> Array:
    """Smooth line ((N - 1) * steps + 1, 2) through the points (N, 2), ends included."""
    line = np.asarray(points, float)
    padded = np.concatenate([2 * line[:1] - line[1:2], line, 2 * line[-1:] - line[-2:-1]])
    return closed_curve(padded, steps)[steps : -2 * steps + 1]


def mirrored(half: Points) -> Array:
    """Smooth closed outline from its right half, listed from the topmost to the lowest point."""
    right = np.asarray(half, float)
    return closed_curve(np.concatenate([right, right[::-1][right[::-1, 0] > 0] * (-1, 1)]))


def ribbon(line: Array, widths: list[float] | Array) -> Array:
    """Polygon around a line (N, 2), of the given full widths spread evenly along it."""
    place_of_point = np.arange(len(line)) * ((len(widths) - 1) / (len(line) - 1))
    width = np.interp(place_of_point, np.arange(len(widths)), widths)
    along = np.empty_like(line)
    along[1:-1], along[0], along[-1] = line[2:] - line[:-2], line[1] - line[0], line[-1] - line[-2]
    sideways = along[:, ::-1] * (-1, 1) * (width / (2 * np.hypot(along[:, 0], along[:, 1]) + 1e-9))[:, None]
    return np.concatenate([line + sideways, (line - sideways)[::-1]])


_CIRCLE = np.stack([np.cos(np.arange(24) * np.pi / 12), np.sin(np.arange(24) * np.pi / 12)], 1)


def oval(x: float, y: float, radius_x: float, radius_y: float) -> Array:
    """Ellipse (24, 2) about (x, y)."""
    return _CIRCLE * np.array((radius_x, radius_y)) + np.array((x, y))


# ---------------------------------------------------------------- canvas


@dataclass
class Canvas:
    """A float32 RGB picture (3, H, W), from 0 to 1, in face units: pixel = (point - corner) * scale - 0.5.

    Painting changes `colour` in place. Values above 1 are allowed until the picture is saved. Whole planes,
    one per colour, since blending them is three times as fast as blending pixels of three numbers.
    """

    colour: Array
    corner: tuple[float, float]
    scale: float
    x: Array = field(init=False)
    y: Array = field(init=False)

    def __post_init__(self) -> None:
        height, width = self.colour.shape[1:]
        self.x = ((np.arange(width) + 0.5) / self.scale + self.corner[0]).astype(np.float32)
        self.y = ((np.arange(height) + 0.5) / self.scale + self.corner[1]).astype(np.float32)

    def paint(
        self,
        points: Array,
        colour: Array | Colour,
        opacity: float = 1.0,
        softness: float = 0.0,
        within: Array | None = None,
    ) -> None:
        """Blend a polygon of one colour over the canvas.

        `softness` is the standard deviation of its blurred edge in face units; `within` is a polygon
        outside of which nothing is painted.
        """
        pixels = self._pixels(points)
        blur = softness * self.scale
        pad = 2 + round(2.5 * blur)
        height, width = self.colour.shape[1:]
        (least_x, least_y), (most_x, most_y) = pixels.min(0).tolist(), pixels.max(0).tolist()
        left, top = max(int(least_x) - pad, 0), max(int(least_y) - pad, 0)
        right, bottom = min(int(most_x) + pad + 1, width), min(int(most_y) + pad + 1, height)
        if right <= left or bottom <= top:
            return
        mask = _filled(pixels - (left, top), (bottom - top, right - left))
        mask = _blurred(mask, blur)
        cover = mask * np.float32(opacity / 255)
        if within is not None:
            cover *= _filled(self._pixels(within) - (left, top), cover.shape) * np.float32(1 / 255)
        region = self.colour[:, top:bottom, left:right]
        region += cover * (np.asarray(colour, np.float32)[:, None, None] - region)

    def cover(self, points: Array, softness: float = 0.0) -> Array:
        """How much of each pixel of the whole canvas a polygon covers, float32 (H, W) from 0 to 1."""
        mask = _filled(self._pixels(points), self.colour.shape[1:])
        return _blurred(mask, softness * self.scale) * np.float32(1 / 255)

    def blend(self, cover: Array, colour: Array) -> None:
        """Blend one colour per pixel (3, H, W) over the whole canvas with a coverage (H, W)."""
        self.colour += cover * (colour - self.colour)

    def bumps(self, table: list[tuple[float, float, float, float, float]]) -> Array:
        """Sum (H, W) of Gaussians (height, x, y, width, length); one with x > 0 stands on both sides."""
        height, x, y, width, length = np.array(table, np.float32).T[..., None]
        across = np.exp(-0.5 * ((self.x - x) / width) ** 2)
        across += np.where(x > 0, np.exp(-0.5 * ((self.x + x) / width) ** 2), 0)
        down = height * np.exp(-0.5 * ((self.y - y) / length) ** 2)
        # OpenCV's product: NumPy's starts threads, which costs more than the product itself.
        return cv2.gemm(down, across, 1.0, None, 0.0, flags=cv2.GEMM_1_T)  # type: ignore[call-overload]

    def _pixels(self, points: Array) -> Array:
        return (points - np.asarray(self.corner)) * self.scale - 0.5


def _filled(pixels: Array, shape: tuple[int, ...]) -> Array:
    """Antialiased mask (uint8) of a polygon in pixel coordinates, exact to a sixteenth of a pixel."""
    mask = np.zeros(shape, np.uint8)
    cv2.fillPoly(mask, [np.rint(pixels * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
    return mask


def _blurred(mask: Array, deviation: float) -> Array:
    """The mask blurred by a Gaussian of the given deviation in pixels, a wide one by two boxes: faster."""
    if deviation <= 0.3:
        return mask
    if deviation <= 1.5:
        return cv2.GaussianBlur(mask, (0, 0), deviation)
    side = round(math.sqrt(6 * deviation**2 + 1))
    side += 1 - side % 2
    return cv2.blur(cv2.blur(mask, (side, side)), (side, side))


# ---------------------------------------------------------------- the turn of a head


@dataclass(frozen=True)
class View:
    """Where a head stands in a picture: its origin and one face unit in pixels; angles in radians.

    Positive yaw turns the face to the right of the picture, positive pitch up; positive roll is clockwise.
    """

    centre: tuple[float, float]
    unit: float
    yaw: float = 0.0
    pitch: float = 0.0
    roll: float = 0.0


def _depth(x: Array, y: Array) -> Array:
    """How far the surface stands before the axis the head turns about, in face units.

    Flatter than a head, so that the turn stays invertible up to about 35 degrees.
    """
    skull = 1.05 * np.exp(-1.1 * ((x / 1.15) ** 2 + ((y - 0.1) / 1.7) ** 2)) - 0.3
    return skull + 0.2 * np.exp(-((x / 0.25) ** 2) - ((y - 0.45) / 0.3) ** 2)


def to_picture(points: Points, view: View) -> Array:
    """Points of a head (N, 2) in face units -> pixels of the picture (N, 2)."""
    x, y = np.asarray(points, float).T
    z = _depth(x, y)
    across = x * np.cos(view.yaw) + z * np.sin(view.yaw)
    down = y * np.cos(view.pitch) - z * np.sin(view.pitch)
    c, s = np.cos(view.roll), np.sin(view.roll)
    return np.stack([c * across - s * down, s * across + c * down], 1) * view.unit + np.asarray(view.centre)


def to_head(x: Array, y: Array, view: View) -> tuple[Array, Array]:
    """Pixels of the picture -> coordinates on the head: `to_picture` undone by fixed-point iteration."""
    c, s = np.cos(view.roll), np.sin(view.roll)
    from_left, from_top = (x - view.centre[0]) / view.unit, (y - view.centre[1]) / view.unit
    across, down = c * from_left + s * from_top, c * from_top - s * from_left
    head_x, head_y = across, down
    for _ in range(5):
        z = _depth(head_x, head_y)
        head_x = (across - z * np.sin(view.yaw)) / np.cos(view.yaw)
        head_y = (down + z * np.sin(view.pitch)) / np.cos(view.pitch)
    return head_x, head_y


def place(picture: Array, head: Canvas, cover: Array, view: View) -> None:
    """Turn a head and its coverage (H, W) into `view` and blend it into a float32 picture (3, H, W)."""
    height, width = picture.shape[1:]
    x, y = view.centre
    left, right = max(int(x - 1.9 * view.unit), 0), min(int(x + 1.9 * view.unit), width)
    top, bottom = max(int(y - 2.2 * view.unit), 0), min(int(y + 2.2 * view.unit), height)
    # The turn bends smoothly, so it is solved on every sixth pixel and enlarged.
    columns, rows = (right - left) // 6 + 2, (bottom - top) // 6 + 2
    grid_x, grid_y = np.meshgrid(
        left + (np.arange(columns) + 0.5) * (right - left) / columns - 0.5,
        top + (np.arange(rows) + 0.5) * (bottom - top) / rows - 0.5,
    )
    size = (right - left, bottom - top)
    map_x, map_y = (
        cv2.resize(((way - corner) * head.scale - 0.5).astype(np.float32), size)
        for way, corner in zip(to_head(grid_x, grid_y, view), head.corner, strict=True)
    )
    turned = cv2.remap(cv2.merge(list(head.colour)), map_x, map_y, cv2.INTER_LINEAR)
    cover = cv2.remap(cover, map_x, map_y, cv2.INTER_LINEAR)
    for plane, colour in zip(picture[:, top:bottom, left:right], cv2.split(turned), strict=True):
        plane += cover * (colour - plane)
