"""Promises about networks that did not learn: said in a sentence, and only where it is true."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from fake_study import FakeStudy

from fer.report.page import write_report
from fer.results.not_learned import not_learned, with_adjusted_loss
from fer.results.study_files import read_study
from fer.results.tables import read_results, read_validation, write_tables
from fer.settings.settings import EMOTIONS


def tables_of(study: FakeStudy, answer: int | None) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The tables where "wild"'s network answers everything with one class (None: as drawn)."""
    planned = next(run for run in study.plan() if run.run.train_on == ("wild",))
    for item in study._listed(planned):
        if answer is not None and item["test_on"] == "wild" and item["split"] == "test":
            rows = sum(study.counts["test"])
            only = np.eye(len(EMOTIONS), dtype=np.float32)[np.full(rows, answer)]
            study.write_predictions(planned, item, probabilities=only)
    return write_tables(study.output)


@pytest.mark.slow
def test_a_network_that_learned_is_not_named(tmp_path: Path) -> None:
    assert not_learned(*tables_of(FakeStudy(tmp_path), None)) == []


@pytest.mark.slow
def test_at_the_majority_class_it_did_not_learn(tmp_path: Path) -> None:
    study = FakeStudy(tmp_path)
    (sentence,) = not_learned(*tables_of(study, 3))  # the majority class
    assert sentence.startswith("tiny trained on wild (preprocessed, seed 42) did not learn: accuracy 30.0 % on test")
    assert "majority class alone has 30.0 %" in sentence
    assert not_learned(read_results(tmp_path), read_validation(tmp_path)) == [sentence]
    write_report(tmp_path)
    assert "did not learn" in (tmp_path / "report.html").read_text(encoding="utf-8")


@pytest.mark.slow
def test_a_balanced_training_is_judged_by_balanced_accuracy(tmp_path: Path) -> None:
    results, validation = tables_of(FakeStudy(tmp_path), 1)  # a rare class: accuracy far below the majority's
    results.loc[results["train_on"] == "wild", "balance"] = "oversample"
    results["seed"] = results["seed"].astype(float)  # as read beside rows of the majority class, which have none
    (sentence,) = not_learned(results, validation)
    assert "balanced accuracy 14.3 %" in sentence and "seed 42)" in sentence
    results["balanced_accuracy"] += 0.1 * (results["model"] == "tiny")
    assert not_learned(results, validation) == []


@pytest.mark.slow
def test_so_is_a_training_whose_loss_allows_for_rare_classes(tmp_path: Path) -> None:
    study = FakeStudy(tmp_path)
    results, validation = tables_of(study, 1)
    results["balanced_accuracy"] += 0.1 * (results["model"] == "tiny")
    assert len(not_learned(results, validation)) == 1
    stored = read_study(tmp_path)
    assert with_adjusted_loss(stored) == frozenset()
    for run in stored.runs:
        run.run["hyper"]["loss"] = "logit_adjustment"
    assert not_learned(results, validation, with_adjusted_loss(stored)) == []


@pytest.mark.slow
def test_of_many_the_first_are_listed_and_the_others_counted(tmp_path: Path) -> None:
    results, validation = write_tables(FakeStudy(tmp_path, seeds=(1, 2, 3, 4)).output)
    results.loc[results["model"] == "tiny", "accuracy"] = 0.0
    found = not_learned(results, validation)
    assert len(found) == 7
    assert found[-1].startswith("14 more scores")


def test_pictures_of_another_variant_do_not_tell_whether_it_learned(tmp_path: Path) -> None:
    study = FakeStudy(
        tmp_path, ("wild",), (("wild",),), variants=("raw",), tta=("none",), test_variants=("same", "preprocessed")
    )
    (planned,) = study.plan()
    item = next(one for one in study._listed(planned) if one["test_variant"] == "preprocessed")
    worst = np.eye(len(EMOTIONS), dtype=np.float32)[np.full(sum(study.counts["test"]), 1)]
    study.write_predictions(planned, item, probabilities=worst)
    results, validation = write_tables(tmp_path)
    assert results.query("test_variant == 'preprocessed'")["accuracy"].item() < 0.05
    assert not_learned(results, validation) == []
