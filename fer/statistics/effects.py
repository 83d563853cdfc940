"""Does it help? One estimate per question, over all matched pairs of a study: two answers equal in all but one thing.

| question | first | minus second | equal in both |
|---|---|---|---|
| preprocessing | preprocessed | raw | training set, network, seed, fold, test pictures |
| augmentation | augmented | preprocessed, as tested | the same |
| preprocessing and augmentation | augmented | raw | the same, where a study has nothing between them |
| combining sets | trained on several, the tested one among them | trained on the tested one | variant, network, seed |
| other dataset | trained on others, the tested one not among them | trained on the tested one | the same |
| TTA | each policy | none | the training |
| ensembling | soft vote | the member that validation chooses | training set, variant, seed … |

All but "other dataset" on test sets trained on; all but TTA without it; oracles are in none. `mean_difference` makes
the estimate: the plain mean of the matched differences. Its variance has two parts, which add up:

- test pictures. All pairs on a test set share them, so their mean is resampled over its groups (fer.statistics.
  bootstrap); different test sets are independent.
- trainings. Pairs that share a training (one seed on several test sets; one combined run beside two individual ones)
  make a cluster, and the spread of the clusters tells how far other trainings would move the mean (cluster-robust
  variance; Cameron and Miller 2015, Journal of Human Resources 50), less what the pictures explain of it, which the
  first part holds already (as in fer.statistics.significance.compare). Where every setup has several seeds it is the
  spread of seeds inside setups. With one seed it is that between setups: whatever else differs between them widens
  the interval.

Student's t with as many degrees of freedom as the clusters have at most. Under three clusters, pictures alone: about
these weights only. The mean is over the networks and datasets of the study; of others it says nothing. Friedman's
test with Nemenyi's (Demšar 2006, what autorank writes up) takes each dataset as one observation and needs six of them;
most studies here have three, with seeds and shared test pictures, which it has no place for.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from evaluation import METRICS
from fer.results.study_files import StoredStudy, read_predictions
from fer.statistics.answers import Answer, TestSet
from fer.statistics.significance import ALPHA, ENOUGH_SEEDS, Difference, EffectiveSize, difference_of, freedom_of_seeds
from fer.statistics.simultaneous import together
from fer.study.variants import scored_variant
from utils import InputError

QUESTIONS = ("preprocessing", "augmentation", "preprocessing and augmentation", "combining sets", "other dataset",
             "TTA", "ensembling")  # fmt: skip
STEPS = {
    ("raw", "preprocessed"): "preprocessing",
    ("preprocessed", "augmented"): "augmentation",
    ("raw", "augmented"): "preprocessing and augmentation",
}
HIGHER, LOWER, NOT_SHOWN = "higher", "lower", "no difference shown"
Setup = tuple[str, ...]


class Cluster(NamedTuple):
    """Pairs whose trainings have to do with each other: `setup` without its seed, and the seed."""

    setup: Setup
    seed: int


@dataclass(frozen=True)
class Pair:
    """Two answers to the same rows that differ in one thing; `where`: words for the test set and training sets."""

    question: str
    cluster: Cluster
    where: str
    first: Answer
    second: Answer


# ---------------------------------------------------------------- which pairs


def validation_scores(study: StoredStudy, metric: str) -> dict[str, float]:
    """Validation score of each run without TTA, the mean over its datasets; those that cannot be read are left out."""
    found: dict[str, list[float]] = defaultdict(list)
    unread: set[str] = set()
    for entry in study.predictions:
        if entry.split == "val" and entry.tta == "none" and entry.how == "file":
            try:
                rows = read_predictions(entry)
            except InputError:  # said by the tables
                unread.add(entry.run.name)
                continue
            found[entry.run.name].append(METRICS[metric](rows.labels, rows.probabilities))
    return {name: float(np.mean(values)) for name, values in found.items() if name not in unread}


def matched_pairs(test_set: TestSet, validation: dict[str, float]) -> Iterator[Pair]:
    """All pairs on the test set of one dataset; `validation`: see `validation_scores`."""
    tested = test_set.name
    own = [one for one in test_set.pooled if one.test_variant == scored_variant(one.setup.variant)]
    honest = [one for one in own if not one.setup.is_oracle]
    plain = [one for one in honest if one.tta == "none"]
    networks = [one for one in plain if not one.entry.run.members]
    at_home = [one for one in networks if tested in _parts(one)]
    yield from _variant_pairs(at_home, tested)
    yield from _training_set_pairs(networks, tested)
    yield from _policy_pairs([one for one in honest if not one.entry.run.members and tested in _parts(one)], tested)
    yield from _ensemble_pairs([one for one in plain if tested in _parts(one)], tested, validation)


def _parts(answer: Answer) -> list[str]:
    return answer.setup.train_on.split("+")


def _variant_pairs(answers: list[Answer], tested: str) -> Iterator[Pair]:
    found: dict[Any, dict[str, Answer]] = defaultdict(dict)
    for one in answers:
        setup = one.setup
        shared = (setup.train_on, setup.model, setup.mixing, setup.selection)
        found[shared, one.seed, one.folds, id(one.rows)][setup.variant] = one
    between = any(variants.keys() >= {"preprocessed"} for variants in found.values())
    for (shared, seed, *_), variants in found.items():
        for (second, first), question in STEPS.items():
            if {first, second} <= variants.keys() and not (between and (second, first) == ("raw", "augmented")):
                yield Pair(question, Cluster(shared, seed), tested, variants[first], variants[second])


def _training_set_pairs(answers: list[Answer], tested: str) -> Iterator[Pair]:
    """Trained on several sets or on others, each beside the same network trained on the tested set alone."""

    def shared(one: Answer) -> tuple[Setup, int, tuple[str, ...], int]:
        return (one.setup.variant, one.setup.model, one.setup.selection), one.seed, one.folds, id(one.rows)

    alone = {shared(one): one for one in answers if one.setup.train_on == tested}
    for one in answers:
        second = alone.get(shared(one))
        if second is None or second is one:
            continue
        combined = tested in _parts(one)
        where = f"{one.setup.train_on} on {tested}" if combined else f"{one.setup.train_on} to {tested}"
        question = "combining sets" if combined else "other dataset"
        yield Pair(question, Cluster(shared(one)[0], one.seed), where, one, second)


def _policy_pairs(answers: list[Answer], tested: str) -> Iterator[Pair]:
    without = {(one.setup, one.seed, one.folds): one for one in answers if one.tta == "none"}
    for one in answers:
        second = without.get((one.setup, one.seed, one.folds))
        if one.tta != "none" and second is not None and second.rows is one.rows:
            yield Pair("TTA", Cluster(_words(one), one.seed), f"{one.tta} on {tested}", one, second)


def _words(one: Answer) -> Setup:
    setup = one.setup
    return setup.train_on, setup.variant, setup.model, setup.balance, setup.mixing, setup.selection


def _ensemble_pairs(answers: list[Answer], tested: str, validation: dict[str, float]) -> Iterator[Pair]:
    teams: dict[Any, list[Answer]] = defaultdict(list)
    for one in answers:
        setup = one.setup
        shared = (setup.train_on, setup.variant, setup.balance, setup.mixing, setup.selection)
        teams[shared, one.seed, one.folds, id(one.rows)].append(one)
    for (shared, seed, *_), team in teams.items():
        votes = [one for one in team if one.setup.model == "ensemble_soft"]
        members = {_validation_of(one, validation): one for one in team if not one.entry.run.members}
        if votes and members and None not in members:
            best = members[max(score for score in members if score is not None)]
            yield Pair("ensembling", Cluster(shared, seed), tested, votes[0], best)


def _validation_of(one: Answer, validation: dict[str, float]) -> float | None:
    """Of folds together: the mean over them."""
    names = one.entry.run.folds or (one.entry.run.name,)
    known = [validation[name] for name in names if name in validation]
    return float(np.mean(known)) if len(known) == len(names) else None


# ---------------------------------------------------------------- the estimate


@dataclass
class Matched:
    """Matched differences of one question and score, added test set by test set; resamples are not kept."""

    values: dict[Cluster, list[float]] = field(default_factory=lambda: defaultdict(list))
    where: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    pictures: list[tuple[float, float]] = field(default_factory=list)  # variance of the sum, its freedom
    of_clusters: dict[Setup, float] = field(default_factory=lambda: defaultdict(float))  # variances, added up
    of_setups: dict[Setup, float] = field(default_factory=lambda: defaultdict(float))  # variance of a setup's sum
    of_all: float = 0.0  # variance of the sum of all
    n: int = 0
    n_groups: int = 0

    def add(
        self, differences: Iterable[tuple[Cluster, str, float, np.ndarray]], size: EffectiveSize, n: int, groups: int
    ) -> None:
        """Add the pairs on one set of `n` rows in `groups`: cluster, where, difference, and it in each resample [B]."""
        sums: dict[Cluster, Any] = {}
        for cluster, where, value, draws in differences:
            self.values[cluster].append(value)
            self.where[where].append(value)
            sums[cluster] = sums.get(cluster, 0.0) + draws
        setups: dict[Setup, Any] = {}
        for cluster, draws in sums.items():
            setups[cluster.setup] = setups.get(cluster.setup, 0.0) + draws
            self.of_clusters[cluster.setup] += _variance(draws)
        for setup, draws in setups.items():
            self.of_setups[setup] += _variance(draws)
        of_all = _variance(sum(setups.values()))
        self.of_all += of_all
        self.pictures.append((of_all * size.inflation, size.freedom))
        self.n, self.n_groups = self.n + n, self.n_groups + groups

    @property
    def pairs(self) -> int:
        """Matched pairs."""
        return sum(map(len, self.values.values()))

    @property
    def n_seeds(self) -> int:
        """Seeds among them."""
        return len({cluster.seed for cluster in self.values})


def _variance(draws: np.ndarray) -> float:
    return float(np.asarray(draws, dtype=np.float64).var(ddof=1))


def mean_difference(found: Matched) -> Difference:
    """Mean of the matched differences with its interval and p; see the module's text."""
    count = found.pairs
    value = sum(map(sum, found.values.values())) / count
    pictures = sum(variance for variance, _ in found.pictures)
    by_size = sum(variance**2 / freedom for variance, freedom in found.pictures)
    of_pictures = pictures / count**2, pictures**2 / by_size if by_size > 0 else found.pictures[0][1]
    spread, explained, freedom = _spread_of_clusters(found, value)
    if freedom < ENOUGH_SEEDS - 1:
        return difference_of(value, *of_pictures, True, "bootstrap over groups")
    variance = of_pictures[0] + max(spread - explained, 0.0) / count**2
    of_both = freedom_of_seeds([(spread / count**2, float(freedom)), of_pictures])
    return difference_of(value, variance, of_both, False, "clusters of trainings and resampled groups")


