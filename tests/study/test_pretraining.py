"""Promises of pretrainings in a plan: what they may see, what their keys hold, and what a run takes from them."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import TINY_MODEL
from PIL import Image

import fer.pretraining.self_supervised as self_supervised
import fer.study.preflight as preflight
import fer.study.pretraining as pretraining_module
from fer.pretraining.rows import rows_to_learn_from
from fer.results.tables import write_tables
from fer.runs.fit_state import start_state
from fer.runs.run import Run, read_run_json
from fer.settings.settings import Settings
from fer.study.execution import _starting_row, execute, write_study
from fer.study.grid import added_runs, grid_points
from fer.study.inspection import print_plan
from fer.study.plan import Study, noise_runs, open_study, planned_pretrainings, planned_runs
from fer.study.plan_estimate import _pretraining_seconds
from fer.study.pretraining import PlannedPretraining
from fer.study.speed import NetworkSpeed
from fer.study.verify import verify_run
from model_utils import load_state
from training import make_machine
from utils import InputError, read_csv, read_json

FACES = {"method": "simsiam", "datasets": ("alpha",), "epochs": 2, "batch_size": 16}
FIRST = TINY_MODEL | {"architecture": "tiny_plain", "weights": "pretraining:faces"}
SCRATCH = TINY_MODEL | {"architecture": "tiny_plain"}


@pytest.fixture
def settings_with(tiny_settings: Callable[..., Settings]) -> Callable[..., Settings]:
    """Settings over drawn sets whose network `first` starts from the pretraining `faces`."""
    pytest.importorskip("lightly")

    def make(*names: str, row: dict[str, Any] | None = None, **changes: Any) -> Settings:
        values = {"PRETRAININGS": {"faces": FACES | (row or {})}, "MODEL_CONFIG": {"first": FIRST}}
        return tiny_settings(*names, **(values | changes))

    return make


def only(study: Study) -> tuple[Run, PlannedPretraining]:
    (planned,) = planned_runs(study)
    before = study.pretraining(planned.run.train_on, planned.run.variant, planned.run.model)
    assert before is not None
    return planned.run, before


# ---------------------------------------------------------------- what it may see


def put_copy(settings: Settings, picture: str, dataset: str, place: str) -> str:
    """Copy a picture of alpha to another place of a dataset; returns the sample_id it will have there."""
    source = Path(settings.datasets["alpha"].path) / picture
    target = Path(settings.datasets[dataset].path) / place
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(source, target)
    return f"{dataset}/{place}"


@pytest.mark.slow
@pytest.mark.parametrize("copies", ["drop", "keep", "drop_near"])
def test_no_picture_of_validation_or_test_is_learnt_from(settings_with: Callable[..., Settings], copies: str) -> None:
    settings = settings_with("alpha", "beta", COPIES=copies, ACTIVE_DATASETS=("alpha",), row={"datasets": ("beta",)})
    before = only(open_study(settings))[1]
    unplanted = before.samples["beta"]
    held = open_study(settings).datasets["alpha"].rows("val")["sample_id"].iloc[0].removeprefix("alpha/")
    planted = {
        put_copy(settings, "test/happy/happy_000.png", "beta", "train/happy/copy_of_test.png"),
        put_copy(settings, held, "beta", "train/sad/copy_of_val.png"),
    }
    harmless = put_copy(settings, "test/happy/happy_000.png", "beta", "test/happy/another.png")
    study = open_study(settings)
    everything = set(study.others["beta"].samples["sample_id"]) | set(study.others["beta"].rejected["sample_id"])
    assert planted <= everything and harmless in everything
    seen = only(study)[1].samples["beta"]
    assert planted.isdisjoint(seen["sample_id"])
    assert len(seen) == len(unplanted)
    contents = {row for data in (study.datasets["alpha"], study.others["beta"])
                for row in data.samples.loc[data.samples["split"] != "train", "content"]}  # fmt: skip
    assert contents.isdisjoint(seen["content"])


@pytest.mark.slow
def test_a_row_of_a_held_out_group_takes_no_part(settings_with: Callable[..., Settings]) -> None:
    data = open_study(settings_with()).datasets["alpha"]
    lonely = data.samples.copy()
    row = lonely.index[lonely["split"] == "train"][3]
    lonely.loc[row, "group"] = lonely.loc[lonely["split"] == "test", "group"].iloc[0]
    data.samples.loc[:, "group"] = lonely["group"]  # one person in both
    found = rows_to_learn_from({"alpha": data}, {"alpha": data})["alpha"]
    assert set(data.rows("train").index) - set(found.index) == {row}


@pytest.mark.slow
def test_limited_rows_are_held_out_all_the_same(settings_with: Callable[..., Settings]) -> None:
    settings = settings_with(LIMIT_PER_SPLIT=7)
    data = open_study(settings).datasets["alpha"]
    left = data.rejected[(data.rejected["step"] == "limit") & (data.rejected["split"] == "test")]
    seen = data.samples.copy()
    row = seen.index[seen["split"] == "train"][0]
    data.samples.loc[row, "content"] = left["content"].iloc[0]
    assert row not in rows_to_learn_from({"alpha": data}, {})["alpha"].index


@pytest.mark.slow
def test_labels_of_another_set_are_chosen_by_none_of_the_test_pictures(settings_with: Callable[..., Settings]) -> None:
    settings = settings_with("alpha", "beta", ACTIVE_DATASETS=("alpha",),
                             row={"method": "supervised", "datasets": ("beta",)})  # fmt: skip
    place = put_copy(settings, "test/happy/happy_000.png", "beta", "val/happy/copy.png")
    put_copy(settings, "train/sad/sad_000.png", "beta", "val/sad/harmless.png")
    study = open_study(settings)
    assert place in set(study.others["beta"].rows("val")["sample_id"])
    chosen_by = only(study)[1].samples["beta"]
    chosen_by = chosen_by[chosen_by["split"] == "val"]
    assert set(chosen_by["sample_id"]) == {"beta/val/sad/harmless.png"}


@pytest.mark.slow
@pytest.mark.parametrize("copies", ["drop", "drop_near"])
def test_near_copies_in_another_dataset_are_learnt_from_unless_they_leave(
    settings_with: Callable[..., Settings], copies: str
) -> None:
    settings = settings_with("alpha", "beta", COPIES=copies, ACTIVE_DATASETS=("alpha",),
                             row={"method": "supervised", "datasets": ("beta",)})  # fmt: skip
    alpha, beta = (Path(settings.datasets[name].path) for name in ("alpha", "beta"))
    (beta / "val/sad").mkdir(parents=True)
    Image.open(alpha / "test/happy/happy_000.png").save(beta / "train/happy/encoded.jpg", quality=95)
    Image.open(alpha / "test/happy/happy_001.png").resize((40, 40)).save(beta / "val/sad/larger.png")
    put_copy(settings, "train/sad/sad_000.png", "beta", "val/sad/harmless.png")
    planted = {"beta/train/happy/encoded.jpg", "beta/val/sad/larger.png"}
    seen = set(only(open_study(settings))[1].samples["beta"]["sample_id"])
    assert seen & planted == (planted if copies == "drop" else set())
    assert "beta/val/sad/harmless.png" in seen


@pytest.mark.slow
def test_judges_learn_before_from_no_test_picture_also_where_it_stays_unread(
    settings_with: Callable[..., Settings],
) -> None:
    def judges(evaluate_test: bool) -> dict[str, PlannedPretraining | None]:
        study = open_study(settings_with(
            "alpha", "beta", ACTIVE_DATASETS=("alpha",), row={"method": "supervised", "datasets": ("beta",)},
            LABEL_NOISE="first", NOISE_FOLDS=2, EVALUATE_TEST=evaluate_test,
        ))  # fmt: skip
        runs = noise_runs(study, "alpha")
        return {one.name: study.of(one).pretraining(("alpha",), "raw", "first") for one in runs}

    settings = settings_with("alpha", "beta", ACTIVE_DATASETS=("alpha",))
    learnt = put_copy(settings, "test/happy/happy_000.png", "beta", "train/fear/copy_of_test.png")
    chosen = put_copy(settings, "test/happy/happy_001.png", "beta", "val/sad/copy_of_test.png")
    put_copy(settings, "train/sad/sad_000.png", "beta", "val/sad/harmless.png")
    read, unread = judges(True), judges(False)
    assert list(read) == list(unread)  # the same keys
    for before in [*read.values(), *unread.values()]:
        assert before is not None and {learnt, chosen}.isdisjoint(before.samples["beta"]["sample_id"])


@pytest.mark.slow
def test_all_of_a_dataset_is_tested_on_without_pictures_of_the_pretraining(
    settings_with: Callable[..., Settings],
) -> None:
    settings = settings_with("alpha", "beta", "gamma", ACTIVE_DATASETS=("beta", "gamma"), CROSS_TEST="all")
    known = put_copy(settings, "train/happy/happy_003.png", "gamma", "train/sad/of_the_pretraining.png")
    study = open_study(settings)
    run = planned_runs(study)[0].run
    assert (run.train_on, run.pretrained_on) == (("beta",), ("alpha",))
    everything = set(study.datasets["gamma"].samples["sample_id"])
    assert set(study.scored(run, "gamma@all", "test")[0]["sample_id"]) == everything - {known}


# ---------------------------------------------------------------- keys


@pytest.mark.slow
def test_equal_settings_give_equal_keys_and_every_value_counts(settings_with: Callable[..., Settings]) -> None:
    def keys(**row: Any) -> tuple[str, str]:
        run, before = only(open_study(settings_with(row=row)))
        assert run.hyper.weights == before.tag
        return before.folder.name, before.tag

    first = keys()
    assert first == keys()
    changed: list[dict[str, Any]] = [
        {"epochs": 3}, {"batch_size": 8}, {"method": "byol"}, {"seed": 1}, {"crop": 0.5}, {"learning_rate": 0.01},
        {"weight_decay": 0.0},
    ]  # fmt: skip
    found = [keys(**change) for change in changed]
    assert len({first, *found}) == len(found) + 1


@pytest.mark.slow
def test_what_it_is_called_and_how_many_labels_follow_change_no_key(settings_with: Callable[..., Settings]) -> None:
    one = settings_with(MODEL_CONFIG={"first": FIRST})
    other = settings_with(
        PRETRAININGS={"other_name": FACES},
        MODEL_CONFIG={"second": FIRST | {"weights": "pretraining:other_name", "train_share": 0.5, "epochs": 1}},
    )
    assert only(open_study(one))[1].folder == only(open_study(other))[1].folder


# ---------------------------------------------------------------- doing it


@pytest.mark.slow
@pytest.mark.parametrize("method", ["simsiam", "supervised"])
def test_a_run_starts_from_the_tensors_of_its_pretraining(settings_with: Callable[..., Settings], method: str) -> None:
    settings = settings_with("alpha", "beta", ACTIVE_DATASETS=("alpha",), row={"method": method, "datasets": ("beta",)})
    study = open_study(settings)
    machine = make_machine(settings)
    run, before = only(study)
    row = _starting_row(study, run, machine)
    assert before.finished and not (before.folder / "checkpoint.pth").exists()
    stored = load_state(before.weights)["state_dict"]
    begun = start_state(run, 1, machine.device, row, 16).network.state_dict()
    carried = [name for name in begun if not name.startswith("head.")]
    assert all(torch.equal(begun[name], stored[name]) for name in carried)
    assert not torch.equal(begun["head.weight"], stored["head.weight"])


@pytest.mark.slow
def test_a_study_pretrains_once_and_compares_with_scratch(
    settings_with: Callable[..., Settings], caplog: pytest.LogCaptureFixture
) -> None:
    rows = {
        "first": FIRST,
        "scratch": TINY_MODEL | {"architecture": "tiny_plain"},
        "probe": FIRST | {"head": "logistic"},
    }
    settings = settings_with(MODEL_CONFIG=rows, SEEDS=(1, 2))
    study = open_study(settings)
    runs = planned_runs(study)
    assert execute(study, runs) == {}
    said = caplog.text
    assert said.index("pretraining faces, epoch 2 of 2") < said.index("run 1 of 6")  # its time is not the run's
    write_study(study, runs)
    folders = list((settings.output_path / "pretrainings").iterdir())
    assert len(folders) == 1
    told = read_json(folders[0] / "pretraining.json")
    assert told["counts"] == {"alpha": len(study.datasets["alpha"].rows("train"))}
    assert len(read_csv(folders[0] / "history.csv")) == 2
    for planned in runs:
        stored = read_run_json(planned.folder, planned.inputs)
        assert stored is not None
        assert stored["run"].get("pretrained_on") == (["alpha"] if planned.run.model != "scratch" else None)


@pytest.mark.slow
def test_a_failed_pretraining_stops_its_own_runs_alone(
    settings_with: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        asked.append(1)
        raise InputError("nothing works")

    asked: list[int] = []
    monkeypatch.setattr(pretraining_module, "_do", broken)
    rows = {"first": FIRST, "scratch": SCRATCH}
    study = open_study(settings_with(MODEL_CONFIG=rows, SEEDS=(1, 2)))
    failures = execute(study, planned_runs(study))
    assert len(failures) == 2 and all("first" in name for name in failures)
    assert len(asked) == 1  # the second run does not try again


@pytest.mark.slow
def test_folds_pretrain_on_their_own_rows(settings_with: Callable[..., Settings]) -> None:
    settings = settings_with(SPLITS="kfold", FOLDS=2)
    shutil.rmtree(Path(settings.datasets["alpha"].path) / "test")
    study = open_study(settings)
    seen = []
    for planned in planned_runs(study):
        there = study.of(planned)
        before = there.pretraining(planned.run.train_on, planned.run.variant, planned.run.model)
        assert before is not None
        tested = set(there.datasets["alpha"].rows("test")["content"])
        assert tested.isdisjoint(before.samples["alpha"]["content"])
        seen.append(before.tag)
    assert len(set(seen)) == 2


# ---------------------------------------------------------------- TRAIN_SHARE


@pytest.mark.slow
def test_a_share_of_the_labels_leaves_validation_and_pretraining_whole(settings_with: Callable[..., Settings]) -> None:
    settings = settings_with(MODEL_CONFIG={"first": FIRST | {"train_share": 0.5}})
    study = open_study(settings)
    runs = planned_runs(study)
    assert execute(study, runs) == {}
    stored = read_run_json(runs[0].folder)
    assert stored is not None
    counts, all_rows = stored["counts"]["alpha"], study.datasets["alpha"].rows("train")
    assert counts["n_val"] == len(study.datasets["alpha"].rows("val"))
    whole = all_rows["label"].value_counts().sort_index().to_numpy()
    assert counts["n_train"] == sum(counts["original"])
    assert all(abs(few - 0.5 * many) <= 1 for few, many in zip(counts["original"], whole, strict=True))
    assert only(study)[1].count == len(all_rows)


# ---------------------------------------------------------------- the plan


@pytest.mark.slow
def test_the_plan_says_what_is_learnt_first_and_how_long_it_takes(
    settings_with: Callable[..., Settings], capsys: pytest.CaptureFixture, caplog: pytest.LogCaptureFixture
) -> None:
    study = open_study(settings_with(SEEDS=(1, 2), row={"epochs": 31}))
    runs = planned_runs(study)
    print_plan(study, runs)
    said = " ".join(capsys.readouterr().out.split())
    assert "1 pretrainings, before the runs that start from them" in said and " 31 " in said
    assert "before them: 1 pretrainings, 0 done" in caplog.text
    speed = NetworkSpeed(train=0.5, test=0.0)
    before = only_of(study)
    assert _pretraining_seconds(before, speed) == 31 * len(study.datasets["alpha"].rows("train")) * 2 * 0.5


def only_of(study: Study) -> PlannedPretraining:
    (before,) = planned_pretrainings(study, planned_runs(study)).values()
    return before


@pytest.mark.slow
def test_a_missing_package_is_told_before_the_start(
    settings_with: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preflight, "find_spec", lambda name: None)
    settings = settings_with()
    assert any("uv sync --extra ssl" in problem for problem in preflight.problems_before_start(settings))
    labelled = settings_with(row={"method": "supervised"})
    assert preflight.problems_before_start(labelled) == []


@pytest.mark.slow
def test_columns_of_copies_mind_what_was_learnt_first(settings_with: Callable[..., Settings]) -> None:
    """A test picture of gamma stands among what was learnt from, though not among what was trained on."""
    settings = settings_with("alpha", "beta", "gamma", ACTIVE_DATASETS=("alpha", "gamma"), row={"datasets": ("beta",)},
                             EXPERIMENTS=("individual",))  # fmt: skip
    source = Path(settings.datasets["gamma"].path) / "test/happy/happy_000.png"
    shutil.copy(source, Path(settings.datasets["beta"].path) / "train/happy/seen_before.png")
    study = open_study(settings)
    runs = [one for one in planned_runs(study) if one.run.train_on == ("alpha",)]
    assert execute(study, runs) == {}
    write_study(study, runs)
    results, _ = write_tables(settings.output_path)
    table = results[(results["test_on"] == "gamma") & (results["model"] == "first")]
    assert set(table["n_copies"]) == {1}


@pytest.mark.slow
def test_a_grid_may_compare_pretrainings(settings_with: Callable[..., Settings]) -> None:
    settings = settings_with("alpha", "beta", ACTIVE_DATASETS=("alpha",),
                             GRID={"PRETRAININGS.faces.datasets": (("alpha",), ("beta",))})  # fmt: skip
    study = open_study(settings)
    runs = planned_runs(study)
    added = added_runs(study, runs, grid_points(study, runs))
    assert len(added) == 1
    assert [one.samples.keys() for one in planned_pretrainings(study, [*runs, *added]).values()] == [
        {"alpha"},
        {"beta"},
    ]


@pytest.mark.slow
def test_a_stopped_study_goes_on_with_its_pretraining_and_verifies(
    settings_with: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped in the second of three epochs, it ends with the weights of one that never was; --verify agrees."""

    def stop(_: object, state: self_supervised.State) -> None:
        if state.epoch == 2:
            raise KeyboardInterrupt

    settings = settings_with(row={"epochs": 3})
    study = open_study(settings)
    runs = planned_runs(study)
    monkeypatch.setattr(self_supervised, "_say", stop)
    with pytest.raises(KeyboardInterrupt):
        execute(study, runs)
    monkeypatch.undo()
    before = only_of(study)
    assert (before.folder / "checkpoint.pth").is_file() and not before.finished
    assert execute(study, runs) == {}
    resumed = load_state(before.weights)["state_dict"]
    shutil.rmtree(settings.output_path)
    again = open_study(settings)
    assert execute(again, planned_runs(again)) == {}
    whole = load_state(only_of(again).weights)["state_dict"]
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    assert verify_run(runs[0].name, settings).identical
