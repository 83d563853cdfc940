"""Figures of a study, from the files it left on disk.

No network is loaded and no picture of a dataset is opened (those are drawn by figures/picture_figures.py). A figure
is a `FigureJob`: where it goes, the function that draws it, and all that it shows.

A figure added later is one `plot_*` function and one generator of jobs in `FIGURES`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from fer.figures.drawing import LeftOut, draw_changed, named_jobs, note_left_out, write_left_out
from fer.figures.figures_cost import cost_jobs
from fer.figures.figures_cross import cross_jobs
from fer.figures.figures_data import distribution_jobs
from fer.figures.figures_metrics import augmentation_jobs, combined_jobs, ensemble_jobs, metric_jobs, tta_jobs
from fer.figures.figures_results import confusion_jobs
from fer.figures.figures_selection import detection_jobs, funnel_jobs, quality_jobs
from fer.figures.figures_statistics import statistics_jobs
from fer.figures.figures_training import architecture_jobs, curve_jobs
from fer.figures.jobs import FigureJob
from fer.results.ensembles import with_derived
from fer.results.study_files import StoredStudy, read_study
from utils import InputError, lock_in

FIGURES: tuple[Callable[[StoredStudy], Iterator[FigureJob]], ...] = (
    distribution_jobs,
    funnel_jobs,
    quality_jobs,
    detection_jobs,
    curve_jobs,
    architecture_jobs,
    confusion_jobs,
    metric_jobs,
    augmentation_jobs,
    tta_jobs,
    cross_jobs,
    combined_jobs,
    ensemble_jobs,
    cost_jobs,
    statistics_jobs,
)


def draw_figures(output: Path, plot_format: str) -> list[Path]:
    """Draw what changed of the study's figures as `plot_format` (png, pdf, svg); returns all that are there.

    A figure whose files are damaged is left out with a warning; left_out.json lists these as {"what", "why"}.
    Raises InputError when study.json cannot be used.
    """
    study = with_derived(read_study(output))
    cache = output / "cache"
    cache.mkdir(parents=True, exist_ok=True)
    with lock_in(output, "figures"):
        jobs, left_out = _planned(study, plot_format)
        drawn, failed = draw_changed(output, jobs, cache / "figures.json")
        write_left_out(output / "left_out.json", [*left_out, *failed])
    return sorted(output / path for path in drawn)


def figure_jobs(study: StoredStudy, plot_format: str) -> dict[str, FigureJob]:
    """Every figure the study should have, by its path under the output folder."""
    return _planned(study, plot_format)[0]


def _planned(study: StoredStudy, plot_format: str) -> tuple[dict[str, FigureJob], list[LeftOut]]:
    """The jobs by path; kinds of figures that cannot even be planned are left out with a warning."""
    jobs: list[FigureJob] = []
    left_out: list[LeftOut] = []
    for generate in FIGURES:
        try:
            jobs += generate(study)
        except InputError as error:
            what = generate.__name__.removesuffix("_jobs").replace("_", " ") + " figures"
            left_out.append(note_left_out(what, str(error)))
    return named_jobs(jobs, plot_format), left_out
