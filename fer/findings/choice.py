"""What validation chooses, and what that scores on test. The test scores themselves have no say in it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pandas as pd

from fer.columns.files import SETUP
from fer.findings.evidence import Evidence
from fer.findings.finding import MANY, RESULTS, SCORE, Finding, listed, metric_words, score_words, seeds_words
from fer.results.validation_choice import best_setup

CHOSEN = (*SETUP, "tta")


@dataclass(frozen=True)
class Choice:
    """A setup validation chose for a dataset: `setup` by CHOSEN; `validation` its score there, mean over `seeds`.

    `test`, `low`, `high`: the same setup on test, None where that was not scored; `accuracy` and `n` there.
    `majority`: accuracy and primary metric of the majority class, None where not known.
    """

    dataset: str
    setup: dict[str, str]
    validation: float
    seeds: int
    test: float | None = None
    low: float | None = None
    high: float | None = None
    accuracy: float | None = None
    n: int | None = None
    majority: tuple[float, float] | None = None

    @property
    def words(self) -> str:
        """ "resnet50 (augmented, trained on wild, TTA flip)"."""
        trained = [] if self.setup["train_on"] == self.dataset else [f"trained on {self.setup['train_on']}"]
        views = [] if self.setup["tta"] == "none" else [f"TTA {self.setup['tta']}"]
        return f"{self.setup['model']} ({', '.join([self.setup['variant'], *trained, *views])})"


def choose(evidence: Evidence, dataset: str, only_networks: bool) -> Choice | None:
    """The setup with the highest validation score on a dataset; None where none was validated there.

    `only_networks`: without ensembles and TTA.
    """
    rows = evidence.validation
    if only_networks:
        rows = rows[(rows["members"] == "") & (rows["tta"] == "none")]
    best = best_setup(rows, dataset, evidence.metric, CHOSEN)
    return best and _with_test(evidence, Choice(dataset, *best))


def test_rows(evidence: Evidence, choice: Choice) -> pd.DataFrame:
    """Rows of results.csv of a choice on its dataset's test set."""
    return _of_setup(evidence.test[evidence.test["test_on"] == choice.dataset], choice.setup)


def _of_setup(table: pd.DataFrame, setup: dict[str, str]) -> pd.DataFrame:
    same = pd.Series(True, index=table.index)
    for name, value in setup.items():
        same &= table[name] == value
    return table[same]


def _with_test(evidence: Evidence, choice: Choice) -> Choice:
    rows = test_rows(evidence, choice)
    if rows.empty:
        return choice
    low, high = interval_of(evidence, choice, evidence.metric)
    baseline = evidence.majority[evidence.majority["test_on"] == choice.dataset]
    accuracy, score = (float(baseline[name].mean()) for name in ("accuracy", evidence.metric))
    return Choice(
        choice.dataset, choice.setup, choice.validation, choice.seeds, float(rows[evidence.metric].mean()), low, high,
        float(rows["accuracy"].mean()), int(rows["n_test"].max()), None if baseline.empty else (accuracy, score),
    )  # fmt: skip


def interval_of(evidence: Evidence, choice: Choice, metric: str) -> tuple[float | None, float | None]:
    """The 95 % interval of a choice's test score in a metric of fer.statistics; None twice where there is none."""
    tested = scored_rows(evidence.seeds, choice)
    found = _of_setup(tested[tested["metric"] == metric], choice.setup)
    if len(found) != 1 or found["low"].isna().all():
        return None, None
    return float(found["low"].iloc[0]), float(found["high"].iloc[0])


def scored_rows(table: pd.DataFrame, choice: Choice) -> pd.DataFrame:
    """Rows of a table of statistics on the choice's dataset, in pictures of its own variant."""
    from fer.study.variants import scored_variant

    own = scored_variant(choice.setup["variant"])
    return table[(table["test_on"] == choice.dataset) & (table["test_variant"] == own)]


# ---------------------------------------------------------------- rules


def chosen_networks(evidence: Evidence) -> Iterator[Finding]:
    """The network and variant validation chooses for each dataset; of many datasets, the range in one sentence."""
    choices = [found for name in evidence.datasets if (found := choose(evidence, name, only_networks=True))]
    if len(choices) < MANY:
        yield from (_of_one(evidence, choice) for choice in choices)
    elif choices:
        yield _of_many(evidence, choices)


