"""Opening one source picture safely: whole, upright, 8 bits, gray or RGB, or a short reason why not.

A picture is named by its dataset's root and a path relative to it: a file, one row of FER2013's table, written
`fer2013.csv#<row>` (row 0 is the first line below the header), one frame of a clip, `S001-001.avi#<frame>`, or one row
of a parquet file, `train.parquet#<row>`, of several columns with pictures `train.parquet#<column>#<row>`.
"""

from __future__ import annotations

import hashlib
import io
import math
import re
from array import array
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageFile, ImageOps, UnidentifiedImageError

from fer.layouts.file_states import file_state
from fer.layouts.parquet_rows import picture_bytes
from fer.layouts.video_frames import read_frame

# Another library may have switched this on; half a face with a gray rest must never reach a network.
ImageFile.LOAD_TRUNCATED_IMAGES = False

MIN_SIDE = 8  # pixels; anything smaller shows no expression
LEAST_INSIDE = 0.5  # share of a box that has to lie in its picture; beyond it there is nothing to see
TABLE_SIDE = 48  # FER2013's tables hold 48 x 48 values a row
_FRAME = re.compile(r"(?P<file>.+\.(?:avi|mpg|mpeg|mp4))#(?P<frame>\d+)", re.IGNORECASE | re.DOTALL)
_PARQUET_ROW = re.compile(r"(?P<file>.+\.parquet)#(?:(?P<column>.+)#)?(?P<row>\d+)", re.IGNORECASE | re.DOTALL)
_TABLE_ROW = re.compile(r"(?P<file>.+\.csv)#(?P<row>\d+)", re.IGNORECASE | re.DOTALL)

Box = tuple[float, float, float, float]


class UnreadablePicture(Exception):  # noqa: N818 - it reads as what it is: the picture's fault
    """The picture cannot be used; `str()` of this is the short reason for rejected.csv."""


def open_picture(root: Path, path: str) -> Image.Image:
    """Decode the picture `path` (relative to `root`) to mode "L" or "RGB".

    EXIF orientation is applied, of several frames the first is taken. 16-bit gray is divided by 257;
    mode I is read as 16 bits too; floats are read as 0..1, 0..255 or 0..65535, the smallest of these
    that holds the maximum. Transparent parts are laid over white. Palettes and CMYK become RGB, 1 bit L.

    Raises UnreadablePicture for a file that is gone, barred, empty, truncated, no picture, smaller than
    MIN_SIDE, or larger than Pillow's MAX_IMAGE_PIXELS. Other errors of the disk stay OSError: they say
    nothing about the picture.
    """
    row = _TABLE_ROW.fullmatch(path)
    frame = _FRAME.fullmatch(path)
    cell = _PARQUET_ROW.fullmatch(path)
    if row:
        picture = _open_table_row(root / row["file"], int(row["row"]))
    elif frame:
        picture = _open_frame(root / frame["file"], int(frame["frame"]))
    elif cell:
        picture = _decode(_parquet_bytes(root / cell["file"], int(cell["row"]), cell["column"]))
    else:
        picture = _decode(_read_bytes(root / path))
    _refuse_small(picture.size, "")
    return picture


def picture_file(path: str) -> str:
    """The file that a sample's `path` stands in: `fer2013.csv` for `fer2013.csv#7`, else `path` itself."""
    row = _TABLE_ROW.fullmatch(path) or _FRAME.fullmatch(path) or _PARQUET_ROW.fullmatch(path)
    return row["file"] if row else path


def crop_box(picture: Image.Image, box: Box) -> Image.Image:
    """Cut out `box` (left, top, right, bottom in pixels, rounded), clamped to the picture.

    Raises UnreadablePicture if less than MIN_SIDE pixels or LEAST_INSIDE of the box are left, ValueError for a box of
    NaN. As samples are read with it, it is the one rule for the rows of every variant.
    """
    if not all(math.isfinite(edge) for edge in box):
        raise ValueError(f"crop_box needs four finite edges, not {box}; NaN in Samples means: no box")
    left, top, right, bottom = (round(edge) for edge in box)
    inside = (max(left, 0), max(top, 0), min(right, picture.width), min(bottom, picture.height))
    size = (max(inside[2] - inside[0], 0), max(inside[3] - inside[1], 0))
    where = f"box {', '.join(f'{edge:g}' for edge in box)} in {picture.width} x {picture.height}"
    _refuse_small(size, f"{where}: ")
    share = (size[0] / (right - left)) * (size[1] / (bottom - top))  # whole numbers of any size: no overflow
    if share < LEAST_INSIDE:
        raise UnreadablePicture(f"less than half of the box lies inside the picture: {where}")
    return picture.crop(inside)


def content_hash(picture: Image.Image) -> str:
    """32 hex digits of BLAKE2b over size and RGB bytes: a gray picture equals its RGB replication."""
    digest = hashlib.blake2b(f"{picture.width}x{picture.height}:".encode(), digest_size=16)
    digest.update(picture.convert("RGB").tobytes())
    return digest.hexdigest()


# ---------------------------------------------------------------- files


def _read_bytes(file: Path) -> bytes:
    problem = file_state(file).problem
    if problem:
        raise UnreadablePicture(problem)
    try:
        data = file.read_bytes()
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError, PermissionError) as error:  # since just now
        raise UnreadablePicture(f"cannot be opened: {error.strerror}") from error
    if not data:
        raise UnreadablePicture("the file is empty (0 bytes)")
    return data


