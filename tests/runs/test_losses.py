"""Promises about losses and class weights: each agrees with its formula written out, for labels and for shares."""

from __future__ import annotations

from dataclasses import replace
from math import exp, log
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from test_runs import RUN

from data_loader import BatchSource, FaceRows
from fer.faces.class_shares import class_weights, even_counts
from fer.faces.packs import Pack
from fer.results.study_files import StoredRun
from fer.runs.losses import Loss, as_labels, as_shares, class_masses, make_loss
from fer.runs.run import Run, key_inputs
from fer.settings.settings import check_settings
from fer.statistics.calibration_tables import class_priors
from fer.study.plan import _hyperparameters
from utils import InputError

CPU = torch.device("cpu")
COUNTS = [40, 10, 10, 20, 10, 5, 5]
LOGITS = [[2.0, 1.0, 0.0, 0.0, 0.0, 0.0, -1.0], [0.0, 0.5, 3.0, 0.0, 0.0, 0.0, 0.0]]
LABELS = [5, 2]


def faces_of(counts: list[int], source: list[int] | None = None) -> FaceRows:
    labels = np.repeat(np.arange(len(counts)), counts)
    zeros = np.zeros(len(labels), dtype=np.int64)
    sources = zeros if source is None else np.array(source)
    return FaceRows((Pack(Path("none.npy"), (1, 8, 8, 1)),), zeros, zeros, labels, sources, ("",) * len(labels))


def run_with(balance: str = "none", **hyper: Any) -> Run:
    return replace(RUN, balance=balance, hyper=replace(RUN.hyper, **hyper))


def loss_of(run: Run, target: list[Any], counts: list[int] = COUNTS) -> float:
    """The mean loss over LOGITS as the training takes it."""
    loss, truth = make_loss(run, faces_of(counts), CPU), torch.tensor(target)
    return float(loss(torch.tensor(LOGITS), truth) / loss.norm(truth))


def probability(logits: list[float], label: int, factors: list[float] | None = None) -> float:
    """Softmax with each class multiplied by a factor, written out."""
    powers = [factor * exp(logit) for logit, factor in zip(logits, factors or [1.0] * 7, strict=True)]
    return powers[label] / sum(powers)


def one_hot(labels: list[int]) -> list[list[float]]:
    return np.eye(7)[labels].astype(np.float32).tolist()


PS = [probability(logits, label) for logits, label in zip(LOGITS, LABELS, strict=True)]
EFFECTIVE = [(1 - 0.9) / (1 - 0.9**n) for n in (5, 10)]  # of the classes 5 and 2
CASES = [
    (run_with(), np.mean([-log(p) for p in PS])),
    (run_with(loss="focal", focal_gamma=2.0), np.mean([-((1 - p) ** 2) * log(p) for p in PS])),
    (run_with("weights"), sum(-w * log(p) for w, p in zip((1 / 5, 1 / 10), PS, strict=True)) / (1 / 5 + 1 / 10)),
    (run_with("effective_number", effective_beta=0.9),
     sum(-w * log(p) for w, p in zip(EFFECTIVE, PS, strict=True)) / sum(EFFECTIVE)),
    (run_with("weights", loss="focal", focal_gamma=0.5),
     sum(-w * (1 - p) ** 0.5 * log(p) for w, p in zip((1 / 5, 1 / 10), PS, strict=True)) / (1 / 5 + 1 / 10)),
    # Ren et al. (2020): each class times its number of pictures. Menon et al. (2021): times its share to the power of τ
    (run_with(loss="logit_adjustment"),
     np.mean([-log(probability(*one, [float(n) for n in COUNTS])) for one in zip(LOGITS, LABELS, strict=True)])),
    (run_with(loss="logit_adjustment", logit_tau=0.5),
     np.mean([-log(probability(*one, [n**0.5 for n in COUNTS])) for one in zip(LOGITS, LABELS, strict=True)])),
]  # fmt: skip


