"""Frames of a video file or a webcam through OpenCV, one after another: a film of any length takes the same memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from utils import InputError, log


def frames_of(source: Path | int, every: float) -> Iterator[tuple[float, np.ndarray]]:
    """Time in seconds and pixels (RGB, uint8 [H, W, 3]) of a frame every `every` seconds; 0: of all frames.

    A webcam (its number) goes on until Ctrl-C. A file that ends before its announced length is said to.
    Raises InputError where nothing can be opened, or not a single frame read.
    """
    capture = cv2.VideoCapture(str(source) if isinstance(source, Path) else source)
    try:
        if not capture.isOpened():
            raise InputError(
                f"{_name(source)} cannot be opened as a video here. Is it there, and not in use elsewhere?"
            )
        rate = capture.get(cv2.CAP_PROP_FPS) or 25.0
        announced = max(int(capture.get(cv2.CAP_PROP_FRAME_COUNT)), 0)
        read, due = 0, 0.0
        while True:
            there, frame = capture.read()
            if not there:
                break
            seconds = read / rate
            read += 1
            if seconds + 1e-9 >= due:
                due = seconds + every
                yield seconds, cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)
        _say_end(source, read, announced)
    finally:
        capture.release()


def _say_end(source: Path | int, read: int, announced: int) -> None:
    if read == 0:
        raise InputError(f"{_name(source)} gave no frame: it is empty, damaged, or in a format OpenCV does not know.")
    if read < announced:
        log.warning("%s ended after %d of %d frames", _name(source), read, announced)


def _name(source: Path | int) -> str:
    return f"webcam {source}" if isinstance(source, int) else str(source)
