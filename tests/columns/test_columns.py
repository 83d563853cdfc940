"""Promises about the columns: their pages in docs/ are up to date, and every table written has what it says."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pytest

from fer.columns.columns import COLUMNS, described
from fer.columns.files import ATTRIBUTES, DETECTION, FINDINGS, OUTPUT_FILES, OutputFile
from fer.columns.page import pages
from fer.data.attributes import RAFDB_ATTRIBUTES
from fer.findings.finding import Finding
from fer.metrics.metrics import METRICS
from fer.settings.settings import EMOTIONS, Settings
from main import main
from preprocessing import detection_rates

# Columns whose names depend on the study, beside those listed.
FURTHER = {
    "comprehensive_results.csv": (
        r"(alpha|beta|alpha\+beta) (none|flip) (n|(accuracy|balanced_accuracy|macro_f1)( sd| low| high)?)"
    ),
    "tables/per_class.csv": rf"({'|'.join(EMOTIONS)}) (recall|f1)( sd)?",
    "tables/cost.csv": r"\w+ sd",
    "tables/all_runs.csv": r"[A-Z_]+",
}  # fmt: skip
# Written for some studies only: GRID, LABEL_NOISE, shipped attributes, faces that are looked for, tables of predict.py.
ELSEWHERE = (
    "samples/<dataset>_attributes.csv",
    "samples/<dataset>_detection.csv",
    "samples/<dataset>_no_face.csv",
    "tables/grid.csv",
    "search/trials.csv",
    "search/importances.csv",
    "audit/label_noise.csv",
    "audit/label_noise_matrix.csv",
    "tables/grid_classes.csv",
    "pretrainings/<pretraining>/history.csv",
)


def test_the_pages_are_up_to_date() -> None:
    for path, text in pages().items():
        assert path.read_text(encoding="utf-8") == text, "python -m fer.columns.page writes it"


def test_every_column_is_described_once_and_stands_in_a_file() -> None:
    names = [name for column in COLUMNS for name in column.names]
    assert len(names) == len(set(names))
    assert set(names) == {name for one in OUTPUT_FILES for name in one.columns}
    assert all(described()[name].meaning == metric.meaning for name, metric in METRICS.items())


def tables() -> Iterator[tuple[str, OutputFile]]:
    """Pattern and record of every table listed."""
    for one in OUTPUT_FILES:
        for path in one.path.split(", "):
            if path.endswith(".csv") and not path.startswith("predict.py"):
                yield path, one


def files_of(pattern: str, output: Path, datasets: Path) -> set[Path]:
    """The files of a pattern in a study, those of datasets/ under `datasets`."""
    root = datasets if pattern.startswith("datasets/") else output
    return set(root.glob(re.sub(r"<\w+>", "*", pattern.removeprefix("datasets/"))))


@pytest.mark.slow
def test_every_table_of_a_study_has_the_columns_listed(tiny_settings: Callable[..., Settings], tmp_path: Path) -> None:
    settings = tiny_settings(
        "alpha", "beta", VARIANTS=("raw", "augmented"), EXPERIMENTS=("individual", "combined"), EPOCHS=1,
        TTA=("none", "flip"),
    )  # fmt: skip
    study = tmp_path / "study.py"
    study.write_text("\n".join(f"{name} = {value!r}" for name, value in settings.describe().items()) + "\n")
    assert main(["--config", str(study)]) == 0
    output, datasets = tmp_path / "out", tmp_path / "prepared"
    seen: set[Path] = set()
    for pattern, listed in tables():
        found = files_of(pattern, output, datasets)
        assert found or pattern in ELSEWHERE, pattern
        for path in found:
            columns = [str(name) for name in pd.read_csv(path, nrows=0)]
            further = [name for name in columns if name not in listed.columns]
            assert [name for name in columns if name in listed.columns] == list(listed.columns), path
            assert all(re.fullmatch(FURTHER.get(pattern, "none"), name) for name in further), (path, further)
        seen |= found
    assert {path for folder in (output, datasets) for path in folder.rglob("*.csv")} == seen


def test_tables_of_few_datasets_have_the_columns_listed() -> None:
    made = pd.DataFrame({"split": ["test"], "label": [3], "method": ["detected"], "found": [True], "beyond": [0.0]})
    assert tuple(detection_rates(made)) == DETECTION
    assert ("sample_id", *RAFDB_ATTRIBUTES) == ATTRIBUTES
    assert tuple(Finding.__dataclass_fields__) == FINDINGS
