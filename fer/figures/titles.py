"""Words and names that figures of all kinds share."""

from __future__ import annotations

from fer.data.folds import OFFICIAL
from fer.results.study_files import StoredRun, StoredStudy

BALANCE_WORDS = {
    "none": "not balanced",
    "oversample": "oversampled",
    "undersample": "undersampled",
    "weights": "weighted in the loss",
    "effective_number": "weighted by effective number",
    "weighted_sampler": "drawn with equal chances",
}


def notes(study: StoredStudy, *datasets: str) -> list[str]:
    """What a reader must know before believing a figure of these datasets."""
    limit = [f"LIMIT_PER_SPLIT = {study.limit}"] if study.limit is not None else []
    return limit + (["SAMPLE DATA"] if study.is_sample(*datasets) else [])


def joined(*parts: str) -> str:
    """The parts of one line of a title."""
    return " · ".join(parts)


def run_words(run: StoredRun) -> str:
    """What a network was trained on, for titles."""
    split = "" if run.run["split"] == OFFICIAL else f", {run.run['split']}{' (folds pooled)' if run.folds else ''}"
    return f"trained on {run.train_on} ({run.run['variant']}), seed {run.run['seed']}{split}"


def name_parts(study: StoredStudy, run: StoredRun) -> list[str]:
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
