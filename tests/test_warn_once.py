"""A warning is said once a study, whatever is called after it."""

from __future__ import annotations

from pathlib import Path

import pytest

from utils import warn_once


def test_a_warning_is_said_once_and_a_new_one_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "warned.json"
    warn_once(path, ["few pictures", "few pictures"])
    warn_once(path, ["few pictures"])
    assert caplog.text.count("few pictures") == 1
    warn_once(path, ["few pictures", "a copy"])
    assert caplog.text.count("few pictures") == 1 and caplog.text.count("a copy") == 1
    path.write_text("cut of")
    warn_once(path, ["a copy"])
    assert caplog.text.count("a copy") == 2
