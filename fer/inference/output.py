"""Answers as text with bars, JSON, CSV, and drawn into the picture."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from fer.columns.files import ANSWER, BOX
from utils import InputError, atomic_path

if TYPE_CHECKING:
    from fer.inference.predictor import Answer, FaceAnswer

BAR = 24  # characters of a full bar in the terminal
COLOUR, DARK = (255, 196, 0), (24, 24, 24)
PANEL, LINE = 168, 18  # pixels: width of the bars beside a picture, height of one; more for large pictures
PLAIN_SIDE = 900  # pixels: the longer side up to which they are that
TABLES = (".csv", ".jsonl")


def as_text(answer: Answer) -> str:
    """A picture's faces, each with a bar per class; what was wrong where it could not be read."""
    if answer.problem:
        return f"{answer.picture}: {answer.problem}"
    if not answer.faces:
        return f"{answer.picture}: no face found"
    return "\n".join([f"{answer.picture}: {_count(len(answer.faces))}", *map(_face_text, answer.faces)])


def _face_text(face: FaceAnswer) -> str:
    sure = "" if face.confidence is None else f", detector {face.confidence:.2f}"
    head = f"  {face.label} {face.probabilities[face.label]:.0%}, box {', '.join(f'{e:.0f}' for e in face.box)}{sure}"
    bars = [f"    {name:<9}{value:6.1%} {'#' * round(value * BAR)}" for name, value in face.probabilities.items()]
    return "\n".join([head, *bars])


def _count(faces: int) -> str:
    return "1 face" if faces == 1 else f"{faces} faces"


# ---------------------------------------------------------------- tables


class Write(Protocol):
    """Adds an answer to a table; `more` are columns before the others (a video's time)."""

    def __call__(self, answer: Answer, **more: Any) -> None:
        """One answer."""
        ...


@contextmanager
def table(path: Path, classes: Sequence[str], more: Sequence[str] = ()) -> Iterator[Write]:
    """A file that answers are added to as they come: .csv, a row a face, or .jsonl, a line a picture.

    CSV: picture, face (0 is the leftmost; empty without a face), box_left … box_bottom, detector_confidence, label,
    probability, one column a class, problem. A picture without a face, or broken, has a row as well.
    The file appears whole at the end. Raises InputError for another ending.
    """
    if path.suffix.lower() not in TABLES:
        raise InputError(f"{path}: a table ends in {' or '.join(TABLES)}.")
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as stream:
        if path.suffix.lower() == ".jsonl":
            yield lambda answer, **values: print(json.dumps(values | answer.describe()), file=stream)
        else:
            writer = csv.DictWriter(stream, [*more, *columns(classes)])
            writer.writeheader()
            yield lambda answer, **values: writer.writerows(values | row for row in rows_of(answer))


def columns(classes: Sequence[str]) -> list[str]:
    """Columns of a table of answers."""
    return [*ANSWER, *classes, "problem"]


def rows_of(answer: Answer) -> list[dict[str, Any]]:
    """A row a face; one without a face where there is none."""
    if not answer.faces:
        return [{"picture": answer.picture, "problem": answer.problem or "no face found"}]
    described = answer.describe()["faces"]
    return [
        {"picture": answer.picture, "face": number, "label": face["label"], "problem": ""}
        | dict(zip(BOX, face["box"], strict=True))
        | {"detector_confidence": face["detector_confidence"], "probability": face["probabilities"][face["label"]]}
        | face["probabilities"]
        for number, face in enumerate(described)
    ]


# ---------------------------------------------------------------- drawn


def drawn(pixels: np.ndarray, answer: Answer) -> Image.Image:
    """The picture in RGB with a numbered box around each face; beside it, in the same order, a bar per class."""
    picture = Image.fromarray(pixels).convert("RGB")
    scale = max(1.0, max(picture.size) / PLAIN_SIDE)
    panels = [_panel(number, face, scale) for number, face in enumerate(answer.faces, 1)]
    beside = max((panel.width for panel in panels), default=0)
    height = max(picture.height, sum(panel.height for panel in panels))
    sheet = Image.new("RGB", (picture.width + beside, height), DARK)
    sheet.paste(picture)
    pen = ImageDraw.Draw(sheet)
    top = 0
    for number, (face, panel) in enumerate(zip(answer.faces, panels, strict=True), 1):
        _draw_box(pen, number, face, picture.size, scale)
        sheet.paste(panel, (picture.width, top))
        top += panel.height
    return sheet


def _draw_box(pen: ImageDraw.ImageDraw, number: int, face: FaceAnswer, size: tuple[int, int], scale: float) -> None:
    left, top, right, bottom = face.box
    inside = (max(left, 0), max(top, 0), min(right, size[0] - 1), min(bottom, size[1] - 1))
    pen.rectangle(inside, outline=COLOUR, width=max(1, round((right - left) / 80)))
    pen.text((inside[0] + 3, inside[1] + 1), str(number), fill=COLOUR, font=ImageFont.load_default((LINE - 3) * scale))


def _panel(number: int, face: FaceAnswer, scale: float) -> Image.Image:
    """A face's answer and a bar for each class."""
    line, wide, gap = round(LINE * scale), round(PANEL * scale), round(4 * scale)
    panel = Image.new("RGB", (wide, line * (len(face.probabilities) + 2)), DARK)
    pen, letters = ImageDraw.Draw(panel), ImageFont.load_default((LINE - 5) * scale)
    pen.text((gap, 1), f"{number}  {face.label}", fill=COLOUR, font=letters)
    for row, (name, value) in enumerate(face.probabilities.items(), 1):
        top = row * line
        colour = (170, 110, 0) if name == face.label else (70, 90, 120)
        pen.rectangle((gap, top, gap + (wide - 2 * gap) * value, top + line - 3), fill=colour)
        pen.text((2 * gap, top), f"{name} {value:.0%}", fill="white", font=letters)
    return panel
