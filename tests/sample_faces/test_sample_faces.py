"""Promises of the embedded sample data: fixed by its seed, detectable, in the layouts and with the oddities."""

from __future__ import annotations

import hashlib
import io
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import fer.sample_faces.datasets as sample_faces
from fer.sample_faces.datasets import (
    MARKER,
    RAF_NUMBERS,
    STUDIO,
    WILD,
    class_counts,
    draw_face,
    write_sample_datasets,
)
from fer.sample_faces.drawing import shape_mouth
from fer.sample_faces.scenes import MANNERS, studio_picture, wild_picture
from fer.sample_faces.traits import POSES, Expression, draw_identity
from fer.settings.settings import EMOTIONS, DatasetRow
from utils import InputError, read_json

SEED, PICTURES = 7, 240


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("samples")
    write_sample_datasets(folder, SEED, PICTURES)
    return folder


def contents(folder: Path) -> dict[str, str]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def studio_labels(folder: Path) -> dict[str, int]:
    text = (folder / "sample_studio/basic/EmoLabel/list_patition_label.txt").read_text()
    return {name: int(label) for name, label in (line.split() for line in text.splitlines())}


def wild_rows(folder: Path) -> list[list[str]]:
    text = (folder / "sample_wild/label/label.lst").read_text()
    return [line.split(" ") for line in text.splitlines() if line]


# ---------------------------------------------------------------- drawing


@pytest.mark.slow
@pytest.mark.parametrize("domain", [STUDIO, WILD])
def test_a_face_is_fixed_by_its_generator(domain: int) -> None:
    first, again, other = (draw_face(np.random.default_rng(key), 3, domain) for key in (1, 1, 2))
    assert first.tobytes() == again.tobytes()
    assert first.tobytes() != other.tobytes()


@pytest.mark.slow
def test_a_picture_of_the_set_can_be_drawn_alone(samples: Path) -> None:
    name, number = list(studio_labels(samples).items())[17]
    label = next(EMOTIONS.index(emotion) for emotion, raf in RAF_NUMBERS.items() if raf == number)
    pixels, _ = studio_picture(np.random.default_rng((SEED, STUDIO, 17)), label)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", quality=92)
    assert stream.getvalue() == (samples / "sample_studio/basic/Image/original" / name).read_bytes()


