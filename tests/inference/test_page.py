"""Promises about the local page, in a real browser: upload, result, two faces, errors in words, nothing kept."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from chromium import browser as browser  # the fixture
from chromium import in_browser
from face_datasets import study_settings
from PIL import Image

from fer.inference.page import take
from fer.sample_faces.datasets import STUDIO, draw_face
from fer.settings.settings import PROJECT
from fer.study.execution import execute
from fer.study.plan import open_study, planned_runs

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = [
    pytest.mark.slow,
    in_browser,
]
pytest.importorskip("gradio", reason="the extra `app` is not installed")
WAIT = 60_000  # milliseconds; a first answer loads torch


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("page")
    changes = {"VARIANTS": ("preprocessed",), "ACTIVE_DATASETS": ("studio",), "EXPERIMENTS": ("individual",)}
    study = open_study(study_settings(folder, **changes))
    assert execute(study, planned_runs(study)) == {}
    return study.settings.output_path


@contextmanager
def served(output: Path, demo: Path, files: Path) -> Iterator[str]:
    """The page's address while it is served by a process of its own; `files`: its temporary folder."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    files.mkdir(exist_ok=True)
    command = [sys.executable, "app.py", "--output", str(output), "--demo", str(demo), "--port", str(port)]
    process = subprocess.Popen(command, cwd=PROJECT, env=os.environ | {"TMPDIR": str(files)})
    try:
        yield _wait_for(f"http://127.0.0.1:{port}/", process)
    finally:
        process.terminate()
        process.wait(20)


def _wait_for(address: str, process: subprocess.Popen) -> str:
    for _ in range(240):
        assert process.poll() is None, "app.py ended"
        try:
            urllib.request.urlopen(address, timeout=5)
            return address
        except OSError:
            time.sleep(0.5)
    raise AssertionError("app.py does not answer")


@pytest.fixture(scope="module")
def address(output: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("served")
    with served(output, folder / "no_demo", folder / "files") as found:
        yield found
        left = [path for path in (folder / "files").rglob("*.*") if path.suffix in (".png", ".jpg")]
        assert left == [], "an uploaded picture was kept"


@pytest.fixture
def page(browser: Browser, address: str) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1200, "height": 1000})
    opened = context.new_page()
    opened.goto(address)
    yield opened
    context.close()


def two_faces(path: Path) -> Path:
    faces = [np.asarray(draw_face(np.random.default_rng(seed), 3, STUDIO).resize((220, 220))) for seed in (3, 5)]
    Image.fromarray(np.hstack(faces)).save(path)
    return path


def upload(page: Page, path: Path) -> None:
    page.locator("input[type=file]").first.set_input_files(str(path))


def test_two_faces_are_answered_with_their_heat(page: Page, tmp_path: Path) -> None:
    page.get_by_label("Grad-CAM").check()
    upload(page, two_faces(tmp_path / "two.jpg"))
    status = page.locator("#answer [role=status]")
    status.wait_for(timeout=WAIT)
    assert status.inner_text().startswith("2 faces")
    assert page.locator("#answer li").count() == 2 and "%" in page.locator("#answer li").first.inner_text()
    page.locator("#answer img").nth(1).wait_for(timeout=WAIT)
    if "FER_SCREENSHOT" in os.environ:
        page.screenshot(path=os.environ["FER_SCREENSHOT"], full_page=True)


def test_a_text_named_as_a_picture_is_an_error_in_words(page: Page, tmp_path: Path) -> None:
    (tmp_path / "letter.jpg").write_text("Dear reader")
    upload(page, tmp_path / "letter.jpg")
    alert = page.locator("#answer [role=alert]")
    alert.wait_for(timeout=WAIT)
    assert "letter.jpg" in alert.inner_text() and "not a picture" in alert.inner_text()


def test_a_fresh_clone_says_so_and_offers_the_demos_networks(output: Path, browser: Browser, tmp_path: Path) -> None:
    with served(tmp_path / "nothing", output, tmp_path / "files") as address:
        page = browser.new_page()
        page.goto(address)
        page.get_by_text("Nothing is trained in").wait_for(timeout=WAIT)
        assert page.get_by_label("Run", exact=True).input_value().startswith("demo, drawn faces:")
        page.close()
    with served(tmp_path / "nothing", tmp_path / "neither", tmp_path / "files") as address:
        page = browser.new_page()
        page.goto(address)
        page.get_by_text("Nothing is trained here yet").wait_for(timeout=WAIT)
        assert "python main.py --demo" in page.inner_text("body")
        page.close()


def test_an_uploaded_file_is_read_and_deleted(tmp_path: Path) -> None:
    pixels, problem = take(str(two_faces(tmp_path / "two.png")))
    assert pixels is not None and pixels.shape == (220, 440, 3) and problem == ""
    assert not (tmp_path / "two.png").exists()
