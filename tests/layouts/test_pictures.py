"""Promises about opening one picture: upright 8-bit gray or RGB, or UnreadablePicture with a reason."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from fer.layouts.pictures import MIN_SIDE, UnreadablePicture, content_hash, crop_box, open_picture, picture_file

GRADIENT = np.arange(20 * 30, dtype=np.uint16).reshape(20, 30)
GRAY = (GRADIENT % 256).astype(np.uint8)


def noise(side: int = 24, seed: int = 0) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def saved(folder: Path, picture: Image.Image, name: str, **options: object) -> str:
    picture.save(folder / name, **options)
    return name


def pixels_of(picture: Image.Image) -> np.ndarray:
    return np.asarray(picture)


# ---------------------------------------------------------------- modes


def test_gray_and_rgb_come_as_they_are(tmp_path: Path) -> None:
    colour = open_picture(tmp_path, saved(tmp_path, noise(), "colour.png"))
    assert colour.mode == "RGB"
    assert (pixels_of(colour) == pixels_of(noise())).all()
    gray = open_picture(tmp_path, saved(tmp_path, Image.fromarray(GRAY), "gray.PNG"))
    assert gray.mode == "L"
    assert (pixels_of(gray) == GRAY).all()


@pytest.mark.parametrize("name", ["deep.png", "deep.tif"])
def test_16_bit_gray_is_divided_by_257(tmp_path: Path, name: str) -> None:
    steps = GRAY.astype(np.uint16) * 257
    picture = open_picture(tmp_path, saved(tmp_path, Image.fromarray(steps), name))
    assert picture.mode == "L"
    assert (pixels_of(picture) == GRAY).all()


def test_32_bit_integers_are_read_as_16_bits_and_refused_beyond(tmp_path: Path) -> None:
    steps = GRAY.astype(np.int32) * 257
    assert (pixels_of(open_picture(tmp_path, saved(tmp_path, Image.fromarray(steps), "i.tif"))) == GRAY).all()
    saved(tmp_path, Image.fromarray(steps * 100), "wide.tif")
    with pytest.raises(UnreadablePicture, match="scale is unknown"):
        open_picture(tmp_path, "wide.tif")


@pytest.mark.parametrize("scale", [1 / 255, 1, 257])
def test_floats_find_their_scale(tmp_path: Path, scale: float) -> None:
    values = (GRAY.astype(np.float64) * scale).astype(np.float32)
    picture = open_picture(tmp_path, saved(tmp_path, Image.fromarray(values), "f.tif"))
    assert picture.mode == "L"
    assert (pixels_of(picture) == GRAY).all()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -1.0])
def test_floats_without_a_scale_are_refused(tmp_path: Path, bad: float) -> None:
    values = GRAY.astype(np.float32)
    values[3, 3] = bad
    saved(tmp_path, Image.fromarray(values), "f.tif")
    with pytest.raises(UnreadablePicture):
        open_picture(tmp_path, "f.tif")


def test_transparent_parts_lie_over_white(tmp_path: Path) -> None:
    picture = noise().convert("RGBA")
    alpha = np.full((24, 24), 255, dtype=np.uint8)
    alpha[:, :12] = 0
    picture.putalpha(Image.fromarray(alpha))
    shown = pixels_of(open_picture(tmp_path, saved(tmp_path, picture, "alpha.png")))
    assert (shown[:, :12] == 255).all()
    assert (shown[:, 12:] == pixels_of(noise())[:, 12:]).all()


def test_gray_with_alpha_stays_gray(tmp_path: Path) -> None:
    picture = Image.fromarray(GRAY)
    picture.putalpha(255)
    assert picture.mode == "LA"
    shown = open_picture(tmp_path, saved(tmp_path, picture, "la.png"))
    assert shown.mode == "L"
    assert (pixels_of(shown) == GRAY).all()


def test_palette_with_and_without_transparency(tmp_path: Path) -> None:
    palette = noise().quantize(16)
    shown = open_picture(tmp_path, saved(tmp_path, palette, "p.png"))
    assert shown.mode == "RGB"
    assert (pixels_of(shown) == pixels_of(palette.convert("RGB"))).all()
    clear = pixels_of(open_picture(tmp_path, saved(tmp_path, palette, "clear.png", transparency=0)))
    behind = pixels_of(palette) == 0
    assert (clear[behind] == 255).all()
    assert (clear[~behind] == pixels_of(shown)[~behind]).all()


def test_cmyk_and_one_bit(tmp_path: Path) -> None:
    flat = Image.new("RGB", (24, 24), (200, 40, 90))
    shown = open_picture(tmp_path, saved(tmp_path, flat.convert("CMYK"), "cmyk.jpg", quality=95))
    assert shown.mode == "RGB"
    assert np.abs(pixels_of(shown).astype(int) - (200, 40, 90)).max() <= 4
    bits = Image.fromarray(GRAY > 127)
    assert bits.mode == "1"
    shown = open_picture(tmp_path, saved(tmp_path, bits, "bits.png"))
    assert shown.mode == "L"
    assert (pixels_of(shown) == np.where(GRAY > 127, 255, 0)).all()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(tmp_path: Path, orientation: int) -> None:
    stored = {
        1: GRAY, 2: GRAY[:, ::-1], 3: GRAY[::-1, ::-1], 4: GRAY[::-1],
        5: GRAY.T, 6: np.rot90(GRAY), 7: GRAY[::-1, ::-1].T, 8: np.rot90(GRAY, -1),
    }[orientation]  # fmt: skip
    exif = Image.Exif()
    exif[0x0112] = orientation
    name = saved(tmp_path, Image.fromarray(np.ascontiguousarray(stored)), "turned.png", exif=exif)
    assert (pixels_of(open_picture(tmp_path, name)) == GRAY).all()


# ---------------------------------------------------------------- bad files


def reason(root: Path, path: str) -> str:
    with pytest.raises(UnreadablePicture) as caught:
        open_picture(root, path)
    return str(caught.value)


def test_each_bad_file_has_its_reason(tmp_path: Path) -> None:
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "text.jpg").write_text("this is no picture")
    (tmp_path / "folder.jpg").mkdir()
    assert "0 bytes" in reason(tmp_path, "empty.jpg")
    assert "not a picture" in reason(tmp_path, "text.jpg")
    assert "cannot be opened" in reason(tmp_path, "folder.jpg")
    assert "cannot be opened" in reason(tmp_path, "gone.jpg")
    assert "cannot be opened" in reason(tmp_path, "text.jpg/below.jpg")


@pytest.mark.parametrize(("name", "part"), [("a.jpg", 0.6), ("a.png", 0.6), ("a.png", 0.1), ("a.bmp", 0.9)])
def test_truncated_files_are_refused(tmp_path: Path, name: str, part: float) -> None:
    data = (tmp_path / saved(tmp_path, noise(64), name)).read_bytes()
    (tmp_path / name).write_bytes(data[: int(len(data) * part)])
    assert reason(tmp_path, name)


@pytest.mark.parametrize("size", [(1, 1), (MIN_SIDE - 1, 40), (40, MIN_SIDE - 1)])
def test_small_pictures_are_refused(tmp_path: Path, size: tuple[int, int]) -> None:
    saved(tmp_path, Image.new("RGB", size), "small.png")
    assert f"{size[0]} x {size[1]}" in reason(tmp_path, "small.png")
    saved(tmp_path, Image.new("RGB", (MIN_SIDE, MIN_SIDE)), "enough.png")
    assert open_picture(tmp_path, "enough.png").size == (MIN_SIDE, MIN_SIDE)


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("side", [40, 80])  # Pillow only warns about the first, and raises at the second
def test_decompression_bombs_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, side: int) -> None:
    saved(tmp_path, noise(side), "bomb.png")
    saved(tmp_path, noise(30), "fine.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    assert "bomb" in reason(tmp_path, "bomb.png")
    assert open_picture(tmp_path, "fine.png").size == (30, 30)


def test_the_limit_of_pillow_stands() -> None:
    assert Image.MAX_IMAGE_PIXELS is not None


def test_errors_of_the_disk_are_not_blamed_on_the_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: Path) -> bytes:
        raise OSError(24, "Too many open files")

    saved(tmp_path, noise(), "fine.png")
    monkeypatch.setattr(Path, "read_bytes", fail)
    with pytest.raises(OSError, match="Too many open files"):
        open_picture(tmp_path, "fine.png")


def test_no_file_stays_open(tmp_path: Path) -> None:
    for name in ("a.png", "a.jpg", "a.gif", "a.tif"):
        picture = open_picture(tmp_path, saved(tmp_path, noise(), name))
        assert picture.size == (24, 24)
    write_table(tmp_path / "fer2013.csv", [face(1)])
    open_picture(tmp_path, "fer2013.csv#0")
    kept = [file.path for file in psutil.Process().open_files() if str(tmp_path) in file.path]
    assert kept == []


def encoded(kind: str) -> bytes:
    stream = io.BytesIO()
    noise(16).save(stream, kind)
    return stream.getvalue()


VALID = [encoded(kind) for kind in ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP")]
DAMAGE = st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=12)


@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@given(st.sampled_from(VALID), DAMAGE, st.floats(0, 1))
@pytest.mark.filterwarnings("ignore")
def test_damaged_files_give_a_usable_picture_or_a_reason(
    data: bytes, damage: list[tuple[float, int]], keep: float
) -> None:
    damaged = bytearray(data)
    for place, value in damage:
        damaged[int(place * len(damaged))] = value
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "damaged.img"
        file.write_bytes(damaged[: max(int(keep * len(damaged)), 0)])
        try:
            picture = open_picture(file.parent, file.name)
        except UnreadablePicture as error:
            assert str(error)
            assert "0x" not in str(error)
        else:
            assert picture.mode in ("L", "RGB")
            assert min(picture.size) >= MIN_SIDE
            assert len(content_hash(picture)) == 32


# ---------------------------------------------------------------- boxes and hashes


def test_boxes_are_clamped_to_the_picture() -> None:
    picture = Image.fromarray(GRAY)
    assert (pixels_of(crop_box(picture, (2, 3, 12, 15))) == GRAY[3:15, 2:12]).all()
    assert (pixels_of(crop_box(picture, (-3, -2.4, 10.4, 21))) == GRAY[:, :10]).all()


@pytest.mark.parametrize("box", [(40, 0, 60, 20), (-30, 0, -2, 20), (10, 5, 10, 15), (20, 5, 10, 15), (0, 0, 3, 20)])
def test_a_box_that_leaves_nothing_is_refused(box: tuple[float, float, float, float]) -> None:
    with pytest.raises(UnreadablePicture, match="smaller than"):
        crop_box(Image.fromarray(GRAY), box)


def test_a_box_of_nan_is_the_callers_mistake() -> None:
    with pytest.raises(ValueError, match="finite"):
        crop_box(Image.fromarray(GRAY), (float("nan"),) * 4)


def test_content_hash_sees_pixels_and_size_but_not_the_file(tmp_path: Path) -> None:
    gray = Image.fromarray(GRAY)
    assert content_hash(gray) == content_hash(gray.convert("RGB"))
    as_bmp = open_picture(tmp_path, saved(tmp_path, gray, "a.bmp"))
    as_png = open_picture(tmp_path, saved(tmp_path, gray.convert("RGB"), "a.png"))
    assert content_hash(as_bmp) == content_hash(as_png) == content_hash(gray)
    changed = GRAY.copy()
    changed[0, 0] += 1
    assert content_hash(Image.fromarray(changed)) != content_hash(gray)
    assert content_hash(Image.fromarray(GRAY.reshape(30, 20))) != content_hash(gray)
    assert len(content_hash(gray)) == 32


# ---------------------------------------------------------------- rows of tables


def face(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (48, 48))


def as_text(pixels: np.ndarray) -> str:
    return " ".join(str(value) for value in pixels.ravel())


def write_table(file: Path, faces: list[np.ndarray], newline: str = "\n") -> None:
    lines = ["emotion,pixels,Usage", *(f"3,{as_text(pixels)},Training" for pixels in faces)]
    file.write_bytes(newline.join(lines).encode())


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_rows_of_a_table(tmp_path: Path, newline: str) -> None:
    write_table(tmp_path / "fer2013.csv", [face(0), face(1), face(2)], newline)
    for row in (2, 0, 1):
        picture = open_picture(tmp_path, f"fer2013.csv#{row}")
        assert picture.mode == "L"
        assert (pixels_of(picture) == face(row)).all()
    assert "only 3 rows" in reason(tmp_path, "fer2013.csv#3")


def test_columns_of_icml_face_data(tmp_path: Path) -> None:
    text = f'emotion, Usage, pixels\n0,Training,"{as_text(face(4))}"\n'
    (tmp_path / "icml_face_data.csv").write_text(text)
    assert (pixels_of(open_picture(tmp_path, "icml_face_data.csv#0")) == face(4)).all()


def test_a_rewritten_table_is_read_anew(tmp_path: Path) -> None:
    write_table(tmp_path / "fer2013.csv", [face(0)])
    open_picture(tmp_path, "fer2013.csv#0")
    write_table(tmp_path / "fer2013.csv", [face(7), face(8)])
    assert (pixels_of(open_picture(tmp_path, "fer2013.csv#1")) == face(8)).all()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda text: text.rsplit(" ", 1)[0], "2303 pixels"),
        (lambda text: text + " 7", "2305 pixels"),
        (lambda text: text.replace(" ", " x", 1), "no whole number"),
        (lambda text: "256 " + text.split(" ", 1)[1], "0 to 256 instead"),
        (lambda text: "9" * 30 + " " + text.split(" ", 1)[1], "no whole number"),
        (lambda text: "", "0 pixels"),
        (lambda text: text.replace(" ", ","), "pixels instead"),
    ],
)
def test_bad_rows_have_a_reason(tmp_path: Path, change: Callable[[str], str], words: str) -> None:
    text = change(as_text(np.arange(48 * 48).reshape(48, 48) % 256))
    (tmp_path / "fer2013.csv").write_text(f"emotion,Usage,pixels\n3,Training,{text}\n4,Training\n")
    assert words in reason(tmp_path, "fer2013.csv#0")
    assert "no pixels" in reason(tmp_path, "fer2013.csv#1")
    assert "cannot be opened" in reason(tmp_path, "absent.csv#1")


def test_a_table_without_pixels(tmp_path: Path) -> None:
    (tmp_path / "fer2013.csv").write_text("emotion,Usage\n3,Training\n")
    assert 'no column "pixels"' in reason(tmp_path, "fer2013.csv#0")


def test_the_file_of_a_path() -> None:
    assert picture_file("a/fer2013.csv#12") == "a/fer2013.csv"
    assert picture_file("a/fer2013.csv#x") == "a/fer2013.csv#x"
    assert picture_file("a/face#3.jpg") == "a/face#3.jpg"
