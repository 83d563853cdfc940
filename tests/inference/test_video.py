"""Promises about videos: frames at even times in little memory, an early end is said, Ctrl-C ends a webcam's table."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import cv2
import numpy as np
import pandas as pd
import pytest

import predict
from fer.inference.predictor import Answer
from fer.inference.video import frames_of
from fer.settings.settings import EMOTIONS
from utils import InputError


class FakeCapture:
    """A camera of ten frames a second that gives `frames` frames, announces `announced`, then ends or is stopped."""

    frames, announced, stopped = 6, 6, False

    def __init__(self, source: object):
        self.given = 0

    def isOpened(self) -> bool:  # noqa: N802 - OpenCV's name
        return True

    def get(self, what: int) -> float:
        return 10.0 if what == cv2.CAP_PROP_FPS else float(self.announced)

    def read(self) -> tuple[bool, np.ndarray | None]:
        if self.given == self.frames:
            if self.stopped:
                raise KeyboardInterrupt
            return False, None
        self.given += 1
        return True, np.full((4, 4, 3), self.given, dtype=np.uint8)

    def release(self) -> None:
        pass


@pytest.fixture
def camera(monkeypatch: pytest.MonkeyPatch) -> type[FakeCapture]:
    fake = type("Fake", (FakeCapture,), {})
    monkeypatch.setattr(cv2, "VideoCapture", fake)
    return fake


@pytest.mark.parametrize(("every", "times"), [(0.2, [0.0, 0.2, 0.4]), (0.0, [0.0, 0.1, 0.2, 0.3, 0.4, 0.5])])
def test_a_frame_is_taken_every_so_many_seconds(camera: type[FakeCapture], every: float, times: list[float]) -> None:
    assert [seconds for seconds, _ in frames_of(Path("film.mp4"), every)] == pytest.approx(times)


def test_an_early_end_is_said_and_no_frame_at_all_is_an_error(
    camera: type[FakeCapture], caplog: pytest.LogCaptureFixture
) -> None:
    camera.announced = 100
    assert len(list(frames_of(Path("film.mp4"), 0))) == 6
    assert "film.mp4 ended after 6 of 100 frames" in caplog.text
    camera.frames = 0
    with pytest.raises(InputError, match="gave no frame"):
        list(frames_of(Path("film.mp4"), 0))


def test_ctrl_c_ends_a_webcam_and_keeps_its_table(camera: type[FakeCapture], tmp_path: Path) -> None:
    camera.stopped = True
    predictor = cast(Any, SimpleNamespace(
        models=[SimpleNamespace(classes=EMOTIONS)], predict_pixels=lambda pixels, name: Answer(name, ())
    ))  # fmt: skip
    arguments = predict.parse_arguments(["--webcam", "--save", str(tmp_path / "seen.csv"), "--every", "0"])
    assert predict.predict_video(predictor, 0, arguments) == 0
    assert len(pd.read_csv(tmp_path / "seen.csv")) == 6
    with pytest.raises(KeyboardInterrupt):
        predict.predict_video(predictor, Path("film.mp4"), arguments)
