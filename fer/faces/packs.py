"""Packs: every face of a dataset and variant in one file of uint8 pixels, decoded once; in several where it is large.

A pack is a .npy file [N, S, S, C] (C is 1 when every picture is gray). One that would pass MOST_BYTES lies in several:
each holds as many rows as the first, the last one what is left, and all but the first are called `<pack>.part-2.npy`
and on. The first is written last, and its header says how many rows a file of this pack holds, so a pack is read
whatever MOST_BYTES was when it was written. What it is called by is what it holds: the
contents and boxes of its rows, their side, and how they were prepared. Which of its rows train, validate or test is
not in it: a split is a list of row numbers, so folds, seeds of the split and policies about copies share one pack.

Rows are read from the file, not mapped into memory: where a mapped file is cut short, or the disk it lies on goes
away, the first touch ends the process with SIGBUS and no word. Reading costs the same and raises an error.

Beside each file, `<file>.json` says what it was when it was written: size, time of change and checksum. The bytes are
read again only where size or time are others; a file of which nothing is noted is made again, never trusted.
"""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pandas as pd
from PIL import Image

from fer.layouts.label_sheets import BOX_COLUMNS
from fer.layouts.pictures import UnreadablePicture, crop_box, open_picture
from utils import (
    InputError,
    atomic_path,
    file_fingerprint,
    fingerprint,
    in_threads,
    log,
    progress,
    read_sealed,
    reserve,
    write_sealed,
)

# Raise when packed pixels change for the same picture and size.
PACK_VERSION = 1
ROWS_AT_ONCE = 256  # pictures read together when all are walked through
MOST_BYTES = 64 * 10**9  # of pixels in one file: what copies, checksums and disks handle in one piece


@dataclass(frozen=True)
class Pack:
    """A finished pack on disk: `pixels` is its (first) .npy file, `shape` its (N, S, S, C) in all files together."""

    pixels: Path
    shape: tuple[int, int, int, int]

    @property
    def size(self) -> int:
        """Side of the packed pictures in pixels."""
        return self.shape[1]

    def open(self, rows: np.ndarray | None = None) -> PackPixels:
        """The pixels, of all rows or of `rows` (int [K]) in that order. Raises InputError when a file is gone."""
        return PackPixels(self, rows)

    def file(self, number: int) -> Path:
        """Its file of this number, from 0."""
        return self.pixels if number == 0 else self.pixels.with_suffix(f"{PART}{number + 1}.npy")


class _PackFile:
    """An open file of a pack: `stream`, the shape in its header, and the byte where its pixels start."""

    def __init__(self, path: Path):
        self.path = path
        try:
            self.stream = path.open("rb", buffering=0)
            self.shape = _pack_shape(self.stream)
        except FileNotFoundError as error:
            raise InputError(f"{path} was removed while in use. Run the same command again.") from error
        except (OSError, ValueError) as error:
            raise self.unreadable(str(error)) from error
        self.start = self.stream.tell()

    def read_into(self, target: memoryview, row: int) -> None:
        """Fill `target` with the pixels from `row` on."""
        place = self.start + row * math.prod(self.shape[1:])
        while len(target):
            try:
                count = _read_at(self.stream, target, place)
            except OSError as error:
                raise self.unreadable(error.strerror or str(error)) from error
            if count == 0:
                raise self.unreadable("it ends too early")
            target, place = target[count:], place + count

    def unreadable(self, why: str) -> InputError:
        """The error to raise."""
        return InputError(
            f"{self.path} cannot be read any more ({why}). Is its disk still there, and did nothing else write to it? "
            "Run the same command again: what is finished is kept."
        )


