"""Promises about the documentation: links lead somewhere, pages can be read in one go."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from fer.layouts.known_datasets import datasets_table
from fer.settings.settings import PROJECT

PAGES = [
    PROJECT / "README.md",
    *sorted((PROJECT / "docs").glob("*.md")),
    *sorted((PROJECT / "benchmarks").glob("*.md")),
]
LINK = re.compile(r"\]\(([^)\s]+)\)")


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_files_and_headings_that_exist(page: Path) -> None:
    for link in LINK.findall(page.read_text(encoding="utf-8")):
        if link.startswith("http"):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_no_page_is_long(page: Path) -> None:
    limit = 150 if page.name == "README.md" else 200
    assert len(page.read_text(encoding="utf-8").splitlines()) <= limit


def test_every_page_is_reached_from_the_readme() -> None:
    text = (PROJECT / "README.md").read_text(encoding="utf-8")
    assert [page.name for page in PAGES[1:] if page.relative_to(PROJECT).as_posix() not in text] == []


def test_every_dependency_has_its_reason() -> None:
    listed = (PROJECT / "docs" / "dependencies.md").read_text(encoding="utf-8").lower()
    project = (PROJECT / "pyproject.toml").read_text(encoding="utf-8").split("[dependency-groups]")[0]
    names = re.findall(r'^    "([A-Za-z][\w-]*)[<>=]', project, re.MULTILINE)
    assert [name for name in names if name.removesuffix("-python-headless") not in listed] == []


def test_the_page_of_datasets_shows_the_table_that_the_program_uses() -> None:
    assert datasets_table() in (PROJECT / "docs" / "datasets.md").read_text(encoding="utf-8")
