"""Promises about names: a dataset called "null" or "1" and a person called "NA" keep them, from disk to the report."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from fake_study import FakeStudy

from fer.audit.audit import audit_or_load
from fer.data.samples import load_samples
from fer.figures.result_rows import rows_selected_on_validation, with_classes
from fer.figures.selection import funnel_jobs
from fer.findings.findings import write_findings
from fer.report.page import write_report
from fer.report.paper_tables import write_paper_tables
from fer.results.study_files import read_study
from fer.results.tables import read_results, write_funnel, write_tables
from fer.settings.settings import Settings
from fer.statistics.comparisons import write_statistics
from utils import read_csv

NAMES = ("null", "1")
ODD = ["null", "NA", "nan", "None", "#N/A", "1", "-inf", "True", "", " "]


def test_a_table_keeps_its_words(tmp_path: Path) -> None:
    pd.DataFrame({"name": ODD, "value": [np.nan, *range(len(ODD) - 1)]}).to_csv(tmp_path / "t.csv", index=False)
    table = read_csv(tmp_path / "t.csv", ["name", "not there"])
    assert table["name"].fillna("").tolist() == ODD
    assert table["value"].isna().tolist() == [True] + [False] * (len(ODD) - 1)
    assert table["value"].dtype == float


@pytest.mark.slow
def test_datasets_and_people_keep_their_names(tiny_settings: Callable[..., Settings]) -> None:
    plain = tiny_settings(*NAMES)
    for name in NAMES:
        folder = plain.resolve(plain.datasets[name].path) / "train/happy"
        for number, path in enumerate(sorted(folder.iterdir())):
            path.rename(folder / f"NA_{number:03}.png")
    rows = {name: {"path": plain.datasets[name].path, "layout": "folders", "faces": "cropped",
                   "subject": r"^([^_]+)_"} for name in NAMES}  # fmt: skip
    settings = tiny_settings(*NAMES, DATASETS=rows)
    for name in NAMES:
        fresh, known = load_samples(name, settings), load_samples(name, settings)
        for column in ("dataset", "subject", "sample_id", "group"):
            assert known.samples[column].tolist() == fresh.samples[column].tolist()
        assert set(known.samples["dataset"]) == {name}
        assert "NA" in set(known.samples["subject"])
    datasets = {name: load_samples(name, settings) for name in NAMES}
    made, read = audit_or_load(datasets, settings), audit_or_load(datasets, settings)
    assert sorted(set(read.class_mix["dataset"])) == sorted(set(made.class_mix["dataset"])) == sorted(NAMES)


@pytest.mark.slow
def test_a_report_keeps_the_names_of_datasets(tmp_path: Path) -> None:
    FakeStudy(tmp_path, datasets=NAMES, train_on=[(name,) for name in NAMES], seeds=(1, 2))
    written, _ = write_tables(tmp_path)
    results = read_results(tmp_path)
    assert set(results["test_on"]) == set(results["train_on"]) == set(NAMES)
    pd.testing.assert_frame_equal(results, written, check_dtype=False)
    write_funnel(tmp_path, NAMES)
    (job,) = funnel_jobs(read_study(tmp_path))
    assert [len(steps) for steps in job.details["panels"].values()] == [3, 3]
    write_statistics(tmp_path)
    write_findings(tmp_path)
    page = write_report(tmp_path, write_paper_tables(tmp_path, results)).read_text()
    assert "cannot be read" not in page


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_classes_of_a_dataset_are_found_by_its_name(tmp_path: Path, name: str) -> None:
    FakeStudy(tmp_path, datasets=(name,), train_on=[(name,)])
    write_tables(tmp_path)
    rows = with_classes(read_study(tmp_path), rows_selected_on_validation(read_study(tmp_path)))
    assert set(rows["test_on"]) == {name}
