"""The embedded sample data: drawn faces in the layouts of RAF-DB and ExpW, with a real gap between them.

`sample_studio` is lit, posed and clean; `sample_wild` is a heap of snapshots: turned heads, hard light,
clutter, several faces in a picture, blur, noise, spontaneous expressions, and the oddities of collected
data. Every picture is drawn by its own generator, fixed by (seed, domain, number). The same seed gives the
same pixels with the same versions of NumPy, OpenCV and Pillow on one type of CPU.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from fer.settings.settings import EMOTIONS
from utils import InputError, lock_in, log, progress, read_json, write_json

if TYPE_CHECKING:
    from fer.sample_faces.scenes import DrawnFace

Array = np.ndarray
VERSION = 2  # raise when the drawing changes, so that older sample data is drawn again
MARKER = "complete.json"
FEWEST_PICTURES = 240
STUDIO, WILD, CHOICES = 0, 1, 2  # second number of a random key, after the seed
# Label numbers of RAF-DB, and the class counts of the real sets, in the order of EMOTIONS. The drawn sets are less
# uneven: a tenth or a fourteenth of the faces is the least of a class, so that every one can be validated on.
RAF_NUMBERS = {"surprise": 1, "fear": 2, "disgust": 3, "happy": 4, "sad": 5, "angry": 6, "neutral": 7}
RAF_TRAIN = (705, 717, 281, 4772, 1982, 1290, 2524)
RAF_TEST = (162, 160, 74, 1185, 478, 329, 680)
EXPW_ALL = (3671, 3995, 1088, 30537, 10559, 7060, 34883)
# ExpW's pictures are named by the query that found them, which is not their label.
MOODS = ("angry", "disgusted", "afraid", "excited", "happy", "sad", "upset", "surprised", "calm")
PEOPLE = ("actor", "baby", "boss", "bride", "doctor", "student", "woman", "man", "family")


def draw_face(rng: np.random.Generator, expression: int, domain: int = STUDIO) -> Image.Image:
    """A picture of one face; `expression` is an index of EMOTIONS, `domain` STUDIO or WILD."""
    from fer.sample_faces.scenes import studio_picture, wild_picture

    pixels, _ = studio_picture(rng, expression) if domain == STUDIO else wild_picture(rng, [expression])
    return Image.fromarray(pixels)


def write_sample_datasets(folder: Path, seed: int = 7, pictures: int = 1500) -> dict[str, dict[str, Any]]:
    """Draw `folder/sample_studio` (RAF-DB's original layout) and `folder/sample_wild` (ExpW's).

    `pictures` is the number of whole pictures of both together. A dataset whose `complete.json` names this
    version, seed and size is left as it is; any other folder of these two names is replaced as a whole.
    Returns, by dataset name, what settings.DatasetRow takes. Raises InputError below 240 pictures.
    """
    if pictures < FEWEST_PICTURES:
        raise InputError(
            f"pictures = {pictures} is too few for the sample data: so that each of seven expressions can be "
            f"split into training, validation and test, draw at least {FEWEST_PICTURES}."
        )
    folder.mkdir(parents=True, exist_ok=True)
    recipe = {"version": VERSION, "seed": seed, "pictures": pictures}
    studio, wild = folder / "sample_studio", folder / "sample_wild"
    with lock_in(folder, "sample_faces"):
        if _start(studio, recipe):
            write_studio(studio, seed, pictures // 2)
            write_json(studio / MARKER, recipe)
        if _start(wild, recipe):
            write_wild(wild, seed, pictures - pictures // 2)
            write_json(wild / MARKER, recipe)
    return {
        studio.name: {"path": str(studio), "layout": "rafdb", "faces": "whole", "sample": True},
        wild.name: {"path": str(wild), "layout": "expw", "faces": "box", "sample": True},
    }


def _start(target: Path, recipe: dict[str, int]) -> bool:
    """Whether `target` has to be drawn; if so, whatever an earlier drawing left there is removed."""
    try:
        if read_json(target / MARKER) == recipe:
            return False
    except (FileNotFoundError, json.JSONDecodeError):
        pass  # no marker, or not a whole one: not finished
    if target.exists():
        log.info("%s is unfinished, or of another version, seed or size: drawn again", target)
        shutil.rmtree(target)
    return True


def class_counts(real: Sequence[int], total: int, least: int) -> Array:
    """Split `total` over the classes as unevenly as `real`, with at least `least` for each."""
    extra = total - least * len(real)
    counts = np.full(len(real), least)
    if extra:
        spare = np.maximum(np.asarray(real) / sum(real) * total - least, 0)
        counts += np.floor(spare / spare.sum() * extra).astype(int)
        counts[np.argmax(real)] += total - counts.sum()
    return counts


def _shuffled_labels(rng: np.random.Generator, counts: Array) -> list[int]:
    return rng.permutation(np.repeat(np.arange(len(counts)), counts)).tolist()


# ---------------------------------------------------------------- RAF-DB's layout


def write_studio(target: Path, seed: int, pictures: int) -> None:
    """RAF-DB's original `basic/` layout: whole pictures, aligned 100x100 crops, one label file."""
    from fer.sample_faces.scenes import aligned, studio_picture

    base = target / "basic"
    for part in ("EmoLabel", "Image/original", "Image/aligned"):
        (base / part).mkdir(parents=True)
    rows = _studio_rows(np.random.default_rng((seed, CHOICES, STUDIO)), pictures)
    for number, (name, label) in enumerate(progress(rows, "Drawing the studio sample")):
        pixels, face = studio_picture(np.random.default_rng((seed, STUDIO, number)), label)
        Image.fromarray(pixels).save(base / f"Image/original/{name}.jpg", quality=92)
        Image.fromarray(aligned(pixels, face)).save(base / f"Image/aligned/{name}_aligned.jpg", quality=92)
    lines = [f"{name}.jpg {RAF_NUMBERS[EMOTIONS[label]]}\n" for name, label in rows]
    (base / "EmoLabel/list_patition_label.txt").write_text("".join(lines), encoding="utf-8", newline="\n")


