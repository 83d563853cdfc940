"""Promises about which trial is next: good ones are found, none is given twice, none is lost with its worker."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fer.runs.run import PlannedRun
from fer.search.storage import connect, open_trials
from fer.search.trials import Taken, TrialBook, looked_at
from fer.settings.grid import Point, words_of
from fer.settings.settings import Settings
from utils import InputError, fingerprint

WIDE = {"LEARNING_RATE": {"low": 1e-6, "high": 1.0, "log": True}, "OPTIMIZER": ("adamw", "sgd")}
pytestmark = pytest.mark.slow


def runs_at(point: Point) -> list[PlannedRun]:
    """One run, known by its point: nothing is trained here."""
    return [PlannedRun(None, {}, Path(fingerprint(words_of(point))))]  # type: ignore[arg-type]


def book_of(settings: Settings, plan: Callable[[Point], list[PlannedRun]] = runs_at) -> TrialBook:
    return TrialBook(open_trials(settings, connect(settings), "planted"), settings, plan)


def planted(point: Point) -> float:
    """Best at a learning rate of 0.01, and better with adamw."""
    return 1 - 0.1 * abs(math.log10(point["LEARNING_RATE"]) + 2) - 0.2 * (point["OPTIMIZER"] == "sgd")


def finish(book: TrialBook, most: int = 1000) -> list[Point]:
    """Work on up to `most` trials; returns their points."""
    found: list[Point] = []
    while len(found) < most and (taken := book.next()) is not None:
        found.append(taken.point)
        book.tell(taken, "COMPLETE", planted(taken.point))
    return found


def test_suggestions_come_near_the_planted_best(tiny_settings: Callable[..., Settings]) -> None:
    points = finish(book_of(tiny_settings(SEARCH=WIDE, SEARCH_TRIALS=40)))
    scores = [planted(point) for point in points]
    assert len(points) == 40
    assert max(scores) > 0.95
    assert sum(scores[20:]) / 20 > sum(scores[:10]) / 10 + 0.1  # chance would stay as good as it begins


def test_a_search_whose_worker_died_is_the_search_that_was_not_interrupted(
    tiny_settings: Callable[..., Settings], tmp_path: Path
) -> None:
    whole = finish(book_of(tiny_settings(SEARCH=WIDE, SEARCH_TRIALS=14, OUTPUT_DIR=str(tmp_path / "whole"))))
    settings = tiny_settings(SEARCH=WIDE, SEARCH_TRIALS=14)
    points = finish(book_of(settings), most=12)
    lost = book_of(settings).next()
    assert lost is not None
    lost.lock.release()  # as the system does when a process dies
    book = book_of(settings)
    points += finish(book)
    assert points == whole
    assert points[12] == lost.point
    assert len(looked_at(book.every())) == 14


def test_a_living_worker_keeps_its_trial(tiny_settings: Callable[..., Settings]) -> None:
    settings = tiny_settings(SEARCH=WIDE, SEARCH_TRIALS=2)
    first, second = book_of(settings).next(), book_of(settings).next()
    assert first is not None and second is not None
    assert first.point != second.point
    other = book_of(settings)
    assert other.next() is None
    assert other.running() == 2


def test_a_small_space_is_looked_at_once_and_then_it_is_over(tiny_settings: Callable[..., Settings]) -> None:
    search = {"OPTIMIZER": ("adamw", "sgd", "adam"), "EPOCHS": {"low": 2, "high": 4}}
    settings = tiny_settings(SEARCH=search, SEARCH_TRIALS=50)
    book, points = book_of(settings), []
    while (taken := book.next()) is not None:
        points.append(words_of(taken.point))
        book.tell(taken, "COMPLETE", 0.5)
    assert len(points) == len(set(points)) == 9


def test_points_that_train_the_same_are_one_trial(tiny_settings: Callable[..., Settings]) -> None:
    """As MOMENTUM does without "sgd": the outcome is taken over, and another point put in its place."""

    def plan(point: Point) -> list[PlannedRun]:
        return runs_at({"OPTIMIZER": point["OPTIMIZER"]})

    book = book_of(tiny_settings(SEARCH=WIDE, SEARCH_TRIALS=50), plan)
    given: list[Taken] = []
    while (taken := book.next()) is not None:
        given.append(taken)
        pruned = taken.point["OPTIMIZER"] == "sgd"
        book.tell(taken, "PRUNED" if pruned else "COMPLETE", None if pruned else 0.5)
    assert len(given) == len(looked_at(book.every())) == 2


def test_values_that_do_not_agree_are_a_failed_trial_with_its_reason(tiny_settings: Callable[..., Settings]) -> None:
    def plan(point: Point) -> list[PlannedRun]:
        if point["OPTIMIZER"] == "sgd":
            raise InputError("sgd does not agree")
        return runs_at(point)

    book = book_of(tiny_settings(SEARCH=WIDE, SEARCH_TRIALS=8), plan)
    points = finish(book)
    failed = [one for one in looked_at(book.every()) if one.state.name == "FAIL"]
    assert all(point["OPTIMIZER"] == "adamw" for point in points)
    assert len(points) + len(failed) == 8
    assert {one.user_attrs["problem"] for one in failed} == {"sgd does not agree"}


def test_more_trials_continue_the_search(tiny_settings: Callable[..., Settings]) -> None:
    first = finish(book_of(tiny_settings(SEARCH=WIDE, SEARCH_TRIALS=3)))
    more = finish(book_of(tiny_settings(SEARCH=WIDE, SEARCH_TRIALS=5)))
    assert (len(first), len(more)) == (3, 2)


def test_numbers_of_a_range_can_be_copied_and_stay_in_it(tiny_settings: Callable[..., Settings]) -> None:
    search = {"LEARNING_RATE": {"low": 1.23456e-3, "high": 1.2346e-3}, "DROPOUT": {"low": 0, "high": 0.5, "step": 0.1}}
    for point in finish_any(book_of(tiny_settings(SEARCH=search, SEARCH_TRIALS=6))):
        assert 1.23456e-3 <= point["LEARNING_RATE"] <= 1.2346e-3
        assert point["DROPOUT"] in (0.0, 0.1, 0.2, 0.3, 0.4, 0.5)


def finish_any(book: TrialBook) -> list[Point]:
    found = []
    while (taken := book.next()) is not None:
        found.append(taken.point)
        book.tell(taken, "COMPLETE", 0.5)
    return found


def test_trials_whose_runs_lie_in_another_folder_are_refused(
    tiny_settings: Callable[..., Settings], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a server that two computers name, each with an output folder of its own."""
    monkeypatch.setattr("fer.search.storage._address", lambda _settings: f"sqlite:///{tmp_path / 'shared.db'}")
    open_of: Any = lambda folder: book_of(tiny_settings(SEARCH=WIDE, OUTPUT_DIR=str(tmp_path / folder)))  # noqa: E731
    open_of("one")
    open_of("one")
    with pytest.raises(InputError, match="share OUTPUT_DIR"):
        open_of("two")
