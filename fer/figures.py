"""Figures of a study, from the files it left on disk: class distributions, learning curves, confusion matrices.

No network is loaded. A figure is a `FigureJob`: where it goes, the function that draws it, and all that it
shows. `cache/figures.json` keeps a fingerprint of that per figure: only what changed is drawn again, and a
figure that no longer belongs to the study is removed if it was drawn here.

A figure added later is one `plot_*` function in plots.py and one generator of jobs in `FIGURES`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from filelock import FileLock

from evaluation import accuracy, balanced_accuracy, macro_f1
from fer.ensembles import with_derived
from fer.plots import STYLE, plot_confusion_matrix, plot_distribution, plot_learning_curves, plot_stacked_distribution
from fer.settings import EMOTIONS
from fer.study_files import (
    PredictionEntry,
    StoredRun,
    StoredStudy,
    read_class_counts,
    read_history,
    read_predictions,
    read_study,
)
from utils import InputError, atomic_path, file_fingerprint, fingerprint, log, progress, read_json, write_json

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Raise when the same inputs would be drawn another way.
FIGURES_VERSION = 1
DPI = 120
# No date and no program name in the files: equal figures have equal bytes.
METADATA = {"png": {"Software": None}, "pdf": {"CreationDate": None}, "svg": {"Date": None}}


@dataclass(frozen=True)
class FigureJob:
    """A figure to draw: `draw(*sources, title=title, **details)`; `name` is its path without suffix.

    `title` and `details` are JSON-able; `stamp` changes with what the files behind `sources` hold.
    `run` is the folder name of the run shown, "" for none.
    """

    name: str
    draw: Callable[..., Figure]
    title: list[str]
    details: dict[str, Any]
    sources: tuple[Any, ...] = ()
    stamp: Any = None
    run: str = ""

    @property
    def fingerprint(self) -> str:
        """Fingerprint of everything the figure shows."""
        drawn = [FIGURES_VERSION, self.draw.__name__, self.title, self.details, self.stamp]
        return fingerprint(drawn, length=16)


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


# ---------------------------------------------------------------- titles and names


def _notes(study: StoredStudy, *datasets: str) -> list[str]:
    """What a reader must know before believing a figure of these datasets."""
    limit = [f"LIMIT_PER_SPLIT = {study.limit}"] if study.limit is not None else []
    return limit + (["SAMPLE DATA"] if study.is_sample(*datasets) else [])


def _joined(*parts: str) -> str:
    return " · ".join(parts)


def _run_words(run: StoredRun) -> str:
    return f"trained on {run.train_on} ({run.run['variant']}), seed {run.run['seed']}"


def _name_parts(study: StoredStudy, run: StoredRun) -> list[str]:
    """What the file name of a run's figure needs beside the model: whatever the plan has several of."""
    train_on, variant, model, seed = run.name.split("__")[:4]
    columns = zip(*[name.split("__")[:4] for name in study.planned], strict=True)
    several_sets, several_variants, _, several_seeds = [len(set(values)) > 1 for values in columns]
    return [
        *([f"from_{train_on}"] if several_sets else []),
        *([variant] if several_variants else []),
        model,
        *([seed] if several_seeds else []),
    ]


# ---------------------------------------------------------------- class distributions


def distribution_jobs(study: StoredStudy) -> Iterator[FigureJob]:
    """Per dataset: rows per class and split, and training rows after balancing; the same for unions."""
    for name in study.datasets:
        try:
            counts = read_class_counts(study.output, name)
        except InputError as error:
            log.warning("the class distributions of %s are left out: %s", name, error)
            continue
        yield _original_job(study, name, counts)
        yield from _balanced_jobs(study, name, counts["train"])
    unions: dict[str, list[StoredRun]] = {}
    for run in study.runs:
        if _size(run) > 1:
            unions.setdefault(run.name.split("__")[0], []).append(run)
    for slug, runs in unions.items():
        yield from _union_jobs(study, "combined" if len(unions) == 1 else slug, _one_per_variant(runs))


def _original_job(study: StoredStudy, name: str, counts: dict[str, list[int]]) -> FigureJob:
    words = {"train": "training", "val": "validation", "test": "test"}
    bars = {f"{words[split]} (n = {sum(row):,})": row for split, row in counts.items()}
    total = sum(sum(row) for row in counts.values())
    title = [
        f"{name}: class distribution before balancing",
        _joined(f"pictures in use, n = {total:,}", *_notes(study, name)),
    ]
    return FigureJob(f"class_distributions/{name}_dist_original", plot_distribution, title, {"bars": bars})


def _balanced_jobs(study: StoredStudy, name: str, train: list[int]) -> Iterator[FigureJob]:
    runs = [run for run in study.runs if name in run.counts]
    if not runs:
        return
    bars = {f"before (n = {sum(train):,})": train}
    for run in _one_per_variant(runs):
        after = run.counts[name]["balanced"]
        bars[f"{_balance_words(run)} (n = {sum(after):,})"] = after
    title = [
        f"{name}: training pictures before and after balancing",
        _joined("one epoch; validation and test are never balanced", *_notes(study, name)),
    ]
    yield FigureJob(f"class_distributions/{name}_dist_balanced", plot_distribution, title, {"bars": bars})


