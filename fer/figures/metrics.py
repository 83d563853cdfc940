"""Figures of scores: the whole study on one page, all metrics per dataset, scores per class.

Every number is one of results.csv, per_class_results.csv and statistics/intervals.csv. Recall averaged over the classes
is balanced accuracy and drawn under that name alone.
"""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from fer.figures.engine import FigureJob
from fer.figures.estimates import estimates, plot_estimates
from fer.figures.looks import places
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
from fer.figures.titles import joined, notes
from fer.layouts.emotions import ALL_EMOTIONS, classes_named
from fer.metrics.metrics import METRICS
from fer.results.scores import MAJORITY
from fer.results.study_files import StoredStudy
from fer.results.tables import CLASS_TEXTS
from utils import read_csv

# Macro recall is balanced accuracy under another name.
WORDS = {name: metric.words for name, metric in METRICS.items() if name != "macro_recall"}


# ---------------------------------------------------------------- the whole study on one page


def overview_jobs(study: StoredStudy) -> Iterator[FigureJob]:
    """Macro-F1 of every training set, variant and network on every test set, on one page."""
    rows = rows_selected_on_validation(study)
    rows = rows[rows["matching"].astype(bool) & (rows["tta"] == "none") & rows["test_on"].isin(study.datasets)]
    rows = rows[~is_ensemble(rows) | (rows["model"] == "ensemble_soft")]
    if rows.empty:
        return
    rows = with_intervals(study, rows, "macro_f1")
    tested, order = sorted(rows["test_on"].unique()), models_in_order(rows)
    majority = majority_rows(study)["macro_f1"]
    trained = sorted(rows["train_on"].unique(), key=_fewest_first)
    panels = {}
    baselines: dict[str, float] = {}
    for train_on in trained:
        for test_on in tested:
            heading = f"trained on {_short(train_on, trained)}\ntested on {test_on}"
            part = rows[(rows["train_on"] == train_on) & (rows["test_on"] == test_on)]
            panels[heading] = estimates(part, "variant", "macro_f1", order)
            baselines |= {heading: float(majority[test_on])} if test_on in majority else {}
    about = joined("macro-F1, no TTA, rows of panels: trained on; columns: tested on", pictures(rows), repeats(rows))
    yield FigureJob(
        name="metrics/overview",
        draw=plot_estimates,
        title=["All results of the study", joined(about, *notes(study, *study.datasets))],
        details={
            "panels": panels, "places": places(study, order), "axis": "macro-F1", "columns": len(tested),
            "baselines": baselines,
        },
        section="results",
        caption="Each panel shows the macro-F1 that networks trained on one set (rows of panels) reach on one test set "
        "(columns). Look for points whose interval lies right of the dashed majority class, and for how far panels "
        "with another training set stand left of the one trained on the tested set itself.",
        alt="Grid of dot charts of macro-F1 with 95 % intervals: a panel per training and test set, a row per network.",
        is_key=True,
        is_lead=True,
    )  # fmt: skip


def _fewest_first(train_on: str) -> tuple[int, str]:
    return train_on.count("+"), train_on


def _short(train_on: str, trained: list[str]) -> str:
    """A union of three sets or more by their number, where there is no other union."""
    unions, sets = [name for name in trained if "+" in name], train_on.count("+") + 1
    return f"all {sets} sets" if sets > 2 and unions == [train_on] else train_on


# ---------------------------------------------------------------- one dataset: all metrics, each class


def metric_jobs(study: StoredStudy) -> Iterator[FigureJob]:
    """Per training set, on its own test set: every metric of all variants and networks."""
    rows = own_rows(study)
    for train_on, part in rows.groupby("train_on"):
        order = models_in_order(part)
        panels = {
            words: estimates(with_intervals(study, part, metric), "variant", metric, order)
            for metric, words in WORDS.items()
        }
        majority = majority_rows(study)
        known = train_on in majority.index
        title = [
            f"{train_on}: all metrics of all networks and variants",
            joined(f"tested on {train_on}, no TTA", pictures(part), repeats(part), *_known(study, train_on)),
            "balanced accuracy is macro recall; a metric without lines has no interval",
        ]
        yield FigureJob(
            name=f"metrics/{train_on}_metrics",
            draw=plot_estimates,
            title=title,
            details={
                "panels": panels, "places": places(study, order), "axis": "score",
                "baselines": {w: float(majority[m][train_on]) for m, w in WORDS.items()} if known else None,
            },
            section="results",
            caption=f"Every metric on the {train_on} test set, from 0 to 1, for each network and each variant of its "
            "training pictures. Variants whose intervals overlap widely are not told apart by this test set; the "
            "dashed line is what always answering the most frequent class would reach.",
            alt=f"Dot charts of six metrics on {train_on}: a row per network, a marker per variant.",
            is_key=_is_key(rows, train_on),
        )  # fmt: skip


def class_jobs(study: StoredStudy) -> Iterator[FigureJob]:
    """Per training set, on its own test set: recall and F1 of each class, all variants and networks."""
    rows = own_rows(study)
    for train_on, part in rows.groupby("train_on"):
        order = models_in_order(part)
        classes = with_classes(study, part)
        names = classes_named(classes["class"])
        majority = _majority_classes(study, str(train_on))
        panels, baselines = {}, {}
        for kind, words in (("recall", "recall"), ("f1", "F1")):
            for emotion in names:
                some = classes[classes["class"] == emotion]
                some = with_intervals(study, some, f"{kind}_{emotion}")
                heading = f"{words}\n{emotion}"
                panels[heading] = estimates(some, "variant", kind, order)
                if emotion in majority.index and pd.notna(majority[kind][emotion]):
                    baselines[heading] = float(majority[kind][emotion])
        title = [
            f"{train_on}: recall and F1 per class, all networks and variants",
            joined(f"tested on {train_on}, no TTA", pictures(part), repeats(part), *_known(study, train_on)),
            joined("test pictures per class: " + ", ".join(_supports(classes)), "F1 of a class has no interval"),
        ]
        yield FigureJob(
            name=f"metrics/{train_on}_per_class",
            draw=plot_estimates,
            title=title,
            details={
                "panels": panels, "places": places(study, order), "axis": "score", "columns": len(names),
                "baselines": baselines,
            },
            section="results",
            caption=f"Recall (above) and F1 (below) of each emotion on the {train_on} test set. Look for classes whose "
            "recall interval reaches 0, and for variants that gain recall of a rare class while its F1 stays.",
            alt=f"Dot charts of recall and F1 of each emotion on {train_on}: a row per network.",
            is_key=_is_key(rows, train_on),
        )  # fmt: skip


def _is_key(rows: pd.DataFrame, train_on: object) -> bool:
    """Single datasets, and unions where nothing was trained on single ones: the overview shows all."""
    return "+" not in str(train_on) or bool(rows["train_on"].str.contains("+", regex=False).all())


def _known(study: StoredStudy, train_on: object) -> list[str]:
    return notes(study, *str(train_on).split("+"))


def _majority_classes(study: StoredStudy, test_on: str) -> pd.DataFrame:
    table = read_csv(study.output / "per_class_results.csv", CLASS_TEXTS)
    table = table[(table["run"] == MAJORITY) & (table["test_on"] == test_on)]
    return table.drop_duplicates("class").set_index("class")


def _supports(classes: pd.DataFrame) -> list[str]:
    found = classes.groupby("class")["support"].max()
    return [f"{emotion} {int(found[emotion]):,}" for emotion in ALL_EMOTIONS if emotion in found]
