"""Results per group of test pictures: by what the dataset says of the people, by face size, brightness, sharpness.

A person's attributes are taken from the dataset or left out; see fer.data.attributes.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fer.data.samples import refuse_changed
from fer.layouts.emotions import classes_among
from fer.statistics.bootstrap import scores_once
from fer.statistics.significance import ALPHA, accuracy_with_interval
from utils import InputError, read_csv

# Quantile bins of what is measured in numbers.
BINS = 4
# The worst of groups smaller than this would mostly be the unluckiest.
ENOUGH_ROWS = 30
MEASURED = ("face_size", "brightness", "sharpness")


# ---------------------------------------------------------------- what is known of the rows


def read_row_facts(output: Path, name: str) -> pd.DataFrame:
    """What is known of each sample of a dataset, indexed by sample_id.

    `group` (number), `face_size` (shorter side of the delivered face in pixels), where audit/<name>_quality.csv
    is there `brightness` and `sharpness`, where samples/<name>_attributes.csv is there its text columns.
    Raises InputError when a table is damaged.
    """
    path = output / "samples" / f"{name}_samples.csv"
    samples = _read_table(path, ("group", "width", "height"))
    facts = pd.DataFrame({"group": samples["group"], "face_size": samples[["width", "height"]].min(axis=1)})
    quality, attributes = _quality_path(output, name), _attributes_path(output, name)
    if quality.is_file():
        facts = facts.join(_read_table(quality, ("brightness", "sharpness"))[["brightness", "sharpness"]])
    if attributes.is_file():
        facts = facts.join(_read_table(attributes, ()).fillna("").astype(str))
    return facts


def fact_files(output: Path, name: str) -> list[Path]:
    """The files `read_row_facts` reads, whether or not they are there."""
    return [output / "samples" / f"{name}_samples.csv", _quality_path(output, name), _attributes_path(output, name)]


def missing_facts(output: Path, name: str) -> list[str]:
    """In words: which groupings of a dataset are not there, and what would bring them."""
    notes = []
    if not _quality_path(output, name).is_file():
        notes.append(f"{name}: no groups by brightness and sharpness; the audit measures them (main.py --audit).")
    if not _attributes_path(output, name).is_file():
        notes.append(f"{name}: no groups by gender, race or age; the dataset says nothing of them, or was not asked.")
    return notes


def _quality_path(output: Path, name: str) -> Path:
    return output / "audit" / f"{name}_quality.csv"


def _attributes_path(output: Path, name: str) -> Path:
    return output / "samples" / f"{name}_attributes.csv"


def _read_table(path: Path, numbers: tuple[str, ...]) -> pd.DataFrame:
    refuse_changed(path)
    try:
        table = read_csv(path, ["sample_id"]).set_index("sample_id")
        table[list(numbers)] = table[list(numbers)].astype(float)
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"{path} cannot be used ({error}). Run main.py: it is written again.") from error
    if not table.index.is_unique:
        raise InputError(f"{path} lists a sample_id twice. Delete it and run main.py: it is written again.")
    return table


# ---------------------------------------------------------------- groups of rows


def groupings(facts: pd.DataFrame) -> Iterator[tuple[str, pd.Series]]:
    """Each attribute with the group of every row in words; "" where unknown. One with a single group is left out."""
    for name in facts.columns.drop("group"):
        groups = quantile_bins(facts[name]) if name in MEASURED else facts[name].fillna("").astype(str)
        if groups[groups != ""].nunique() > 1:
            yield str(name), groups


def quantile_bins(values: pd.Series, bins: int = BINS) -> pd.Series:
    """The quantile bin of each value as "low to high" (of the values in it), sortable; "" for NaN."""
    known = values.dropna()
    edges = np.unique(np.quantile(known, np.arange(1, bins) / bins)) if len(known) else np.zeros(0)
    number = pd.Series(np.searchsorted(edges, known, side="left"), index=known.index)
    ends = known.groupby(number).agg(["min", "max"])
    words = {place: f"{low:.4g} to {high:.4g}" for place, low, high in ends.itertuples()}
    return number.map(words).reindex(values.index).fillna("")


def results_by_group(
    attribute: str, groups: pd.Series, labels: np.ndarray, predicted: np.ndarray, together: int = 1
) -> list[dict[str, Any]]:
    """One row a group, in the columns of files.GROUP; rows of unknown group are in none.

    accuracy with Wilson's interval, of that group alone. `gap`: accuracy minus that of the best group; its interval
    holds for all pairs of groups and for `together` attributes at once, since the best and the worst are picked after
    looking (`gap_level`). `is_worst`: the lowest group, where its gap is shown: below 0 with its whole interval.
    Best and worst are sought among groups of 30 rows or more; NaN and False where fewer than two are so large.
    Class mixes differ between groups: balanced accuracy stands beside, over the `n_classes` there.
    """
    names = groups.to_numpy()
    found = [_one_group(name, names == name, labels, predicted) for name in _in_order(groups)]
    large = sorted((row for row in found if row["n"] >= ENOUGH_ROWS), key=_accuracy)
    level = gap_level(len(large), together) if len(large) > 1 else float("nan")
    for row in found:
        gap = _gap(row, large[-1], level) if len(large) > 1 and row["n"] >= ENOUGH_ROWS else (float("nan"),) * 3
        row |= dict(zip(("gap", "gap_low", "gap_high"), gap, strict=True))
        row |= {"attribute": attribute, "is_worst": len(large) > 1 and row is large[0] and row["gap_high"] < 0}
    return found


@cache
def gap_level(groups: int, together: int) -> float:
    """The level at which intervals of differences hold for all pairs of `groups`, and for `together` attributes.

    The studentized range in place of the normal quantile, in intervals made of Wilson's (Agresti, Bini, Bertaccini &
    Ryu 2008, Biometrics 64); Bonferroni over attributes.
    """
    from scipy.special import ndtr
    from scipy.stats import studentized_range

    reach = studentized_range.ppf(1 - ALPHA / together, groups, np.inf) / np.sqrt(2)
    return float(2 * ndtr(-reach))


def _accuracy(row: dict[str, Any]) -> float:
    return float(row["accuracy"])


def _in_order(groups: pd.Series) -> list[str]:
    """Group names, numbers by size."""

    def start(name: str) -> tuple[float, str]:
        try:
            return float(name.split(" to ")[0].split("-")[0].rstrip("+")), name
        except ValueError:
            return float("inf"), name

    return sorted(set(groups) - {""}, key=start)


def _one_group(name: str, chosen: np.ndarray, labels: np.ndarray, predicted: np.ndarray) -> dict[str, Any]:
    labels, predicted = labels[chosen], predicted[chosen]
    found = accuracy_with_interval(labels, predicted)
    return {
        "group": name,
        "n": found["n"],
        "correct": found["correct"],
        "accuracy": found["value"],
        "low": found["low"],
        "high": found["high"],
        "balanced_accuracy": scores_once(labels, predicted, len(classes_among(labels, predicted)))["balanced_accuracy"],
        "n_classes": len(np.unique(labels)),
    }


def _gap(row: dict[str, Any], best: dict[str, Any], level: float) -> tuple[float, float, float]:
    """Newcombe's (1998) interval at `level`."""
    from statsmodels.stats.proportion import confint_proportions_2indep

    if row is best:
        return 0.0, 0.0, 0.0
    low, high = confint_proportions_2indep(
        row["correct"], row["n"], best["correct"], best["n"], method="newcomb", compare="diff", alpha=level
    )
    return row["accuracy"] - best["accuracy"], float(low), float(high)
