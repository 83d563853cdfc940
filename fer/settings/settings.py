"""The values of config.py, checked once and frozen into one typed object.

`load_settings` runs a file of plain upper-case values, applies the `--set` overrides and returns `Settings`,
or raises one `InputError` that lists every problem: name as in config.py, value, what is allowed, the fix.
What is allowed is written once, as the type of the field; `wording` makes the sentences from the types.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias, cast, get_args

from annotated_types import Interval
from pydantic import (
    BeforeValidator,
    ConfigDict,
    ValidationError,
    ValidationInfo,
    field_serializer,
    field_validator,
    model_validator,
)

from fer.layouts.emotions import EMOTIONS as EMOTIONS
from fer.metrics.metrics import counted
from fer.settings.augmentation_rows import AUGMENTATIONS, AugmentationRow, unknown_augmentations
from fer.settings.config_file import apply_override, read_config
from fer.settings.dataset_row import DatasetRow as DatasetRow
from fer.settings.dataset_row import class_problems, role_problems, same_pictures, soft_label_problems
from fer.settings.grid import Point, grid_problems, own_point, points_of, with_point, written_out
from fer.settings.messages import did_you_mean, problems_of, quote
from fer.settings.pretraining_row import PretrainingRow, pretraining_of, pretraining_problems, values_of
from fer.settings.recipes import RECIPES
from fer.settings.search import Search, rows_in, search_conflicts, search_problems
from fer.settings.training_values import (
    CLASSIC_HEADS,
    Recipe,
    SomeTrainingValues,
    TrainingValues,
    balance_conflicts,
    chosen,
    keeps_random_features,
    mixing_conflicts,
    training_conflicts,
)
from fer.settings.value_types import (
    Axes,
    Count,
    Device,
    Fraction,
    Name,
    OpenFraction,
    Options,
    PathText,
    Pixels,
    Record,
    Seed,
    Several,
    Share,
    Table,
    Text,
    as_tuple,
)
from fer.views.policies import TTA_POLICIES
from utils import InputError, without_password

PROJECT = Path(__file__).resolve().parents[2]

if TYPE_CHECKING:
    TtaPolicy: TypeAlias = str
    Metric: TypeAlias = str
else:  # whatever is registered: an entry there is all that a new one needs
    TtaPolicy = Literal[tuple(TTA_POLICIES)]
    Metric = Literal[counted()]
Variant = Literal["raw", "preprocessed", "augmented"]
Experiment = Literal["individual", "combined", "leave_one_out"]
Balance = Literal["none", "oversample", "undersample", "weights", "effective_number", "weighted_sampler"]
Comparison = Literal["models", "variants", "training sets", "ensembles", "TTA"]


# ---------------------------------------------------------------- the records


def _strategies(value: Any) -> Any:
    """The names of older scripts are understood: "merged" is "combined", "both" is it and "individual"."""
    names = {"merged": ("combined",), "both": ("individual", "combined")}
    given = as_tuple(value)
    if not isinstance(given, tuple):
        return value
    return tuple(part for one in given for part in (names.get(one, (one,)) if isinstance(one, str) else (one,)))


class ModelRow(SomeTrainingValues):
    """One row of MODEL_CONFIG. `weights`: a tag, or "pretraining:" and the name of a row of PRETRAININGS; None with
    no `weights_file`: this row starts from random weights.

    Both: the file holds the weights of that tag, and is read in place of fetching them. Any value of a training
    may stand here too, for this network alone; `recipe` names a row of RECIPES for it.
    """

    batch_size: Count
    weights: Text | None = None
    input_size: Pixels
    channels: Literal[3, 1] = 3
    architecture: Text | None = None
    weights_file: PathText | None = None
    options: Options = {}
    recipe: Text | None = None


def config_name(field: str) -> str:
    """The name in config.py of a field of `Settings`. (Pydantic keeps `model_config` for itself.)"""
    return "MODEL_CONFIG" if field == "models" else field.upper()


class _Data(Record):
    """Values from the datasets to the rows of networks."""

    active_datasets: Several[Name] = ("rafdb", "expw", "fer2013")
    datasets: Table[DatasetRow] = {
        "rafdb": DatasetRow(path="datasets/RAF-DB", layout="rafdb", faces="whole"),
        "expw": DatasetRow(path="datasets/ExpW", layout="expw", faces="box"),
        "fer2013": DatasetRow(path="datasets/FER2013", layout="fer2013", faces="cropped"),
    }
    classes: Literal[7, 8] = 7
    datasets_dir: PathText = "datasets"
    output_dir: PathText = "saidas"

    split_seed: Seed = 42
    val_fraction: Share = 0.1
    test_fraction: Share = 0.2
    copies: Literal["drop", "drop_near", "keep", "drop_random"] = "drop"
    conflicts: Literal["keep", "drop", "majority"] = "keep"
    splits: Literal["official", "kfold", "repeated", "subjects"] = "official"
    folds: Annotated[int, Interval(ge=2, le=100)] = 5
    repeats: Annotated[int, Interval(ge=1, le=100)] = 1
    limit_per_split: Annotated[int, Interval(ge=len(EMOTIONS), le=10_000_000)] | None = None
    label_noise: Text | None = None
    noise_folds: Annotated[int, Interval(ge=2, le=100)] = 5

    variants: Several[Variant] = ("preprocessed", "augmented")
    test_variants: Several[Literal["same", "raw", "preprocessed"]] = ("same",)
    cross_test: Literal["test", "all"] = "test"
    experiments: Annotated[Several[Experiment], BeforeValidator(_strategies)] = ("individual", "combined")
    combinations: Annotated[tuple[Several[Name], ...], BeforeValidator(as_tuple)] = ()
    mixing: Several[Literal["natural", "balanced"]] = ("natural",)
    seeds: Several[Seed] = (42,)
    grid: Axes = {}
    search: Search = {}
    search_trials: Count = 50
    search_storage: Text | None = None

    face_size: Pixels = 224
    crop_margin: Fraction = 0.2
    align: bool = True
    grayscale: bool = True
    contrast: Literal["as_delivered", "equalised"] = "as_delivered"
    face_policy: Literal["box", "largest", "central"] = "box"
    no_face: Literal["keep", "reject"] = "keep"
    detection_threshold: OpenFraction = 0.9
    save_format: Literal["png", "jpeg"] = "png"

    balance: dict[Variant, Balance] = {"raw": "none", "preprocessed": "none", "augmented": "oversample"}
    augmentations: dict[Name, AugmentationRow] = AUGMENTATIONS
    online_augmentation: dict[Variant, Text] = {"raw": "none", "preprocessed": "none", "augmented": "strong"}
    offline_augmentation: Text = "light"
    augment_engine: Literal["albumentations", "batch"] = "albumentations"

    models: Table[ModelRow] = {
        "resnet50": ModelRow(batch_size=64, weights="a1_in1k", input_size=224),
        "efficientnet_b0": ModelRow(batch_size=64, weights="ra_in1k", input_size=224),
        "densenet121": ModelRow(batch_size=48, weights="ra_in1k", input_size=224),
        "vit_small_patch16_224": ModelRow(batch_size=64, weights="augreg_in21k_ft_in1k", input_size=224),
    }
    recipes: dict[Name, Recipe] = RECIPES
    recipe: Text | None = None
    pretrainings: dict[Name, PretrainingRow] = {}


class Settings(TrainingValues, _Data):
    """Every value of config.py, in its order; the defaults are those of the shipped file.

    config.py explains each value. Paths are texts as written there: `resolve` makes them absolute.
    """

    model_config = ConfigDict(alias_generator=config_name, populate_by_name=True)

    oracle: bool = False

    tta: Several[TtaPolicy] = ("none", "three_views")
    primary_metric: Metric = "macro_f1"
    primary_comparisons: Several[Comparison] = ("models", "variants", "training sets")
    evaluate_test: bool = True
    plot_format: Literal["png", "pdf", "svg"] = "png"
    figures: Literal["key", "all"] = "key"

    grad_cam: bool = False
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

    @field_validator("recipes", "augmentations", mode="before")
    @classmethod
    def _beside_the_shipped(cls, value: Any, info: ValidationInfo) -> Any:
        """A table of one's own stands beside the shipped rows; a row of the same name replaces one."""
        return cls.model_fields[str(info.field_name)].default | value if isinstance(value, dict) else value

    @field_serializer("search_storage", when_used="json")
    def _without_password(self, value: str | None) -> str | None:
        """What is written and printed of SEARCH_STORAGE, in run.json, study.json and the report."""
        return value and without_password(value)

    @model_validator(mode="after")
    def _agree(self, info: ValidationInfo) -> Settings:
        broken = (info.context or {}).get("broken", set())
        if self.grid and not broken:  # its points are what will be trained
            both = search_conflicts(self.search, self.grid, self.oracle, self.search_storage)
            problems = [text for _, text in both] + grid_problems(self.grid, self.at)
        else:
            problems = [text for names, text in _conflicts(self) if broken.isdisjoint(names)]
            if self.search and not broken:
                problems = list(dict.fromkeys([*problems, *search_problems(self.search, self.at)]))
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

    def active(self, *roles: str) -> tuple[str, ...]:
        """The active datasets of these roles, in order."""
        return tuple(name for name in self.active_datasets if self.datasets[name].role in roles)

    def training_of(self, model: str) -> TrainingValues:
        """What the training of a row of MODEL_CONFIG is told: these values < the recipe's < the row's own."""
        row = self.models[model]
        name = row.recipe or self.recipe
        return chosen(self, *([self.recipes[name]] if name is not None else []), row)

    def pretraining_of(self, model: str) -> str | None:
        """The row of PRETRAININGS that a row of MODEL_CONFIG starts from; None where it starts otherwise."""
        return pretraining_of(self.models[model].weights) if self.training_of(model).pretrained else None

    def pretraining_values(self, name: str) -> TrainingValues:
        """What a row of PRETRAININGS is told: these values < the row's own."""
        return values_of(self, self.pretrainings[name])

    @property
    def pretraining_datasets(self) -> tuple[str, ...]:
        """The datasets that pretrainings in use learn from and no experiment does, in order."""
        used = [name for model in self.models if (name := self.pretraining_of(model)) is not None]
        names = dict.fromkeys(dataset for name in used for dataset in self.pretrainings[name].datasets)
        return tuple(name for name in names if name not in self.active_datasets)

    def balance_of(self, variant: str) -> Balance:
        """How the training rows of a variant are balanced."""
        return self.balance[cast(Variant, variant)]

    def online_row(self, variant: str) -> AugmentationRow | None:
        """What changes the pictures of a variant while it is trained; None for "none"."""
        return self.augmentations.get(self.online_augmentation[cast(Variant, variant)])

    def offline_row(self) -> AugmentationRow:
        """What changes the extra copies on disk."""
        return self.augmentations[self.offline_augmentation]

    def points(self) -> list[Point]:
        """The points of GRID, each with a value for every axis; [] where there is none."""
        return points_of(self.grid)

    def own_point(self) -> Point:
        """The point of GRID that these settings stand at, see `check_settings`."""
        return own_point(self.grid, self.describe())

    def at(self, point: Point) -> Settings:
        """The settings as if the values of a point of GRID or SEARCH stood in config.py. InputError: every problem."""
        values = self.model_dump(by_alias=True, exclude_unset=True)
        rows = {**rows_in(self.search), **self.grid}
        return check_settings(with_point(values, written_out(rows, point), type(self)().describe()))

    def describe(self) -> dict[str, Any]:
        """JSON-able dump under the names and in the order of config.py."""
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
    yield from same_pictures(s.active_datasets, s.datasets)
    yield from role_problems(s.active_datasets, s.combinations, s.datasets)
    yield from class_problems(s.classes, s.active_datasets, s.datasets)
    for names in s.combinations:
        absent = [name for name in names if name not in s.active_datasets]
        if (absent or len(names) < 2) and len(s.active_datasets) > 1:  # one alone: nothing to combine
            yield (
                {"COMBINATIONS", "ACTIVE_DATASETS"},
                f"COMBINATIONS holds {names}: each needs two or more of {', '.join(s.active_datasets)}.",
            )
    yield from _unknown_recipes(s)
    yield from unknown_augmentations(s.augmentations, s.online_augmentation.values(), s.offline_augmentation)
    asked = {name: wanted for name, row in s.models.items() if (wanted := pretraining_of(row.weights)) is not None}
    yield from pretraining_problems(asked, s.pretrainings, s.datasets)
    for name in asked:
        if s.models[name].weights_file is not None:
            yield (
                {"MODEL_CONFIG"},
                f'MODEL_CONFIG "{name}" starts from a pretraining and names a "weights_file" too. Leave one out.',
            )
    recipes = {name: row.recipe or s.recipe for name, row in s.models.items()}
    soft = any(s.training_of(name).soft_labels for name, recipe in recipes.items() if recipe in (None, *s.recipes))
    yield from soft_label_problems(soft, s.active_datasets, s.datasets)
    yield from _training_conflicts(s)
    yield from _noise_conflicts(s)
    yield from search_conflicts(s.search, s.grid, s.oracle, s.search_storage)
    if s.oracle and not s.evaluate_test:
        yield (
            {"ORACLE", "EVALUATE_TEST"},
            "ORACLE = True chooses an epoch by the test set, EVALUATE_TEST = False leaves that set unread. "
            "Set one of them to the other value.",
        )


