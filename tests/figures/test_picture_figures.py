"""Promises about figures with faces: the right faces under the right words, nobody else's, only what changed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.text import Text

from data_loader import FaceRows
from evaluation import Predictions
from fer.faces.packs import Pack
from fer.figures import augmentations, pictures
from fer.figures.draw import draw_picture_figures
from fer.figures.pictures import CaptionedPicture, PackedPixels, PictureRow, plot_picture_rows
from fer.figures.selection import masked, plot_detection_rates, plot_funnel
from fer.layouts.pictures import open_picture
from fer.results.study_files import read_study
from fer.runs.run import PlannedRun
from fer.settings.settings import EMOTIONS, Settings
from fer.study.execution import write_study
from fer.study.plan import Study, open_study, planned_runs


def opened(settings: Settings) -> tuple[Study, list[PlannedRun]]:
    study = open_study(settings)
    runs = planned_runs(study)
    write_study(study, runs)
    (settings.output_path / "cache").mkdir(exist_ok=True)
    return study, runs


def drawn(study: Study, runs: list[PlannedRun]) -> dict[str, int]:
    paths = draw_picture_figures(study, runs, "png", "all")
    return {path.relative_to(study.settings.output_path).as_posix(): path.stat().st_mtime_ns for path in paths}


def texts(figure: Any) -> list[str]:
    return [text.get_text() for text in figure.findobj(Text)]


@pytest.mark.slow
def test_samples_are_drawn_without_a_finished_run_and_once(tiny_settings: Callable[..., Settings]) -> None:
    study, runs = opened(tiny_settings("alpha", VARIANTS=("augmented",)))
    first = drawn(study, runs)
    assert set(first) == {"sample_grids/alpha_samples.png", "sample_grids/alpha_augmentation.png"}
    assert drawn(study, runs) == first


@pytest.mark.slow
def test_a_grid_shows_the_same_faces_in_each_group(
    tiny_settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    study, runs = opened(tiny_settings("alpha", VARIANTS=("raw", "augmented")))
    seen: list[Any] = []
    monkeypatch.setattr(pictures, "plot_picture_rows", lambda *shown: seen.append(shown))
    job = next(pictures.sample_jobs(study, read_study(study.settings.output_path), runs))
    job.draw(*job.sources, title=job.title, **job.details)
    _, rows, headings = seen[0]
    assert [words for _, words in headings][:2] == ["raw", "preprocessed, as saved"]
    assert [row.words.split("\n")[0] for row in rows] == list(EMOTIONS)
    assert len({len(row.pictures) for row in rows}) == 1
    train, root = study.datasets["alpha"].rows("train"), study.datasets["alpha"].root
    for label, row in enumerate(rows):
        found = [np.asarray(open_picture(root, path)) for path in train.loc[train["label"] == label, "path"]]
        raw = [picture.pixels for picture in row.pictures[:2] if picture.pixels is not None]
        assert raw
        assert all(any(np.array_equal(pixels, face) for face in found) for pixels in raw)


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["albumentations", "batch"])
def test_each_set_in_use_is_shown_on_a_face_of_each_emotion(
    tiny_settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch, engine: str
) -> None:
    """A row that only darkens: every version is darker than its face, and the set of the copies stands beside."""
    row = {"brightness": (-0.3, -0.2)}
    study, runs = opened(
        tiny_settings(
            "alpha", VARIANTS=("augmented",), AUGMENTATIONS={"dim": row}, ONLINE_AUGMENTATION="dim",
            AUGMENT_ENGINE=engine,
        )
    )  # fmt: skip
    seen: list[Any] = []
    monkeypatch.setattr(augmentations, "plot_picture_rows", lambda *shown: seen.append(shown))
    (job,) = augmentations.augmentation_example_jobs(study, read_study(study.settings.output_path), runs)
    job.draw(*job.sources, title=job.title, **job.details)
    _, rows, headings = seen[0]
    batch = " (batch)" if engine == "batch" else ""
    assert headings == [(1, "as it is"), (4, f"in training: brightness{batch}"), (4, "extra copies: light")]
    assert [row.words for row in rows] == list(EMOTIONS)
    for one in rows:
        face, *dimmed = [float(picture.pixels.mean()) for picture in one.pictures[:5]]
        assert max(dimmed) < face - 20
        assert len({round(mean, 1) for mean in dimmed}) > 1
    assert not job.is_key


@pytest.mark.slow
def test_a_picture_that_is_gone_leaves_out_its_figure(tiny_settings: Callable[..., Settings]) -> None:
    study, runs = opened(tiny_settings("alpha", VARIANTS=("raw",)))
    for path in study.datasets["alpha"].root.rglob("*.png"):
        path.unlink()
    assert not drawn(study, runs)
    left = json.loads((study.settings.output_path / "left_out_pictures.json").read_text())
    assert [one["what"] for one in left] == ["sample_grids/alpha_samples.png"]


@pytest.mark.slow
def test_rejected_pictures_stand_under_their_reason(tiny_settings: Callable[..., Settings]) -> None:
    settings = tiny_settings("alpha", VARIANTS=("raw",))
    study = open_study(settings)
    root = study.datasets["alpha"].root
    train = next(root.rglob("train/happy/*.png"))
    train.with_name("broken.png").write_bytes(b"no picture")
    train.with_name("again.png").write_bytes(next(root.rglob("test/happy/*.png")).read_bytes())
    study, runs = opened(settings)
    assert "eda/alpha_rejected.png" in drawn(study, runs)
    rejected = pictures._rejected(study, study.datasets["alpha"])
    figure = pictures.draw_rejected(study.datasets["alpha"], rejected, ["title"])
    assert any(text.startswith("copies:") for text in texts(figure))
    assert any(text.startswith("again") for text in texts(figure))
    assert not any("broken" in text for text in texts(figure))


def test_mistakes_are_the_most_confident_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = np.arange(12, dtype=np.uint8)[:, None, None, None] * np.ones((1, 8, 8, 1), dtype=np.uint8)
    np.save(tmp_path / "pack.npy", pixels)
    ids = [f"face{number}" for number in range(12)]
    rows = FaceRows.from_pack(Pack(tmp_path / "pack.npy", pixels.shape), np.arange(12), np.zeros(12), ids)  # type: ignore[arg-type]
    sure = np.linspace(0.3, 0.9, 12)
    probabilities = np.full((12, len(EMOTIONS)), 0.0)
    probabilities[:, 3], probabilities[:, 0] = sure, 1 - sure
    labels = np.zeros(12, dtype=np.int64)
    labels[11] = 3  # the surest one is right
    found = Predictions("run", "alpha", "test", "raw", "none", EMOTIONS, np.array(ids), labels, probabilities, "key")
    monkeypatch.setattr(pictures, "read_predictions", lambda _: found)
    monkeypatch.setattr(pictures, "faces_of", lambda *_: PackedPixels(rows))
    seen: list[Any] = []
    monkeypatch.setattr(pictures, "plot_picture_rows", lambda *shown: seen.append(shown))
    entry: Any = type("Entry", (), {"test_variant": "raw"})
    pictures.draw_mistakes(None, None, entry, ["title"], 8)  # type: ignore[arg-type]
    shown = seen[0][1][0].pictures
    # below 4 it says angry, rightly
    assert [int(picture.pixels[0, 0, 0]) for picture in shown] == [10, 9, 8, 7, 6, 5, 4]
    assert shown[0].caption == "happy 0.85\nangry 0.15"
    assert not seen[0][1][3].pictures


def test_rows_of_any_length_are_drawn() -> None:
    face = np.zeros((8, 8, 1), dtype=np.uint8)
    colour = np.full((200, 100, 3), 255, dtype=np.uint8)
    two = PictureRow("two", [CaptionedPicture(face, "a"), CaptionedPicture(colour, "b")])
    figure = plot_picture_rows(["title"], [PictureRow("none", []), two])
    assert len(figure.axes[0].images) == 2
    assert plot_picture_rows(["title"], [PictureRow("nothing at all", [])]).axes


def test_reasons_are_counted_without_their_numbers() -> None:
    assert masked("confidence 12.5 below 20") == masked("confidence 7 below 20")
    assert masked("LIMIT_PER_SPLIT = 600") == "LIMIT_PER_SPLIT = 600"


def test_funnel_and_rates_show_their_counts() -> None:
    figure = plot_funnel(["title"], {"alpha": [["listed", 0, 40, ""], ["copies", 10, 30, "10 × exact copy"]]})
    assert any("30 (75.0%)" in text and "10 × exact copy" in text for text in texts(figure))
    rates = plot_detection_rates(["title"], {"alpha": {"happy": [9, 10]}})
    assert "0.90\nn = 10" in texts(rates)
    assert texts(rates).count("no pictures") == len(EMOTIONS) - 1
