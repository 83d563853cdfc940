"""Who a sample face is and what it feels: everything random about one, drawn from an rng.

Action units are those of the Facial Action Coding System (Ekman and Friesen, 1978); which of them make
which expression follows the prototypes of EMFACS. Lengths are in face units: half the width of the face.
Average proportions are those of adult faces: eyes 0.93 apart, mouth 1.03 below them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

Array = np.ndarray

# Each expression in three ways, from the posed to the spontaneous one: action unit -> strength at full
# intensity. Not FACS units: lip_square (teeth bared: 10 + 16 + 25), look_down (64).
POSES: dict[str, tuple[dict[str, float], ...]] = {
    "angry": (
        {"brow_lower": 1.0, "lid_tighten": 0.7, "lip_press": 1.0, "lip_depress": 0.25},
        {"brow_lower": 1.0, "lid_raise": 0.5, "lip_press": 0.8, "nose_wrinkle": 0.25, "lip_depress": 0.3},
        {"brow_lower": 1.0, "lid_raise": 0.4, "lips_part": 0.8, "lip_square": 1.0, "jaw_drop": 0.25},
    ),
    "disgust": (
        {"nose_wrinkle": 1.0, "lip_raise": 1.0, "lid_tighten": 0.7, "brow_lower": 0.4, "lip_depress": 0.4},
        {"nose_wrinkle": 1.0, "lip_raise": 1.0, "lid_tighten": 0.7, "lips_part": 0.5, "brow_lower": 0.4},
        {"nose_wrinkle": 0.9, "lip_raise": 0.9, "eye_close": 0.35, "jaw_drop": 0.3, "lips_part": 0.6},
    ),
    "fear": (
        {"brow_inner_raise": 1.0, "brow_lower": 0.45, "lid_raise": 1.0, "lip_stretch": 1.0, "lips_part": 0.7},
        {"brow_inner_raise": 1.0, "brow_outer_raise": 0.5, "lid_raise": 1.0, "lip_stretch": 0.9, "jaw_drop": 0.4},
        {"brow_inner_raise": 0.9, "brow_lower": 0.5, "lid_raise": 0.9, "lip_stretch": 0.9, "lip_depress": 0.3},
    ),
    "happy": (
        {"lip_pull": 0.9, "cheek_raise": 0.6},
        {"lip_pull": 1.0, "cheek_raise": 0.8, "lips_part": 0.9},
        {"lip_pull": 1.0, "cheek_raise": 1.0, "lips_part": 1.0, "jaw_drop": 0.35},
    ),
    "sad": (
        {"brow_inner_raise": 0.9, "brow_lower": 0.3, "lip_depress": 1.0, "eye_close": 0.3, "look_down": 0.6},
        {"brow_inner_raise": 1.0, "brow_lower": 0.4, "lip_depress": 0.8, "eye_close": 0.5, "look_down": 1.0},
        {"brow_inner_raise": 1.0, "lip_depress": 1.0, "lip_stretch": 0.4, "lips_part": 0.4, "cheek_raise": 0.5},
    ),
    "surprise": (
        {"brow_inner_raise": 1.0, "brow_outer_raise": 1.0, "lid_raise": 0.8, "jaw_drop": 0.8, "lips_part": 1.0},
        {"brow_inner_raise": 1.0, "brow_outer_raise": 1.0, "lid_raise": 0.9, "jaw_drop": 0.5, "lips_part": 1.0},
        {"brow_inner_raise": 1.0, "brow_outer_raise": 1.0, "lid_raise": 0.8, "jaw_drop": 0.3, "lips_part": 0.8},
    ),
    "neutral": ({}, {"lips_part": 0.3}, {"lips_part": 0.5, "jaw_drop": 0.2}),
}  # fmt: skip
ACTION_UNITS = tuple(sorted({unit for poses in POSES.values() for pose in poses for unit in pose}))
NEVER_STRAY = ("look_down", "jaw_drop")
MOST_MIXED = 0.3  # of a second expression

# From light to dark; a skin lies between two neighbours.
SKIN = np.array([(0.93, 0.77, 0.68), (0.90, 0.71, 0.60), (0.84, 0.64, 0.50), (0.74, 0.54, 0.41), (0.56, 0.39, 0.29)])
DARK_HAIR = ((0.07, 0.06, 0.06), (0.14, 0.09, 0.07), (0.22, 0.14, 0.09))
LIGHT_HAIR = ((0.45, 0.31, 0.18), (0.72, 0.57, 0.34), (0.47, 0.20, 0.09), (0.58, 0.57, 0.56))
IRIS = ((0.20, 0.12, 0.07), (0.28, 0.18, 0.10), (0.30, 0.38, 0.25), (0.30, 0.42, 0.55))
# Hair style -> how often men and women wear it.
HAIR_STYLES = {
    "bald": (0.15, 0.0), "short": (0.5, 0.1), "fringe": (0.15, 0.2), "curly": (0.2, 0.15), "bob": (0.0, 0.3),
    "long": (0.0, 0.25),
}  # fmt: skip


@dataclass(frozen=True)
class Manner:
    """How one domain shows faces: ranges of uniform draws, spreads of normal ones; angles in degrees.

    `pose_shares` is how often each of the three poses of an expression occurs, `stray` the spread of action
    units that do not belong to the expression.
    """

    pose_shares: tuple[float, float, float]
    intensity: tuple[float, float]
    stray: float
    asymmetry: float
    turn: tuple[float, float, float]  # yaw, pitch, roll
    brightness: tuple[float, float]
    side_light: float
    tint: float


@dataclass(frozen=True)
class Identity:
    """What stays the same when the expression changes."""

    skin: Array
    hair: Array
    iris: Array
    style: str
    jaw_width: float
    chin: float
    eye_x: float
    eye_size: float
    nose_y: float
    nose_width: float
    mouth_y: float
    mouth_width: float
    lip_fullness: float
    lip_redness: float
    brow_height: float
    brow_thickness: float
    glasses: bool


class Expression:
    """Strength of every action unit: `expression(unit, side)` is about 0 at rest and 1 at full strength.

    `side` is -1 or 1 for the left or right half of the picture, 0 for both: `lean` makes one the stronger.
    """

    def __init__(self, rng: np.random.Generator, name: str, manner: Manner):
        pose, other = _draw_pose(rng, name, manner), _draw_pose(rng, str(rng.choice(list(POSES))), manner)
        intensity, mixed = rng.uniform(*manner.intensity), MOST_MIXED * rng.uniform(0, 1) ** 2
        vary = rng.uniform(0.8, 1.2, len(ACTION_UNITS))
        stray = np.maximum(rng.normal(0, manner.stray, len(ACTION_UNITS)), 0)
        self.lean = float(rng.normal(0, manner.asymmetry))
        self.strength = {
            unit: float(
                (pose.get(unit, 0) * intensity + other.get(unit, 0) * mixed) * vary[i]
                + (unit not in NEVER_STRAY) * stray[i]
            )
            for i, unit in enumerate(ACTION_UNITS)
        }

    def __call__(self, unit: str, side: int = 0) -> float:
        return min(self.strength[unit] * (1 + self.lean * side), 1.2)


def _draw_pose(rng: np.random.Generator, name: str, manner: Manner) -> dict[str, float]:
    return POSES[name][rng.choice(3, p=manner.pose_shares)]


def draw_identity(rng: np.random.Generator) -> Identity:
    """A random person."""
    man = bool(rng.random() < 0.5)
    tone, between = divmod(rng.uniform(0, len(SKIN) - 1), 1)
    skin = SKIN[int(tone)] * (1 - between) + SKIN[int(tone) + 1] * between
    hair = (*DARK_HAIR, *LIGHT_HAIR) if tone < 2 else DARK_HAIR
    return Identity(
        skin=skin * rng.uniform(0.93, 1.05),
        hair=np.array(hair[rng.integers(len(hair))]) * rng.uniform(0.8, 1.2),
        iris=np.array(IRIS[rng.integers(4 if tone < 2 else 2)]),
        style=str(rng.choice(list(HAIR_STYLES), p=[shares[not man] for shares in HAIR_STYLES.values()])),
        jaw_width=rng.uniform(0.98, 1.12) if man else rng.uniform(0.9, 1.02),
        chin=rng.uniform(-0.08, 0.1),
        eye_x=rng.uniform(0.43, 0.5),
        eye_size=rng.uniform(0.9, 1.07) if man else rng.uniform(0.98, 1.16),
        nose_y=rng.uniform(0.54, 0.67),
        nose_width=rng.uniform(0.22, 0.32),
        mouth_y=rng.uniform(0.98, 1.08),
        mouth_width=rng.uniform(0.36, 0.45),
        lip_fullness=rng.uniform(0.7, 1.3),
        lip_redness=rng.uniform(0.15, 0.45) if man else rng.uniform(0.3, 1.0),
        brow_height=rng.uniform(-0.05, 0.08),
        brow_thickness=rng.uniform(0.07, 0.12) if man else rng.uniform(0.045, 0.08),
        glasses=bool(rng.random() < 0.16),
    )
