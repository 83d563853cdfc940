"""The report while a grid runs: tables, page and learning curves, once a minute, by a process of its own.

It works on the files that the runs leave, so it takes no memory from them, and whatever fails in it fails there.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import threading
import time
from collections.abc import Callable
from multiprocessing.synchronize import Event
from pathlib import Path
from types import TracebackType

from fer.console.interrupt import children_without_ctrl_c
from fer.figures.engine import draw_changed, named_jobs
from fer.figures.training import live_jobs
from fer.report.page import write_report
from fer.results.study_files import read_study
from fer.results.tables import write_tables
from utils import log, start_logging

PERIOD = 60.0  # seconds between two pages, and before the first: a short study needs none
SHARE = 20  # it rests at least this many times as long as it works
LIVE_FIGURES = "cache/live_figures.json"


def write_live_page(output: Path, plot_format: str) -> None:
    """Tables, page, and learning curves of the runs so far, those of a running network included."""
    study = read_study(output)
    write_tables(output)
    draw_changed(output, named_jobs(live_jobs(study, plot_format), plot_format), output / LIVE_FIGURES, in_process=True)
    write_report(output)


class LivePage:
    """Keeps the page of a study up to date while its block runs; call it after each run.

    `note` writes what only this process knows (the list of predictions in study.json). Neither it nor the page can
    stop the block: what fails is said in the log.
    """

    def __init__(self, output: Path, plot_format: str, note: Callable[[], None], period: float = PERIOD):
        self.output, self.plot_format, self.note, self.period = output, plot_format, note, period
        self.noted = time.monotonic()
        context = multiprocessing.get_context("spawn")
        self.stop = context.Event()
        self.process = context.Process(
            target=_keep_writing, args=(output, plot_format, self.stop, period), daemon=True, name="live page"
        )
        self.timer = threading.Timer(period, self._start)
        self.timer.daemon = True

    def __enter__(self) -> LivePage:
        self.timer.start()
        return self

    def _start(self) -> None:
        try:
            with children_without_ctrl_c():
                self.process.start()
        except Exception:
            log.exception("the live page is not written; the runs go on")

    def __call__(self) -> None:
        """To be called after each run."""
        if time.monotonic() - self.noted < self.period:
            return
        try:
            self.note()
        except Exception:
            log.exception("the live page could not be brought up to date; the runs go on")
        self.noted = time.monotonic()

    def __exit__(self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None) -> None:
        self.timer.cancel()
        self.timer.join()
        if self.process.pid is not None:
            self.stop.set()
            self.process.join(0 if kind else 60)
            self.process.kill()
            self.process.join()
        if kind is None and (self.output / LIVE_FIGURES).is_file():
            draw_changed(self.output, {}, self.output / LIVE_FIGURES)  # the report draws the final ones


def _keep_writing(output: Path, plot_format: str, stop: Event, period: float) -> None:
    start_logging()
    log.setLevel(logging.ERROR)  # what is missing while runs go on is no news
    threading.Thread(target=_leave_with_parent, daemon=True).start()
    while True:
        began = time.monotonic()
        try:
            write_live_page(output, plot_format)
        except Exception as error:
            log.error("the live page could not be written (%s: %s); the runs go on", type(error).__name__, error)
        if stop.wait(max(period, SHARE * (time.monotonic() - began))):
            return


def _leave_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
