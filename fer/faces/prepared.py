"""Folders of prepared pictures: made once, continued after an interruption, never overwritten.

A folder holds `recipe.json` (all that shapes its pixels), the pictures, and `manifest.csv`, one row a
picture. While pictures are being made, finished ones are noted in `manifest-00001.csv`, … ; these are
merged into `manifest.csv` at the end. Another recipe gets another folder: the first one takes the plain
name, later ones `<name>__<hash6>`. Nothing here knows what a face is.
"""

from __future__ import annotations

import math
import multiprocessing
import os
import re
import signal
import threading
import traceback
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import chain, count
from pathlib import Path, PurePosixPath
from typing import IO, Any, Literal, cast

import pandas as pd
from filelock import Timeout
from PIL import Image

from fer.columns.files import MADE_FROM
from fer.console.interrupt import children_without_ctrl_c
from fer.layouts.pictures import UnreadablePicture
from utils import (
    InputError,
    atomic_path,
    canonical_json,
    file_fingerprint,
    fingerprint,
    lock_in,
    log,
    progress,
    read_csv,
    read_json,
    write_json,
    write_text,
)

# A manifest row is found again by what its picture was made from. Split and label are not in it: a picture stays
# where it was first put, and a split is a list of rows.
ORIGIN = list(MADE_FROM)
TEXTS = [*ORIGIN, "file", "method", "reason"]
# What a picture's file was when it was made: size in bytes and checksum (of versions before this one not noted).
SEAL = ["bytes", "checksum"]
# `method` of a row without a file: the picture cannot be read (final); anything else (tried again).
UNREADABLE, FAILED = "unreadable", "failed"

CHUNK = 16  # pictures a worker takes at once
NOTED_EVERY = 200  # pictures; a killed process loses at most these
MOST_WORKERS = 16  # each holds its own libraries, about 400 MB
LONGEST_STEM = 60  # characters: with the folders above, a path stays below Windows' 260
RESERVED_NAME = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)

Row = dict[str, Any]
# Makes one picture: takes a row of the wanted table, returns the picture and facts for the manifest, among
# them `method`. Raises UnreadablePicture. Must be picklable.
Make = Callable[[Row], tuple[Image.Image, Row]]


@dataclass(frozen=True)
class Job:
    """Pictures to have: where, by which recipe, made how.

    `wanted` has the columns of ORIGIN, `folder` and `stem` (where a new picture goes inside the prepared
    folder, and how it is called), and whatever `make` reads. `what` names it in messages.
    """

    base: Path
    recipe: dict[str, Any]
    wanted: pd.DataFrame
    make: Make
    save_format: Literal["png", "jpeg"]
    workers: int | Literal["auto"]
    what: str


def make_or_load(job: Job) -> tuple[Path, pd.DataFrame]:
    """Make every wanted picture that is not there yet; return the folder and a manifest row for each.

    Rows stand in the order wanted, with the columns of ORIGIN, file (posix path inside the folder, "" if
    there is no picture), method, reason (why there is none, or ""), and the other facts that `make` gives.
    What went wrong other than by an unreadable picture is logged and tried again next time.

    Raises InputError for a damaged recipe or manifest and for a worker that died, OSError for a full disk;
    what is finished by then is kept.
    """
    folder = prepared_folder(job.base, job.recipe)
    rows = _rows_of(job.wanted, folder, read_manifest(folder, unfinished=False), {UNREADABLE})
    if rows is not None:
        return folder, rows
    folder = _claim(job.base, job.recipe)
    with _only_writer(folder):
        _make_missing(folder, job)
        rows = _rows_of(job.wanted, folder, read_manifest(folder), {UNREADABLE, FAILED})
    if rows is None:
        raise InputError(f"Pictures disappeared from {folder} while others were made. Run the same command again.")
    return folder, rows


# ---------------------------------------------------------------- which folder


