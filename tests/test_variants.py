"""Promises about variants: balancing and extra copies touch training rows only, whatever the choice."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fer.study.variants as variants
from fer.settings.settings import Settings
from fer.study.plan import Study, open_study, planned_runs
from fer.study.variants import training_faces


def prepare(settings: Settings) -> tuple[Study, Any, Any, dict[str, Any]]:
    study = open_study(settings)
    run = planned_runs(study)[0].run
    return study, *training_faces(study.datasets, study.training(run.train_on).samples, run, settings)


CHOICES = [
    ("raw", "none"),
    ("raw", "weights"),
    ("raw", "oversample"),
    ("raw", "undersample"),
    ("augmented", "oversample"),
]


@pytest.mark.parametrize(("variant", "balance"), CHOICES)
def test_balancing_touches_training_only(tiny_settings: Callable[..., Settings], variant: str, balance: str) -> None:
    study, train, validation, counts = prepare(tiny_settings(VARIANTS=(variant,), BALANCE=balance))
    samples = study.datasets["alpha"].samples.set_index("sample_id")
    sources = [name.split("+aug")[0] for name in train.sample_ids]
    assert set(samples.loc[sources, "split"]) == {"train"}
    assert samples.loc[sources, "label"].tolist() == train.label.tolist()
    assert sorted(validation["alpha"].sample_ids) == sorted(samples.index[samples["split"] == "val"])
    groups = {split: set(part["group"]) for split, part in samples.groupby("split")}
    assert set(samples.loc[sources, "group"]).isdisjoint(groups["val"] | groups["test"])
    per_class = np.bincount(train.label, minlength=7)
    assert counts["alpha"]["balanced"] == per_class.tolist()
    if balance in ("oversample", "undersample"):
        assert len(set(per_class)) == 1
        original = counts["alpha"]["original"]
        assert per_class[0] == (max(original) if balance == "oversample" else min(original))


def test_augmented_training_holds_every_original_and_new_pixels_for_the_extras(
    tiny_settings: Callable[..., Settings],
) -> None:
    study, train, _, _ = prepare(tiny_settings(VARIANTS=("augmented",)))
    rows = study.datasets["alpha"].rows("train")
    assert set(rows["sample_id"]) <= set(train.sample_ids)
    assert len(set(train.sample_ids)) == len(train)
    pixels = [pack.open() for pack in train.packs]
    pictures = {n: pixels[p][r].tobytes() for n, p, r in zip(train.sample_ids, train.pack, train.row, strict=True)}
    extras = [name for name in pictures if "+aug" in name]
    changed = [pictures[name] != pictures[name.split("+aug")[0]] for name in extras]
    assert len(extras) > 10
    assert np.mean(changed) > 0.9  # a draw may come out as no change at all


def test_rejecting_rows_without_a_face_spares_validation_and_test(
    tiny_settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    make = variants.preprocess_or_load

    def half_found(*arguments: Any) -> Any:
        folder, manifest = make(*arguments)
        return folder, manifest.assign(found=np.arange(len(manifest)) % 2 == 0)

    monkeypatch.setattr(variants, "preprocess_or_load", half_found)
    _, kept, validation, _ = prepare(tiny_settings(VARIANTS=("preprocessed",), NO_FACE="keep"))
    _, fewer, same, _ = prepare(tiny_settings(VARIANTS=("preprocessed",), NO_FACE="reject"))
    assert 0.3 * len(kept) < len(fewer) < 0.7 * len(kept)
    assert same["alpha"].sample_ids == validation["alpha"].sample_ids


def test_a_combined_run_is_the_union_of_the_separately_balanced_sets(tiny_settings: Callable[..., Settings]) -> None:
    alone = [prepare(tiny_settings(name, VARIANTS=("augmented",)))[1] for name in ("alpha", "beta")]
    _, both, _, _ = prepare(tiny_settings("alpha", "beta", VARIANTS=("augmented",), EXPERIMENTS=("combined",)))
    assert sorted(both.sample_ids) == sorted([*alone[0].sample_ids, *alone[1].sample_ids])
    assert np.bincount(both.source).tolist() == [len(faces) for faces in alone]