def _noise_conflicts(s: Settings) -> Iterator[tuple[set[str], str]]:
    """What LABEL_NOISE names, and what a training that treats doubtful rows apart needs."""
    if s.label_noise is not None and s.label_noise not in s.models:
        yield (
            {"LABEL_NOISE", "MODEL_CONFIG"},
            f"LABEL_NOISE names {quote(s.label_noise)}, but MODEL_CONFIG has only {', '.join(s.models)}."
            f"{did_you_mean(s.label_noise, s.models)} Correct the name, or write None.",
        )
    told = [s.training_of(name).doubtful for name in _with_known_recipe(s)]
    apart = next((value for value in told if value != "keep"), None)
    if apart is None:
        return
    names = {"DOUBTFUL", "LABEL_NOISE", "MODEL_CONFIG", "RECIPES", "RECIPE", "SPLITS"}
    weighted = [name for name in _with_known_recipe(s) if isinstance(s.training_of(name).doubtful, float)]
    classic = next((name for name in weighted if s.training_of(name).head in CLASSIC_HEADS), None)
    if classic is not None:
        yield (
            names | {"HEAD"},
            f'MODEL_CONFIG "{classic}": DOUBTFUL = {s.training_of(classic).doubtful} weighs a loss, and '
            f'HEAD = {quote(s.training_of(classic).head)} is fitted without one. Set DOUBTFUL = "drop" or "keep".',
        )
    if s.label_noise is None:
        yield (
            names,
            f"DOUBTFUL = {quote(apart)} needs to know which labels are doubtful. Name in LABEL_NOISE the row of "
            'MODEL_CONFIG whose network tells, or set DOUBTFUL = "keep".',
        )
    if s.splits != "official":
        yield (
            names,
            f"DOUBTFUL = {quote(apart)} finds doubtful labels once, in the official split, by networks that have seen "
            f'what SPLITS = {quote(s.splits)} tests on. Set SPLITS = "official", or DOUBTFUL = "keep".',
        )


