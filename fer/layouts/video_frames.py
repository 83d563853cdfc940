"""Frames of the clips that datasets ship, by number; OpenCV is imported where a clip is opened."""

from __future__ import annotations

from pathlib import Path

from PIL import Image


def frame_count(file: Path) -> int:
    """Frames the clip announces; 0 where it cannot be opened."""
    import cv2

    capture = cv2.VideoCapture(str(file))
    try:
        return max(int(capture.get(cv2.CAP_PROP_FRAME_COUNT)), 0) if capture.isOpened() else 0
    finally:
        capture.release()


def read_frame(file: Path, number: int) -> Image.Image | None:
    """Frame `number` (from 0) as RGB; None where there is none.

    Decoded from the start: seeking lands on the wrong frame in some formats.
    """
    import cv2

    capture = cv2.VideoCapture(str(file))
    try:
        for _ in range(number):
            if not capture.grab():
                return None
        there, frame = capture.read()
    finally:
        capture.release()
    return Image.fromarray(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)) if there else None