def overlap(one: np.ndarray, other: np.ndarray) -> float:
    """Intersection over union of two boxes (left, top, right, bottom)."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    shared = max(width, 0) * max(height, 0)
    areas = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (one, other))
    return shared / (areas - shared)


@pytest.mark.slow
def test_the_detector_finds_the_faces() -> None:
    from facenet_pytorch import MTCNN

    detector = MTCNN(keep_all=True)
    pictures = [studio_picture(np.random.default_rng((1, STUDIO, i)), i % 7) for i in range(21)]
    shots = [(pixels, [face]) for pixels, face in pictures]
    labels = [[i % 7, (i + 3) % 7][: 1 + i % 2] for i in range(14)]
    shots += [wild_picture(np.random.default_rng((1, WILD, i)), some) for i, some in enumerate(labels)]
    found = []
    for pixels, faces in shots:
        boxes, _ = detector.detect(Image.fromarray(pixels))
        boxes = [] if boxes is None else boxes
        found += [any(overlap(np.array(face.box), box) > 0.4 for box in boxes) for face in faces]
    assert len(found) == 42
    assert np.mean(found) >= 0.95


def test_the_action_units_move_the_mouth() -> None:
    """How far the corners of the mouth hang below its middle orders happy, neutral and sad; jaws drop."""
    hang, gap = {}, {}
    for emotion in ("happy", "neutral", "sad", "surprise"):
        mouths = []
        for key in range(30):
            rng = np.random.default_rng(key)
            who = draw_identity(rng)
            expression = Expression(rng, emotion, MANNERS["studio"])
            mouths.append(shape_mouth(who, expression, 0.3 * expression("jaw_drop")))
        hang[emotion] = np.mean([mouth.inner_upper[[0, -1], 1].mean() - mouth.inner_upper[12, 1] for mouth in mouths])
        gap[emotion] = np.mean([mouth.gap for mouth in mouths])
    assert hang["happy"] + 0.05 < hang["neutral"] < hang["sad"] - 0.05
    assert gap["surprise"] > 3 * gap["neutral"]


def test_every_expression_has_its_poses() -> None:
    assert set(POSES) == set(RAF_NUMBERS) == set(EMOTIONS)


# ---------------------------------------------------------------- layouts


@pytest.mark.slow
def test_the_rows_are_rows_of_the_settings(samples: Path) -> None:
    rows = {name: DatasetRow(**row) for name, row in write_sample_datasets(samples, SEED, PICTURES).items()}
    assert {name: (row.layout, row.faces, row.sample) for name, row in rows.items()} == {
        "sample_studio": ("rafdb", "whole", True),
        "sample_wild": ("expw", "box", True),
    }
    assert all(Path(row.path).is_dir() for row in rows.values())


@pytest.mark.slow
def test_the_studio_sample_is_rafdbs_layout(samples: Path) -> None:
    base, labels = samples / "sample_studio/basic", studio_labels(samples)
    assert all(re.fullmatch(r"train_\d{5}\.jpg|test_\d{4}\.jpg", name) for name in labels)
    assert sorted(path.name for path in (base / "Image/original").iterdir()) == sorted(labels)
    crops = [base / "Image/aligned" / name.replace(".jpg", "_aligned.jpg") for name in labels]
    assert {Image.open(crop).size for crop in crops} == {(100, 100)}
    assert len(list((base / "Image/aligned").iterdir())) == len(labels) == PICTURES // 2
    train = Counter(label for name, label in labels.items() if name.startswith("train"))
    test = Counter(label for name, label in labels.items() if name.startswith("test"))
    assert set(train) == set(test) == set(range(1, 8))
    assert min(train.values()) >= 12
    assert min(test.values()) >= 3
    assert train.most_common(1)[0][0] == RAF_NUMBERS["happy"]


@pytest.mark.slow
def test_the_wild_sample_is_expws_layout_with_its_oddities(samples: Path) -> None:
    text = (samples / "sample_wild/label/label.lst").read_text()
    rows, images = wild_rows(samples), samples / "sample_wild/image/origin"
    assert text.endswith("\n\n")
    assert {len(row) for row in rows} == {8}
    names = Counter(row[0] for row in rows)
    assert sorted(names) == sorted(path.name for path in images.iterdir())
    assert len(names) == PICTURES - PICTURES // 2
    assert max(names.values()) == 3
    labels = Counter(int(row[7]) for row in rows)
    assert set(labels) == set(range(7))
    assert min(labels.values()) >= 12
    assert labels[EMOTIONS.index("neutral")] == max(labels.values())
    confidence = np.array([float(row[6]) for row in rows])
    assert 0 <= confidence.min() < 20 < 90 < confidence.max() <= 100
    assert 0.01 < np.mean(confidence < 20) < 0.2
    copies = len(names) - len({hashlib.sha256((images / name).read_bytes()).digest() for name in names})
    assert copies == 3


@pytest.mark.slow
def test_one_wild_picture_is_unreadable_and_some_boxes_leave_theirs(samples: Path) -> None:
    unreadable, outside = [], 0
    for name in dict.fromkeys(row[0] for row in wild_rows(samples)):
        try:
            width, height = Image.open(samples / "sample_wild/image/origin" / name).convert("RGB").size
        except OSError:
            unreadable.append(name)
            continue
        for _, _, top, left, right, bottom, *_ in (row for row in wild_rows(samples) if row[0] == name):
            assert int(right) - int(left) >= 20
            assert int(bottom) - int(top) >= 20
            outside += min(int(left), int(top)) < 0 or int(right) > width or int(bottom) > height
    assert len(unreadable) == 1
    assert outside >= 3


@pytest.mark.slow
@given(
    real=st.lists(st.integers(1, 40_000), min_size=7, max_size=7),
    least=st.integers(1, 20),
    extra=st.integers(0, 3000),
)
def test_class_counts_are_whole_and_keep_the_least(real: list[int], least: int, extra: int) -> None:
    total = 7 * least + extra
    counts = class_counts(real, total, least)
    assert counts.sum() == total
    assert counts.min() >= least
    assert all(counts[i] <= counts[j] for i in range(7) for j in range(7) if real[i] < real[j])


# ---------------------------------------------------------------- drawn once


def test_too_few_pictures_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="240"):
        write_sample_datasets(tmp_path / "few", SEED, 100)
    assert not (tmp_path / "few").exists()


@pytest.mark.slow
def test_a_complete_set_is_not_drawn_again(samples: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in samples.rglob("*.jpg")}
    write_sample_datasets(samples, SEED, PICTURES)
    assert {path: path.stat().st_mtime_ns for path in samples.rglob("*.jpg")} == before


@pytest.mark.slow
def test_an_interrupted_set_is_drawn_to_the_same_bytes(samples: Path) -> None:
    wild, untouched = samples / "sample_wild", samples / "sample_studio" / MARKER
    before, stamp = contents(wild), untouched.stat().st_mtime_ns
    pictures = sorted((wild / "image/origin").iterdir())
    for path in [wild / MARKER, wild / "label/label.lst", *pictures[5:]]:
        path.unlink()
    pictures[0].write_bytes(b"half a pict")
    (wild / "image/origin/of_another_size.jpg").write_bytes(b"left over")
    write_sample_datasets(samples, SEED, PICTURES)
    assert contents(wild) == before
    assert untouched.stat().st_mtime_ns == stamp


@pytest.mark.parametrize("marker", ["", '{"version": 0}'])
def test_a_marker_that_is_broken_or_of_another_recipe_does_not_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, marker: str
) -> None:
    drawn = []
    for writer in ("write_studio", "write_wild"):
        monkeypatch.setattr(sample_faces, writer, lambda *call: drawn.append(call))
    for name in ("sample_studio", "sample_wild"):
        (tmp_path / name).mkdir()
        (tmp_path / name / MARKER).write_text(marker)
    write_sample_datasets(tmp_path, 11, 301)
    assert drawn == [(tmp_path / "sample_studio", 11, 150), (tmp_path / "sample_wild", 11, 151)]
    assert read_json(tmp_path / "sample_wild" / MARKER)["pictures"] == 301