@pytest.mark.parametrize(("run", "expected"), CASES)
def test_every_loss_agrees_with_its_formula_for_labels_and_for_shares(run: Run, expected: float) -> None:
    assert loss_of(run, LABELS) == pytest.approx(expected, rel=1e-5)
    assert loss_of(run, one_hot(LABELS)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("run", [case[0] for case in CASES])
def test_the_loss_of_shares_is_the_mean_of_their_classes(run: Run) -> None:
    """Three people say class 5 and one says 2: three quarters of the one loss and one quarter of the other."""
    loss, logits = make_loss(run, faces_of(COUNTS), CPU), torch.tensor(LOGITS[:1])
    votes = torch.zeros(1, 7)
    votes[0, 5], votes[0, 2] = 0.75, 0.25
    each = [float(loss(logits, torch.tensor([label]))) for label in (5, 2)]
    assert float(loss(logits, votes)) == pytest.approx(0.75 * each[0] + 0.25 * each[1], rel=1e-5)


@pytest.mark.parametrize("kind", ["cross_entropy", "focal"])
def test_label_smoothing_is_a_share_for_every_class(kind: str) -> None:
    run = run_with("weights", loss=kind, label_smoothing=0.14)
    smooth = (0.86 * np.array(one_hot(LABELS)) + 0.02).astype(np.float32).tolist()
    plain, truth = make_loss(run_with("weights", loss=kind), faces_of(COUNTS), CPU), torch.tensor(LABELS)
    expected = plain(torch.tensor(LOGITS), torch.tensor(smooth)) / plain.norm(truth)
    assert loss_of(run, LABELS) == pytest.approx(float(expected), rel=1e-5)


@pytest.mark.parametrize("gamma", [0.5, 2.0])
def test_the_focal_loss_has_a_slope_where_the_network_is_sure(gamma: float) -> None:
    logits = torch.tensor([[200.0, 0, 0, 0, 0, 0, 0]], requires_grad=True)
    Loss(gamma=gamma)(logits, torch.tensor([0])).backward()
    assert logits.grad is not None and torch.isfinite(logits.grad).all()


def test_classes_without_a_picture_keep_every_loss_finite() -> None:
    counts = [40, 10, 10, 20, 10, 10, 0]
    runs = [run_with("effective_number"), run_with("weights"), run_with(loss="logit_adjustment", label_smoothing=0.1)]
    assert all(np.isfinite(loss_of(run, LABELS, counts)) for run in runs)
    weights = class_weights("effective_number", np.array(counts), 0.99)
    assert weights is not None and weights[6] == 0 and weights.sum() == pytest.approx(6)


def test_effective_numbers_lie_between_no_weights_and_inverse_frequency() -> None:
    counts = np.array(COUNTS)
    near_none, near_all = (class_weights("effective_number", counts, beta) for beta in (1e-9, 1 - 1e-9))
    inverse = class_weights("weights", counts, 0.5)
    assert near_none is not None and near_all is not None and inverse is not None
    assert near_none == pytest.approx(np.ones(7))
    assert near_all / near_all[0] == pytest.approx(inverse / inverse[0], rel=1e-4)


def test_classes_have_the_masses_of_the_pictures_drawn() -> None:
    """Of 80 pictures of class 0 and 20 of 1 in one dataset, and 10 of class 1 in another."""
    faces = faces_of([80, 30], [0] * 100 + [1] * 10)
    assert class_masses(faces, "natural", 7).tolist() == [80, 30, 0, 0, 0, 0, 0]
    assert class_masses(faces, "balanced", 7)[:2] == pytest.approx([0.4 * 110, 0.6 * 110])
    votes = np.tile(np.array([0.5, 0, 0, 0, 0, 0.5, 0], dtype=np.float32), (110, 1))
    halved = replace(faces, shares=votes, weight=np.repeat(np.array([1, 0.5], dtype=np.float32), [100, 10]))
    assert class_masses(halved, "natural", 7).tolist() == [52.5, 0, 0, 0, 0, 52.5, 0]
    assert class_masses(halved, "balanced", 7).tolist() == pytest.approx([41.25, 0, 0, 0, 0, 41.25, 0])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("run", "learned"),
    [
        (run_with(), COUNTS),
        (run_with("weights"), [1] * 7),
        (run_with("effective_number", effective_beta=0.9), [n / (1 - 0.9**n) for n in COUNTS]),
        (run_with(loss="logit_adjustment"), [1] * 7),
        (run_with(loss="logit_adjustment", logit_tau=0.5), [n**0.5 for n in COUNTS]),
    ],
)
def test_where_pictures_tell_nothing_the_shares_trained_for_are_learned(run: Run, learned: list[float]) -> None:
    """Seven logits alone, fitted to the end: the best they can say is known, and calibration takes it for known."""
    faces, logits = faces_of(COUNTS), torch.zeros(7, requires_grad=True)
    loss, labels = make_loss(run, faces, CPU), torch.from_numpy(faces.label)
    for _ in range(400):
        (slope,) = torch.autograd.grad(loss(logits.expand(len(labels), 7), labels) / loss.norm(labels), logits)
        logits = (logits - 2 * slope).detach().requires_grad_()
    found = logits.detach().softmax(0).numpy()
    assert found == pytest.approx(np.array(learned) / sum(learned), abs=2e-3)
    counts = {"studio": {"original": COUNTS, "balanced": COUNTS}}
    priors = class_priors(StoredRun("run", Path("run"), run.describe(), counts, {}))
    assert found == pytest.approx(np.array(COUNTS) / 100 if priors is None else priors[1], abs=2e-3)