def _studio_rows(rng: np.random.Generator, pictures: int) -> list[tuple[str, int]]:
    """Name without suffix and label of each picture, training before test."""
    tests = round(pictures * sum(RAF_TEST) / (sum(RAF_TEST) + sum(RAF_TRAIN)))
    train = _shuffled_labels(rng, class_counts(RAF_TRAIN, pictures - tests, max(12, (pictures - tests) // 10)))
    test = _shuffled_labels(rng, class_counts(RAF_TEST, tests, max(3, tests // 14)))
    rows = [(f"train_{i:05d}", label) for i, label in enumerate(train, 1)]
    return rows + [(f"test_{i:04d}", label) for i, label in enumerate(test, 1)]


# ---------------------------------------------------------------- ExpW's layout


def write_wild(target: Path, seed: int, pictures: int) -> None:
    """ExpW's layout: whole pictures in `image/origin` and `label/label.lst`, with its oddities.

    Among the pictures are a few exact copies of others under other names and one that cannot be read.
    Some faces are partly outside, some boxes leave the picture, some are unsure (confidence below 20);
    the label file ends in a blank line.
    """
    from fer.sample_faces.scenes import wild_picture

    images = target / "image/origin"
    images.mkdir(parents=True)
    (target / "label").mkdir()
    rng = np.random.default_rng((seed, CHOICES, WILD))
    names = [f"{rng.choice(MOODS)}_{rng.choice(PEOPLE)}_{i}.jpg" for i in range(1, pictures + 1)]
    drawn = pictures - max(3, pictures // 150) - 1
    sizes = rng.choice((1, 2, 3), drawn, p=(0.68, 0.22, 0.1)).tolist()
    labels = _shuffled_labels(rng, class_counts(EXPW_ALL, sum(sizes), max(16, sum(sizes) // 14)))
    rows: dict[str, list[DrawnFace]] = {}
    for number, size in enumerate(progress(sizes, "Drawing the wild sample")):
        own = np.random.default_rng((seed, WILD, number))
        pixels, rows[names[number]] = wild_picture(own, [labels.pop() for _ in range(size)])
        Image.fromarray(pixels).save(images / names[number], quality=int(own.integers(55, 92)))
    originals = [names[i] for i in rng.choice(drawn, pictures - drawn, replace=False)]
    for copy, original in zip(names[drawn:], originals, strict=True):
        shutil.copyfile(images / original, images / copy)
        rows[copy] = rows[original]
    broken = images / names[-1]
    broken.write_bytes(broken.read_bytes()[: broken.stat().st_size // 3])
    lines = [_label_line(name, i, face) for name, faces in rows.items() for i, face in enumerate(faces)]
    (target / "label/label.lst").write_text("\n".join([*lines, "", ""]), encoding="utf-8", newline="\n")


def _label_line(name: str, number: int, face: DrawnFace) -> str:
    """One row of label.lst: name, face number, top, left, right, bottom, confidence, label."""
    left, top, right, bottom = face.box
    return f"{name} {number} {top} {left} {right} {bottom} {face.confidence:.4f} {face.label}"
