"""New pictures in, faces with calibrated probabilities out: models loaded once, faces scored in batches.

from fer.inference.predictor import Predictor, load_models
predictor = Predictor(load_models(["best"], Path("saidas")))
for answer in predictor.predict(["photo.jpg"]): print(answer.faces)
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from fer.faces.detection import Box
from fer.inference.face_recipe import Face, FaceRecipe, Looking, faces_of
from fer.inference.reading import Picture, prepared
from fer.statistics.calibration import with_temperature
from utils import InputError

BATCH = 64  # faces scored together


class Model(Protocol):
    """What gives probabilities: a finished run (trained_model.py) or an exported file (onnx_model.py)."""

    @property
    def name(self) -> str:
        """What it is called in messages."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Names in the order of its outputs."""

    @property
    def recipe(self) -> FaceRecipe:
        """How faces are cut out for it."""

    @property
    def temperature(self) -> float:
        """Fitted on `n_val` validation rows; 1 where there are none."""

    @property
    def n_val(self) -> int:
        """Validation rows behind the temperature."""

    def probabilities(self, pixels: np.ndarray) -> np.ndarray:
        """As trained: float[N, C] of uint8 [N, S, S, C]."""


@dataclass(frozen=True)
class FaceAnswer:
    """One face: where it is, how sure the detector was (None without one), and a probability per class."""

    box: Box
    confidence: float | None
    probabilities: dict[str, float]

    @property
    def label(self) -> str:
        """The most probable class."""
        return max(self.probabilities, key=self.probabilities.__getitem__)


@dataclass(frozen=True)
class Answer:
    """A picture's faces from left to right; none is an answer. `problem`: why it could not be read, or ""."""

    picture: str
    faces: tuple[FaceAnswer, ...]
    problem: str = ""

    def describe(self) -> dict[str, Any]:
        """As plain values, for JSON."""
        faces = [
            {
                "box": [round(edge, 1) for edge in face.box],
                "detector_confidence": None if face.confidence is None else round(face.confidence, 4),
                "label": face.label,
                "probabilities": {name: round(value, 6) for name, value in face.probabilities.items()},
            }
            for face in self.faces
        ]
        return {"picture": self.picture, "faces": faces, "problem": self.problem or None}


class Predictor:
    """One model, or several whose calibrated probabilities are averaged.

    `calibrated`: each model's probabilities at the temperature of its own validation rows; else as trained.
    Raises InputError for models that look for faces in different ways.
    """

    def __init__(self, models: Sequence[Model], looking: Looking = "trained", calibrated: bool = True):
        self.models, self.looking, self.calibrated = tuple(models), looking, calibrated
        self.recipes = tuple(model.recipe for model in models)
        if looking != "whole":
            _refuse_different(self.models, looking)

    def predict(self, pictures: Iterable[str | Path | Picture], workers: int = 1) -> Iterator[Answer]:
        """The answer to each picture, in order, as they come; `workers` processes find the faces."""
        named = [one if isinstance(one, Picture) else Picture(Path(one)) for one in pictures]
        find = partial(faces_of, recipes=self.recipes, looking=self.looking)
        waiting: list[tuple[str, list[Face], str]] = []
        count = 0
        for picture, (faces, problem) in zip(named, prepared(named, find, workers), strict=True):
            waiting.append((str(picture.path), faces, problem))
            count += len(faces)
            if count >= BATCH or len(waiting) >= BATCH:  # pictures without a face are answered in time, too
                yield from self._answers(waiting)
                waiting, count = [], 0
        yield from self._answers(waiting)

    def predict_pixels(self, pixels: np.ndarray, name: str = "") -> Answer:
        """The answer to a picture in memory, uint8 [H, W] or [H, W, 3] (RGB)."""
        return self._answers([(name, faces_of([pixels], self.recipes, self.looking), "")])[0]

    def faces(self, pixels: np.ndarray) -> list[Face]:
        """The faces of a picture in memory, as the networks see them."""
        return faces_of([pixels], self.recipes, self.looking)

    def _answers(self, found: list[tuple[str, list[Face], str]]) -> list[Answer]:
        rows = iter(self._probabilities([face for _, faces, _ in found for face in faces]))
        return [
            Answer(name, tuple(self._answer(face, next(rows)) for face in faces), why) for name, faces, why in found
        ]

    def _answer(self, face: Face, row: np.ndarray) -> FaceAnswer:
        return FaceAnswer(face.box, face.confidence, dict(zip(self.models[0].classes, row.tolist(), strict=True)))

    def _probabilities(self, faces: list[Face]) -> np.ndarray:
        """Float64 [N, C], the mean of all models."""
        if not faces:
            return np.empty((0, 0))
        each = []
        for number, model in enumerate(self.models):
            pixels = np.stack([face.pixels[number] for face in faces])
            found = np.concatenate([model.probabilities(part) for part in _parts(pixels)])
            each.append(with_temperature(found, model.temperature) if self.calibrated else found.astype(np.float64))
        return np.mean(each, axis=0)


def _parts(pixels: np.ndarray) -> Iterator[np.ndarray]:
    return (pixels[first : first + BATCH] for first in range(0, len(pixels), BATCH))


def _refuse_different(models: tuple[Model, ...], looking: Looking) -> None:
    first = models[0]
    for other in models[1:]:
        same = first.recipe.finding == other.recipe.finding and first.recipe.detects == other.recipe.detects
        if other.classes != first.classes or not (same or (looking == "detect" and _is_alike(first, other))):
            raise InputError(
                f"{first.name} and {other.name} cannot answer together: they were trained on faces found in different "
                "ways, or on other classes. Ask them one by one, or give cropped faces and --no-face-detection."
            )


def _is_alike(first: Model, other: Model) -> bool:
    return first.recipe.finding == other.recipe.finding


def load_models(
    names: Sequence[str], output: Path, tta: str = "none", device: str = "auto", like: str | None = None
) -> list[Model]:
    """Finished runs by name, each loaded once. Raises InputError as trained_model.load_model does."""
    from fer.inference.trained_model import load_model

    return [load_model(name, output, tta, device, like) for name in dict.fromkeys(names)]
