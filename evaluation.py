"""From a network to stored probabilities, and from stored probabilities to metrics.

Everything after `Predictions` is a pure function of files; torch is needed only to make them.
"""

from __future__ import annotations

import hashlib
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from tokenize import TokenError
from typing import TYPE_CHECKING

import numpy as np

from data_loader import BatchSource, Chunk, FaceRows, NetworkInput, enlarged, make_loader, normalised
from fer.machine.memory import is_out_of_memory
from fer.machine.processes import Processes
from fer.metrics.metrics import METRICS as METRICS
from fer.metrics.metrics import accuracy as accuracy
from fer.metrics.metrics import all_metrics as all_metrics
from fer.metrics.metrics import balanced_accuracy as balanced_accuracy
from fer.metrics.metrics import class_scores as class_scores
from fer.metrics.metrics import macro_f1 as macro_f1
from fer.views.policies import TTA_POLICIES, VIEWS
from utils import InputError, atomic_path

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Predictions:
    """Class probabilities of one trained network on one set of rows.

    `run`: folder name; `test_on`: dataset; `split`: val or test; `test_variant`; `tta`: policy;
    `classes`: names; `sample_ids` str[N]; `labels` int64[N]; `probabilities` float32[N, C] (float64 where members vote:
    made from files, never stored); `key`: fingerprint of weights, rows, test variant and policy.
    """

    run: str
    test_on: str
    split: str
    test_variant: str
    tta: str
    classes: tuple[str, ...]
    sample_ids: np.ndarray
    labels: np.ndarray
    probabilities: np.ndarray
    key: str

    @property
    def predicted(self) -> np.ndarray:
        """Most probable class of each row, int64[N]."""
        return self.probabilities.argmax(axis=1)


# ---------------------------------------------------------------- test-time augmentation


def predict(
    network: torch.nn.Module,
    expected: NetworkInput,
    faces: FaceRows,
    policies: tuple[str, ...],
    batch_size: int,
    device: torch.device,
    workers: int = 0,
    autocast: torch.dtype | None = None,
) -> dict[str, np.ndarray]:
    """Probabilities float32[N, C] per TTA policy, rows in the order of `faces`.

    Each view is computed once, however many policies average it.
    """
    import torch

    views = _views_of(policies)
    source = BatchSource(faces, batch_size)
    outputs: dict[str, list[np.ndarray]] = {view: [] for view in views}
    positions = []
    network.eval()
    with torch.inference_mode():
        for number, chunks in enumerate(make_loader(source, workers, device.type == "cuda")):
            positions.append(source.positions(0, number))
            for view, found in _views_of_batch(network, expected, chunks, views, device, autocast):
                outputs[view].append(found)
    order = np.argsort(np.concatenate(positions), kind="stable")
    by_view = {view: np.concatenate(parts)[order] for view, parts in outputs.items()}
    return {policy: _mean_of_views(by_view, policy) for policy in policies}


def predict_together(
    processes: Processes, faces: FaceRows, answer: Callable[[FaceRows], dict[str, np.ndarray]]
) -> dict[str, np.ndarray]:
    """What `answer` gives for `faces` (as `predict`), each process answering its share of the rows, each row once.

    All of them are given all rows. Raises ProcessError where one of them cannot answer.
    """
    if processes.count == 1:
        return answer(faces)
    own = processes.share(len(faces))
    rows = faces.take(np.arange(own.start, own.stop))
    parts = processes.gathered(processes.agreed(lambda: answer(rows) if len(rows) else {}))
    answered = [part for part in parts if part]
    return {policy: np.concatenate([part[policy] for part in answered]) for policy in answered[0]}


def predict_batch(
    network: torch.nn.Module,
    expected: NetworkInput,
    pixels: np.ndarray,
    policy: str,
    device: torch.device,
    autocast: torch.dtype | None = None,
) -> np.ndarray:
    """Probabilities float32[N, C] by a TTA policy of faces in memory, uint8 [N, S, S, 1 or 3]; `predict` of one batch.

    The network is in evaluation mode already.
    """
    import torch

    planes = torch.from_numpy(np.ascontiguousarray(pixels.transpose(0, 3, 1, 2)))
    chunks = [(planes, torch.zeros(len(planes), dtype=torch.int64))]
    with torch.inference_mode():
        by_view = dict(_views_of_batch(network, expected, chunks, _views_of((policy,)), device, autocast))
    return _mean_of_views(by_view, policy)


def _views_of(policies: tuple[str, ...]) -> list[str]:
    """The views that one policy or another averages, in the order of VIEWS."""
    return sorted({view for policy in policies for view in TTA_POLICIES[policy]}, key=list(VIEWS).index)


def _mean_of_views(by_view: dict[str, np.ndarray], policy: str) -> np.ndarray:
    return np.stack([by_view[view] for view in TTA_POLICIES[policy]]).mean(axis=0, dtype=np.float32)


def _views_of_batch(
    network: torch.nn.Module,
    expected: NetworkInput,
    chunks: list[Chunk],
    views: list[str],
    device: torch.device,
    autocast: torch.dtype | None,
) -> Iterator[tuple[str, np.ndarray]]:
    """Each view of a batch with its probabilities, rows as the chunks hold them."""
    pixels = enlarged(chunks, expected, device)
    gray = pixels.shape[1] < expected.channels  # a view of one plane costs a third of one of three
    if not gray:
        pixels = normalised(pixels, expected)
    for view in views:
        seen = VIEWS[view](pixels)
        yield view, _probabilities(network, normalised(seen, expected) if gray else seen, autocast)


