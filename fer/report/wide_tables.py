"""The numbers of the paper tables, unrounded: one row a setup, side by side over test sets, classes or costs.

Best first by validation (fer.results.validation_choice), within an experiment and training set; ± is over seeds and
repeats (fer.results.trainings).
"""

from __future__ import annotations

import pandas as pd

from fer.columns.files import JUDGED, RESULT_KEYS, SETUP, SHOWN_SETUP
from fer.layouts.emotions import classes_named
from fer.results.scores import MAJORITY
from fer.results.tables import SECTIONS
from fer.results.trainings import per_training
from fer.results.validation_choice import ValidationScores
from fer.runs.run import ORACLE

HEADLINE = {"accuracy": "acc.", "balanced_accuracy": "bal. acc.", "macro_f1": "macro-F1"}
COSTS = {
    # column of results.csv: (heading, divided by, decimals, what is best)
    "parameters": ("parameters (M)", 1e6, 2, -1),
    "flops": ("FLOPs (M)", 1e6, 1, -1),
    "train_seconds": ("training (min)", 60, 1, -1),
    "images_per_second": ("training (images/s)", 1, 0, 1),
    "peak_gpu_mb": ("peak GPU memory (MB)", 1, 0, -1),
    "peak_ram_mb": ("peak RAM (MB)", 1, 0, -1),
    "latency_ms": ("latency (ms/face)", 1, 2, -1),
}


def by_validation(
    table: pd.DataFrame, validation: ValidationScores, same: list[str], test_on: str = ""
) -> pd.DataFrame:
    """The rows of `table` as validation orders them, within what has equal values in `same`, and the columns JUDGED.

    What is about no test set (`test_on`, or a column of that name) is judged on the datasets it was trained on. Scores
    are in PRIMARY_METRIC.
    """
    parts = []
    table = table.drop(columns=list(JUDGED), errors="ignore")
    for _, part in table.groupby(same, sort=False):
        known = part[[name for name in (*SETUP, "tta") if name in part]].assign(place=range(len(part)))
        about = test_on or str(part["test_on" if "test_on" in part else "train_on"].iloc[0])
        found = validation.in_order(known.to_dict("records"), about)
        judged = pd.DataFrame([(one.score, one.datasets, one.chosen) for _, one in found], columns=list(JUDGED))
        ordered = part.iloc[[row["place"] for row, _ in found]].reset_index(drop=True)
        parts.append(ordered.join(judged))
    return pd.concat(parts, ignore_index=True) if parts else table.assign(**dict.fromkeys(JUDGED))


def wide_results(results: pd.DataFrame, validation: ValidationScores) -> pd.DataFrame:
    """One row per section and setup; per test set, TTA policy and headline metric its mean, sd and n.

    Columns: section, rows (fer.results.pooling), train_on … selection, those of JUDGED, then
    "<test_on> <tta> <metric>", "… sd", and "<test_on> <tta> n"; where `results` have been through
    marks.with_intervals, also "… low" and "… high", of single trainings. A setup has a line for each kind of rows it
    was tested on.
    """
    results = per_training(results)
    rows = results[results["run"] != MAJORITY]
    keys = ["section", "rows", *SHOWN_SETUP]
    table = rows[keys].drop_duplicates()
    for (test_on, tta), part in rows.groupby(["test_on", "tta"], sort=True):
        ends = [f"{metric} {end}" for metric in HEADLINE for end in ("low", "high") if f"{metric} {end}" in part]
        grouped = part.groupby(keys)[[*HEADLINE, *ends]]
        means, deviations, n = grouped.mean(), grouped.std(), grouped.size()
        found = {f"{test_on} {tta} n": n}
        for metric in HEADLINE:
            found |= {f"{test_on} {tta} {metric}": means[metric], f"{test_on} {tta} {metric} sd": deviations[metric]}
        found |= {f"{test_on} {tta} {end}": means[end].where(n == 1) for end in ends}
        table = table.merge(pd.DataFrame(found).reset_index(), on=keys, how="left")
    whole = {name: "Int64" for name in table.columns if name.endswith(" n")}
    order = {section: number for number, section in enumerate(SECTIONS)}
    table = table.astype(whole).sort_values(keys, key=lambda c: c.map(order) if c.name == "section" else c)
    table = by_validation(table, validation, ["section", "rows", "train_on"])
    table = table[[*keys, *JUDGED, *(name for name in table if name not in (*keys, *JUDGED))]]
    return pd.concat([table, _majority_columns(results)], ignore_index=True)


def _majority_columns(results: pd.DataFrame) -> pd.DataFrame:
    """The majority class as a row of the wide table per kind of rows: the same answer under every TTA policy."""
    policies = sorted(set(results.loc[results["run"] != MAJORITY, "tta"]))
    lines = []
    for kind, rows in results[results["run"] == MAJORITY].groupby("rows", sort=True):
        values: dict[str, float | str] = {"rows": str(kind), "model": MAJORITY}
        for row in rows.to_dict("records"):
            values |= {f"{row['test_on']} {tta} {metric}": row[metric] for tta in policies for metric in HEADLINE}
        lines.append(values)
    return pd.DataFrame(lines)


def wide_classes(results: pd.DataFrame, classes: pd.DataFrame, validation: ValidationScores) -> pd.DataFrame:
    """One row per section, setup, test set and TTA policy; recall and F1 of each class, mean, sd, and n trainings."""
    keys = ["section", *SHOWN_SETUP, "test_on", "tta", "rows"]
    described = ("section", "seed", "split", *(c for c in SHOWN_SETUP if c != "test_variant"))
    shown = results[[*RESULT_KEYS, *described]]
    rows = classes.fillna({"test_variant": ""}).merge(shown, on=list(RESULT_KEYS), how="inner")
    rows = per_training(rows, "class", "section")
    grouped = rows.groupby([*keys, "class"], sort=False)[["recall", "f1"]].agg(["mean", "std", "size"])
    table = grouped.unstack("class")
    found = {"n": table["recall"]["size"].max(axis=1).astype("Int64")} if len(table) else {}
    for score in ("recall", "f1"):
        for name in classes_named(classes["class"]) if len(table) else ():
            found[f"{name} {score}"] = table[score, "mean", name]
            found[f"{name} {score} sd"] = table[score, "std", name]
    if not found:
        return pd.DataFrame(columns=[*keys, *JUDGED])
    return by_validation(pd.DataFrame(found).reset_index(), validation, ["section", "test_on", "rows"])


def cost_results(results: pd.DataFrame) -> pd.DataFrame:
    """One row per training set, variant and model: mean and sd of each cost over trainings, and n of them.

    A training counts once, whatever it was tested on; an oracle is another epoch of a training counted already.
    """
    keys = ["train_on", "variant", "model"]
    results = per_training(results)
    runs = results[(results["section"] != "") & (results["selection"] != ORACLE)]
    runs = runs.drop_duplicates([*SETUP, "seed", "split"]).astype(dict.fromkeys(COSTS, float))
    grouped = runs.groupby(keys)[list(COSTS)].agg(["mean", "std"])
    found = {"n": runs.groupby(keys).size()}
    for cost in COSTS:
        found |= {cost: grouped[cost, "mean"], f"{cost} sd": grouped[cost, "std"]}
    return pd.DataFrame(found).reset_index()