class PackPixels:
    """uint8 [N, S, S, C], read from a pack's file when indexed by a number, a slice, or an array of numbers.

    Reading raises InputError, naming the file, when it was cut short or its disk cannot be read any more.
    """

    def __init__(self, pack: Pack, rows: np.ndarray | None = None):
        self._rows = np.arange(pack.shape[0]) if rows is None else np.asarray(rows, dtype=np.int64)
        self.shape = (len(self._rows), *pack.shape[1:])
        first = _PackFile(pack.pixels)
        self._rows_a_file = max(first.shape[0], 1)
        others = range(1, _file_count(pack.shape[0], self._rows_a_file))
        self._files = [first, *(_PackFile(pack.file(number)) for number in others)]
        for file, shape in zip(self._files, _file_shapes(pack.shape, self._rows_a_file), strict=True):
            if file.shape != shape:
                raise file.unreadable(f"it holds {file.shape} instead of {shape}")

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, which: int | slice | np.ndarray) -> np.ndarray:
        rows = self._rows[which]
        return self._read(np.atleast_1d(rows))[0] if np.ndim(rows) == 0 else self._read(rows)

    def __iter__(self) -> Iterator[np.ndarray]:
        for first in range(0, len(self), ROWS_AT_ONCE):
            yield from self[first : first + ROWS_AT_ONCE]

    def __array__(self, dtype: type | None = None, copy: bool | None = None) -> np.ndarray:
        return self[:] if dtype is None else self[:].astype(dtype)

    def _read(self, rows: np.ndarray) -> np.ndarray:
        """Neighbouring rows of one file in one go."""
        pixels = np.empty((len(rows), *self.shape[1:]), dtype=np.uint8)
        numbers, places = np.divmod(rows, self._rows_a_file)
        apart = (np.diff(rows) != 1) | (np.diff(numbers) != 0)
        ends = [*(np.flatnonzero(apart) + 1).tolist(), len(rows)]
        first = 0
        for end in ends if len(rows) else []:
            file = self._files[int(numbers[first])]
            file.read_into(pixels[first:end].data.cast("B"), int(places[first]))
            first = end
        return pixels


def _read_at(stream: BinaryIO, target: memoryview, place: int) -> int:
    """Read into `target` from byte `place` on; forked workers share the stream, and with it where it stands."""
    if hasattr(os, "preadv"):
        return os.preadv(stream.fileno(), [target], place)
    stream.seek(place)
    return stream.readinto(target)  # type: ignore[attr-defined]


def pack_or_load(files: pd.DataFrame, root: Path, size: int, gray: bool, folder: Path, name: str) -> Pack:
    """Decode `files` into a pack of side `size`, or find the one made before.

    `files` has columns path, face and the four box columns, one row a face, in pack order;
    `gray` packs one channel. Paths are not in what identifies a pack: `face` stands for them, and for how they
    were prepared. A pack that was changed since it was written, or is from another version, is named and made again.
    Raises InputError when a picture has become unreadable since it was read first, DiskFullError before anything is
    decoded when the file has no room.
    """
    identity = [PACK_VERSION, size, gray, files["face"].tolist()]
    target = folder / f"{name}__{size}__{fingerprint(identity, 12)}.npy"
    pack = Pack(target, (len(files), size, size, 1 if gray else 3))
    rows = _rows_a_file(pack)
    shapes = _file_shapes(pack.shape, rows)
    for number in reversed(range(len(shapes))):  # the first one says that all are there
        part = files.iloc[number * rows : (number + 1) * rows]
        _make_file(pack.file(number), _Plan(part, root, shapes[number], name))
    return pack


def _make_file(target: Path, plan: _Plan) -> None:
    """Decode the rows of one file, unless it is there as it was written."""
    if target.is_file():
        problem = _problem(target, plan.shape)
        if not problem:
            return
        log.warning("%s is made again: %s.", target, problem)
    with atomic_path(target) as temporary, temporary.open("wb") as stream:
        reserve(stream, len(plan.header) + math.prod(plan.shape), target)
        stream.write(plan.header)
        _fill(stream, plan)
    _note(target, file_fingerprint(target))


# ---------------------------------------------------------------- its files

PART = ".part-"  # in the names of all files of a pack but the first
Shape = tuple[int, int, int, int]


