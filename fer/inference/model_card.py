"""The text that goes with an exported model: what it was trained on and how, how well it does, what it cannot tell."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from utils import InputError, read_csv

if TYPE_CHECKING:
    from fer.inference.trained_model import TrainedModel

SHOWN = ("accuracy", "balanced_accuracy", "macro_f1")
LIMITS = """\
- Labels say what annotators saw in a picture. The model repeats that; it cannot tell what a person feels, thinks or
  intends, nor whether an expression is genuine, and a single picture shows a moment.
- People, cameras and cultures unlike those of the training pictures are answered worse, and probabilities are
  calibrated for pictures like its validation rows only. Check it on your own labelled pictures first.
- It always answers with one of its classes, also for a face that shows none of them and for a picture without a face.
- Not for decisions about people (work, school, law, health, insurance, border). In the European Union inferring
  emotions of people at work or in education is prohibited except for medical or safety reasons (Regulation 2024/1689,
  article 5).
"""
SCORE_HEAD = "| test set | pictures as | metric | value [95 % interval] | n |\n|---|---|---|---|---|\n"


def model_card(model: TrainedModel, output: Path, file: str, difference: float) -> str:
    """Markdown: data, protocol, metrics with intervals, use, limits. `output`: where the study's results lie."""
    run = model.record["run"]
    parts = [
        f"# {file}\n\nFacial expression, one face a picture: {', '.join(model.classes)}.\nRun `{model.name}`.",
        f"## Data\n\n{_data(model.record)}",
        f"## Protocol\n\n{_protocol(run, model)}",
        f"## Scores\n\n{scores_table(model.name, output)}",
        f"## Use\n\n{_use(model, file, difference)}",
        f"## Limits\n\n{LIMITS}",
    ]
    return "\n\n".join(part.rstrip() for part in parts) + "\n"


def _data(record: dict[str, Any]) -> str:
    names = record["inputs"]["classes"]
    head = f"| trained on | training | validation | {' | '.join(names)} |\n|{'---|' * (3 + len(names))}"
    rows = [
        f"| {name}{_drawn(record, name)} | {counts['n_train']} | {counts['n_val']} | "
        + " | ".join(str(count) for count in counts["original"])
        + " |"
        for name, counts in record["counts"].items()
    ]
    return "\n".join([head, *rows, "", "Classes: training pictures before balancing."])


def _drawn(record: dict[str, Any], name: str) -> str:
    return " (SAMPLE DATA: drawn faces)" if record["config"]["DATASETS"].get(name, {}).get("sample") else ""


def _protocol(run: dict[str, Any], model: TrainedModel) -> str:
    recipes = model.record["inputs"]["recipes"]
    faces = " ".join(f"Faces of {name} are {_faces(recipe)}." for name, recipe in recipes.items())
    weights = run["hyper"]["weights"] or "drawn at random"
    return (
        f"{run['model']}, {model.expected.size} px, seed {run['seed']}; weights before training: {weights}. Variant "
        f"{run['variant']}, balance {run['balance']}, split {run['split']}; the epoch was chosen on validation rows by "
        f"{run['selection']}. {faces}"
    )


def _faces(recipe: dict[str, Any]) -> str:
    rules = recipe.get("preparation")
    if rules is None:
        return "taken as delivered"
    light = ", their contrast equalised" if rules.get("contrast") == "equalised" else ""
    if recipe["faces"] == "cropped":
        return f"taken as delivered{light}"
    levelled, sure = "levelled, " if rules["align"] else "", rules["detection_threshold"]
    cropped = f"{levelled}cropped with margin {rules['crop_margin']:g}"
    return f"found by MTCNN (confidence {sure:g} or more), {cropped}{light}"


def scores_table(name: str, output: Path) -> str:
    """Test scores of the run with 95 % intervals, as statistics/intervals.csv has them: one of each score."""
    path = output / "statistics" / "intervals.csv"
    if not path.is_file():
        return f"None: {path.name} is not there. `python main.py --report` makes it; then export again."
    try:
        rows = read_csv(path, ["run", "test_on", "test_variant", "tta", "metric"])
        rows = rows[(rows["run"] == name) & (rows["tta"] == "none") & rows["metric"].isin(SHOWN)]
        rows = rows[(rows["method"] != "wilson") | (rows["n"] == rows["n_groups"])]
        rows = rows.drop_duplicates(["test_on", "test_variant", "metric"])
        lines = [_score_line(row) for _, row in rows.iterrows()]
    except (ValueError, KeyError) as error:
        raise InputError(f"{path} cannot be read ({error}). `python main.py --report` writes it again.") from error
    if not lines:
        return "None: this run was not scored on a test set."
    note = "" if not rows["sample_data"].any() else "\n\nSAMPLE DATA: drawn faces; nothing here is about real ones."
    return SCORE_HEAD + "\n".join(lines) + note


def _score_line(row: pd.Series) -> str:
    interval = f"{row['value']:.3f} [{row['low']:.3f}, {row['high']:.3f}]"
    return f"| {row['test_on']} | {row['test_variant']} | {row['metric']} | {interval} | {row['n']:.0f} |"


def _use(model: TrainedModel, file: str, difference: float) -> str:
    recipe = model.recipe
    shape = f"uint8 [N, {recipe.side}, {recipe.side}, {recipe.channels}]"
    kind = "gray" if recipe.channels == 1 else "RGB"
    precision = model.record["run"]["hyper"]["precision"]
    rounded = "" if precision == "fp32" else f" The scores above are of {precision}, which rounds otherwise."
    fitted = f"softmax(log(p) / {model.temperature:.3f}), from {model.n_val} validation rows"
    return (
        f"`python predict.py --onnx {file} --image photo.jpg`; with `--no-face-detection` torch is not needed.\n\n"
        f"Input `faces`: {shape}, {kind}, 0 to 255; normalised inside. Output `probabilities`: float32 [N, "
        f"{len(model.classes)}]. Calibration: {fitted if model.n_val else 'none'}. How faces are cut out, labels and "
        "normalisation stand in the file's metadata (`fer`, JSON). Probabilities of torch and onnxruntime differ by at "
        f"most {difference:.1g} on 100 faces of noise, both in fp32.{rounded}"
    )
