"""A finished run as one ONNX file: enlarging, normalising, network and softmax in the graph, everything else beside it.

Input `faces` uint8 [N, side, side, channels]: faces cut out as the recipe in the metadata says (RGB, or gray with
one channel). Output `probabilities` float32 [N, classes], as trained; the metadata's temperature calibrates them.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fer.inference.model_card import model_card
from fer.inference.onnx_model import METADATA, load_onnx
from fer.machine.extras import need_extra
from utils import InputError, atomic_path, write_text

if TYPE_CHECKING:
    import torch

    from fer.inference.trained_model import TrainedModel

LARGEST_DIFFERENCE = 1e-4  # of any probability, between torch and onnxruntime
CHECKED_FACES = 100
OPSET = 18


def export_onnx(model: TrainedModel, target: Path, output: Path) -> float:
    """Write `target` and its model card, `<target>.md`; returns the largest difference of any probability.

    100 faces of noise are given to both; `output` is where the study's results lie, for the card.
    Raises InputError when the extra `onnx` is not installed, the network cannot be exported, or the two disagree.
    """
    need_extra("onnx", "onnx", "onnxscript", "onnxruntime")
    if model.tta != "none":
        raise InputError("--tta stays outside an exported model: its graph sees each face once. Leave it out.")
    with atomic_path(target) as temporary:
        _write(model, temporary)
        difference = _largest_difference(model, temporary)
        if not difference <= LARGEST_DIFFERENCE:
            raise InputError(
                f"{model.name}: onnxruntime's probabilities differ from torch's by up to {difference:.2g} "
                f"(allowed {LARGEST_DIFFERENCE:g}), so nothing was written. Please report the network's name."
            )
    write_text(target.with_suffix(".md"), model_card(model, output, target.name, difference))
    return difference


def _write(model: TrainedModel, path: Path) -> None:
    import onnx
    import torch

    example = torch.from_numpy(_noise(model, 2))
    try:
        program = torch.onnx.export(
            _graph(model), (example,), dynamo=True, opset_version=OPSET, verbose=False,
            input_names=["faces"], output_names=["probabilities"],
            dynamic_shapes={"faces": {0: torch.export.Dim("n", min=1)}},
        )  # fmt: skip
    except torch.onnx.errors.OnnxExporterError as error:
        raise InputError(f"{model.name} cannot be exported: {str(error).splitlines()[0]}") from error
    assert program is not None
    proto = program.model_proto
    for key, value in metadata(model).items():
        proto.metadata_props.add(key=key, value=value)
    onnx.save(proto, path)


def _graph(model: TrainedModel) -> torch.nn.Module:
    """The network between uint8 faces and probabilities, on the CPU."""
    import torch

    from data_loader import enlarged, normalised

    class Graph(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = model.network.to("cpu").eval()

        def forward(self, faces: torch.Tensor) -> torch.Tensor:
            planes = faces.permute(0, 3, 1, 2)
            pixels = enlarged([(planes, planes)], model.expected, torch.device("cpu"))
            return self.network(normalised(pixels, model.expected)).float().softmax(1)

    return Graph().eval()


def metadata(model: TrainedModel) -> dict[str, str]:
    """What travels in the file: labels, normalisation and preprocessing, each readable alone, and all as one JSON."""
    facts: dict[str, Any] = {
        "name": model.name,
        "classes": list(model.classes),
        "recipe": model.recipe.describe(),
        "input": model.expected.__dict__,
        "temperature": model.temperature,
        "n_val": model.n_val,
        "weights_sha256": model.record["weights_sha256"],
    }
    return {
        METADATA: json.dumps(facts),
        "labels": ",".join(model.classes),
        "mean": ",".join(f"{value:g}" for value in model.expected.mean),
        "std": ",".join(f"{value:g}" for value in model.expected.std),
        "normalisation": "inside the graph: faces are uint8, 0 to 255",
    }


def _noise(model: TrainedModel, count: int) -> np.ndarray:
    shape = (count, model.recipe.side, model.recipe.side, model.recipe.channels)
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def _largest_difference(model: TrainedModel, path: Path) -> float:
    """Beside torch in fp32, as the graph computes: bf16 and fp16 of training round by more than is allowed."""
    faces = _noise(model, CHECKED_FACES)
    there = load_onnx(path).probabilities(faces)
    return float(np.abs(there - replace(model, autocast=None).probabilities(faces)).max())