def _rows_a_file(pack: Pack) -> int:
    """Rows in a file of a pack: those of the one that is there, else as many as MOST_BYTES has room for."""
    fitting = max(MOST_BYTES // max(math.prod(pack.shape[1:]), 1), 1)
    with suppress(OSError, ValueError, EOFError), pack.pixels.open("rb") as stream:
        found = _pack_shape(stream)
        if found[1:] == pack.shape[1:] and 0 < found[0] <= pack.shape[0]:
            return found[0]
    return min(fitting, max(pack.shape[0], 1))


def _file_count(rows: int, rows_a_file: int) -> int:
    return max(-(-rows // rows_a_file), 1)


def _file_shapes(shape: Shape, rows_a_file: int) -> list[Shape]:
    """The shape of each file of a pack of this shape."""
    starts = range(0, _file_count(shape[0], rows_a_file) * rows_a_file, rows_a_file)
    return [(min(rows_a_file, shape[0] - start), *shape[1:]) for start in starts]


def packed_bytes(folder: Path, pattern: str) -> list[int]:
    """Bytes of each pack whose name fits `pattern` (a glob that ends in ".npy"), its files together."""
    sizes: dict[str, int] = {}
    for path in folder.glob(pattern):
        name = path.stem.partition(PART)[0]
        sizes[name] = sizes.get(name, 0) + path.stat().st_size
    return list(sizes.values())


def _pack_shape(stream: BinaryIO) -> tuple[int, ...]:
    """Shape in the header of a pack; the stream then stands at the first pixel. Raises ValueError for another file."""
    if np.lib.format.read_magic(stream) != (1, 0):
        raise ValueError("not a pack of this version")
    shape, by_columns, kind = np.lib.format.read_array_header_1_0(stream)
    if by_columns or kind != np.uint8:
        raise ValueError("not a pack of this version")
    return shape


def _problem(path: Path, shape: tuple[int, ...]) -> str:
    """Why a pack cannot be used, in words; "" when it is as it was written."""
    try:
        with path.open("rb") as stream:
            found = _pack_shape(stream)
            if found != shape or path.stat().st_size != stream.tell() + math.prod(shape):
                return "it is truncated or of another version"
        return "" if _is_unchanged(path) else "it was changed since it was written"
    except FileNotFoundError:
        return f"there is no {_note_path(path).name} that says what it was"
    except (OSError, ValueError, EOFError, KeyError, RecursionError) as error:
        return str(error) or type(error).__name__


def _note_path(path: Path) -> Path:
    return path.with_suffix(".json")


def _note(path: Path, checksum: str) -> None:
    write_sealed(_note_path(path), _stamp(path) | {"sha256": checksum})


def _stamp(path: Path) -> dict[str, int]:
    state = path.stat()
    return {"bytes": state.st_size, "changed_ns": state.st_mtime_ns}


def _is_unchanged(path: Path) -> bool:
    """Compare a pack with its note; where only the time differs (a copied folder), the time is noted anew."""
    noted = read_sealed(_note_path(path))
    if {name: noted[name] for name in ("bytes", "changed_ns")} == _stamp(path):
        return True
    if file_fingerprint(path) != noted["sha256"]:
        return False
    _note(path, noted["sha256"])
    return True


@dataclass(frozen=True)
class _Plan:
    """A pack to be made: which files, of what shape, called `name` in messages."""

    files: pd.DataFrame
    root: Path
    shape: tuple[int, int, int, int]
    name: str

    @cached_property
    def header(self) -> bytes:
        from io import BytesIO

        stream = BytesIO()
        described = {
            "descr": np.lib.format.dtype_to_descr(np.dtype(np.uint8)),
            "fortran_order": False,
            "shape": self.shape,
        }
        np.lib.format.write_array_header_1_0(stream, described)
        return stream.getvalue()


def _fill(stream: BinaryIO, plan: _Plan) -> None:
    boxes = plan.files[BOX_COLUMNS].to_numpy(dtype=float)
    rows_of = plan.files.reset_index(drop=True).groupby("path", sort=False).indices
    mode = "L" if plan.shape[3] == 1 else "RGB"
    start, of_a_row = len(plan.header), math.prod(plan.shape[1:])
    writing = threading.Lock()

    def decode(path: str) -> None:
        picture = _open(plan, path)
        for row in rows_of[path]:
            face = picture if np.isnan(boxes[row]).any() else crop_box(picture, tuple(boxes[row]))
            pixels = fitted(face, plan.shape[1], mode)
            with writing:
                stream.seek(start + int(row) * of_a_row)
                stream.write(pixels.tobytes())

    for _ in progress(in_threads(decode, rows_of), f"packing {plan.name}", len(rows_of)):
        pass


def _open(plan: _Plan, path: str) -> Image.Image:
    try:
        return open_picture(plan.root, path)
    except UnreadablePicture as error:
        raise InputError(
            f"{plan.root / path} could be read before and cannot any more ({error}). Bring it back and run the same "
            "command again, or remove it for good: the next command then goes on without it."
        ) from error


def fitted(face: Image.Image, size: int, mode: str) -> np.ndarray:
    """A face as it is packed, uint8 [size, size, C]; `mode` "L" or "RGB". The aspect ratio is not kept, as is usual."""
    face = face.convert(mode)
    if face.size != (size, size):
        face = face.resize((size, size), Image.Resampling.BILINEAR, reducing_gap=None)
    return np.asarray(face).reshape(size, size, -1)
