"""CROSS_TEST = "all": a dataset as one large test set for networks that never saw it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from evaluation import load_predictions
from fer.data.samples import load_samples
from fer.data.whole_sets import unseen_rows
from fer.settings.settings import Settings
from fer.study.plan import open_study, planned_runs
from main import run_study


@pytest.fixture
def with_copy(tiny_settings: Callable[..., Settings], tmp_path: Path) -> Callable[..., Settings]:
    """Two datasets of 108 pictures; one training picture of alpha stands in beta's training rows too, as its 109th."""

    def make(**changes: object) -> Settings:
        settings = tiny_settings("alpha", "beta", **changes)
        shutil.copy(tmp_path / "in/alpha/train/happy/happy_003.png", tmp_path / "in/beta/train/sad/again.png")
        return settings

    return make


def test_pictures_that_stand_in_the_training_datasets_are_left_out(with_copy: Callable[..., Settings]) -> None:
    settings = with_copy()
    alpha, beta = (load_samples(name, settings) for name in ("alpha", "beta"))
    assert len(unseen_rows(beta, [])) == 109
    rows = unseen_rows(beta, [alpha])
    assert len(rows) == 108
    assert "train/sad/again.png" not in set(rows["path"])
    assert set(rows["split"]) == {"train", "val", "test"}
    assert "train/happy/happy_003.png" not in set(unseen_rows(alpha, [beta])["path"])


@pytest.mark.parametrize("experiments", [("individual",), ("combined",)])
def test_trained_networks_keep_their_names(with_copy: Callable[..., Settings], experiments: tuple[str, ...]) -> None:
    names = [
        [planned.name for planned in planned_runs(open_study(with_copy(CROSS_TEST=value, EXPERIMENTS=experiments)))]
        for value in ("test", "all")
    ]
    assert names[0] == names[1]


@pytest.mark.slow
def test_whole_sets_stand_beside_the_official_test_sets(with_copy: Callable[..., Settings]) -> None:
    settings = with_copy(CROSS_TEST="all", EXPERIMENTS=("individual", "combined"), TTA=("none",))
    assert run_study(settings) == 0
    output = settings.output_path
    results = pd.read_csv(output / "results.csv").set_index(["train_on", "test_on"])
    networks = results[results["model"] == "tiny_plain"]
    assert networks["n_test"].to_dict() == {
        ("alpha", "alpha"): 28, ("alpha", "beta"): 28, ("alpha", "beta@all"): 108,
        ("beta", "beta"): 28, ("beta", "alpha"): 28, ("beta", "alpha@all"): 107,
        ("alpha+beta", "alpha"): 28, ("alpha+beta", "beta"): 28, ("alpha+beta", "alpha+beta"): 56,
    }  # fmt: skip
    assert networks.loc[("alpha", "beta@all"), "section"] == "cross"
    assert networks.loc[("alpha", "beta@all"), "n_copies"] == 0
    run = str(networks.loc[("alpha", "beta@all"), "run"])
    found = load_predictions(output / "saved_models" / run / "predictions" / "beta@all__test__raw__none.npz")
    right = (found.predicted == found.labels).mean()
    assert networks.loc[("alpha", "beta@all"), "accuracy"] == pytest.approx(right)
    baseline = results[results["model"] == "majority_class"]
    assert baseline.loc[("beta@all", "beta@all"), "accuracy"] == pytest.approx(24 / 109)  # 20 + 4 of happy
    intervals = pd.read_csv(output / "statistics" / "intervals.csv")
    assert set(intervals.loc[intervals["test_on"] == "beta@all", "n"]) >= {108}
    assert "all its rows that are new to the network, 108 pictures" in (output / "report.html").read_text("utf-8")
    before = {path: path.stat().st_mtime_ns for path in output.rglob("*.npz")}
    assert run_study(settings) == 0
    assert {path: path.stat().st_mtime_ns for path in output.rglob("*.npz")} == before


@pytest.mark.slow
def test_folds_of_a_training_set_answer_the_same_whole_set(with_copy: Callable[..., Settings]) -> None:
    settings = with_copy(CROSS_TEST="all", TTA=("none",), SPLITS="kfold", FOLDS=2)
    shutil.rmtree(settings.resolve(settings.datasets["beta"].path) / "test")
    assert run_study(settings) == 0
    results = pd.read_csv(settings.output_path / "results.csv")
    whole = results[(results["test_on"] == "alpha@all") & (results["model"] == "tiny_plain")]
    assert whole["split"].tolist() == ["r0f0", "r0f1"]
    assert whole["n_test"].tolist() == [107, 107]
    assert set(whole["rows"]) == {"official"}
    assert (results["accuracy_without_copies"].notna() | (results["model"] != "tiny_plain")).all()
