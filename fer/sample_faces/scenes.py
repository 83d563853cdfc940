"""The pictures of the sample data: people before a studio wall, and snapshots by a cheap camera.

A picture is drawn as float32 planes (3, H, W) from 0 to 1 and developed to RGB uint8 (H, W, 3).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import cv2
import numpy as np

from fer.sample_faces.canvas import Canvas, View, mirrored, oval, place, to_picture
from fer.sample_faces.drawing import draw_head
from fer.sample_faces.traits import Expression, Identity, Light, Manner, draw_identity, draw_light
from fer.settings.settings import EMOTIONS

Array = np.ndarray
# Posed in the studio, spontaneous in the wild: what makes the two differ beyond the camera.
MANNERS = {
    "studio": Manner(
        pose_shares=(0.7, 0.25, 0.05), intensity=(0.45, 1.0), mixture=0.3, stray=0.08, asymmetry=0.06,
        yaw=7, pitch=4, roll=3, ambient=(0.5, 0.7), side_light=0.2, tint=0.015,
    ),
    "wild": Manner(
        pose_shares=(0.1, 0.3, 0.6), intensity=(0.5, 1.05), mixture=0.3, stray=0.09, asymmetry=0.15,
        yaw=16, pitch=8, roll=9, ambient=(0.3, 0.6), side_light=0.6, tint=0.06,
    ),
}  # fmt: skip
NORMAL_QUANTILES = np.array([NormalDist().inv_cdf((i + 0.5) / 256) for i in range(256)])


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
    picture = backdrop(rng, width, height)
    unit = min(width, height) * rng.uniform(0.2, 0.24)
    centre = (width * rng.uniform(0.46, 0.54), height * 0.5 - unit * rng.uniform(0.05, 0.25))
    face = add_person(picture, rng, label, "studio", centre, unit)
    return add_noise(develop(picture), rng, rng.uniform(0.5, 3)), face


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
    pixels = spoil(develop(picture), rng, float(units.min()))
    return add_noise(pixels, rng, rng.uniform(1, 11)), faces


def add_person(
    picture: Array,
    rng: np.random.Generator,
    label: int,
    domain: str,
    centre: tuple[float, float],
    unit: float,
) -> DrawnFace:
    """Draw a person into a float RGB picture (3, H, W), in place; `unit` is half the width of the face."""
    manner = MANNERS[domain]
    who, light = draw_identity(rng), draw_light(rng, manner)
    expression = Expression(rng, EMOTIONS[label], manner)
    limits = np.array([manner.yaw, manner.pitch, manner.roll])
    turn = np.radians(np.clip(rng.normal(0, limits), -1.8 * limits, 1.8 * limits)).tolist()
    view = View(centre, unit, *turn)
    paint_body(picture, rng, who, light, view)
    head, cover = draw_head(rng, who, expression, light, min(unit, 48.0))
    place(picture, head, cover, view)
    unsure = domain == "wild" and rng.random() < 0.06
    if unsure:
        smear(picture, view)
    confidence = rng.uniform(2, 19.5) if unsure else max(100 - rng.exponential(5), 25)
    return DrawnFace(label, detector_box(rng, who, expression, view), float(confidence), anchors(who, view))


def anchors(who: Identity, view: View) -> Array:
    """Pixels (3, 2) of the left eye, the right eye and the middle of the resting mouth."""
    return to_picture([(-who.eye_x, 0.0), (who.eye_x, 0.0), (0.0, who.mouth_y)], view)


def detector_box(
    rng: np.random.Generator, who: Identity, expression: Expression, view: View
) -> tuple[int, int, int, int]:
    """The box a detector would give, left, top, right, bottom: from forehead to chin, a little off."""
    chin = 1.66 + who.chin + 0.3 * expression("jaw_drop")
    edge = [(-0.98, 0.2), (0.98, 0.2), (0.0, -0.85), (0.0, chin), (-0.7, -0.7), (0.7, -0.7)]
    points = to_picture(edge, view)
    box = np.concatenate([points.min(0), points.max(0)]) + rng.normal(0, 0.06, 4) * view.unit
    left, top, right, bottom = np.rint(box).astype(int).tolist()
    return left, top, right, bottom


def paint_body(picture: Array, rng: np.random.Generator, who: Identity, light: Light, view: View) -> None:
    """Neck, shoulders and clothes below a head."""
    corner = tuple(-(np.array(view.centre) + 0.5) / view.unit)
    canvas = Canvas(picture, corner, view.unit)
    brightness = light.ambient + 0.7 * light.direct
    skin, cloth = who.skin * brightness, muted(rng) * brightness
    below = picture.shape[1] / view.unit + corner[1] + 1
    shoulders = [(0.0, 2.0), (0.6, 2.02), (1.2, 2.25), (1.9, 2.5), (2.3, 3.2)]
    canvas.paint(mirrored([*shoulders, (2.4, max(below, 3.5)), (0.0, max(below, 3.6))]), cloth, 1.0, 0.01)
    if who.style in ("bob", "long"):
        behind = oval(0, 0.6, 1.1, 1.0 if who.style == "bob" else 1.5)
        canvas.paint(behind, who.hair * brightness * 0.6, 1.0, 0.03)
    half = 0.62 if who.jaw_width > 1 else 0.52
    right = np.array([(half, 0.9), (half, 1.7), (half + 0.25, 2.1), (0.3, 2.2)])
    neck = np.concatenate([right, right[::-1] * (-1, 1)])
    canvas.paint(neck, skin, 1.0, 0.012)
    dip = rng.uniform(2.15, 2.8)
    canvas.paint(np.array([(-0.5, 2.0), (0.5, 2.0), (0.05, dip), (-0.05, dip)]), skin * 0.96, 1.0, 0.02)
    side = -1 if light.direction[0] > 0 else 1
    dark = float(min(0.15 + abs(light.direction[0]), 0.7))
    canvas.paint(oval(side * half, 1.6, 0.35, 0.7), skin * 0.45, dark, 0.12, neck)
    canvas.paint(oval(0, 1.55, 0.75, 0.3), skin * 0.4, 0.6, 0.12, neck)


def aligned(pixels: Array, face: DrawnFace) -> Array:
    """The 100x100 crop in which eyes and mouth stand where RAF-DB puts them: least-squares similarity."""
    source = face.anchors @ (1, 1j)
    target = np.array((33 + 35j, 67 + 35j, 50 + 73j))
    centred = source - source.mean()
    factor = (centred.conj() @ (target - target.mean())) / (centred.conj() @ centred)
    shift = target.mean() - factor * source.mean()
    matrix = np.array([[factor.real, -factor.imag, shift.real], [factor.imag, factor.real, shift.imag]])
    return cv2.warpAffine(pixels, matrix, (100, 100), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)


# ---------------------------------------------------------------- backgrounds and the camera


def muted(rng: np.random.Generator) -> Array:
    """A random colour, most often not far from gray."""
    return rng.uniform(0.08, 0.85) * (1 + rng.normal(0, 0.25, 3))


def backdrop(rng: np.random.Generator, width: int, height: int) -> Array:
    """A plain studio wall, softly and unevenly lit: float32 RGB (3, H, W)."""
    colour = rng.uniform(0.25, 0.85) * (1 + rng.normal(0, 0.06, 3))
    uneven = colour[:, None, None] + rng.normal(0, 0.04, (3, 3)) - np.array([[0], [0.02], [0.06]])
    return enlarged(uneven, width, height)


def enlarged(planes: Array, width: int, height: int) -> Array:
    """Colours (3, h, w) smoothly enlarged to float32 (3, H, W)."""
    small = planes.astype(np.float32)
    large = np.stack([cv2.resize(plane, (width, height), interpolation=cv2.INTER_CUBIC) for plane in small])
    return np.maximum(large, 0, out=large)


def clutter(rng: np.random.Generator, width: int, height: int) -> Array:
    """A room, a street or greenery out of focus: float32 RGB (3, H, W), painted small and enlarged."""
    shrink = float(rng.uniform(3, 8))
    cells = (int(rng.integers(3, 9)), int(rng.integers(3, 9)))
    grid = muted(rng)[:, None, None] + rng.normal(0, 0.14, cells) + rng.normal(0, 0.05, (3, *cells))
    small = enlarged(grid, round(width / shrink), round(height / shrink))
    canvas = Canvas(small, (0.0, 0.0), float(small.shape[1]))
    for _ in range(rng.integers(4, 16)):
        x, y, half_width, half_height = rng.uniform(0, 1.4), rng.uniform(0, 1), *rng.exponential(0.12, 2)
        corners = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)]) * (half_width, half_height) + (x, y)
        shape = oval(x, y, half_width, half_width) if rng.random() < 0.35 else corners
        canvas.paint(shape, muted(rng), rng.uniform(0.3, 1.0))
    return enlarged(small, width, height)


def smear(picture: Array, view: View) -> None:
    """Blur one face of a picture in place: what a detector is unsure of."""
    x, y, reach = *map(int, view.centre), int(1.8 * view.unit)
    for plane in picture[:, max(y - reach, 0) : y + reach, max(x - reach, 0) : x + reach]:
        plane[:] = cv2.GaussianBlur(plane, (0, 0), 0.05 * view.unit)


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


def develop(picture: Array) -> Array:
    """Float RGB (3, H, W), from 0 to 1 -> uint8 (H, W, 3); what is brighter becomes white."""
    return cv2.merge([cv2.convertScaleAbs(plane, alpha=255) for plane in picture])


def add_noise(picture: Array, rng: np.random.Generator, deviation: float) -> Array:
    """Add gray Gaussian noise to RGB uint8, its deviation in levels."""
    # One random byte picks one of 256 equally likely values: ten times as fast as normal numbers.
    values = np.rint(NORMAL_QUANTILES * deviation + 128).clip(0, 255).astype(np.uint8)
    height, width = picture.shape[:2]
    grain = cv2.LUT(rng.integers(0, 256, (height, width), np.uint8), values)
    return cv2.addWeighted(picture, 1, cv2.merge([grain, grain, grain]), 1, -128)
