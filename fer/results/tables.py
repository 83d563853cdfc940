"""Tables of a study, from the files it left on disk: results, per class, selection funnel.

No network is loaded. Metrics come from results/scores.py, which computes them once per predictions file;
everything else is put together anew each time, and a file is written only when its text changed.

`results.csv` has a row per (run, test_on, test_variant, tta), `validation_results.csv` the same for
validation rows, with `n_rows` (rows scored) in place of `n_test`. The folds of a repeat together are a run as well,
whose `split` is the repeat; means are made of those rows, never of single folds (see per_training).
The columns: fer.columns, docs/columns.md.

Runs made before peak_gpu_mb and peak_ram_mb hold `peak_memory_mb` in their run.json, which was not reset between
runs: it is not read, the columns are empty.

Copies are pictures that stand in the training or validation data as delivered, before any left (data/copies.py,
results/leaks.py); the columns are empty where the samples tables are not there. validation_results.csv has neither
them nor `section`. A row whose `selection` is "oracle" chose its epoch on the test set: it belongs in no mean with
others, and is never the best.

Each scored set has one more row, run and model `majority_class`: the most frequent class of its own
training rows as the answer to everything; of a set that is only tested on, which has none, of its test rows. What does
not apply to it is empty. With folds it answers each fold by the rows that are not in it (several repeats: as one).

`per_class_results.csv` has a row for each row of results.csv and each class.
`tables/left_out.json` lists, in words, what the tables do without and why.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from evaluation import METRICS
from fer.columns.columns import of_kind
from fer.columns.files import CLASSES, FACTS, FUNNEL, RESULT_KEYS, RESULTS, RUN, TEST_ONLY
from fer.data.samples import read_samples
from fer.layouts.emotions import class_names
from fer.results.ensembles import with_derived
from fer.results.leaks import parts_of
from fer.results.scores import MAJORITY, Scores, score_study
from fer.results.study_files import StoredRun, StoredStudy, read_study
from fer.runs.run import ORACLE
from utils import InputError, lock_in, read_csv, write_changed

TEXTS = of_kind("text", RESULTS)
WHOLE_NUMBERS = of_kind("count", RESULTS)
SECTIONS = ("individual", "combined", "cross", "leave_one_out", "ensemble")
CLASS_TEXTS = of_kind("text", CLASSES)
ROW_ORDER = ["train_on", "variant", "model", "seed", "run", "test_on", "test_variant", "tta", "rows"]


def write_tables(output: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Write results.csv, validation_results.csv and per_class_results.csv; returns the first two.

    A predictions file that is damaged or of other classes is left out, with a warning naming it.
    Raises InputError when study.json cannot be used.
    """
    study = read_study(output)
    cache = output / "cache"
    cache.mkdir(parents=True, exist_ok=True)
    with lock_in(output, "tables"):
        derived = with_derived(study)
        scored, left_out = score_study(derived, cache / "tables.json")
        results = _results_table(study, [one for one in scored if one.split == "test"])
        validation = _results_table(study, [one for one in scored if one.split == "val"])
        validation = validation.drop(columns=list(TEST_ONLY)).rename(columns={"n_test": "n_rows"})
        _write_table(output / "results.csv", results)
        _write_table(output / "validation_results.csv", validation)
        _write_table(output / "per_class_results.csv", _class_table(scored, results))
        left_out += derived.left_out
        write_changed(output / "tables" / "left_out.json", json.dumps(left_out, indent=2, ensure_ascii=False) + "\n")
    return results, validation


def read_results(output: Path) -> pd.DataFrame:
    """results.csv as `write_tables` returned it. Raises InputError when it is not there or damaged."""
    path = output / "results.csv"
    try:
        table = read_csv(path, TEXTS)[list(RESULTS)]
        return table.fillna(dict.fromkeys(TEXTS, "")).astype(dict.fromkeys(WHOLE_NUMBERS, "Int64"))
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"{path} cannot be read ({error}). Run main.py --report: it is written again.") from error


def read_validation(output: Path) -> pd.DataFrame:
    """validation_results.csv as `write_tables` returned it. Raises InputError when it is not there or damaged."""
    path = output / "validation_results.csv"
    texts = [name for name in TEXTS if name not in TEST_ONLY]
    try:
        table = read_csv(path, texts)
        return table.fillna(dict.fromkeys(texts, ""))[[*texts, "seed", *METRICS]]
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"{path} cannot be read ({error}). Run main.py --report: it is written again.") from error


def write_funnel(output: Path, names: Iterable[str]) -> pd.DataFrame:
    """Write selection_funnel.csv: dataset, step, removed, kept, found, sample_data; steps in the order applied.

    `found` (in the step "no face" alone): in how many of the pictures a face was detected or given by a box.
    """
    study = read_study(output)
    parts = [_funnel_of(study, name).assign(dataset=name, sample_data=study.is_sample(name)) for name in names]
    funnel = pd.concat(parts, ignore_index=True)[list(FUNNEL)]
    funnel["found"] = funnel["found"].astype("Int64")
    _write_table(output / "selection_funnel.csv", funnel)
    return funnel


def _funnel_of(study: StoredStudy, name: str) -> pd.DataFrame:
    """The steps of one dataset, what is used last; "no face" only where faces were looked for."""
    folder = study.output / "samples"
    funnel = read_samples(folder / f"{name}_funnel.csv")
    left, last = int(funnel["kept"].iloc[-1]), []
    if (folder / f"{name}_no_face.csv").is_file():
        last = [_no_face_step(read_samples(folder / f"{name}_no_face.csv"), left, study.rejects_no_face)]
        left = last[0]["kept"]
    last.append({"step": "used", "removed": 0, "kept": left})
    return pd.concat([funnel, pd.DataFrame(last)], ignore_index=True).reindex(columns=[*funnel, "found"])


