"""Draws a head that faces the viewer: skin, folds, features, mouth, hair, all moved by the action units.

Colours are painted first, part by part; then the light falls on a relief of the face made of Gaussian
bumps, whose slopes give the shading. Lengths are in face units (see face_canvas).
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from fer.sample_faces.canvas import Canvas, closed_curve, mirrored, open_curve, oval, ribbon
from fer.sample_faces.traits import Expression, Identity, Light

Array = np.ndarray
# The part of the plane a head is drawn on: left, top, width, height.
FRAME = (-1.65, -2.1, 3.3, 4.15)
SIDES = (-1, 1)
ACROSS_EYE = np.linspace(-1, 1, 15)  # from the corner at the nose outwards
ACROSS_MOUTH = np.linspace(-1, 1, 25)
HEAD_TOP = ((0.0, -1.5), (0.46, -1.42), (0.83, -1.1), (0.99, -0.6))
CAP = ((0.0, -1.72), (0.55, -1.62), (0.98, -1.2), (1.1, -0.7), (0.6, -0.78), (0.0, -0.84))
# How far the hair stands out, as a factor on the head; 1.12 where not named.
HAIR_VOLUME = {"bald": 0.98, "cropped": 1.03, "short": 1.09, "curly": 1.2, "bun": 1.04, "cap": 1.05}
HAIR_SIDES = {
    "bob": ((1.25, 0.2), (1.28, 0.9), (1.1, 1.35), (0.7, 1.3)),
    "long": ((1.22, 0.2), (1.3, 1.0), (1.35, 1.7), (1.1, 2.0), (0.7, 1.9)),
    "curly": ((1.3, -0.1), (1.22, 0.45), (0.9, 0.6)),
}
HAIRLINE = {"fringe": -0.6, "bald": -1.75, "cap": -0.72}


@dataclass
class Sitter:
    """One head being drawn. `jaw` is how far it hangs open, in face units."""

    canvas: Canvas
    who: Identity
    expression: Expression

    @property
    def jaw(self) -> float:
        return 0.3 * min(self.expression("jaw_drop"), 1.1)


def draw_head(
    rng: np.random.Generator, who: Identity, expression: Expression, light: Light, scale: float
) -> tuple[Canvas, Array]:
    """A head facing the viewer at `scale` pixels per face unit, and its coverage (H, W) of the canvas."""
    sitter = Sitter(blank_canvas(scale), who, expression)
    paint_skin(sitter, rng)
    paint_beard(sitter)
    paint_brow_folds(sitter)
    paint_cheek_folds(sitter)
    paint_nose(sitter)
    gaze = rng.normal(0, 0.02)
    for side in SIDES:
        paint_eye(sitter, side, gaze)
        paint_brow(sitter, side)
    paint_mouth(sitter)
    cover = np.maximum(head_cover(sitter), paint_hair(sitter, rng))
    if who.glasses:
        paint_glasses(sitter, rng)
    shade(sitter, light)
    return sitter.canvas, cover


def blank_canvas(scale: float) -> Canvas:
    """A canvas as large as the frame of a head; its colours are not set yet."""
    left, top, width, height = FRAME
    return Canvas(np.empty((3, round(height * scale), round(width * scale)), np.float32), (left, top), scale)


# ---------------------------------------------------------------- skin and shape


def head_outline(who: Identity, jaw: float) -> Array:
    """Outline (N, 2) of the head without ears and hair."""
    wide, chin = who.jaw_width, who.chin + jaw
    cheek = [(0.99, -0.1), (0.98, 0.3), (0.465 + 0.465 * wide, 0.75 + 0.2 * jaw)]
    low = [(0.79 * wide, 1.14 + 0.7 * jaw), (0.52 * wide, 1.46 + chin), (0.22 * wide, 1.62 + chin)]
    return mirrored([*HEAD_TOP, *cheek, *low, (0.0, 1.66 + chin)])


def head_cover(sitter: Sitter) -> Array:
    """Coverage (H, W) of the head with its ears."""
    canvas, who = sitter.canvas, sitter.who
    cover = canvas.cover(head_outline(who, sitter.jaw))
    if who.style in ("bob", "long"):
        return cover
    ears = (canvas.cover(oval(side * 1.02, 0.16, 0.1, 0.24)) for side in SIDES)
    return np.maximum(cover, np.maximum(*ears))


def relief(sitter: Sitter, canvas: Canvas) -> Array:
    """Height (H, W) of the face towards the viewer, in face units, for every pixel of a canvas."""
    who, e, jaw = sitter.who, sitter.expression, sitter.jaw
    nose_y, mouth_y = who.nose_y - 0.06 * e("nose_wrinkle"), who.mouth_y
    cheek = 0.06 + 0.09 * e("cheek_raise") + 0.06 * e("lip_pull")
    nose = [(0.1, 0.0, -0.05, 0.12, 0.25), (0.2, 0.0, 0.25, 0.13, 0.25)]
    nose += [(0.24, 0.0, nose_y - 0.1, who.nose_width * 0.6, 0.14)]
    nose += [(0.1, who.nose_width * 0.72, nose_y - 0.05, 0.09, 0.09)]
    eyes = [(0.07, 0.4, -0.3, 0.3, 0.1), (-0.15, who.eye_x * 0.92, -0.02, 0.24, 0.16)]
    eyes += [(0.09, who.eye_x, 0.0, 0.17, 0.12)]
    cheeks = [(cheek, 0.58, 0.45 - 0.08 * e("cheek_raise"), 0.25, 0.2), (-0.05, 0.62, 0.95, 0.2, 0.25)]
    lips = [(0.07, 0.0, mouth_y - 0.1, 0.3, 0.08), (0.05, 0.0, mouth_y + 0.12 + jaw, 0.22, 0.07)]
    chin = [(-0.06, 0.0, mouth_y + 0.27 + jaw, 0.25, 0.06)]
    chin += [(0.1 + 0.04 * e("chin_raise"), 0.0, 1.46 + who.chin + jaw, 0.24, 0.14)]
    frown = [(0.05 * e("brow_lower"), 0.14, -0.28, 0.07, 0.1)]
    frown += [(-0.04 * e("brow_lower"), 0.0, -0.25, 0.04, 0.12)]
    forehead = [(0.06, 0.0, -0.8, 0.55, 0.3)]
    across, down = canvas.x / np.float32(1.02), (canvas.y - np.float32(0.05)) / np.float32(1.6)
    dome = np.sqrt(1 + 2.6 * (across**2 + (down**2)[:, None]))
    return canvas.bumps(nose + eyes + cheeks + lips + chin + frown + forehead) - np.float32(0.95) * dome


def shade(sitter: Sitter, light: Light) -> None:
    """Multiply the painted colours by the light on the relief, and add the gloss of the skin."""
    # The relief is smooth: a canvas of half the size is enough for the light.
    canvas, coarse = sitter.canvas, blank_canvas(sitter.canvas.scale / 2)
    height = relief(sitter, coarse)
    across = cv2.Sobel(height, cv2.CV_32F, 1, 0, scale=coarse.scale / 8)
    down = cv2.Sobel(height, cv2.CV_32F, 0, 1, scale=coarse.scale / 8)
    steepness = 1 / np.sqrt(1 + down * down + across * across)
    between = light.direction + np.array((0.0, 0.0, 1.0))
    facing, gloss = (
        np.maximum((np.float32(z) - across * np.float32(x) - down * np.float32(y)) * steepness, 0)
        for x, y, z in (light.direction, between / np.linalg.norm(between))
    )
    for _ in range(4):
        gloss *= gloss
    size = canvas.colour.shape[:0:-1]
    facing, gloss = cv2.resize(facing, size), cv2.resize(gloss, size) * np.float32(light.gloss)
    for plane, ambient, direct in zip(canvas.colour, light.ambient, light.direct, strict=True):
        plane *= ambient + facing * direct
        plane += gloss


def paint_skin(sitter: Sitter, rng: np.random.Generator) -> None:
    """Fill the canvas with skin: hollows darker, cheeks and nose redder, a slight mottling."""
    canvas, who, jaw = sitter.canvas, sitter.who, sitter.jaw
    hollows = [
        (0.2, who.eye_x * 0.95, -0.02, 0.24, 0.14),  # sockets, beside the nose, under the eyes
        (0.18, 0.2, -0.04, 0.08, 0.13),
        (0.12 + 0.1 * who.age, who.eye_x * 0.95, 0.17, 0.17, 0.05),
        (0.2, 0.0, who.nose_y + 0.06, 0.2, 0.06),  # under the nose, under the lips, sides of the face
        (0.16, 0.0, who.mouth_y + 0.27 + jaw, 0.2, 0.05),
        (0.1, 0.9, 0.7, 0.2, 0.5),
        (0.1, who.nose_width + 0.06, who.nose_y - 0.02, 0.07, 0.12),
        (-0.06, 0.0, 0.2, 0.07, 0.3),  # the back of the nose is lighter
        (0.3, 0.0, 1.9 + who.chin + jaw, 0.7, 0.14),
    ]
    redness = [(0.09, 0.56, 0.45, 0.25, 0.2), (0.08, 0.0, who.nose_y - 0.1, 0.18, 0.15)]
    redness += [(0.05, 0.0, 1.4, 0.3, 0.2), (0.05, 0.97, 0.2, 0.15, 0.3)]
    mottling = 1 + 0.035 * rng.standard_normal((14, 12), np.float32)
    size = canvas.colour.shape[:0:-1]
    brightness = (1 - canvas.bumps(hollows)) * cv2.resize(mottling, size, interpolation=cv2.INTER_CUBIC)
    pallor = brightness * (1 - canvas.bumps(redness))
    for plane, field, skin in zip(canvas.colour, (brightness, pallor, pallor), who.skin, strict=True):
        np.multiply(field, skin, out=plane)


def paint_beard(sitter: Sitter) -> None:
    """A beard round the mouth and a moustache, as thick as the person wears them."""
    canvas, who, jaw = sitter.canvas, sitter.who, sitter.jaw
    colour = who.hair * 0.9 + 0.1 * who.skin
    half, mouth_y = who.mouth_width, who.mouth_y
    if who.beard:
        rim = np.array([(1.05, 0.3), (0.99, 0.35), (0.86, 0.8), (half + 0.2, mouth_y - 0.02)])
        chin = np.array([(half * 0.7, mouth_y + 0.27 + jaw), (0, mouth_y + 0.24 + jaw)])
        upper = np.concatenate([rim, chin])
        below = np.array([(-1.1, 1.0), (-0.9, 2.0 + jaw), (0.9, 2.0 + jaw), (1.1, 1.0)])
        canvas.paint(np.concatenate([upper, upper[::-1] * (-1, 1), below]), colour, who.beard, 0.05)
    if who.moustache:
        lift = 0.06 * sitter.expression("lip_raise")
        top = [(0, who.nose_y + 0.13 - lift), (0.2, who.nose_y + 0.15 - lift), (half + 0.02, mouth_y - 0.03)]
        low = [(half * 0.6, mouth_y - 0.08 - lift), (0, mouth_y - 0.11 - lift)]
        canvas.paint(mirrored([*top, *low]), colour, who.moustache, 0.025)


# ---------------------------------------------------------------- folds


def paint_fold(sitter: Sitter, points: list[tuple[float, float]], depth: float, width: float) -> None:
    """A crease of the skin through the points; one too shallow to see is left out."""
    if depth > 0.08:
        shape = ribbon(open_curve(points), [width * 0.4, width, width * 0.4])
        shade_of_skin = sitter.who.skin * np.array((0.55, 0.48, 0.45), np.float32)
        sitter.canvas.paint(shape, shade_of_skin, min(depth, 0.9), 0.014)


def paint_brow_folds(sitter: Sitter) -> None:
    """Lines of the forehead (raised brows) and between the brows (lowered ones, wrinkled nose)."""
    e, who = sitter.expression, sitter.who
    inner, outer = e("brow_inner_raise"), e("brow_outer_raise")
    half = 0.55 if outer > 0.4 else 0.35
    for line, y in enumerate((-0.82, -0.69, -0.57)):
        side_y = y + 0.03 + 0.05 * (outer - inner)
        points = [(-half, side_y), (-half / 2, y), (0, y + 0.01), (half / 2, y), (half, side_y)]
        depth = 0.3 * (inner + outer) * (1 - 0.2 * line) + 0.25 * who.age - 0.1
        paint_fold(sitter, points, depth, 0.03)
    for s in SIDES:
        frown, wrinkle = e("brow_lower", s), e("nose_wrinkle", s)
        paint_fold(sitter, [(s * 0.09, -0.42), (s * 0.075, -0.3), (s * 0.1, -0.17)], 0.75 * frown, 0.04)
        paint_fold(sitter, [(s * 0.16, -0.08), (s * 0.07, -0.04), (s * 0.02, 0.0)], 0.8 * wrinkle, 0.03)
        paint_fold(sitter, [(s * 0.2, 0.02), (s * 0.11, 0.08), (s * 0.05, 0.12)], 0.7 * wrinkle, 0.03)


def paint_cheek_folds(sitter: Sitter) -> None:
    """Folds from nose to mouth, under and beside the eyes, and at the corners of the mouth."""
    e, who = sitter.expression, sitter.who
    eye, nose, mouth, mouth_y = who.eye_x, who.nose_width, who.mouth_width, who.mouth_y
    for s in SIDES:
        pull, lift, cheek = e("lip_pull", s), e("lip_raise", s), e("cheek_raise", s)
        bulge = 0.35 * pull + 0.1 * lift
        points = [
            (s * (nose + 0.03), who.nose_y - 0.12),
            (s * (nose + 0.14 + 0.4 * bulge), who.nose_y + 0.08),
            (s * (mouth + 0.13 + 0.5 * bulge), mouth_y - 0.08),
        ]
        depth = 0.15 + 0.15 * who.age + 0.5 * pull + 0.75 * max(lift, 0.7 * e("nose_wrinkle", s))
        paint_fold(sitter, points, depth, 0.05)
        points = [(s * (eye - 0.2), 0.13), (s * eye, 0.19), (s * (eye + 0.2), 0.13)]
        paint_fold(sitter, points, 0.5 * cheek + 0.3 * who.age, 0.03)
        for k in (-1, 0, 1):
            points = [(s * (eye + 0.27), 0.02 + 0.03 * k), (s * (eye + 0.36), 0.03 + 0.07 * k)]
            paint_fold(sitter, points, 0.55 * cheek * (0.4 + who.age), 0.02)
        points = [(s * (mouth + 0.05), mouth_y + 0.07), (s * (mouth + 0.08), mouth_y + 0.25)]
        paint_fold(sitter, points, 0.6 * e("lip_depress", s) + 0.2 * who.age, 0.03)


# ---------------------------------------------------------------- nose, eyes, brows


def paint_nose(sitter: Sitter) -> None:
    """Nostrils, wings and the edge under the tip; the rest of the nose is relief."""
    canvas, who, wrinkle = sitter.canvas, sitter.who, sitter.expression("nose_wrinkle")
    shade_of_skin = who.skin * np.array((0.5, 0.42, 0.4), np.float32)
    y, wide = who.nose_y - 0.06 * wrinkle, who.nose_width * (1 + 0.12 * wrinkle)
    for s in SIDES:
        canvas.paint(oval(s * wide * 0.45, y + 0.005, 0.075, 0.035), who.skin * 0.2, 0.85, 0.015)
        wing = [(s * wide * 0.85, y - 0.17), (s * wide * 1.05, y - 0.06), (s * wide * 0.85, y + 0.02)]
        canvas.paint(ribbon(open_curve(wing), [0.01, 0.035, 0.02]), shade_of_skin, 0.55, 0.015)
    edge = open_curve([(-wide * 0.75, y + 0.02), (0, y + 0.055), (wide * 0.75, y + 0.02)])
    canvas.paint(ribbon(edge, [0.02, 0.05, 0.02]), shade_of_skin, 0.5, 0.02)


def eyelids(who: Identity, e: Expression, s: int) -> tuple[Array, Array]:
    """Edges (N, 2) of the upper and the lower lid of one eye, from the nose outwards."""
    size, shut, wide = who.eye_size, min(e("eye_close", s), 0.9), e("lid_raise", s)
    squint = max(e("lid_tighten", s), 0.8 * e("cheek_raise", s), 0.8 * e("nose_wrinkle", s))
    up = 0.12 * size * (1 + 0.6 * wide - 0.3 * squint) * (1 - 0.8 * shut)
    low = 0.06 * size * (1 + 0.3 * wide - 0.75 * min(squint, 1.1)) * (1 - 0.3 * shut)
    t = ACROSS_EYE
    x = s * (who.eye_x + 0.23 * size * t)
    corners = 0.015 - (0.02 + who.eye_slant) * t
    droop = 0.06 * e("brow_inner_raise", s) * max(1 - wide, 0) * np.maximum(t, 0)
    upper = corners - up * (1 - np.abs(t) ** 2.4) * (1 - 0.12 * t) + droop
    lower = corners + low * (1 - t**2) * (1 + 0.2 * t)
    return np.stack([x, upper], 1), np.stack([x, lower], 1)


def paint_eye(sitter: Sitter, s: int, gaze: float) -> None:
    """White, iris, pupil with its glint, lashes and the fold of the lid."""
    canvas, who, e = sitter.canvas, sitter.who, sitter.expression
    upper, lower = eyelids(who, e, s)
    opening = np.concatenate([upper, lower[::-1]])
    x, y, size = s * who.eye_x + gaze, 0.06 * e("look_down") - 0.02, who.eye_size
    canvas.paint(opening, (0.90, 0.87, 0.85), 1.0, 0.004)
    canvas.paint(oval(x, y, 0.105 * size, 0.105 * size), who.iris * 0.5, 1.0, 0.006, opening)
    canvas.paint(oval(x, y + 0.01, 0.08 * size, 0.08 * size), who.iris, 0.8, 0.02, opening)
    canvas.paint(oval(x, y, 0.045, 0.045), (0.02, 0.02, 0.02), 1.0, 0.005, opening)
    canvas.paint(ribbon(upper + np.array((0, 0.02)), [0.05, 0.05]), (0.25, 0.18, 0.15), 0.45, 0.012, opening)
    canvas.paint(ribbon(upper, [0.03, 0.05, 0.045]), (0.08, 0.05, 0.04), 0.9, 0.006)
    canvas.paint(ribbon(lower, [0.02, 0.022, 0.03]), who.skin * 0.4, 0.6, 0.006)
    canvas.paint(oval(x - 0.035, y - 0.035, 0.022, 0.022), (1.5, 1.5, 1.5), 0.9, 0.004, opening)
    fold = upper[2:] - (0, 0.055 - 0.02 * e("lid_raise", s) + 0.02 * min(e("eye_close", s), 0.9))
    canvas.paint(ribbon(fold, [0.01, 0.028, 0.02]), who.skin * 0.5, 0.55, 0.01)


def paint_brow(sitter: Sitter, s: int) -> None:
    """One brow, from its inner end over the arch to the outer end."""
    who, e = sitter.who, sitter.expression
    x, y, slope = who.eye_x, -0.31 - who.brow_height, who.brow_slope
    inner, outer = e("brow_inner_raise", s), e("brow_outer_raise", s)
    lower, wrinkle = e("brow_lower", s), e("nose_wrinkle", s)
    heights = (
        y + slope - 0.2 * inner + 0.17 * lower + 0.07 * wrinkle,
        y - 0.05 + slope / 2 - 0.08 * inner - 0.1 * outer + 0.13 * lower + 0.05 * wrinkle,
        y - 0.07 - slope / 2 + 0.03 * inner - 0.18 * outer + 0.05 * lower,
        y + 0.03 - slope + 0.06 * inner - 0.13 * outer,
    )
    across = (x - 0.27 - 0.07 * lower, x - 0.05 - 0.03 * lower, x + 0.17, x + 0.36)
    line = open_curve(np.stack([s * np.array(across), heights], 1))
    widths = who.brow_thickness * np.array((0.8, 1.0, 0.8, 0.2))
    sitter.canvas.paint(ribbon(line, widths), who.hair * 0.75, 0.9, 0.012)


# ---------------------------------------------------------------- mouth


@dataclass(frozen=True)
class Mouth:
    """Edges of the lips, each (25, 2) from the left to the right corner."""

    outer_upper: Array
    inner_upper: Array
    inner_lower: Array
    outer_lower: Array

    @property
    def gap(self) -> float:
        """How far the lips part in the middle."""
        return float(self.inner_lower[12, 1] - self.inner_upper[12, 1])


def shape_mouth(who: Identity, e: Expression, jaw: float) -> Mouth:
    """The mouth as its action units shape it."""
    pull, stretch, square = e("lip_pull"), e("lip_stretch"), e("lip_square")
    press, part = min(e("lip_press"), 1), e("lips_part")
    t = ACROSS_MOUTH
    lean = 1 + e.lean * t
    round_ = 0.7 * jaw * max(1 - 3 * pull, 0)
    half = who.mouth_width * (1 + 0.34 * pull * lean + 0.26 * stretch - 0.12 * press - round_)
    pulled = -0.15 * pull + 0.13 * e("lip_depress") + 0.05 * stretch
    corner = who.mouth_y - who.mouth_curve + pulled * lean
    lift = 0.1 * e("lip_raise") + 0.05 * square + 0.03 * part + 0.05 * e("chin_raise") - 0.02 * pull
    gap = 0.1 * part + 1.4 * jaw + 0.06 * square
    arch = 1 - np.abs(t) ** (2 + 1.5 * square + 0.8 * stretch)
    inner_upper = corner + (who.mouth_y + 0.01 - lift - corner) * arch
    inner_lower = np.maximum(corner + (who.mouth_y + 0.01 - lift + gap - corner) * arch, inner_upper)
    full = who.lip_fullness * (1 - 0.6 * press) * (1 - 0.2 * pull - 0.2 * stretch)
    bow = 1 - np.abs(t) ** 2.2 - 0.25 * np.exp(-((t / 0.13) ** 2))
    outer_upper = inner_upper - 0.105 * full * bow - 0.012
    outer_lower = inner_lower + 0.13 * full * (1 - np.abs(t) ** 2.4) + 0.012
    x = half * t
    return Mouth(*(np.stack([x, edge], 1) for edge in (outer_upper, inner_upper, inner_lower, outer_lower)))


def paint_mouth(sitter: Sitter) -> None:
    """Lips, what shows between them, the line where they meet and the pits at the corners."""
    canvas, who = sitter.canvas, sitter.who
    mouth = shape_mouth(who, sitter.expression, sitter.jaw)
    pale, red = np.array((0.86, 0.62, 0.60)), np.array((0.80, 0.36, 0.38))
    lip = who.skin * (pale * (1 - who.lip_redness) + red * who.lip_redness)
    canvas.paint(np.concatenate([mouth.outer_upper, mouth.outer_lower[::-1]]), lip * 0.92, 0.95, 0.012)
    canvas.paint(np.concatenate([mouth.outer_upper, mouth.inner_upper[::-1]]), lip * 0.72, 0.6, 0.015)
    canvas.paint(ribbon(mouth.outer_lower[6:-6] - (0, 0.06), [0.01, 0.03, 0.01]), lip * 1.3, 0.4, 0.015)
    if mouth.gap > 0.05:
        paint_inside(sitter, mouth)
    line = mouth.inner_upper if mouth.gap > 0.05 else (mouth.inner_upper + mouth.inner_lower) / 2
    canvas.paint(ribbon(line, [0.025, 0.035, 0.025]), who.skin * 0.18, 0.85, 0.008)
    for x, y in (line[0], line[-1]):
        canvas.paint(oval(x, y + 0.005, 0.035, 0.025), who.skin * 0.3, 0.6, 0.015)


def paint_inside(sitter: Sitter, mouth: Mouth) -> None:
    """The dark of the mouth, the tongue, and the teeth where the lips bare them."""
    canvas, e = sitter.canvas, sitter.expression
    upper, lower = mouth.inner_upper, mouth.inner_lower
    opening = np.concatenate([upper, lower[::-1]])
    canvas.paint(opening, (0.13, 0.04, 0.04), 1.0, 0.006)
    tongue = min(max(e("tongue"), 2.3 * sitter.jaw), 1)
    shape = oval(0, lower[12, 1] + 0.03, sitter.who.mouth_width * 0.6, 0.05 + 0.16 * tongue)
    canvas.paint(shape, (0.62, 0.25, 0.25), 0.9 * tongue, 0.02, opening)
    bared = max(e("lip_pull"), e("lip_square"), e("lip_raise"))
    length = min(mouth.gap * 0.7, 0.1 + 0.05 * bared)
    if e("jaw_drop") < 0.45 or e("lip_pull") > 0.3:
        teeth = np.concatenate([upper[2:-2], upper[-3:1:-1] + np.array((0, length))])
        canvas.paint(teeth, (0.93, 0.90, 0.85), 0.95, 0.01, opening)
    if e("lip_square") > 0.3 or e("lip_stretch") > 0.4:
        teeth = np.concatenate([lower[4:-4], lower[-5:3:-1] - np.array((0, length * 0.6))])
        canvas.paint(teeth, (0.85, 0.82, 0.77), 0.9, 0.01, opening)


# ---------------------------------------------------------------- hair, cap, glasses


def hair_outline(who: Identity, rng: np.random.Generator) -> Array:
    """Outline (N, 2) of the hair as if there were no face before it."""
    grow = HAIR_VOLUME.get(who.style, 1.12)
    short = ((0.53 * (grow + 1), -0.1), (1.0, 0.25), (0.9, 0.3))
    sides = HAIR_SIDES.get(who.style, short)
    outline = mirrored([*((x * grow, y * grow) for x, y in HEAD_TOP), *sides, (0.0, sides[-1][1])])
    if who.style == "curly":
        curls = np.sin(np.linspace(0, 2 * np.pi, len(outline)) * rng.integers(18, 26))
        outline *= 1 + 0.035 * curls[:, None]
    return outline


def hair_opening(who: Identity, rng: np.random.Generator) -> Array:
    """The opening (N, 2) of the hair through which the face shows."""
    line = HAIRLINE.get(who.style, -1.0 - who.forehead)
    side = 0.9 if who.style in ("bob", "long") else 0.97
    temple = [(0.72, max(line, -0.95) + 0.2), (0.85, -0.42), (side, 0.0), (side * 0.98, 0.8)]
    opening = mirrored([(0.0, line), (0.4, line + 0.03), *temple, (0.9, 2.3), (0.0, 2.6)])
    if who.style == "parted":
        opening[:, 0] += rng.choice((-0.15, 0.15)) * np.exp(-8 * (opening[:, 1] + 0.9) ** 2)
    if who.style == "fringe":
        opening[:, 1] += 0.05 * np.sin(opening[:, 0] * 23) * (opening[:, 1] < -0.4)
    return opening


def paint_hair(sitter: Sitter, rng: np.random.Generator) -> Array:
    """Paint hair or cap; return how much of the canvas belongs to the head because of it (H, W)."""
    canvas, who = sitter.canvas, sitter.who
    cover = canvas.cover(hair_outline(who, rng))
    cover *= 1 - canvas.cover(hair_opening(who, rng), 0.08 if who.style in ("bald", "cropped") else 0.03)
    if who.style == "bun":
        cover = np.maximum(cover, canvas.cover(oval(0, -1.66, 0.42, 0.3)))
    height, width = cover.shape
    streaks = (height // 4 if who.style == "curly" else 5, width // 2)
    strands = cv2.resize(1 + 0.22 * rng.standard_normal(streaks, np.float32), (width, height))
    thin = {"bald": 0.35 * np.clip(canvas.y + 1, 0, 1)[:, None], "cropped": 0.85}.get(who.style, 1.0)
    canvas.blend(cover * thin, strands * who.hair[:, None, None])
    if who.style == "bald":
        return np.zeros_like(cover)
    if who.style != "cap":
        return cover
    cloth, shape = rng.uniform(0.08, 0.75, 3), mirrored(CAP)
    canvas.paint(shape, cloth, 1.0, 0.01)
    peak = [(0, -0.88), (0.6, -0.84), (1.05, -0.68), (0.6, -0.68), (0, -0.68)]
    canvas.paint(mirrored(peak), cloth * 0.6, 1.0, 0.015)
    return np.maximum(cover, canvas.cover(shape))


def paint_glasses(sitter: Sitter, rng: np.random.Generator) -> None:
    """Rims between round and square, a bridge, and temples that reach the ears."""
    canvas, eye = sitter.canvas, sitter.who.eye_x
    colour = 0.07 + rng.uniform(0, 0.3) * np.array((1.0, 0.7, 0.4)) * (rng.random() < 0.4)
    wide, high = rng.uniform(0.29, 0.34), rng.uniform(0.19, 0.26)
    thick = [rng.uniform(0.025, 0.055)] * 2
    circle = oval(0, 0, 1, 1)
    rim = closed_curve(np.sign(circle) * np.abs(circle) ** rng.uniform(0.6, 1.0), 2) * (wide, high)
    rim = np.concatenate([rim, rim[:1]])
    for s in SIDES:
        glass = rim + np.array((s * eye, 0.04))
        canvas.paint(glass, (1.2, 1.2, 1.25), 0.07)
        canvas.paint(ribbon(glass, thick), colour, 0.95, 0.004)
        temple = np.array([(s * (eye + wide), -0.02), (s * 1.02, -0.06)])
        canvas.paint(ribbon(temple, thick), colour, 0.9, 0.004)
    bridge = open_curve([(wide - eye, 0.0), (0, -0.05), (eye - wide, 0.0)])
    canvas.paint(ribbon(bridge, thick), colour, 0.95, 0.004)
