"""One row of PRETRAININGS: what a network learns from faces before the training whose scores count."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Literal

from annotated_types import Interval
from pydantic import model_validator

from fer.settings.messages import did_you_mean, quote
from fer.settings.training_values import SomeTrainingValues, TrainingValues, chosen
from fer.settings.value_types import Count, Name, Seed, Several, Text

if TYPE_CHECKING:
    from fer.settings.dataset_row import DatasetRow

PREFIX = "pretraining:"  # of "weights" in a row of MODEL_CONFIG, before the name of a row here
SUPERVISED = "supervised"
# Of the values of a training, those that a pretraining without labels reads.
READ_WITHOUT_LABELS = ("epochs", "learning_rate", "weight_decay")
# Those that one with labels leaves to the training after it, beside what its head is.
OF_THE_TRAINING = ("pretrained", "train_share", "freeze", "freeze_batch_norm", "stages", "interpolation", "doubtful")


def unread(method: str) -> list[str]:
    """The values of a training that mean nothing in a pretraining by this method."""
    if method == SUPERVISED:
        return [name for name in TrainingValues.model_fields if name in OF_THE_TRAINING or name.startswith("head")]
    return [name for name in TrainingValues.model_fields if name not in READ_WITHOUT_LABELS]


class PretrainingRow(SomeTrainingValues):
    """One row of PRETRAININGS. `weights`: the tag it starts from itself, None from random weights; `crop`: the
    smallest share of a face's area that a view shows, without labels; `seed` is its own, shared by all that start
    from it. With method "supervised" any value of a training may stand here."""

    method: Literal["simclr", "simsiam", "byol", "swav", "supervised"]
    datasets: Several[Name]
    batch_size: Count = 256
    weights: Text | None = None
    crop: Annotated[float, Interval(gt=0, le=1)] = 0.3
    seed: Seed = 0

    @model_validator(mode="after")
    def _reads_what_is_named(self) -> PretrainingRow:
        given = [name for name in TrainingValues.model_fields if name in self.model_fields_set]
        if "epochs" not in given:
            raise ValueError('it has no "epochs". Add how often it sees its pictures, as "epochs": 100.')
        idle = [name for name in given if name in unread(self.method)]
        why = "the training after it says that" if self.method == SUPERVISED else "not read without labels"
        if idle:
            raise ValueError(f"{', '.join(map(quote, idle))}: {why}. Leave it out.")
        return self


def values_of(base: TrainingValues, asked: PretrainingRow) -> TrainingValues:
    """What a pretraining is told: config.py's own values < those of its row, without what is not its matter."""
    rest = {name: TrainingValues.model_fields[name].default for name in unread(asked.method)}
    return chosen(base.model_copy(update=rest), asked)


def pretraining_of(weights: str | None) -> str | None:
    """The row of PRETRAININGS that "weights" of a row of MODEL_CONFIG names; None where it names none."""
    return weights.removeprefix(PREFIX) if weights is not None and weights.startswith(PREFIX) else None


def pretraining_problems(
    named: Mapping[str, str], rows: Mapping[str, PretrainingRow], datasets: Mapping[str, DatasetRow]
) -> Iterator[tuple[set[str], str]]:
    """Names of pretrainings and datasets that there are not: the settings it rests on, and the sentence.

    `named`: the pretraining that each row of MODEL_CONFIG asks for.
    """
    for model, name in named.items():
        if name not in rows:
            known = f"has only {', '.join(rows)}" if rows else "is empty"
            yield (
                {"PRETRAININGS", "MODEL_CONFIG"},
                f'MODEL_CONFIG "{model}" starts from {quote(PREFIX + name)}, but PRETRAININGS {known}.'
                f"{did_you_mean(name, rows)} Correct the name, or add the row.",
            )
    for name, row in rows.items():
        for dataset in row.datasets:
            if dataset in datasets and row.method == SUPERVISED and datasets[dataset].role == "unlabelled":
                yield (
                    {"PRETRAININGS", "DATASETS"},
                    f'PRETRAININGS "{name}" learns labels, and {quote(dataset)} has none ("role": "unlabelled"). '
                    'Name another dataset, or a method without labels such as "simclr".',
                )
            if dataset not in datasets:
                yield (
                    {"PRETRAININGS", "DATASETS"},
                    f'PRETRAININGS "{name}" names {quote(dataset)}, but DATASETS has only {", ".join(datasets)}.'
                    f"{did_you_mean(dataset, datasets)} Correct the name, or add the row.",
                )
