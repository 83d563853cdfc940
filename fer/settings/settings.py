"""The values of config.py, checked once and frozen into one typed object.

`load_settings` runs a file of plain upper-case values, applies the `--set` overrides and returns `Settings`,
or raises one `InputError` that lists every problem: name as in config.py, value, what is allowed, the fix.
What is allowed is written once, as the type of the field; `wording` makes the sentences from the types.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias, TypeVar, cast, get_args

from annotated_types import Interval, MinLen
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from fer.layouts.emotions import EMOTIONS as EMOTIONS
from fer.layouts.layouts import LAYOUTS
from fer.metrics.metrics import RESAMPLED
from fer.settings.config_file import apply_override, read_config
from fer.settings.messages import did_you_mean, problems_of, quote
from fer.views.policies import TTA_POLICIES
from utils import InputError

PROJECT = Path(__file__).resolve().parents[2]
LONGEST_NAME = 255  # bytes of one name in a path, on every common file system
T = TypeVar("T")

# ---------------------------------------------------------------- types and what they allow


def _as_tuple(value: Any) -> Any:
    """Lists, and a single value whose brackets or comma were forgotten, are taken as tuples."""
    if isinstance(value, list):
        return tuple(value)
    return (value,) if isinstance(value, str | int) else value


def _unique(values: tuple[T, ...]) -> tuple[T, ...]:
    twice = sorted({quote(value) for value in values if values.count(value) > 1})
    if twice:
        raise ValueError(f"{', '.join(twice)} stands there more than once. Name each once.")
    return values


def _folder_name(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,62}[A-Za-z0-9])?", name) or "__" in name:
        raise ValueError(
            f"{quote(name)} becomes part of folder names. Use at most 64 letters, digits and . _ - "
            'inside, without "__". A library\'s longer name goes into the row: "architecture": "…".'
        )
    return name


def _no_twin_folders(table: dict[str, T]) -> dict[str, T]:
    lowered = [name.lower() for name in table]
    twins = [name for name in table if lowered.count(name.lower()) > 1]
    if twins:
        raise ValueError(f"{', '.join(twins)} differ in upper and lower case only. Rename one: some disks mix them.")
    return table


def _json_able(options: dict[str, Any]) -> dict[str, Any]:
    try:
        json.dumps(options, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ValueError(f"only numbers, texts, True, False, None, lists and tables can go there ({error}).") from error
    return options


def _not_blank(text: str) -> str:
    if not text.strip():
        raise ValueError("it is empty. Write a name.")
    return text


def _usable_path(text: str) -> str:
    """What no file system takes, or no file of results could hold, is refused before it is met as an error."""
    if "\0" in text or text.encode(errors="replace").decode() != text:
        raise ValueError("a path is UTF-8 text without zero bytes. Rename the folder, or write its name anew.")
    longest = max(text.split("/"), key=lambda part: len(part.encode()))
    if len(longest.encode()) > LONGEST_NAME:
        raise ValueError(
            f"{quote(longest[:20])}… has {len(longest.encode())} bytes; a name may have {LONGEST_NAME}. Shorten it."
        )
    try:
        Path(text).expanduser()
    except RuntimeError as error:
        raise ValueError("there is no such user here. Write the path out, or ~/ for your own folder.") from error
    return text


def _pattern_with_group(text: str) -> str:
    try:
        groups = re.compile(text).groups
    except re.error as error:
        raise ValueError(f"it is not a regular expression ({error}).") from error
    if groups != 1:
        raise ValueError(r"it needs exactly one group in round brackets that is the person, as in (S\d+)_.")
    return text


def _device_name(name: str) -> str:
    if not re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", name):
        raise ValueError('write "auto", "cpu", "mps", "cuda", or one GPU of several as "cuda:1".')
    return name


Several = Annotated[tuple[T, ...], BeforeValidator(_as_tuple), MinLen(1), AfterValidator(_unique)]
Name = Annotated[str, AfterValidator(_folder_name)]
Table = Annotated[dict[Name, T], MinLen(1), AfterValidator(_no_twin_folders)]
Text = Annotated[str, AfterValidator(_not_blank)]
PathText = Annotated[str, AfterValidator(_not_blank), AfterValidator(_usable_path)]
Device = Annotated[str, AfterValidator(_device_name)]
Options = Annotated[dict[str, Any], AfterValidator(_json_able)]

Count = Annotated[int, Interval(ge=1, le=1_000_000)]
Seed = Annotated[int, Interval(ge=0, le=2**31 - 1)]
Pixels = Annotated[int, Interval(ge=16, le=1024)]
Share = Annotated[float, Interval(gt=0, lt=0.5)]  # of a dataset, put aside
Fraction = Annotated[float, Interval(ge=0, le=1)]
OpenFraction = Annotated[float, Interval(gt=0, lt=1)]
BelowOne = Annotated[float, Interval(ge=0, lt=1)]
Strength = Annotated[float, Interval(ge=0, le=2)]

if TYPE_CHECKING:
    Family: TypeAlias = str
    TtaPolicy: TypeAlias = str
    Metric: TypeAlias = str
else:  # whatever is registered: an entry there is all that a new one needs
    Family = Literal[tuple(dict.fromkeys(layout.family for layout in LAYOUTS.values()))]
    TtaPolicy = Literal[tuple(TTA_POLICIES)]
    Metric = Literal[RESAMPLED]
Variant = Literal["raw", "preprocessed", "augmented"]
TrainSize = Annotated[tuple[OpenFraction, Pixels], BeforeValidator(_as_tuple)]
Experiment = Literal["individual", "combined", "leave_one_out"]
Balance = Literal["none", "oversample", "undersample", "weights"]
Comparison = Literal["models", "variants", "training sets", "ensembles", "TTA"]
Augmentation = Literal["none", "light", "strong"]


# ---------------------------------------------------------------- the records


def _strategies(value: Any) -> Any:
    """The names of older scripts are understood: "merged" is "combined", "both" is it and "individual"."""
    names = {"merged": ("combined",), "both": ("individual", "combined")}
    given = _as_tuple(value)
    if not isinstance(given, tuple):
        return value
    return tuple(part for one in given for part in (names.get(one, (one,)) if isinstance(one, str) else (one,)))


class _Record(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True, extra="forbid", allow_inf_nan=False)


class DatasetRow(_Record):
    """One row of DATASETS: where a dataset lies and how its pictures hold faces."""

    path: PathText
    layout: Family
    faces: Literal["whole", "box", "cropped"]
    min_confidence: Annotated[float, Interval(ge=0, le=1000)] = 0.0
    subject: Annotated[str, AfterValidator(_pattern_with_group)] | None = None
    sample: bool = False

    @model_validator(mode="after")
    def _boxes_exist(self) -> DatasetRow:
        with_boxes = [layout.family for layout in LAYOUTS.values() if layout.boxes]
        if self.layout not in with_boxes and (self.faces == "box" or self.min_confidence > 0):
            raise ValueError(
                f"boxes and their confidence come with layout {' or '.join(map(quote, with_boxes))} only, "
                f"not {quote(self.layout)}. "
                'Set "faces" to "whole" or "cropped" and leave out "min_confidence".'
            )
        return self


class ModelRow(_Record):
    """One row of MODEL_CONFIG. `weights` None with no `weights_file`: this row starts from random weights.

    Both: the file holds the weights of that tag, and is read in place of fetching them.
    """

    batch_size: Count
    weights: Text | None = None
    input_size: Pixels
    channels: Literal[3, 1] = 3
    architecture: Text | None = None
    weights_file: PathText | None = None
    options: Options = {}


def config_name(field: str) -> str:
    """The name in config.py of a field of `Settings`. (Pydantic keeps `model_config` for itself.)"""
    return "MODEL_CONFIG" if field == "models" else field.upper()


class Settings(_Record):
    """Every value of config.py, in its order; the defaults are those of the shipped file.

    config.py explains each value. Paths are texts as written there: `resolve` makes them absolute.
    """

    model_config = ConfigDict(alias_generator=config_name, populate_by_name=True)

    active_datasets: Several[Name] = ("rafdb", "expw", "fer2013")
    datasets: Table[DatasetRow] = {
        "rafdb": DatasetRow(path="datasets/RAF-DB", layout="rafdb", faces="whole"),
        "expw": DatasetRow(path="datasets/ExpW", layout="expw", faces="box"),
        "fer2013": DatasetRow(path="datasets/FER2013", layout="fer2013", faces="cropped"),
    }
    datasets_dir: PathText = "datasets"
    output_dir: PathText = "saidas"

    split_seed: Seed = 42
    val_fraction: Share = 0.1
    test_fraction: Share = 0.2
    copies: Literal["drop", "keep", "drop_random"] = "drop"
    conflicts: Literal["keep", "drop", "majority"] = "keep"
    splits: Literal["official", "kfold", "repeated", "subjects"] = "official"
    folds: Annotated[int, Interval(ge=2, le=100)] = 5
    repeats: Annotated[int, Interval(ge=1, le=100)] = 1
    limit_per_split: Annotated[int, Interval(ge=len(EMOTIONS), le=10_000_000)] | None = None

    variants: Several[Variant] = ("preprocessed", "augmented")
    test_variants: Several[Literal["same", "raw", "preprocessed"]] = ("same",)
    experiments: Annotated[Several[Experiment], BeforeValidator(_strategies)] = ("individual", "combined")
    combinations: Annotated[tuple[Several[Name], ...], BeforeValidator(_as_tuple)] = ()
    mixing: Several[Literal["natural", "balanced"]] = ("natural",)
    seeds: Several[Seed] = (42,)

    face_size: Pixels = 224
    crop_margin: Fraction = 0.2
    align: bool = True
    grayscale: bool = True
    face_policy: Literal["box", "largest", "central"] = "box"
    no_face: Literal["keep", "reject"] = "keep"
    detection_threshold: OpenFraction = 0.9
    save_format: Literal["png", "jpeg"] = "png"

    balance: dict[Variant, Balance] = {"raw": "none", "preprocessed": "none", "augmented": "oversample"}
    online_augmentation: dict[Variant, Augmentation] = {
        "raw": "none",
        "preprocessed": "none",
        "augmented": "strong",
    }
    light_strength: Strength = 1.0
    strong_strength: Strength = 1.0
    light_probability: Fraction = 1.0
    strong_probability: Fraction = 0.8
    augment_engine: Literal["albumentations", "batch"] = "albumentations"

    models: Table[ModelRow] = {
        "resnet50": ModelRow(batch_size=64, weights="a1_in1k", input_size=224),
        "efficientnet_b0": ModelRow(batch_size=64, weights="ra_in1k", input_size=224),
        "densenet121": ModelRow(batch_size=48, weights="ra_in1k", input_size=224),
        "vit_small_patch16_224": ModelRow(batch_size=64, weights="augreg_in21k_ft_in1k", input_size=224),
    }
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
    train_sizes: Annotated[tuple[TrainSize, ...], BeforeValidator(_as_tuple)] = ()
    select_by: Literal["macro_f1", "accuracy", "balanced_accuracy", "loss", "last"] = "macro_f1"
    oracle: bool = False

    tta: Several[TtaPolicy] = ("none", "three_views")
    primary_metric: Metric = "macro_f1"
    primary_comparisons: Several[Comparison] = ("models", "variants", "training sets")
    evaluate_test: bool = True
    plot_format: Literal["png", "pdf", "svg"] = "png"

    tensorboard: bool = False

    device: Device = "auto"
    workers: Annotated[int, Interval(ge=0, le=256)] | Literal["auto"] = "auto"
    amp: Literal["auto", "off", "on", "bf16", "fp16"] = "auto"

    @field_validator("balance", "online_augmentation", mode="before")
    @classmethod
    def _for_each_variant(cls, value: Any, info: ValidationInfo) -> Any:
        """One text means every variant; a table that names some leaves the others at their defaults."""
        if isinstance(value, str):
            return dict.fromkeys(get_args(Variant), value)
        return cls.model_fields[str(info.field_name)].default | value if isinstance(value, dict) else value

    @model_validator(mode="after")
    def _agree(self, info: ValidationInfo) -> Settings:
        broken = (info.context or {}).get("broken", set())
        problems = [text for names, text in _conflicts(self) if broken.isdisjoint(names)]
        if problems:
            raise ValueError("\n".join(problems))
        return self

    def resolve(self, path: str | Path) -> Path:
        """An absolute path; a relative one starts at the project's folder, wherever the command was given."""
        return PROJECT / Path(path).expanduser()

    @property
    def output_path(self) -> Path:
        """OUTPUT_DIR, absolute."""
        return self.resolve(self.output_dir)

    @property
    def datasets_path(self) -> Path:
        """DATASETS_DIR, absolute: where prepared pictures are written."""
        return self.resolve(self.datasets_dir)

    def balance_of(self, variant: str) -> Balance:
        """How the training rows of a variant are balanced."""
        return self.balance[cast(Variant, variant)]

    def augmentation_of(self, variant: str) -> Augmentation:
        """Which augmentation runs online while a variant is trained."""
        return self.online_augmentation[cast(Variant, variant)]

    def describe(self) -> dict[str, Any]:
        """JSON-able dump under the names and in the order of config.py, rows written out in full."""
        return self.model_dump(mode="json", by_alias=True)


