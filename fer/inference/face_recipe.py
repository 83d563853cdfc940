"""How a network's training pictures were made into faces, read from its run.json, and the same done to new pictures.

What a recipe does not say is not invented: a network trained on pictures as delivered (variant `raw`, or a dataset
of cropped faces) sees new pictures whole. With `detect` faces are looked for first, and said to be.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from PIL import Image

from fer.faces.detection import Box, Crop, DetectedFace, find_in_picture
from fer.faces.packs import PACK_VERSION, fitted
from fer.layouts.pictures import crop_box
from preprocessing import RECIPE_VERSION, crop_of, cut_face, locate
from utils import InputError

# "trained": every face, where training looked for faces, else the whole picture; "detect": every face; "whole": the
# picture is the face; "one": what a row of the training set would be, one face whatever the picture holds.
Looking = Literal["trained", "detect", "whole", "one"]
# What decides where a face is; all else is about its pixels.
FINDING = ("detector", "detection_threshold", "face_policy", "crop_margin", "align")


@dataclass(frozen=True)
class Face:
    """A face of a picture: `box` in its pixels, `confidence` of the detector (None without one), `angle` in degrees.

    `pixels`, one for each recipe: what the network is given, uint8 [S, S, C].
    """

    box: Box
    confidence: float | None
    angle: float
    pixels: tuple[np.ndarray, ...]


@dataclass(frozen=True)
class FaceRecipe:
    """From a picture to a network's pixels, as plain values.

    `faces`: how the training set's pictures hold faces (whole, box, cropped); `side`, `channels`: of the pixels;
    `rules`: those of preprocessing.recipe, None for variant `raw`; `detection`: the rules used with `detect` where
    training had none.
    """

    variant: str
    faces: str
    side: int
    channels: int
    rules: dict[str, Any] | None
    detection: dict[str, Any]

    @property
    def detects(self) -> bool:
        """Whether faces were looked for in the training pictures."""
        return self.rules is not None and self.faces != "cropped"

    @property
    def finding(self) -> dict[str, Any]:
        """What decides where a face is."""
        rules = self.rules if self.detects else self.detection
        assert rules is not None
        return {name: rules.get(name) for name in FINDING}

    def describe(self) -> dict[str, Any]:
        """As plain values; `FaceRecipe(**described)` is it again."""
        return dict(self.__dict__)


def recipe_of(inputs: dict[str, Any], config: dict[str, Any], like: str | None = None) -> FaceRecipe:
    """The recipe of a run by its key's inputs and its config; of `like`, where it was trained on several datasets.

    Without `like`: that of the set with the largest pictures among those in which faces were looked for, if any.
    Raises InputError for a dataset the run was not trained on.
    """
    recipes = inputs["recipes"]
    if like is not None and like not in recipes:
        raise InputError(f"--like {like}: this network was trained on {', '.join(recipes)}.")
    detection = {
        "detector": "mtcnn",
        "detection_threshold": config["DETECTION_THRESHOLD"],
        "face_policy": config["FACE_POLICY"],
        "crop_margin": 0.0,
        "align": False,
    }
    found = [_recipe(inputs["variant"], recipes[name], detection) for name in ([like] if like else recipes)]
    return max(found, key=lambda one: (one.detects, one.side))


def refuse_other_versions(inputs: dict[str, Any]) -> None:
    """Raises InputError where this version cuts or packs faces in another way than the one that trained the run."""
    for name, stored in inputs["recipes"].items():
        there = stored.get("preparation", {}).get("version", RECIPE_VERSION), stored["pack"][0]
        if there != (RECIPE_VERSION, PACK_VERSION):
            raise InputError(
                f"{name} was prepared by version {there} of the rules for faces; this program has "
                f"{(RECIPE_VERSION, PACK_VERSION)} and would cut them in another way. Train the run again, or use the "
                "version of the program that trained it."
            )


def _recipe(variant: str, stored: dict[str, Any], detection: dict[str, Any]) -> FaceRecipe:
    rules = stored.get("preparation")
    gray = rules is not None and rules["grayscale"]
    return FaceRecipe(variant, stored["faces"], stored["pack"][1], 1 if gray else 3, rules, detection)


def looks_for_faces(recipe: FaceRecipe, looking: Looking) -> bool:
    """Whether a detector is asked."""
    return looking == "detect" or (looking != "whole" and recipe.detects)


def faces_of(
    views: list[np.ndarray], recipes: tuple[FaceRecipe, ...], looking: Looking, box: Box | None = None
) -> list[Face]:
    """The faces of a picture, cut out by each recipe; all recipes look for faces in the same way.

    `views`: uint8 [H, W] or [H, W, 3], the picture last; before it, for `looking` "one", the photo it was cut from.
    `box`: where the face is, for "one". Left to right; empty where no face was found.
    """
    recipe, picture = recipes[0], views[-1]
    if looking != "one" and looks_for_faces(recipe, looking):
        found = find_in_picture(picture, recipe.finding["detection_threshold"])
        return [_detected(picture, face, recipes) for face in sorted(found, key=lambda face: face.box[0])]
    if looking == "one" and recipe.detects:
        assert recipe.rules is not None
        pixels, crop, _, face = locate(views, box, recipe.rules)
        return [_cut(pixels, crop, face, recipes, box or _all_of(pixels))]
    if recipe.rules is None:
        return [_as_delivered(picture, box, recipes)]
    return [_cut(picture, Crop.around(_all_of(picture)), None, recipes, _all_of(picture))]


def _detected(picture: np.ndarray, face: DetectedFace, recipes: tuple[FaceRecipe, ...]) -> Face:
    return _cut(picture, crop_of(face, recipes[0].finding), face, recipes, face.box)


def _cut(
    picture: np.ndarray, crop: Crop, face: DetectedFace | None, recipes: tuple[FaceRecipe, ...], undetected: Box
) -> Face:
    """`undetected`: what is called the face where none was detected."""
    pixels = tuple(_pixels(picture, crop, recipe) for recipe in recipes)
    return Face(face.box if face else undetected, face.confidence if face else None, crop.angle, pixels)


def _all_of(picture: np.ndarray) -> Box:
    return 0.0, 0.0, float(picture.shape[1]), float(picture.shape[0])


def _pixels(picture: np.ndarray, crop: Crop, recipe: FaceRecipe) -> np.ndarray:
    """A face as its prepared picture would be packed; without rules, cut out at the packed side at once."""
    rules = recipe.rules or {"grayscale": False, "face_size": recipe.side, "save_format": "png"}
    return _packed(_as_saved(cut_face(picture, crop, rules), rules["save_format"]), recipe)


def _as_delivered(picture: np.ndarray, box: Box | None, recipes: tuple[FaceRecipe, ...]) -> Face:
    """The picture or its given box, resized: what variant `raw` is."""
    image = Image.fromarray(picture)
    face = image if box is None else crop_box(image, box)
    return Face(box or _all_of(picture), None, 0.0, tuple(_packed(face, recipe) for recipe in recipes))


def _packed(face: Image.Image, recipe: FaceRecipe) -> np.ndarray:
    return fitted(face, recipe.side, "L" if recipe.channels == 1 else "RGB")


def _as_saved(face: Image.Image, save_format: str) -> Image.Image:
    """The prepared picture as it is read back from its file: JPEG changes pixels."""
    if save_format != "jpeg":
        return face
    from fer.faces.prepared import encode_picture

    stream = io.BytesIO()
    encode_picture(face, stream, "jpeg")
    return Image.open(stream)