def prepared_folder(base: Path, recipe: dict[str, Any]) -> Path:
    """The folder of `recipe`: the one that holds it, else `base` if that is free, else `<base>__<hash6>`.

    Changes nothing. Raises InputError for a folder whose recipe.json is damaged.
    """
    other = base.with_name(f"{base.name}__{fingerprint(recipe, 6)}")
    for folder in (other, base):
        if _stored_recipe(folder) == canonical_json(recipe):
            return folder
    return base if _is_free(base) else other


def _stored_recipe(folder: Path) -> str | None:
    path = folder / "recipe.json"
    try:
        return canonical_json(read_json(path))
    except FileNotFoundError:
        return None
    except (ValueError, RecursionError) as error:
        raise InputError(
            f"{path} is damaged ({error}): how the pictures beside it were made is unknown. "
            f"Delete the folder {folder}; its pictures are made again."
        ) from error


def _is_free(folder: Path) -> bool:
    return not folder.is_dir() or not any(folder.iterdir())


def _claim(base: Path, recipe: dict[str, Any]) -> Path:
    """Make the folder and its recipe.json, so that two processes never take one folder for two recipes."""
    base.parent.mkdir(parents=True, exist_ok=True)
    with lock_in(base.parent, f"claim_{base.name}"):
        folder = prepared_folder(base, recipe)
        if _stored_recipe(folder) is None:
            write_json(folder / "recipe.json", recipe)
    return folder


@contextmanager
def _only_writer(folder: Path) -> Iterator[None]:
    lock = lock_in(folder.parent, f"write_{folder.name}")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        log.info("another process is preparing %s; waiting for it", folder)
        lock.acquire()
    try:
        for leftover in list(folder.rglob(".partial-*")):
            leftover.unlink()
        yield
    finally:
        lock.release()


# ---------------------------------------------------------------- manifest


def read_manifest(folder: Path, unfinished: bool = True) -> pd.DataFrame:
    """The manifest of a folder, later rows replacing earlier ones of the same sample; empty if there is none.

    `unfinished` includes what an interrupted run noted. Raises InputError for a file that is no manifest;
    of one that was cut off, damaged rows are left out with a warning.
    """
    paths = [folder / "manifest.csv", *(_noted(folder) if unfinished else [])]
    tables = [_read_table(path) for path in paths if path.is_file()]
    if not tables:
        return pd.DataFrame(columns=TEXTS)
    return pd.concat(tables).drop_duplicates("sample_id", keep="last", ignore_index=True)


def _noted(folder: Path) -> list[Path]:
    return sorted(folder.glob("manifest-*.csv"))


def _read_table(path: Path) -> pd.DataFrame:
    try:
        table = read_csv(path, [*TEXTS, "checksum"], encoding="utf-8")
        missing = set(TEXTS) - set(table.columns)
        table = table.assign(bytes=pd.to_numeric(table["bytes"]) if "bytes" in table else math.nan)
    except (ValueError, OverflowError) as error:  # pandas' parser and decoding errors are ValueErrors
        table, missing = pd.DataFrame(), {str(error)}
    if missing:
        raise InputError(
            f"{path} is no manifest of this version (missing: {', '.join(sorted(missing))}). "
            "Delete it; the pictures beside it are made again."
        )
    whole = table[["sample_id", "method"]].notna().all(axis=1)
    if not whole.all():
        log.warning("%s: %d damaged rows; their pictures are made again.", path, (~whole).sum())
    older = ["split", "label"]  # what they were when the picture was made: no longer kept
    return table[whole].drop(columns=older, errors="ignore").fillna(dict.fromkeys(TEXTS, ""))


def _is_settled(manifest: pd.DataFrame, folder: Path, without_file: set[str]) -> pd.Series:
    """Which rows need no work: their file is there as it was made, or their method says why there is none."""
    noted = manifest.reindex(columns=["file", *SEAL]).itertuples(index=False, name=None)
    finished = _finished(folder)
    whole = [file != "" and _is_whole(f"{folder}/{file}", finished, *seal) for file, *seal in noted]
    return pd.Series(whole, index=manifest.index, dtype=bool) | manifest["method"].isin(without_file)


