"""Training histories for people who live in TensorBoard: `tensorboard --logdir saidas/tensorboard`.

An optional extra: the package is imported only here, and only when asked for.
"""

from __future__ import annotations

import math
import shutil
import tempfile
from pathlib import Path

import pandas as pd

from fer.results.study_files import StoredRun, read_history, read_study
from utils import InputError, atomic_path, file_fingerprint, log

PREFIX = "events.out.tfevents."


def write_events(output: Path) -> list[Path]:
    """Write the history of every finished run to `output`/tensorboard/<run>/; returns the files, one a run.

    Tags: loss/train, loss/val, accuracy/train …, and the other columns of history.csv under their own names; the step
    is the epoch. A file is written again only when its history changed; runs of an earlier plan are removed; a damaged
    history is left out with a warning. Raises InputError when the package tensorboard is not installed, or study.json
    cannot be used.
    """
    _require_tensorboard()
    study, folder, written = read_study(output), output / "tensorboard", []
    for run in study.runs:
        try:
            written.append(_write_run(run, folder / run.name))
        except InputError as error:
            log.warning("left out of TensorBoard: %s", error)
    _remove_others(folder, {path.parent.name for path in written})
    return written


def _require_tensorboard() -> None:
    try:
        import tensorboard  # noqa: F401
    except ImportError as error:
        raise InputError(
            "TENSORBOARD = True needs the package tensorboard, which is not installed. Install the extra: "
            'uv sync --extra tensorboard, or pip install "fer-pipeline[tensorboard]"; or set TENSORBOARD = False.'
        ) from error


def _write_run(run: StoredRun, folder: Path) -> Path:
    history = read_history(run)
    source = run.folder / "history.csv"
    target = folder / f"{PREFIX}{file_fingerprint(source)}"
    if not target.is_file():
        _write_file(target, history, source.stat().st_mtime)
    for path in folder.glob(f"{PREFIX}*"):
        if path != target:
            path.unlink()
    return target


def _write_file(target: Path, history: pd.DataFrame, finished: float) -> None:
    """Write one event file; the epochs end at `finished` (seconds since 1970), each as long as it took.

    Values that are missing in the history are left out.
    """
    from torch.utils.tensorboard import SummaryWriter

    seconds = history["seconds"] if "seconds" in history else pd.Series(0.0, index=history.index)
    ends = finished - seconds.sum() + seconds.cumsum()
    numbers = history.select_dtypes("number").drop(columns="epoch")
    with tempfile.TemporaryDirectory() as scratch:
        with SummaryWriter(scratch) as writer:
            for name in numbers:
                for epoch, value, end in zip(history["epoch"], numbers[name], ends, strict=True):
                    if not math.isnan(value):
                        writer.add_scalar(tag_of(str(name)), value, int(epoch), walltime=end)
        (written,) = Path(scratch).iterdir()
        with atomic_path(target) as temporary:
            shutil.copyfile(written, temporary)


def tag_of(column: str) -> str:
    """TensorBoard's name of a history column: train_loss and val_loss share the group "loss"."""
    part, _, metric = column.partition("_")
    return f"{metric}/{part}" if part in ("train", "val", "test") and metric else column


def _remove_others(folder: Path, names: set[str]) -> None:
    for path in folder.glob(f"*/{PREFIX}*"):
        if path.parent.name not in names:
            path.unlink()
            if not any(path.parent.iterdir()):
                path.parent.rmdir()
