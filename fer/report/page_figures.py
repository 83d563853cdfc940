"""Figures as the page shows them: by section, with a caption that says what to see and an alternative text."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import quote

from fer.figures.manifest import listed_figures

# Figures drawn before figures had captions, by folder: the section they belong to.
FOLDERS = {"mistakes": "errors", "sample_grids": "data", "eda": "data", "class_distributions": "data"}
# Most telling figures of these sections, first those that a reader asks for first.
FIRST_SCREEN = ("results", "errors", "statistics", "cost", "training", "calibration", "groups", "data")
ON_FIRST_SCREEN, TALL = 4, 1.2


@dataclass(frozen=True)
class Figure:
    """A figure of the page: address below the output folder, words about it, size in pixels (0: not known).

    `run`: folder name of the run it shows, "" for none.
    """

    address: str
    section: str
    caption: str
    alt: str
    run: str
    is_key: bool
    is_lead: bool
    width: int
    height: int

    @property
    def is_picture(self) -> bool:
        """False for a format browsers show no picture of."""
        return not self.address.endswith(".pdf")

    @property
    def is_tall(self) -> bool:
        """True for a figure that is not readable beside another."""
        return self.height > TALL * self.width


def page_figures(output: Path) -> list[Figure]:
    """Every figure that is listed, contact sheets of the audit among them: most telling and key figures first."""
    listed = sorted(listed_figures(output).items(), key=lambda item: (not item[1]["is_lead"], not item[1]["is_key"]))
    return [_figure(output, name, facts) for name, facts in listed]


def first_screen(figures: list[Figure]) -> list[Figure]:
    """The four figures to see first, one of each section a reader asks for first.

    The most telling one, or a key figure where that is too tall to be read at half the width of a page.
    """
    found = []
    for section in FIRST_SCREEN:
        own = [figure for figure in figures if figure.section == section and figure.is_picture]
        told = [figure for figure in own if figure.is_lead or (figure.is_key and own[0].is_lead)]
        if told:
            found.append(next((figure for figure in told if not figure.is_tall), told[0]))
    return sorted(found, key=lambda figure: figure.is_tall)[:ON_FIRST_SCREEN]


def _figure(output: Path, name: str, facts: dict[str, Any]) -> Figure:
    path = PurePosixPath(name)
    words = f"{path.parent.name}: {path.stem}".replace("__", ", ").replace("_", " ").capitalize()
    caption, alt = facts["caption"] or f"{words}.", facts["alt"] or f"Figure without a description, {words}."
    section = facts["section"] if facts["caption"] else FOLDERS.get(path.parts[0], facts["section"])
    size = _png_size(output / name) if path.suffix == ".png" else (0, 0)
    return Figure(
        quote(name), section, caption, alt, facts["run"], bool(facts["is_key"]), bool(facts["is_lead"]), *size
    )


def _png_size(path: Path) -> tuple[int, int]:
    """Width and height from the first 24 bytes (PNG specification, IHDR); 0, 0 when it is no PNG."""
    with path.open("rb") as stream:
        head = stream.read(24)
    return struct.unpack(">II", head[16:24]) if head[12:16] == b"IHDR" else (0, 0)