def _is_whole(path: str, finished: float, size: float, checksum: str | float) -> bool:
    """Whether a picture is there as noted. Its bytes are read only where it is younger than the folder's manifest."""
    try:
        state = os.stat(path)  # noqa: PTH116 - a Path costs five times as much, and there are 100,000 of them
        if state.st_size == 0 or not (math.isnan(size) or state.st_size == size):
            raise ValueError(f"it has {state.st_size} bytes")
        noted = isinstance(checksum, str) and checksum != ""
        if noted and state.st_mtime > finished and file_fingerprint(Path(path)) != checksum:
            raise ValueError("it was changed since it was made")
    except FileNotFoundError:
        return False
    except (OSError, ValueError) as error:
        log.warning("%s is made again: %s", path, error)
        return False
    return True


def _finished(folder: Path) -> float:
    """When the manifest was written; the pictures it lists are older."""
    path = folder / "manifest.csv"
    return path.stat().st_mtime if path.is_file() else -math.inf


def _rows_of(wanted: pd.DataFrame, folder: Path, manifest: pd.DataFrame, without_file: set[str]) -> pd.DataFrame | None:
    """Manifest rows in the order of `wanted`, or None when one is missing, outdated or lacks its file."""
    settled = manifest[_is_settled(manifest, folder, without_file)]
    rows = wanted[ORIGIN].merge(settled, how="left", on=ORIGIN, validate="1:1")
    return None if rows["method"].isna().any() else rows


def _note(folder: Path, rows: list[Row], number: int) -> None:
    """Add finished rows to the manifest, whole or not at all, as the note of this number."""
    if rows:
        write_text(folder / f"manifest-{number:05}.csv", pd.DataFrame(rows).to_csv(index=False))


def _last_note(folder: Path) -> int:
    """Number of the last note there is; 0 without one."""
    return max((int(path.stem.removeprefix("manifest-")) for path in _noted(folder)), default=0)


def _merge_notes(folder: Path) -> None:
    notes = _noted(folder)
    write_text(folder / "manifest.csv", read_manifest(folder).to_csv(index=False))
    for path in notes:
        path.unlink()


# ---------------------------------------------------------------- making what is missing


def _make_missing(folder: Path, job: Job) -> None:
    manifest = read_manifest(folder)
    settled = manifest[_is_settled(manifest, folder, {UNREADABLE})]
    have = pd.MultiIndex.from_frame(settled[ORIGIN])
    todo = job.wanted[~pd.MultiIndex.from_frame(job.wanted[ORIGIN]).isin(have)]
    suffix = ".jpg" if job.save_format == "jpeg" else ".png"
    rows = todo.assign(file=_file_names(todo, manifest, suffix)).to_dict("records")
    _make_noting(folder, cast(list[Row], rows), job)
    _merge_notes(folder)


def _make_noting(folder: Path, rows: list[Row], job: Job) -> None:
    """Make pictures, noting the finished ones as it goes; also when interrupted or stopped by an error."""
    finished: list[Row] = []
    numbers = count(_last_note(folder) + 1)  # looking for it at each note, a million pictures would list 12 million
    try:
        with closing(_made_rows(folder, rows, job)) as made:
            for row in progress(made, job.what, len(rows)):
                problem = row.pop("traceback", "")
                if row["file"] == "":
                    log.warning("%s: %s is left out: %s\n%s", job.what, row["sample_id"], row["reason"], problem)
                finished.append(row)
                if len(finished) >= NOTED_EVERY:
                    _note(folder, finished, next(numbers))
                    finished = []
    finally:
        _note(folder, finished, next(numbers))


def _made_rows(folder: Path, rows: list[Row], job: Job) -> Generator[Row, None, None]:
    chunks = [rows[start : start + CHUNK] for start in range(0, len(rows), CHUNK)]
    workers = min(worker_count(job.workers), len(chunks) // 2)
    if workers <= 1:
        yield from chain.from_iterable(make_chunk(folder, job.make, job.save_format, [row]) for row in rows)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context, initializer=start_worker) as pool:
        try:
            with children_without_ctrl_c():
                futures = [pool.submit(make_chunk, folder, job.make, job.save_format, chunk) for chunk in chunks]
            for future in as_completed(futures):
                yield from future.result()
        except BrokenProcessPool as error:
            raise InputError(
                f"{job.what}: a worker process died, most likely out of memory. Set WORKERS to less than "
                f"{workers}. What is finished is kept."
            ) from error
        finally:
            pool.shutdown(cancel_futures=True)


