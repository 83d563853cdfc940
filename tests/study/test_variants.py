"""Promises about variants: balancing and extra copies touch training rows only, whatever the choice."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import TINY_MODEL
from PIL import Image

import fer.study.variants as variants
from fer.settings.settings import Settings, check_settings
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


@pytest.mark.slow
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


@pytest.mark.slow
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
    assert np.mean(changed) > 0.8  # a draw may come out as no change: a slight blur of so small a face is none


@pytest.mark.slow
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


@pytest.mark.slow
def test_a_combined_run_is_the_union_of_the_separately_balanced_sets(tiny_settings: Callable[..., Settings]) -> None:
    alone = [prepare(tiny_settings(name, VARIANTS=("augmented",)))[1] for name in ("alpha", "beta")]
    _, both, _, _ = prepare(tiny_settings("alpha", "beta", VARIANTS=("augmented",), EXPERIMENTS=("combined",)))
    assert sorted(both.sample_ids) == sorted([*alone[0].sample_ids, *alone[1].sample_ids])
    assert np.bincount(both.source).tolist() == [len(faces) for faces in alone]


def rafdb_with_crops(root: Path) -> None:
    """RAF-DB's original layout with crops alone: three or four training pictures and one test picture a class."""
    names = [f"{split}_{number:04d}" for split, count in (("train", 25), ("test", 7)) for number in range(count)]
    (root / "EmoLabel").mkdir(parents=True)
    lines = [f"{name}.jpg {number % 7 + 1}" for number, name in enumerate(names)]
    (root / "EmoLabel" / "list_patition_label.txt").write_text("\n".join(lines))
    draw_noise(root / "Image" / "aligned", [f"{name}_aligned" for name in names], 0)


def draw_noise(folder: Path, names: list[str], seed: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(names):
        pixels = np.random.default_rng((seed, number)).integers(0, 256, (20, 20), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{name}.jpg")


@pytest.mark.slow
def test_the_photos_behind_crops_belong_to_what_is_prepared_and_trained(tmp_path: Path) -> None:
    root = tmp_path / "in"
    rafdb_with_crops(root)
    names = [path.stem.removesuffix("_aligned") for path in sorted((root / "Image" / "aligned").iterdir())]
    settings = check_settings({
        "ACTIVE_DATASETS": ("faces",), "DATASETS": {"faces": {"path": str(root), "layout": "rafdb", "faces": "whole"}},
        "DATASETS_DIR": str(tmp_path / "prepared"), "OUTPUT_DIR": str(tmp_path / "out"), "DEVICE": "cpu", "WORKERS": 0,
        "VARIANTS": ("raw", "preprocessed", "augmented"), "EXPERIMENTS": ("individual",), "VAL_FRACTION": 0.3,
        "MODEL_CONFIG": {"tiny_plain": TINY_MODEL}, "FACE_SIZE": 16,
    })  # fmt: skip
    found = []
    for seed in (None, 1, 2, 2):  # no photos, photos, others of the same names, the same again
        if seed is not None:
            draw_noise(root / "Image" / "original", names, seed)
        study = open_study(settings)
        runs = [planned.run for planned in planned_runs(study)]
        faces = [training_faces(study.datasets, study.training(run.train_on).samples, run, settings)[0] for run in runs]
        packs = [{pack.pixels.name for pack in one.packs} for one in faces]
        found.append(([planned.name for planned in planned_runs(study)], packs))
    for before, after in pairwise(found[:3]):
        assert before[0][0] == after[0][0]  # raw looks at the crops alone
        assert before[1][0] == after[1][0]
        assert all(old != new for old, new in zip(before[0][1:], after[0][1:], strict=True))
        assert all(old.isdisjoint(new) for old, new in zip(before[1][1:], after[1][1:], strict=True))
    assert found[2] == found[3]
