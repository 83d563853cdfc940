"""Rows of results.csv as figures need them: of runs selected on validation, labelled by what differs between them.

Nothing here computes a metric: every number is one that results/tables.py wrote.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import get_args

import pandas as pd

from fer.columns.files import CLASSES, KEYS, RESULT_KEYS, RESULTS, SETUP
from fer.data.folds import OFFICIAL
from fer.results.scores import MAJORITY
from fer.results.study_files import StoredRun, StoredStudy
from fer.results.tables import CLASS_TEXTS, read_results, read_validation
from fer.results.trainings import SCORED_ROWS, per_training, spread_words
from fer.results.validation_choice import best_setup
from fer.runs.run import ORACLE
from fer.settings.settings import Variant
from fer.study.variants import scored_variant
from utils import InputError, log, read_csv

HOW = ("balance", "mixing", "selection")
ENSEMBLE = "ensemble_"
VARIANTS = get_args(Variant)


def rows_selected_on_validation(study: StoredStudy) -> pd.DataFrame:
    """Rows of results.csv of this study, networks and ensembles, whose epoch was not chosen on the test set.

    Two columns more: `label`, the model and whatever else runs of one training set and variant differ in; and `own`,
    True when tested on all it was trained on, with pictures of its own variant. Empty where the tables are not
    written yet. Raises InputError when results.csv is damaged.
    """
    if not (study.output / "results.csv").is_file():
        log.warning("%s is not there yet: figures made of it are left out.", study.output / "results.csv")
        return pd.DataFrame(columns=[*RESULTS, "own", "matching", "label"])
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
    for name in HOW:
        several = rows.groupby(["train_on", "variant"])[name].transform("nunique") > 1
        labels = labels.where(~several, labels + " (" + rows[name].astype(str) + ")")
    return labels


def with_classes(study: StoredStudy, rows: pd.DataFrame) -> pd.DataFrame:
    """`rows` once per class, with precision, recall, f1, auc, support of per_class_results.csv.

    Raises InputError when that file is not there or damaged.
    """
    path = study.output / "per_class_results.csv"
    try:
        table = read_csv(path, CLASS_TEXTS)[list(CLASSES)]
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"{path} cannot be read ({error}). Run main.py --report: it is written again.") from error
    scored = read_results(study.output).merge(table, on=list(RESULT_KEYS), how="inner")
    same = [*SETUP, "seed", "split", *SCORED_ROWS]
    classes = per_training(scored, "class")[[*same, *(name for name in CLASSES if name not in RESULT_KEYS)]]
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


def with_intervals(study: StoredStudy, rows: pd.DataFrame, metric: str) -> pd.DataFrame:
    """`rows` with `low` and `high`, the 95 % interval of `metric` over test pictures; NaN where none was computed.

    A mean over folds that answered the same pictures has none: those of intervals.csv are of single folds. Raises
    InputError when intervals.csv is damaged.
    """
    path = study.output / "statistics" / "intervals.csv"
    if not path.is_file():
        return rows.assign(low=float("nan"), high=float("nan"))
    try:
        table = _intervals(path, path.stat().st_mtime_ns)
        table = table[table["metric"] == metric][[*KEYS, "low", "high"]]
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"{path} cannot be read ({error}). Run main.py --report: it is written again.") from error
    found = rows.merge(table.drop_duplicates(list(KEYS), keep="last"), on=list(KEYS), how="left")
    averaged = (found["split"] != OFFICIAL) & (found["rows"] != "pooled")
    return found.assign(low=found["low"].mask(averaged), high=found["high"].mask(averaged))


@lru_cache(maxsize=1)
def _intervals(path: Path, written: int) -> pd.DataFrame:
    """intervals.csv as it was `written` (time in ns): each of a hundred panels asks for it."""
    return read_csv(path, ["run", "test_on", "test_variant", "tta"])


def majority_rows(study: StoredStudy) -> pd.DataFrame:
    """Rows of results.csv of the majority class, indexed by test set; empty where the tables are not written."""
    if not (study.output / "results.csv").is_file():
        return pd.DataFrame(columns=list(RESULTS)).set_index("test_on")
    table = read_results(study.output)
    return table[table["model"] == MAJORITY].drop_duplicates("test_on").set_index("test_on")


def chosen_by_validation(study: StoredStudy, alone: bool = False) -> dict[str, StoredRun]:
    """Per dataset the network with the best validation score there, its run of the lowest seed.

    The rule is that of fer.results.validation_choice, by the primary metric; no ensembles, no TTA, no oracles. `alone`:
    only of networks trained on this dataset alone. Raises InputError when validation_results.csv is damaged.
    """
    if not (study.output / "validation_results.csv").is_file():
        return {}
    runs = {run.name: run for run in study.runs if not run.members and run.run["selection"] != ORACLE}
    table = read_validation(study.output)
    table = table[table["run"].isin(runs) & (table["tta"] == "none") & (table["rows"] != "fold")]
    chosen = {}
    for name in study.datasets:
        rows = table[(table["test_on"] == name) & ((table["train_on"] == name) | (not alone))]
        if (best := best_setup(rows, name, study.primary_metric)) is not None:
            same = (rows[list(best.setup)] == pd.Series(best.setup)).all(axis=1)
            chosen[name] = runs[rows[same].sort_values("seed", kind="stable")["run"].iloc[0]]
    return chosen


def pictures(rows: pd.DataFrame) -> str:
    """How many pictures were scored, in words: "n = 1,234"."""
    counts = sorted({int(n) for n in rows["n_test"].dropna()})
    words = f"{counts[0]:,}" if len(counts) == 1 else f"{counts[0]:,} to {counts[-1]:,}"
    return f"n = {words} test pictures"


def repeats(rows: pd.DataFrame) -> str:
    """What a point stands for: seeds, and repeats of folds where there are any."""
    times = rows.groupby(["label", "train_on", "variant", "test_on", "test_variant", "tta"])["run"].nunique()
    low, high = int(times.min()), int(times.max())
    if high == 1:
        return "one seed"
    return f"mean over {low if low == high else f'{low} to {high}'} {spread_words(rows)}"