def _union_jobs(study: StoredStudy, name: str, runs: list[StoredRun]) -> Iterator[FigureJob]:
    """Before and after balancing, for one union of datasets; `runs` holds one run per variant."""
    first = runs[0]
    before = {"before": {data: counts["original"] for data, counts in first.counts.items()}}
    after = {_balance_words(run): {data: counts["balanced"] for data, counts in run.counts.items()} for run in runs}
    natural = first.run["mixing"] == "natural"
    mixing = "every picture once an epoch" if natural else "then drawn equally often from each dataset"
    for kind, panels, words in (
        ("original", before, "before balancing"),
        ("balanced", after, f"each dataset balanced alone, {mixing}"),
    ):
        title = [
            f"{first.train_on} combined: training pictures",
            _joined(words, *_notes(study, *first.counts)),
        ]
        path = f"class_distributions/{name}_dist_{kind}"
        yield FigureJob(path, plot_stacked_distribution, title, {"panels": panels})


def _one_per_variant(runs: list[StoredRun]) -> list[StoredRun]:
    """For each variant the run on the fewest datasets: copies across datasets leave longer ones."""
    fewest: dict[str, StoredRun] = {}
    for run in sorted(runs, key=_size):
        fewest.setdefault(run.run["variant"], run)
    return list(fewest.values())


def _size(run: StoredRun) -> int:
    return len(run.run["train_on"])


def _balance_words(run: StoredRun) -> str:
    return f"{run.run['variant']}: {BALANCE_WORDS[run.run['balance']]}"


BALANCE_WORDS = {
    "none": "not balanced",
    "oversample": "oversampled",
    "undersample": "undersampled",
    "weights": "weighted in the loss",
}


# ---------------------------------------------------------------- learning curves


def curve_jobs(study: StoredStudy) -> Iterator[FigureJob]:
    """Per run: loss, accuracy, macro-F1 and learning rate by epoch."""
    for run in study.runs:
        if run.members:
            continue
        path = run.folder / "history.csv"
        n = f"n = {run.rows('n_train'):,} training, {run.rows('n_val'):,} validation pictures"
        title = [
            f"Learning curves of {run.run['model']}",
            _joined(_run_words(run), n, *_notes(study, *run.run["train_on"])),
        ]
        yield FigureJob(
            name=f"learning_curves/{run.name.rsplit('__', 1)[0]}",
            draw=draw_learning_curves,
            title=title,
            details={
                "best_epoch": run.facts["best_epoch"],
                "selection": run.run["selection"],
                "remark": _training_remark(run),
            },
            sources=(run,),
            stamp=file_fingerprint(path) if path.is_file() else None,
            run=run.name,
        )


def _training_remark(run: StoredRun) -> str:
    """What else moves the training curve, since it is measured while learning and validation is not."""
    hyper = run.run["hyper"]
    augmentation = hyper["augmentation"]
    changes = {
        f"classes {BALANCE_WORDS[run.run['balance']]}": run.run["balance"] != "none",
        f"{augmentation and augmentation['kind']} augmentation": augmentation is not None,
        f"label smoothing {hyper['label_smoothing']:g}": hyper["label_smoothing"] > 0,
        f"dropout {hyper['dropout']:g}": hyper["dropout"] > 0,
    }
    named = [words for words, holds in changes.items() if holds]
    means = " Validation is the mean over the datasets." if _size(run) > 1 else ""
    with_these = f", with {', '.join(named)}" if named else ""
    return f"Training is measured while learning{with_these}.{means}"


def draw_learning_curves(run: StoredRun, **shown: Any) -> Figure:
    """Learning curves of a stored run. Raises InputError when its history is damaged."""
    return plot_learning_curves(read_history(run), **shown)


# ---------------------------------------------------------------- confusion matrices


def confusion_jobs(study: StoredStudy) -> Iterator[FigureJob]:
    """Per run, test set, test variant and TTA policy: the confusion matrix, normalised by true class."""
    tests = [entry for entry in study.predictions if entry.split == "test"]
    pairs = {(entry.run.run["variant"], entry.test_variant) for entry in tests}
    several_variants = len(pairs) > len({variant for variant, _ in pairs})
    several_policies = len({entry.tta for entry in tests} - {"none"}) > 1
    for entry in tests:
        run = entry.run
        parts = [entry.test_on, *([f"{entry.test_variant}-faces"] if several_variants else [])]
        parts += [*_name_parts(study, run), "cm"]
        folder = "confusion_matrices"
        if entry.tta != "none":
            folder += "/TTA"
            parts += ["TTA", *([entry.tta] if several_policies else [])]
        scored = [f"test pictures {entry.test_variant}", "no TTA" if entry.tta == "none" else f"TTA {entry.tta}"]
        title = [
            f"{run.run['model']} on the {entry.test_on} test set",
            _run_words(run),
            _joined(*scored, *_notes(study, *entry.test_on.split("+"), *run.run["train_on"])),
        ]
        name = f"{folder}/{'_'.join(parts)}"
        yield FigureJob(name, draw_confusion_matrix, title, {}, (entry,), entry.stamp(), run.name)


def draw_confusion_matrix(entry: PredictionEntry, title: list[str]) -> Figure:
    """Confusion matrix of a predictions file, n and scores in the title. Raises InputError when damaged."""
    found = read_predictions(entry)
    classes = len(EMOTIONS)
    pairs = np.bincount(found.labels * classes + found.predicted, minlength=classes**2)
    scores = {"accuracy": accuracy, "balanced accuracy": balanced_accuracy, "macro-F1": macro_f1}
    values = [f"{name} {score(found.labels, found.probabilities):.3f}" for name, score in scores.items()]
    return plot_confusion_matrix(
        pairs.reshape(classes, classes), title=[*title, _joined(f"n = {len(found.labels):,}", *values)]
    )


FIGURES: tuple[Callable[[StoredStudy], Iterator[FigureJob]], ...] = (
    distribution_jobs,
    curve_jobs,
    confusion_jobs,
)
