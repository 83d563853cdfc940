"""Variant `preprocessed`: every face found, levelled, cropped, resized and saved once.

`datasets/preprocessed_<name>/<split>/<class>/<stem>[_<face>].png`, made by the rules of `recipe`; split and
class are those of the study that first prepared the picture, and other splits use it where it lies. How a
dataset's pictures hold faces is its row's `faces`:

- "whole": MTCNN looks in the whole photo where the dataset has one, else in the picture itself. Without a
  detection the picture is taken as delivered: the given box, or all of it as a square.
- "box": MTCNN looks around the given box; a detection that agrees with it is used, else the box itself,
  so that every row gives a face. A row without a box is treated as "whole".
- "cropped": the picture is the face; it is only resized and turned gray.

Every picture is saved at FACE_SIZE, also where its source is smaller: `crop_right - crop_left` is the side
in source pixels, beyond which a saved picture shows nothing new.
"""

from __future__ import annotations

from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image, ImageOps

from fer.data.decoding import prepared_contents
from fer.faces.detection import Box, Crop, DetectedFace, choose_face, cut_out, eye_angle, find_in_picture, find_near_box
from fer.faces.prepared import Job, Row, make_or_load, picture_stem
from fer.layouts.emotions import ALL_EMOTIONS
from fer.layouts.label_sheets import BOX_COLUMNS
from fer.layouts.pictures import UnreadablePicture, open_picture
from fer.settings.settings import DatasetRow, Settings
from utils import InputError, log

# Raise when prepared pixels change for the same settings, beyond the tolerance of the golden picture's test.
RECIPE_VERSION = 2  # 1 repeated the edge pixels of a picture that a crop leaves; now the picture is mirrored there

CROP = ["crop_left", "crop_top", "crop_right", "crop_bottom"]
MANIFEST = [
    "sample_id", "split", "label", "content", "source", "file", "found", "method", "confidence",
    *CROP, "angle", "beyond", "reason",
]  # fmt: skip
SEEN_BEYOND = 0.01  # share of a crop outside its picture, above which it counts as mirrored: less is hardly seen
DETECTED, GIVEN_BOX, GIVEN_CROP, WHOLE_PICTURE = "detected", "box", "given crop", "whole picture"


# ---------------------------------------------------------------- recipe


def recipe(settings: Settings, row: DatasetRow) -> dict[str, Any]:
    """All that shapes the prepared pixels of a dataset, as plain values; what does not apply is left out.

    Part of run keys, so it holds no paths. NO_FACE is not in it: it chooses rows, not pixels.
    """
    rules: dict[str, Any] = {
        "version": RECIPE_VERSION,
        "faces": row.faces,
        "face_size": settings.face_size,
        "grayscale": settings.grayscale,
        "save_format": settings.save_format,
    }
    if settings.contrast != "as_delivered":
        rules["contrast"] = settings.contrast
    if row.faces != "cropped":
        rules |= {
            "detector": "mtcnn",
            "detection_threshold": settings.detection_threshold,
            "face_policy": settings.face_policy,
            "crop_margin": settings.crop_margin,
            "align": settings.align,
        }
    return rules


# ---------------------------------------------------------------- all faces of a dataset


