"""Promises about CLASSES = 8: contempt is a class from the datasets' rows to predict.py; seven stay as they were."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import TINY_MODEL, draw_folders
from layout_trees import read, reasons, touch
from PIL import Image

import predict
from data_loader import FaceRows
from evaluation import load_predictions
from fer.inference.predictor import Predictor, load_models
from fer.layouts.emotions import ALL_EMOTIONS, CONTEMPT, EMOTIONS
from fer.metrics.metrics import METRICS
from fer.results.study_files import read_study
from fer.runs.trained_network import load_trained
from fer.settings.settings import ModelRow, Settings, check_settings
from fer.statistics.bootstrap import draw_groups, resampled_scores, scores_once
from fer.study.execution import execute
from fer.study.plan import Study, open_study, planned_runs
from fer.study.variants import _with_shares
from main import run_study
from model_utils import build_network, load_state, save_state
from utils import InputError, file_fingerprint, read_csv, read_sealed, write_sealed

SEVEN = [10, 6, 6, 12, 8, 6, 9]


def draw_contempt(folder: Path, count: int, start: int = 0) -> None:
    """What no other class has: an upright bar."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(start, start + count):
        pixels = np.random.default_rng((7, number)).integers(0, 90, (20, 20))
        pixels[:, 8:12] += 150
        Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{number:03d}.png")


