"""How far a grid of runs is, and how long it will take: said after every epoch, and left in a file for the page.

Time left is that of all epochs to come at the speed seen here, network by network, and of what comes between two
trainings (scoring, preparing). Early stopping may end sooner.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fer.runs.epoch_words import PROGRESS, epoch_words
from fer.runs.run import PlannedRun, Run
from fer.study.plan import Study
from fer.study.plan_estimate import trained_rows
from utils import duration, log, write_json


def trained_pictures(study: Study, run: Run) -> int:
    """Pictures an epoch of a run trains on, after balancing."""
    counts = study.at(run.split).training(run.train_on).class_counts
    return round(run.hyper.train_share * sum(trained_rows(one, run.balance) for one in counts))


@dataclass
class GridProgress:
    """Progress over the `runs` of a plan; `to_do`: those that still need their time.

    `after_epoch` is told every epoch after this; it may end a run by an error of its own.
    """

    study: Study
    runs: Sequence[PlannedRun]
    after_epoch: Callable[[Run, dict[str, Any]], None] | None = None
    to_do: dict[str, Run] = field(default_factory=dict)
    pictures: dict[tuple[Any, ...], int] = field(default_factory=dict)
    speeds: dict[str, float] = field(default_factory=dict)  # seconds a picture of an epoch, by network
    between: list[float] = field(default_factory=list)  # seconds of a run beside its epochs
    number: int = 0
    began: float = 0.0
    in_epochs: float = 0.0

    def __post_init__(self) -> None:
        open_runs = (one for one in self.runs if one.counterpart is None and not one.finished)
        self.to_do = {one.name: one.run for one in open_runs}

    @property
    def path(self) -> Path:
        """Where the facts lie while the grid runs."""
        return self.study.settings.output_path / PROGRESS

    def start(self, planned: PlannedRun) -> None:
        """A run begins."""
        self.skip(planned)
        self.number = [one.name for one in self.runs].index(planned.name) + 1
        self.began, self.in_epochs = time.monotonic(), 0.0
        log.info("run %d of %d: %s", self.number, len(self.runs), planned.name)

    def skip(self, planned: PlannedRun) -> None:
        """A run needs no time any more: it is done, or being done."""
        self.to_do.pop(planned.name, None)

    def note_epoch(self, run: Run, row: dict[str, Any]) -> None:
        """An epoch is over: its line in the log, and the facts in the file. `row`: as in history.csv."""
        self.in_epochs += row["seconds"]
        self.speeds[run.model] = row["seconds"] / self._pictures(run)
        left = self.seconds_left(run, row["epoch"])
        where = f"run {self.number} of {len(self.runs)}, epoch {row['epoch']} of {run.hyper.epochs}"
        text = f"{where}, about {duration(left)} left"
        log.info("%s: %s", text, epoch_words(row))
        facts = {"run": self.number, "runs": len(self.runs), "name": self.runs[self.number - 1].name}
        facts |= {"epoch": row["epoch"], "epochs": run.hyper.epochs, "seconds_left": round(left), "text": text}
        write_json(self.path, facts)
        if self.after_epoch is not None:
            self.after_epoch(run, row)

    def end(self) -> None:
        """A run is over, trained and scored."""
        self.between.append(max(time.monotonic() - self.began - self.in_epochs, 0.0))

    def close(self) -> None:
        """The grid is over."""
        self.path.unlink(missing_ok=True)

    def seconds_left(self, run: Run, epoch: int) -> float:
        """Of this run after `epoch`, and of all others not finished yet."""
        seconds = self._epoch_seconds(run) * (run.hyper.epochs - epoch)
        seconds += sum(self._epoch_seconds(one) * one.hyper.epochs for one in self.to_do.values())
        usual = sum(self.between) / len(self.between) if self.between else 0.0
        return seconds + usual * (len(self.to_do) + 1)

    def _epoch_seconds(self, run: Run) -> float:
        """At the speed of its network, or, not seen here yet, of the mean of those that were."""
        usual = sum(self.speeds.values()) / len(self.speeds)
        return self.speeds.get(run.model, usual) * self._pictures(run)

    def _pictures(self, run: Run) -> int:
        key = run.train_on, run.split, run.balance, run.hyper.train_share
        if key not in self.pictures:  # asked for every run to come, after every epoch
            self.pictures[key] = max(trained_pictures(self.study, run), 1)
        return self.pictures[key]
