"""What a run.json says of how its training went."""

from __future__ import annotations

import json
from typing import Any

import pandas as pd


def training_facts(
    history: list[dict[str, Any]], best_epoch: int, micro_batch: int, oracle_epoch: int = 0
) -> dict[str, Any]:
    """Facts from the rows of history.csv; `oracle_epoch` 0: no oracle looked on."""
    table = pd.DataFrame(history)
    return {
        "epochs": len(table),
        "best_epoch": best_epoch,
        "train_seconds": round(float(table["seconds"].sum()), 2),
        "images_per_second": round(float(table["images_per_second"].median()), 1),
        "peak_gpu_mb": _peak(table, "peak_gpu_mb"),
        "peak_ram_mb": _peak(table, "peak_ram_mb"),
        "micro_batch": micro_batch,
        "best_validation": _epoch_row(table, best_epoch),
        "oracle_epoch": oracle_epoch or None,
        "oracle_validation": _epoch_row(table, oracle_epoch) if oracle_epoch else None,
    }


def _peak(history: pd.DataFrame, column: str) -> float | None:
    """None where it was not measured: without a GPU, or in epochs of an earlier version, resumed."""
    highest = pd.to_numeric(history.get(column, pd.Series(dtype=float))).max()
    return None if pd.isna(highest) else round(float(highest), 1)


def _epoch_row(history: pd.DataFrame, epoch: int) -> dict[str, Any]:
    """The row of `epoch` (from 1) as plain values."""
    return json.loads(history.iloc[epoch - 1].to_json())
