"""Which figures a study has, and drawing them from the files it left on disk.

No network is loaded; pictures of a dataset are opened for the figures of fer/figures/pictures.py alone, which need
the datasets. A figure added later is one generator of jobs in FIGURES, and its `plot_*` function beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from fer.figures.calibration import reliability_jobs, risk_jobs
from fer.figures.class_distributions import distribution_jobs
from fer.figures.comparisons import comparison_jobs
from fer.figures.confusion import chosen_jobs, confusion_jobs
from fer.figures.cost import cost_jobs
from fer.figures.cross_dataset import cross_jobs
from fer.figures.engine import FigureJob, LeftOut, draw_changed, named_jobs, note_left_out, write_left_out
from fer.figures.gains import augmentation_jobs, combined_jobs, ensemble_jobs, tta_jobs
from fer.figures.grid import grid_jobs
from fer.figures.grid_classes import grid_class_jobs
from fer.figures.groups import group_jobs
from fer.figures.label_noise import label_noise_jobs
from fer.figures.metrics import class_jobs, metric_jobs, overview_jobs
from fer.figures.search import search_jobs
from fer.figures.selection import detection_jobs, funnel_jobs, quality_jobs
from fer.figures.threshold_curves import threshold_jobs
from fer.figures.training import architecture_jobs, curve_jobs
from fer.results.ensembles import with_derived
from fer.results.study_files import StoredStudy, read_study
from utils import InputError, lock_in

if TYPE_CHECKING:
    from fer.runs.run import PlannedRun
    from fer.study.plan import Study

FIGURES: tuple[Callable[[StoredStudy], Iterator[FigureJob]], ...] = (
    distribution_jobs,
    funnel_jobs,
    quality_jobs,
    detection_jobs,
    label_noise_jobs,
    curve_jobs,
    architecture_jobs,
    chosen_jobs,
    confusion_jobs,
    overview_jobs,
    grid_jobs,
    grid_class_jobs,
    search_jobs,
    metric_jobs,
    class_jobs,
    threshold_jobs,
    augmentation_jobs,
    tta_jobs,
    cross_jobs,
    combined_jobs,
    ensemble_jobs,
    cost_jobs,
    reliability_jobs,
    risk_jobs,
    group_jobs,
    comparison_jobs,
)
# Jobs by what they are, for the words about those that are left out.
Kinds = Mapping[str, Iterable[FigureJob]]
Which = Literal["key", "all"]


def draw_figures(output: Path, plot_format: str, which: Which = "key") -> list[Path]:
    """Draw what changed of the study's figures as `plot_format` (png, pdf, svg); returns all that are there.

    `which` is FIGURES: "key" figures alone, or "all"; others drawn before stay while they are still true. A figure
    whose files are damaged is left out with a warning; left_out.json lists these as {"what", "why"}.
    Raises InputError when study.json cannot be used.
    """
    kinds = _kinds(with_derived(read_study(output)))
    return _draw(output, kinds, plot_format, which, "figures", "left_out.json")


def draw_picture_figures(study: Study, runs: list[PlannedRun], plot_format: str, which: Which = "key") -> list[Path]:
    """Draw what changed of the figures that show faces of the datasets; returns all that are there.

    `runs` is the present plan. What cannot be drawn is warned of and listed in left_out_pictures.json.
    """
    from fer.figures.attention import attention_jobs
    from fer.figures.augmentations import augmentation_example_jobs
    from fer.figures.pictures import mistake_jobs, rejected_jobs, sample_jobs

    output = study.settings.output_path
    stored = read_study(output)
    kinds = {
        "sample": sample_jobs(study, stored, runs),
        "augmentation example": augmentation_example_jobs(study, stored, runs),
        "rejected": rejected_jobs(study, stored),
        "mistake": mistake_jobs(study, stored),
        "attention": attention_jobs(study, stored),
    }
    return _draw(output, kinds, plot_format, which, "picture_figures", "left_out_pictures.json", in_process=True)


def figure_jobs(study: StoredStudy, plot_format: str) -> dict[str, FigureJob]:
    """Every figure the study should have, by its path under the output folder; those with faces aside."""
    return _planned(_kinds(study), plot_format)[0]


def _kinds(study: StoredStudy) -> Kinds:
    return {generate.__name__.removesuffix("_jobs").replace("_", " "): generate(study) for generate in FIGURES}


def _draw(
    output: Path, kinds: Kinds, plot_format: str, which: Which, name: str, left_out_name: str, in_process: bool = False
) -> list[Path]:
    """Draw what changed of `kinds`; cache/<name>.json knows what was drawn before. Returns the paths of all."""
    cache = output / "cache"
    cache.mkdir(parents=True, exist_ok=True)
    with lock_in(output, name):
        jobs, left_out = _planned(kinds, plot_format)
        drawn, failed = draw_changed(output, jobs, cache / f"{name}.json", in_process, every=which == "all")
        write_left_out(output / left_out_name, [*left_out, *failed])
    return sorted(output / path for path in drawn)


def _planned(kinds: Kinds, plot_format: str) -> tuple[dict[str, FigureJob], list[LeftOut]]:
    """The jobs by path; kinds of figures that cannot even be planned are left out with a warning."""
    jobs: list[FigureJob] = []
    left_out: list[LeftOut] = []
    for kind, generated in kinds.items():
        try:
            jobs += generated
        except InputError as error:
            left_out.append(note_left_out(f"{kind} figures", str(error)))
    return named_jobs(jobs, plot_format), left_out
