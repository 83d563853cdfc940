"""Promises about what validation chooses: one rule, whoever asks."""

from __future__ import annotations

import pandas as pd

from fer.columns.files import SETUP
from fer.results.validation_choice import ValidationScores, best_setup


def row(model: str, seed: int, score: float) -> dict[str, object]:
    setup = dict.fromkeys(SETUP, "") | {"train_on": "wild", "model": model, "selection": "macro_f1"}
    scored = {"seed": seed, "split": "official", "rows": "official", "tta": "none", "test_on": "wild"}
    return setup | scored | {"test_variant": "raw", "macro_f1": score}


TABLE = pd.DataFrame([row("a", 1, 0.5), row("a", 2, 0.6), row("b", 1, 0.9), row("c", 1, 0.4), row("c", 2, 0.5)])


def test_a_setup_that_lacks_seeds_others_have_is_not_chosen() -> None:
    found = best_setup(TABLE, "wild", "macro_f1")
    assert found is not None
    assert (found.setup["model"], found.score, found.seeds) == ("a", 0.55, 2)
    assert best_setup(TABLE, "studio", "macro_f1") is None


def test_tables_mark_the_setup_that_findings_and_figures_name() -> None:
    setups = TABLE.drop_duplicates("model").to_dict("records")
    marked = [row["model"] for row, one in ValidationScores(TABLE, "macro_f1").in_order(setups, "wild") if one.chosen]
    assert marked == ["a"]
