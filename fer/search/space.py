"""The axes of SEARCH as Optuna knows them, and its suggestions as points of settings.

A choice is known to Optuna by its text as JSON, since lists and tables can be choices too; named rows by their name.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from fer.settings.grid import Point
from fer.settings.search import Range

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

Params = Mapping[str, Any]  # what Optuna suggests, by the name of an axis


def distributions(search: Mapping[str, Any]) -> dict[str, BaseDistribution]:
    """Every axis as Optuna's distribution."""
    return {name: _distribution(axis) for name, axis in search.items()}


def _distribution(axis: Any) -> BaseDistribution:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if not isinstance(axis, Range):
        return CategoricalDistribution([*_choices(axis)])
    if axis.is_whole:
        return IntDistribution(int(axis.low), int(axis.high), log=axis.log, step=int(axis.step or 1))
    return FloatDistribution(float(axis.low), float(axis.high), log=axis.log, step=axis.step)


def _choices(axis: Any) -> dict[str, Any]:
    """The values of choices, or the names of rows, by the text that Optuna knows them by."""
    return {name: name for name in axis} if isinstance(axis, dict) else {json.dumps(value): value for value in axis}


def point_of(search: Mapping[str, Any], params: Params) -> Point:
    """The values of a suggestion, in the order of SEARCH; numbers of a range rounded to the digits that count."""
    return {
        name: axis.rounded(params[name]) if isinstance(axis, Range) else _choices(axis)[params[name]]
        for name, axis in search.items()
    }


def unseen_params(search: Mapping[str, Any], seen: Collection[Params], seed: int) -> dict[str, Any]:
    """A suggestion drawn evenly among those not `seen`; of a space that holds one."""
    rng = np.random.default_rng(seed)
    while True:
        params = {name: _drawn(axis, rng) for name, axis in search.items()}
        if params not in seen:
            return params


def _drawn(axis: Any, rng: np.random.Generator) -> Any:
    if not isinstance(axis, Range):
        return list(_choices(axis))[rng.integers(len(axis))]
    if axis.log:
        drawn = float(np.exp(rng.uniform(np.log(axis.low), np.log(axis.high))))
        return min(max(round(drawn), int(axis.low)), int(axis.high)) if axis.is_whole else drawn
    if np.isfinite(axis.size):
        drawn = axis.low + int(rng.integers(int(axis.size))) * (axis.step or 1)
        return drawn if axis.is_whole else float(drawn)
    return float(rng.uniform(axis.low, axis.high))
