"""An epoch in a line: what the log says of it, and where a running grid leaves how far it is."""

from __future__ import annotations

from typing import Any

from fer.runs.run import Run
from utils import log

PROGRESS = "cache/progress.json"  # in the output folder; see fer.study.grid_progress


def epoch_words(row: dict[str, Any]) -> str:
    """ "validation macro-F1 0.241, loss 1.598", from a row of history.csv; a line of 100 columns holds no more."""
    return f"validation macro-F1 {row['val_macro_f1']:.3f}, loss {row['val_loss']:.3f}"


def say_epoch(run: Run, row: dict[str, Any]) -> None:
    """Log an epoch of a run that stands alone."""
    log.info("epoch %d of %d: %s", row["epoch"], run.hyper.epochs, epoch_words(row))
