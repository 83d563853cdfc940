"""The tables of studies/fer2013_leak.py: what copies are worth, and what choosing the epoch on the test set is worth.

    python studies/fer2013_leak_table.py saidas/leak_drop saidas/leak_keep saidas/leak_drop_random

Accuracy in percent on all PrivateTest pictures, on those without an identical copy in the training or validation data
as delivered, and on those with one; mean ± standard deviation over seeds. Differences carry 95 % intervals over seeds
and groups of pictures (`significance.compare`). Prints Markdown and writes it beside the first folder as leak.md.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from fer.data.samples import read_samples
from fer.results.leaks import Copies
from fer.results.study_files import read_predictions, read_study
from fer.runs.run import ORACLE
from fer.settings.settings import EMOTIONS
from fer.statistics.bootstrap import draw_groups, resampled_scores
from fer.statistics.significance import Difference, Resampled, compare, effective_size
from utils import write_text

SETS = ("all pictures", "without an identical copy", "identical copies alone")
Answers = dict[tuple[str, int], pd.DataFrame]


def read_answers(output: Path) -> Answers:
    """(validation | oracle, seed) ▶ a row a test picture: label, predicted, group; index sample_id."""
    study = read_study(output)
    groups = read_samples(output / "samples" / "fer2013_samples.csv").set_index("sample_id")["group"]
    answers = {}
    for entry in study.predictions:
        if entry.split == "test" and entry.tta == "none":
            found = read_predictions(entry)
            kind = "oracle" if entry.run.run["selection"] == ORACLE else "validation"
            table = pd.DataFrame({"label": found.labels, "predicted": found.predicted}, index=found.sample_ids)
            answers[kind, entry.run.run["seed"]] = table.assign(group=groups.reindex(found.sample_ids).to_numpy())
    return answers


def accuracies(answers: Answers, kind: str, wanted: np.ndarray) -> Resampled:
    """Accuracy of each seed on the wanted pictures, and on shared resamples of their groups."""
    tables = [table[wanted] for (which, _), table in sorted(answers.items()) if which == kind]
    draws = draw_groups(tables[0]["group"].to_numpy())
    values = [float((table["label"] == table["predicted"]).mean()) for table in tables]
    resampled = [
        resampled_scores(draws, table["label"].to_numpy(), table["predicted"].to_numpy(), len(EMOTIONS))["accuracy"]
        for table in tables
    ]
    return Resampled(np.array(values), np.stack(resampled))


def words(difference: Difference) -> str:
    """A difference in percentage points with its interval."""
    value, low, high = (100 * part for part in (difference.value, difference.low, difference.high))
    return f"{value:+.2f} [{low:+.2f}, {high:+.2f}]"


def spread(side: Resampled) -> str:
    """Mean ± standard deviation over seeds, percent."""
    return f"{100 * side.values.mean():.1f} ± {100 * side.values.std(ddof=1):.1f}"


def main(folders: list[Path]) -> str:
    """The two tables as Markdown; the first folder is the one others are compared with."""
    arms = {folder.name: read_answers(folder) for folder in folders}
    base = next(iter(arms))
    table = next(iter(arms[base].values()))
    copied = table.index.isin(Copies(folders[0]).find(("fer2013",), "fer2013").identical)
    masks = dict(zip(SETS, (np.ones(len(table), bool), ~copied, copied), strict=True))
    first, second = [], []
    for name, wanted in masks.items():
        size = effective_size("accuracy", table["label"].to_numpy()[wanted], table["group"].to_numpy()[wanted])
        sides = {arm: accuracies(answers, "validation", wanted) for arm, answers in arms.items()}
        for arm, side in sides.items():
            gain = "" if arm == base else words(compare(side, sides[base], size))
            seeds = len(side)
            first.append([f"{name} (n = {wanted.sum():,})", arm, spread(side), seeds, gain])
            oracle = accuracies(arms[arm], "oracle", wanted)
            paired = words(compare(oracle, side, size, paired=True))
            second.append([f"{name} (n = {wanted.sum():,})", arm, spread(side), spread(oracle), seeds, paired])
    return "\n\n".join(
        [
            markdown(["test pictures", "arm", "accuracy %", "seeds", f"minus {base}, points [95 %]"], first),
            markdown(["test pictures", "arm", "by validation %", "oracle %", "seeds", "difference, points"], second),
        ]
    )


def markdown(heads: list[str], rows: list[list]) -> str:
    """A Markdown table."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


if __name__ == "__main__":
    outputs = [Path(argument) for argument in sys.argv[1:]]
    text = main(outputs)
    write_text(outputs[0].parent / "leak.md", text + "\n")
    print(text)
