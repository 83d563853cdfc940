"""Promises about export: the same probabilities without torch, everything needed in the file, a card beside it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

import predict
from fer.inference.best_run import trained_runs
from fer.inference.onnx_export import CHECKED_FACES, export_onnx
from fer.inference.onnx_model import METADATA, load_onnx
from fer.inference.predictor import Predictor
from fer.inference.trained_model import load_model
from fer.machine.extras import need_extra
from fer.settings.settings import EMOTIONS, PROJECT, Settings
from fer.study.execution import execute
from fer.study.plan import open_study, planned_runs
from utils import InputError

pytestmark = pytest.mark.slow
NETWORKS = {
    "tiny_residual": {"batch_size": 16, "weights": None, "input_size": 32, "channels": 3},  # enlarged, colour
    "vit": {"architecture": "vit_tiny_patch16_224", "batch_size": 16, "weights": None, "input_size": 20, "channels": 1,
            "options": {"patch_size": 5, "depth": 2}},
}  # fmt: skip


@pytest.fixture
def output(tiny_settings: Callable[..., Settings]) -> Path:
    study = open_study(tiny_settings(MODEL_CONFIG=NETWORKS, EPOCHS=1))
    assert execute(study, planned_runs(study)) == {}
    return study.settings.output_path


def export(output: Path, run: Path, target: Path) -> None:
    assert predict.main(["--output", str(output), "--model", str(run), "--export", str(target)]) == 0


def test_an_exported_model_gives_the_probabilities_of_torch(output: Path, tmp_path: Path) -> None:
    for number, run in enumerate(trained_runs(output)):
        target = tmp_path / f"{number}.onnx"
        export(output, run, target)
        model, exported = load_model(str(run), output), load_onnx(target)
        shape = (CHECKED_FACES, model.recipe.side, model.recipe.side, model.recipe.channels)
        faces = np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)
        assert np.abs(exported.probabilities(faces) - model.probabilities(faces)).max() < 1e-4
        assert (exported.recipe, exported.temperature, exported.classes) == (model.recipe, model.temperature, EMOTIONS)
        stored = {prop.key: prop.value for prop in onnx.load(target).metadata_props}
        assert stored["labels"] == ",".join(EMOTIONS) and json.loads(stored[METADATA])["input"]["size"] in (20, 32)
        card = target.with_suffix(".md").read_text(encoding="utf-8")
        assert all(f"## {part}" in card for part in ("Data", "Protocol", "Scores", "Use", "Limits"))
        assert run.name in card and "cannot tell what a person feels" in card


def test_a_run_of_half_precision_can_be_exported(output: Path, tmp_path: Path) -> None:
    """bf16 rounds by more than 1e-4; the graph computes in fp32 and is held against that."""
    model = replace(load_model(str(trained_runs(output)[0]), output), autocast=torch.bfloat16)
    model.record["run"]["hyper"]["precision"] = "bf16"
    assert export_onnx(model, tmp_path / "half.onnx", output) < 1e-4
    assert "The scores above are of bf16" in (tmp_path / "half.md").read_text(encoding="utf-8")


def test_cropped_faces_need_no_torch(output: Path, tmp_path: Path) -> None:
    run, target = trained_runs(output)[0], tmp_path / "model.onnx"
    export(output, run, target)
    picture = next((tmp_path / "in" / "alpha" / "test" / "happy").iterdir())
    (expected,) = Predictor([load_model(str(run), output)]).predict([picture])
    code = (
        "import sys\nfor name in ('torch', 'timm', 'torchvision', 'facenet_pytorch'): sys.modules[name] = None\n"
        f"import predict; sys.exit(predict.main({['--onnx', str(target), '--image', str(picture), '--json']!r}))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)["faces"][0]["probabilities"]
    assert found == pytest.approx(expected.faces[0].probabilities, abs=1e-4)


def test_looking_for_faces_without_torch_says_what_it_needs(output: Path, tmp_path: Path) -> None:
    target = tmp_path / "model.onnx"
    export(output, trained_runs(output)[0], target)
    picture = next((tmp_path / "in" / "alpha" / "test" / "happy").iterdir())
    code = (
        "import sys\nfor name in ('torch', 'facenet_pytorch'): sys.modules[name] = None\n"
        f"import predict; sys.exit(predict.main({['--onnx', str(target), '--image', str(picture), '--detect']!r}))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True)
    assert done.returncode == 2 and "--no-face-detection" in done.stderr and "Traceback" not in done.stderr


def test_a_file_that_is_no_exported_model_is_named(tmp_path: Path) -> None:
    (tmp_path / "other.onnx").write_bytes(b"something else")
    with pytest.raises(InputError, match="no model exported by this project"):
        load_onnx(tmp_path / "other.onnx")


def test_a_missing_package_names_the_extra() -> None:
    with pytest.raises(InputError, match="uv sync --extra onnx"):
        need_extra("onnx", "a_package_nobody_has")
