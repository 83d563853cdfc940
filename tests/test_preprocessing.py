"""Promises of preprocessing: the right face, cut out level and sharp, saved once, whatever happens meanwhile."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageFilter

import prepared
import preprocessing
from detection import (
    Crop,
    Face,
    agree,
    choose_face,
    cut_out,
    eye_angle,
    find_in_picture,
    overlap,
    pyramid_start,
)
from pictures import content_hash, open_picture
from preprocessing import detection_rates, preprocess_or_load, recipe
from sample_faces import STUDIO, draw_face, wild_picture
from settings import DatasetRow, Settings, check_settings
from utils import InputError

PROJECT = Path(preprocessing.__file__).parent
HAPPY = 3


# ---------------------------------------------------------------- small datasets


@pytest.fixture
def settings(tmp_path: Path) -> Callable[..., Settings]:
    """Settings that prepare small faces under `tmp_path`, in this process."""

    def make(**changes: Any) -> Settings:
        values = {"DATASETS_DIR": str(tmp_path / "prepared"), "FACE_SIZE": 48, "WORKERS": 0}
        return check_settings(values | changes)

    return make


def rows_for(faces: str) -> DatasetRow:
    return DatasetRow(path="any", layout="expw", faces=faces)  # type: ignore[arg-type]


def table(root: Path, paths: list[str], **columns: Any) -> pd.DataFrame:
    """Samples of pictures below `root`; columns given override the defaults."""
    base: dict[str, Any] = {
        "sample_id": [f"set/{path}" for path in paths], "path": paths, "original_path": "", "label": HAPPY,
        "dataset": "set", "split": "train",
        "content": [content_hash(open_picture(root, path)) for path in paths],
        "box_left": np.nan, "box_top": np.nan, "box_right": np.nan, "box_bottom": np.nan,
    }  # fmt: skip
    return pd.DataFrame(base | columns)


def noise_pictures(root: Path, count: int, side: int = 48) -> pd.DataFrame:
    """Samples of gray noise: for everything but detection."""
    root.mkdir(exist_ok=True)
    for number in range(count):
        pixels = np.random.default_rng(number).integers(0, 256, (side, side), dtype=np.uint8)
        Image.fromarray(pixels).save(root / f"{number:03d}.png")
    return table(root, [f"{number:03d}.png" for number in range(count)])


def prepare(samples: pd.DataFrame, root: Path, faces: str, settings: Settings) -> tuple[Path, pd.DataFrame]:
    return preprocess_or_load(samples, root, rows_for(faces), settings, "set")


def files_below(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*.png")}


def forbid_work(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("a picture was made again")

    monkeypatch.setattr(preprocessing, "prepare_face", refuse)
    monkeypatch.setattr(prepared, "_make_missing", refuse)


def studio_face(path: Path, seed: int = 3, turned: float = 0.0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = draw_face(np.random.default_rng(seed), HAPPY, STUDIO)
    picture.rotate(turned, resample=Image.Resampling.BICUBIC, fillcolor=(120, 120, 120)).save(path)
    return path


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


# ---------------------------------------------------------------- detection and cutting out


def test_eyes_are_level_after_alignment_and_only_then(tmp_path: Path, settings: Callable[..., Settings]) -> None:
    for turned in (-25, 20):
        studio_face(tmp_path / f"{turned}.png", turned=turned)
    samples = table(tmp_path, ["-25.png", "20.png"])
    for align, least, most in ((True, 0.0, 3.0), (False, 12.0, 35.0)):
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


def test_crop_margin_is_a_share_of_the_longer_side() -> None:
    crop = Crop.around((10, 20, 50, 100), margin=0.25)
    assert crop.box == pytest.approx((-20, 10, 80, 110))


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


def a_face(left: float, top: float, side: float) -> Face:
    return Face((left, top, left + side, top + side), 0.99, ((0, 0), (1, 0)))


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


# ---------------------------------------------------------------- formats


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


def test_recipe_names_what_shapes_pixels_and_nothing_else(settings: Callable[..., Settings]) -> None:
    row, base = rows_for("whole"), recipe(settings(), rows_for("whole"))
    shaping = {
        "FACE_SIZE": 64, "CROP_MARGIN": 0.1, "ALIGN": False, "GRAYSCALE": False, "FACE_POLICY": "largest",
        "DETECTION_THRESHOLD": 0.8, "SAVE_FORMAT": "jpeg",
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
            "found": [True, True, False, True, True],
        }
    )  # fmt: skip
    rates = {(row["split"], row["emotion"]): row for row in detection_rates(manifest).to_dict("records")}
    angry = rates["train", "angry"]
    assert (angry["n"], angry["detected"], angry["whole picture"]) == (3, 2, 1)
    assert angry["rate"] == pytest.approx(2 / 3)
    assert rates["train", "all"]["rate"] == pytest.approx(0.5)
    assert rates["train", "happy"]["rate"] == 0
    assert np.isnan(rates["test", "happy"]["rate"])  # a cropped set: nothing was to be detected


# ---------------------------------------------------------------- nothing twice, nothing lost


def test_a_second_call_makes_nothing_and_gives_the_same_manifest(
    tmp_path: Path, settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    samples = noise_pictures(tmp_path / "in", 5)
    folder, first = prepare(samples, tmp_path / "in", "cropped", settings())
    forbid_work(monkeypatch)
    again, second = prepare(samples, tmp_path / "in", "cropped", settings())
    assert again == folder == tmp_path / "prepared" / "preprocessed_set"
    pd.testing.assert_frame_equal(first, second)
    backwards = prepare(samples[::-1], tmp_path / "in", "cropped", settings())[1]
    assert list(backwards["sample_id"]) == list(samples["sample_id"][::-1])


def test_another_recipe_goes_to_another_folder(
    tmp_path: Path, settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    samples = noise_pictures(tmp_path / "in", 3)
    first, _ = prepare(samples, tmp_path / "in", "cropped", settings())
    before = files_below(first)
    other, _ = prepare(samples, tmp_path / "in", "cropped", settings(FACE_SIZE=32))
    assert other.parent == first.parent
    assert other.name.startswith("preprocessed_set__")
    assert len(other.name) == len("preprocessed_set__") + 6
    assert files_below(first) == before
    forbid_work(monkeypatch)
    assert prepare(samples, tmp_path / "in", "cropped", settings())[0] == first
    assert prepare(samples, tmp_path / "in", "cropped", settings(FACE_SIZE=32))[0] == other


def test_a_folder_of_somebody_else_is_left_alone(tmp_path: Path, settings: Callable[..., Settings]) -> None:
    samples = noise_pictures(tmp_path / "in", 2)
    foreign = tmp_path / "prepared" / "preprocessed_set" / "train" / "happy" / "000.png"
    foreign.parent.mkdir(parents=True)
    foreign.write_bytes(b"mine")
    folder, _ = prepare(samples, tmp_path / "in", "cropped", settings())
    assert folder.name != "preprocessed_set"
    assert foreign.read_bytes() == b"mine"


def test_only_changed_new_or_deleted_pictures_are_made_again(
    tmp_path: Path, settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "in"
    noise_pictures(root, 6)
    folder, manifest = prepare(table(root, [f"{n:03d}.png" for n in range(5)]), root, "cropped", settings())
    Image.new("L", (48, 48), 77).save(root / "001.png")
    (folder / manifest["file"][3]).unlink()
    made = []
    original = preprocessing.prepare_face

    def noting(sample: prepared.Row, **rest: Any) -> Any:
        made.append(sample["sample_id"])
        return original(sample, **rest)

    monkeypatch.setattr(preprocessing, "prepare_face", noting)
    _, manifest = prepare(table(root, [f"{n:03d}.png" for n in range(6)]), root, "cropped", settings())
    assert made == ["set/001.png", "set/003.png", "set/005.png"]
    assert np.asarray(Image.open(folder / manifest["file"][1])).mean() == 77


def test_a_new_split_copies_pictures_instead_of_making_them(
    tmp_path: Path, settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    samples = noise_pictures(tmp_path / "in", 4)
    folder, before = prepare(samples, tmp_path / "in", "cropped", settings())

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("a picture was made again")

    monkeypatch.setattr(preprocessing, "prepare_face", refuse)
    moved = samples.assign(split=["train", "val", "val", "test"])
    _, after = prepare(moved, tmp_path / "in", "cropped", settings())
    assert list(after["file"].str.split("/").str[0]) == ["train", "val", "val", "test"]
    for old, new in zip(before["file"], after["file"], strict=True):
        assert (folder / old).read_bytes() == (folder / new).read_bytes()
    columns = ["found", "method", "crop_left", "crop_right"]
    pd.testing.assert_frame_equal(before[columns], after[columns])


KILLED = """
import os, signal, sys
from pathlib import Path
import pandas as pd
import prepared, preprocessing
from settings import DatasetRow, check_settings
root, target, after, noted = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
prepared.NOTED_EVERY = noted
save, count = prepared.save_picture, 0
def save_and_die(picture, path, save_format):
    global count
    if count == after:
        os.kill(os.getpid(), signal.SIGKILL)
    count += 1
    save(picture, path, save_format)