def preprocess_or_load(
    samples: pd.DataFrame, root: Path, row: DatasetRow, settings: Settings, name: str
) -> tuple[Path, pd.DataFrame]:
    """Prepare the faces of `samples` that are not prepared yet; returns their folder and manifest.

    The manifest has one row a sample, in the same order: sample_id, split, label, content, source (the
    picture it is named after), file (posix path inside the folder, "" if there is none), found (detected,
    given by its box, or delivered as a crop), method ("detected", "box", "given crop", "whole picture";
    "unreadable" or "failed" without a file), confidence (of the detector, NaN without one), crop_left …
    crop_bottom (the square, upright, in source pixels), angle (degrees it is turned clockwise), beyond (the
    share of the turned square outside its picture, filled with the picture mirrored), reason (why there is no
    file, or why the whole photo was not used; else "").

    Raises InputError where a folder is damaged or no picture at all could be prepared.
    """
    job = Job(
        base=settings.datasets_path / f"preprocessed_{name}",
        recipe=recipe(settings, row),
        wanted=_wanted(samples),
        make=partial(prepare_face, root=root, rules=recipe(settings, row)),
        save_format=settings.save_format,
        workers=settings.workers,
        what=f"preparing {name}",
    )
    folder, manifest = make_or_load(job)
    manifest = manifest.assign(split=samples["split"].to_numpy(), label=samples["label"].to_numpy())
    manifest = manifest.reindex(columns=MANIFEST)
    manifest["found"] = manifest["found"].eq(True)
    lost = manifest["file"] == ""
    if len(manifest) and lost.all():
        raise InputError(f"{name}: none of {len(manifest)} pictures could be prepared: {manifest['reason'][0]}.")
    if lost.any():
        log.warning("%s: %d of %d pictures could not be prepared", name, lost.sum(), len(manifest))
    return folder, manifest


def _wanted(samples: pd.DataFrame) -> pd.DataFrame:
    table = samples[["sample_id", "split", "label", "path", "original_path", *BOX_COLUMNS]].assign(
        content=prepared_contents(samples)
    )
    classes = table["label"].map(dict(enumerate(ALL_EMOTIONS)))
    return table.assign(
        source=table["original_path"].where(table["original_path"] != "", table["path"]),
        folder=table["split"] + "/" + classes,
        stem=table["sample_id"].map(picture_stem),
    )


def detection_rates(manifest: pd.DataFrame) -> pd.DataFrame:
    """How faces were found, per split and class: columns split, label, emotion, n, one per method, rate, mirrored.

    `rate` is the share detected among the pictures in which detection was tried, NaN where it never was
    (cropped sets); `mirrored` counts crops that reach beyond their picture. A row with label -1 and emotion
    "all" sums up each split.
    """
    tables = [manifest, manifest.assign(label=-1)]
    rows = pd.concat(tables).assign(tried=lambda t: ~((t["method"] == GIVEN_CROP) & t["found"]))
    methods = [DETECTED, GIVEN_BOX, GIVEN_CROP, WHOLE_PICTURE, "unreadable", "failed"]
    counts = pd.crosstab([rows["split"], rows["label"]], rows["method"]).reindex(columns=methods, fill_value=0)
    tried = rows.groupby(["split", "label"])["tried"].sum()
    counts.insert(0, "n", counts.sum(axis=1))
    counts["rate"] = counts[DETECTED] / tried.where(tried > 0)
    counts["mirrored"] = (rows["beyond"] > SEEN_BEYOND).groupby([rows["split"], rows["label"]]).sum()
    counts = counts.rename_axis(columns=None).reset_index()
    counts.insert(2, "emotion", counts["label"].map({-1: "all", **dict(enumerate(ALL_EMOTIONS))}))
    return counts


# ---------------------------------------------------------------- one face


def prepare_face(sample: Row, root: Path, rules: dict[str, Any]) -> tuple[Image.Image, Row]:
    """One sample as a prepared picture (mode "L" when gray, else that of its source) and its manifest facts.

    `sample` has path, original_path and the four box columns; `rules` are those of `recipe`.
    Raises UnreadablePicture.
    """
    views, reason = _pictures(sample, root, rules)
    pixels, crop, method, face = locate(views, _box_of(sample), rules)
    facts = {
        "found": face is not None or method == GIVEN_BOX or rules["faces"] == "cropped",
        "method": method,
        "confidence": face.confidence if face else float("nan"),
        **dict(zip(CROP, crop.box, strict=True)),
        "angle": crop.angle,
        "beyond": crop.beyond(pixels.shape[1], pixels.shape[0]),
        "reason": reason,
    }
    return cut_face(pixels, crop, rules), facts