def _probabilities(network: torch.nn.Module, pixels: torch.Tensor, autocast: torch.dtype | None) -> np.ndarray:
    """Softmax in float32; a batch too large for memory is halved until it fits."""
    import torch

    try:
        with torch.autocast(pixels.device.type, dtype=autocast, enabled=autocast is not None):
            logits = network(pixels)
        return logits.float().softmax(1).cpu().numpy()
    except (MemoryError, RuntimeError) as error:
        if len(pixels) == 1 or not is_out_of_memory(error):
            raise
    # Here, not above: while the error is handled, its traceback holds the tensors of the failed step.
    if pixels.device.type == "cuda":
        torch.cuda.empty_cache()
    return np.concatenate([_probabilities(network, part, autocast) for part in pixels.chunk(2)])


# ---------------------------------------------------------------- ensembles


def soft_vote(probabilities: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """Mean of the members' probabilities [M, N, C], weighted by `weights` [M]: float64[N, C].

    In float32 two classes that are close would round to a tie, which argmax gives to the lower index.
    """
    return np.average(probabilities.astype(np.float64), axis=0, weights=weights)


def hard_vote(probabilities: np.ndarray) -> np.ndarray:
    """Share of the members [M, N, C] whose answer is each class, float64[N, C].

    A tie goes to the class with the higher mean probability: a millionth part of that mean is mixed in. It needs
    float64: float32 would round means that differ by less than 0.06 to a tie again, float64 only below 1e-9.
    """
    votes = np.eye(probabilities.shape[2])[probabilities.argmax(axis=2)].mean(axis=0)
    return votes * (1 - 1e-6) + soft_vote(probabilities) * 1e-6


# ---------------------------------------------------------------- predictions on disk


# What NumPy's reader raises on cut or changed bytes (found by changing bytes at random).
DAMAGED = (
    OSError, ValueError, KeyError, EOFError, NotImplementedError, TokenError, zipfile.BadZipFile, zlib.error,
)  # fmt: skip


ARRAYS = ("classes", "sample_ids", "labels", "probabilities")


def store_predictions(path: Path, predictions: Predictions) -> None:
    """Write predictions as .npz, whole or not at all, with a checksum of what they hold."""
    fields = {name: np.asarray(value) for name, value in predictions.__dict__.items()}
    with atomic_path(path) as temporary, temporary.open("wb") as stream:
        np.savez_compressed(stream, **fields, checksum=np.asarray(_checksum(fields)))  # type: ignore[arg-type]


def _checksum(fields: dict[str, np.ndarray]) -> str:
    """32 hexadecimal digits of the SHA-256 of all values, with their names, kinds and shapes."""
    digest = hashlib.sha256()
    for name in Predictions.__annotations__:
        digest.update(f"{name} {fields[name].dtype.str} {fields[name].shape} ".encode())
        digest.update(np.ascontiguousarray(fields[name]).tobytes())
    return digest.hexdigest()[:32]


def load_predictions(path: Path) -> Predictions:
    """Read predictions; a file without a checksum, of an earlier version, is taken as it is.

    Raises InputError when the file is not there, truncated, changed since it was written, or not one of ours.
    """
    if not path.is_file():
        raise InputError(f"{path} is not there yet. Run main.py: it is made from the weights.")
    try:
        with np.load(path, allow_pickle=False) as stored:
            fields = {name: stored[name] for name in Predictions.__annotations__}
            checksum = str(stored["checksum"]) if "checksum" in stored else None
        kinds = [fields[name].dtype.kind + str(fields[name].ndim) for name in ARRAYS]
        if kinds != ["U1", "U1", "i1", "f2"]:
            raise ValueError(f"{', '.join(ARRAYS)} are of the kinds {kinds}")
        if checksum not in (None, _checksum(fields)):
            raise ValueError("its checksum does not match: it was changed since it was written")
    except DAMAGED as error:
        raise InputError(f"{path} is damaged ({error}). Run main.py: it is made again from the weights.") from error
    for name in ("run", "test_on", "split", "test_variant", "tta", "key"):
        fields[name] = str(fields[name])
    fields["classes"] = tuple(fields["classes"].tolist())
    return Predictions(**fields)


def problem_of_predictions(found: Predictions, classes: tuple[str, ...], key: str) -> str:
    """Why predictions cannot be used as those of `classes` and `key`, in words; "" when they can."""
    rows = len(found.labels)
    if found.classes != classes:
        return f"its classes are {', '.join(found.classes)}, not {', '.join(classes)}"
    if found.key != key:
        return "it was made from other weights or rows than the plan's"
    if rows == 0 or found.probabilities.shape != (rows, len(classes)) or found.sample_ids.shape != (rows,):
        return f"probabilities {found.probabilities.shape} and {len(found.sample_ids)} names for {rows} labels"
    if found.labels.min() < 0 or found.labels.max() >= len(classes):
        return f"labels reach from {found.labels.min()} to {found.labels.max()}; {len(classes)} classes are known"
    if not np.isfinite(found.probabilities).all() or np.abs(found.probabilities.sum(1) - 1).max() > 1e-3:
        return "some probabilities are not finite, or do not add up to 1"
    return ""
