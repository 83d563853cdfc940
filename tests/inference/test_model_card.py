"""Promises about the model card's scores."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from fer.inference.model_card import scores_table


def test_accuracy_has_one_interval_that_of_groups_where_pictures_are_related(tmp_path: Path) -> None:
    (tmp_path / "statistics").mkdir()
    methods = [("alone", "wilson", 0.2, 9), ("alone", "bootstrap over groups", 0.3, 9)]
    methods += [("related", "wilson", 0.2, 5), ("related", "bootstrap over groups", 0.3, 5)]
    columns = ["test_on", "method", "low", "n_groups"]
    rows = pd.DataFrame(methods, columns=columns).assign(
        run="r", test_variant="raw", tta="none", metric="accuracy", value=0.5, high=0.8, n=9, sample_data=False
    )
    rows.to_csv(tmp_path / "statistics" / "intervals.csv", index=False)
    lines = scores_table("r", tmp_path).splitlines()[2:]
    assert lines == [
        "| alone | raw | accuracy | 0.500 [0.200, 0.800] | 9 |",
        "| related | raw | accuracy | 0.500 [0.300, 0.800] | 9 |",
    ]
