"""Promises about training: the best epoch is kept, resume is exact, memory and loss failures are handled."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import precision_recall_fscore_support

import fer.runs.fit_state as fit_state
import training
from data_loader import FaceRows
from evaluation import METRICS, predict
from fer.columns.files import VALIDATION_SCORES
from fer.faces.packs import Pack
from fer.networks.local_weights import tensors_of
from fer.runs.fit_state import start_state
from fer.runs.losses import Loss, as_shares, make_loss, weighted
from fer.runs.run import PlannedRun
from fer.settings.settings import Settings
from fer.study.plan import open_study, planned_runs, training_samples
from fer.study.variants import training_faces
from model_utils import build_network, load_state, load_weights
from training import Machine, NonFiniteLossError, fit, selection_score
from utils import InputError

CPU = Machine(torch.device("cpu"))
STAGES = (
    {"epochs": 2, "freeze": "backbone", "learning_rate": 0.01},
    {"epochs": 2, "freeze": {"last_blocks": 2}, "learning_rate": 0.001},
)


class Prepared:
    """One planned run with its faces, ready to fit in a folder of its own."""

    def __init__(self, settings: Settings, **changes: Any):
        study = open_study(settings)
        self.settings = settings
        self.planned: PlannedRun = planned_runs(study)[0]
        self.run = replace(
            self.planned.run,
            **{k: v for k, v in changes.items() if k != "hyper"},
            hyper=replace(self.planned.run.hyper, **changes.get("hyper", {})),
        )
        samples = training_samples(study, self.run.train_on)
        self.train, self.validation, _ = training_faces(study.datasets, samples, self.run, settings)
        self.row = settings.models[self.run.model]

    def fit(self, folder: Path, machine: Machine = CPU) -> dict[str, Any]:
        return fit(self.run, self.train, self.validation, folder, machine, self.row)


@pytest.fixture
def prepare(tiny_settings: Callable[..., Settings]) -> Callable[..., Prepared]:
    return lambda *names, settings={}, **changes: Prepared(tiny_settings(*names, **settings), **changes)  # type: ignore[misc]


def weights_of(folder: Path) -> dict[str, torch.Tensor]:
    return tensors_of(load_state(folder / "weights.pth"))


def same(first: Path, second: Path) -> bool:
    ours, theirs = weights_of(first), weights_of(second)
    return ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.mark.slow
@pytest.mark.parametrize("selection", ["macro_f1", "accuracy", "loss", "last"])
def test_the_best_epoch_is_what_is_saved(prepare: Callable[..., Prepared], tmp_path: Path, selection: str) -> None:
    job = prepare(selection=selection, hyper={"epochs": 6, "learning_rate": 0.02})
    facts = job.fit(tmp_path / "run")
    history = pd.read_csv(tmp_path / "run" / "history.csv")
    scores = [selection_score(row, selection) for row in history.to_dict("records")]
    best = len(scores) if selection == "last" else int(np.argmax(scores)) + 1
    assert facts["best_epoch"] == best
    network, expected = build_network(job.run.model, job.row, 7, False)
    load_weights(network, tmp_path / "run" / "weights.pth")
    (faces,) = job.validation.values()
    found = predict(network, expected, faces, ("none",), 16, torch.device("cpu"))["none"]
    kept = history.iloc[best - 1]
    for name in VALIDATION_SCORES:
        assert METRICS[name](faces.label, found) == pytest.approx(kept[f"val_{name}"], abs=1e-6), name


@pytest.mark.slow
def test_histories_hold_precision_and_recall(
    prepare: Callable[..., Prepared], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of training rows as they were answered during the epoch, of validation rows after it."""
    seen: dict[str, list[np.ndarray]] = {"labels": [], "answers": []}
    step = training._step

    def watch(*inputs: Any) -> tuple[torch.Tensor, torch.Tensor]:
        loss, logits = step(*inputs)
        seen["labels"].append(inputs[4].numpy().copy())
        seen["answers"].append(logits.argmax(1).numpy().copy())
        return loss, logits

    monkeypatch.setattr(training, "_step", watch)
    job = prepare(selection="last", hyper={"epochs": 1})
    job.fit(tmp_path / "run")
    network, expected = build_network(job.run.model, job.row, 7, False)
    load_weights(network, tmp_path / "run" / "weights.pth")
    (faces,) = job.validation.values()
    found = predict(network, expected, faces, ("none",), 16, torch.device("cpu"))["none"].argmax(1)
    (epoch,) = pd.read_csv(tmp_path / "run" / "history.csv").to_dict("records")
    answered = {"train": (np.concatenate(seen["labels"]), np.concatenate(seen["answers"])), "val": (faces.label, found)}
    for part, (labels, answers) in answered.items():
        present = np.unique(labels)
        precision, recall, *_ = precision_recall_fscore_support(
            labels, answers, labels=present, average="macro", zero_division=0
        )
        assert epoch[f"{part}_macro_precision"] == pytest.approx(precision, abs=1e-6)
        assert epoch[f"{part}_macro_recall"] == pytest.approx(recall, abs=1e-6)


