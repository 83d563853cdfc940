"""AUGMENTATIONS: the random changes of a training picture, a set of them a row of config.py, which explains each."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, model_serializer, model_validator

from fer.settings.messages import did_you_mean, quote
from fer.settings.value_types import Fraction, Record, Strength

# Lowest and highest value a transform takes, strength included, and its unit.
LIMITS: dict[str, tuple[float, float, str]] = {
    "rotation": (-45, 45, "degrees"),
    "zoom": (-0.5, 0.5, "of the size"),
    "shift": (-0.5, 0.5, "of the side"),
    "crop": (-0.5, 0.5, "of the side"),
    "brightness": (-1, 1, "of white"),
    "contrast": (-1, 1, "of the contrast"),
    "gamma": (-0.9, 0.9, "of the exponent 1"),
    "blur": (0, 0.1, "of the side, standard deviation"),
    "noise": (0, 0.5, "of white, standard deviation"),
    "perspective": (0, 0.2, "of the side"),
    "holes": (0, 0.5, "of the side"),
    "erasing": (0, 0.3, "of the area"),
}


class Change(Record):
    """One transform of a row: between which values it is drawn, and how often it acts."""

    range: tuple[float, float] = (0.0, 0.0)
    probability: float = 1.0

    def written(self) -> Any:
        """As one would write it: a number where it says as much, a pair, or a table with the probability."""
        low, high = self.range
        short: Any = high if low == -high or (low == 0 and high > 0) else self.range
        return short if self.probability == 1 else {"range": short, "probability": self.probability}


def _read_change(value: Any, name: str) -> Any:
    """The range and probability of a transform from what stands in config.py. Raises ValueError in sentences."""
    if isinstance(value, Change):
        return value
    table = value if isinstance(value, dict) else {"range": value}
    span: Any = table.get("range")
    probability: Any = table.get("probability", 1.0)
    if set(table) - {"range", "probability"} or not (_is_number(span) or _is_pair(span)):
        lowest, highest, unit = LIMITS[name]
        raise ValueError(f"write a number or (low, high), {lowest} to {highest} {unit}, or {_AS_TABLE}.")
    if not _is_number(probability) or not 0 <= probability <= 1:
        raise ValueError(f"its probability is from 0 to 1, as in {_AS_TABLE}.")
    low, high = span if _is_pair(span) else (-span if LIMITS[name][0] < 0 else 0, span)
    _refuse_out_of_range(name, low, high, LIMITS[name])
    return {"range": (float(low), float(high)), "probability": float(probability)}


_AS_TABLE = '{"range": …, "probability": 0.5}'


def _is_number(value: Any) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and not abs(value) > sys.float_info.max  # a whole number may be longer than any float


def _is_pair(value: Any) -> bool:
    return isinstance(value, tuple | list) and len(value) == 2 and all(map(_is_number, value))


def _refuse_out_of_range(name: str, low: float, high: float, limits: tuple[float, float, str]) -> None:
    lowest, highest, unit = limits
    if not lowest <= low <= high <= highest:
        raise ValueError(f"{name} is drawn within {lowest:g} to {highest:g} {unit}, here {low:g} to {high:g}.")


def _drawn(name: str) -> BeforeValidator:
    return BeforeValidator(partial(_read_change, name=name))


UNCHANGED = Change()
TRANSFORMS = tuple(LIMITS)
PLACES = ("rotation", "zoom", "shift", "crop")
OWN_VALUES = ("apply", "probability", "strength", "flip")


class AugmentationRow(Record):
    """One row of AUGMENTATIONS."""

    apply: Literal["each", "one"] = "each"
    probability: Fraction = 1.0
    strength: Strength = 1.0
    flip: Fraction = 0.0
    rotation: Annotated[Change, _drawn("rotation")] = UNCHANGED
    zoom: Annotated[Change, _drawn("zoom")] = UNCHANGED
    shift: Annotated[Change, _drawn("shift")] = UNCHANGED
    crop: Annotated[Change, _drawn("crop")] = UNCHANGED
    brightness: Annotated[Change, _drawn("brightness")] = UNCHANGED
    contrast: Annotated[Change, _drawn("contrast")] = UNCHANGED
    gamma: Annotated[Change, _drawn("gamma")] = UNCHANGED
    blur: Annotated[Change, _drawn("blur")] = UNCHANGED
    noise: Annotated[Change, _drawn("noise")] = UNCHANGED
    perspective: Annotated[Change, _drawn("perspective")] = UNCHANGED
    holes: Annotated[Change, _drawn("holes")] = UNCHANGED
    erasing: Annotated[Change, _drawn("erasing")] = UNCHANGED

    def changes(self) -> dict[str, Change]:
        """The transforms that can act, by name, with `strength` in their ranges, in the order they are done."""
        scaled = {name: _times(getattr(self, name), self.strength) for name in TRANSFORMS}
        return {name: change for name, change in scaled.items() if change.range != (0, 0) and change.probability}

    @model_validator(mode="after")
    def _agree(self) -> AugmentationRow:
        told = [name for name in TRANSFORMS if getattr(self, name).probability != 1]
        if self.apply == "one" and told:
            raise ValueError(
                f'with "apply": "one" each transform is as likely as another. Leave out the probability of {told[0]}, '
                'or write "apply": "each".'
            )
        for name, change in self.changes().items():
            _refuse_out_of_range(f'with "strength": {self.strength:g}, {name}', *change.range, LIMITS[name])
        return self

    @model_serializer
    def _as_written(self) -> dict[str, Any]:
        """Its own values, and the transforms it names."""
        named = {name: getattr(self, name) for name in TRANSFORMS}
        own = {name: getattr(self, name) for name in OWN_VALUES}
        return own | {name: change.written() for name, change in named.items() if change != UNCHANGED}


def _times(change: Change, strength: float) -> Change:
    low, high = change.range
    return Change(range=(low * strength, high * strength), probability=change.probability)


# The shipped rows, as config.py shows them.
_SHIPPED: dict[str, dict[str, Any]] = {
    "light": {
        "apply": "one", "flip": 0.5, "rotation": 8, "zoom": 0.06, "shift": 0.05, "brightness": 0.15,
        "contrast": 0.15, "gamma": 0.2, "blur": (0.005, 0.011), "noise": (0.01, 0.03),
    },
    "strong": {
        "apply": "one", "probability": 0.8, "flip": 0.5, "rotation": 15, "zoom": 0.12, "shift": 0.08,
        "brightness": 0.3, "contrast": 0.3, "gamma": 0.4, "blur": (0.006, 0.017), "noise": (0.02, 0.06),
        "perspective": (0.02, 0.05), "holes": (0.06, 0.16),
    },
    "geometric": {"flip": 0.5, "rotation": 9, "zoom": 0.12, "shift": 0.1},
}  # fmt: skip
AUGMENTATIONS = {name: AugmentationRow.model_validate(row) for name, row in _SHIPPED.items()}
# Of these two keys hold the name in place of the transforms, as they did when there were no others.
NAMED_IN_KEYS = ("light", "strong")


def described(row: AugmentationRow) -> dict[str, Any] | None:
    """A row in the key of a run, whatever it is called in config.py; None where it changes no picture."""
    for name in NAMED_IN_KEYS:
        if row.model_copy(update=_of(AUGMENTATIONS[name])) == AUGMENTATIONS[name]:
            named = {"kind": name, "strength": row.strength, "probability": row.probability}
            return named if row.strength else None
    changes = row.changes() if row.probability else {}
    if not row.strength or not (changes or row.flip):
        return None
    often = {"apply": row.apply, "probability": row.probability} if changes else {}
    return often | {"flip": row.flip} | {name: change.model_dump(mode="json") for name, change in changes.items()}


def _of(row: AugmentationRow) -> dict[str, float]:
    return {"strength": row.strength, "probability": row.probability}


def grouped(row: AugmentationRow) -> list[tuple[str, ...]]:
    """The changes of a row that are one transform.

    Of which one is drawn: zoom with shift and crop, brightness with contrast, each other alone. Where each acts on its
    own: all that change places, so that a picture is resampled once.
    """
    together = (("zoom", "shift", "crop"), ("brightness", "contrast")) if row.apply == "one" else (PLACES,)
    groups: dict[str, tuple[str, ...]] = {}
    for name in row.changes():
        group = next((group[0] for group in together if name in group), name)
        groups[group] = (*groups.get(group, ()), name)
    return list(groups.values())


def row_of(described: dict[str, Any]) -> AugmentationRow:
    """The row that `described` gave."""
    if "kind" in described:
        values = {name: described[name] for name in ("strength", "probability")}
        return AUGMENTATIONS[described["kind"]].model_copy(update=values)
    return AugmentationRow.model_validate(described)


def words_of_augmentation(described: dict[str, Any]) -> str:
    """For a caption: "strong", or the transforms: "flip, rotation, erasing"."""
    return described.get("kind") or ", ".join(name for name in ("flip", *TRANSFORMS) if described.get(name))


def unknown_augmentations(
    rows: Mapping[str, AugmentationRow], online: Iterable[str], offline: str
) -> Iterator[tuple[set[str], str]]:
    """Names of rows that there are not: the settings concerned, and the sentence."""
    known = dict.fromkeys(("none", *rows))
    if "none" in rows:
        yield {"AUGMENTATIONS"}, 'AUGMENTATIONS has a row "none", which is the word for no change. Rename it.'
    for name in dict.fromkeys(online):
        if name not in known:
            yield (
                {"ONLINE_AUGMENTATION", "AUGMENTATIONS"},
                f"ONLINE_AUGMENTATION names {quote(name)}, but AUGMENTATIONS has only {', '.join(known)}."
                f"{did_you_mean(name, known)} Correct the name, or add the row.",
            )
    if offline not in rows:
        yield (
            {"OFFLINE_AUGMENTATION", "AUGMENTATIONS"},
            f"OFFLINE_AUGMENTATION names {quote(offline)}, but AUGMENTATIONS has only {', '.join(rows)}."
            f"{did_you_mean(offline, rows)} Name one of them: unchanged copies would teach nothing.",
        )
