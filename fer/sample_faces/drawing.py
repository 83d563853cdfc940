"""Draws a person: body, head, features and hair, moved by the action units. Lengths are in face units (see canvas)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fer.sample_faces.canvas import Canvas, mirrored, open_curve, oval, ribbon
from fer.sample_faces.traits import Expression, Identity

Array = np.ndarray
SIDES = (-1, 1)
ACROSS_EYE = np.linspace(-1, 1, 15)  # from the corner at the nose outwards
ACROSS_MOUTH = np.linspace(-1, 1, 25)
HEAD_TOP = np.array([(0.0, -1.5), (0.46, -1.42), (0.83, -1.1), (0.99, -0.6)])
# Hair beside the face, from the temple down to where it ends, on the right.
HAIR_SIDES = {
    "bob": ((1.25, 0.2), (1.28, 0.9), (1.1, 1.35), (0.0, 1.3)),
    "long": ((1.22, 0.2), (1.3, 1.0), (1.35, 2.0), (0.0, 2.1)),
    "curly": ((1.3, -0.1), (1.22, 0.45), (0.0, 0.6)),
}
DARK = np.array((0.55, 0.46, 0.44))  # what a fold makes of the colour of the skin


@dataclass(frozen=True)
class Sitter:
    """One person being drawn. `side_light`: how far the light comes from the right (1) or left (-1) of the picture."""

    canvas: Canvas
    who: Identity
    expression: Expression
    side_light: float

    @property
    def jaw(self) -> float:
        """How far the jaw hangs open, in face units."""
        return 0.3 * min(self.expression("jaw_drop"), 1.1)


def draw_head(sitter: Sitter, rng: np.random.Generator) -> None:
    """A head with its hair, from the back to the front."""
    paint_hair_behind(sitter)
    paint_skin(sitter)
    paint_folds(sitter)
    paint_nose(sitter)
    gaze = rng.normal(0, 0.02)
    for side in SIDES:
        paint_eye(sitter, side, gaze)
        paint_brow(sitter, side)
    paint_mouth(sitter)
    paint_hair_before(sitter)
    if sitter.who.glasses:
        paint_glasses(sitter)


# ---------------------------------------------------------------- body, skin, folds


def draw_body(canvas: Canvas, who: Identity, cloth: Array) -> None:
    """Shoulders in clothes, and the neck in the shadow of the chin; the canvas is not turned with the head."""
    shoulders = [(0.0, 2.0), (0.6, 2.02), (1.2, 2.25), (1.9, 2.5), (2.3, 3.2), (2.4, 4.5), (2.4, 7.0), (0.0, 7.0)]
    canvas.paint(mirrored(shoulders), cloth)
    half = 0.62 if who.jaw_width > 1 else 0.52
    neck = mirrored([(0, 0.8), (half, 0.9), (half, 1.7), (half + 0.2, 2.1), (0, 2.4)])
    canvas.paint(neck, who.skin * 0.8)
    canvas.paint(oval(0, 1.6, 0.75, 0.3), who.skin * 0.4, 0.5, 0.1, neck)


def head_outline(who: Identity, jaw: float) -> Array:
    """Outline (N, 2) of the head without ears and hair."""
    wide, chin = who.jaw_width, who.chin + jaw
    cheek = [(0.99, -0.1), (0.98, 0.3), (0.465 + 0.465 * wide, 0.75 + 0.2 * jaw)]
    low = [(0.79 * wide, 1.14 + 0.7 * jaw), (0.52 * wide, 1.46 + chin), (0.22 * wide, 1.62 + chin)]
    return mirrored([*HEAD_TOP, *cheek, *low, (0.0, 1.66 + chin)])


def paint_skin(sitter: Sitter) -> None:
    """Ears and face, its hollows and cheeks, and the side that the light does not reach."""
    canvas, who = sitter.canvas, sitter.who
    head, skin = head_outline(who, sitter.jaw), who.skin
    for s in SIDES:
        canvas.paint(oval(s * 1.0, 0.16, 0.12, 0.24), skin * 0.85)
    canvas.paint(head, skin)
    for s in SIDES:
        canvas.paint(oval(s * who.eye_x * 0.95, -0.06, 0.3, 0.2), skin * DARK, 0.35, 0.09)
        canvas.paint(oval(s * 0.58, 0.45, 0.25, 0.2), skin * (1.0, 0.8, 0.78), 0.6, 0.12)
        canvas.paint(oval(s * 1.05, 0.6, 0.25, 1.2), skin * DARK, 0.4, 0.12, head)
    canvas.paint(oval(0, who.mouth_y + 0.3 + sitter.jaw, 0.2, 0.05), skin * DARK, 0.4, 0.05)
    dark = -1.0 if sitter.side_light > 0 else 1.0
    canvas.paint(oval(dark * 0.9, 0.1, 0.75, 2.0), skin * 0.35, min(0.7 * abs(sitter.side_light), 0.7), 0.25, head)


def paint_folds(sitter: Sitter) -> None:
    """Folds of the brow, the nose and the cheeks, as deep as the expression presses them."""
    e, who = sitter.expression, sitter.who
    mouth, nose = who.mouth_width, who.nose_width
    for s in SIDES:
        cheek = 0.15 + 0.5 * e("lip_pull", s) + 0.75 * max(e("lip_raise", s), 0.7 * e("nose_wrinkle", s))
        folds = (
            (0.75 * e("brow_lower", s), [(0.09, -0.42), (0.075, -0.3), (0.1, -0.17)]),
            (0.8 * e("nose_wrinkle", s), [(0.2, 0.0), (0.11, 0.06), (0.05, 0.1)]),
            (cheek, [(nose + 0.03, who.nose_y - 0.12), (nose + 0.2, who.nose_y + 0.08), (mouth + 0.2, who.mouth_y)]),
        )
        for depth, points in folds:
            line = open_curve(np.array(points) * (s, 1))
            sitter.canvas.paint(ribbon(line, [0.02, 0.045, 0.02]), who.skin * DARK, min(depth, 0.9), 0.014)


# ---------------------------------------------------------------- nose, eyes, brows


def paint_nose(sitter: Sitter) -> None:
    """The shaded sides of the nose, its light back, its nostrils and the edge under the tip."""
    canvas, who, wrinkle = sitter.canvas, sitter.who, sitter.expression("nose_wrinkle")
    y, wide = who.nose_y - 0.06 * wrinkle, who.nose_width * (1 + 0.12 * wrinkle)
    canvas.paint(oval(0, y - 0.3, 0.07, 0.3), who.skin * 1.12, 0.6, 0.05)
    for s in SIDES:
        side = open_curve([(s * 0.17, -0.12), (s * 0.13, 0.2), (s * wide, y - 0.08), (s * wide * 0.85, y + 0.02)])
        canvas.paint(ribbon(side, [0.06, 0.05, 0.04]), who.skin * DARK, 0.45, 0.03)
        canvas.paint(oval(s * wide * 0.45, y + 0.005, 0.075, 0.035), who.skin * 0.2, 0.85, 0.015)
    edge = open_curve([(-wide * 0.75, y + 0.02), (0, y + 0.055), (wide * 0.75, y + 0.02)])
    canvas.paint(ribbon(edge, [0.02, 0.06, 0.02]), who.skin * DARK, 0.6, 0.03)


def eyelids(who: Identity, e: Expression, s: int) -> tuple[Array, Array]:
    """Edges (N, 2) of the upper and the lower lid of one eye, from the nose outwards."""
    size, shut, wide = who.eye_size, min(e("eye_close", s), 0.9), e("lid_raise", s)
    squint = max(e("lid_tighten", s), 0.8 * e("cheek_raise", s), 0.8 * e("nose_wrinkle", s))
    up = 0.12 * size * (1 + 0.6 * wide - 0.3 * squint) * (1 - 0.8 * shut)
    low = 0.06 * size * (1 + 0.3 * wide - 0.75 * min(squint, 1.1)) * (1 - 0.3 * shut)
    t = ACROSS_EYE
    x, corners = s * (who.eye_x + 0.23 * size * t), 0.015 - 0.035 * t
    droop = 0.06 * e("brow_inner_raise", s) * max(1 - wide, 0) * np.maximum(t, 0)
    upper = corners - up * (1 - np.abs(t) ** 2.4) + droop
    lower = corners + low * (1 - t**2)
    return np.stack([x, upper], 1), np.stack([x, lower], 1)


def paint_eye(sitter: Sitter, s: int, gaze: float) -> None:
    """White, iris, pupil with its glint, lashes and the fold of the lid."""
    canvas, who, e = sitter.canvas, sitter.who, sitter.expression
    upper, lower = eyelids(who, e, s)
    opening = np.concatenate([upper, lower[::-1]])
    x, y, size = s * who.eye_x + gaze, 0.06 * e("look_down") - 0.02, who.eye_size
    canvas.paint(opening, (0.90, 0.87, 0.85), 1.0, 0.004)
    canvas.paint(oval(x, y, 0.105 * size, 0.105 * size), who.iris * 0.7, 1.0, 0.006, opening)
    canvas.paint(oval(x, y, 0.05, 0.05), (0.02, 0.02, 0.02), 1.0, 0.005, opening)
    canvas.paint(oval(x - 0.035, y - 0.035, 0.022, 0.022), (1.5, 1.5, 1.5), 0.9, 0.004, opening)
    canvas.paint(ribbon(upper, [0.03, 0.05, 0.045]), (0.08, 0.05, 0.04), 0.9, 0.006)
    canvas.paint(ribbon(lower, [0.02, 0.022, 0.03]), who.skin * 0.4, 0.6, 0.006)
    fold = upper[2:] - (0, 0.055 + 0.02 * (e("eye_close", s) - e("lid_raise", s)))
    canvas.paint(ribbon(fold, [0.01, 0.028, 0.02]), who.skin * 0.5, 0.55, 0.01)


def paint_brow(sitter: Sitter, s: int) -> None:
    """One brow, from its inner end over the arch to the outer end."""
    who, e = sitter.who, sitter.expression
    x, y = who.eye_x, -0.31 - who.brow_height
    inner, outer = e("brow_inner_raise", s), e("brow_outer_raise", s)
    lower, wrinkle = e("brow_lower", s), e("nose_wrinkle", s)
    heights = (
        y - 0.2 * inner + 0.17 * lower + 0.07 * wrinkle,
        y - 0.05 - 0.08 * inner - 0.1 * outer + 0.13 * lower + 0.05 * wrinkle,
        y - 0.07 + 0.03 * inner - 0.18 * outer + 0.05 * lower,
        y + 0.03 + 0.06 * inner - 0.13 * outer,
    )
    across = (x - 0.27 - 0.07 * lower, x - 0.05 - 0.03 * lower, x + 0.17, x + 0.36)
    line = open_curve(np.stack([s * np.array(across), heights], 1))
    sitter.canvas.paint(ribbon(line, who.brow_thickness * np.array((0.8, 1.0, 0.8, 0.2))), who.hair * 0.75, 0.9, 0.012)


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
    corner = who.mouth_y + (-0.15 * pull + 0.13 * e("lip_depress") + 0.05 * stretch) * lean
    lift = 0.1 * e("lip_raise") + 0.05 * square + 0.03 * part - 0.02 * pull
    gap = 0.1 * part + 1.4 * jaw + 0.06 * square
    arch = 1 - np.abs(t) ** (2 + 1.5 * square + 0.8 * stretch)
    inner_upper = corner + (who.mouth_y + 0.01 - lift - corner) * arch
    inner_lower = np.maximum(corner + (who.mouth_y + 0.01 - lift + gap - corner) * arch, inner_upper)
    full = who.lip_fullness * (1 - 0.6 * press) * (1 - 0.2 * pull - 0.2 * stretch)
    outer_upper = inner_upper - 0.105 * full * (1 - np.abs(t) ** 2.2) - 0.012
    outer_lower = inner_lower + 0.13 * full * (1 - np.abs(t) ** 2.4) + 0.012
    edges = (outer_upper, inner_upper, inner_lower, outer_lower)
    return Mouth(*(np.stack([half * t, edge], 1) for edge in edges))


def paint_mouth(sitter: Sitter) -> None:
    """Lips, what shows between them, and the line where they meet."""
    canvas, who = sitter.canvas, sitter.who
    mouth = shape_mouth(who, sitter.expression, sitter.jaw)
    pale, red = np.array((0.86, 0.62, 0.60)), np.array((0.80, 0.36, 0.38))
    lip = who.skin * (pale * (1 - who.lip_redness) + red * who.lip_redness)
    upper, lower = mouth.inner_upper, mouth.inner_lower
    canvas.paint(np.concatenate([mouth.outer_upper, mouth.outer_lower[::-1]]), lip * 0.92, 0.95, 0.012)
    canvas.paint(np.concatenate([mouth.outer_upper, upper[::-1]]), lip * 0.72, 0.6, 0.015)
    if mouth.gap > 0.05:
        paint_inside(sitter, mouth)
    line = upper if mouth.gap > 0.05 else (upper + lower) / 2
    canvas.paint(ribbon(line, [0.025, 0.035, 0.025]), who.skin * 0.18, 0.85, 0.008)


def paint_inside(sitter: Sitter, mouth: Mouth) -> None:
    """The dark of the mouth, the tongue, and the teeth where the lips bare them."""
    canvas, e = sitter.canvas, sitter.expression
    upper, lower, half = mouth.inner_upper, mouth.inner_lower, 0.7 * sitter.who.mouth_width
    opening = np.concatenate([upper, lower[::-1]])
    canvas.paint(opening, (0.13, 0.04, 0.04), 1.0, 0.006)
    tongue = oval(0, lower[12, 1] + 0.03, half, 0.3 * sitter.jaw + 0.05)
    canvas.paint(tongue, (0.62, 0.25, 0.25), 0.8, 0.02, opening)
    if e("jaw_drop") < 0.45 or e("lip_pull") > 0.3:
        length = np.array((0, min(mouth.gap * 0.7, 0.12)))
        canvas.paint(np.concatenate([upper[2:-2], upper[-3:1:-1] + length]), (0.93, 0.9, 0.85), 0.95, 0.01, opening)
    if max(e("lip_square"), e("lip_stretch")) > 0.4:
        canvas.paint(oval(0, lower[12, 1], half, 0.06), (0.85, 0.82, 0.77), 0.9, 0.01, opening)


# ---------------------------------------------------------------- hair, glasses


def paint_hair_behind(sitter: Sitter) -> None:
    """All hair as if there were no face before it."""
    style = sitter.who.style
    if style == "bald":
        return
    grow = 1.2 if style == "curly" else 1.12
    sides = HAIR_SIDES.get(style, ((1.08, -0.1), (1.0, 0.3), (0.0, 0.3)))
    outline = mirrored([*(HEAD_TOP * grow), *sides])
    if style == "curly":
        outline *= 1 + 0.035 * np.sin(np.linspace(0, 44 * np.pi, len(outline)))[:, None]
    sitter.canvas.paint(outline, sitter.who.hair)


def paint_hair_before(sitter: Sitter) -> None:
    """The hair over the forehead, from temple to temple."""
    who = sitter.who
    if who.style == "bald":
        return
    line = -0.6 if who.style == "fringe" else -1.0
    hairline = [
        (-1.0, 0.1),
        (-0.88, -0.42),
        (-0.7, line + 0.15),
        (0, line),
        (0.7, line + 0.15),
        (0.88, -0.42),
        (1.0, 0.1),
    ]
    top = np.array([(1.09, -0.4), *HEAD_TOP[:0:-1] * 1.1, (0, -1.66), *HEAD_TOP[1:] * (-1.1, 1.1), (-1.09, -0.4)])
    sitter.canvas.paint(np.concatenate([open_curve(hairline), open_curve(top)]), who.hair * 1.1, 1.0, 0.02)


def paint_glasses(sitter: Sitter) -> None:
    """Round rims, a bridge, and temples that reach the ears."""
    canvas, eye = sitter.canvas, sitter.who.eye_x
    for s in SIDES:
        rim = oval(s * eye, 0.04, 0.32, 0.23)
        canvas.paint(rim, (1.2, 1.2, 1.25), 0.07)
        canvas.paint(ribbon(np.concatenate([rim, rim[:1]]), [0.04, 0.04]), (0.08, 0.07, 0.06), 0.95, 0.004)
        canvas.paint(ribbon(np.array([(s * (eye + 0.32), -0.02), (s * 1.02, -0.06)]), [0.04, 0.04]), (0.08, 0.07, 0.06))
    canvas.paint(ribbon(open_curve([(0.32 - eye, 0), (0, -0.05), (eye - 0.32, 0)]), [0.04, 0.04]), (0.08, 0.07, 0.06))
