"""Promises about TensorBoard files: TensorBoard's own reader finds the histories; nothing is written twice."""

from __future__ import annotations

import builtins
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from fake_study import FakeStudy

from fer.report.events import write_events
from utils import InputError


@pytest.fixture
def study(tmp_path: Path) -> FakeStudy:
    counts = {"train": (2,) * 7, "val": (1,) * 7, "test": (1,) * 7}
    return FakeStudy(tmp_path, ("studio",), (("studio",),), seeds=(1, 2), class_counts=counts)


def scalars(path: Path) -> dict[str, list[tuple[int, float]]]:
    """(step, value) by tag, as TensorBoard reads them."""
    pytest.importorskip("tensorboard", reason='needs the optional extra: pip install "fer-pipeline[tensorboard]"')
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(str(path.parent))
    found.Reload()
    return {tag: [(one.step, one.value) for one in found.Scalars(tag)] for tag in found.Tags()["scalars"]}


@pytest.mark.slow
def test_tensorboard_reads_every_value_of_the_history_and_skips_missing_ones(study: FakeStudy) -> None:
    pytest.importorskip("tensorboard", reason='needs the optional extra: pip install "fer-pipeline[tensorboard]"')
    folder = study.plan()[0].folder
    history = pd.read_csv(folder / "history.csv")
    history.loc[2, "val_macro_f1"] = float("nan")
    history.to_csv(folder / "history.csv", index=False)
    paths = write_events(study.output)
    assert [path.parent.name for path in paths] == [planned.name for planned in study.plan()]
    found = scalars(paths[0])
    assert {"loss/train", "loss/val", "accuracy/val", "learning_rate", "images_per_second"} <= found.keys()
    expected = list(zip(history["epoch"], history["val_loss"], strict=True))
    assert [step for step, _ in found["loss/val"]] == [step for step, _ in expected]
    assert [value for _, value in found["loss/val"]] == pytest.approx([value for _, value in expected])
    assert [step for step, _ in found["macro_f1/val"]] == [1, 2, 4, 5, 6]


def test_second_call_writes_nothing_and_a_changed_plan_or_history_is_followed(study: FakeStudy) -> None:
    pytest.importorskip("tensorboard", reason='needs the optional extra: pip install "fer-pipeline[tensorboard]"')
    before = {path: path.stat().st_mtime_ns for path in write_events(study.output)}
    assert {path: path.stat().st_mtime_ns for path in write_events(study.output)} == before
    history = study.plan()[0].folder / "history.csv"
    history.write_text("\n".join(history.read_text().splitlines()[:-1]))
    study.seeds = (1,)
    study.write()
    (path,) = write_events(study.output)
    assert path not in before
    assert [p for p in (study.output / "tensorboard").rglob("*") if p.is_file()] == [path]
    assert len(scalars(path)["loss/val"]) == 5


def test_damaged_history_leaves_out_that_run_only(study: FakeStudy, caplog: pytest.LogCaptureFixture) -> None:
    pytest.importorskip("tensorboard", reason='needs the optional extra: pip install "fer-pipeline[tensorboard]"')
    first, second = study.plan()
    (first.folder / "history.csv").write_text("epoch\n")
    assert [path.parent.name for path in write_events(study.output)] == [second.name]
    assert str(first.folder / "history.csv") in caplog.text


def test_missing_package_is_named_with_its_extra(study: FakeStudy, monkeypatch: pytest.MonkeyPatch) -> None:
    original = builtins.__import__

    def refuse(name: str, *rest: Any, **named: Any) -> Any:
        if name.startswith("tensorboard"):
            raise ImportError(name)
        return original(name, *rest, **named)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(InputError, match=r"fer-pipeline\[tensorboard\]"):
        write_events(study.output)
