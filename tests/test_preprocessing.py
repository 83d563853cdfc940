"""Promises of preprocessing: golden pictures, the formats asked for, a recipe that holds what shapes pixels."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from face_datasets import (
    face_settings,
    prepare,
    rows_for,
    studio_face,
    table,
)
from PIL import Image, ImageDraw, ImageFilter

from fer.faces.detection import Crop
from fer.settings.settings import Settings
from preprocessing import cut_face, detection_rates, equalised, recipe

RULES = {"grayscale": True, "face_size": 64}


@pytest.fixture
def settings(tmp_path: Path) -> Callable[..., Settings]:
    """`settings(**changes)`: see `face_settings`."""
    return partial(face_settings, tmp_path)


# ---------------------------------------------------------------- golden pictures


def golden_picture() -> Image.Image:
    """A plain face turned by 12 degrees, drawn here so that no other drawing can move it."""
    canvas = Image.new("RGB", (960, 1040), (110, 125, 140))
    draw = ImageDraw.Draw(canvas)
    parts = [
        ((250, 130, 710, 700), (60, 42, 34)),  # hair
        ((380, 640, 580, 1400), (196, 148, 120)),  # neck
        ((290, 200, 670, 800), (222, 176, 146)),  # face
        ((345, 405, 445, 465), (245, 240, 235)),  # eyes
        ((515, 405, 615, 465), (245, 240, 235)),
        ((370, 405, 425, 465), (50, 36, 28)),
        ((540, 405, 595, 465), (50, 36, 28)),
        ((335, 352, 450, 380), (70, 48, 38)),  # brows
        ((510, 352, 625, 380), (70, 48, 38)),
        ((435, 530, 525, 590), (190, 138, 112)),  # nose
        ((390, 640, 570, 720), (160, 70, 66)),  # mouth
        ((395, 632, 565, 690), (222, 176, 146)),
    ]
    for box, colour in parts:
        draw.ellipse(box, fill=colour)
    soft = canvas.filter(ImageFilter.GaussianBlur(8))
    return soft.rotate(-12, Image.Resampling.BICUBIC, fillcolor=(110, 125, 140)).reduce(4)


def summary(pixels: np.ndarray) -> np.ndarray:
    """A picture as 8x8 mean gray levels."""
    return np.asarray(Image.fromarray(pixels).convert("L").resize((8, 8), Image.Resampling.BOX), dtype=int)


def sharpness(pixels: np.ndarray) -> float:
    """Mean step between neighbours in a row, in gray levels: what the means of `summary` cannot see."""
    return float(np.abs(np.diff(pixels.astype(int), axis=1)).mean())


SHARPNESS = {"whole": 3.78, "box": 3.843, "cropped": 2.836}
GOLDEN = {
    "whole": [
        [122, 122, 101, 73, 80, 82, 122, 122],
        [122, 118, 79, 179, 186, 114, 99, 122],
        [122, 103, 124, 153, 170, 149, 84, 122],
        [122, 104, 164, 154, 182, 163, 105, 122],
        [122, 119, 164, 182, 172, 186, 125, 122],
        [122, 122, 156, 178, 178, 178, 125, 122],
        [122, 122, 128, 166, 165, 148, 122, 122],
        [122, 122, 122, 147, 161, 130, 122, 122],
    ],
    "box": [
        [122, 122, 100, 72, 82, 79, 121, 122],
        [122, 118, 79, 179, 186, 120, 94, 122],
        [122, 101, 126, 152, 171, 151, 83, 122],
        [122, 101, 168, 152, 184, 159, 106, 122],
        [122, 117, 167, 181, 172, 186, 126, 122],
        [122, 122, 161, 181, 183, 181, 127, 122],
        [122, 122, 131, 165, 160, 152, 122, 122],
        [122, 122, 122, 150, 164, 129, 122, 122],
    ],
    "cropped": [
        [122, 122, 122, 122, 121, 122, 122, 122],
        [122, 122, 119, 88, 102, 96, 122, 122],
        [122, 122, 97, 151, 177, 104, 122, 122],
        [122, 122, 128, 170, 164, 124, 122, 122],
        [122, 122, 150, 180, 182, 135, 122, 122],
        [122, 122, 134, 166, 164, 124, 122, 122],
        [122, 122, 131, 161, 128, 122, 122, 122],
        [122, 122, 137, 157, 124, 122, 122, 122],
    ],
}


@pytest.mark.slow
@pytest.mark.parametrize("faces", ["whole", "box", "cropped"])
def test_prepared_pixels_of_the_golden_picture(faces: str, tmp_path: Path, settings: Callable[..., Settings]) -> None:
    golden_picture().save(tmp_path / "golden.png")
    box = {"box_left": 60, "box_top": 45, "box_right": 175, "box_bottom": 200} if faces == "box" else {}
    samples = table(tmp_path, ["golden.png"], **box)
    folder, manifest = prepare(samples, tmp_path, faces, settings(FACE_SIZE=96, DETECTION_THRESHOLD=0.7))
    assert manifest["method"][0] == ("given crop" if faces == "cropped" else "detected")
    pixels = np.asarray(Image.open(folder / manifest["file"][0]))
    found, detail = summary(pixels), sharpness(pixels)
    assert np.abs(found - GOLDEN[faces]).max() <= 3 and detail == pytest.approx(SHARPNESS[faces], rel=0.03), (
        f"Prepared pixels changed: raise RECIPE_VERSION and renew GOLDEN, SHARPNESS.\n{found.tolist()} {detail:.3f}"
    )


# ---------------------------------------------------------------- formats


@pytest.mark.slow
@pytest.mark.parametrize(("grayscale", "mode"), [(True, "L"), (False, "RGB")])
@pytest.mark.parametrize(("save_format", "suffix"), [("png", ".png"), ("jpeg", ".jpg")])
def test_mode_and_format_follow_the_settings(
    grayscale: bool, mode: str, save_format: str, suffix: str, tmp_path: Path, settings: Callable[..., Settings]
) -> None:
    studio_face(tmp_path / "face.png")
    chosen = settings(GRAYSCALE=grayscale, SAVE_FORMAT=save_format)
    folder, manifest = prepare(table(tmp_path, ["face.png"]), tmp_path, "cropped", chosen)
    picture = Image.open(folder / manifest["file"][0])
    assert (picture.mode, picture.size, Path(manifest["file"][0]).suffix) == (mode, (48, 48), suffix)


@pytest.mark.parametrize(("slope", "offset"), [(1.0, 0.0), (0.5, 20.0), (1.3, -40.0)])
def test_equalised_faces_have_flat_histograms_however_they_were_lit(slope: float, offset: float) -> None:
    levels = np.random.default_rng(0).normal(120, 20, (64, 64))
    lit = (levels * slope + offset).round().clip(0, 255).astype(np.uint8)
    square = Crop.around((0.0, 0.0, 64.0, 64.0))
    flat = np.asarray(cut_face(lit, square, RULES | {"contrast": "equalised"}))
    assert np.allclose(np.percentile(flat, [10, 25, 50, 75, 90]), [26, 64, 128, 191, 230], atol=8)
    assert np.array_equal(cut_face(lit, square, RULES), lit)


def test_equalised_colours_keep_their_hue() -> None:
    red = np.zeros((32, 32, 3), dtype=np.uint8)
    red[..., 0] = np.linspace(60, 120, 32)
    red[..., 1:] = red[..., :1] // 2
    flat = np.asarray(equalised(Image.fromarray(red))).astype(int)
    assert flat[..., 0].max() - flat[..., 0].min() > 150
    assert (flat[..., 0] >= flat[..., 1]).all() and np.abs(flat[..., 1] - flat[..., 2]).max() <= 3


def test_recipe_names_what_shapes_pixels_and_nothing_else(settings: Callable[..., Settings]) -> None:
    row, base = rows_for("whole"), recipe(settings(), rows_for("whole"))
    shaping = {
        "FACE_SIZE": 64, "CROP_MARGIN": 0.1, "ALIGN": False, "GRAYSCALE": False, "FACE_POLICY": "largest",
        "DETECTION_THRESHOLD": 0.8, "SAVE_FORMAT": "jpeg", "CONTRAST": "equalised",
    }  # fmt: skip
    for name, value in shaping.items():
        assert recipe(settings(**{name: value}), row) != base, name
    for name, value in {"NO_FACE": "reject", "WORKERS": 3, "EPOCHS": 7, "SPLIT_SEED": 1}.items():
        assert recipe(settings(**{name: value}), row) == base, name
    cropped = recipe(settings(), rows_for("cropped"))
    assert cropped == recipe(settings(CROP_MARGIN=0.5, ALIGN=False, FACE_POLICY="largest"), rows_for("cropped"))
    elsewhere = row.model_copy(update={"path": "elsewhere"})
    assert recipe(settings(), elsewhere) == base


def test_detection_rates_count_methods_per_split_and_class() -> None:
    manifest = pd.DataFrame(
        {
            "split": ["train"] * 4 + ["test"], "label": [0, 0, 0, 3, 3],
            "method": ["detected", "detected", "whole picture", "box", "given crop"],
            "found": [True, True, False, True, True], "beyond": [0.0, 0.2, np.nan, 0.005, 0.3],
        }
    )  # fmt: skip
    rates = {(row["split"], row["emotion"]): row for row in detection_rates(manifest).to_dict("records")}
    angry = rates["train", "angry"]
    assert (angry["n"], angry["detected"], angry["whole picture"]) == (3, 2, 1)
    assert angry["rate"] == pytest.approx(2 / 3)
    assert rates["train", "all"]["rate"] == pytest.approx(0.5)
    assert rates["train", "happy"]["rate"] == 0
    assert [rates["train", emotion]["mirrored"] for emotion in ("angry", "happy", "all")] == [1, 0, 1]
    assert np.isnan(rates["test", "happy"]["rate"])  # a cropped set: nothing was to be detected