def _conflicts(s: Settings) -> Iterator[tuple[set[str], str]]:
    """What is allowed alone but not together: the names (as in config.py) it rests on, and the sentence."""
    for name in s.active_datasets:
        if name not in s.datasets:
            yield (
                {"ACTIVE_DATASETS", "DATASETS"},
                f"ACTIVE_DATASETS names {quote(name)}, but DATASETS has only {', '.join(s.datasets)}."
                f"{did_you_mean(name, s.datasets)} Correct the name, or add the row.",
            )
    for names in s.combinations:
        absent = [name for name in names if name not in s.active_datasets]
        if (absent or len(names) < 2) and len(s.active_datasets) > 1:  # one alone: nothing to combine
            yield (
                {"COMBINATIONS", "ACTIVE_DATASETS"},
                f"COMBINATIONS holds {names}: each needs two or more of {', '.join(s.active_datasets)}.",
            )
    yield from _schedule_conflicts(s)
    yield from _size_conflicts(s)
    if s.oracle and not s.evaluate_test:
        yield (
            {"ORACLE", "EVALUATE_TEST"},
            "ORACLE = True chooses an epoch by the test set, EVALUATE_TEST = False leaves that set unread. "
            "Set one of them to the other value.",
        )
    random_start = [name for name, row in s.models.items() if row.weights is None and row.weights_file is None]
    unsaid = [name for name in random_start if s.pretrained and "weights" not in s.models[name].model_fields_set]
    if unsaid:
        yield (
            {"PRETRAINED", "MODEL_CONFIG"},
            f"MODEL_CONFIG: {', '.join(unsaid)} should start from pretrained weights (PRETRAINED = True), but no row "
            'says which. Add "weights": the tag, "weights_file": a file, or "weights": None for a random start.',
        )
    if s.freeze == "backbone" and (random_start or not s.pretrained):
        who = ", ".join(random_start) if s.pretrained else "every model (PRETRAINED = False)"
        yield (
            {"FREEZE", "PRETRAINED", "MODEL_CONFIG"},
            f'FREEZE = "backbone" would keep random features for ever in {who}. '
            'Set FREEZE = "none", or give these models weights.',
        )