def _what_freezes(values: TrainingValues) -> str:
    return f"HEAD = {quote(values.head)}" if values.head in CLASSIC_HEADS else f"FREEZE = {quote(values.freeze)}"


def _unknown_recipes(s: Settings) -> Iterator[tuple[set[str], str]]:
    named = {"RECIPE": s.recipe} | {f'MODEL_CONFIG "{name}"': row.recipe for name, row in s.models.items()}
    for place, name in named.items():
        if name is not None and name not in s.recipes:
            yield (
                {"RECIPE", "RECIPES", "MODEL_CONFIG"},
                f"{place} names the recipe {quote(name)}, but RECIPES has only {', '.join(s.recipes)}."
                f"{did_you_mean(name, s.recipes)} Correct the name, or add the row.",
            )


def _with_known_recipe(s: Settings) -> list[str]:
    return [name for name, row in s.models.items() if (row.recipe or s.recipe or "") in {"", *s.recipes}]


def _training_conflicts(s: Settings) -> Iterator[tuple[set[str], str]]:
    """What contradicts in the training of each network: a mistake of config.py's own values is told once."""
    trainings = {name: s.training_of(name) for name in _with_known_recipe(s)}
    own = dict(_told(training_conflicts(s)))
    told = set()
    for name, values in trainings.items():
        for text, names in _told(training_conflicts(values)):
            if text in own and text not in told:
                yield names, text
            elif text not in own:
                yield names | {"MODEL_CONFIG", "RECIPES", "RECIPE"}, f'MODEL_CONFIG "{name}": {text}'
            told.add(text)
    for name in s.pretrainings:
        for text, names in _told(training_conflicts(s.pretraining_values(name))):
            if text not in own:
                yield names | {"PRETRAININGS"}, f'PRETRAININGS "{name}": {text}'
    yield from _weights_conflicts(s, trainings)
    yield from balance_conflicts({variant: s.balance_of(variant) for variant in s.variants}, trainings)
    if len(s.active_datasets) > 1 and set(s.experiments) != {"individual"}:
        yield from mixing_conflicts(s.mixing, trainings)


