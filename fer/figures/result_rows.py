"""Rows of results.csv as figures need them: of runs selected on validation, labelled by what differs between them.

Nothing here computes a metric: every number is one that results/tables.py wrote.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import get_args

import pandas as pd

from fer.results.scores import MAJORITY
from fer.results.study_files import StoredStudy
from fer.results.tables import CLASS_COLUMNS, CLASS_TEXTS, COLUMNS, KEY_COLUMNS, read_results
from fer.results.trainings import SCORED, per_training, spread_words
from fer.results.trainings import SETUP as TRAINED
from fer.runs.run import ORACLE
from fer.settings.settings import Variant
from fer.study.variants import scored_variant
from utils import InputError, log, read_csv

SETUP = ("balance", "mixing", "selection")
ENSEMBLE = "ensemble_"
VARIANTS = get_args(Variant)
# A value per seed (and fold), by series and category.
Values = dict[str, dict[str, list[float]]]


def rows_selected_on_validation(study: StoredStudy) -> pd.DataFrame:
    """Rows of results.csv of this study, networks and ensembles, whose epoch was not chosen on the test set.

    Two columns more: `label`, the model and whatever else runs of one training set and variant differ in; and `own`,
    True when tested on all it was trained on, with pictures of its own variant. Empty where the tables are not
    written yet. Raises InputError when results.csv is damaged.
    """
    if not (study.output / "results.csv").is_file():
        log.warning("%s is not there yet: figures made of it are left out.", study.output / "results.csv")
        return pd.DataFrame(columns=[*COLUMNS, "own", "matching", "label"])
    table = per_training(read_results(study.output))
    known = {run.name for run in study.runs}
    rows = table[table["run"].isin(known) & (table["selection"] != ORACLE) & (table["model"] != MAJORITY)].copy()
    matching = rows["test_variant"] == rows["variant"].map(scored_variant)
    rows["own"] = (rows["test_on"] == rows["train_on"]) & matching
    rows["matching"] = matching
    rows["label"] = _labels(rows)
    return rows.sort_values("variant", key=_in_order, kind="stable")


def own_rows(study: StoredStudy) -> pd.DataFrame:
    """`rows_selected_on_validation` without TTA of what is tested on all it was trained on; raises what that raises."""
    rows = rows_selected_on_validation(study)
    return rows[rows["own"].astype(bool) & (rows["tta"] == "none")]


def _in_order(variants: pd.Series) -> pd.Series:
    return variants.map(VARIANTS.index)


def _labels(rows: pd.DataFrame) -> pd.Series:
    """The model, and the balance, mixing or selection rule where runs that are shown together differ in it."""
    labels = rows["model"].astype(str)
    for name in SETUP:
        several = rows.groupby(["train_on", "variant"])[name].transform("nunique") > 1
        labels = labels.where(~several, labels + " (" + rows[name].astype(str) + ")")
    return labels


def with_classes(study: StoredStudy, rows: pd.DataFrame) -> pd.DataFrame:
    """`rows` once per class, with precision, recall, f1, auc, support of per_class_results.csv.

    Raises InputError when that file is not there or damaged.
    """
    path = study.output / "per_class_results.csv"
    try:
        table = read_csv(path, CLASS_TEXTS)[list(CLASS_COLUMNS)]
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"{path} cannot be read ({error}). Run main.py --report: it is written again.") from error
    scored = read_results(study.output).merge(table, on=list(KEY_COLUMNS), how="inner")
    same = [*TRAINED, "seed", "split", *SCORED]
    classes = per_training(scored, "class")[[*same, *(name for name in CLASS_COLUMNS if name not in KEY_COLUMNS)]]
    return rows.merge(classes, on=same, how="inner")


def models_in_order(rows: pd.DataFrame) -> list[str]:
    """Labels of networks by name, then those of ensembles."""
    return sorted(rows["label"].unique(), key=networks_first)


def networks_first(label: str) -> tuple[bool, str]:
    """Sorting key of labels: networks before ensembles, each by name."""
    return label.startswith(ENSEMBLE), label


def is_ensemble(rows: pd.DataFrame) -> pd.Series:
    """True in the rows of ensembles."""
    return rows["members"].astype(str) != ""


def values(rows: pd.DataFrame, series: str, category: str, value: str, order: Sequence[str] = ()) -> Values:
    """The numbers of column `value` as lists, by the columns `series` and `category`; empty where all are NaN.

    Series stand in `order`, else as they come in `rows`.
    """
    found: Values = {name: {} for name in order or dict.fromkeys(rows[series])}
    for name, kind, number in rows[[series, category, value]].itertuples(index=False, name=None):
        found[name].setdefault(kind, []).extend([] if pd.isna(number) else [float(number)])
    return found


def pictures(rows: pd.DataFrame) -> str:
    """How many pictures were scored, in words: "n = 1,234"."""
    counts = sorted({int(n) for n in rows["n_test"].dropna()})
    words = f"{counts[0]:,}" if len(counts) == 1 else f"{counts[0]:,} to {counts[-1]:,}"
    return f"n = {words} test pictures"


def repeats(rows: pd.DataFrame) -> str:
    """What a bar and a point stand for: seeds, and repeats of folds where there are any."""
    times = rows.groupby(["label", "train_on", "variant", "test_on", "test_variant", "tta"])["run"].nunique()
    low, high = int(times.min()), int(times.max())
    if high == 1:
        return "one seed"
    return f"bar: mean, point: each of {low if low == high else f'{low} to {high}'} {spread_words(rows)}"
