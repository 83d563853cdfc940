"""A metric added to METRICS, in one place, is seen everywhere."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from fer.settings.settings import PROJECT

ADDED = """
import sys
from pathlib import Path

from fer.metrics.metrics import METRICS, Metric

def worst(counts):
    return counts.recall.min(-1)

METRICS["worst_recall"] = Metric("the worst recall", "recall of the worst class", worst, compared=True)
sys.path.insert(0, "tests")
from made_results import Study
from fer.results.tables import write_tables
from fer.settings.settings import check_settings
from fer.statistics.comparisons import write_statistics

assert check_settings({"PRIMARY_METRIC": "worst_recall"}).primary_metric == "worst_recall"
Study(Path(sys.argv[1]), ("studio",), (("studio",),), models=("cnn", "vit"), tta=("none",))
write_tables(Path(sys.argv[1]))
write_statistics(Path(sys.argv[1]))
"""


@pytest.mark.slow
def test_a_metric_added_in_one_place_has_its_column_interval_comparison_and_sentence(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", ADDED, str(tmp_path)], cwd=PROJECT, check=True)
    assert pd.read_csv(tmp_path / "results.csv")["worst_recall"].between(0, 1).all()
    assert "worst_recall" in pd.read_csv(tmp_path / "validation_results.csv")
    for name in ("intervals", "seeds", "comparisons"):
        table = pd.read_csv(tmp_path / "statistics" / f"{name}.csv")
        assert "worst_recall" in set(table["metric"]), name
    assert "the worst recall" in (tmp_path / "statistics" / "statements.json").read_text(encoding="utf-8")