def _size_conflicts(s: Settings) -> Iterator[tuple[set[str], str]]:
    shares = [share for share, _ in s.train_sizes]
    if shares != sorted(set(shares)):
        yield (
            {"TRAIN_SIZES"},
            f"TRAIN_SIZES = {s.train_sizes}: each share of EPOCHS must be above the one before. Put them in order.",
        )


def _schedule_conflicts(s: Settings) -> Iterator[tuple[set[str], str]]:
    if s.schedule == "onecycle" and "patience" not in s.model_fields_set:
        yield (
            {"SCHEDULE", "PATIENCE"},
            'SCHEDULE = "onecycle" plans the learning rate over all EPOCHS, and early stopping cuts it off. '
            f"Say which is meant: PATIENCE = None runs all of it, PATIENCE = {s.patience} may stop early.",
        )
    too_soon = s.patience is not None and s.patience <= s.plateau_patience and s.patience < s.epochs
    if s.schedule == "plateau" and too_soon:
        yield (
            {"SCHEDULE", "PATIENCE", "PLATEAU_PATIENCE", "EPOCHS"},
            f"PATIENCE = {s.patience} stops a run before PLATEAU_PATIENCE = {s.plateau_patience} lowers the "
            'learning rate. Raise PATIENCE, lower PLATEAU_PATIENCE, or set SCHEDULE = "constant".',
        )


