"""What the report says before any result: state of every run, data, protocol, machines, what was left out.

Read from the files of the output folder alone. What is not known is said to be not known.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from fer.data.rejections import rejection_notes
from fer.data.samples import read_samples
from fer.data.splits import SPLITS
from fer.data.whole_sets import is_whole
from fer.layouts.emotions import CONTEMPT, EMOTIONS
from fer.layouts.layouts import LAYOUTS
from fer.report.table_formats import Block, Cell, Column, PaperTable, Row, number_cell, text_cell
from fer.results.study_files import StoredRun, StoredStudy, read_class_counts, read_history
from fer.runs.run import ORACLE, read_run_json, run_lock
from utils import InputError, read_csv, read_json

LEFT_OUT = ("audit/left_out.json", "tables/left_out.json", "left_out.json", "left_out_pictures.json")
STATES = ("done", "running", "failed", "interrupted", "to do")
UNKNOWN = "not recorded"


@dataclass(frozen=True)
class RunState:
    """A run of the plan: its `state` is one of STATES, `note` says how far it is or what went wrong."""

    name: str
    state: str
    note: str


def run_states(study: StoredStudy) -> list[RunState]:
    """The state of every run of the plan, in its order."""
    finished = {run.name for run in study.runs}
    return [_state(study, name, name in finished) for name in study.planned]


def _state(study: StoredStudy, name: str, done: bool) -> RunState:
    folder = study.output / "saved_models" / name
    failure = _last_line(folder / "failed.txt")
    if done:
        missing = sum(entry.run.name == name and not entry.path.is_file() for entry in study.predictions)
        notes = [f"{missing} predictions files missing"] if missing else []
        return RunState(name, "done", "; ".join([*notes, *([f"scoring failed: {failure}"] if failure else [])]))
    epochs = _epochs_so_far(folder / "history.csv")
    if _is_locked(run_lock(folder)):
        return RunState(name, "running", epochs)
    if failure:
        return RunState(name, "failed", failure)
    if (folder / "checkpoint.pth").is_file():
        return RunState(name, "interrupted", f"{epochs}; goes on from there at the next call".lstrip("; "))
    return RunState(name, "to do", "")


def _last_line(path: Path) -> str:
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    except FileNotFoundError:
        return ""
    return lines[-1] if lines else "no reason given"


def _epochs_so_far(path: Path) -> str:
    try:
        return f"{len(read_csv(path))} epochs so far"
    except (OSError, ValueError):
        return ""  # the first epoch is not over, or its file is being written: nothing to tell yet


def _is_locked(lock: FileLock) -> bool:
    """True when a process holds the lock of a run; a lock left by a dead process is not held."""
    if not Path(lock.lock_file).is_file():
        return False
    try:
        lock.acquire(timeout=0)
    except (Timeout, OSError):
        return True
    lock.release()
    return False


def state_counts(states: list[RunState]) -> dict[str, int]:
    """How many runs are in each of STATES."""
    counted = Counter(one.state for one in states)
    return {state: counted[state] for state in STATES}


# ---------------------------------------------------------------- data


def data_table(study: StoredStudy, counts: dict[str, dict[str, int]]) -> PaperTable:
    """Rows of each dataset by split, what was taken out, and whether it is drawn; `counts` as in study.json."""
    columns = [Column("dataset"), *(Column(split, is_number=True) for split in SPLITS)]
    columns += [Column("listed", is_number=True), Column("taken out", is_number=True), Column("why"), Column("kind")]
    rows = []
    for name in study.datasets:
        listed, removed, why = _funnel_of(study.output, name)
        cells = [text_cell(name), *(_whole(counts[name].get(split)) for split in SPLITS)]
        cells += [_whole(listed), _whole(removed), text_cell(why)]
        kind = "SAMPLE DATA: drawn faces" if study.is_sample(name) else "as delivered"
        cells.append(text_cell(f"{kind}; only tested" if name in study.only_tested else kind))
        rows.append(Row(tuple(cells)))
    return PaperTable("data", "Rows in use", "", tuple(columns), (Block("", tuple(rows)),))


def _whole(value: int | None) -> Cell:
    return text_cell(UNKNOWN) if value is None else number_cell(float(value), digits=0)


def _funnel_of(output: Path, name: str) -> tuple[int | None, int | None, str]:
    """Rows listed, rows taken out, and the steps that took them out."""
    try:
        funnel = read_samples(output / "samples" / f"{name}_funnel.csv")
        removed = {step: int(n) for step, n in zip(funnel["step"], funnel["removed"], strict=True) if n}
        return int(funnel["kept"].iloc[0]), sum(removed.values()), ", ".join(f"{s} {n:,}" for s, n in removed.items())
    except (InputError, OSError, ValueError, KeyError, IndexError):
        return None, None, "its funnel table is missing or damaged"


# ---------------------------------------------------------------- protocol


def protocol(study: StoredStudy, config: dict[str, Any]) -> list[str]:
    """How epochs were chosen, what was repeated, which rules of the config shape the numbers: sentences."""
    rules = sorted({str(run.run["selection"]) for run in study.runs} - {ORACLE})
    oracle = sum(run.run["selection"] == ORACLE for run in study.runs)
    chosen = " or ".join(rules) or str(config.get("SELECT_BY", UNKNOWN))
    return [
        f"Epoch kept: the best on validation rows by {chosen} (SELECT_BY). Combined runs: the mean over their datasets."
        if chosen != "last"
        else "Epoch kept: the last one.",
        f"{oracle} ORACLE runs chose their epoch on the test set, only to show what that is worth. They are named "
        "wherever they appear, never the best, and in no mean with others."
        if oracle
        else "No run of this study chose its epoch on a test set.",
        _said(config, "EVALUATE_TEST", {True: "Test sets were scored by finished runs only.", False: "EVALUATE_TEST = "
              "False: no test set was scored; all numbers are of validation rows."}, "Whether test sets were scored"),
        f"Seeds: {_values(study.runs, 'seed')}. Splits: {_values(study.runs, 'split')}. "
        f"TTA: {', '.join(sorted({entry.tta for entry in study.predictions})) or UNKNOWN}.",
        f"Identical copies of validation and test pictures in training: COPIES = {config.get('COPIES', UNKNOWN)}. "
        f"Identical pictures with different labels: CONFLICTS = {config.get('CONFLICTS', UNKNOWN)}. "
        f"No face found: NO_FACE = {config.get('NO_FACE', UNKNOWN)}.",
        *_only_tested(study),
        *_whole_sets(study),
        *_contempt(study, config),
        "All rows are used (LIMIT_PER_SPLIT = None)."
        if study.limit is None
        else f"Only part of the data is used: LIMIT_PER_SPLIT = {study.limit}.",
    ]  # fmt: skip


def _only_tested(study: StoredStudy) -> list[str]:
    names = [name for name in study.datasets if name in study.only_tested]
    if not names:
        return []
    return [
        f'Only tested on ("role": "test"): {", ".join(names)}. No network learned from them and no epoch was chosen '
        "by them; their baseline answers the most frequent class of their own test rows."
    ]


def _whole_sets(study: StoredStudy) -> list[str]:
    names = sorted({entry.test_on for entry in study.predictions if is_whole(entry.test_on)})
    if not names:
        return []
    return [
        f'Tested on whole datasets as well (CROSS_TEST = "all"): {", ".join(names)}. They hold all rows of a dataset '
        "that the network was not trained on, without pictures that stand in a dataset it was trained on: n can differ "
        "between training sets."
    ]


def _contempt(study: StoredStudy, config: dict[str, Any]) -> list[str]:
    """What became of contempt, in the datasets whose layout knows it; those of one's own say it in "classes"."""
    rows = {name: row for name, row in config.get("DATASETS", {}).items() if name in study.datasets}
    knowing = {layout.family for layout in LAYOUTS.values() if "contempt" in layout.entries}
    words = [
        f"in {name} {_what_contempt_is(row.get('contempt'))}"
        for name, row in rows.items()
        if row.get("layout") in knowing
    ]
    classes = "Seven classes." if study.classes == len(EMOTIONS) else f"Eight classes, {CONTEMPT} among them."
    if not words:
        return [classes] if study.classes != len(EMOTIONS) else []
    return [f"{classes} Contempt is {', '.join(words)}."]