def worker_count(workers: int | Literal["auto"]) -> int:
    """Processes for "auto": one for each core this process may use, at most MOST_WORKERS."""
    if workers != "auto":
        return workers
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores, MOST_WORKERS)


def start_worker() -> None:
    """Ctrl-C is the parent's to handle; a parent that was killed takes its workers along."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_leave_with_parent, daemon=True).start()


def _leave_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def make_chunk(folder: Path, make: Make, save_format: Literal["png", "jpeg"], rows: Sequence[Row]) -> list[Row]:
    """Make and save some pictures; returns their manifest rows. Raises errors of the disk and of memory."""
    return [{name: row[name] for name in ORIGIN} | _made(folder, make, save_format, row) for row in rows]


def _made(folder: Path, make: Make, save_format: Literal["png", "jpeg"], row: Row) -> Row:
    try:
        picture, facts = make(row)
    except (OSError, MemoryError):
        raise
    except UnreadablePicture as error:
        return {"file": "", "method": UNREADABLE, "reason": str(error)}
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        return {"file": "", "method": FAILED, "reason": reason, "traceback": traceback.format_exc()}
    path = folder / row["file"]
    save_picture(picture, path, save_format)
    return {"file": row["file"], "reason": "", "bytes": path.stat().st_size, "checksum": file_fingerprint(path)} | facts


def save_picture(picture: Image.Image, path: Path, save_format: Literal["png", "jpeg"]) -> None:
    """Write a picture whole or not at all; JPEG with quality 95 and full colour resolution."""
    with atomic_path(path) as temporary, temporary.open("wb") as stream:
        encode_picture(picture, stream, save_format)


def encode_picture(picture: Image.Image, stream: IO[bytes], save_format: str) -> None:
    """Write a prepared picture as the bytes of its file, "png" or "jpeg"."""
    if save_format == "jpeg":
        picture.save(stream, "JPEG", quality=95, subsampling=0)
    else:
        picture.save(stream, "PNG", compress_level=3)


# ---------------------------------------------------------------- file names


def picture_stem(sample_id: str) -> str:
    """The name of a sample's picture without its ending: `a/b/photo.jpg#2` gives `photo_2`."""
    name, _, face = PurePosixPath(sample_id).name.partition("#")
    stem = PurePosixPath(name).stem
    return f"{stem}_{face}" if face else stem


def _file_names(todo: pd.DataFrame, manifest: pd.DataFrame, suffix: str) -> list[str]:
    """`<folder>/<stem><suffix>` for each row, unlike every other sample's even where case is ignored."""
    taken = dict(zip(manifest["file"].str.lower(), manifest["sample_id"], strict=True))
    names = []
    for sample_id, folder, stem in todo[["sample_id", "folder", "stem"]].itertuples(index=False):
        name = f"{folder}/{_safe(stem, sample_id)}{suffix}"
        if taken.get(name.lower(), sample_id) != sample_id:
            name = f"{folder}/{_safe(stem, sample_id)}-{fingerprint(sample_id, 6)}{suffix}"
        taken[name.lower()] = sample_id
        names.append(name)
    return names


def _safe(stem: str, sample_id: str) -> str:
    """A file name every file system takes: plain letters, not too long, none of Windows' devices."""
    plain = re.sub(r"[^A-Za-z0-9._-]+", "_", stem).strip("._ ")
    if len(plain) > LONGEST_STEM or not plain:
        plain = f"{plain[: LONGEST_STEM - 7]}-{fingerprint(sample_id, 6)}".lstrip("-")
    return f"_{plain}" if RESERVED_NAME.fullmatch(plain) else plain
