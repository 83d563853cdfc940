"""Which predictions a finished run should have, and making those that are missing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from fer.columns.files import TEST_READS
from fer.data.folds import is_out_of_fold
from fer.data.whole_sets import dataset_of, whole
from fer.layouts.emotions import class_names
from fer.machine.precision import FULL, autocast_dtype
from fer.runs.run import PlannedRun, Run, read_run_json
from fer.study.plan import Study
from fer.study.variants import faces_of, picture_recipe, scored_variant
from utils import InputError, fingerprint, lock_in, log, pick_device, read_csv, write_text

if TYPE_CHECKING:
    from torch import nn

    from data_loader import FaceRows, NetworkInput
    from training import Machine

# Raise when the same weights and rows would give other probabilities (a changed view, say).
# 2: mean and std of the input are those of training; before, those of timm's default weights.
PREDICTION_VERSION = 2


@dataclass(frozen=True)
class PredictionFile:
    """One file of probabilities a run should have, with the key that says whether it is the right one."""

    path: Path
    key: str
    test_on: str
    split: str
    test_variant: str
    tta: str


def prediction_files(study: Study, planned: PlannedRun) -> list[PredictionFile]:
    """Every predictions file of a finished run: validation rows of its own datasets, test rows of all."""
    stored = read_run_json(planned.folder, planned.inputs)
    if stored is None:
        return []
    study, files = study.of(planned), []
    for name, split, variant in scored_sets(study, planned.run):
        data = study.datasets[dataset_of(name)]
        recipe = picture_recipe(data, variant, planned.run.hyper.input_size, study.settings)
        rows = study.scored(planned.run, name, split)[1]
        for tta in study.settings.tta:
            key = fingerprint([stored["weights_sha256"], rows, variant, recipe, tta, PREDICTION_VERSION], 32)
            path = planned.folder / "predictions" / f"{name}__{split}__{variant}__{tta}.npz"
            files.append(PredictionFile(path, key, name, split, variant, tta))
    return files


def scored_sets(study: Study, run: Run) -> Iterator[tuple[str, str, str]]:
    """(dataset or `<dataset>@all`, split, variant) of everything a run is scored on.

    In the folds of LABEL_NOISE that is its own dataset.
    """
    own = scored_variant(run.variant)
    for name in study.datasets:
        if is_out_of_fold(run.split) and name not in run.train_on:
            continue
        if name in run.train_on and len(study.scored(run, name, "val")[0]):
            yield name, "val", own
        for test_on in _test_sets(study, run, name) if study.settings.evaluate_test else ():
            wanted = [own if variant == "same" else variant for variant in study.settings.test_variants]
            for variant in dict.fromkeys(wanted):
                yield test_on, "test", variant


def _test_sets(study: Study, run: Run, name: str) -> Iterator[str]:
    """A dataset's test set, and where CROSS_TEST asks for it and it holds more, all of a dataset not trained on."""
    tested = len(study.datasets[name].rows("test"))
    if tested:
        yield name
    is_larger = len(study.datasets[name].samples) > tested
    is_new = name not in (*run.train_on, *run.pretrained_on)
    wanted = study.settings.cross_test == "all" and is_new and is_larger
    if wanted and len(study.unseen(run, name)[0]):
        yield whole(name)


def missing_predictions(study: Study, planned: PlannedRun) -> list[PredictionFile]:
    """The predictions files of a finished run that are not there, damaged, or of other rows or weights."""
    study = study.of(planned)
    return [file for file in prediction_files(study, planned) if not _is_usable(study, planned, file)]


def _is_usable(study: Study, planned: PlannedRun, file: PredictionFile) -> bool:
    try:
        state = file.path.stat()
    except FileNotFoundError:
        return False
    rows, _ = study.scored(planned.run, file.test_on, file.split)
    # one answer per file as it is now: plan, scoring and waiting for other processes ask again and again
    place = (study.settings.output_path, study.fold, file, state.st_mtime_ns, state.st_size)
    if place not in _problems:
        _problems[place] = _problem(file, rows, class_names(planned.run.hyper.classes))
        if _problems[place]:
            log.warning("%s is made again: %s", file.path, _problems[place])
    return _problems[place] == ""


