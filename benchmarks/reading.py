"""Reading and packing a dataset of FER2013's size: the first time, and again when nothing changed.

    python benchmarks/reading.py [--fer2013 FOLDER]

Reading: every file listed, decoded once, hashed, splits and copies settled (`open_study`). Packing: every face into one
memory-mapped array. Aims for 35,887 files of 48 pixels: 45 seconds, the second time 1. Without --fer2013, as many files
are drawn. The files were just written or read, so they are in the system's cache: a cold disk adds its own time.
"""

from __future__ import annotations

import statistics
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import harness
from made_pictures import class_folders, study_of

from fer.settings.settings import Settings
from fer.study.plan import open_study
from fer.study.variants import scored_faces

AIMS = {"first": 45.0, "again": 1.0}


def read_and_pack(settings: Settings) -> tuple[harness.Round, harness.Round]:
    """Both stages once."""
    study, reading = harness.timed(partial(open_study, settings))
    data = study.datasets["measured"]
    _, packing = harness.timed(partial(scored_faces, data, "train", "raw", 48, settings))
    count = len(data.samples) + len(data.rejected)
    return harness.Round(count, reading.wall, reading.cpu), harness.Round(count, packing.wall, packing.cpu)


def row_of(what: str, rounds: list[tuple[harness.Round, harness.Round]]) -> harness.Row:
    """Medians over the rounds."""
    totals = [reading.wall + packing.wall for reading, packing in rounds]
    row: harness.Row = {
        "what": what,
        "files": rounds[0][0].items,
        "reading s": statistics.median(reading.wall for reading, _ in rounds),
        "packing s": statistics.median(packing.wall for _, packing in rounds),
        "total s": statistics.median(totals),
        "lowest": min(totals),
        "highest": max(totals),
        "CPU s": statistics.median(reading.cpu + packing.cpu for reading, packing in rounds),
        "n": len(rounds),
    }
    return row | {"aim": AIMS[what], "reached": row["total s"] <= AIMS[what]}


def run(options: dict[str, Any]) -> list[harness.Row]:
    """Both rows. `options`: images, rounds, again, fer2013 (a folder or None)."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if options["fer2013"]:
            dataset, layout = Path(options["fer2013"]).resolve(), "fer2013"
        else:
            dataset, layout = class_folders(folder / "dataset", options["images"]), "folders"
        each = [study_of(dataset, folder / f"out{number}", layout) for number in range(options["rounds"])]
        first = [read_and_pack(settings) for settings in each]
        again = [read_and_pack(each[0]) for _ in range(options["again"])]
    return [row_of("first", first), row_of("again", again)]


def main() -> None:
    """The command."""
    title = "Reading and packing, 48 px (drawn faces where no FER2013 is named)"
    harness.command("reading", __doc__, title, run, images=35_887, rounds=1, again=5, fer2013=None)


if __name__ == "__main__":
    main()