def _open_frame(file: Path, number: int) -> Image.Image:
    problem = file_state(file).problem
    if problem:
        raise UnreadablePicture(problem)
    picture = read_frame(file, number)
    if picture is None:
        raise UnreadablePicture(f"the clip has no frame {number} that can be read")
    return picture


def _parquet_bytes(file: Path, row: int, column: str | None) -> bytes:
    problem = file_state(file).problem
    if problem:
        raise UnreadablePicture(problem)
    try:
        data = picture_bytes(file, row, column)
    except (IndexError, ValueError, OSError) as error:
        if isinstance(error, OSError) and error.errno:
            raise
        raise UnreadablePicture(f"its row cannot be read: {error}") from error
    if not data:
        raise UnreadablePicture("the row holds no picture")
    return data


def _decode(data: bytes) -> Image.Image:
    try:
        with Image.open(io.BytesIO(data)) as image:
            _refuse_bomb(image.size)
            image.load()
            return _to_8_bits(ImageOps.exif_transpose(image))
    except (UnreadablePicture, MemoryError):
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise UnreadablePicture(f"refused as a decompression bomb: {error}") from error
    except UnidentifiedImageError as error:
        raise UnreadablePicture("not a picture in a format that Pillow knows") from error
    except Exception as error:  # a broken file makes Pillow's decoders raise almost any type
        raise UnreadablePicture(f"cannot be decoded: {str(error) or type(error).__name__}") from error


def _refuse_bomb(size: tuple[int, int]) -> None:
    """Pillow only warns up to twice its limit, and a warning can be filtered away."""
    limit = Image.MAX_IMAGE_PIXELS
    if limit is not None and size[0] * size[1] > limit:
        raise UnreadablePicture(f"refused as a decompression bomb: {size[0]} x {size[1]} pixels")


def _refuse_small(size: tuple[int, int], where: str) -> None:
    if min(size) < MIN_SIDE:
        raise UnreadablePicture(f"{where}{size[0]} x {size[1]} pixels, smaller than {MIN_SIDE}")


def _to_8_bits(image: Image.Image) -> Image.Image:
    if image.mode == "F" or image.mode.startswith("I"):
        return _scaled(image)
    if image.has_transparency_data:
        return _over_white(image)
    if image.mode in ("L", "RGB"):
        return image
    return image.convert("L" if image.mode == "1" else "RGB")


def _scaled(image: Image.Image) -> Image.Image:
    values = np.asarray(image).astype(np.float64)
    low, high = values.min(), values.max()
    if not (low >= 0 and high <= 65535):  # written so that NaN fails too
        raise UnreadablePicture(f"values from {low:g} to {high:g}: outside 0 to 65535, the scale is unknown")
    factor = 1 / 257
    if image.mode == "F" and high <= 255:
        factor = 255 if high <= 1 else 1
    return Image.fromarray(np.rint(values * factor).astype(np.uint8))


def _over_white(image: Image.Image) -> Image.Image:
    white = Image.new("RGBA", image.size, "white")
    flat = Image.alpha_composite(white, image.convert("RGBA"))
    return flat.convert("L" if image.mode in ("1", "L", "LA") else "RGB")


# ---------------------------------------------------------------- rows of FER2013's tables


@dataclass(frozen=True)
class _Table:
    offsets: array[int]  # first byte of each line below the header, and the end of the file
    pixels: int  # column of the pixel values


@lru_cache(maxsize=4)
def _table(file: Path, size: int, mtime_ns: int) -> _Table:
    """Where each line starts. A row is then one seek: the table itself (290 MB) is never held."""
    with file.open("rb") as stream:
        header = stream.readline()
        offsets = array("q", [len(header)])
        for line in stream:
            offsets.append(offsets[-1] + len(line))
    columns = table_columns(header)
    if "pixels" not in columns:
        raise UnreadablePicture(f'{file.name} has no column "pixels" but {", ".join(columns)[:80]}')
    return _Table(offsets, columns.index("pixels"))


def table_columns(header: bytes) -> list[str]:
    """Column names of a table's first line, stripped and in lower case (icml_face_data.csv has spaces)."""
    return [column.strip(' "').lower() for column in header.decode("utf-8-sig", "replace").strip().split(",")]


def _open_table_row(file: Path, row: int) -> Image.Image:
    state = file_state(file)
    if state.problem:
        raise UnreadablePicture(state.problem)
    table = _table(file, state.size, state.mtime_ns)
    if row + 1 >= len(table.offsets):
        raise UnreadablePicture(f"{file.name} has only {len(table.offsets) - 1} rows")
    with file.open("rb") as stream:
        stream.seek(table.offsets[row])
        cells = stream.read(table.offsets[row + 1] - table.offsets[row]).split(b",")
    if table.pixels >= len(cells):
        raise UnreadablePicture("the row has no pixels")
    return _from_pixels(cells[table.pixels])


def _from_pixels(cell: bytes) -> Image.Image:
    try:
        values = np.array(cell.strip(b' "\r\n').split(), dtype=np.int64)
    except (ValueError, OverflowError) as error:
        raise UnreadablePicture(f"the row has a pixel that is no whole number: {error}") from error
    if len(values) != TABLE_SIDE**2:
        raise UnreadablePicture(f"{len(values)} pixels instead of {TABLE_SIDE**2}")
    if values.min() < 0 or values.max() > 255:
        raise UnreadablePicture(f"pixels from {values.min()} to {values.max()} instead of 0 to 255")
    return Image.fromarray(values.astype(np.uint8).reshape(TABLE_SIDE, TABLE_SIDE))
