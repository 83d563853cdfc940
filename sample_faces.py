"""The embedded sample data: drawn faces in the layouts of RAF-DB and ExpW, with a real gap between them.

`sample_studio` is lit, posed and clean; `sample_wild` is a heap of snapshots: turned heads, hard light,
clutter, several faces in a picture, blur, noise, weak expressions, and the oddities of collected data.
Every picture is drawn by its own generator, fixed by (seed, domain, number), so any one can be drawn alone.
The same seed gives the same pixels with the same versions of NumPy, OpenCV and Pillow on one type of CPU.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

import numpy as np
from filelock import FileLock
from PIL import Image

from face_traits import Expression, Identity, Light, Manner, draw_identity, draw_light
from settings import EMOTIONS
from utils import InputError, log, progress, read_json, write_json

if TYPE_CHECKING:
    from face_canvas import View

Array = np.ndarray
VERSION = 1  # raise when the drawing changes, so that older sample data is drawn again
MARKER = "complete.json"
FEWEST_PICTURES = 240
STUDIO, WILD, CHOICES = 0, 1, 2  # first number of the random key, after the seed

MANNERS = {
    STUDIO: Manner(
        spontaneous=(0.7, 0.25, 0.05), intensity=(0.45, 1.0), mixture=0.3, stray=0.08, asymmetry=0.06,
        yaw=7, pitch=4, roll=3, ambient=(0.5, 0.7), side_light=0.2, tint=0.015,
    ),
    WILD: Manner(
        spontaneous=(0.1, 0.3, 0.6), intensity=(0.5, 1.05), mixture=0.3, stray=0.09, asymmetry=0.15,
        yaw=16, pitch=8, roll=9, ambient=(0.3, 0.6), side_light=0.6, tint=0.06,
    ),
}  # fmt: skip
# Label numbers of RAF-DB, and the class counts of the real sets, in the order of EMOTIONS.
RAF_NUMBERS = {"surprise": 1, "fear": 2, "disgust": 3, "happy": 4, "sad": 5, "angry": 6, "neutral": 7}
RAF_TRAIN = (705, 717, 281, 4772, 1982, 1290, 2524)
RAF_TEST = (162, 160, 74, 1185, 478, 329, 680)
EXPW_ALL = (3671, 3995, 1088, 30537, 10559, 7060, 34883)
NORMAL_QUANTILES = np.array([NormalDist().inv_cdf((i + 0.5) / 256) for i in range(256)])
# ExpW's pictures are named by the query that found them, which is not their label.
MOODS = ("angry", "disgusted", "afraid", "excited", "happy", "sad", "upset", "surprised", "calm")
PEOPLE = ("actor", "baby", "boss", "bride", "doctor", "student", "woman", "man", "family")


@dataclass(frozen=True)
class Face:
    """One drawn face: its box (left, top, right, bottom), eyes and mouth (3, 2), all in pixels."""

    label: int
    box: tuple[int, int, int, int]
    confidence: float
    anchors: Array


# ---------------------------------------------------------------- one picture


def draw_face(rng: np.random.Generator, expression: int, domain: int = STUDIO) -> Image.Image:
    """A picture of one face; `expression` is an index of EMOTIONS, `domain` STUDIO or WILD."""
    pixels, _ = studio_picture(rng, expression) if domain == STUDIO else wild_picture(rng, [expression])
    return Image.fromarray(pixels)


def studio_picture(rng: np.random.Generator, label: int) -> tuple[Array, Face]:
    """A portrait before a plain backdrop: RGB uint8, 220 to 300 pixels a side."""
    width, height = rng.integers(220, 301, 2).tolist()
    picture = backdrop(rng, width, height)
    unit = min(width, height) * rng.uniform(0.2, 0.24)
    centre = (width * rng.uniform(0.46, 0.54), height * 0.5 - unit * rng.uniform(0.05, 0.25))
    face = add_person(picture, rng, label, STUDIO, centre, unit)
    return add_noise(develop(picture), rng, rng.uniform(0.5, 3)), face


def wild_picture(rng: np.random.Generator, labels: Sequence[int]) -> tuple[Array, list[Face]]:
    """A snapshot with one to three people: RGB uint8, 300 to 450 pixels wide."""
    width, height = int(rng.integers(300, 451)), int(rng.integers(250, 351))
    picture = clutter(rng, width, height)
    room = width / len(labels)
    faces = []
    units = np.minimum(room / 2.5, height / 4.2) * rng.uniform(0.45, 1.0, len(labels))
    for place, (label, unit) in enumerate(zip(labels, units.tolist(), strict=True)):
        x = room * (place + 0.5) + rng.normal(0, 0.08) * room
        if place == 0 and rng.random() < 0.1:
            x = unit * rng.uniform(0.7, 0.9)
        centre = (x, height * rng.uniform(0.4, 0.5))
        faces.append(add_person(picture, rng, label, WILD, centre, unit))
    pixels = spoil(develop(picture), rng, float(units.min()))
    return add_noise(pixels, rng, rng.uniform(1, 11)), faces


def add_person(
    picture: Array,
    rng: np.random.Generator,
    label: int,
    domain: int,
    centre: tuple[float, float],
    unit: float,
) -> Face:
    """Draw a person into a float RGB picture (3, H, W), in place; `unit` is half the width of the face."""
    from face_canvas import View, place
    from face_drawing import draw_head

    manner = MANNERS[domain]
    who, light = draw_identity(rng), draw_light(rng, manner)
    expression = Expression(rng, EMOTIONS[label], manner)
    limits = np.array([manner.yaw, manner.pitch, manner.roll])
    turn = np.radians(np.clip(rng.normal(0, limits), -1.8 * limits, 1.8 * limits)).tolist()
    view = View(centre, unit, *turn)
    paint_body(picture, rng, who, light, view)
    head, cover = draw_head(rng, who, expression, light, min(unit, 48.0))
    place(picture, head, cover, view)
    unsure = domain == WILD and rng.random() < 0.06
    if unsure:
        smear(picture, view)
    confidence = rng.uniform(2, 19.5) if unsure else max(100 - rng.exponential(5), 25)
    return Face(label, detector_box(rng, who, expression, view), float(confidence), anchors(who, view))


def anchors(who: Identity, view: View) -> Array:
    """Pixels (3, 2) of the left eye, the right eye and the middle of the resting mouth."""
    from face_canvas import to_picture

    return to_picture([(-who.eye_x, 0.0), (who.eye_x, 0.0), (0.0, who.mouth_y)], view)


def detector_box(
    rng: np.random.Generator, who: Identity, expression: Expression, view: View
) -> tuple[int, int, int, int]:
    """The box a detector would give, left, top, right, bottom: from forehead to chin, a little off."""
    from face_canvas import to_picture

    chin = 1.66 + who.chin + 0.3 * expression("jaw_drop")
    points = to_picture([(-0.98, 0.2), (0.98, 0.2), (0.0, -0.85), (0.0, chin), (-0.7, -0.7), (0.7, -0.7)], view)
    box = np.concatenate([points.min(0), points.max(0)]) + rng.normal(0, 0.06, 4) * view.unit
    left, top, right, bottom = np.rint(box).astype(int).tolist()
    return left, top, right, bottom


def paint_body(picture: Array, rng: np.random.Generator, who: Identity, light: Light, view: View) -> None:
    """Neck, shoulders and clothes below a head."""
    from face_canvas import Canvas, mirrored, oval

    corner = tuple(-(np.array(view.centre) + 0.5) / view.unit)
    canvas = Canvas(picture, corner, view.unit)
    brightness = light.ambient + 0.7 * light.direct
    skin, cloth = who.skin * brightness, muted(rng) * brightness
    below = picture.shape[1] / view.unit + corner[1] + 1
    shoulders = [(0.0, 2.0), (0.6, 2.02), (1.2, 2.25), (1.9, 2.5), (2.3, 3.2)]
    canvas.paint(mirrored([*shoulders, (2.4, max(below, 3.5)), (0.0, max(below, 3.6))]), cloth, 1.0, 0.01)
    if who.style in ("bob", "long"):
        canvas.paint(oval(0, 0.6, 1.1, 1.0 if who.style == "bob" else 1.5), who.hair * brightness * 0.6, 1.0, 0.03)
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
    import cv2

    small = planes.astype(np.float32)
    large = np.stack([cv2.resize(plane, (width, height), interpolation=cv2.INTER_CUBIC) for plane in small])
    return np.maximum(large, 0, out=large)


def clutter(rng: np.random.Generator, width: int, height: int) -> Array:
    """A room, a street or greenery out of focus: float32 RGB (3, H, W), painted small and enlarged."""
    from face_canvas import Canvas, oval

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
    import cv2

    x, y, reach = *map(int, view.centre), int(1.8 * view.unit)
    for plane in picture[:, max(y - reach, 0) : y + reach, max(x - reach, 0) : x + reach]:
        plane[:] = cv2.GaussianBlur(plane, (0, 0), 0.05 * view.unit)


def spoil(picture: Array, rng: np.random.Generator, unit: float) -> Array:
    """A cheap camera: blur by up to a 25th of the smallest face unit, poor contrast, some pictures gray.

    Takes and returns RGB uint8.
    """
    import cv2

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
    import cv2

    return cv2.merge([cv2.convertScaleAbs(plane, alpha=255) for plane in picture])


def add_noise(picture: Array, rng: np.random.Generator, deviation: float) -> Array:
    """Add gray Gaussian noise to RGB uint8, its deviation in levels."""
    import cv2

    # One random byte picks one of 256 equally likely values: ten times as fast as normal numbers.
    values = np.rint(NORMAL_QUANTILES * deviation + 128).clip(0, 255).astype(np.uint8)
    height, width = picture.shape[:2]
    grain = cv2.LUT(rng.integers(0, 256, (height, width), np.uint8), values)
    return cv2.addWeighted(picture, 1, cv2.merge([grain, grain, grain]), 1, -128)


# ---------------------------------------------------------------- the two datasets


def write_sample_datasets(folder: Path, seed: int = 7, pictures: int = 1500) -> dict[str, dict[str, Any]]:
    """Draw `folder/sample_studio` (RAF-DB's original layout) and `folder/sample_wild` (ExpW's).

    `pictures` is the number of whole pictures of both together. A dataset whose `complete.json` names this
    version, seed and size is left as it is; any other folder of these two names is replaced as a whole.
    Returns what settings.DatasetRow takes, by dataset name. Raises InputError below 240 pictures.
    """
    if pictures < FEWEST_PICTURES:
        raise InputError(
            f"pictures = {pictures} is too few for the sample data: seven expressions that can be split "
            f"into training, validation and test need at least {FEWEST_PICTURES}."
        )
    recipe = {"version": VERSION, "seed": seed, "pictures": pictures, "complete": True}
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / ".sample_faces.lock"):
        for name, write, count in (
            ("sample_studio", write_studio, pictures // 2),
            ("sample_wild", write_wild, pictures - pictures // 2),
        ):
            target = folder / name
            if (target / MARKER).is_file() and read_json(target / MARKER) == recipe:
                continue
            if target.exists():
                log.info("%s is unfinished or from another version, seed or size: drawn again", target)
                shutil.rmtree(target)
            write(target, seed, count)
            write_json(target / MARKER, recipe)
    return {
        "sample_studio": {
            "path": str(folder / "sample_studio"),
            "layout": "rafdb",
            "faces": "whole",
            "sample": True,
        },
        "sample_wild": {
            "path": str(folder / "sample_wild"),
            "layout": "expw",
            "faces": "box",
            "sample": True,
        },
    }


def class_counts(real: Sequence[int], total: int, least: int) -> Array:
    """Split `total` over the classes as unevenly as `real`, with at least `least` for each."""
    spare = np.maximum(np.asarray(real) / sum(real) * total - least, 0)
    counts = least + np.floor(spare / spare.sum() * (total - least * len(real))).astype(int)
    counts[np.argmax(counts)] += total - counts.sum()
    return counts


def shuffled_labels(rng: np.random.Generator, counts: Array) -> list[int]:
    return rng.permutation(np.repeat(np.arange(len(counts)), counts)).tolist()


def write_studio(target: Path, seed: int, pictures: int) -> None:
    """RAF-DB's original `basic/` layout: whole pictures, aligned 100x100 crops, one label file."""
    base = target / "basic"
    for part in ("EmoLabel", "Image/original", "Image/aligned"):
        (base / part).mkdir(parents=True)
    rng = np.random.default_rng((seed, CHOICES, STUDIO))
    tests = round(pictures * sum(RAF_TEST) / (sum(RAF_TEST) + sum(RAF_TRAIN)))
    train = shuffled_labels(rng, class_counts(RAF_TRAIN, pictures - tests, 12))
    test = shuffled_labels(rng, class_counts(RAF_TEST, tests, 3))
    rows = [(f"train_{i:05d}", label) for i, label in enumerate(train, 1)]
    rows += [(f"test_{i:04d}", label) for i, label in enumerate(test, 1)]
    for number, (name, label) in enumerate(progress(rows, "Drawing the studio sample")):
        pixels, face = studio_picture(np.random.default_rng((seed, STUDIO, number)), label)
        Image.fromarray(pixels).save(base / "Image/original" / f"{name}.jpg", quality=92)
        Image.fromarray(aligned(pixels, face)).save(base / "Image/aligned" / f"{name}_aligned.jpg", quality=92)
    lines = [f"{name}.jpg {RAF_NUMBERS[EMOTIONS[label]]}\n" for name, label in rows]
    (base / "EmoLabel/list_patition_label.txt").write_text("".join(lines), encoding="utf-8", newline="\n")


