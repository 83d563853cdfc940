"""What cannot be concluded, said once: drawn faces, unfinished runs, one seed, ties, few pictures, no learning."""

from __future__ import annotations

from collections.abc import Iterator

from fer.findings.choice import choose
from fer.findings.evidence import Evidence
from fer.findings.finding import LIMIT, STATE, Finding, counted, listed, metric_words, seeds_words
from fer.layouts.emotions import ALL_EMOTIONS
from fer.results.study_files import read_class_counts
from fer.results.trainings import SETUP
from fer.statistics.families import TIE
from fer.statistics.significance import ENOUGH_SEEDS
from utils import InputError

FEW = 10  # test pictures of a class; its recall then moves by ten points or more with one picture


def limits(evidence: Evidence) -> Iterator[Finding]:
    """One sentence. The rules below give each clause, and the word for it in the terminal."""
    found = [
        *_what_is_there(evidence),
        *_passed_over(evidence),
        *_seeds(evidence),
        *_ties(evidence),
        *_majority(evidence),
        *_few(evidence),
    ]
    if found:
        sentence = f"Not to be concluded: {'; '.join(clause for clause, _ in found)}."
        short = f"beware: {', '.join(word for _, word in found)}"
        yield Finding("limits", sentence, short, LIMIT, STATE, seeds=evidence.n_seeds)


def _what_is_there(evidence: Evidence) -> Iterator[tuple[str, str]]:
    study = evidence.study
    if study.sample_data:
        drawn = (
            "all faces are"
            if len(study.sample_data) == len(study.datasets)
            else f"those of {listed(sorted(study.sample_data))} are"
        )
        yield f"anything about real faces, since {drawn} drawn sample data", "drawn faces"
    if study.limit is not None:
        yield (
            f"anything about whole datasets, since LIMIT_PER_SPLIT = {study.limit} leaves parts of them",
            f"LIMIT_PER_SPLIT = {study.limit}",
        )
    done = {run.name for run in study.runs}
    missing = sum(name not in done for name in study.planned)
    if missing:
        is_or_are = "is" if missing == 1 else "are"
        yield (
            f"anything final, since {missing} of {counted(len(study.planned), 'run')} {is_or_are} not finished",
            f"{missing} of {len(study.planned)} runs unfinished",
        )


def _passed_over(evidence: Evidence) -> Iterator[tuple[str, str]]:
    """Networks that validation could not choose, since they lack seeds that others have there."""
    rows = evidence.validation[evidence.validation["test_on"].isin(evidence.datasets)]
    rows = rows[(rows["members"] == "") & (rows["tta"] == "none")]
    seeds = rows.groupby(["test_on", *SETUP])["seed"].nunique()
    lacking = seeds[seeds < seeds.groupby("test_on").transform("max")].reset_index()
    if len(lacking):
        names = listed(sorted(set(lacking["model"])))
        yield (
            f"that {names} fall behind what validation chooses on {listed(sorted(set(lacking['test_on'])))}, since "
            "trainings with seeds that others have are missing there, and nothing is chosen by fewer seeds",
            f"{names} passed over, seeds missing",
        )


def _seeds(evidence: Evidence) -> Iterator[tuple[str, str]]:
    if evidence.n_seeds < ENOUGH_SEEDS:
        seeds = f"{seeds_words(evidence.n_seeds)} may be luck ({ENOUGH_SEEDS} are needed)"
        yield (
            f"which architecture is better, since {seeds}: scores are of these weights only",
            seeds_words(evidence.n_seeds),
        )


def _ties(evidence: Evidence) -> Iterator[tuple[str, str]]:
    """Comparisons of networks that end in no difference."""
    table = evidence.comparisons
    pairs = table[(table["family"] == "models") & (table["metric"] == evidence.metric)]
    pairs = pairs[pairs["test_on"].isin(evidence.datasets)]
    ties = int((pairs["verdict"] == TIE).sum())
    if ties:
        of = "the one comparison" if len(pairs) == 1 else f"{ties} of {len(pairs)} comparisons"
        metric = metric_words(evidence.metric)
        yield (
            f"that networks differ in {metric} where no difference is shown ({of} of two networks)",
            f"{ties} of {len(pairs)} network pairs tie",
        )


def _majority(evidence: Evidence) -> Iterator[tuple[str, str]]:
    weak = len(evidence.not_learned)
    if weak:
        yield (
            f"much from {counted(weak, 'network')} that did not learn more than the majority class",
            f"{weak} did not learn",
        )
    choices = [choose(evidence, name, only_networks=True) for name in evidence.datasets]
    close = [
        one.dataset for one in choices
        if one is not None and one.majority is not None and one.low is not None and one.low <= one.majority[1]
    ]  # fmt: skip
    if close:
        yield (
            f"that the chosen network beats the majority class on {listed(close)}: its interval reaches it",
            f"near the majority class on {listed(close)}",
        )


def _few(evidence: Evidence) -> Iterator[tuple[str, str]]:
    """Classes with few test pictures; those without any cannot be scored at all."""
    few = []
    for name in evidence.datasets:
        try:
            counts = read_class_counts(evidence.study.output, name, evidence.study.classes)["test"]
        except InputError:  # named among what the tables do without
            continue
        few += [f"{ALL_EMOTIONS[label]} in {name}" for label, count in enumerate(counts) if 0 < count < FEW]
    if few:
        named = listed(few) if len(few) <= 4 else f"{few[0]}, {few[1]} and {len(few) - 2} more"
        yield (
            f"much about single classes with under {FEW} test pictures ({named})",
            f"{len(few)} classes with under {FEW} test pictures",
        )
