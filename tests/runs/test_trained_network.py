"""Promises about finished weights: what they expect is read from them, and they are the ones the run wrote."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import timm
import torch

from evaluation import load_predictions, macro_f1
from fer.runs.kept_epoch import ScoresDisagreeError, refuse_other_scores, validation_scores
from fer.runs.run import PlannedRun
from fer.runs.trained_network import load_trained
from fer.settings.settings import Settings
from fer.study.execution import execute
from fer.study.plan import Study, open_study, planned_runs
from fer.study.predictions import missing_predictions, score_run
from model_utils import load_state, save_state
from utils import InputError, file_fingerprint, read_sealed, write_sealed

CPU = torch.device("cpu")
OTHER = "e3600_r256_in1k"  # its mean and std are 0.5, those of the architecture's default tag ImageNet's


def trained(settings: Settings) -> tuple[Study, list[PlannedRun]]:
    study = open_study(settings)
    runs = planned_runs(study)
    assert execute(study, runs) == {}
    return study, runs


def kept_scores(planned: PlannedRun) -> dict[str, float]:
    history = pd.read_csv(planned.folder / "history.csv").set_index("epoch")
    return history.loc[read_sealed(planned.folder / "run.json")["facts"]["best_epoch"]].to_dict()


def stored_scores(path: Path) -> dict[str, float]:
    found = load_predictions(path)
    return validation_scores(found.labels, found.probabilities)


def strip(planned: PlannedRun) -> None:
    """The weights as older versions stored them: tensors only; nothing scored yet."""
    path = planned.folder / "weights.pth"
    save_state(path, load_state(path)["state_dict"])
    note_digest(planned)
    for file in (planned.folder / "predictions").iterdir():
        file.unlink()


def note_digest(planned: PlannedRun) -> None:
    stored = read_sealed(planned.folder / "run.json")
    digest = file_fingerprint(planned.folder / "weights.pth", 64)
    write_sealed(planned.folder / "run.json", stored | {"weights_sha256": digest})


@pytest.mark.slow
def test_a_tag_with_other_statistics_is_scored_as_it_was_trained(
    tiny_settings: Callable[..., Settings], tmp_path: Path
) -> None:
    source = timm.create_model("mobilenetv4_conv_small")
    torch.save(source.state_dict(), tmp_path / "local.pth")
    row = {"batch_size": 32, "weights": OTHER, "weights_file": str(tmp_path / "local.pth"), "input_size": 32}
    _, (planned,) = trained(tiny_settings(MODEL_CONFIG={"mobilenetv4_conv_small": row}, TTA=("none",)))
    _, expected = load_trained(planned, file_fingerprint(planned.folder / "weights.pth", 64), CPU)
    assert expected.mean == expected.std == (0.5, 0.5, 0.5)
    noted = kept_scores(planned)
    found = stored_scores(planned.folder / "predictions" / "alpha__val__raw__none.npz")
    assert found == pytest.approx({name: noted[name] for name in found}, abs=1e-6)


@pytest.mark.slow
def test_weights_of_an_older_version_take_their_statistics_from_their_own_key(
    tiny_settings: Callable[..., Settings],
) -> None:
    _, (planned,) = trained(tiny_settings(MODEL_CONFIG={"mobilenetv4_conv_small": {
        "batch_size": 32, "weights": None, "input_size": 32}}, EPOCHS=1, TTA=("none",)))  # fmt: skip
    strip(planned)
    digest = file_fingerprint(planned.folder / "weights.pth", 64)
    assert load_trained(planned, digest, CPU)[1].mean != (0.5, 0.5, 0.5)
    planned.inputs["hyper"]["weights"] = OTHER
    assert load_trained(planned, digest, CPU)[1].mean == (0.5, 0.5, 0.5)
    planned.inputs["hyper"]["weights"] = "unheard_of"
    with pytest.raises(InputError, match="does not know unheard_of"):
        load_trained(planned, digest, CPU)


VARIED: list[tuple[tuple[str, ...], dict[str, Any]]] = [
    (("alpha",), {"EMA_DECAY": 0.9, "SELECT_BY": "last", "TTA": ("flip",)}),
    (("alpha", "beta"), {"EXPERIMENTS": ("combined",), "TTA": ("none", "three_views")}),
    (("alpha",), {"ORACLE": True, "EPOCHS": 4, "LEARNING_RATE": 0.02}),
]


@pytest.mark.slow
@pytest.mark.parametrize(("names", "changes"), VARIED)
def test_stored_validation_predictions_score_what_the_kept_epoch_did(
    tiny_settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch, names: tuple[str, ...], changes: dict
) -> None:
    compared: list[tuple[float, float]] = []
    import fer.runs.kept_epoch as kept_epoch

    def note(folder: Path, facts: dict, found: list, exact: bool) -> None:
        assert exact and len(found) == len(names)
        refuse_other_scores(folder, facts, found, exact)
        mean = sum(macro_f1(*one) for one in found) / len(found)
        compared.append((facts["best_validation"]["val_macro_f1"], mean))

    monkeypatch.setattr(kept_epoch, "refuse_other_scores", note)
    _, runs = trained(tiny_settings(*names, **changes))
    assert len(compared) == len(runs)
    assert all(then == pytest.approx(now, abs=1e-6) for then, now in compared)


@pytest.mark.slow
def test_other_numbers_than_in_training_are_never_stored(tiny_settings: Callable[..., Settings]) -> None:
    study, (planned,) = trained(tiny_settings())
    path = planned.folder / "weights.pth"
    stored = load_state(path)
    stored["input"]["mean"] = [0.1]
    save_state(path, stored)
    note_digest(planned)
    before = {file: file.read_bytes() for file in (planned.folder / "predictions").iterdir()}
    with pytest.raises(ScoresDisagreeError, match=r"then and .* now"):
        score_run(study, planned)
    assert {file: file.read_bytes() for file in (planned.folder / "predictions").iterdir()} == before


@pytest.mark.slow
def test_weights_swapped_between_seeds_are_refused_and_named(tiny_settings: Callable[..., Settings]) -> None:
    study, (first, second) = trained(tiny_settings(SEEDS=(1, 2)))
    ours, theirs = ((run.folder / "weights.pth").read_bytes() for run in (first, second))
    (first.folder / "weights.pth").write_bytes(theirs)
    (second.folder / "weights.pth").write_bytes(ours)
    for file in (first.folder / "predictions").iterdir():
        file.unlink()
    failures = execute(study, [first, second])
    assert list(failures) == [first.name]
    assert "is not the file its run wrote" in failures[first.name] and str(first.folder) in failures[first.name]
    assert missing_predictions(study, first)


@pytest.mark.slow
def test_weights_that_are_not_finite_are_refused_and_never_finished(tiny_settings: Callable[..., Settings]) -> None:
    _, (planned,) = trained(tiny_settings())
    path = planned.folder / "weights.pth"
    stored = load_state(path)
    next(iter(stored["state_dict"].values()))[0] = float("nan")
    save_state(path, stored)
    with pytest.raises(InputError, match=r"NaN or infinite weights.*LEARNING_RATE"):
        load_trained(planned, file_fingerprint(path, 64), CPU)
    assert planned.finished
    facts = read_sealed(planned.folder / "run.json")
    facts["facts"]["best_validation"]["val_loss"] = None  # as JSON holds NaN
    write_sealed(planned.folder / "run.json", facts)
    assert not planned.finished


@pytest.mark.slow
def test_another_class_order_is_refused(tiny_settings: Callable[..., Settings]) -> None:
    _, (planned,) = trained(tiny_settings())
    path = planned.folder / "weights.pth"
    stored = load_state(path)
    save_state(path, stored | {"classes": stored["classes"][::-1]})
    with pytest.raises(InputError, match="answers with neutral, surprise"):
        load_trained(planned, file_fingerprint(path, 64), CPU)
