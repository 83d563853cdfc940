"""Promises of detection: the right face of several, cut out level and sharp."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from face_datasets import (
    HAPPY,
    face_settings,
    prepare,
    studio_face,
    table,
)
from PIL import Image

import preprocessing
from fer.faces.detection import (
    Crop,
    DetectedFace,
    agree,
    choose_face,
    cut_out,
    eye_angle,
    find_in_picture,
    overlap,
    pyramid_start,
)
from fer.sample_faces.scenes import wild_picture
from fer.settings.settings import Settings


@pytest.fixture
def settings(tmp_path: Path) -> Callable[..., Settings]:
    """`settings(**changes)`: see `face_settings`."""
    return partial(face_settings, tmp_path)


# ---------------------------------------------------------------- detection and cutting out


@pytest.mark.slow
def test_eyes_are_level_after_alignment_and_only_then(tmp_path: Path, settings: Callable[..., Settings]) -> None:
    for turned in (-25, 20):
        studio_face(tmp_path / f"{turned}.png", seed=9, turned=turned)
    samples = table(tmp_path, ["-25.png", "20.png"])
    for align, least, most in ((True, 0.0, 5.0), (False, 12.0, 35.0)):  # MTCNN is that unsure of drawn eyes
        folder, manifest = prepare(samples, tmp_path, "whole", settings(FACE_SIZE=160, ALIGN=align))
        assert list(manifest["method"]) == ["detected", "detected"]
        for file in manifest["file"]:
            (face,) = find_in_picture(np.asarray(Image.open(folder / file)), 0.9)
            assert least <= abs(eye_angle(face)) <= most


def test_a_crop_of_the_same_size_is_unchanged() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    assert (cut_out(pixels, Crop.around((20, 5, 60, 45)), 40) == pixels[5:45, 20:60]).all()
    assert (cut_out(pixels[..., 0], Crop.around((0, 0, 60, 60)), 60) == pixels[:60, :60, 0]).all()


@pytest.mark.parametrize("angle", [0.0, 11.0])
def test_shrinking_averages_instead_of_skipping_pixels(angle: float) -> None:
    stripes = np.tile(np.array([0, 255], dtype=np.uint8), (480, 240))
    small = cut_out(stripes, Crop(240, 240, 300, angle), 30).astype(int)
    assert abs(small - 127).max() <= 20


def test_a_turned_crop_follows_the_picture() -> None:
    """A bright bar at 30 degrees stands level in a crop turned by 30 degrees."""
    import cv2

    pixels = np.zeros((200, 200), dtype=np.uint8)
    turn = np.radians(30)
    along = np.array([np.cos(turn), np.sin(turn)]) * 80
    ends = [tuple(np.round((100, 100) + sign * along).astype(int).tolist()) for sign in (-1, 1)]
    cv2.line(pixels, ends[0], ends[1], 255, 9)
    level = cut_out(pixels, Crop(100, 100, 100, 30.0), 50)
    assert level[23:27].min() > 200
    assert level[:18].max() < 30
    assert level[32:].max() < 30


def test_beyond_its_edge_a_picture_is_mirrored() -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (40, 40), dtype=np.uint8)
    crop = cut_out(pixels, Crop.around((-10, 0, 30, 40)), 40)
    assert (crop[:, 10:] == pixels[:, :30]).all()
    assert (crop[:, :10] == pixels[:, 10:0:-1]).all()


def test_the_share_of_a_crop_outside_its_picture() -> None:
    assert Crop(50, 50, 40).beyond(100, 100) == pytest.approx(0)
    assert Crop(0, 50, 40).beyond(100, 100) == pytest.approx(0.5)
    assert Crop(0, 0, 40, 30).beyond(100, 100) == pytest.approx(0.75, abs=0.001)
    assert Crop(50, 50, 100, 45).beyond(100, 100) == pytest.approx(1 - 2 * (np.sqrt(2) - 1), abs=0.001)
    assert Crop(-50, 50, 20).beyond(100, 100) == pytest.approx(1)


def test_crop_margin_is_a_share_of_the_longer_side() -> None:
    crop = Crop.around((10, 20, 50, 100), margin=0.25)
    assert crop.box == pytest.approx((-20, 10, 80, 110))


@pytest.mark.slow
@pytest.mark.parametrize("size", [(8, 8), (10, 12), (19, 300), (27, 40), (8, 4000)])
def test_pictures_too_small_for_mtcnn_are_taken_whole(
    size: tuple[int, int], tmp_path: Path, settings: Callable[..., Settings]
) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, size, dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "small.png")
    folder, manifest = prepare(table(tmp_path, ["small.png"]), tmp_path, "whole", settings())
    assert manifest["method"][0] == "whole picture"
    assert not manifest["found"][0]
    assert Image.open(folder / manifest["file"][0]).size == (48, 48)


def test_a_small_box_in_a_small_picture_is_used_without_detection(
    tmp_path: Path, settings: Callable[..., Settings]
) -> None:
    Image.fromarray(np.zeros((12, 300), dtype=np.uint8)).save(tmp_path / "strip.png")
    samples = table(tmp_path, ["strip.png"], box_left=0, box_top=0, box_right=9, box_bottom=200)
    assert list(prepare(samples, tmp_path, "box", settings())[1]["method"]) == ["box"]


@pytest.mark.parametrize(("smallest", "start"), [(5, 20), (20, 20), (28, 20), (28.3, 28.2), (42.7, 39.8)])
def test_the_pyramid_starts_on_one_of_its_own_steps(smallest: float, start: float) -> None:
    assert pyramid_start(smallest) == pytest.approx(start, abs=0.05)


# ---------------------------------------------------------------- which of several faces


def a_face(left: float, top: float, side: float) -> DetectedFace:
    return DetectedFace((left, top, left + side, top + side), 0.99, ((0, 0), (1, 0)))


def test_the_policy_chooses_among_faces() -> None:
    large, central, matching = a_face(0, 0, 90), a_face(130, 130, 40), a_face(220, 20, 50)
    faces, centre, box = [large, central, matching], (150.0, 150.0), (215.0, 15.0, 275.0, 75.0)
    assert choose_face(faces, "largest", centre, box) is large
    assert choose_face(faces, "central", centre, box) is central
    assert choose_face(faces, "box", centre, box) is matching
    assert choose_face(faces, "box", centre, None) is central
    assert choose_face([], "box", centre, box) is None


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ((105, 95, 195, 205), True),  # nearly the same
        ((130, 130, 180, 180), True),  # same centre, a quarter of the area
        ((140, 140, 160, 160), False),  # same centre, far too small
        ((180, 100, 280, 200), False),  # the neighbour
        ((300, 300, 400, 400), False),
    ],
)
def test_agreement_of_a_detection_with_the_given_box(found: Any, expected: bool) -> None:
    assert agree(found, (100, 100, 200, 200)) is expected


@pytest.mark.slow
def test_each_given_box_gets_its_own_face(tmp_path: Path, settings: Callable[..., Settings]) -> None:
    pixels, faces = wild_picture(np.random.default_rng(2), [HAPPY, 0, 4])
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    boxes = dict(
        zip(("box_left", "box_top", "box_right", "box_bottom"), zip(*[f.box for f in faces], strict=True), strict=True)
    )
    samples = table(tmp_path, ["photo.png"] * 3, sample_id=[f"set/photo.png#{i}" for i in range(3)], **boxes)
    _, manifest = prepare(samples, tmp_path, "box", settings())
    assert (manifest["method"] == "detected").all()
    for number, face in enumerate(faces):
        square = tuple(manifest.loc[number, ["crop_left", "crop_top", "crop_right", "crop_bottom"]])
        others = [overlap(square, other.box) for other in faces if other is not face]
        assert overlap(square, face.box) > 2 * max(others)
    assert sorted(manifest["file"]) == [f"train/happy/photo_{i}.png" for i in range(3)]


def test_a_box_no_detection_agrees_with_is_used_itself(tmp_path: Path, settings: Callable[..., Settings]) -> None:
    studio_face(tmp_path / "face.png")
    corner = {"box_left": 0, "box_top": 0, "box_right": 40, "box_bottom": 50}
    _, manifest = prepare(table(tmp_path, ["face.png"], **corner), tmp_path, "box", settings(CROP_MARGIN=0.0))
    assert list(manifest["method"]) == ["box"]
    assert manifest["found"][0]
    assert tuple(manifest.loc[0, preprocessing.CROP]) == pytest.approx((-5, 0, 45, 50))


def test_a_row_without_a_box_is_searched_whole(tmp_path: Path, settings: Callable[..., Settings]) -> None:
    studio_face(tmp_path / "face.png")
    _, manifest = prepare(table(tmp_path, ["face.png"]), tmp_path, "box", settings())
    assert list(manifest["method"]) == ["detected"]


@pytest.mark.slow
def test_the_whole_photo_comes_before_the_aligned_crop(tmp_path: Path, settings: Callable[..., Settings]) -> None:
    studio_face(tmp_path / "photo.png")
    Image.new("RGB", (200, 200), "gray").save(tmp_path / "empty.png")
    (tmp_path / "broken.png").write_bytes(b"no picture")
    crop = Image.open(tmp_path / "photo.png").crop((40, 20, 230, 250)).resize((100, 100))
    crop.save(tmp_path / "crop.png")
    Image.new("RGB", (100, 100), "gray").save(tmp_path / "blank.png")
    samples = table(
        tmp_path, ["crop.png", "crop.png", "crop.png", "blank.png"],
        sample_id=[f"set/{name}.png" for name in "abcd"],
        original_path=["photo.png", "empty.png", "broken.png", "empty.png"],
    )  # fmt: skip
    _, manifest = prepare(samples, tmp_path, "whole", settings())
    assert list(manifest["method"]) == ["detected", "detected", "detected", "given crop"]
    sides = manifest["crop_right"] - manifest["crop_left"]
    assert sides[0] > 1.4 * sides[1]  # pixels of the photo, not of the shrunken crop
    assert "broken.png not used" in manifest["reason"][2]
    assert list(manifest["found"]) == [True, True, True, False]