def aligned(pixels: Array, face: Face) -> Array:
    """The 100x100 crop in which eyes and mouth stand where RAF-DB puts them: least-squares similarity."""
    import cv2

    source = face.anchors @ (1, 1j)
    target = np.array((33 + 35j, 67 + 35j, 50 + 73j))
    centred = source - source.mean()
    factor = (centred.conj() @ (target - target.mean())) / (centred.conj() @ centred)
    shift = target.mean() - factor * source.mean()
    matrix = np.array([[factor.real, -factor.imag, shift.real], [factor.imag, factor.real, shift.imag]])
    return cv2.warpAffine(pixels, matrix, (100, 100), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)


def write_wild(target: Path, seed: int, pictures: int) -> None:
    """ExpW's layout: whole pictures and `label.lst`, with its oddities.

    Among the pictures are a few exact copies of others under other names and one that cannot be read;
    the label file ends in a blank line, as ExpW's does.
    """
    images = target / "image/origin"
    images.mkdir(parents=True)
    (target / "label").mkdir()
    rng = np.random.default_rng((seed, CHOICES, WILD))
    copies = max(3, pictures // 150)
    drawn = pictures - copies - 1
    sizes = rng.choice((1, 2, 3), drawn, p=(0.68, 0.22, 0.1))
    labels = shuffled_labels(rng, class_counts(EXPW_ALL, int(sizes.sum()), 16))
    names = [f"{rng.choice(MOODS)}_{rng.choice(PEOPLE)}_{i}.jpg" for i in range(1, pictures + 1)]
    rows: dict[str, list[Face]] = {}
    for number, size in enumerate(progress(sizes.tolist(), "Drawing the wild sample")):
        own = np.random.default_rng((seed, WILD, number))
        pixels, rows[names[number]] = wild_picture(own, [labels.pop() for _ in range(size)])
        Image.fromarray(pixels).save(images / names[number], quality=int(own.integers(55, 92)))
    *chosen, broken = rng.choice(drawn, copies + 1, replace=False).tolist()
    for copy, original in zip(names[drawn:], chosen, strict=False):
        shutil.copyfile(images / names[original], images / copy)
        rows[copy] = rows[names[original]]
    content = (images / names[broken]).read_bytes()
    (images / names[-1]).write_bytes(content[: len(content) // 3])
    rows[names[-1]] = rows[names[broken]]
    lines = [label_line(name, i, face) for name, faces in rows.items() for i, face in enumerate(faces)]
    (target / "label/label.lst").write_text("\n".join([*lines, "", ""]), encoding="utf-8", newline="\n")


def label_line(name: str, number: int, face: Face) -> str:
    """One row of label.lst: name, face number, top, left, right, bottom, confidence, label."""
    left, top, right, bottom = face.box
    return f"{name} {number} {top} {left} {right} {bottom} {face.confidence:.4f} {face.label}"