def _spread_of_clusters(found: Matched, mean: float) -> tuple[float, float, int]:
    """Variance of the sum of differences as clusters tell it, its part that pictures explain, and degrees of freedom.

    Inside setups where each has several seeds, else over all clusters.
    """
    setups: dict[Setup, list[float]] = defaultdict(list)
    for cluster, values in found.values.items():
        setups[cluster.setup].append(sum(value - mean for value in values))
    strata = [(sums, found.of_clusters[setup], found.of_setups[setup]) for setup, sums in setups.items()]
    freedom = len(found.values) - len(strata)
    if freedom < ENOUGH_SEEDS - 1 or min(map(len, setups.values())) < 2:
        every = [one for sums in setups.values() for one in sums]
        strata, freedom = [(every, sum(found.of_clusters.values()), found.of_all)], len(every) - 1
    if freedom < 1:
        return 0.0, 0.0, freedom
    weights = [len(sums) / (len(sums) - 1) for sums, _, _ in strata]
    spread = sum(w * len(sums) * float(np.var(sums)) for w, (sums, _, _) in zip(weights, strata, strict=True))
    explained = sum(w * (own - shared / len(sums)) for w, (sums, own, shared) in zip(weights, strata, strict=True))
    return spread, explained, freedom


# ---------------------------------------------------------------- rows of effects.csv


