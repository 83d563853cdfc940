"""Test rows whose label no network doubts: what audit/label_noise.csv says of them, where LABEL_NOISE wrote one."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from utils import InputError, read_csv, read_sealed


@dataclass(frozen=True)
class ConfidentRows:
    """Which rows of a study have labels that are doubted; the table is read once, and only when asked for."""

    output: Path

    @cached_property
    def key(self) -> str | None:
        """Changes with what was judged; None where nothing was, or its files are not whole."""
        try:
            return str(read_sealed(self.output / "audit" / "label_noise.json")["key"])
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def find(self, sample_ids: np.ndarray) -> np.ndarray | None:
        """bool [N]: the label is not doubted; None where some of the rows were not judged.

        Raises InputError when the table is damaged.
        """
        if self.key is None:
            return None
        doubtful = self._doubtful.reindex(sample_ids)
        return None if doubtful.isna().any() else ~doubtful.to_numpy(dtype=bool)

    @cached_property
    def _doubtful(self) -> pd.Series:
        path = self.output / "audit" / "label_noise.csv"
        try:
            return read_csv(path, ["sample_id", "dataset"]).set_index("sample_id")["doubtful"].astype(bool)
        except (OSError, ValueError, KeyError) as error:
            raise InputError(f"{path} is damaged ({error}). Remove it and run main.py: it is made again.") from error
