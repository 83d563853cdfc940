"""An exported model, used without torch: onnxruntime gives the probabilities, the file's metadata all the rest.

Looking for faces needs torch all the same, since MTCNN is a torch network: without it, only cropped faces.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fer.inference.face_recipe import FaceRecipe
from fer.machine.extras import need_extra
from utils import InputError

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

METADATA = "fer"  # key of the JSON among the file's metadata


@dataclass(frozen=True)
class OnnxModel:
    """What fer/inference/predictor.py asks of a model, from an ONNX file."""

    name: str
    classes: tuple[str, ...]
    recipe: FaceRecipe
    temperature: float
    n_val: int
    session: InferenceSession

    def probabilities(self, pixels: np.ndarray) -> np.ndarray:
        """As trained: float32 [N, C] of uint8 [N, S, S, C]."""
        return self.session.run(["probabilities"], {"faces": pixels})[0]


def need_detector() -> None:
    """Raises InputError where the face detector cannot be imported."""
    try:
        import facenet_pytorch  # noqa: F401
    except ImportError as error:
        raise InputError(
            f"Looking for faces needs torch and facenet-pytorch ({error}): the detector, MTCNN, is a torch network. "
            "Give pictures that are one face each, with --no-face-detection, or install the project whole."
        ) from error


def load_onnx(path: Path) -> OnnxModel:
    """An exported model. Raises InputError when the file is not there, no ONNX, or was not exported here."""
    need_extra("onnx", "onnxruntime")
    import onnxruntime

    if not path.is_file():
        raise InputError(f"{path} does not exist. `python predict.py --export {path.name}` makes one of a run.")
    try:
        session = onnxruntime.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])
        facts = json.loads(session.get_modelmeta().custom_metadata_map[METADATA])
        recipe = FaceRecipe(**facts["recipe"])
        return OnnxModel(
            facts["name"], tuple(facts["classes"]), recipe, facts["temperature"], facts["n_val"], session
        )  # fmt: skip
    except Exception as error:  # onnxruntime's own errors share no class
        raise InputError(
            f"{path} is no model exported by this project ({type(error).__name__}: {str(error)[:150]}). "
            "Export it again: python predict.py --export FILE.onnx --model RUN."
        ) from error
