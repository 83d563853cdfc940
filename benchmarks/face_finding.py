"""Faces found a second: as the pipeline finds them, against facenet-pytorch's `detect` called image by image.

    python benchmarks/face_finding.py

Same pictures, decoded beforehand on both sides. Ours: fer/faces/detection.py, one picture at a time with one thread,
in one process, and in one process a core, as preprocessing runs it (their start is not counted). Theirs:
MTCNN(keep_all=True) with its defaults and torch's threads, on the whole picture. Agreement, over the rows where both
found a face: the share whose box has an IoU of 0.95 or more with one of theirs, and the median distance of the eyes
in shares of the distance between them. With boxes given (ExpW) ours looks around the box at a set scale, theirs
searches the whole photo once for all its faces. `--photos FOLDER` adds a row for pictures of your own.
"""

from __future__ import annotations

import math
import multiprocessing
import os
import tempfile
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import harness
import numpy as np
from made_pictures import expw_like, photos, raf_like

from fer.faces.detection import Box, DetectedFace, choose_face, find_in_picture, find_near_box, overlap
from fer.layouts.label_sheets import BOX_COLUMNS
from fer.layouts.pictures import open_picture

THRESHOLD = 0.9
AIM, AIM_SHARE, SAME = 2.0, 0.98, 0.95


@dataclass(frozen=True)
class Task:
    """A decoded picture, uint8 [H, W] or [H, W, 3], and the given box of one face in it, if there is one."""

    pixels: np.ndarray
    box: Box | None
    path: str


def tasks_of(pictures: Any) -> list[Task]:
    """One task for each row."""
    boxes = pictures.files[BOX_COLUMNS].to_numpy()
    given = [None if np.isnan(box).any() else tuple(box.tolist()) for box in boxes]
    paths = pictures.files["path"].tolist()
    decoded = {path: np.asarray(open_picture(pictures.root, path)) for path in dict.fromkeys(paths)}
    return [Task(decoded[path], box, path) for path, box in zip(paths, given, strict=True)]


# ---------------------------------------------------------------- both sides


def our_face(task: Task) -> DetectedFace | None:
    """The face preprocessing would cut out for this row."""
    height, width = task.pixels.shape[:2]
    if task.box is None:
        faces = find_in_picture(task.pixels, THRESHOLD)
        return choose_face(faces, "central", (width / 2, height / 2), None)
    faces = find_near_box(task.pixels, task.box, THRESHOLD)
    return choose_face(faces, "box", (width / 2, height / 2), task.box)


def their_detector() -> Any:
    """facenet-pytorch's MTCNN as its README has it, for several faces."""
    from facenet_pytorch import MTCNN

    return MTCNN(keep_all=True)


def their_faces(detector: Any, pixels: np.ndarray) -> list[DetectedFace]:
    """Every face of a picture, with the same threshold."""
    rgb = pixels if pixels.ndim == 3 else np.stack([pixels] * 3, axis=2)
    boxes, confidences, points = detector.detect(rgb, landmarks=True)
    if boxes is None:
        return []
    found = zip(boxes.tolist(), confidences, points[:, :2].tolist(), strict=True)
    return [
        DetectedFace(tuple(box), float(sure), (tuple(a), tuple(b))) for box, sure, (a, b) in found if sure >= THRESHOLD
    ]


def each_picture_once(tasks: list[Task]) -> list[np.ndarray]:
    """The pictures of the tasks, those of several faces once."""
    return list({task.path: task.pixels for task in tasks}.values())


# ---------------------------------------------------------------- agreement


def agreement(tasks: list[Task], detector: Any) -> harness.Row:
    """How far both sides find the same faces in the same places."""
    theirs = {task.path: their_faces(detector, task.pixels) for task in tasks}
    ours = [our_face(task) for task in tasks]
    pairs = [
        (face, max(theirs[task.path], key=lambda other: overlap(face.box, other.box)))
        for task, face in zip(tasks, ours, strict=True)
        if face is not None and theirs[task.path]
    ]
    boxes = np.array([overlap(face.box, other.box) for face, other in pairs])
    eyes = np.array([_eye_distance(face, other) for face, other in pairs])
    return {
        "found by ours": sum(face is not None for face in ours),
        "by theirs": sum(bool(theirs[task.path]) for task in tasks),
        "IoU 0.95": float((boxes >= SAME).mean()) if len(pairs) else math.nan,
        "median IoU": float(np.median(boxes)) if len(pairs) else math.nan,
        "eyes apart": float(np.median(eyes)) if len(pairs) else math.nan,
    }


def _eye_distance(face: DetectedFace, other: DetectedFace) -> float:
    apart = np.linalg.norm(np.array(face.eyes) - np.array(other.eyes), axis=1).mean()
    return float(apart / max(math.dist(*other.eyes), 1e-9))


# ---------------------------------------------------------------- measuring


def _find_all(tasks: list[Task]) -> int:
    return len([our_face(task) for task in tasks])


def _in_processes(pool: ProcessPoolExecutor, parts: list[list[Task]]) -> int:
    return sum(pool.map(_find_all, parts))


def measure(kind: str, tasks: list[Task], pool: ProcessPoolExecutor, cores: int, rounds: int) -> list[harness.Row]:
    """Rows of one kind of pictures: one process, and one a core."""
    detector = their_detector()
    parts = [tasks[start : start + 4] for start in range(0, len(tasks), 4)]
    pictures = each_picture_once(tasks)

    def theirs() -> int:
        for pixels in pictures:
            their_faces(detector, pixels)
        return len(tasks)

    sides: dict[str, Callable[[], int]] = {
        "1": partial(_find_all, tasks),
        str(cores): partial(_in_processes, pool, parts),
        "theirs": theirs,
    }
    found = harness.in_turn(sides, rounds)
    same = agreement(tasks, detector)
    rows = []
    for processes in dict.fromkeys(["1", str(cores)]):
        row: harness.Row = {"pictures": kind, "faces": len(tasks), "processes": processes}
        row |= harness.compared(found[processes], found["theirs"])
        reached = row["times"] >= AIM and same["IoU 0.95"] >= AIM_SHARE
        rows.append(row | {"aim": AIM, "reached": reached} | same)
    return rows


def own_photos(folder: Path, count: int) -> list[Task]:
    """Pictures of a folder, spread evenly over it, without boxes."""
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg", ".png"))
    chosen = [found[i] for i in np.linspace(0, len(found) - 1, min(count, len(found))).astype(int)]
    return [Task(np.asarray(open_picture(folder, p.relative_to(folder).as_posix())), None, p.name) for p in chosen]


def run(options: dict[str, Any]) -> list[harness.Row]:
    """Every row of the table. `options`: images, rounds, photos (a folder or None)."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with tempfile.TemporaryDirectory() as name:
        folder, count = Path(name), options["images"]
        kinds = {
            "photos 220-300 px": tasks_of(photos(folder, count)),
            "RAF-like 100 px": tasks_of(raf_like(folder, count)),
            "ExpW-like boxes": tasks_of(expw_like(folder, count)),
        }
    if options["photos"]:
        kinds["own photos"] = own_photos(Path(options["photos"]), count)
    rows = []
    with ProcessPoolExecutor(cores, multiprocessing.get_context("spawn")) as pool:
        for kind, tasks in kinds.items():
            rows += measure(kind, tasks, pool, cores, options["rounds"])
    return rows


def main() -> None:
    """The command."""
    title = "Finding faces: faces/s against facenet-pytorch's detect image by image, drawn faces"
    harness.command("face_finding", __doc__, title, run, images=96, rounds=3, photos=None)


if __name__ == "__main__":
    main()
