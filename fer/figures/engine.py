"""A figure to draw, and drawing: only what changed, by several processes where figures are many.

A manifest in `cache/` keeps a fingerprint per figure and the words about it (fer.figures.manifest): only what changed
is drawn again, and a figure that no longer belongs to the study is removed if it was drawn here.
"""

from __future__ import annotations

import json
import os
import signal
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fer.console.interrupt import children_without_ctrl_c
from fer.figures.manifest import Section, read_manifest
from fer.figures.style import STYLE
from utils import InputError, atomic_path, fingerprint, log, progress, write_changed, write_json

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Raise when the same inputs would be drawn another way.
FIGURES_VERSION = 8
DPI = 120
# No date and no program name in the files: equal figures have equal bytes.
METADATA = {"png": {"Software": None}, "pdf": {"CreationDate": None}, "svg": {"Date": None}}
# Starting a process costs about as much as drawing ten figures.
MANY, MOST_WORKERS = 24, 4
LeftOut = dict[str, str]  # {"what": the figure, "why": the reason}


@dataclass(frozen=True)
class FigureJob:
    """A figure to draw: `draw(*sources, title=title, **details)`; `name` is its path without suffix.

    `title` and `details` are JSON-able; `stamp` changes with what the files behind `sources` hold.
    `run` is the folder name of the run shown, "" for none. `caption` says in sentences what to see, `alt` in one
    what the picture is, for who does not see it. `section` is where it belongs in the report; `is_key` marks a figure
    a reader would miss (FIGURES = "key" draws no other), `is_lead` the one of its section (in section run: of its run)
    that tells most.
    """

    name: str
    draw: Callable[..., Figure]
    title: list[str]
    details: dict[str, Any]
    sources: tuple[Any, ...] = ()
    stamp: Any = None
    run: str = ""
    section: Section = "results"
    caption: str = ""
    alt: str = ""
    is_key: bool = False
    is_lead: bool = False

    @property
    def fingerprint(self) -> str:
        """Fingerprint of everything the figure shows."""
        drawn = [FIGURES_VERSION, self.draw.__name__, self.title, self.details, self.stamp]
        return fingerprint(drawn, length=16)

    @property
    def facts(self) -> dict[str, Any]:
        """What the manifest holds of the figure once it is drawn."""
        about = {"section": self.section, "caption": self.caption, "alt": self.alt, "run": self.run}
        return about | {"is_key": self.is_key, "is_lead": self.is_lead, "fingerprint": self.fingerprint}


def named_jobs(jobs: Iterable[FigureJob], plot_format: str) -> dict[str, FigureJob]:
    """Jobs by their path under the output folder; runs that would share a name get their hash."""
    jobs = list(jobs)
    times = Counter(job.name for job in jobs)
    named = {}
    for job in jobs:
        apart = f"_{job.run.rsplit('__', 1)[-1]}" if times[job.name] > 1 else ""
        named[f"{job.name}{apart}.{plot_format}"] = job
    return named


def note_left_out(what: str, why: str) -> LeftOut:
    """A warning in the log, and the record of it."""
    log.warning("%s is left out: %s", what, why)
    return {"what": what, "why": why}


def write_left_out(path: Path, left_out: list[LeftOut]) -> None:
    """Write what could not be drawn, for the report."""
    write_changed(path, json.dumps(left_out, indent=2, ensure_ascii=False) + "\n")


def draw_changed(
    output: Path, jobs: dict[str, FigureJob], manifest: Path, in_process: bool = False, every: bool = True
) -> tuple[list[str], list[LeftOut]]:
    """Draw what changed and remove what no longer belongs; noted in the manifest, also when stopped half-way.

    Unless `every`, only key figures are drawn; others that are there and still true stay. Many figures are drawn by
    several processes, unless `in_process`. Returns the paths of the figures that are there, and those left out.
    """
    known = read_manifest(manifest)
    facts = {path: job.facts for path, job in jobs.items()}
    same = {path for path in jobs if _is_drawn(output, path, known, facts)}
    changed = {path: job for path, job in jobs.items() if path not in same and (every or job.is_key)}
    noted, failed = known | {path: facts[path] for path in same}, []
    try:
        for path, why in _results(output, changed, in_process):
            if not why:
                noted[path] = facts[path]
                continue
            failed.append(note_left_out(path, why))
            if path in known:
                _remove(output, path, noted)
        for path in known.keys() - same - changed.keys():
            _remove(output, path, noted)
    finally:
        if noted != known:
            write_json(manifest, dict(sorted(noted.items())))
    return list(noted), failed


def _is_drawn(output: Path, path: str, known: dict[str, Any], facts: dict[str, Any]) -> bool:
    same = path in known and known[path]["fingerprint"] == facts[path]["fingerprint"]
    return same and (output / path).is_file()


def _remove(output: Path, path: str, noted: dict[str, Any]) -> None:
    (output / path).unlink(missing_ok=True)
    del noted[path]


def _results(output: Path, jobs: dict[str, FigureJob], in_process: bool) -> Iterator[tuple[str, str]]:
    """Each path once its figure is drawn, "" beside it, or why it could not be."""
    if in_process or len(jobs) <= MANY:
        for path, job in progress(jobs.items(), "figures", len(jobs)) if jobs else ():
            yield path, _outcome(job, output / path)
        return
    workers = max(2, min(os.cpu_count() or 2, MOST_WORKERS))
    with ProcessPoolExecutor(workers, get_context("spawn"), initializer=_quiet_worker) as pool:
        with children_without_ctrl_c():
            waiting = {pool.submit(_outcome, job, output / path): path for path, job in jobs.items()}
        try:
            for done in progress(as_completed(waiting), "figures", len(jobs)):
                yield waiting[done], done.result()
        finally:
            pool.shutdown(cancel_futures=True)


def _quiet_worker() -> None:
    """Ctrl-C is for the main process; and a worker that counted on every core would slow the others."""
    from threadpoolctl import threadpool_limits

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threadpool_limits(1)


def _outcome(job: FigureJob, path: Path) -> str:
    """Draw one figure: "" when it is drawn, else which file is damaged and how."""
    try:
        _draw(job, path)
    except InputError as error:
        return str(error)
    return ""


def _draw(job: FigureJob, path: Path) -> Path:
    """Draw one figure; returns `path`. Raises InputError when a file it needs is damaged."""
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    with mpl.rc_context(STYLE):  # type: ignore[arg-type]
        figure = job.draw(*job.sources, title=job.title, **job.details)
        FigureCanvasAgg(figure)
        kind = path.suffix.removeprefix(".")
        options: dict[str, Any] = {"pil_kwargs": {"compress_level": 3}} if kind == "png" else {}
        with atomic_path(path) as temporary:
            figure.savefig(temporary, dpi=DPI, format=kind, metadata=METADATA[kind], **options)
    return path