def _what_contempt_is(counted_as: str | None) -> str:
    if counted_as == CONTEMPT:
        return "kept as a class"
    return "left out" if counted_as is None else f"counted as {counted_as}"


def _said(config: dict[str, Any], name: str, sentences: dict[Any, str], what: str) -> str:
    return sentences.get(config.get(name), f"{what} is {UNKNOWN} ({name}).")


def _values(runs: tuple[StoredRun, ...], name: str) -> str:
    found = sorted({run.run[name] for run in runs})
    return ", ".join(map(str, found)) or "none yet"


def test_reads(output: Path) -> PaperTable | None:
    """How many runs have been scored on each test set, over the life of the output folder; None where unknown."""
    try:
        reads = read_csv(output / "test_reads.csv", ["test_on", "run", "first_scored"])
        grouped = reads.groupby("test_on").agg(runs=("run", "nunique"), first=("first_scored", "min"),
                                               last=("first_scored", "max"))  # fmt: skip
    except (OSError, ValueError, KeyError):
        return None
    rows = [
        Row(
            (
                text_cell(name),
                number_cell(float(one["runs"]), digits=0),
                text_cell(one["first"]),
                text_cell(one["last"]),
            )
        )
        for name, one in zip(grouped.index, grouped.to_dict("records"), strict=True)
    ]
    columns = (Column("test set"), Column("runs scored on it", is_number=True), Column("first"), Column("last"))
    return PaperTable(
        "test_reads", "How often each test set was scored",
        "Runs of earlier plans in this folder count as well: every look at a test set makes choosing by it more "
        "optimistic.", columns, (Block("", tuple(rows)),),
    )  # fmt: skip


