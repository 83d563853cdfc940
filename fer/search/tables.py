"""A search as files: its trials, importances, the chosen point and how optimistic the choice is (fer.search.files)."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

import pandas as pd

from evaluation import load_predictions
from fer.columns.files import IMPORTANCES, TRIALS
from fer.runs.run import PlannedRun
from fer.search.chosen import config_lines, study_file
from fer.search.files import chosen_words
from fer.search.optimism import FEWEST_GROUPS, METHOD, RESAMPLES, Answers, Optimism, choice_optimism
from fer.search.space import point_of
from fer.search.storage import place_of, search_folder
from fer.search.trials import PROBLEM, RUNS, SAME_AS, TrialBook, looked_at
from fer.search.worker import at_point, validation_files
from fer.settings.grid import Point, words_of
from fer.study.plan import Study, planned_runs
from utils import InputError, lock_in, log, read_csv, write_changed, write_json

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

STATES = {"COMPLETE": "complete", "PRUNED": "pruned", "FAIL": "failed", "RUNNING": "running", "WAITING": "waiting"}
FEWEST_TRIALS = 4  # complete ones, for importances


@dataclass(frozen=True)
class Chosen:
    """The best trial by validation, with its study and runs; `facts` as in search.json, once that is written."""

    number: int
    score: float
    point: Point
    study: Study
    runs: list[PlannedRun]
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def words(self) -> str:
        """Its values, as they would stand in config.py."""
        return words_of(self.point)


def write_search(study: Study, book: TrialBook) -> Chosen | None:
    """Write everything of the search that `book` holds; None, and nothing written, while no trial is complete."""
    with lock_in(study.settings.output_path, "search_files"):
        every = book.every()
        trials = looked_at(every)
        chosen = _chosen(study, trials)
        if chosen is None:
            return None
        folder, metric = search_folder(study.settings.output_path), study.settings.primary_metric
        rows = [_row(study, one, metric, one.number == chosen.number) for one in trials]
        _write_csv(study, "trials", pd.DataFrame(rows, columns=[*study.settings.search, *TRIALS]))
        importances = _importances(book, trials)
        _write_csv(study, "importances", pd.DataFrame(importances, columns=list(IMPORTANCES)))
        found, why_not = _optimism(study, trials, metric)
        repeats = sum(SAME_AS in one.user_attrs for one in every)
        facts = _facts(study, trials, repeats, chosen, found, why_not)
        write_json(folder / "search.json", facts)
        write_changed(folder / "chosen.py", study_file(study.settings, chosen.point, _about(facts)))
    return replace(chosen, facts=facts)


def _write_csv(study: Study, name: str, table: pd.DataFrame) -> None:
    path = search_folder(study.settings.output_path) / f"{name}.csv"
    write_changed(path, table.to_csv(index=False, lineterminator="\n"))


def _chosen(study: Study, trials: list[FrozenTrial]) -> Chosen | None:
    """The highest score, of equal ones the first."""
    complete = [one for one in trials if one.state.name == "COMPLETE" and one.value is not None]
    if not complete:
        return None
    best = max(complete, key=lambda one: (float(one.value or 0.0), -one.number))
    point = point_of(study.settings.search, best.params)
    there = at_point(study, point)
    return Chosen(best.number, float(best.value or 0.0), point, there, planned_runs(there))


def _row(study: Study, trial: FrozenTrial, metric: str, is_chosen: bool) -> dict[str, Any]:
    """A trial as a row of trials.csv; of one that ended early, the score it had reached."""
    runs = trial.user_attrs.get(RUNS, [])
    epochs, seconds = _spent(study, runs)
    reached = trial.intermediate_values.get(trial.last_step) if trial.last_step is not None else None
    point = point_of(study.settings.search, trial.params)
    return {name: value if isinstance(value, str | int | float) else str(value) for name, value in point.items()} | {
        "trial": trial.number, "state": STATES[trial.state.name], "metric": metric,
        "validation_score": trial.value if trial.state.name == "COMPLETE" else reached,
        "epochs": epochs, "minutes": seconds / 60, "chosen_by_validation": is_chosen,
        "runs": " / ".join(runs), "problem": trial.user_attrs.get(PROBLEM, ""),
    }  # fmt: skip


def _spent(study: Study, runs: list[str]) -> tuple[int, float]:
    """Epochs trained and their seconds, over the runs of a trial, as their histories tell."""
    paths = [study.models_folder / name / "history.csv" for name in runs]
    histories = [read_csv(path) for path in paths if path.is_file()]
    return sum(map(len, histories)), float(sum(one["seconds"].sum() for one in histories if "seconds" in one))


def _importances(book: TrialBook, trials: list[FrozenTrial]) -> list[dict[str, Any]]:
    """Share of the scores' variance that each setting explains, by fANOVA (Hutter et al. 2014); [] for too few."""
    import optuna

    complete = [one for one in trials if one.state.name == "COMPLETE"]
    if len(complete) < FEWEST_TRIALS or len({one.value for one in complete}) < 2:
        return []
    own = optuna.create_study(direction="maximize")  # in memory: of the trials that count alone
    own.add_trials(complete)
    evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
    found = optuna.importance.get_param_importances(own, evaluator=evaluator)
    return [{"setting": name, "importance": value, "trials": len(complete)} for name, value in found.items()]


