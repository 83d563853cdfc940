"""The runs of LABEL_NOISE read as what they say of every label: for audit/, and for trainings with DOUBTFUL.

A training or validation row is answered by the one network that saw neither it nor a copy of it; a test row by the
mean of all of them, for none saw it. The labels judged are those delivered.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fer.audit.contact_sheets import SheetFace
from fer.audit.label_noise import (
    SHEET,
    TESTED,
    TRAINED,
    Doubt,
    doubt_table,
    draw_doubtful,
    find_doubt,
    matrix_table,
    ranked,
    summary,
)
from fer.columns.files import LABEL_NOISE
from fer.data.folds import is_out_of_fold
from fer.layouts.pictures import UnreadablePicture
from fer.metrics.metrics import accuracy
from fer.runs.run import NOISE_VERSION, PlannedRun
from fer.study.plan import Study, noise_runs
from fer.study.predictions import missing_predictions, prediction_files
from utils import InputError, fingerprint, log, read_sealed, write_sealed, write_text

TABLE, MATRIX, FACTS = "label_noise.csv", "label_noise_matrix.csv", "label_noise.json"
Answers = dict[str, tuple[pd.DataFrame, np.ndarray]]  # per part of a dataset: rows, probabilities [N, C]


def out_of_fold_answers(study: Study, name: str, runs: Iterable[PlannedRun]) -> Answers:
    """What the networks of LABEL_NOISE say of the rows of a dataset they never saw, per part of it.

    `runs` are finished and scored. Raises InputError for a damaged file.
    """
    from evaluation import load_predictions

    rows = study.datasets[name].unsettled
    total, times = np.zeros((len(rows), study.settings.classes)), np.zeros(len(rows), dtype=int)
    for planned in runs:
        (file,) = (file for file in prediction_files(study, planned) if file.split == "test")
        found = load_predictions(file.path)
        places = pd.Index(rows["sample_id"]).get_indexer(pd.Index(found.sample_ids))
        total[places] += found.probabilities
        times[places] += 1
    is_tested = (rows["split"] == "test").to_numpy()
    assert (times[~is_tested] == 1).all(), f"{name}: rows without an answer, or with several"
    parts = {TRAINED: ~is_tested, TESTED: is_tested & (times > 0)}
    return {part: (rows[which], total[which] / times[which][:, None]) for part, which in parts.items() if which.any()}


def doubtful_rows(study: Study, planned: PlannedRun) -> frozenset[str]:
    """sample_id of the rows whose label is doubted among those that `planned` may learn from.

    Empty where it treats them like any other. A label that CONFLICTS = "majority" changed is not the one judged.
    Raises InputError where what judges them is not done.
    """
    doubtful: set[str] = set()
    for name in planned.run.train_on if planned.run.hyper.doubtful != "keep" else ():
        runs = [need for need in planned.needs if is_out_of_fold(need.run.split) and need.run.train_on == (name,)]
        if not _is_ready(study, runs):
            raise InputError(
                f"{planned.name} needs the runs of LABEL_NOISE on {name}. Run main.py: it makes them first."
            )
        rows, probabilities = out_of_fold_answers(study, name, runs)[TRAINED]
        doubted = rows[find_doubt(rows["label"].to_numpy(), probabilities).is_doubtful]
        used = study.datasets[name].samples
        doubtful |= set(doubted["sample_id"]) & set(used.loc[used["label"] == used["delivered"], "sample_id"])
    return frozenset(doubtful)


# ---------------------------------------------------------------- files


def write_label_noise(study: Study) -> None:
    """Leave in audit/ what LABEL_NOISE asks for (see fer/audit/label_noise.py), once; without it nothing.

    A dataset whose runs are not all done is left out, with a warning.
    """
    folder = study.settings.output_path / "audit"
    if study.settings.label_noise is None:
        remove_label_noise(folder)
        return
    runs = {name: found for name in study.datasets if (found := noise_runs(study, name))}
    ready = [name for name, found in runs.items() if _is_ready(study, found)]
    for name in runs.keys() - set(ready):
        log.warning("%s: its labels are not judged, for not all runs of LABEL_NOISE are done.", name)
    files = [file for name in ready for one in runs[name] for file in prediction_files(study, one)]
    key = fingerprint([NOISE_VERSION, ready, [file.key for file in files]], 32)
    if ready and _known_key(folder) == key and (folder / TABLE).is_file():
        return
    remove_label_noise(folder)
    if not ready:
        return
    judged = {name: _judged(out_of_fold_answers(study, name, runs[name])) for name in ready}
    _write(study, judged, key, folder)


def _is_ready(study: Study, runs: Iterable[PlannedRun]) -> bool:
    return all(one.finished and not missing_predictions(study, one) for one in runs)


def _known_key(folder: Path) -> str | None:
    try:
        return str(read_sealed(folder / FACTS)["key"])
    except (OSError, ValueError, KeyError, TypeError):
        return None  # not there or damaged: made again


def remove_label_noise(folder: Path) -> None:
    """Take away what an earlier plan left."""
    for path in (folder / FACTS, folder / TABLE, folder / MATRIX, *folder.glob(f"*{SHEET}")):
        path.unlink(missing_ok=True)


Judged = dict[str, tuple[pd.DataFrame, np.ndarray, Doubt]]


def _judged(answers: Answers) -> Judged:
    return {
        part: (rows, probabilities, find_doubt(rows["label"].to_numpy(), probabilities))
        for part, (rows, probabilities) in answers.items()
    }


def _write(study: Study, judged: dict[str, Judged], key: str, folder: Path) -> None:
    """The sheets, the tables, and last the facts."""
    tables, matrices, facts = [], [], {}
    for name, parts in judged.items():
        table = ranked(pd.concat([doubt_table(rows, doubt) for rows, _, doubt in parts.values()], ignore_index=True))
        tables.append(table)
        matrices += [matrix_table(name, part, doubt) for part, (_, _, doubt) in parts.items()]
        facts[name] = {part: _facts(*found) for part, found in parts.items()}
        _draw(study, name, table, folder)
        log.info("%s", summary(name, facts[name]))
    write_text(folder / TABLE, pd.concat(tables)[list(LABEL_NOISE)].to_csv(index=False))
    write_text(folder / MATRIX, pd.concat(matrices).to_csv(index=False))
    settings = study.settings
    made_by = {"network": settings.label_noise, "variant": settings.variants[0], "folds": settings.noise_folds}
    write_sealed(folder / FACTS, {"key": key, "made_by": made_by, "datasets": facts})


def _facts(rows: pd.DataFrame, probabilities: np.ndarray, doubt: Doubt) -> dict[str, Any]:
    """Rows, how many are doubted, the estimated share of wrong labels, and how often the networks agree with them."""
    agree = accuracy(rows["label"].to_numpy(), probabilities)
    found = {"rows": len(rows), "doubtful": int(doubt.is_doubtful.sum())}
    return found | {"estimated_share": doubt.share, "accuracy": float(agree)}


def _draw(study: Study, name: str, table: pd.DataFrame, folder: Path) -> None:
    data = study.datasets[name]
    rows = data.unsettled
    make = partial(SheetFace, data.root)
    faces = {row[0]: make(row[1], row[2]) for row in rows[["sample_id", "path", "face"]].itertuples(index=False)}
    note = " — SAMPLE DATA" if data.row.sample else ""
    try:
        draw_doubtful(table, faces, folder / f"{name}{SHEET}", f", {name}{note}")
    except UnreadablePicture as error:  # gone since it was read; the tables do not need it
        log.warning("the sheet of doubtful labels of %s is left out: %s", name, error)
