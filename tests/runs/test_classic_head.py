"""Promises of classifiers on frozen features: they are what scikit-learn says, and end as any other run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from conftest import TINY_MODEL
from sklearn.calibration import CalibratedClassifierCV
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC
from test_runs import RUN

import fer.runs.classic_head as classic_head
from evaluation import METRICS
from fer.results.study_files import read_study
from fer.runs.run import read_run_json
from fer.runs.trained_network import load_trained, read_trained
from fer.settings.settings import Settings
from fer.study.execution import execute, write_study
from fer.study.plan import open_study, planned_runs
from model_utils import build_network, save_state
from utils import InputError, derived_seed, file_fingerprint


def made(classes: int = 7, each: int = 12) -> tuple[np.ndarray, np.ndarray]:
    draws = np.random.default_rng(0)
    labels = np.repeat(np.arange(classes), each)
    return (draws.normal(size=(len(labels), 5)) + labels[:, None] * [1, 0, 0.5, 0, -1]).astype(np.float32), labels


def run_of(head: str, **changes: Any) -> Any:
    return replace(RUN, balance="none", hyper=replace(RUN.hyper, head=head, **changes))


def probabilities(head: torch.nn.Module, features: np.ndarray) -> np.ndarray:
    with torch.inference_mode():
        return head(torch.from_numpy(features)).softmax(1).numpy()


@pytest.mark.parametrize("classes", [7, 3, 2])
def test_a_logistic_regression_is_that_of_scikit_learn(classes: int) -> None:
    features, labels = made(classes)
    head, _ = classic_head._logistic(features, labels, run_of("logistic", head_c=0.3))
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.3, max_iter=2000)).fit(features, labels)
    found = probabilities(head, features)
    assert np.allclose(found[:, :classes], model.predict_proba(features), atol=1e-4)
    assert found[:, classes:].sum() == 0


def test_an_svm_is_that_of_scikit_learn() -> None:
    features, labels = made()
    run = run_of("svm")
    head, _ = classic_head._svm(features, labels, run)
    scaled = StandardScaler().fit_transform(features)
    machine = LinearSVC(random_state=derived_seed(run.seed) % 2**31, max_iter=2000)
    model = CalibratedClassifierCV(machine, cv=3, ensemble=False).fit(scaled, labels)
    assert np.allclose(probabilities(head, features), model.predict_proba(scaled), atol=1e-4)
    with pytest.raises(InputError, match="a class has 2 training pictures"):
        classic_head._svm(features[10:], labels[10:], run)


def test_trees_are_stored_as_tensors_and_answer_the_same() -> None:
    pytest.importorskip("xgboost")
    features, labels = made()
    head, plan = classic_head._xgboost(features, labels, run_of("xgboost"))
    assert METRICS["accuracy"](labels, probabilities(head, features)) > 0.9
    other = classic_head.Head(classic_head.Trees(torch.zeros(plan.bytes, dtype=torch.uint8), 7))
    other.load_state_dict(head.state_dict())
    assert np.array_equal(probabilities(other, features), probabilities(head, features))


@pytest.fixture
def weighted(tmp_path: Path, tiny_settings: Callable[..., Settings]) -> Callable[..., Settings]:
    """Settings whose network starts from a file, since nothing is learnt on random features."""
    torch.manual_seed(0)
    network, _ = build_network("tiny_plain", SimpleNamespace(**ROW), 7, False)  # type: ignore[arg-type]
    save_state(tmp_path / "start.pth", network.state_dict())
    row = TINY_MODEL | {"weights_file": str(tmp_path / "start.pth")}
    return lambda **changes: tiny_settings(MODEL_CONFIG={"tiny_plain": row}, **changes)


ROW: dict[str, Any] = TINY_MODEL | {"architecture": None, "weights_file": None, "options": {}}


@pytest.mark.slow
@pytest.mark.parametrize("head", ["logistic", "svm", "mlp"])
def test_a_run_ends_with_the_files_of_any_run(weighted: Callable[..., Settings], head: str) -> None:
    settings = weighted(HEAD=head, HEAD_WIDTHS=(16,))
    study = open_study(settings)
    (planned,) = planned_runs(study)
    write_study(study, [planned])
    assert execute(study, [planned]) == {}
    stored = read_run_json(planned.folder, planned.inputs)
    assert stored is not None and planned.finished
    assert stored["facts"]["epochs"] == (2 if head == "mlp" else 1)
    digest = file_fingerprint(planned.folder / "weights.pth", 64)
    assert "head" in read_trained(planned.folder / "weights.pth", digest)["network"] or head == "logistic"
    assert load_trained(planned, digest, torch.device("cpu"))[0](torch.zeros(2, 1, 16, 16)).shape == (2, 7)
    assert len(read_study(settings.output_path).runs) == 1
    accuracy = stored["facts"]["best_validation"]["val_accuracy"]
    assert accuracy > (0.3 if head != "mlp" else 0)


@pytest.mark.slow
def test_only_what_shapes_a_fitted_head_is_in_its_key(weighted: Callable[..., Settings]) -> None:
    def key(**changes: Any) -> str:
        (planned,) = planned_runs(open_study(weighted(HEAD="svm", **changes)))
        return planned.name

    assert key() == key(EPOCHS=9, LEARNING_RATE=0.5, DROPOUT=0.2, HEAD_WIDTHS=(3,), ONLINE_AUGMENTATION="strong")
    assert len({key(), key(HEAD_C=0.1), key(BALANCE="weights"), key(SEEDS=(7,))}) == 4


def test_what_a_fitted_head_cannot_do_is_told(tiny_settings: Callable[..., Settings]) -> None:
    with pytest.raises(InputError, match='HEAD = "svm" would keep random features'):
        tiny_settings(HEAD="svm")
    with pytest.raises(InputError, match="ORACLE = True chooses among epochs"):
        tiny_settings(HEAD="svm", ORACLE=True)
