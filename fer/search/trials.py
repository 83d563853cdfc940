"""Which trial is next, for any number of workers: none is given to two, and none is looked at twice.

One lock in the output folder is held while a trial is given, and one of each trial while it is worked on; a trial that
is running and whose lock is free has lost its worker, and is given again. Suggestion number n depends on the trials
before it and on n alone, so that a search of one worker, interrupted or not, is the same search.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from fer.runs.run import PlannedRun
from fer.search.space import Params, distributions, point_of, unseen_params
from fer.search.storage import patiently
from fer.settings.grid import Point
from fer.settings.search import size_of
from fer.settings.settings import Settings
from utils import InputError, derived_seed, lock_in, log

if TYPE_CHECKING:
    from optuna import Study as Trials
    from optuna.pruners import BasePruner
    from optuna.trial import FrozenTrial, Trial

SEED = 0  # of all suggestions
AT_RANDOM = 10  # trials before TPE, and the median, have something to go by
MOST_REPEATS = 100  # suggestions one after another that are settings looked at before: the search is over
# What is noted of a trial beside Optuna's own: what it trains, the trial it is the same as, the one it takes over from,
# and why it failed.
RUNS, SAME_AS, AGAIN, PROBLEM = "runs", "same_as", "again", "problem"


@dataclass(frozen=True)
class Taken:
    """A trial this worker has; `lock` says so to others until it is released."""

    trial: Trial
    point: Point
    runs: list[PlannedRun]
    lock: FileLock


class TrialBook:
    """The trials of one search. `plan` gives the runs of a point; it raises InputError for values that do not agree."""

    def __init__(self, trials: Trials, settings: Settings, plan: Callable[[Point], list[PlannedRun]]):
        self.trials, self.settings, self.plan = trials, settings, plan
        self.output: Path = settings.output_path
        self.space = distributions(settings.search)

    def every(self) -> list[FrozenTrial]:
        """All trials as they are now, those that only repeat another among them."""
        return patiently(lambda: self.trials.get_trials(deepcopy=False), self.settings)

    def next(self) -> Taken | None:
        """A trial to work on; None where none is left to give (others may still be worked on, see `running`)."""
        with lock_in(self.output, "search"):
            self._give_again()
            for _ in range(MOST_REPEATS):
                every = self.every()
                if not self._is_one_left(every):
                    return None
                if (taken := self._ask(every)) is not None:
                    return taken
        log.warning("SEARCH: %d suggestions in a row were looked at before: the search ends", MOST_REPEATS)
        return None

    def running(self) -> int:
        """Trials that other workers are at."""
        return sum(one.state.name == "RUNNING" and RUNS in one.user_attrs for one in self.every())

    def tell(self, taken: Taken, state: str, value: float | None = None, problem: str = "") -> None:
        """Note how a trial ended: `state` is COMPLETE (with its `value`), PRUNED or FAIL; then others may see it."""
        from optuna.trial import TrialState

        if problem:
            patiently(lambda: taken.trial.set_user_attr(PROBLEM, problem[:500]), self.settings)
        self._tell(taken.trial, TrialState[state], value)
        taken.lock.release()

    def _tell(self, trial: Trial | int, state: Any, value: float | None = None) -> None:
        # finished already: where the note arrived and the answer was lost
        patiently(lambda: self.trials.tell(trial, value, state, skip_if_finished=True), self.settings)

    # ------------------------------------------------------------ giving

    def _is_one_left(self, every: list[FrozenTrial]) -> bool:
        if any(one.state.name == "WAITING" for one in every):
            return True
        seen = _distinct(one.params for one in every if len(one.params) == len(self.space))
        return len(looked_at(every)) < self.settings.search_trials and len(seen) < size_of(self.settings.search)

    def _ask(self, every: list[FrozenTrial]) -> Taken | None:
        """The next suggestion; None where it trains what another trial trained, whose outcome is then its own."""
        import optuna

        number = len(looked_at(every))
        self.trials.sampler = optuna.samplers.TPESampler(
            seed=derived_seed(SEED, number) % 2**32, n_startup_trials=AT_RANDOM, constant_liar=True
        )
        trial = patiently(lambda: self.trials.ask(self.space), self.settings)
        point = point_of(self.settings.search, trial.params)
        lock = self._lock(trial.number)
        lock.acquire()
        try:
            runs = self.plan(point)
        except InputError as error:  # values that do not agree with each other
            self.tell(Taken(trial, point, [], lock), "FAIL", problem=" ".join(error.problems))
            return None
        names = [planned.name for planned in runs]
        patiently(lambda: trial.set_user_attr(RUNS, names), self.settings)
        twin = next((one for one in looked_at(every) if one.user_attrs.get(RUNS) == names), None)
        if twin is None or trial.user_attrs.get(AGAIN) == twin.number:
            return Taken(trial, point, runs, lock)
        self._repeat(trial, twin, every)
        lock.release()
        return None

    def _repeat(self, trial: Trial, twin: FrozenTrial, every: list[FrozenTrial]) -> None:
        """A trial of the same trainings ends as its twin did, and another point is put in its place."""
        from optuna.trial import TrialState

        patiently(lambda: trial.set_user_attr(SAME_AS, twin.number), self.settings)
        state = twin.state if twin.state.is_finished() else TrialState.FAIL
        self._tell(trial, state, twin.value if state == TrialState.COMPLETE else None)
        seen = _distinct([*(one.params for one in every if one.params), trial.params])
        if len(seen) < size_of(self.settings.search):
            params = unseen_params(self.settings.search, seen, derived_seed(SEED, trial.number, 1))
            patiently(lambda: self.trials.enqueue_trial(params), self.settings)

    def _give_again(self) -> None:
        """Trials whose worker is gone are put in line again; their runs go on from their checkpoints."""
        from optuna.trial import TrialState

        for one in self.every():
            if one.state.name != "RUNNING":
                continue
            lock = self._lock(one.number)
            try:
                lock.acquire(timeout=0)
            except Timeout:
                continue
            if len(one.params) == len(self.space):
                log.info("trial %d lost its worker: it is given again", one.number)
                # in line first: a worker that dies in between leaves a repeat, not a gap
                again = dict(one.params), {AGAIN: one.number}
                patiently(lambda again=again: self.trials.enqueue_trial(*again), self.settings)  # type: ignore[misc]
            self._tell(one.number, TrialState.FAIL)
            lock.release()

    def _lock(self, number: int) -> FileLock:
        return lock_in(self.output, f"{self.trials.study_name}_trial{number}")


def looked_at(every: Iterable[FrozenTrial]) -> list[FrozenTrial]:
    """The trials that count: without repeats of others, and those another one took over from."""
    every = list(every)
    left = {one.user_attrs[AGAIN] for one in every if AGAIN in one.user_attrs}
    return [one for one in every if RUNS in one.user_attrs or PROBLEM in one.user_attrs
            if SAME_AS not in one.user_attrs and one.number not in left]  # fmt: skip


def _distinct(params: Iterable[Params]) -> list[Params]:
    found: list[Params] = []
    for one in params:
        if one not in found:
            found.append(one)
    return found


def pruner(epochs: int) -> BasePruner:
    """Ends a trial whose best score so far lies below the median of others after as many epochs.

    After AT_RANDOM trials and a fifth of the epochs, since a schedule has to warm up (Golovin et al. 2017: the median
    rule of Vizier).
    """
    from optuna.pruners import MedianPruner

    return MedianPruner(n_startup_trials=AT_RANDOM, n_warmup_steps=epochs // 5)
