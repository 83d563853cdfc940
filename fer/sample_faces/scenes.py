"""The pictures of the sample data: people before a studio wall, and snapshots by a cheap camera.

A picture is drawn as float32 planes (3, H, W) from 0 to 1 and developed to RGB uint8 (H, W, 3).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from fer.sample_faces.canvas import Canvas, View, oval
from fer.sample_faces.drawing import Sitter, draw_body, draw_head
from fer.sample_faces.traits import Expression, Identity, Manner, draw_identity
from fer.settings.settings import EMOTIONS

Array = np.ndarray
# Posed in the studio, spontaneous in the wild: what makes the two differ beyond the camera.
MANNERS = {
    "studio": Manner(
        pose_shares=(0.7, 0.25, 0.05), intensity=(0.5, 1.0), stray=0.08, asymmetry=0.06, turn=(11, 6, 5),
        brightness=(0.9, 1.1), side_light=0.5, tint=0.015,
    ),
    "wild": Manner(
        pose_shares=(0.1, 0.3, 0.6), intensity=(0.5, 1.05), stray=0.09, asymmetry=0.15, turn=(16, 8, 9),
        brightness=(0.55, 1.1), side_light=0.6, tint=0.06,
    ),
}  # fmt: skip


@dataclass(frozen=True)
class DrawnFace:
    """One drawn face: its box (left, top, right, bottom), eyes and mouth (3, 2), all in pixels."""

    label: int
    box: tuple[int, int, int, int]
    confidence: float
    anchors: Array


# ---------------------------------------------------------------- one picture


def studio_picture(rng: np.random.Generator, label: int) -> tuple[Array, DrawnFace]:
    """A portrait before a plain backdrop: RGB uint8, 220 to 300 pixels a side."""
    width, height = rng.integers(220, 301, 2).tolist()
    picture = backdrop(rng, width, height, 0.04)
    unit = min(width, height) * rng.uniform(0.2, 0.24)
    centre = (width * rng.uniform(0.46, 0.54), height * 0.5 - unit * rng.uniform(0.05, 0.25))
    face = add_person(picture, rng, label, "studio", centre, unit)
    return develop(picture, rng, rng.uniform(0.5, 3)), face


def wild_picture(rng: np.random.Generator, labels: Sequence[int]) -> tuple[Array, list[DrawnFace]]:
    """A snapshot with one to three people: RGB uint8, 300 to 450 pixels wide."""
    width, height = int(rng.integers(300, 451)), int(rng.integers(250, 351))
    picture = clutter(rng, width, height)
    room, faces = width / len(labels), []
    units = np.minimum(room / 2.5, height / 4.2) * rng.uniform(0.45, 1.0, len(labels))
    for seat, (label, unit) in enumerate(zip(labels, units.tolist(), strict=True)):
        x = room * (seat + 0.5 + rng.normal(0, 0.08))
        if seat == 0 and rng.random() < 0.1:  # partly outside the picture
            x = unit * rng.uniform(0.7, 0.9)
        centre = (x, height * rng.uniform(0.4, 0.5))
        faces.append(add_person(picture, rng, label, "wild", centre, unit))
    return spoil(develop(picture, rng, rng.uniform(1, 11)), rng, float(units.min())), faces


def add_person(
    picture: Array,
    rng: np.random.Generator,
    label: int,
    domain: str,
    centre: tuple[float, float],
    unit: float,
) -> DrawnFace:
    """Draw a person into a float RGB picture (3, H, W), in place; `unit` is half the width of the face."""
    manner, who = MANNERS[domain], draw_identity(rng)
    expression = Expression(rng, EMOTIONS[label], manner)
    light = rng.uniform(*manner.brightness) * (1 + rng.normal(0, manner.tint, 3))
    limits = np.array(manner.turn)
    turn = np.radians(np.clip(rng.normal(0, limits), -1.8 * limits, 1.8 * limits)).tolist()
    view = View(centre, unit, *turn)
    draw_body(Canvas(picture, View(centre, unit), light), who, muted(rng))
    draw_head(Sitter(Canvas(picture, view, light), who, expression, rng.normal(0, manner.side_light)), rng)
    unsure = domain == "wild" and rng.random() < 0.06
    if unsure:
        smear(picture, view)
    confidence = rng.uniform(2, 19.5) if unsure else max(100 - rng.exponential(5), 25)
    anchors = view.pixels([(-who.eye_x, 0.0), (who.eye_x, 0.0), (0.0, who.mouth_y)])
    return DrawnFace(label, detector_box(rng, who, expression, view), float(confidence), anchors)


def detector_box(
    rng: np.random.Generator, who: Identity, expression: Expression, view: View
) -> tuple[int, int, int, int]:
    """The box a detector would give, left, top, right, bottom: from forehead to chin, a little off."""
    chin = 1.66 + who.chin + 0.3 * expression("jaw_drop")
    points = view.pixels([(-0.98, 0.2), (0.98, 0.2), (0.0, -0.85), (0.0, chin), (-0.7, -0.7), (0.7, -0.7)])
    box = np.concatenate([points.min(0), points.max(0)]) + rng.normal(0, 0.06, 4) * view.unit
    left, top, right, bottom = np.rint(box).astype(int).tolist()
    return left, top, right, bottom


def aligned(pixels: Array, face: DrawnFace) -> Array:
    """The 100x100 crop in which eyes and mouth stand where RAF-DB puts them: least-squares similarity."""
    target = np.array([(33, 35), (67, 35), (50, 73)], float)
    matrix, _ = cv2.estimateAffinePartial2D(face.anchors, target, method=cv2.LMEDS)
    return cv2.warpAffine(pixels, matrix, (100, 100), flags=cv2.INTER_LINEAR)


# ---------------------------------------------------------------- backgrounds and the camera


def muted(rng: np.random.Generator) -> Array:
    """A random colour, most often not far from gray."""
    return np.clip(rng.uniform(0.08, 0.85) * (1 + rng.normal(0, 0.25, 3)), 0, 1)


def backdrop(rng: np.random.Generator, width: int, height: int, uneven: float) -> Array:
    """A wall, softly and unevenly lit: float32 RGB (3, H, W)."""
    colours = np.clip(muted(rng) * 0.8 + 0.15 + rng.normal(0, uneven, (4, 4, 3)), 0, 1).astype(np.float32)
    return np.ascontiguousarray(cv2.resize(colours, (width, height), interpolation=cv2.INTER_LINEAR).transpose(2, 0, 1))


def clutter(rng: np.random.Generator, width: int, height: int) -> Array:
    """A room, a street or greenery out of focus: float32 RGB (3, H, W)."""
    picture = backdrop(rng, width, height, 0.14)
    canvas = Canvas(picture, View((0.0, 0.0), float(height)))
    for _ in range(rng.integers(4, 16)):
        x, y, half_width, half_height = rng.uniform(0, 1.4), rng.uniform(0, 1), *rng.exponential(0.12, 2)
        corners = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)]) * (half_width, half_height) + (x, y)
        shape = oval(x, y, half_width, half_width) if rng.random() < 0.35 else corners
        canvas.paint(shape, muted(rng), rng.uniform(0.3, 1.0), 0.015)
    return picture


def smear(picture: Array, view: View) -> None:
    """Blur one face of a picture in place: what a detector is unsure of."""
    x, y, reach = *map(int, view.centre), int(1.8 * view.unit)
    for plane in picture[:, max(y - reach, 0) : y + reach, max(x - reach, 0) : x + reach]:
        plane[:] = cv2.GaussianBlur(plane, (0, 0), 0.05 * view.unit)


def develop(picture: Array, rng: np.random.Generator, noise: float) -> Array:
    """Float RGB (3, H, W), from 0 to 1, to uint8 (H, W, 3) with gray noise of that deviation in levels."""
    grain = noise / 255 * rng.standard_normal(picture.shape[1:], np.float32)
    return cv2.merge([cv2.convertScaleAbs(np.maximum(plane + grain, 0), alpha=255) for plane in picture])


def spoil(picture: Array, rng: np.random.Generator, unit: float) -> Array:
    """A cheap camera: blur by up to a 25th of the smallest face unit, poor contrast, some pictures gray.

    Takes and returns RGB uint8.
    """
    blur = rng.uniform(0, 0.04) * unit
    if blur > 0.3:
        picture = cv2.GaussianBlur(picture, (0, 0), blur)
    if rng.random() < 0.12:
        picture = cv2.cvtColor(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    contrast, brightness = rng.uniform(0.7, 1.15), rng.normal(0, 10)
    levels = (np.arange(256) - 128) * contrast + 128 + brightness
    return cv2.LUT(picture, np.clip(levels, 0, 255).astype(np.uint8))
