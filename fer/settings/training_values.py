"""What a training is told: set once for all networks, named together as a recipe, or in a network's own row.

Later ones win: the defaults here < the values of config.py < the recipe < the row of MODEL_CONFIG.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from annotated_types import Interval
from pydantic import BeforeValidator, SerializerFunctionWrapHandler, model_serializer

from fer.settings.value_types import BelowOne, Count, Fraction, OpenFraction, Pixels, Record, as_tuple

TrainSize = Annotated[tuple[OpenFraction, Pixels], BeforeValidator(as_tuple)]


class TrainingValues(Record):
    """Every value of a training, in the order of config.py, which explains each."""

    pretrained: bool = True
    freeze: Literal["none", "backbone"] = "none"
    dropout: BelowOne = 0.0

    epochs: Count = 50
    learning_rate: Annotated[float, Interval(ge=1e-8, le=10)] | Literal["auto"] = "auto"
    optimizer: Literal["adam", "adamw", "sgd"] = "adamw"
    weight_decay: Fraction = 0.01
    momentum: BelowOne = 0.9
    schedule: Literal["plateau", "onecycle", "constant"] = "plateau"
    plateau_patience: Annotated[int, Interval(ge=0, le=1_000_000)] = 3
    plateau_factor: OpenFraction = 0.5
    patience: Count | None = 10
    label_smoothing: BelowOne = 0.0
    ema_decay: BelowOne = 0.0
    train_sizes: Annotated[tuple[TrainSize, ...], BeforeValidator(as_tuple)] = ()
    select_by: Literal["macro_f1", "accuracy", "balanced_accuracy", "loss", "last"] = "macro_f1"


class SomeTrainingValues(TrainingValues):
    """A row that names some of them: the others stay what they are without it, and are left out of its dump."""

    def given(self) -> dict[str, Any]:
        """The values the row names."""
        return {name: getattr(self, name) for name in TrainingValues.model_fields if name in self.model_fields_set}

    @model_serializer(mode="wrap")
    def _only_given(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        left_out = TrainingValues.model_fields.keys() - self.model_fields_set
        return {name: value for name, value in dump(self).items() if name not in left_out}


class Recipe(SomeTrainingValues):
    """One row of RECIPES: values of a training that go together."""


def chosen(base: TrainingValues, *rows: SomeTrainingValues) -> TrainingValues:
    """The values of `base` with those that `rows` name, later rows winning; what any of them names counts as set."""
    values = {name: getattr(base, name) for name in TrainingValues.model_fields}
    said = base.model_fields_set & values.keys()
    for row in rows:
        values |= row.given()
        said |= row.given().keys()
    return TrainingValues.model_construct(_fields_set=said, **values)


# ---------------------------------------------------------------- allowed alone, but not together


def training_conflicts(v: TrainingValues) -> Iterator[tuple[set[str], str]]:
    """What contradicts in one training: the names (as in config.py) it rests on, and the sentence."""
    yield from _schedule_conflicts(v)
    yield from _size_conflicts(v)


def _size_conflicts(v: TrainingValues) -> Iterator[tuple[set[str], str]]:
    shares = [share for share, _ in v.train_sizes]
    if shares != sorted(set(shares)):
        yield (
            {"TRAIN_SIZES"},
            f"TRAIN_SIZES = {v.train_sizes}: each share of EPOCHS must be above the one before. Put them in order.",
        )


def _schedule_conflicts(v: TrainingValues) -> Iterator[tuple[set[str], str]]:
    if v.schedule == "onecycle" and "patience" not in v.model_fields_set:
        yield (
            {"SCHEDULE", "PATIENCE"},
            'SCHEDULE = "onecycle" plans the learning rate over all EPOCHS, and early stopping cuts it off. '
            f"Say which is meant: PATIENCE = None runs all of it, PATIENCE = {v.patience} may stop early.",
        )
    too_soon = v.patience is not None and v.patience <= v.plateau_patience and v.patience < v.epochs
    if v.schedule == "plateau" and too_soon:
        yield (
            {"SCHEDULE", "PATIENCE", "PLATEAU_PATIENCE", "EPOCHS"},
            f"PATIENCE = {v.patience} stops a run before PLATEAU_PATIENCE = {v.plateau_patience} lowers the "
            'learning rate. Raise PATIENCE, lower PLATEAU_PATIENCE, or set SCHEDULE = "constant".',
        )


def keeps_random_features(v: TrainingValues, has_weights: bool) -> bool:
    """Whether frozen layers would stay at their random start until the end."""
    return v.freeze != "none" and not (v.pretrained and has_weights)
