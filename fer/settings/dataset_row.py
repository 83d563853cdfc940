"""One row of DATASETS: where a dataset lies, and the entries that its layout knows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias

from annotated_types import Interval
from pydantic import AfterValidator, StringConstraints, model_validator

from fer.layouts.emotions import ALL_EMOTIONS, CONTEMPT, EMOTIONS
from fer.layouts.ferplus import VOTE_RULES
from fer.layouts.layouts import LAYOUTS
from fer.settings.messages import quote
from fer.settings.value_types import Classes, PathText, Record, Several, Text, pattern_with_group

if TYPE_CHECKING:
    Family: TypeAlias = str
    VoteRule: TypeAlias = str
    Emotion: TypeAlias = str
else:  # whatever is registered: an entry there is all that a new one needs
    Family = Literal[tuple(dict.fromkeys(layout.family for layout in LAYOUTS.values()))]
    VoteRule = Literal[tuple(VOTE_RULES)]
    Emotion = Literal[ALL_EMOTIONS]
Angle = Literal["FL", "HL", "S", "HR", "FR"]
ColumnName = Literal["path", "label", "split", "subject", "left", "top", "right", "bottom", "width", "height"]
Role = Literal["train", "test", "unlabelled"]
SOURCE = r"^(kaggle:[\w.-]+/[\w.-]+|huggingface:[\w.-]+/[\w.-]+(@[\w./-]+)?)$"
VOTED = ("ferplus",)  # layouts in which people voted
FER2013_FAMILIES = ("fer2013", "fer2013_resplit", "ferplus")  # the same pictures


class DatasetRow(Record):
    """One row of DATASETS: where a dataset lies and how its pictures hold faces."""

    path: PathText
    layout: Family
    faces: Literal["whole", "box", "cropped"]
    min_confidence: Annotated[float, Interval(ge=0, le=1000)] = 0.0
    subject: Annotated[str, AfterValidator(pattern_with_group)] | None = None
    source: Annotated[str, StringConstraints(pattern=SOURCE)] | None = None
    sample: bool = False
    role: Role = "train"
    classes: Classes | None = None
    table: PathText | None = None
    columns: dict[ColumnName, Text] = {}
    contempt: Emotion | None = None
    vote_rule: VoteRule = "majority"
    angles: Several[Angle] = ("S",)
    last_frames: Annotated[int, Interval(ge=1, le=100)] = 3
    neutral_frame: bool = True
    every_frame: Annotated[int, Interval(ge=1, le=100_000)] = 30

    @property
    def keeps_contempt(self) -> bool:
        """True where contempt is a class of its own: see CLASSES."""
        return self.contempt == CONTEMPT or CONTEMPT in (self.classes or {}).values()

    @model_validator(mode="after")
    def _entries_fit_the_layout(self) -> DatasetRow:
        own = {entry for layout in LAYOUTS.values() if layout.family == self.layout for entry in layout.entries}
        for entry in sorted({entry for layout in LAYOUTS.values() for entry in layout.entries} - own):
            if getattr(self, entry) != type(self).model_fields[entry].default:
                families = {layout.family for layout in LAYOUTS.values() if entry in layout.entries}
                raise ValueError(
                    f'"{entry}" belongs to layout {" or ".join(map(quote, sorted(families)))} only, '
                    f"not {quote(self.layout)}. Leave it out."
                )
        return self

    @model_validator(mode="after")
    def _labels_exist(self) -> DatasetRow:
        without = {layout.family for layout in LAYOUTS.values() if not layout.labelled}
        if self.layout in without and self.role != "unlabelled":
            raise ValueError(
                f"layout {quote(self.layout)} has no labels, so it can be neither trained on with labels nor tested: "
                '"role" must be "unlabelled", not '
                f'{quote(self.role)}. With a folder a class, the layout is "folders".'
            )
        return self

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


def role_problems(
    active: Sequence[str], combinations: Sequence[Sequence[str]], rows: Mapping[str, DatasetRow]
) -> Iterator[tuple[set[str], str]]:
    """The conflicts of "role" with what is to be trained: the names it rests on, and the sentence."""
    roles = {name: rows[name].role for name in active if name in rows}
    if roles and "train" not in roles.values() and len(roles) == len(active):
        each = ", ".join(f"{name} ({role})" for name, role in roles.items())
        yield (
            {"ACTIVE_DATASETS", "DATASETS"},
            f'ACTIVE_DATASETS: nothing to train on, since none of {each} has "role": "train". '
            "Add a dataset that may be trained on, or take the role out of one's row of DATASETS.",
        )
    for name in sorted({name for names in combinations for name in names if roles.get(name, "train") != "train"}):
        yield (
            {"COMBINATIONS", "DATASETS"},
            f'COMBINATIONS names {quote(name)}, whose "role" is {quote(roles[name])}: it is never trained on. '
            "Take it out there.",
        )


def class_problems(
    classes: int, active: Sequence[str], rows: Mapping[str, DatasetRow]
) -> Iterator[tuple[set[str], str]]:
    """The conflict of CLASSES with the datasets that keep contempt: the names it rests on, and the sentence."""
    keeping = [name for name in active if name in rows and rows[name].keeps_contempt]
    names = {"CLASSES", "ACTIVE_DATASETS", "DATASETS"}
    if keeping and classes == len(EMOTIONS):
        yield (
            names,
            f"DATASETS {quote(keeping[0])} keeps contempt as a class of its own, and CLASSES = {classes}. Set "
            "CLASSES = 8, or let its row leave contempt out (None) or count it as another expression.",
        )
    if classes != len(EMOTIONS) and not any(rows[name].role == "train" for name in keeping):
        yield (
            names,
            f"CLASSES = {classes}, and none of {', '.join(active)} is trained on and keeps contempt. Set CLASSES = 7, "
            'or write "contempt": "contempt" into the row of a dataset that knows it.',
        )


def soft_label_problems(
    soft: bool, active: Sequence[str], rows: Mapping[str, DatasetRow]
) -> Iterator[tuple[set[str], str]]:
    """The conflict of soft labels with datasets on which nobody voted: the names it rests on, and the sentence."""
    voted = [name for name in active if name in rows and rows[name].layout in VOTED and rows[name].role == "train"]
    if soft and not voted:
        yield (
            {"SOFT_LABELS", "ACTIVE_DATASETS", "DATASETS", "MODEL_CONFIG", "RECIPES", "RECIPE"},
            f"SOFT_LABELS = True needs a dataset with votes to train on (layout {' or '.join(map(quote, VOTED))}), and "
            f"none of {', '.join(active)} is one. Add FER+, or set SOFT_LABELS = False.",
        )


def same_pictures(active: Sequence[str], rows: Mapping[str, DatasetRow]) -> Iterator[tuple[set[str], str]]:
    """The conflict where FER2013 in another split stands beside FER2013: the names it rests on, and the sentence."""
    same = [name for name in active if name in rows and rows[name].layout in FER2013_FAMILIES]
    if len(same) > 1 and any(rows[name].layout == "fer2013_resplit" for name in same):
        yield (
            {"ACTIVE_DATASETS", "DATASETS"},
            f'{", ".join(same)} hold the same pictures: layout "fer2013_resplit" is FER2013 split anew, so what one '
            "trains on the other tests on. Leave all but one out of ACTIVE_DATASETS.",
        )