def _told(problems: Iterator[tuple[set[str], str]]) -> list[tuple[str, set[str]]]:
    return [(text, names) for names, text in problems]


def _weights_conflicts(s: Settings, trainings: dict[str, TrainingValues]) -> Iterator[tuple[set[str], str]]:
    """Rows that should start from weights and name none, and random weights that would be frozen."""
    named = {name: s.models[name].weights is not None or s.models[name].weights_file is not None for name in trainings}
    unsaid = [
        name
        for name, values in trainings.items()
        if values.pretrained and not named[name] and "weights" not in s.models[name].model_fields_set
    ]
    if unsaid:
        yield (
            {"PRETRAINED", "MODEL_CONFIG"},
            f"MODEL_CONFIG: {', '.join(unsaid)} should start from pretrained weights (PRETRAINED = True), but no row "
            'says which. Add "weights": the tag, "weights_file": a file, or "weights": None for a random start.',
        )
    classic = [name for name, values in trainings.items() if values.head in CLASSIC_HEADS]
    if s.oracle and classic:
        yield (
            {"ORACLE", "HEAD", "MODEL_CONFIG", "RECIPES", "RECIPE"},
            f"ORACLE = True chooses among epochs, and the head of {', '.join(classic)} is fitted in none. "
            "Set ORACLE = False, or another HEAD.",
        )
    frozen = [name for name, values in trainings.items() if keeps_random_features(values, named[name])]
    if frozen:
        why = "" if trainings[frozen[0]].pretrained else " (PRETRAINED = False)"
        yield (
            {"FREEZE", "PRETRAINED", "MODEL_CONFIG", "RECIPES", "RECIPE"},
            f"{_what_freezes(trainings[frozen[0]])} would keep random features for ever in "
            f'{", ".join(frozen)}{why}. Set FREEZE = "none" and HEAD = "linear" or "mlp", '
            "or give these models weights.",
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
    """Settings from values under their names in config.py. Raises InputError with every problem.

    With GRID they stand at its own point: config.py's value where an axis holds it, else the first.
    """
    try:
        settings = Settings.model_validate(dict(values))
        own = settings.at(settings.own_point()) if settings.grid else settings
        return own.model_copy(update={"grid": settings.grid}) if settings.grid else own
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
