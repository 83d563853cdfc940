"""Figures of a study, from the files it left on disk.

No network is loaded. A figure is a `FigureJob`: where it goes, the function that draws it, and all that it
shows. `cache/figures.json` keeps a fingerprint of that per figure: only what changed is drawn again, and a
figure that no longer belongs to the study is removed if it was drawn here.

A figure added later is one `plot_*` function and one generator of jobs in `FIGURES`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from filelock import FileLock

from fer.ensembles import with_derived
from fer.figure_jobs import FigureJob
from fer.figures_data import distribution_jobs
from fer.figures_results import confusion_jobs
from fer.figures_training import curve_jobs
from fer.plots import STYLE
from fer.study_files import StoredStudy, read_study
from utils import InputError, atomic_path, log, progress, read_json, write_json

DPI = 120
# No date and no program name in the files: equal figures have equal bytes.
METADATA = {"png": {"Software": None}, "pdf": {"CreationDate": None}, "svg": {"Date": None}}
FIGURES: tuple[Callable[[StoredStudy], Iterator[FigureJob]], ...] = (
    distribution_jobs,
    curve_jobs,
    confusion_jobs,
)


def draw_figures(output: Path, plot_format: str) -> list[Path]:
    """Draw what changed of the study's figures as `plot_format` (png, pdf, svg); returns all that are there.

    A figure whose files are damaged is left out with a warning. Raises InputError when study.json
    cannot be used.
    """
    study = with_derived(read_study(output))
    cache = output / "cache"
    cache.mkdir(parents=True, exist_ok=True)
    with FileLock(cache / "figures.lock"):
        drawn = _draw_changed(output, figure_jobs(study, plot_format), cache / "figures.json")
    return sorted(output / path for path in drawn)


def figure_jobs(study: StoredStudy, plot_format: str) -> dict[str, FigureJob]:
    """Every figure the study should have, by its path under the output folder.

    Runs that would share a name are told apart by their hash.
    """
    jobs = [job for generate in FIGURES for job in generate(study)]
    times = Counter(job.name for job in jobs)
    named = {}
    for job in jobs:
        apart = f"_{job.run.rsplit('__', 1)[-1]}" if times[job.name] > 1 else ""
        named[f"{job.name}{apart}.{plot_format}"] = job
    return named


# ---------------------------------------------------------------- drawing what changed


def _read_map(path: Path) -> dict[str, str]:
    """Fingerprint of each figure drawn so far, by its path under the output folder."""
    if not path.is_file():
        return {}
    try:
        return dict(read_json(path))
    except (OSError, ValueError, TypeError) as error:
        log.warning("%s cannot be read (%s); every figure is drawn again.", path, error)
        return {}


def _draw_changed(output: Path, jobs: dict[str, FigureJob], map_file: Path) -> list[str]:
    """Draw what changed and remove what no longer belongs; noted in the map, also when stopped half-way.

    Returns the paths of the study's figures.
    """
    known = _read_map(map_file)
    changed = [
        path for path, job in jobs.items() if known.get(path) != job.fingerprint or not (output / path).is_file()
    ]
    noted = known.copy()
    try:
        for path in progress(changed, "figures") if changed else ():
            if _draw(jobs[path], output / path):
                noted[path] = jobs[path].fingerprint
            elif path in known:
                _remove(output, path, noted)
        for path in known.keys() - jobs.keys():
            _remove(output, path, noted)
    finally:
        if noted != known:
            write_json(map_file, dict(sorted(noted.items())))
    return list(noted)


def _remove(output: Path, path: str, noted: dict[str, str]) -> None:
    (output / path).unlink(missing_ok=True)
    del noted[path]


def _draw(job: FigureJob, path: Path) -> bool:
    """Draw one figure; False, with a warning, when a file it needs is damaged."""
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    with mpl.rc_context(STYLE):  # type: ignore[arg-type]
        try:
            figure = job.draw(*job.sources, title=job.title, **job.details)
        except InputError as error:
            log.warning("%s is left out: %s", path.name, error)
            return False
        FigureCanvasAgg(figure)
        kind = path.suffix.removeprefix(".")
        options: dict[str, Any] = {"pil_kwargs": {"compress_level": 3}} if kind == "png" else {}
        with atomic_path(path) as temporary:
            figure.savefig(temporary, dpi=DPI, format=kind, metadata=METADATA[kind], **options)
    return True
