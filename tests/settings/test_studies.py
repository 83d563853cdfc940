"""Every study file in studies/ is a configuration that can be read, and says how to run it."""

from __future__ import annotations

from pathlib import Path

import pytest

from fer.settings.settings import PROJECT, load_settings

STUDIES = sorted(path for path in (PROJECT / "studies").glob("*.py") if not path.stem.endswith("_table"))


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_study_is_a_valid_configuration_that_names_its_command(path: Path) -> None:
    settings = load_settings(path)
    assert settings.experiments
    assert f"--config studies/{path.name}" in path.read_text(encoding="utf-8") or path.stem == "demo"