def values_of(root: Path, **changes: Any) -> dict[str, Any]:
    rows = {name: {"path": str(root / "in" / name), "layout": "folders", "faces": "cropped"} for name in ("with", "no")}
    rows["with"]["classes"] = {"contempt": "contempt"}  # type: ignore[assignment]
    return {
        "CLASSES": 8, "ACTIVE_DATASETS": ("with", "no"), "DATASETS": rows, "DATASETS_DIR": str(root / "prepared"),
        "OUTPUT_DIR": str(root / "out"), "VARIANTS": ("raw",), "EXPERIMENTS": ("individual", "combined"),
        "MODEL_CONFIG": {"tiny_plain": TINY_MODEL}, "EPOCHS": 8, "LEARNING_RATE": 3e-3, "FACE_SIZE": 16,
        "DEVICE": "cpu", "WORKERS": 0, "VAL_FRACTION": 0.2, "TTA": ("none",), "AMP": "off",
    } | changes  # fmt: skip


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Trained on a dataset with contempt and without neutral in its test set, on one without contempt, and on both."""
    root = tmp_path_factory.mktemp("eight")
    draw_folders(root / "in" / "with", {"train": SEVEN, "test": [4, 4, 4, 4, 4, 4, 0]})
    draw_folders(root / "in" / "no", {"train": SEVEN, "test": [4] * 7}, 5000)
    draw_contempt(root / "in" / "with" / "train" / CONTEMPT, 10)
    draw_contempt(root / "in" / "with" / "test" / CONTEMPT, 5, start=100)
    settings = check_settings(values_of(root))
    assert run_study(settings) == 0
    return settings


@pytest.mark.slow
def test_every_network_answers_with_eight_classes(study: Settings) -> None:
    runs = sorted((study.output_path / "saved_models").iterdir())
    assert len(runs) == 3
    for run in runs:
        assert tuple(read_sealed(run / "run.json")["inputs"]["classes"]) == ALL_EMOTIONS
        assert tuple(load_state(run / "weights.pth")["classes"]) == ALL_EMOTIONS
        for path in (run / "predictions").iterdir():
            found = load_predictions(path)
            assert found.classes == ALL_EMOTIONS and found.probabilities.shape[1] == 8


@pytest.mark.slow
def test_tables_hold_contempt_and_say_which_classes_are_shared(study: Settings) -> None:
    results = read_csv(study.output_path / "results.csv", ["classes_shared"])
    shared = results[results["section"] == "cross"].set_index("test_on")["classes_shared"]
    without = [name for name in EMOTIONS if name != "neutral"]
    assert shared["with"].split() == without and shared["no"].split() == list(EMOTIONS)
    both = results[(results["train_on"] == "with+no") & (results["test_on"] == "with")].iloc[0]
    assert both["classes_shared"].split() == [*without, CONTEMPT] and both["n_classes"] == 7
    classes = read_csv(study.output_path / "per_class_results.csv", ["class"])
    mine = classes[(classes["run"] == both["run"]) & (classes["test_on"] == "with")].set_index("class")
    assert list(mine.index) == list(ALL_EMOTIONS) and mine["support"].to_list() == [4] * 6 + [0, 5]
    assert both["macro_f1"] == pytest.approx(mine["f1"].drop("neutral").mean()) and np.isnan(mine["f1"]["neutral"])
    assert mine["recall"][CONTEMPT] > 0.5
    mix = pd.read_csv(study.output_path / "audit" / "class_mix.csv").set_index(["dataset", "split"])
    assert mix.loc[("with", "test"), CONTEMPT] == pytest.approx(5 / 29) and mix.loc[("no", "all"), CONTEMPT] == 0


@pytest.mark.slow
def test_the_report_speaks_of_eight_classes(study: Settings) -> None:
    page = (study.output_path / "report.html").read_text(encoding="utf-8")
    assert "Eight classes, contempt among them." in page
    tables = study.output_path / "tables"
    assert "6 of 8, not neutral, contempt" in (tables / "comprehensive_cross.md").read_text(encoding="utf-8")
    assert "contempt (5)" in (tables / "per_class_f1_with.md").read_text(encoding="utf-8")
    assert (study.output_path / "confusion_matrices" / "chosen_by_validation.png").is_file()


@pytest.mark.slow
def test_predict_says_contempt(study: Settings, tmp_path: Path) -> None:
    (run,) = (study.output_path / "saved_models").glob("with+no__*")
    pictures = sorted((study.datasets_path.parent / "in" / "with" / "test" / CONTEMPT).iterdir())
    answers = list(Predictor(load_models([run.name], study.output_path)).predict(pictures))
    assert [list(answer.faces[0].probabilities) for answer in answers] == [list(ALL_EMOTIONS)] * 5
    said = [answer.faces[0].label for answer in answers]
    assert said.count(CONTEMPT) >= 3
    asked = ["--image", str(pictures[0]), "--model", run.name, "--output", str(study.output_path), "--device", "cpu"]
    assert predict.main([*asked, "--save", str(tmp_path / "a.csv")]) == 0
    assert pd.read_csv(tmp_path / "a.csv").columns[-9:].to_list() == [*ALL_EMOTIONS, "problem"]


@pytest.mark.slow
def test_runs_of_other_classes_are_refused_in_a_report(study: Settings) -> None:
    path = study.output_path / "study.json"
    before = path.read_bytes()
    stored = read_sealed(path)
    write_sealed(path, stored | {"config": stored["config"] | {"CLASSES": 7}})
    try:
        with pytest.raises(InputError, match="answers with 8 classes in a study of 7"):
            read_study(study.output_path)
    finally:
        path.write_bytes(before)
    assert read_study(study.output_path).classes == 8


@pytest.mark.slow
def test_fitted_heads_take_eight_classes(study: Settings, tmp_path: Path) -> None:
    torch.manual_seed(0)
    network, _ = build_network("tiny_plain", ModelRow(batch_size=1, input_size=16, channels=1), 8, False)
    save_state(tmp_path / "start.pth", network.state_dict())
    row = TINY_MODEL | {"weights_file": str(tmp_path / "start.pth"), "head": "svm"}
    found = trained(study, tmp_path, MODEL_CONFIG={"tiny_plain": row}, EXPERIMENTS=("individual",))
    for planned in planned_runs(found):
        digest = file_fingerprint(planned.folder / "weights.pth", 64)
        assert load_trained(planned, digest, torch.device("cpu"))[0](torch.zeros(2, 1, 16, 16)).shape == (2, 8)


@pytest.mark.slow
def test_all_that_counts_classes_counts_eight(study: Settings, tmp_path: Path) -> None:
    """Weighted draws, mixed pictures, a loss that knows frequencies, doubtful labels and a grid in one study."""
    values = study.describe() | {
        "OUTPUT_DIR": str(tmp_path / "out"), "MIXUP": 0.2, "MIXING": ("balanced",),
        "LABEL_NOISE": "tiny_plain", "NOISE_FOLDS": 2, "EPOCHS": 2, "EXPERIMENTS": ("combined",),
        "GRID": {
            "DOUBTFUL": ("keep", 0.5),
            "frequencies": {
                "told": {"LOSS": "logit_adjustment", "BALANCE": "none"},
                "even": {"LOSS": "cross_entropy", "BALANCE": "weighted_sampler"},
            },
        },
    }  # fmt: skip
    settings = check_settings(values)
    assert run_study(settings) == 0
    grid = read_csv(settings.output_path / "tables" / "grid_classes.csv", ["class"])
    assert set(grid["class"]) == set(ALL_EMOTIONS)


def trained(study: Settings, output: Path, **changes: Any) -> Study:
    found = open_study(check_settings(study.describe() | {"OUTPUT_DIR": str(output / "out")} | changes))
    assert execute(found, planned_runs(found)) == {}
    return found


def test_shares_of_seven_get_an_eighth_of_nothing() -> None:
    """FER+ without contempt beside one with it: both are trained on votes of eight classes."""
    zero = np.zeros(1, dtype=np.int64)
    faces = FaceRows((), zero, zero, zero, zero, ("a",))
    table = pd.DataFrame({"sample_id": ["a"], "shares": ["0.5 0 0 0 0 0 0.5"]})
    shares = _with_shares(faces, table, 8).shares
    assert shares is not None and shares.tolist() == [[0.5, 0, 0, 0, 0, 0, 0.5, 0]]


def test_macro_f1_by_hand_with_a_class_missing() -> None:
    """Shown: angry twice, contempt twice; answered: angry, contempt, contempt, contempt.

    F1 of angry 2·1·½/(1 + ½) = 2/3, of contempt 2·⅔·1/(⅔ + 1) = 4/5; the mean of the two present is 11/15.
    """
    labels, predicted = np.array([0, 0, 7, 7]), np.array([0, 7, 7, 7])
    assert METRICS["macro_f1"](labels, np.eye(8)[predicted]) == pytest.approx(11 / 15)
    assert scores_once(labels, predicted, 8)["macro_f1"] == pytest.approx(11 / 15)
    draws = draw_groups(np.zeros(4, dtype=int))  # one group: every resample holds the same rows
    assert resampled_scores(draws, labels, predicted, 8)["macro_f1"] == pytest.approx(11 / 15)


def problems_of(tmp_path: Path, **changes: Any) -> str:
    with pytest.raises(InputError) as caught:
        check_settings(values_of(tmp_path, **changes))
    return str(caught.value)


def test_settings_that_contradict_are_refused(tmp_path: Path) -> None:
    assert '"with" keeps contempt as a class of its own, and CLASSES = 7' in problems_of(tmp_path, CLASSES=7)
    assert "none of no is trained on and keeps contempt" in problems_of(tmp_path, ACTIVE_DATASETS=("no",))
    assert "CLASSES" in problems_of(tmp_path, CLASSES=9)
    rows = values_of(tmp_path)["DATASETS"]
    rows["with"]["role"] = "test"
    assert "none of with, no is trained on and keeps contempt" in problems_of(tmp_path, DATASETS=rows)


def test_layouts_keep_contempt_where_their_row_says_so(tmp_path: Path) -> None:
    touch(tmp_path / "a", "train/7/a.jpg", "train/0/b.jpg", "val/7/c.jpg")
    listing = read(tmp_path / "a", "affectnet", contempt=CONTEMPT)
    found = {row["path"]: ALL_EMOTIONS[row["label"]] for row in listing.samples.to_dict("records")}
    assert found == {"train/7/a.jpg": CONTEMPT, "train/0/b.jpg": "neutral", "val/7/c.jpg": CONTEMPT}
    touch(tmp_path / "c", "CK+48/contempt/S010_004_00000017.png", "CK+48/anger/S011_004_00000017.png")
    listing = read(tmp_path / "c", "ckplus", contempt=CONTEMPT)
    assert sorted(listing.samples["label"]) == [0, 7] and CONTEMPT not in reasons(listing)
    assert listing.expected_counts is not None and listing.expected_counts[""][CONTEMPT] == 54
    assert any("contempt 1 of 54" in note for note in listing.notes)
