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
from made_pictures import class_folders

from fer.settings.settings import Settings, check_settings
from fer.study.plan import open_study
from fer.study.variants import scored_faces

AIMS = {"first": 45.0, "again": 1.0}


def settings_for(dataset: Path, layout: str, output: Path) -> Settings:
    """One dataset of cropped faces, as it is."""
    return check_settings({
        "ACTIVE_DATASETS": ("measured",),
        "DATASETS": {"measured": {"path": str(dataset), "layout": layout, "faces": "cropped"}},
        "OUTPUT_DIR": str(output), "DATASETS_DIR": str(output / "prepared"),
        "VARIANTS": ("raw",), "EXPERIMENTS": ("individual",),
        "MODEL_CONFIG": {"small_residual": {"batch_size": 128, "weights": None, "input_size": 48, "channels": 1}},
    })  # fmt: skip


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
        first = [
            read_and_pack(settings_for(dataset, layout, folder / f"out{number}")) for number in range(options["rounds"])
        ]
        again = [read_and_pack(settings_for(dataset, layout, folder / "out0")) for _ in range(options["again"])]
    return [row_of("first", first), row_of("again", again)]


def main() -> None:
    """The command."""
    options = vars(harness.options_of(__doc__, images=35_887, rounds=1, again=5, fer2013=None))
    harness.started("reading")
    kind = "FER2013" if options["fer2013"] else "drawn faces"
    title = f"Reading and packing, 48 px, {kind}"
    harness.report("reading", title, run(options), options, options.pop("output"))


if __name__ == "__main__":
    main()
