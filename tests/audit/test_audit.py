"""Promises about the audit: planted copies, leaks, conflicts and doubtful pictures are counted, and only once."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageOps
from scipy.ndimage import gaussian_filter

from fer.audit import audit
from fer.audit.audit import AuditFindings, audit_or_load, print_audit, summary
from fer.audit.class_mix import mix_distances
from fer.audit.exact_copies import count_exact, exact_copies
from fer.audit.quality import FLAGS, measure_quality
from fer.columns.files import QUALITY
from fer.data.samples import DatasetSamples, load_samples
from fer.settings.settings import EMOTIONS, Settings
from fer.study.variants import scored_faces
from utils import read_json

Make = Callable[..., Settings]


def scene(number: int, side: int = 48) -> Image.Image:
    draws = np.random.default_rng(number)
    pixels = sum(gaussian_filter(draws.normal(size=(side, side)), width) * width for width in (1, 2, 4, 8))
    return Image.fromarray(np.clip(128 + 50 * pixels, 0, 255).astype(np.uint8))


def draw_dataset(root: Path, start: int) -> Path:
    """Four training and two test pictures a class, all different."""
    for label, emotion in enumerate(EMOTIONS):
        for number in range(6):
            path = root / ("train" if number < 4 else "test") / emotion / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            scene(start + 10 * label + number).save(path)
    return root


@pytest.fixture
def planted(tmp_path: Path, tiny_settings: Make) -> tuple[dict[str, DatasetSamples], Settings]:
    """Two datasets with copies of known kinds."""
    alpha = draw_dataset(tmp_path / "in" / "alpha", 0)
    beta = draw_dataset(tmp_path / "in" / "beta", 1000)
    shutil.copy(alpha / "test/angry/4.png", alpha / "train/angry/leak.png")  # test picture in training
    shutil.copy(alpha / "train/fear/0.png", alpha / "train/sad/conflict.png")  # two labels
    ImageOps.mirror(Image.open(alpha / "test/happy/5.png")).save(alpha / "train/happy/mirrored.png")
    Image.open(alpha / "train/surprise/1.png").convert("RGB").save(beta / "train/sad/from_alpha.png")
    Image.new("L", (48, 48), 7).save(alpha / "train/neutral/blank.png")
    scene(5000).resize((20, 20)).save(beta / "test/neutral/small.png")
    settings = tiny_settings("alpha", "beta", COPIES="keep", VAL_FRACTION=0.2)
    return {name: load_samples(name, settings) for name in ("alpha", "beta")}, settings


def short(findings: AuditFindings, kind: str) -> list[set[str]]:
    copies = findings.copies[findings.copies["kind"] == kind]
    return [set(group["sample_id"]) for _, group in copies.groupby("group")]


@pytest.mark.slow
def test_planted_copies_are_found_and_counted(planted: tuple[dict[str, DatasetSamples], Settings]) -> None:
    findings = audit_or_load(*planted)
    assert sorted(short(findings, "exact"), key=min) == [
        {"alpha/test/angry/4.png", "alpha/train/angry/leak.png"},
        {"alpha/train/fear/0.png", "alpha/train/sad/conflict.png"},
        {"alpha/train/surprise/1.png", "beta/train/sad/from_alpha.png"},
    ]
    assert short(findings, "near") == [{"alpha/test/happy/5.png", "alpha/train/happy/mirrored.png"}]
    assert findings.near_pairs["mirrored"].tolist() == [True]
    exact = findings.counts["datasets"]["alpha"]["exact"]
    assert (exact["rows"], exact["distinct"], exact["groups"]) == (46, 44, 2)
    assert exact["conflicting_groups"] == 1
    leak = planted[0]["alpha"].samples.set_index("sample_id")["split"]
    assert exact["across"][f"test in {leak['alpha/train/angry/leak.png']}"] == 1
    assert findings.counts["exact_across_datasets"] == {"alpha in beta": 1, "beta in alpha": 1}
    near = findings.counts["datasets"]["alpha"]["near"]
    assert near["pairs"] == near["mirrored_pairs"] == near["pairs_across_splits"] == 1
    assert near["across"][f"test in {leak['alpha/train/happy/mirrored.png']}"] == 1
    assert findings.counts["datasets"]["beta"]["near"]["pairs"] == 0
    assert findings.counts["datasets"]["alpha"]["quality"]["blank"] == 1
    assert findings.counts["datasets"]["beta"]["quality"]["small"] == 1


@pytest.mark.slow
def test_files_are_written_and_speak_plainly(
    planted: tuple[dict[str, DatasetSamples], Settings], capsys: pytest.CaptureFixture[str]
) -> None:
    findings = audit_or_load(*planted)
    folder = planted[1].output_path / "audit"
    for name in ("conflicting_labels", "near_copies_across", "flagged"):
        with Image.open(folder / f"{name}.png") as sheet:
            assert np.asarray(sheet).std() > 0
    assert not (folder / "near_copies_within.png").exists()
    quality = pd.read_csv(folder / "alpha_quality.csv", keep_default_na=False)
    assert list(quality) == list(QUALITY)
    assert quality["sample_id"].tolist() == planted[0]["alpha"].samples["sample_id"].tolist()
    mix = pd.read_csv(folder / "class_mix.csv")
    np.testing.assert_allclose(mix[list(EMOTIONS)].sum(axis=1), 1)
    print_audit(findings)
    assert "1 test in" in " ".join(summary(findings)) and "46 readable rows" in capsys.readouterr().out


@pytest.mark.slow
def test_a_second_audit_only_reads(
    planted: tuple[dict[str, DatasetSamples], Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = audit_or_load(*planted)
    with monkeypatch.context() as patch:
        patch.setattr(audit, "audit_datasets", lambda *_: pytest.fail("audited again"))
        second = audit_or_load(*planted)
    assert second.counts == first.counts
    for name in audit.TABLES:
        pd.testing.assert_frame_equal(getattr(second, name), getattr(first, name), check_dtype=False)
    for name, table in first.quality.items():
        pd.testing.assert_frame_equal(second.quality[name], table, check_dtype=False)


@pytest.mark.slow
def test_an_audit_that_fails_is_reported_and_stops_nothing(
    planted: tuple[dict[str, DatasetSamples], Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    datasets, settings = planted
    folder = settings.output_path / "audit"
    assert audit.audit_or_report(datasets, settings) is not None
    (folder / "copies.csv").unlink()
    with monkeypatch.context() as patch:
        patch.setattr(audit, "find_near_copies", lambda _: 1 / 0)
        assert audit.audit_or_report(datasets, settings) is None
    assert "ZeroDivisionError" in read_json(folder / "left_out.json")[0]
    assert "Traceback" in (folder / "failed.txt").read_text()
    assert not (folder / "audit.json").exists(), "an older audit must not be shown as that of these samples"
    assert audit.audit_or_report(datasets, settings) is not None
    assert not (folder / "left_out.json").exists()


@pytest.mark.slow
@pytest.mark.parametrize("damage", ["label", "table gone", "marker gone", "other datasets", "digit", "cell", "empty"])
def test_another_state_is_audited_again(
    planted: tuple[dict[str, DatasetSamples], Settings], monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    datasets, settings = planted
    audit_or_load(datasets, settings)
    folder = settings.output_path / "audit"
    if damage == "label":
        datasets["alpha"].samples["label"] = 6 - datasets["alpha"].samples["label"]
    elif damage == "digit":
        text = (folder / "audit.json").read_text()
        (folder / "audit.json").write_text(text.replace('"rows": 46', '"rows": 47'))
    elif damage == "cell":
        text = (folder / "class_mix.csv").read_text()
        (folder / "class_mix.csv").write_text(text.replace("0.1", "0.2", 1))
    elif damage == "empty":
        (folder / "audit.json").write_text("{}")
    elif damage == "other datasets":
        datasets = {"alpha": datasets["alpha"]}
    else:
        (folder / {"table gone": "copies.csv", "marker gone": "audit.json"}[damage]).unlink()
    calls, real = [], audit.audit_datasets

    def counted(*given: Any) -> AuditFindings:
        calls.append(given)
        return real(*given)

    monkeypatch.setattr(audit, "audit_datasets", counted)
    findings = audit_or_load(datasets, settings)
    assert len(calls) == 1
    assert list(findings.counts["datasets"]) == list(datasets)
    assert (folder / "copies.csv").is_file()


@pytest.mark.slow
def test_rows_that_left_as_copies_are_still_counted(
    planted: tuple[dict[str, DatasetSamples], Settings], tiny_settings: Make
) -> None:
    """COPIES = "drop" takes the leak out of training; the audit says that it was there, and is not in use."""
    settings = tiny_settings("alpha", "beta", COPIES="drop", VAL_FRACTION=0.2)
    findings = audit_or_load({"alpha": load_samples("alpha", settings)}, settings)
    assert findings.counts["datasets"]["alpha"]["exact"]["rows"] == 46
    used = findings.copies.set_index("sample_id")["in_use"]
    assert not used["alpha/train/angry/leak.png"] and used["alpha/test/angry/4.png"]


@pytest.mark.slow
def test_small_gray_faces_are_packed_once_for_the_audit_and_for_training(tiny_settings: Make) -> None:
    settings = tiny_settings()
    data = load_samples("alpha", settings)
    audit.audit_datasets({"alpha": data}, settings)
    scored_faces(data, "test", "raw", 48, settings)
    assert data.is_gray
    assert len(list((settings.output_path / "cache" / "packed").glob("*.npy"))) == 1


def test_faces_of_one_photo_are_no_copies_but_shared_photos_are() -> None:
    """Side by side in one file two faces are one delivery; in two files, splits or datasets the photo counts."""
    rows = pd.DataFrame(
        [("a", "one", "train", "p.jpg", 0, "p:1,1,9,9"), ("b", "one", "train", "p.jpg", 1, "p:5,1,9,9"),
         ("c", "one", "train", "q.jpg", 0, "q:1,1,9,9"), ("d", "one", "test", "q.jpg", 1, "q:5,1,9,9"),
         ("e", "one", "train", "r.jpg", 0, "r:1,1,9,9"), ("f", "one", "train", "s.jpg", 1, "r:1,1,9,9"),
         ("g", "two", "train", "t.jpg", 0, "p")],
        columns=["sample_id", "dataset", "split", "path", "label", "face"],
    ).assign(content=lambda rows: rows["face"].str[0], in_use=True)  # fmt: skip
    found = count_exact(rows[rows["dataset"] == "one"])
    assert (found["distinct"], found["groups"], found["rows_in_groups"]) == (3, 2, 4)
    assert (found["conflicting_groups"], found["within"]["train"]) == (1, 1), "a conflict needs the same face"
    assert found["across"] == {"test in train": 1, "train in test": 1}
    assert audit.count_exact_between(rows) == {"one in two": 2, "two in one": 1}
    groups = exact_copies(rows).groupby("group")["sample_id"].agg(list).tolist()
    assert sorted(groups) == [["a", "b", "g"], ["c", "d"], ["e", "f"]]


def test_quality_flags() -> None:
    face = np.asarray(scene(1))
    far = np.asarray(scene(1).resize((12, 12), Image.Resampling.BOX).resize((48, 48), Image.Resampling.BICUBIC))
    card = np.full((48, 48), 250)
    card[20:24, 8:40] = 0  # a line of writing on a blank page
    pictures = {"": face, "blurred": far, "dark": face // 5, "blank": card, "small": face}
    rows = pd.DataFrame({"sample_id": [*pictures], "split": "train", "label": 0, "width": 48, "height": 48})
    rows.loc[rows["sample_id"] == "small", "height"] = 31
    table = measure_quality(rows, np.stack(list(pictures.values())).astype(np.uint8)[..., None])
    assert table["flag"].tolist() == table["sample_id"].tolist()
    assert set(FLAGS) == set(table["flag"]) - {""}
    assert table["brightness"].iloc[0] == pytest.approx(face.mean(), abs=0.01)


def test_mix_distances_against_known_values() -> None:
    """Shares 3/4, 1/4 against 1/4, 3/4: half of the rows would have to change class; V of that table is 0.5."""
    labels = [0] * 30 + [1] * 10 + [0] * 10 + [1] * 30
    rows = pd.DataFrame({"dataset": "one", "split": ["train"] * 40 + ["test"] * 40, "label": labels})
    line = mix_distances(rows).iloc[0]
    assert (line["left"], line["right"], line["n_left"]) == ("one train", "one test", 40)
    assert line["total_variation"] == pytest.approx(0.5)
    assert line["cramers_v"] == pytest.approx(0.5)
    same = mix_distances(rows.assign(label=[0, 1] * 40)).iloc[0]
    assert (same["total_variation"], same["cramers_v"]) == (0, 0)


def test_counts_unlike_the_known_ones_are_listed(tmp_path: Path, tiny_settings: Make) -> None:
    root = draw_dataset(tmp_path / "in" / "alpha", 0)
    row = {"path": str(root), "layout": "fer2013", "faces": "cropped"}
    settings = tiny_settings("alpha", DATASETS={"alpha": row})
    lines = audit.unexpected_counts(load_samples("alpha", settings))
    assert {"split": "test", "emotion": "disgust", "found": 2, "known": 55} in lines
    sample = tiny_settings("alpha", DATASETS={"alpha": row | {"sample": True}})
    assert audit.unexpected_counts(load_samples("alpha", sample)) == []