UNLIKE = [[150, 30, 30, 40, 30, 10, 10], [2, 4, 4, 4, 4, 20, 2]]  # two datasets
LABELS_OF_BOTH = np.concatenate([np.repeat(np.arange(7), counts) for counts in UNLIKE])
VOTES = np.eye(7, dtype=np.float32)[LABELS_OF_BOTH]
VOTES[:100] = [0.6, 0, 0, 0, 0, 0.4, 0]
DOUBTED = np.where(np.arange(len(VOTES)) < 75, 0.2, 1).astype(np.float32)


def learned_from_draws(run: Run, faces: FaceRows) -> np.ndarray:
    """What seven logits alone learn from 50 epochs as they are drawn: a loss of shares is linear in them."""
    loss, logits = make_loss(run, faces, CPU), torch.zeros(1, 7)
    source = BatchSource(faces, 16, shuffle=True, mixing=run.mixing)  # type: ignore[arg-type]
    drawn = np.concatenate([source.order(epoch) for epoch in range(50)])
    shares = np.eye(7, dtype=np.float32)[faces.label] if faces.shares is None else faces.shares
    target = torch.from_numpy((shares * faces.weights[:, None])[drawn].mean(axis=0, keepdims=True))
    for _ in range(1000):
        logits.requires_grad_()
        (slope,) = torch.autograd.grad(loss(logits, target) / loss.norm(target), logits)
        logits = (logits - 2 * slope).detach()
    return logits.softmax(1).numpy()[0]


@pytest.mark.slow
@pytest.mark.parametrize("run", [run_with("weights"), run_with(loss="logit_adjustment")])
@pytest.mark.parametrize(
    ("mixing", "held"),
    [("natural", {}), ("balanced", {}), ("natural", {"shares": VOTES}), ("natural", {"weight": DOUBTED}),
     ("balanced", {"shares": VOTES, "weight": DOUBTED})],
)  # fmt: skip
def test_classes_are_even_however_datasets_are_mixed_and_rows_are_voted_on_or_weighed(
    run: Run, mixing: str, held: dict[str, Any]
) -> None:
    faces = faces_of(np.sum(UNLIKE, axis=0).tolist())
    faces = replace(faces, label=LABELS_OF_BOTH, source=np.repeat([0, 1], [len(VOTES) - 40, 40]), **held)
    assert learned_from_draws(replace(run, mixing=mixing), faces) == pytest.approx(np.ones(7) / 7, abs=0.01)


@pytest.mark.slow
@pytest.mark.parametrize("run", [run_with(), run_with("weights"), run_with("effective_number", effective_beta=0.97)])
def test_calibration_knows_what_evenly_mixed_datasets_are_trained_for(run: Run) -> None:
    run = replace(run, mixing="balanced")
    faces = replace(faces_of(np.sum(UNLIKE, axis=0).tolist()), label=LABELS_OF_BOTH)
    faces = replace(faces, source=np.repeat([0, 1], [len(VOTES) - 40, 40]))
    counts = {str(number): {"original": one, "balanced": one} for number, one in enumerate(UNLIKE)}
    priors = class_priors(StoredRun("run", Path("run"), run.describe(), counts, {}))
    assert priors is not None and learned_from_draws(run, faces) == pytest.approx(priors[1], abs=0.01)


def test_only_keys_of_losses_that_count_the_draws_tell_how_they_count() -> None:
    counting = (run_with("weights"), run_with(loss="logit_adjustment"))
    otherwise = [replace(run, mixing="balanced") for run in counting]
    otherwise += [replace(run, hyper=replace(run.hyper, soft_labels=True)) for run in counting]
    plain = [*counting, run_with(doubtful=0.5, soft_labels=True), replace(run_with(), mixing="balanced")]
    assert all(
        "class_masses_version" in key_inputs(run, {}, {}) for run in [*otherwise, run_with("weights", doubtful=0.5)]
    )
    assert not any("class_masses_version" in key_inputs(run, {}, {}) for run in plain)


def test_labels_and_shares_become_each_other() -> None:
    labels = torch.tensor(LABELS)
    assert as_labels(as_shares(labels, 7)).tolist() == as_labels(labels).tolist() == LABELS


# ---------------------------------------------------------------- the weighted sampler


def drawn(faces: FaceRows, epochs: int = 200, **how: Any) -> np.ndarray:
    source = BatchSource(faces, 16, seed=3, shuffle=True, even_classes=True, **how)
    return np.stack([source.order(epoch) for epoch in range(epochs)])