# ---------------------------------------------------------------- how optimistic the choice is


def _optimism(study: Study, trials: list[FrozenTrial], metric: str) -> tuple[Optimism | None, str]:
    """See fer.search.optimism; None with the reason."""
    complete = [one for one in trials if one.state.name == "COMPLETE"]
    answers = [found for one in complete if (found := _answers(study, one)) is not None]
    if len(answers) < len(complete):
        log.warning("SEARCH: the validation predictions of %d trials are gone", len(complete) - len(answers))
    if len(answers) < 2:
        return None, "fewer than two trials are complete"
    optimism = choice_optimism(answers, metric)
    few = f"a validation set has fewer than {FEWEST_GROUPS} groups of pictures"
    return (optimism, "") if optimism is not None else (None, few)


def _answers(study: Study, trial: FrozenTrial) -> list[Answers] | None:
    """A trial's answers, a set per run and dataset; None where a file is gone or damaged."""
    there = at_point(study, point_of(study.settings.search, trial.params))
    found = []
    runs = planned_runs(there)
    for planned in runs:
        files = validation_files(there, planned)
        if len(files) < len(planned.run.train_on):
            return None
        for name, path in zip([one for one in there.datasets if one in planned.run.train_on], files, strict=True):
            try:
                stored = load_predictions(path)
            except InputError:
                return None
            rows, _ = there.of(planned).scored(planned.run, name, "val")
            predicted, classes = stored.probabilities.argmax(1), stored.probabilities.shape[1]
            share = 1 / (len(runs) * len(files))
            found.append(Answers(stored.labels, predicted, rows["group"].to_numpy(), classes, share))
    return found


# ---------------------------------------------------------------- words


def _facts(
    study: Study, trials: list[FrozenTrial], repeats: int, chosen: Chosen, found: Optimism | None, why_not: str
) -> dict[str, Any]:
    settings, states = study.settings, Counter(STATES[one.state.name] for one in trials)
    return {
        "search": settings.describe()["SEARCH"],
        "metric": settings.primary_metric,
        "wanted": settings.search_trials,
        "counts": {state: states[state] for state in STATES.values() if states[state]},
        "looked_at": len(trials),
        "repeats": repeats,
        "storage": place_of(settings),
        "chosen": {
            "trial": chosen.number,
            "score": chosen.score,
            "words": chosen.words,
            "lines": config_lines(settings, chosen.point),
            "runs": [planned.name for planned in chosen.runs],
        },
        "optimism": None
        if found is None
        else asdict(found) | {"drop": found.drop, "method": METHOD, "resamples": RESAMPLES},
        "no_optimism": why_not,
    }


def _about(facts: dict[str, Any]) -> str:
    return f"Trial {facts['chosen']['trial']} of a search: {chosen_words(facts)}."