def cut_face(pixels: np.ndarray, crop: Crop, rules: dict[str, Any]) -> Image.Image:
    """The face in `crop` at the side of `rules`: mode "L" when these are gray, else that of its source."""
    if rules["grayscale"] and pixels.ndim == 3:
        pixels = np.asarray(Image.fromarray(pixels).convert("L"))
    face = Image.fromarray(cut_out(pixels, crop, rules["face_size"]))
    return equalised(face) if rules.get("contrast") == "equalised" else face


def equalised(face: Image.Image) -> Image.Image:
    """The face with every brightness as frequent as any other (histogram equalisation); colours keep their hue."""
    if face.mode == "L":
        return ImageOps.equalize(face)
    luma, *chroma = face.convert("YCbCr").split()
    return Image.merge("YCbCr", (ImageOps.equalize(luma), *chroma)).convert(face.mode)


def _box_of(sample: Row) -> Box | None:
    left, top, right, bottom = (float(sample[edge]) for edge in BOX_COLUMNS)
    return None if np.isnan([left, top, right, bottom]).any() else (left, top, right, bottom)


def _pictures(sample: Row, root: Path, rules: dict[str, Any]) -> tuple[list[np.ndarray], str]:
    """The whole photo if there is one and faces are to be found in it, then the picture as delivered.

    A photo that cannot be read is passed over, since the face itself is there; the text says so.
    """
    delivered = _pixels(root, sample["path"])
    if rules["faces"] != "whole" or not sample["original_path"]:
        return [delivered], ""
    try:
        return [_pixels(root, sample["original_path"]), delivered], ""
    except UnreadablePicture as error:
        return [delivered], f"{sample['original_path']} not used: {error}"


@lru_cache(maxsize=2)
def _pixels(root: Path, path: str) -> np.ndarray:
    """uint8 [H, W] or [H, W, 3]; kept for the next face of the same photo."""
    return np.asarray(open_picture(root, path))


def locate(
    views: list[np.ndarray], box: Box | None, rules: dict[str, Any]
) -> tuple[np.ndarray, Crop, str, DetectedFace | None]:
    """The picture to cut from, where to cut, how that was found, and the detection if there was one.

    `views`: the whole photo if faces are looked for in it, then the picture as delivered; uint8 [H, W] or [H, W, 3].
    """
    delivered = views[-1]
    if rules["faces"] == "cropped":
        return delivered, _all_of(delivered), GIVEN_CROP, None
    for pixels in views:
        face = _find(pixels, box if pixels is delivered else None, rules)
        if face is not None:
            return pixels, crop_of(face, rules), DETECTED, face
    if box is not None:
        return delivered, Crop.around(box, rules["crop_margin"]), GIVEN_BOX, None
    return delivered, _all_of(delivered), WHOLE_PICTURE if len(views) == 1 else GIVEN_CROP, None


def crop_of(face: DetectedFace, rules: dict[str, Any]) -> Crop:
    """The square that is cut out for a detected face: with its margin, levelled where `rules` align."""
    return Crop.around(face.box, rules["crop_margin"], eye_angle(face) if rules["align"] else 0.0)


def _find(pixels: np.ndarray, box: Box | None, rules: dict[str, Any]) -> DetectedFace | None:
    left, top, right, bottom = box or (0, 0, pixels.shape[1], pixels.shape[0])
    if box is not None and rules["faces"] == "box":
        faces = find_near_box(pixels, box, rules["detection_threshold"])
    else:
        faces = find_in_picture(pixels, rules["detection_threshold"])
    return choose_face(faces, rules["face_policy"], ((left + right) / 2, (top + bottom) / 2), box)


def _all_of(pixels: np.ndarray) -> Crop:
    return Crop.around((0, 0, pixels.shape[1], pixels.shape[0]))