def test_the_weighted_sampler_draws_every_class_and_row_of_it_equally_often() -> None:
    faces = faces_of(COUNTS)
    order = drawn(faces)
    assert order.shape == (200, 100)  # an epoch is as long as before
    labels = faces.label[order]
    assert np.bincount(labels.ravel()) / labels.size == pytest.approx([1 / 7] * 7, abs=0.01)
    rare = np.bincount(order.ravel(), minlength=100)[faces.label == 6]
    assert rare / rare.sum() == pytest.approx([1 / 5] * 5, abs=0.03)
    assert len(np.unique(order[0])) < 100 and not np.array_equal(np.sort(order[0]), np.sort(order[1]))


@pytest.mark.parametrize(("mixing", "of_the_second"), [("natural", 10), ("balanced", 55)])
def test_the_weighted_sampler_leaves_datasets_mixed_as_they_are(mixing: str, of_the_second: int) -> None:
    faces = faces_of([80, 30], [0] * 100 + [1] * 10)
    order = drawn(faces, mixing=mixing)
    assert ((faces.source[order] == 1).sum(1) == of_the_second).all()
    first = faces.label[order][faces.source[order] == 0]
    assert first.mean() == pytest.approx(0.5, abs=0.02)


def test_expected_counts_add_up() -> None:
    assert even_counts(np.repeat([0, 1, 5], [5, 3, 2]), 7) == [3, 3, 0, 0, 0, 4, 0]


# ---------------------------------------------------------------- settings

ROW = {"batch_size": 8, "weights": None, "input_size": 48}
NET = {"MODEL_CONFIG": {"net": ROW}, "PRETRAINED": False, "BALANCE": "none", "VARIANTS": ("raw",)}


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"LOSS": "focl"}, ["LOSS", "focal"]),
        ({"LOSS": "balanced_softmax", "BALANCE": "weights"}, ["net", 'raw: "weights"', 'Set BALANCE = "none"']),
        ({"LOSS": "logit_adjustment", "VARIANTS": ("raw", "augmented"), "BALANCE": {"augmented": "oversample"}},
         ['augmented: "oversample"']),
        ({"FOCAL_GAMMA": 0}, ["FOCAL_GAMMA", "greater than 0"]),
        ({"EFFECTIVE_BETA": 1.0}, ["EFFECTIVE_BETA", "less than 1"]),
        ({"MODEL_CONFIG": {"net": ROW | {"weights": "a", "pretrained": True, "head": "svm", "loss": "focal"}}},
         ['HEAD = "svm"', 'LOSS = "focal"', '"cross_entropy"']),
        ({"MODEL_CONFIG": {"net": ROW | {"weights": "a", "pretrained": True, "head": "svm"}}, "CUTMIX": 1.0},
         ['HEAD = "svm"', "CUTMIX = 1.0", "Set it to 0.0"]),
        ({"MODEL_CONFIG": {"net": ROW | {"weights": "a", "pretrained": True, "head": "svm"}},
          "BALANCE": "weighted_sampler"}, ["weighted_sampler", "net", '"oversample"']),
        ({"MODEL_CONFIG": {"net": ROW | {"weights": "a", "pretrained": True, "head": "svm"}},
          "MIXING": ("natural", "balanced")}, ['MIXING = "balanced"', "the head of net", 'Set MIXING = "natural"']),
    ],
)  # fmt: skip
def test_what_contradicts_is_said(values: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(InputError) as caught:
        check_settings(NET | values)
    assert len(caught.value.problems) == 1
    assert all(word in caught.value.problems[0] for word in words), caught.value.problems


def test_balanced_softmax_is_logit_adjustment_at_one_and_numbers_nothing_reads_are_left_out() -> None:
    def hyper(**values: Any) -> Any:
        return _hyperparameters(check_settings(NET | values), "raw", "net")

    plain = hyper()
    assert hyper(LOSS="balanced_softmax") == hyper(LOSS="logit_adjustment") != plain
    assert hyper(LOSS="balanced_softmax", LOGIT_TAU=0.5) == hyper(LOSS="balanced_softmax")
    assert hyper(LOSS="logit_adjustment", LOGIT_TAU=0.5) != hyper(LOSS="logit_adjustment")
    assert hyper(FOCAL_GAMMA=0.5, LOGIT_TAU=0.5, EFFECTIVE_BETA=0.9) == plain
    row = check_settings(NET | {"MODEL_CONFIG": {"net": ROW | {"loss": "focal"}}})
    assert _hyperparameters(row, "raw", "net") == hyper(LOSS="focal")