def _of_one(evidence: Evidence, choice: Choice) -> Finding:
    metric, seeds = metric_words(evidence.metric), seeds_words(choice.seeds)
    chosen = f"On {choice.dataset}, validation chooses {choice.words}"
    facts: dict[str, Any] = {"seeds": choice.seeds, "dataset": choice.dataset}
    if choice.test is None:
        sentence = f"{chosen}: {metric} {choice.validation:.3f} on validation, {seeds}; its test set was not scored."
        short = f"{choice.dataset}: {choice.words}, validation {metric} {choice.validation:.3f}"
        return Finding("chosen network", sentence, short, SCORE, RESULTS, estimate=choice.validation, **facts)
    accuracy = "" if evidence.metric == "accuracy" else f", accuracy {percent(choice.accuracy)}"
    score = score_words(choice.test, choice.low, choice.high)
    sentence = f"{chosen}; on {choice.n:,} test pictures it scores {metric} {score}{accuracy} ({seeds})."
    short = f"{choice.dataset}: {choice.words}, {metric} {choice.test:.3f}{_ends(choice)}"
    return Finding(
        "chosen network", sentence, short, SCORE, RESULTS, choice.test, choice.low, choice.high, choice.n, **facts
    )  # fmt: skip


def _of_many(evidence: Evidence, choices: list[Choice]) -> Finding:
    metric = metric_words(evidence.metric)
    tested = [choice for choice in choices if choice.test is not None]
    split, ranked = ("test", tested) if tested else ("validation", choices)
    ranked = sorted(ranked, key=_score_of)
    if len(ranked) <= MANY:
        each = [f"{one.words} for {one.dataset}: {metric} {_score_of(one):.3f}{_ends(one)}" for one in ranked]
        sentence = f"Validation chooses {'; '.join(each)} on {split} (in brackets the 95 % interval)"
        short = f"{metric}: " + ", ".join(f"{one.dataset} {_score_of(one):.3f} {one.setup['model']}" for one in ranked)
    else:
        least, most = ranked[0], ranked[-1]
        names = {one.setup["model"] for one in ranked}
        sentence = (
            f"What validation chooses for each of {len(ranked)} datasets ({len(names)} different networks) scores "
            f"{metric} {_score_of(least):.3f} ({least.dataset}: {least.words}) to {_score_of(most):.3f} "
            f"({most.dataset}: {most.words}) on {split}"
        )
        short = f"{metric} {_score_of(least):.3f} ({least.dataset}) to {_score_of(most):.3f} ({most.dataset})"
    seeds = min(choice.seeds for choice in ranked)
    n = sum(choice.n or 0 for choice in ranked) or None
    sentence = f"{sentence}; {seeds_words(seeds)}."
    return Finding("chosen network", sentence, f"chosen by validation, {short}", SCORE, RESULTS, n=n, seeds=seeds)


def _ends(choice: Choice) -> str:
    return "" if choice.low is None else f" ({choice.low:.3f} to {choice.high:.3f})"


def _score_of(choice: Choice) -> float:
    return choice.validation if choice.test is None else choice.test


def best_numbers(evidence: Evidence) -> Iterator[Finding]:
    """The best number a paper may claim per test set: chosen by validation among all, ensembles and TTA included."""
    found = [choose(evidence, name, only_networks=False) for name in evidence.datasets]
    choices = [choice for choice in found if choice is not None and choice.test is not None and choice.majority]
    if not choices:
        return
    metric = metric_words(evidence.metric)
    ranked = sorted(choices, key=lambda one: one.test - one.majority[1])  # type: ignore[operator, index]
    shown = choices if len(choices) <= MANY else [ranked[0], ranked[-1]]
    each = listed([_beside_majority(evidence, choice) for choice in shown])
    among = "" if len(choices) <= MANY else f"Of {len(choices)} test sets the least and the most above it: "
    sentence = (
        f"The best that validation picks among all networks, ensembles and TTA, by {metric}, beside the majority "
        f"class: {among}{each}."
    )
    beside = ", ".join(f"{one.dataset} {one.test:.3f} against {one.majority[1]:.3f}" for one in shown)  # type: ignore[index]
    short = f"{metric} beside the majority class: {beside}"
    n, seeds = sum(choice.n or 0 for choice in choices), min(choice.seeds for choice in choices)
    yield Finding("best number", sentence, short, SCORE, RESULTS, n=n, seeds=seeds, **_alone(choices))


def _beside_majority(evidence: Evidence, choice: Choice) -> str:
    assert choice.majority is not None and choice.test is not None
    text = f"{choice.dataset} {choice.test:.3f} against {choice.majority[1]:.3f}"
    if evidence.metric != "accuracy":
        text += f" (accuracy {percent(choice.accuracy)} against {percent(choice.majority[0])})"
    return f"{text} by {choice.words}"


def _alone(choices: list[Choice]) -> dict[str, Any]:
    if len(choices) != 1:
        return {}
    one = choices[0]
    return {"estimate": one.test, "low": one.low, "high": one.high, "dataset": one.dataset}


def percent(share: float | None) -> str:
    """A share of 1 as "41.2 %"."""
    return "unknown" if share is None else f"{100 * share:.1f} %"
