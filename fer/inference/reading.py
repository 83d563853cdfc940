"""Pictures to be predicted: which files those are, and their faces, found by several processes in order."""

from __future__ import annotations

import multiprocessing
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from glob import glob
from itertools import islice
from pathlib import Path

import numpy as np
from PIL import Image

from fer.console.interrupt import children_without_ctrl_c
from fer.faces.detection import Box
from fer.faces.prepared import start_worker
from fer.inference.face_recipe import Face
from fer.layouts.pictures import UnreadablePicture, open_picture
from utils import InputError

AT_ONCE = 8  # pictures a worker takes at a time
AHEAD = 4  # such parts for each worker, done before they are asked for
# Pictures for each worker beyond the first. Loading its libraries takes 3.6 s, the faces of a picture (250 px) 0.027:
# with fewer than 270 pictures one process is done before two are.
WORTH_WORKERS = 250
VIDEOS = {".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg", ".wmv"}

Found = tuple[list[Face], str]
# From the views of a picture (`faces_of`) and its given box to its faces; picklable.
Find = Callable[..., list[Face]]


@dataclass(frozen=True)
class Picture:
    """A picture to predict. Of a dataset's row also the photo it was cut from, and the face's box in the picture."""

    path: Path
    photo: Path | None = None
    box: Box | None = None


def pictures_in(where: str) -> list[Path]:
    """The files that `where` names: one picture, all files of a folder and those below, or a glob, by name.

    Of a folder only endings that Pillow knows, and no hidden files; a file that is named is taken whatever it is.
    Raises InputError where there is none.
    """
    path = Path(where)
    if path.is_file():
        return [path]
    known = set(Image.registered_extensions())
    if path.is_dir():
        found = sorted(one for one in path.rglob("*") if one.suffix.lower() in known and not one.name.startswith("."))
    else:
        found = sorted(one for name in glob(where, recursive=True) if (one := Path(name)).is_file())  # noqa: PTH207
    if found:
        return found
    if path.is_dir():
        raise InputError(f"{where} holds no pictures ({', '.join(sorted(known)[:6])}, …). Name another folder.")
    raise InputError(f"{where} does not exist, and matches no file. Name a picture, a folder, or a pattern in quotes.")


def prepared(pictures: Sequence[Picture], find: Find, workers: int) -> Iterator[Found]:
    """The faces of each picture, or why it cannot be read, in order; several processes where that is worth it."""
    workers = min(workers, len(pictures) // WORTH_WORKERS + 1)
    if workers <= 1:
        yield from (_prepare(find, picture) for picture in pictures)
        return
    context = multiprocessing.get_context("spawn")
    parts = (pictures[first : first + AT_ONCE] for first in range(0, len(pictures), AT_ONCE))
    with ProcessPoolExecutor(workers, context, initializer=start_worker) as pool:
        try:
            with children_without_ctrl_c():  # processes are started with the first pictures
                waiting = deque(_submitted(pool, find, parts, workers * AHEAD))
            while waiting:
                yield from waiting.popleft().result()
                waiting += _submitted(pool, find, parts, 1)
        except BrokenProcessPool as error:
            raise InputError(
                f"A process that finds faces died, most likely out of memory. Use --workers {workers - 1}."
            ) from error
        finally:
            pool.shutdown(cancel_futures=True)


def _submitted(
    pool: ProcessPoolExecutor, find: Find, parts: Iterator[Sequence[Picture]], count: int
) -> list[Future[list[Found]]]:
    """The next `count` parts, handed to the processes: no more than these wait in memory, however many there are."""
    return [pool.submit(_prepare_all, find, part) for part in islice(parts, count)]


def _prepare_all(find: Find, pictures: Sequence[Picture]) -> list[Found]:
    return [_prepare(find, picture) for picture in pictures]


def _prepare(find: Find, picture: Picture) -> Found:
    try:
        views = [read_pixels(picture.path)]
        if picture.photo is not None:
            views.insert(0, read_pixels(picture.photo))
        return find(views, box=picture.box), ""
    except UnreadablePicture as error:
        return [], str(error)
    except OSError as error:  # of the disk, not of the picture; the others are still answered
        return [], f"cannot be read: {error.strerror or error}"


def read_pixels(path: Path) -> np.ndarray:
    """A picture upright, 8 bits, of several frames the first: uint8 [H, W] or [H, W, 3]. Raises UnreadablePicture."""
    return np.asarray(open_picture(path.parent, path.name))