_problems: dict[tuple[object, ...], str] = {}


def _problem(file: PredictionFile, rows: pd.DataFrame, classes: tuple[str, ...]) -> str:
    """Why a predictions file cannot be used, "" when it can; without torch."""
    from evaluation import load_predictions, problem_of_predictions

    try:
        found = load_predictions(file.path)
    except InputError as error:
        return str(error)
    problem = problem_of_predictions(found, classes, file.key)
    same_rows = found.sample_ids.tolist() == rows["sample_id"].tolist()
    if not problem and not (same_rows and np.array_equal(found.labels, rows["label"])):
        return f"its {len(found.labels)} rows or their labels are not the {len(rows)} of {file.test_on} {file.split}"
    return problem


def score_run(study: Study, planned: PlannedRun, loaded: Loaded | None = None) -> None:
    """Make the predictions files of a finished run that are missing; `loaded`, where its weights were just read.

    Validation rows come first and all together: nothing is stored, and no test set read, before they score what
    the run's kept epoch scored. Raises ScoresDisagreeError where they do not, InputError for damaged weights.
    """
    study = study.of(planned)
    files = prediction_files(study, planned)
    wanted = {file.path for file in missing_predictions(study, planned)}
    if not wanted:
        return
    groups: dict[tuple[str, str, str], list[PredictionFile]] = {}
    again = any(file.split == "val" for file in files if file.path in wanted)
    for file in files:
        if file.path in wanted or (again and file.split == "val"):
            groups.setdefault((file.test_on, file.split, file.test_variant), []).append(file)
    predict_rows = _predictor(study, planned, loaded)
    found = {group: predict_rows(group) for group in groups if group[1] == "val"}
    if found:
        _compare_with_training(study, planned, found)
    for group, members in groups.items():
        faces, probabilities = found[group] if group in found else predict_rows(group)
        if group[1] == "test" and not is_out_of_fold(planned.run.split):  # nobody chooses by what these say
            _count_test_read(study, group[0], planned.name)
        for file in members:
            _store(planned, file, faces, probabilities[file.tta])


Found = tuple["FaceRows", "dict[str, np.ndarray]"]
Loaded = tuple["nn.Module", "NetworkInput"]  # a network with the weights of its run, and the input it expects


def _predictor(study: Study, planned: PlannedRun, loaded: Loaded | None) -> Callable[[tuple[str, str, str]], Found]:
    """A function from (dataset, split, variant) to faces and their probabilities per TTA policy, "none" among them."""
    from evaluation import predict_together
    from fer.runs.trained_network import load_trained
    from training import make_machine

    stored = read_run_json(planned.folder, planned.inputs)
    assert stored is not None, f"{planned.name} is scored before it is finished"
    machine, hyper = make_machine(study.settings), planned.run.hyper
    trained = loaded or load_trained(planned, stored["weights_sha256"], machine.device)
    policies = tuple(dict.fromkeys(("none", *study.settings.tta)))

    def predict_rows(group: tuple[str, str, str]) -> Found:
        name, split, variant = group
        rows, _ = study.scored(planned.run, name, split)
        faces = faces_of(study.datasets[dataset_of(name)], rows, variant, hyper.input_size, study.settings)
        asked = policies if split == "val" else study.settings.tta
        if machine.processes.count > 1:
            machine.processes.tell(_follow, planned, stored["weights_sha256"], faces, asked, machine)
        return faces, predict_together(machine.processes, faces, partial(_answer, planned, trained, asked, machine))

    return predict_rows