def _no_face_step(rows: pd.DataFrame, before: int, rejects: bool) -> dict[str, Any]:
    """Training rows without a face leave where NO_FACE = "reject" (in preprocessed variants); else none does."""
    without = ~rows["found"].astype(bool)
    removed = int((without & (rows["split"] == "train")).sum()) if rejects else 0
    return {"step": "no face", "removed": removed, "kept": before - removed, "found": before - int(without.sum())}


def _write_table(path: Path, table: pd.DataFrame) -> None:
    write_changed(path, table.to_csv(index=False, lineterminator="\n"))


# ---------------------------------------------------------------- rows


def _results_table(study: StoredStudy, scored: list[Scores]) -> pd.DataFrame:
    """Rows in the columns of the module's table, in an order that depends on the rows alone."""
    table = pd.DataFrame([_result_row(study, one) for one in scored], columns=list(RESULTS))
    table["tta_gain"] = _tta_gain(table)
    table["optimism"] = _optimism(table)
    table = table.astype(dict.fromkeys(WHOLE_NUMBERS, "Int64") | {"sample_data": bool})
    return table.sort_values(ROW_ORDER, ignore_index=True)


def _key_of(one: Scores) -> tuple[str, ...]:
    """The values of RESULT_KEYS."""
    return one.name, one.test_on, one.test_variant, one.tta, one.rows


def _result_row(study: StoredStudy, one: Scores) -> dict[str, Any]:
    row = dict(zip(RESULT_KEYS, _key_of(one), strict=True))
    row |= {"limit_per_split": study.limit} | one.metrics
    parts = parts_of(study.output, one.test_on)
    if one.run is None:
        empty = dict.fromkeys(
            ("section", "members", "classes_shared", "variant", "split", "balance", "mixing", "selection"), ""
        )
        alone = {"train_on": one.test_on, "model": MAJORITY, "sample_data": study.is_sample(*parts)}
        return row | empty | alone
    facts = {name: one.run.facts.get(name) for name in FACTS}
    described = {name: one.run.run[name] for name in RUN} | {"train_on": one.run.train_on}
    rows = {"n_train": one.run.rows("n_train"), "n_val": one.run.rows("n_val")}
    kind = {"section": section_of(one.run, parts, study.trained_on), "members": " / ".join(one.run.members)}
    kind["classes_shared"] = " ".join(_shared_classes(one))
    sample = study.is_sample(*parts, *one.run.run["train_on"])
    return row | kind | described | rows | facts | {"sample_data": sample}


def _shared_classes(one: Scores) -> list[str]:
    """The classes of which the run has training rows and the scored set has any."""
    assert one.run is not None
    trained = np.sum([counts["original"] for counts in one.run.counts.values()], axis=0)
    both = zip(class_names(len(trained)), trained, one.classes["support"], strict=True)
    return [name for name, learned, tested in both if learned and tested]


def section_of(run: StoredRun, tested: tuple[str, ...], trained_on: tuple[str, ...]) -> str:
    """Which kind of experiment a run tested on the datasets `tested` is, one of SECTIONS.

    `combined`: trained on several, tested on some of them. `leave_one_out`: trained on all of `trained_on` (the
    datasets a training may take), three or more, but the tested one. `cross`: tested on another dataset not trained
    on.
    """
    if run.members:
        return "ensemble"
    trained = set(run.run["train_on"])
    if trained >= set(tested):
        return "individual" if len(trained) == 1 else "combined"
    left_out = set(trained_on) - trained
    return "leave_one_out" if len(trained_on) > 2 and len(trained) > 1 and left_out == set(tested) else "cross"


def _tta_gain(table: pd.DataFrame) -> pd.Series:
    """Accuracy minus that of the row without TTA of the same run, test set and test variant; NaN without TTA."""
    same = ["run", "test_on", "test_variant"]
    plain = table.loc[table["tta"] == "none", [*same, "accuracy"]].rename(columns={"accuracy": "plain"})
    gain = table["accuracy"] - table[same].merge(plain, on=same, how="left")["plain"]
    return gain.where(table["tta"] != "none").astype(float)


def _optimism(table: pd.DataFrame) -> pd.Series:
    """Accuracy of an oracle, on a set it chose by, minus that of the same training judged by validation; else NaN."""
    same = [*(name for name in RUN if name != "selection"), *RESULT_KEYS[1:]]
    oracle = table["selection"] == ORACLE
    pairs = zip(table["test_on"].astype(str), table["train_on"].astype(str), strict=True)
    seen = np.array([set(tested.split("+")) <= set(trained.split("+")) for tested, trained in pairs], dtype=bool)
    counterparts = table.loc[~oracle, [*same, "accuracy"]].drop_duplicates(same)
    others = table[same].merge(counterparts, on=same, how="left")["accuracy"]
    return (table["accuracy"] - others.to_numpy()).where(oracle & seen).astype(float)


def _class_table(scored: list[Scores], results: pd.DataFrame) -> pd.DataFrame:
    """One row per row of `results`, in its order, and class."""
    by_key = {_key_of(one): one for one in scored if one.split == "test"}
    parts = []
    for key in results[list(RESULT_KEYS)].itertuples(index=False, name=None):
        part = pd.DataFrame(by_key[key].classes)
        part["class"] = class_names(len(part))
        parts.append(part.assign(**dict(zip(RESULT_KEYS, key, strict=True))))
    table = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=list(CLASSES))
    return table[list(CLASSES)]
