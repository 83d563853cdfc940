"""Promises about plans of many runs: the keys of each by itself, and nothing read anew for every one of them."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from unittest import mock

import pandas as pd
import pytest

from fer.data.samples import DatasetSamples
from fer.runs.run import folders_by_slug, with_seed
from fer.settings.settings import Settings
from fer.study.disk_need import needed_space
from fer.study.inspection import print_plan
from fer.study.plan import open_study
from fer.study.speed import speed_book
from main import plan_of

Make = Callable[..., Settings]
opened: list[str] = []
counting = False


def count_opened(event: str, arguments: tuple) -> None:
    if counting and event == "open" and isinstance(arguments[0], str):
        opened.append(arguments[0])


sys.addaudithook(count_opened)


def test_every_seed_has_the_key_it_has_alone(tiny_settings: Make) -> None:
    grid = {"DROPOUT": (0.0, 0.5)}
    together = plan_of(open_study(tiny_settings(SEEDS=(1, 2, 3), ORACLE=True, GRID=grid)))[2]
    alone = [plan_of(open_study(tiny_settings(SEEDS=(seed,), ORACLE=True, GRID=grid)))[2] for seed in (1, 2, 3)]
    assert {one.name: one.inputs for one in together} == {one.name: one.inputs for runs in alone for one in runs}
    assert len(together) == 9 and all(one.run.seed == one.inputs["seed"] for one in together)
    assert with_seed(together[0], 1) == replace(together[0], run=together[0].run)


def files_opened(settings: Settings) -> tuple[int, int]:
    """How many runs a new plan has, and how many files are opened to say what it will take."""
    global counting
    study = open_study(settings)
    book = speed_book(settings, measure=False)
    needed_space(study, plan_of(study)[2], book)  # what is read once and remembered, parameters of a network
    opened.clear()
    counting = True
    try:
        runs = plan_of(study)[2]
        print_plan(study, runs, only_summary=True)
        needed_space(study, runs, book)
    finally:
        counting = False
    return len(runs), len(opened)


@pytest.mark.slow
def test_a_plan_of_many_runs_opens_no_file_for_each(tiny_settings: Make) -> None:
    few, opened_for_few = files_opened(tiny_settings(SEEDS=(1, 2)))
    many, opened_for_many = files_opened(tiny_settings(SEEDS=tuple(range(1, 301))))
    assert (few, many) == (2, 300)
    assert opened_for_many <= opened_for_few + 2


@pytest.mark.slow
def test_the_rows_of_a_split_are_found_once_for_all_runs(tiny_settings: Make) -> None:
    settings = tiny_settings(SEEDS=tuple(range(1, 51)))
    study = open_study(settings)
    runs = plan_of(study)[2]
    picked = pd.DataFrame.__getitem__
    with mock.patch.object(pd.DataFrame, "__getitem__", autospec=True, side_effect=picked) as asked:
        needed_space(study, runs, speed_book(settings, measure=False))
    assert asked.call_count < len(runs)
    data: DatasetSamples = study.datasets["alpha"]
    assert data.rows("test") is data.rows("test") and set(data.rows("test")["split"]) == {"test"}


def test_run_folders_are_listed_by_all_but_their_hash(tiny_settings: Make) -> None:
    study = open_study(tiny_settings(SEEDS=(1, 11)))
    runs = plan_of(study)[2]
    for planned in runs:
        planned.folder.mkdir(parents=True)
        planned.folder.with_name(f"{planned.run.slug}__ffffffff").mkdir()
    found = folders_by_slug(study.models_folder)
    assert {slug: len(folders) for slug, folders in found.items()} == {one.run.slug: 2 for one in runs}