VARIED = [
    {"hyper": {"epochs": 4, "dropout": 0.3}},
    {"hyper": {"epochs": 4, "stages": STAGES, "schedule": "cosine", "optimizer": "muon", "gradient_clip": 1.0}},
    {"hyper": {"epochs": 4, "optimizer": "sgd", "schedule": "onecycle", "ema_decay": 0.9, "patience": None}},
    {
        "hyper": {
            "epochs": 4,
            "augment_engine": "batch",
            "train_sizes": ((0.5, 12),),
            "augmentation": {"kind": "strong", "strength": 1.0, "probability": 0.8},
        }
    },
    {"hyper": {"epochs": 4, "augmentation": {"kind": "strong", "strength": 1.0, "probability": 0.8}}},
    {"balance": "weighted_sampler", "hyper": {"epochs": 4, "loss": "focal", "mixup": 0.4, "cutmix": 1.0}},
]


@pytest.mark.slow
@pytest.mark.parametrize("changes", VARIED)
@pytest.mark.parametrize("stop_after", [1, 3])
def test_a_resumed_run_equals_an_uninterrupted_one(
    prepare: Callable[..., Prepared],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    changes: dict,
    stop_after: int,
) -> None:
    job = prepare(**changes)
    job.fit(tmp_path / "whole")
    note_epoch = training._note_epoch

    def interrupt(state: Any, run: Any, row: Any, folder: Path) -> None:
        note_epoch(state, run, row, folder)
        if state.epoch == stop_after:
            raise KeyboardInterrupt

    monkeypatch.setattr(training, "_note_epoch", interrupt)
    with pytest.raises(KeyboardInterrupt):
        job.fit(tmp_path / "parts")
    monkeypatch.setattr(training, "_note_epoch", note_epoch)
    job.fit(tmp_path / "parts")
    assert same(tmp_path / "whole", tmp_path / "parts")
    drop = ["seconds", "images_per_second", "peak_ram_mb"]
    ours, theirs = (pd.read_csv(tmp_path / name / "history.csv").drop(columns=drop) for name in ("whole", "parts"))
    pd.testing.assert_frame_equal(ours, theirs)


