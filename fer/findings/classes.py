"""Which classes fail, and into what: of the network that validation chooses, on test."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass

import numpy as np

from fer.findings.choice import Choice, choose, percent
from fer.findings.evidence import Evidence
from fer.findings.finding import CLASSES, COUNT, MANY, Finding, listed, seeds_words
from fer.layouts.emotions import ALL_EMOTIONS
from fer.results.study_files import PredictionEntry, read_predictions
from fer.statistics.answers import setup_of
from fer.statistics.significance import wilson_interval
from fer.study.variants import scored_variant
from utils import InputError


@dataclass(frozen=True)
class Missed:
    """The class recognised least often: recall over the trainings of `choice`, its `n` pictures, and what it is taken

    for most often ("" where no answer was wrong).
    """

    choice: Choice
    emotion: str
    recall: float
    n: int
    taken_for: str

    @property
    def words(self) -> str:
        """ "fear on studio (recall 12.5 % of 8 pictures, interval 2 % to 47 %; most often taken for sad)"."""
        low, high = wilson_interval(self.recall * self.n, self.n)
        interval = f"95 % interval {100 * float(low):.0f} to {100 * float(high):.0f} %"
        taken = f"; most often taken for {self.taken_for}" if self.taken_for else ""
        pictures = "picture" if self.n == 1 else "pictures"
        recall = f"recall {percent(self.recall)} of {self.n} {pictures}, {interval}"
        return f"{self.emotion} on {self.choice.dataset} ({recall}{taken})"


def failing_classes(evidence: Evidence) -> Iterator[Finding]:
    """The class with the lowest recall on each dataset; of many datasets, which class it is most often."""
    choices = [choose(evidence, name, only_networks=True) for name in evidence.datasets]
    missed = [found for choice in choices if choice is not None and (found := _missed(evidence, choice))]
    if not missed:
        return
    if len(missed) <= MANY:
        told = f"Recognised least by the network validation chooses: {listed([one.words for one in missed])}"
    else:
        worst = min(missed, key=lambda one: one.recall)
        counts = Counter(one.emotion for one in missed).most_common()
        rest = sum(count for _, count in counts[MANY:])
        more = [f"others on {rest}"] if rest else []
        each = listed([*(f"{emotion} on {count}" for emotion, count in counts[:MANY]), *more])
        told = f"Recognised least on each of {len(missed)} datasets: {each}; lowest is {worst.words}"
    seeds = min(one.choice.seeds for one in missed)
    lowest = sorted(missed, key=lambda one: one.recall)[:MANY]
    short = ", ".join(f"{one.emotion} on {one.choice.dataset} ({100 * one.recall:.0f} % of {one.n})" for one in lowest)
    one = missed[0] if len(missed) == 1 else None
    n, recall, dataset = (
        sum(found.n for found in missed),
        one.recall if one else None,
        one.choice.dataset if one else "",
    )
    sentence, short = f"{told}; {seeds_words(seeds)}.", f"recognised least: {short}"
    yield Finding("failing classes", sentence, short, COUNT, CLASSES, recall, n=n, seeds=seeds, dataset=dataset)


def _missed(evidence: Evidence, choice: Choice) -> Missed | None:
    counts, trainings = _confusion(evidence, choice)
    rows = counts.sum(axis=1)
    if not rows.any():
        return None
    recall = np.divide(np.diag(counts), rows, out=np.full(len(rows), np.inf), where=rows > 0)
    worst = int(recall.argmin())
    wrong = np.where(np.arange(len(rows)) == worst, 0, counts[worst])
    taken_for = ALL_EMOTIONS[int(wrong.argmax())] if wrong.any() else ""
    return Missed(choice, ALL_EMOTIONS[worst], float(recall[worst]), round(int(rows[worst]) / trainings), taken_for)


def _confusion(evidence: Evidence, choice: Choice) -> tuple[np.ndarray, int]:
    """Answers by true class, int64[C, C], added up over the trainings of a choice; and how many those are.

    Folds that answered the same rows (another dataset's official test set) are a training each.
    """
    total, trainings = np.zeros((evidence.study.classes,) * 2, dtype=np.int64), 0
    for entry in evidence.study.predictions:
        if not _is_of(entry, choice):
            continue
        try:
            found = read_predictions(entry)
        except InputError:  # named among what the tables do without
            continue
        np.add.at(total, (found.labels, found.probabilities.argmax(axis=1)), 1)
        trainings += 1
    return total, trainings


def _is_of(entry: PredictionEntry, choice: Choice) -> bool:
    """True for what a training of the choice answered to its whole test set, in pictures of its own variant."""
    setup = asdict(setup_of(entry.run)) | {"tta": entry.tta}
    tested = entry.split == "test" and entry.test_on == choice.dataset and entry.rows != "fold"
    return tested and setup == choice.setup and entry.test_variant == scored_variant(choice.setup["variant"])