def _answer(
    planned: PlannedRun, trained: Loaded, asked: tuple[str, ...], machine: Machine, faces: FaceRows
) -> dict[str, np.ndarray]:
    """Probabilities of `faces` per TTA policy."""
    from evaluation import predict

    hyper = planned.run.hyper
    autocast = autocast_dtype(hyper.precision)
    return predict(*trained, faces, asked, hyper.batch_size, machine.device, 0, autocast)


def _follow(planned: PlannedRun, digest: str, faces: FaceRows, asked: tuple[str, ...], machine: Machine) -> None:
    """What the other processes do of it: they answer their share, with the weights that lie in the run's folder."""
    from evaluation import predict_together
    from fer.runs.trained_network import load_trained
    from training import machine_here

    here = machine_here(machine)

    def answer(rows: FaceRows) -> dict[str, np.ndarray]:
        return _answer(planned, load_trained(planned, digest, here.device), asked, here, rows)

    predict_together(here.processes, faces, answer)


def _compare_with_training(study: Study, planned: PlannedRun, found: dict[tuple[str, str, str], Found]) -> None:
    """The assertion of runs/kept_epoch.py, over the rows the epoch was chosen by."""
    from fer.runs.kept_epoch import refuse_other_scores

    stored = read_run_json(planned.folder, planned.inputs)
    assert stored is not None
    each = [(faces.label, probabilities["none"]) for faces, probabilities in found.values()]
    on_cpus = stored["environment"]["device"] == "cpu" == pick_device(study.settings.device).type
    exact = on_cpus and planned.run.hyper.precision == FULL
    refuse_other_scores(planned.folder, stored["facts"], each, exact)


def _store(planned: PlannedRun, file: PredictionFile, faces: FaceRows, probabilities: np.ndarray) -> None:
    from evaluation import Predictions, store_predictions

    ids = pd.Series(faces.sample_ids).to_numpy(dtype=str)
    classes = tuple(planned.inputs["classes"])
    names = (planned.name, file.test_on, file.split, file.test_variant, file.tta)
    store_predictions(file.path, Predictions(*names, classes, ids, faces.label, probabilities, file.key))


def _count_test_read(study: Study, test_on: str, run: str) -> None:
    """Note in test_reads.csv that `run` has been scored on a test set; each run counts once."""
    output = study.settings.output_path
    path = output / "test_reads.csv"
    with lock_in(output, "test_reads"):
        known = _test_reads(output)
        if ((known["test_on"] == test_on) & (known["run"] == run)).any():
            return
        known.loc[len(known)] = [test_on, run, datetime.now(UTC).isoformat(timespec="seconds")]
        write_text(path, known.to_csv(index=False))


def _test_reads(output: Path) -> pd.DataFrame:
    """test_reads.csv; where it is damaged, what the predictions still there prove, and the damaged file is kept."""
    path = output / "test_reads.csv"
    if not path.is_file():
        return pd.DataFrame(columns=list(TEST_READS))
    try:
        known = read_csv(path, TEST_READS)
        if tuple(known.columns) != TEST_READS or known.isna().any(axis=None):
            raise ValueError(f"its columns are not {', '.join(TEST_READS)}, or some cells are empty")
        return known
    except ValueError as error:
        kept = path.with_name("test_reads.damaged.csv")
        log.warning("%s is damaged (%s): kept as %s, and made again from the predictions.", path, error, kept.name)
        path.replace(kept)
    rows = [
        [file.name.split("__")[0], file.parents[1].name,
         datetime.fromtimestamp(file.stat().st_mtime, UTC).isoformat(timespec="seconds")]
        for file in sorted((output / "saved_models").glob("*/predictions/*__test__*.npz"))
    ]  # fmt: skip
    found = pd.DataFrame(rows, columns=list(TEST_READS)).sort_values("first_scored")
    found = found.drop_duplicates(["test_on", "run"], ignore_index=True)
    write_text(path, found.to_csv(index=False))
    return found
