"""Rotation, zoom and shift of a picture, each with a probability of its own, in one resampling: one blur, not three."""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np
from albumentations import ImageOnlyTransform

from fer.settings.augmentation_rows import Change


class Placed(ImageOnlyTransform):
    """`changes` by name, of rotation, zoom, shift and crop; beyond its edge a picture is mirrored.

    Degrees turn against the clock, as albumentations' own do.
    """

    def __init__(self, changes: dict[str, Change]):
        super().__init__(p=1)
        self.changes = changes

    def get_params_dependent_on_data(self, params: dict[str, Any], data: dict[str, Any]) -> dict[str, Any]:
        """The map from places of the new picture to those of the old one, float [2, 3], in pixels."""
        height, width = params["shape"][:2]
        angle, size = -math.radians(self._draw("rotation")), 1 + self._draw("zoom")
        right, down = self._draw_both("shift")
        step_right, step_down = self._draw_both("crop")
        cos, sin = math.cos(angle) / size, math.sin(angle) / size
        centre = np.array([width - 1, height - 1]) / 2
        moved = np.array([right * width + round(step_right * width), down * height + round(step_down * height)])
        turned = np.array([[cos, sin], [-sin, cos]])
        return {"matrix": np.column_stack([turned, centre - turned @ (centre + moved)])}

    def _draw(self, name: str) -> float:
        change = self.changes.get(name)
        acts = change is not None and self.py_random.random() < change.probability
        return self.py_random.uniform(*change.range) if acts and change is not None else 0.0

    def _draw_both(self, name: str) -> tuple[float, float]:
        """To the right and down: together or not at all."""
        change = self.changes.get(name)
        if change is None or self.py_random.random() >= change.probability:
            return 0.0, 0.0
        return self.py_random.uniform(*change.range), self.py_random.uniform(*change.range)

    def apply(self, img: np.ndarray, matrix: np.ndarray, **_: Any) -> np.ndarray:
        """The picture, resampled once between its pixels."""
        flags, size = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, img.shape[1::-1]
        return cv2.warpAffine(img, matrix, size, flags=flags, borderMode=cv2.BORDER_REFLECT_101).reshape(img.shape)
