"""The drawing tools of the sample faces: smooth curves, the turn of a head, and a brush for polygons.

One face unit is half the width of the face; the origin lies between the eyes, x runs to the right of the
picture and y down.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from scipy.interpolate import CubicSpline

Array = np.ndarray
Points = Array | Sequence[tuple[float, float]]
Colour = Array | Sequence[float]


# ---------------------------------------------------------------- curves


def closed_curve(points: Points, steps: int = 6) -> Array:
    """Smooth closed polygon (N * steps, 2) through the points (N, 2)."""
    ring = np.concatenate([points, points[:1]])
    return CubicSpline(np.arange(len(ring)), ring, bc_type="periodic")(np.arange(len(points) * steps) / steps)


def open_curve(points: Points, steps: int = 6) -> Array:
    """Smooth line ((N - 1) * steps + 1, 2) through the points (N, 2), ends included."""
    return CubicSpline(np.arange(len(points)), points)(np.arange((len(points) - 1) * steps + 1) / steps)


def mirrored(half: Points) -> Array:
    """Smooth closed outline from its right half, listed from the topmost to the lowest point."""
    right = np.asarray(half, float)
    return closed_curve(np.concatenate([right, right[::-1][right[::-1, 0] > 0] * (-1, 1)]))


def ribbon(line: Array, widths: Sequence[float] | Array) -> Array:
    """Polygon around a line (N, 2), of the given full widths spread evenly along it."""
    width = np.interp(np.linspace(0, 1, len(line)), np.linspace(0, 1, len(widths)), widths)
    along = np.gradient(line, axis=0)
    sideways = along[:, ::-1] * (-1, 1) * (width / (2 * np.hypot(*along.T) + 1e-9))[:, None]
    return np.concatenate([line + sideways, (line - sideways)[::-1]])


_CIRCLE = np.stack([np.cos(np.arange(24) * np.pi / 12), np.sin(np.arange(24) * np.pi / 12)], 1)


def oval(x: float, y: float, radius_x: float, radius_y: float) -> Array:
    """Ellipse (24, 2) about (x, y)."""
    return _CIRCLE * (radius_x, radius_y) + (x, y)


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

    def pixels(self, points: Points) -> Array:
        """Points of the head (N, 2) in face units to pixels of the picture (N, 2)."""
        x, y = np.asarray(points, float).T
        # How far the surface stands before the axis the head turns about: a flat skull with a nose.
        depth = 1.05 * np.exp(-1.1 * ((x / 1.15) ** 2 + ((y - 0.1) / 1.7) ** 2)) - 0.3
        depth += 0.2 * np.exp(-((x / 0.25) ** 2) - ((y - 0.45) / 0.3) ** 2)
        across = x * np.cos(self.yaw) + depth * np.sin(self.yaw)
        down = y * np.cos(self.pitch) - depth * np.sin(self.pitch)
        c, s = np.cos(self.roll), np.sin(self.roll)
        return np.stack([c * across - s * down, s * across + c * down], 1) * self.unit + self.centre


# ---------------------------------------------------------------- the brush


@dataclass(frozen=True)
class Canvas:
    """A float32 RGB picture (3, H, W) from 0 to 1, painted in place in face units, all under one light (RGB).

    Whole planes, one per colour, since blending them is three times as fast as blending pixels of three numbers.
    """

    picture: Array
    view: View
    light: Colour = (1.0, 1.0, 1.0)

    def paint(
        self, points: Array, colour: Colour, opacity: float = 1.0, softness: float = 0.01, within: Array | None = None
    ) -> None:
        """Blend a polygon of one colour over the picture.

        `softness` is the standard deviation of its blurred edge in face units; `within` is a polygon
        outside of which nothing is painted.
        """
        pixels, blur = self.view.pixels(points), softness * self.view.unit
        pad = 2 + round(2.5 * blur)
        left, top = np.maximum(pixels.min(0).astype(int) - pad, 0)
        right, bottom = np.minimum(pixels.max(0).astype(int) + pad + 1, self.picture.shape[:0:-1])
        if right <= left or bottom <= top:
            return
        shape = (int(bottom - top), int(right - left))
        mask = _filled(pixels - (left, top), shape)
        cover = (cv2.GaussianBlur(mask, (0, 0), blur) if blur > 0.3 else mask) * np.float32(opacity / 255)
        if within is not None:
            cover *= _filled(self.view.pixels(within) - (left, top), shape) * np.float32(1 / 255)
        region = self.picture[:, top:bottom, left:right]
        lit = np.multiply(colour, self.light).astype(np.float32)
        region += cover * (lit[:, None, None] - region)


def _filled(pixels: Array, shape: tuple[int, int]) -> Array:
    """Antialiased mask (uint8) of a polygon in pixel coordinates, exact to a sixteenth of a pixel."""
    mask = np.zeros(shape, np.uint8)
    cv2.fillPoly(mask, [np.rint((pixels - 0.5) * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
    return mask