# ---------------------------------------------------------------- machines


def machines(study: StoredStudy) -> list[tuple[str, str]]:
    """(what, value) of the versions and hardware the runs were trained on; several values where runs differ."""
    values: dict[str, Counter[str]] = {}
    unknown = 0
    for run in study.runs:
        environment = (read_run_json(run.folder) or {}).get("environment")
        if not isinstance(environment, dict):
            unknown += 1
            continue
        flat = {key: value for key, value in environment.items() if key != "packages"} | environment.get("packages", {})
        for key, value in flat.items():
            values.setdefault(key, Counter())[str(value)] += 1
    found = [(key, _counted(counter, len(study.runs))) for key, counter in values.items()]
    return found + ([("not recorded", f"in {unknown} of {len(study.runs)} runs")] if unknown else [])


def _counted(counter: Counter[str], runs: int) -> str:
    if len(counter) == 1 and counter.total() == runs:
        return next(iter(counter))
    return "; ".join(f"{value} ({count} runs)" for value, count in counter.items())


# ---------------------------------------------------------------- what was left out


def left_out(study: StoredStudy) -> list[str]:
    """What the tables, the figures and this report do without, and why, each reason once."""
    output = study.output
    reasons = [reason for name in LEFT_OUT for reason in _listed(output / name)]
    finished = {run.name for run in study.runs}
    for name in study.planned:
        path = output / "saved_models" / name / "run.json"
        if name not in finished and path.is_file():
            reasons.append(f"{path} cannot be used: the run counts as unfinished. Run main.py: it is trained again.")
    for run in study.runs:
        reasons += _history_problems(run)
    for name in study.datasets:
        reasons += [*_samples_problems(output, name), *_rejections(output, name)]
    if not (output / "cache" / "picture_figures.json").is_file():
        reasons.append("No figures with faces: main.py draws them at its end, where the datasets are.")
    unscored = [e for e in study.predictions if not e.path.is_file()]
    if unscored:
        reasons.append(f"{len(unscored)} predictions files of finished runs are missing. Run main.py: they are made.")
    return list(dict.fromkeys(without_folders(reason, output) for reason in reasons))


def without_folders(reason: str, output: Path) -> str:
    """A sentence without the machine's folders in it, on one line."""
    return re.sub(r"\s+", " ", reason.replace(f"{output}/", "").replace(str(output), "."))


def _listed(path: Path) -> list[str]:
    """Reasons another module left: a list of sentences, or of records, or a table name: reason."""
    try:
        found = read_json(path)
    except FileNotFoundError:
        return []
    except (OSError, ValueError) as error:
        return [f"{path} is damaged ({error}): what it lists is not known."]
    items = list(found.items()) if isinstance(found, dict) else found
    return [item if isinstance(item, str) else ": ".join(map(str, _values_of(item))) for item in items]


def _values_of(item: Any) -> Any:
    return item.values() if isinstance(item, dict) else item


def _history_problems(run: StoredRun) -> list[str]:
    if run.members:
        return []
    try:
        history = read_history(run)
    except InputError as error:
        return [str(error)]
    numbers = history.select_dtypes("number")
    empty = numbers.isna()  # a column without any value is of something not measured here, as a GPU's memory
    bad = [str(name) for name in numbers.columns if empty[name].any() and not empty[name].all()]
    return (
        [f"{run.folder / 'history.csv'} has epochs without a value in {', '.join(bad)}: gaps in the curves."]
        if bad
        else []
    )


def _rejections(output: Path, name: str) -> list[str]:
    """How many rows of a dataset cannot be used, and why; nothing where its tables are not there."""
    paths = [output / "samples" / f"{name}_{part}.csv" for part in ("rejected", "funnel")]
    if not all(path.is_file() for path in paths):
        return []
    try:
        rejected, funnel = (read_samples(path) for path in paths)
        return [f"{name}: {note}" for note in rejection_notes(rejected, int(funnel["kept"].iloc[0]))]
    except (InputError, OSError, ValueError, KeyError, IndexError) as error:
        return [f"{paths[0]} cannot be read ({error}): how many rows cannot be used is not known."]


def _samples_problems(output: Path, name: str) -> list[str]:
    try:
        read_class_counts(output, name)
    except InputError as error:
        return [str(error)]
    return []
