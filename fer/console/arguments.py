"""The command line of main.py."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

HERE = object()  # --report without a path: the study's own output folder
DESCRIPTION = "From the datasets on disk to results: `python main.py`. The stages, in order, and the command line."


def parse_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="main.py", description=DESCRIPTION)
    parser.add_argument("--config", type=Path, metavar="FILE", help="a study file instead of config.py")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="change one value (repeatable)")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--plan", action="store_true", help="every run, done or to do, and why; trains nothing")
    what.add_argument(
        "--audit", action="store_true", help="copies, near copies, label conflicts, poor pictures, class mixes"
    )
    what.add_argument(
        "--prepare", action="store_true", help="only the data: read, audit, find faces, prepare, pack, draw"
    )
    what.add_argument("--download", metavar="NAME", help="fetch this row of DATASETS, or say how to ask for it")
    what.add_argument("--check", action="store_true", help="config, datasets, disk, device; changes nothing")
    what.add_argument(
        "--report", nargs="?", const=HERE, type=Path, metavar="PATH", help="only make tables, figures and report "
        "again, without a network: of OUTPUT_DIR, of another such folder, or of an exported .zip"
    )  # fmt: skip
    what.add_argument(
        "--verify", metavar="RUN", help="train this finished run again and compare weights and predictions"
    )
    what.add_argument(
        "--export", type=Path, metavar="FILE.zip", help="the study as one file, without pictures and weights"
    )
    what.add_argument(
        "--models",
        nargs="?",
        const="",
        metavar="WORD",
        help="the usual networks, or all whose name holds WORD: size, cost, weights; no dataset is needed",
    )
    what.add_argument(
        "--compare", nargs="?", const="", metavar="WORD", help="every finished run by validation, with the settings in "
        "which they differ; with a word, those that hold it"
    )  # fmt: skip
    what.add_argument("--no-train", action="store_true", help="score and report cached models only")
    what.add_argument(
        "--shard", metavar="I/N", help="do the I-th of N shares of the plan: a computer, or task, for each"
    )
    parser.add_argument("--demo", action="store_true", help="the whole pipeline on drawn sample faces")
    arguments = parser.parse_args(argv)
    if arguments.demo and arguments.config:
        parser.error("--demo has its own config; leave --config out")
    return arguments
