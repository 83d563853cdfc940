"""What a training is told: set once for all networks, named together as a recipe, or in a network's own row.

Later ones win: the defaults here < the values of config.py < the recipe < the row of MODEL_CONFIG.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from annotated_types import Interval, MinLen
from pydantic import AfterValidator, BeforeValidator, SerializerFunctionWrapHandler, model_serializer

from fer.settings.messages import quote
from fer.settings.value_types import BelowOne, Count, Fraction, OpenFraction, Pixels, Record, as_tuple

USUAL_OPTIMIZERS = ("adam", "adamw", "sgd")
# Of timm: those that need no other package and no second backward pass.
OPTIMIZERS = (
    *USUAL_OPTIMIZERS, "nadamw", "radamw", "adamp", "adabelief", "adafactor", "adagrad", "adan", "adopt",
    "lamb", "laprop", "lars", "lion", "madgrad", "mars", "muon", "novograd", "rmsprop",
)  # fmt: skip


def _freezing(value: str | dict[str, int]) -> str | dict[str, int]:
    """Texts that FREEZE knows, or a table of one entry that says how much at the end trains."""
    if isinstance(value, str):
        good = value in ("none", "backbone")
    else:
        good = len(value) == 1 and set(value) <= {"last_layers", "last_blocks"} and min(value.values()) > 0
    if not good:
        raise ValueError(
            'write "none", "backbone" for all but the head, or what trains beside the head: {"last_layers": 20} or '
            '{"last_blocks": 2}, from 1.'
        )
    return value


Freezing = Annotated[str | dict[str, int], AfterValidator(_freezing)]
Width = Annotated[int, Interval(ge=1, le=65_536)]
Rate = Annotated[float, Interval(ge=1e-8, le=10)]
TrainSize = Annotated[tuple[OpenFraction, Pixels], BeforeValidator(as_tuple)]


class Stage(Record):
    """One stage of a training: how long, what is frozen, and the learning rate it begins with."""

    epochs: Count
    freeze: Freezing
    learning_rate: Rate


class TrainingValues(Record):
    """Every value of a training, in the order of config.py, which explains each."""

    pretrained: bool = True
    train_share: Annotated[float, Interval(gt=0, le=1)] = 1.0
    freeze: Freezing = "none"
    freeze_batch_norm: bool = False
    sync_batch_norm: bool = True
    stages: Annotated[tuple[Stage, ...], BeforeValidator(as_tuple)] = ()
    dropout: BelowOne = 0.0
    drop_path: BelowOne = 0.0
    interpolation: Literal["bilinear", "model"] = "bilinear"
    head: Literal["linear", "mlp", "logistic", "svm", "xgboost"] = "linear"
    head_widths: Annotated[tuple[Width, ...], BeforeValidator(as_tuple), MinLen(1)] = (512, 128)
    head_batch_norm: bool = True
    head_dropout: BelowOne = 0.3
    head_weight_decay: Fraction | None = None
    head_c: Annotated[float, Interval(gt=0, le=1_000_000)] = 1.0

    epochs: Count = 50
    learning_rate: Rate | Literal["auto"] = "auto"
    layer_decay: Annotated[float, Interval(gt=0, le=1)] = 1.0
    optimizer: Literal[OPTIMIZERS] = "adamw"  # type: ignore[valid-type]
    weight_decay: Fraction = 0.01
    weight_decay_on: Literal["all", "weights"] = "all"
    momentum: BelowOne = 0.9
    gradient_clip: Annotated[float, Interval(gt=0, le=1_000_000)] | None = None
    schedule: Literal["plateau", "onecycle", "cosine", "constant"] = "plateau"
    warmup_epochs: Annotated[int, Interval(ge=0, le=1_000_000)] = 0
    plateau_patience: Annotated[int, Interval(ge=0, le=1_000_000)] = 3
    plateau_factor: OpenFraction = 0.5
    patience: Count | None = 10
    stop_by: Literal["loss", "accuracy", "macro_f1"] = "loss"
    label_smoothing: BelowOne = 0.0
    soft_labels: bool = False
    loss: Literal["cross_entropy", "focal", "logit_adjustment", "balanced_softmax"] = "cross_entropy"
    focal_gamma: Annotated[float, Interval(gt=0, le=10)] = 2.0
    logit_tau: Annotated[float, Interval(gt=0, le=10)] = 1.0
    effective_beta: OpenFraction = 0.999
    mixup: Annotated[float, Interval(ge=0, le=10)] = 0.0
    cutmix: Annotated[float, Interval(ge=0, le=10)] = 0.0
    doubtful: Literal["keep", "drop"] | OpenFraction = "keep"
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
    yield from _stage_conflicts(v)
    yield from _size_conflicts(v)
    yield from _fitted_once_conflicts(v)


def _size_conflicts(v: TrainingValues) -> Iterator[tuple[set[str], str]]:
    shares = [share for share, _ in v.train_sizes]
    if shares != sorted(set(shares)):
        yield (
            {"TRAIN_SIZES"},
            f"TRAIN_SIZES = {v.train_sizes}: each share of EPOCHS must be above the one before. Put them in order.",
        )


def _schedule_conflicts(v: TrainingValues) -> Iterator[tuple[set[str], str]]:
    if v.schedule in ("onecycle", "cosine") and "patience" not in v.model_fields_set:
        yield (
            {"SCHEDULE", "PATIENCE"},
            f'SCHEDULE = "{v.schedule}" plans the learning rate over all EPOCHS, and early stopping cuts it off. '
            f"Say which is meant: PATIENCE = None runs all of it, PATIENCE = {v.patience} may stop early.",
        )
    too_soon = v.patience is not None and v.patience <= v.plateau_patience and v.patience < v.epochs
    if v.schedule == "plateau" and too_soon:
        yield (
            {"SCHEDULE", "PATIENCE", "PLATEAU_PATIENCE", "EPOCHS"},
            f"PATIENCE = {v.patience} stops a run before PLATEAU_PATIENCE = {v.plateau_patience} lowers the "
            'learning rate. Raise PATIENCE, lower PLATEAU_PATIENCE, or set SCHEDULE = "constant".',
        )


def _stage_conflicts(v: TrainingValues) -> Iterator[tuple[set[str], str]]:
    epochs = sum(stage.epochs for stage in v.stages)
    if v.stages and epochs != v.epochs:
        yield (
            {"STAGES", "EPOCHS"},
            f"STAGES take {epochs} epochs together and EPOCHS = {v.epochs}. Set EPOCHS = {epochs}, or change a stage.",
        )
    if v.stages and v.freeze != "none":
        yield (
            {"STAGES", "FREEZE"},
            f'STAGES say what is frozen, and FREEZE = {v.freeze!r} says it too. Set FREEZE = "none".',
        )
    shortest = min((stage.epochs for stage in v.stages), default=v.epochs)
    if v.schedule == "cosine" and v.warmup_epochs >= shortest:
        yield (
            {"WARMUP_EPOCHS", "SCHEDULE", "EPOCHS", "STAGES"},
            f"WARMUP_EPOCHS = {v.warmup_epochs} leaves nothing of {shortest} epochs for the cosine. Lower it.",
        )
    if v.learning_rate == "auto" and v.optimizer not in USUAL_OPTIMIZERS and not v.stages:
        yield (
            {"OPTIMIZER", "LEARNING_RATE"},
            f'LEARNING_RATE = "auto" is known for {", ".join(USUAL_OPTIMIZERS)}, not for OPTIMIZER = '
            f'"{v.optimizer}". Write a number.',
        )


CLASSIC_HEADS = ("logistic", "svm", "xgboost")  # fitted once on frozen features: no epochs, no gradients
KNOW_SHARES = ("logit_adjustment", "balanced_softmax")  # losses that correct for the shares of the classes


def _fitted_once_conflicts(v: TrainingValues) -> Iterator[tuple[set[str], str]]:
    plain = {"loss": "cross_entropy", "mixup": 0.0, "cutmix": 0.0, "soft_labels": False}
    for name, value in plain.items() if v.head in CLASSIC_HEADS else ():
        if (given := getattr(v, name)) != value:
            yield (
                {"HEAD", name.upper()},
                f'HEAD = "{v.head}" is fitted once, on pictures as they are and by a loss of its own: '
                f"{name.upper()} = {quote(given)} would not be read. Set it to {quote(value)}, or another HEAD.",
            )


def balance_conflicts(
    balances: Mapping[str, str], trainings: Mapping[str, TrainingValues]
) -> Iterator[tuple[set[str], str]]:
    """What contradicts BALANCE (`balances`: by variant in use) in the training of each network."""
    where = {"BALANCE", "VARIANTS", "MODEL_CONFIG", "RECIPES", "RECIPE"}
    balanced = [f'{variant}: "{balance}"' for variant, balance in balances.items() if balance != "none"]
    twice = {name: v.loss for name, v in trainings.items() if v.loss in KNOW_SHARES}
    if balanced and twice:
        yield (
            where | {"LOSS"},
            f'LOSS = "{next(iter(twice.values()))}" ({", ".join(twice)}) corrects for the shares of the classes, and '
            f'BALANCE ({", ".join(balanced)}) changes them too. Set BALANCE = "none", or another LOSS.',
        )
    classic = [name for name, v in trainings.items() if v.head in CLASSIC_HEADS]
    if classic and "weighted_sampler" in balances.values():
        yield (
            where | {"HEAD"},
            f'BALANCE = "weighted_sampler" draws rows anew in every epoch, and the head of {", ".join(classic)} is '
            'fitted in none. Set BALANCE = "oversample", or another HEAD.',
        )


def mixing_conflicts(
    mixings: tuple[str, ...], trainings: Mapping[str, TrainingValues]
) -> Iterator[tuple[set[str], str]]:
    """What contradicts MIXING where several datasets are trained on together."""
    classic = [name for name, v in trainings.items() if v.head in CLASSIC_HEADS]
    if classic and "balanced" in mixings:
        yield (
            {"MIXING", "EXPERIMENTS", "HEAD", "MODEL_CONFIG", "RECIPES", "RECIPE"},
            f'MIXING = "balanced" draws as many rows from each dataset in every epoch, and the head of '
            f'{", ".join(classic)} is fitted in none: it sees every row once. Set MIXING = "natural", or another HEAD.',
        )


def keeps_random_features(v: TrainingValues, has_weights: bool) -> bool:
    """Whether frozen layers would stay at their random start until the end."""
    frozen_to_the_end = v.stages[-1].freeze if v.stages else v.freeze
    frozen = frozen_to_the_end != "none" or v.head in CLASSIC_HEADS
    return frozen and not (v.pretrained and has_weights)