prepared.save_picture = save_and_die
samples = pd.read_csv(root / "samples.csv", keep_default_na=False, na_values={c: [""] for c in preprocessing.BOX})
settings = check_settings({"DATASETS_DIR": target, "FACE_SIZE": 48, "WORKERS": 0})
row = DatasetRow(path="any", layout="expw", faces="cropped")
preprocessing.preprocess_or_load(samples, root, row, settings, "set")
"""


@pytest.mark.parametrize(("after", "noted"), [(0, 4), (3, 4), (11, 4), (13, 200)])
def test_a_killed_process_is_continued_to_the_same_files(
    after: int, noted: int, tmp_path: Path, settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "in"
    samples = noise_pictures(root, 20)
    samples.to_csv(root / "samples.csv", index=False)
    command = [sys.executable, "-c", KILLED, str(root), str(tmp_path / "prepared"), str(after), str(noted)]
    process = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)
    assert process.returncode == -signal.SIGKILL, process.stderr
    folder = tmp_path / "prepared" / "preprocessed_set"
    done = set(prepared.read_manifest(folder)["sample_id"])
    assert len(done) == after // noted * noted
    (folder / ".partial-of-the-killed.png").write_bytes(b"half")
    made = []
    original = preprocessing.prepare_face

    def noting(sample: prepared.Row, **rest: Any) -> Any:
        made.append(sample["sample_id"])
        return original(sample, **rest)

    monkeypatch.setattr(preprocessing, "prepare_face", noting)
    prepare(samples, root, "cropped", settings())
    assert sorted(made) == sorted(set(samples["sample_id"]) - done)
    undisturbed, _ = prepare(samples, root, "cropped", settings(DATASETS_DIR=str(tmp_path / "other")))
    assert files_below(folder) == files_below(undisturbed)
    assert not list(folder.rglob(".partial-*"))
    assert not list(folder.glob("manifest-*.csv"))


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(errno.ENOSPC, "No space left on device")])
def test_ctrl_c_and_a_full_disk_keep_what_is_finished(
    error: BaseException, tmp_path: Path, settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    samples = noise_pictures(tmp_path / "in", 9)
    save = prepared.save_picture

    def failing(picture: Image.Image, path: Path, save_format: Any) -> None:
        if path.name == "006.png":
            raise error
        save(picture, path, save_format)

    monkeypatch.setattr(prepared, "save_picture", failing)
    with pytest.raises(type(error)):
        prepare(samples, tmp_path / "in", "cropped", settings())
    noted = prepared.read_manifest(tmp_path / "prepared" / "preprocessed_set")
    assert list(noted["sample_id"]) == list(samples["sample_id"][:6])
    monkeypatch.setattr(prepared, "save_picture", save)
    _, manifest = prepare(samples, tmp_path / "in", "cropped", settings())
    assert (manifest["method"] == "given crop").all()


def test_a_broken_picture_is_recorded_and_the_others_are_made(
    tmp_path: Path, settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "in"
    samples = noise_pictures(root, 4)
    whole = (root / "002.png").read_bytes()
    (root / "002.png").write_bytes(whole[: len(whole) // 2])
    _, manifest = prepare(samples, root, "cropped", settings())
    assert list(manifest["method"]) == ["given crop", "given crop", "unreadable", "given crop"]
    assert (manifest["file"][2], bool(manifest["found"][2])) == ("", False)
    assert manifest["reason"][2]
    forbid_work(monkeypatch)
    assert prepare(samples, root, "cropped", settings())[1]["reason"][2] == manifest["reason"][2]


def test_another_failure_is_recorded_and_tried_again(
    tmp_path: Path, settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    samples = noise_pictures(tmp_path / "in", 3)
    original = preprocessing.prepare_face

    def fail_once(sample: prepared.Row, **rest: Any) -> Any:
        if sample["path"] == "001.png":
            raise RuntimeError("a detector's bad day")
        return original(sample, **rest)

    monkeypatch.setattr(preprocessing, "prepare_face", fail_once)
    _, manifest = prepare(samples, tmp_path / "in", "cropped", settings())
    assert manifest["method"][1] == "failed"
    assert "a detector's bad day" in manifest["reason"][1]
    monkeypatch.setattr(preprocessing, "prepare_face", original)
    _, manifest = prepare(samples, tmp_path / "in", "cropped", settings())
    assert (manifest["method"] == "given crop").all()


def test_no_picture_at_all_is_an_error(tmp_path: Path, settings: Callable[..., Settings]) -> None:
    root = tmp_path / "in"
    samples = noise_pictures(root, 2)
    for path in root.glob("*.png"):
        path.write_bytes(b"")
    with pytest.raises(InputError, match=r"none of 2 pictures could be prepared: .*empty"):
        prepare(samples, root, "cropped", settings())


def test_damaged_files_of_a_prepared_folder_say_what_to_do(tmp_path: Path, settings: Callable[..., Settings]) -> None:
    samples = noise_pictures(tmp_path / "in", 3)
    folder, manifest = prepare(samples, tmp_path / "in", "cropped", settings())
    text = (folder / "manifest.csv").read_text()
    (folder / "manifest.csv").write_text(text[: len(text) - 90])
    pd.testing.assert_frame_equal(prepare(samples, tmp_path / "in", "cropped", settings())[1], manifest)
    (folder / "manifest.csv").write_text("a,b\n1,2\n")
    with pytest.raises(InputError, match=r"manifest\.csv is no manifest .*Delete it"):
        prepare(samples, tmp_path / "in", "cropped", settings())
    (folder / "recipe.json").write_text('{"version":')
    with pytest.raises(InputError, match=r"recipe\.json is damaged .*Delete the folder"):
        prepare(samples, tmp_path / "in", "cropped", settings())


# ---------------------------------------------------------------- several processes


def test_workers_make_the_same_files(
    tmp_path: Path, settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "in"
    samples = noise_pictures(root, 9)
    studio_face(root / "face.png")
    samples = pd.concat([samples, table(root, ["face.png"])], ignore_index=True)
    (root / "004.png").write_bytes(b"broken")
    monkeypatch.setattr(prepared, "CHUNK", 2)
    alone, one = prepare(samples, root, "whole", settings())
    together, two = prepare(samples, root, "whole", settings(WORKERS=2, DATASETS_DIR=str(tmp_path / "two")))
    assert files_below(alone) == files_below(together)
    pd.testing.assert_frame_equal(one, two)


def test_two_processes_share_a_folder(tmp_path: Path, settings: Callable[..., Settings]) -> None:
    root = tmp_path / "in"
    samples = noise_pictures(root, 30)
    samples.to_csv(root / "samples.csv", index=False)
    command = [sys.executable, "-c", KILLED, str(root), str(tmp_path / "prepared"), "999", "5"]
    runs = [subprocess.Popen(command, cwd=PROJECT, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    errors = [process.communicate()[1] for process in runs]
    assert [process.returncode for process in runs] == [0, 0], errors
    folder, manifest = prepare(samples, root, "cropped", settings())
    assert sorted(manifest["file"]) == sorted(files_below(folder))
    assert len(manifest) == 30
    assert not list(folder.parent.glob("preprocessed_set__*"))


def test_workers_leave_with_a_killed_parent(tmp_path: Path) -> None:
    script = (
        "import multiprocessing, os, sys, time\n"
        "from concurrent.futures import ProcessPoolExecutor\n"
        "import prepared\n"
        "if __name__ == '__main__':\n"
        "    context = multiprocessing.get_context('spawn')\n"
        "    pool = ProcessPoolExecutor(1, context, initializer=prepared._start_worker)\n"
        "    print(pool.submit(os.getpid).result(), flush=True)\n"
        "    time.sleep(60)\n"
    )
    (tmp_path / "parent.py").write_text(script)
    environment = os.environ | {"PYTHONPATH": str(PROJECT)}
    command = [sys.executable, str(tmp_path / "parent.py")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as parent:
        assert parent.stdout is not None
        worker = int(parent.stdout.readline())
        parent.kill()
    assert gone(worker)


def gone(process: int, seconds: float = 20) -> bool:
    import psutil

    try:
        psutil.Process(process).wait(seconds)
    except psutil.NoSuchProcess:
        return True
    except psutil.TimeoutExpired:
        return psutil.Process(process).status() == psutil.STATUS_ZOMBIE
    return True


def test_importing_preprocessing_loads_no_heavy_package() -> None:
    code = (
        "import sys, preprocessing, balancing, augmentation; heavy = {'torch', 'cv2', 'albumentations', "
        "'facenet_pytorch', 'imblearn', 'sklearn'} & set(sys.modules); sys.exit(', '.join(heavy) or 0)"
    )
    process = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stderr


# ---------------------------------------------------------------- file names


def names_of(sample_ids: list[str]) -> list[str]:
    wanted = pd.DataFrame(
        {"sample_id": sample_ids, "folder": "train/sad", "stem": [prepared.picture_stem(i) for i in sample_ids]}
    )
    nothing = pd.DataFrame({"file": [], "sample_id": []}, dtype=str)
    return prepared._file_names(wanted, nothing, ".png")


def test_file_names_are_readable_where_they_can_be() -> None:
    assert names_of(["rafdb/DATASET/train/4/x.jpg", "expw/image/origin/a.jpg#2", "f/fer2013.csv#17"]) == [
        "train/sad/x.png", "train/sad/a_2.png", "train/sad/fer2013_17.png",
    ]  # fmt: skip


@given(st.lists(st.text(st.characters(exclude_characters="\0"), min_size=1, max_size=90), unique=True, max_size=8))
def test_file_names_are_unique_short_and_valid_everywhere(names: list[str]) -> None:
    files = names_of([f"set/{name}" for name in [*names, "x.png", "x.jpg", "X.JPG", "con.png", "nul.tar.gz"]])
    assert len({file.lower() for file in files}) == len(files)
    for file in files:
        name = file.removeprefix("train/sad/")
        assert len(name) <= 75
        assert not set(name) & set('<>:"/\\|?*') and name.isascii() and name.isprintable()
        assert not prepared.RESERVED_NAME.fullmatch(name)
        assert not name.startswith((".", " "))