@pytest.mark.slow
def test_shares_of_classes_train_as_the_labels_they_stand_for(
    prepare: Callable[..., Prepared], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A loader may hand over shares (votes) in place of labels: all of one class, they are the same training."""
    job = prepare(balance="weights", hyper={"epochs": 2, "label_smoothing": 0.1})
    job.fit(tmp_path / "labels")
    make_input = training.to_network_input

    def as_votes(*inputs: Any) -> tuple[torch.Tensor, torch.Tensor]:
        pixels, labels = make_input(*inputs)
        return pixels, as_shares(labels, 7)

    monkeypatch.setattr(training, "to_network_input", as_votes)
    job.fit(tmp_path / "shares")
    ours, theirs = weights_of(tmp_path / "labels"), weights_of(tmp_path / "shares")
    assert all(torch.allclose(ours[name].float(), theirs[name].float(), atol=1e-4) for name in ours)


@pytest.mark.slow
def test_early_epochs_train_at_the_smaller_sizes(prepare: Callable[..., Prepared]) -> None:
    job = prepare(hyper={"epochs": 10, "train_sizes": ((0.4, 8), (0.7, 12))})
    assert [training.train_size(job.run, epoch) for epoch in range(10)] == [8] * 4 + [12] * 3 + [16] * 3


@pytest.mark.slow
def test_seeds_differ_and_the_same_seed_repeats(prepare: Callable[..., Prepared], tmp_path: Path) -> None:
    prepare(seed=1).fit(tmp_path / "a")
    prepare(seed=1).fit(tmp_path / "b")
    prepare(seed=2).fit(tmp_path / "c")
    assert same(tmp_path / "a", tmp_path / "b")
    assert not same(tmp_path / "a", tmp_path / "c")


@pytest.mark.slow
def test_it_learns_well_above_chance(prepare: Callable[..., Prepared], tmp_path: Path) -> None:
    facts = prepare(hyper={"epochs": 12, "learning_rate": 0.01}).fit(tmp_path / "run")
    assert facts["best_validation"]["val_accuracy"] > 0.6


@pytest.mark.slow
def test_patience_stops_after_epochs_without_a_better_loss(prepare: Callable[..., Prepared], tmp_path: Path) -> None:
    facts = prepare(hyper={"epochs": 30, "learning_rate": 1e-9, "patience": 2, "optimizer": "sgd"}).fit(tmp_path / "r")
    history = pd.read_csv(tmp_path / "r" / "history.csv")
    best = history["val_loss"].idxmin() + 1
    assert facts["epochs"] == best + 2 < 30


@pytest.mark.slow
def test_non_finite_loss_names_epoch_and_step(prepare: Callable[..., Prepared], tmp_path: Path) -> None:
    with pytest.raises(NonFiniteLossError, match=r"epoch \d+, step \d+.*LEARNING_RATE"):
        prepare(hyper={"learning_rate": 1e30, "optimizer": "sgd", "epochs": 5}).fit(tmp_path / "r")


@pytest.mark.slow
def test_out_of_memory_halves_the_micro_batch_and_says_so(
    prepare: Callable[..., Prepared],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    job = prepare()
    build = fit_state.build_network

    def small_memory(*arguments: Any, **options: Any) -> Any:
        network, expected = build(*arguments, **options)

        def refuse(_: Any, inputs: tuple[torch.Tensor, ...]) -> None:
            if network.training and len(inputs[0]) > 4:
                raise torch.OutOfMemoryError("pretended")

        network.register_forward_pre_hook(refuse)
        return network, expected

    monkeypatch.setattr(fit_state, "build_network", small_memory)
    with caplog.at_level("WARNING", logger="fer"):
        facts = job.fit(tmp_path / "r")
    assert facts["micro_batch"] == 4
    assert set(pd.read_csv(tmp_path / "r" / "history.csv")["micro_batch"]) == {4}


@pytest.mark.slow
def test_micro_batches_give_the_gradient_of_the_whole_batch(prepare: Callable[..., Prepared]) -> None:
    job = prepare(balance="weights")
    gradients = []
    for micro_batch in (16, 4):
        state = start_state(job.run, 4, CPU.device, job.row, micro_batch)
        state.network.eval()  # BatchNorm sees the micro-batch, by design; everything else must agree
        draws = torch.Generator().manual_seed(0)
        pixels, truth = torch.randn(16, 1, 16, 16, generator=draws), torch.arange(16) % 7
        criterion = make_loss(job.run, job.train, torch.device("cpu"))
        training._step(state, criterion, torch.amp.GradScaler("cpu", enabled=False), pixels, truth)
        gradients.append(torch.cat([p.grad.flatten() for p in state.network.parameters() if p.grad is not None]))
    assert torch.allclose(gradients[0], gradients[1], atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("balance", ["none", "weights"])
@pytest.mark.parametrize("changes", [{}, {"label_smoothing": 0.1}, {"loss": "focal"}])
def test_a_row_of_weight_two_is_a_row_seen_twice(
    prepare: Callable[..., Prepared], balance: str, changes: dict[str, Any]
) -> None:
    job = prepare(balance=balance)
    run = replace(job.run, hyper=replace(job.run.hyper, **changes))
    draws = torch.Generator().manual_seed(0)
    pixels, truth = torch.randn(7, 1, 16, 16, generator=draws), torch.tensor([0, 3, 3, 1, 6, 5, 2])
    twice = [0, 1, 1, 2, 3, 5, 6]
    faces = job.train.weighted({job.train.sample_ids[0]}, 2.0)
    doubled = job.train.take(np.array([0, *range(len(job.train))]))  # classes are counted so, too
    as_weighted = weighted(truth, np.array([1, 2, 1, 1, 0, 1, 1], dtype=np.float32), 7)
    found = []
    for loss_of, images, target in (
        (make_loss(run, faces, CPU.device), pixels, as_weighted),
        (make_loss(run, doubled, CPU.device), pixels[twice], truth[twice]),
    ):
        state = start_state(run, 4, CPU.device, job.row, 3)
        state.network.eval()
        loss, _ = training._step(state, loss_of, torch.amp.GradScaler("cpu", enabled=False), images, target)
        found.append((loss, [p.grad.flatten() for p in state.network.parameters() if p.grad is not None]))
    assert torch.allclose(found[0][0], found[1][0], rtol=1e-5)
    assert torch.allclose(torch.cat(found[0][1]), torch.cat(found[1][1]), atol=1e-5)


@pytest.mark.slow
def test_class_weights_follow_frequency(prepare: Callable[..., Prepared]) -> None:
    job = prepare(balance="weights")
    weight = make_loss(job.run, job.train, torch.device("cpu")).weight
    counts = np.bincount(job.train.label, minlength=7)
    assert weight is not None
    assert np.allclose(weight.numpy() * counts, weight.numpy()[0] * counts[0])


@pytest.mark.slow
def test_a_combined_run_is_selected_by_the_mean_over_datasets(prepare: Callable[..., Prepared], tmp_path: Path) -> None:
    job = prepare("alpha", "beta", settings={"EXPERIMENTS": ("combined",)})
    assert set(job.validation) == {"alpha", "beta"}
    network, expected = build_network(job.run.model, job.row, 7, False)
    both = training.validate(network, expected, job.run, job.validation, CPU)
    each = [training.validate(network, expected, job.run, {name: job.validation[name]}, CPU) for name in job.validation]
    assert both["val_macro_f1"] == pytest.approx(np.mean([scores["val_macro_f1"] for scores in each]))


class Payload:
    """What a hostile .pth would hold."""

    def __reduce__(self) -> tuple:
        return print, ("this must never be printed",)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "damaged"),
        (b"junk" * 50, "could run code|damaged"),
        ([1, 2], "no state dict"),
        (Payload(), "run code"),
    ],
)
def test_bad_weights_are_refused(tmp_path: Path, content: Any, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "weights.pth"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        torch.save(content, path)
    with pytest.raises(InputError, match=said):
        load_state(path)
    assert "never" not in capsys.readouterr().out


@pytest.mark.slow
def test_weights_of_another_network_are_refused(prepare: Callable[..., Prepared], tmp_path: Path) -> None:
    job = prepare()
    other, _ = build_network("tiny_residual", job.row, 7, False)
    torch.save(other.state_dict(), tmp_path / "weights.pth")
    network, _ = build_network("tiny_plain", job.row, 7, False)
    with pytest.raises(InputError, match="not of this network"):
        load_weights(network, tmp_path / "weights.pth")


@pytest.mark.slow
def test_a_pack_removed_while_in_use_is_named(prepare: Callable[..., Prepared], tmp_path: Path) -> None:
    job = prepare()
    gone = FaceRows((Pack(tmp_path / "gone.npy", (9, 16, 16, 1)),), *(getattr(job.train, n) for n in
                    ("pack", "row", "label", "source", "sample_ids")))  # fmt: skip
    job.train = gone
    with pytest.raises(InputError, match="removed while in use"):
        job.fit(tmp_path / "r")


# ---------------------------------------------------------------- freezing, stages, stopping


def changed_by_training(job: Prepared, epochs: int) -> set[str]:
    """Names of parameters and statistics that are not bit for bit what they were after so many epochs."""
    source = training.training_source(job.run, job.train)
    loader = training.make_loader(source, 0, False)
    state = start_state(job.run, len(source), CPU.device, job.row, 16)
    before = {name: value.clone() for name, value in state.network.state_dict().items()}
    for state.epoch in range(epochs):
        training.begin_epoch(state, run=job.run)
        training.train_epoch(state, job.run, loader, source, CPU)
    return {name for name, value in state.network.state_dict().items() if not torch.equal(value, before[name])}


ALL_OF_TINY = 4 * 6 + 2  # four convolutions with BatchNorm (two parameters, three statistics), the head


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changes", "moved"),
    [({}, ALL_OF_TINY), ({"freeze": "backbone"}, 2), ({"freeze": {"last_layers": 2}}, 2 + 6),
     ({"freeze": {"last_blocks": 3}}, 2 + 18), ({"freeze_batch_norm": True}, 4 + 2),
     ({"freeze": {"last_blocks": 1}, "freeze_batch_norm": True}, 2 + 1)],
)  # fmt: skip
def test_what_is_frozen_is_bit_identical_after_an_epoch(
    prepare: Callable[..., Prepared], changes: dict[str, Any], moved: int
) -> None:
    names = changed_by_training(prepare(hyper=changes), 1)
    assert {"head.weight", "head.bias"} <= names and len(names) == moved


@pytest.mark.slow
def test_stages_thaw_what_they_say_at_their_rates(prepare: Callable[..., Prepared], tmp_path: Path) -> None:
    job = prepare(hyper={"epochs": 4, "stages": STAGES, "patience": 1, "schedule": "constant"}, selection="last")
    assert changed_by_training(job, 2) == {"head.weight", "head.bias"}
    assert {name.split(".")[1] for name in changed_by_training(job, 4)} == {"weight", "bias", "4", "6"}
    job.fit(tmp_path / "run")
    history = pd.read_csv(tmp_path / "run" / "history.csv")
    assert history["learning_rate"].tolist()[:3] == [0.01, 0.01, 0.001]  # patience ends the last stage alone


@pytest.mark.slow
@pytest.mark.parametrize("stop_by", ["loss", "accuracy", "macro_f1"])
def test_early_stopping_counts_epochs_without_a_better_one(
    prepare: Callable[..., Prepared], tmp_path: Path, stop_by: str
) -> None:
    job = prepare(hyper={"epochs": 30, "patience": 3, "stop_by": stop_by, "learning_rate": 0.05})
    job.fit(tmp_path / "run")
    watched = pd.read_csv(tmp_path / "run" / "history.csv")[f"val_{stop_by}"] * (1 if stop_by == "loss" else -1)
    best = int(watched.to_numpy().argmin())
    assert len(watched) == 30 or best == len(watched) - 1 - 3


@pytest.mark.slow
def test_gradients_are_clipped_to_their_longest(prepare: Callable[..., Prepared]) -> None:
    moved = []
    for clip in (None, 1e-3):
        job = prepare(hyper={"optimizer": "sgd", "momentum": 0.0, "learning_rate": 1.0, "weight_decay": 0.0})
        state = start_state(job.run, 1, CPU.device, job.row, 16)
        before = torch.cat([p.detach().flatten().clone() for p in state.network.parameters()])
        criterion = Loss()
        pixels, truth = torch.randn(14, 1, 16, 16), torch.arange(14) % 7
        training._step(state, criterion, torch.amp.GradScaler("cpu", enabled=False), pixels, truth, None, clip)
        after = torch.cat([p.detach().flatten() for p in state.network.parameters()])
        moved.append(float((after - before).norm()))
    assert moved[1] == pytest.approx(1e-3, rel=0.01) and moved[0] > 0.01
