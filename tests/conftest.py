"""Shared fixtures: tiny drawn datasets and settings that train in about a second on one CPU thread."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import numpy as np
import pytest
from PIL import Image

from fer.machine import precision
from fer.settings.settings import EMOTIONS, Settings, check_settings
from utils import log

# Tests run side by side: more threads than cores would only slow them. Timing is never tested.
os.environ["OMP_NUM_THREADS"] = "1"
# A shell's background job ignores Ctrl-C, and so would every command the tests start.
signal.signal(signal.SIGINT, signal.default_int_handler)
hypothesis.settings.register_profile("fer", deadline=None, derandomize=True, max_examples=60)
hypothesis.settings.load_profile("fer")


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int | None:
    """The quick loop is mostly imports, which a second process would only repeat; None: a worker per core."""
    return 0 if config.option.markexpr == "not slow" else None


TINY_MODEL = {"batch_size": 16, "weights": None, "input_size": 16, "channels": 1}


def draw_class_picture(path: Path, label: int, number: int, side: int = 20) -> None:
    """A gray picture whose class is a bright bar at one of seven heights, with noise of its own."""
    draws = np.random.default_rng((label, number, side))
    pixels = draws.integers(0, 90, (side, side))
    top = label * side // len(EMOTIONS)
    pixels[top : top + 3] += 150
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels.astype(np.uint8)).save(path)


def draw_folders(root: Path, per_class: dict[str, list[int]], start: int = 0) -> Path:
    """`root/<split>/<class>/*.png`; `per_class` gives the number of pictures of each class per split."""
    for split, counts in per_class.items():
        offset = start + {"train": 0, "val": 1000, "test": 2000}[split]
        for label, count in enumerate(counts):
            for number in range(count):
                name = f"{EMOTIONS[label]}_{number:03d}.png"
                draw_class_picture(root / split / EMOTIONS[label] / name, label, offset + number)
    return root


@pytest.fixture(autouse=True)
def every_message_is_logged() -> None:
    """What another test in this process silenced or sent elsewhere is heard again, once, by `caplog`."""
    log.setLevel(logging.INFO)
    log.handlers.clear()
    log.propagate = True


@pytest.fixture(autouse=True, scope="session")  # before any fixture that trains for a whole module
def no_amx() -> Iterator[None]:
    """The same numbers on every CPU: AMP "auto" is fp32 in this process, also where bf16 would be faster."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(precision, "cpu_has_amx", lambda: False)
        yield


@pytest.fixture
def tiny_settings(tmp_path: Path) -> Callable[..., Settings]:
    """A function that draws a small dataset per name given and returns settings over them."""

    def make(*names: str, **changes: Any) -> Settings:
        names = names or ("alpha",)
        rows = {}
        for number, name in enumerate(names):
            root = tmp_path / "in" / name
            if not root.exists():
                draw_folders(root, {"train": [14, 8, 8, 20, 10, 8, 12], "test": [4] * 7}, 5000 * number)
            rows[name] = {"path": str(root), "layout": "folders", "faces": "cropped"}
        values: dict[str, Any] = {
            "ACTIVE_DATASETS": names, "DATASETS": rows, "DATASETS_DIR": str(tmp_path / "prepared"),
            "OUTPUT_DIR": str(tmp_path / "out"), "VARIANTS": ("raw",), "EXPERIMENTS": ("individual",),
            "MODEL_CONFIG": {"tiny_plain": TINY_MODEL}, "EPOCHS": 2, "LEARNING_RATE": 3e-3,
            "FACE_SIZE": 16, "DEVICE": "cpu", "AMP": "off", "WORKERS": 0, "VAL_FRACTION": 0.2,
        }  # fmt: skip
        return check_settings(values | changes)

    return make


@pytest.fixture
def arguments(tmp_path: Path) -> Callable[[Settings], list[str]]:
    """A function that writes settings as a study file and returns the arguments that name it."""

    def write(settings: Settings) -> list[str]:
        path = tmp_path / "study.py"
        path.write_text("".join(f"{name} = {value!r}\n" for name, value in settings.describe().items()))
        return ["--config", str(path)]

    return write
