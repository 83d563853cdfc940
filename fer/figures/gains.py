"""Figures of what a change brings: augmentation, views at test time, several training sets, voting."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from fer.figures.engine import FigureJob
from fer.figures.estimates import Estimate, estimates, plot_estimates
from fer.figures.looks import places
from fer.figures.metrics import WORDS
from fer.figures.result_rows import (
    is_ensemble,
    majority_rows,
    models_in_order,
    own_rows,
    pictures,
    repeats,
    rows_selected_on_validation,
    with_classes,
    with_intervals,
)
from fer.figures.statistics_rows import statistics_path, statistics_table
from fer.figures.titles import joined, notes
from fer.layouts.emotions import classes_named
from fer.results.study_files import StoredStudy

BEFORE, AFTER = "preprocessed", "augmented"
SHOWN = ("accuracy", "balanced_accuracy", "macro_f1")
ALONE = "this dataset alone"


# ---------------------------------------------------------------- augmentation


def augmentation_jobs(study: StoredStudy) -> Iterator[FigureJob]:
    """Per training set: recall and F1 of each class with augmentation minus without, per network, seed by seed."""
    for train_on, part in own_rows(study).groupby("train_on"):
        if not {BEFORE, AFTER} <= set(part["variant"]):
            continue
        classes = with_classes(study, part)
        pairs = {"recall": _gains(classes, "recall"), "F1": _gains(classes, "f1")}
        if pairs["F1"].empty:
            continue
        order, names = models_in_order(pairs["F1"]), classes_named(classes["class"])
        panels = {
            f"{words}\n{emotion}": estimates(both[both["class"] == emotion], "what", "gain", order)
            for words, both in pairs.items()
            for emotion in names
        }
        title = [
            f"{train_on}: gain per class of augmented over preprocessed",
            joined("difference between runs of the same seed, no TTA", pictures(part), repeats(part),
                   *notes(study, *str(train_on).split("+"))),
        ]  # fmt: skip
        yield FigureJob(
            name=f"metrics/{train_on}_augmentation_gain",
            draw=plot_estimates,
            title=title,
            details={"panels": panels, "places": places(study, order), "axis": "gain", "columns": len(names),
                     "least": 0.05},
            section="results",
            caption=f"Recall and F1 of each emotion on {train_on} with augmented training pictures minus without, for "
            "the same network and seed. Points right of 0 gained; the chart of scores per class shows how far each "
            "score is certain.",
            alt=f"Dot charts of the gain by augmentation in recall and F1 of each emotion on {train_on}.",
        )  # fmt: skip


def _gains(classes: pd.DataFrame, kind: str) -> pd.DataFrame:
    """Augmented minus preprocessed of one score (`gain`), paired by model, seed and fold."""
    same = ["model", "seed", "split", "class"]
    before, after = (classes[classes["variant"] == variant] for variant in (BEFORE, AFTER))
    both = before.merge(after, on=same, suffixes=("_before", ""))
    return both.assign(gain=both[kind] - both[f"{kind}_before"], label=both["model"], what="augmented")


# ---------------------------------------------------------------- views at test time


def tta_jobs(study: StoredStudy) -> Iterator[FigureJob]:
    """Per TTA policy: what it adds to the accuracy of each network, on the test set of its own training set."""
    rows = rows_selected_on_validation(study)
    if rows.empty:
        return
    own = _with_tta_intervals(study, rows[rows["own"].astype(bool) & rows["tta_gain"].notna()])
    policies = sorted(own["tta"].unique())
    for policy in policies:
        part = own[own["tta"] == policy]
        order = models_in_order(part)
        panels = {
            f"{train_on}\n{pictures(some)}": estimates(some, "variant", "tta_gain", order)
            for train_on, some in sorted(part.groupby("train_on"), key=_unions_last)
        }
        title = [
            f"Gain in accuracy by test-time augmentation ({policy})",
            joined("against the same network without TTA", repeats(part), *notes(study, *study.datasets)),
        ]
        yield FigureJob(
            name="tta/tta_gain" + (f"_{policy}" if len(policies) > 1 else ""),
            draw=plot_estimates,
            title=title,
            details={"panels": panels, "places": places(study, order), "axis": "gain in accuracy", "least": 0.02,
                     "columns": min(3, len(panels))},
            section="results",
            caption="What averaging over views of each face adds to accuracy. Intervals are those of the comparison of "
            "the same network with and without; where one crosses 0, no gain is shown.",
            alt=f"Dot charts of the gain in accuracy by the policy {policy}: a panel per dataset, a row per network.",
            is_key=policy == policies[-1],
        )  # fmt: skip


def _unions_last(group: tuple[str, pd.DataFrame]) -> tuple[int, str]:
    return group[0].count("+"), group[0]


def _with_tta_intervals(study: StoredStudy, rows: pd.DataFrame) -> pd.DataFrame:
    """`low` and `high` of comparisons.csv, family TTA; NaN where it has no such pair."""
    if not statistics_path(study, "comparisons").is_file():
        return rows
    table = statistics_table(study, "comparisons")
    table = table[(table["family"] == "TTA") & (table["metric"] == "accuracy")]
    same = ["test_on", "test_variant", "train_on", "variant", "model", "balance", "mixing", "selection"]
    turned = table["second"] != "none"  # first minus second
    gains = table.assign(
        tta=table["second"].where(turned, table["first"]),
        low=(-table["high"]).where(turned, table["low"]),
        high=(-table["low"]).where(turned, table["high"]),
    )
    gains = gains[(table["first"] == "none") | (table["second"] == "none")]
    gains = gains[[*same, "tta", "low", "high"]].astype(dict.fromkeys([*same, "tta"], str))
    return rows.merge(gains.drop_duplicates([*same, "tta"]), on=[*same, "tta"], how="left")


# ---------------------------------------------------------------- several training sets


def combined_jobs(study: StoredStudy) -> Iterator[FigureJob]:
    """Macro-F1 on each test set of a network trained on that dataset alone and on several together, by variant."""
    rows = rows_selected_on_validation(study)
    if rows.empty:
        return
    fits = rows["matching"].astype(bool) & (rows["tta"] == "none")
    rows = rows[fits & ~rows["test_on"].str.contains("+", regex=False)]
    rows = rows[[test in train.split("+") for test, train in zip(rows["test_on"], rows["train_on"], strict=True)]]
    together = rows["train_on"].str.contains("+", regex=False)
    rows = with_intervals(study, rows.assign(trained=rows["train_on"].where(together, ALONE)), "macro_f1")
    if not together.any() or together.all():
        return
    rows = rows.sort_values("trained", key=_alone_first, kind="stable")
    order, tested = models_in_order(rows), sorted(rows["test_on"].unique())
    majority = majority_rows(study)["macro_f1"]
    panels = {}
    baselines: dict[str, float] = {}
    for variant in rows["variant"].unique():
        for test_on in tested:
            part = rows[(rows["variant"] == variant) & (rows["test_on"] == test_on)]
            heading = f"{variant}\ntested on {test_on}"
            panels[heading] = estimates(part, "trained", "macro_f1", order)
            baselines |= {heading: float(majority[test_on])} if test_on in majority else {}
    title = [
        "Trained on one dataset or on several together",
        joined("macro-F1 on each test set, no TTA", pictures(rows), repeats(rows), *notes(study, *study.datasets)),
    ]
    yield FigureJob(
        name="combined/individual_vs_combined",
        draw=plot_estimates,
        title=title,
        details={
            "panels": panels, "places": places(study, order), "axis": "macro-F1", "columns": len(tested),
            "baselines": baselines,
        },
        section="results",
        caption="Does a network learn a dataset better with other datasets beside it? In each row compare the marker "
        f"of '{ALONE}' with that of the union: right of it, combining helped on this test set.",
        alt="Dot charts of macro-F1: networks trained on one dataset beside those trained on a union, per test set.",
        is_key=True,
    )  # fmt: skip


def _alone_first(trained: pd.Series) -> pd.Series:
    return trained.where(trained != ALONE, "")


# ---------------------------------------------------------------- voting


def ensemble_jobs(study: StoredStudy) -> Iterator[FigureJob]:
    """Per training set, variant and test set: the ensembles beside the networks that vote in them."""
    rows = rows_selected_on_validation(study)
    if rows.empty:
        return
    rows = rows[rows["matching"].astype(bool)]
    for (train_on, variant, test_on), part in rows.groupby(["train_on", "variant", "test_on"]):
        if not is_ensemble(part).any():
            continue
        order = models_in_order(part)
        some = part.sort_values("tta", key=_plain_first, kind="stable")
        some = some.assign(policy=("TTA " + some["tta"]).where(some["tta"] != "none", "no TTA"))
        panels: dict[str, dict[str, dict[str, Estimate]]] = {
            WORDS[metric]: estimates(with_intervals(study, some, metric), "policy", metric, order) for metric in SHOWN
        }
        majority = majority_rows(study)
        baselines = {WORDS[m]: float(majority[m][str(test_on)]) for m in SHOWN if test_on in majority.index}
        title = [
            f"Ensembles and the networks that vote in them, on {test_on}",
            joined(
                f"trained on {train_on} ({variant})",
                pictures(part),
                repeats(part),
                *notes(study, *str(train_on).split("+"), *str(test_on).split("+")),
            ),
        ]
        yield FigureJob(
            name=f"ensemble_results/{train_on}_{variant}_ensembles_{test_on}",
            draw=plot_estimates,
            title=title,
            details={"panels": panels, "places": places(study, order), "axis": "score", "baselines": baselines},
            section="results",
            caption=f"Votes of networks trained on {train_on} ({variant}) beside the networks themselves, on {test_on}."
            " A vote is worth its cost where its marker lies right of the best single network's interval.",
            alt=f"Dot charts of three scores on {test_on}: networks in the upper rows, ensembles in the lower ones.",
        )


def _plain_first(policies: pd.Series) -> pd.Series:
    return policies.where(policies != "none", "")
