"""Figures of the datasets: class distributions before and after balancing."""

from __future__ import annotations

from collections.abc import Iterator

from fer.figures.jobs import BALANCE_WORDS, FigureJob, joined, notes
from fer.figures.style import plot_distribution, plot_stacked_distribution
from fer.results.study_files import StoredRun, StoredStudy, read_class_counts
from utils import InputError, log

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
        yield from _union_jobs(study, "combined" if len(unions) == 1 else slug, one_per_variant(runs))


def _original_job(study: StoredStudy, name: str, counts: dict[str, list[int]]) -> FigureJob:
    words = {"train": "training", "val": "validation", "test": "test"}
    bars = {f"{words[split]} (n = {sum(row):,})": row for split, row in counts.items()}
    total = sum(sum(row) for row in counts.values())
    title = [
        f"{name}: class distribution before balancing",
        joined(f"pictures in use, n = {total:,}", *notes(study, name)),
    ]
    return FigureJob(f"class_distributions/{name}_dist_original", plot_distribution, title, {"bars": bars})


def _balanced_jobs(study: StoredStudy, name: str, train: list[int]) -> Iterator[FigureJob]:
    runs = [run for run in study.runs if name in run.counts]
    if not runs:
        return
    bars = {f"before (n = {sum(train):,})": train}
    for run in one_per_variant(runs):
        after = run.counts[name]["balanced"]
        bars[f"{_balance_words(run)} (n = {sum(after):,})"] = after
    title = [
        f"{name}: training pictures before and after balancing",
        joined("one epoch; validation and test are never balanced", *notes(study, name)),
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
            joined(words, *notes(study, *first.counts)),
        ]
        path = f"class_distributions/{name}_dist_{kind}"
        yield FigureJob(path, plot_stacked_distribution, title, {"panels": panels})


def one_per_variant(runs: list[StoredRun]) -> list[StoredRun]:
    """For each variant the run on the fewest datasets: copies across datasets leave longer ones."""
    fewest: dict[str, StoredRun] = {}
    for run in sorted(runs, key=_size):
        fewest.setdefault(run.run["variant"], run)
    return list(fewest.values())


def _size(run: StoredRun) -> int:
    return len(run.run["train_on"])


def _balance_words(run: StoredRun) -> str:
    return f"{run.run['variant']}: {BALANCE_WORDS[run.run['balance']]}"