# ---------------------------------------------------------------- from a file to Settings


def load_settings(path: Path | None = None, overrides: Sequence[str] = ()) -> Settings:
    """Settings from a python file of upper-case values (config.py by default) and `KEY=VALUE` overrides.

    What the file does not name has the default of `Settings`, so a study file says only what differs.
    Dotted keys reach into tables: `MODEL_CONFIG.resnet50.batch_size=8`.
    Raises InputError with every problem.
    """
    defaults = Settings().describe()
    values, problems = read_config(PROJECT / "config.py" if path is None else path, defaults)
    problems += filter(None, [apply_override(values, override, defaults) for override in overrides])
    try:
        settings = check_settings(values)
    except InputError as error:
        raise InputError(problems + error.problems) from None
    if problems:
        raise InputError(problems)
    return settings


def check_settings(values: Mapping[str, Any]) -> Settings:
    """Settings from values under their names in config.py. Raises InputError with every problem."""
    try:
        return Settings.model_validate(dict(values))
    except ValidationError as error:
        problems = problems_of(error, values, Settings)
        broken = {str(item["loc"][0]) for item in error.errors() if item["loc"]}
    if broken:  # pydantic stops before the values are compared with each other: compare the good ones
        good = {name: value for name, value in values.items() if name not in broken}
        try:
            Settings.model_validate(good, context={"broken": broken})
        except ValidationError as error:
            problems += problems_of(error, values, Settings)
    raise InputError(problems)
