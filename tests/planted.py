"""A made-up study whose networks are right as often as a test says, on pictures that are as hard for all of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from made_results import Study
from scipy.special import ndtri

from fer.findings.finding import Finding
from fer.findings.findings import write_findings
from fer.results.tables import write_tables
from fer.settings.settings import EMOTIONS
from fer.statistics.comparisons import write_statistics
from utils import fingerprint


def equal_skill(run: Any, item: dict[str, str]) -> float:
    """Every network is right on 60 of 100 pictures."""
    return 0.6


@dataclass
class Planted(Study):
    """`skill(run, item)`: the share of pictures of an entry that a run gets right, but for chance; see study.json.

    `hopeless`: a class never recognised, taken most often for the one after it.
    """

    skill: Callable[[Any, dict[str, str]], float] = equal_skill
    hopeless: str = ""
    tta: tuple[str, ...] = ("none",)

    def write_predictions(self, planned: Any, item: dict[str, str], **changes: Any) -> Path:
        labels = np.repeat(np.arange(len(EMOTIONS)), self.counts[item["split"]])
        shared = np.random.default_rng(int(fingerprint([item["test_on"], item["split"]]), 16))
        own = np.random.default_rng(int(fingerprint([planned.run.describe(), item["test_on"], item["split"]]), 16))
        view = np.random.default_rng(int(fingerprint([planned.run.describe(), item]), 16))
        parts = ((0.8, shared), (0.5, own), (0.33, view))  # squares add up to 1
        hardness = sum(share * rng.normal(size=len(labels)) for share, rng in parts)
        right = hardness < ndtri(self.skill(planned.run, item))
        if self.hopeless:
            right &= labels != EMOTIONS.index(self.hopeless)
        astray = own.choice([1, 2, 3], size=len(labels), p=[0.5, 0.25, 0.25])
        answers = np.where(right, labels, (labels + astray) % len(EMOTIONS))
        probabilities = (0.1 / 6 + (0.9 - 0.1 / 6) * np.eye(len(EMOTIONS))[answers]).astype(np.float32)
        return super().write_predictions(planned, item, labels=labels, probabilities=probabilities, **changes)


def findings_of(study: Planted) -> dict[str, Finding]:
    """The findings of a study by rule; of several by one rule, the last."""
    write_tables(study.output)
    write_statistics(study.output)
    return {finding.rule: finding for finding in write_findings(study.output)}