@dataclass
class Effects:
    """Collects the matched pairs of a study, and answers its questions."""

    validation: dict[str, float]
    found: dict[tuple[str, str], Matched] = field(default_factory=lambda: defaultdict(Matched))
    tested: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))

    def add(self, test_set: TestSet) -> None:
        """Add the pairs on the test set of one dataset."""
        by_rows: dict[tuple[str, int], list[Pair]] = defaultdict(list)
        for pair in matched_pairs(test_set, self.validation):
            by_rows[pair.question, id(pair.first.rows)].append(pair)
        for (question, _), pairs in by_rows.items():
            rows = pairs[0].first.rows
            self.tested[question] += [test_set.name] if test_set.name not in self.tested[question] else []
            for score in test_set.scores:
                differences = [
                    (one.cluster, one.where, one.first.scores[score] - one.second.scores[score],
                     one.first.resampled[score] - one.second.resampled[score])
                    for one in pairs
                ]  # fmt: skip
                self.found[question, score].add(differences, rows.sizes[score], len(rows), rows.draws.n_groups)

    def rows(self) -> list[dict[str, Any]]:
        """A row per question and score, in the columns of effects.csv; corrected for all questions of a score."""
        rows = []
        for score in dict.fromkeys(score for _, score in self.found):
            asked = [question for question in QUESTIONS if (question, score) in self.found]
            estimates = [mean_difference(self.found[question, score]) for question in asked]
            family = together(estimates, same_rows=False)
            for question, one, p in zip(asked, estimates, family.p, strict=True):
                low, high = one.interval(family.level())
                verdict = NOT_SHOWN if p >= ALPHA else HIGHER if one.value > 0 else LOWER
                adjusted = {"low_adjusted": low, "high_adjusted": high, "p_adjusted": float(p)}
                found = self.found[question, score]
                keys = {"question": question, "metric": score, "test_on": "+".join(self.tested[question])}
                rows.append(keys | _row(one, found) | adjusted | {"questions": len(asked), "verdict": verdict})
        return rows


def _row(one: Difference, found: Matched) -> dict[str, Any]:
    means = {where: float(np.mean(values)) for where, values in sorted(found.where.items())}
    least, most = min(means, key=lambda where: means[where]), max(means, key=lambda where: means[where])
    return {
        "difference": one.value, "low": one.low, "high": one.high, "p": one.p, "pairs": found.pairs,
        "clusters": len(found.values), "n_seeds": found.n_seeds, "weights_only": one.weights_only,
        "smallest": means[least], "smallest_where": least, "largest": means[most], "largest_where": most,
        "n": found.n, "n_groups": found.n_groups, "method": one.method,
    }  # fmt: skip
