"""One plan on several computers without a scheduler of its own: `--shard 2/8` does every eighth run, from the second.

Shares are the same wherever the plan is, and the lock of each run keeps shares that overlap from doing one twice. Runs
that need one another stay together, so that no share waits for another.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from fer.runs.run import PlannedRun
from utils import InputError


@dataclass(frozen=True)
class Shard:
    """Share `number` (from 1) of `count`."""

    number: int
    count: int

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"


def parse_shard(text: str) -> Shard:
    """The shard written as "2/8". Raises InputError for any other text, and for a number outside 1 to the count."""
    found = re.fullmatch(r"\s*(\d+)\s*/\s*(\d+)\s*", text)
    if found is None:
        raise InputError(f'--shard "{text}" is not of the form 2/8: the second of eight shares.')
    number, count = int(found[1]), int(found[2])
    if not 1 <= number <= count:
        raise InputError(f"--shard {text}: the first number goes from 1 to the second, as in 1/{max(count, 1)}.")
    return Shard(number, count)


def share_of(runs: Sequence[PlannedRun], shard: Shard) -> list[PlannedRun]:
    """The runs of `shard`, in the order of the plan; empty where there are more shards than runs that stand alone."""
    groups = _groups(runs)[shard.number - 1 :: shard.count]
    return [planned for group in groups for planned in group]


def _groups(runs: Sequence[PlannedRun]) -> list[list[PlannedRun]]:
    """Runs that need one another together, each group in the order of the plan, groups by their first run."""
    group_of: dict[str, list[PlannedRun]] = {}
    for planned in runs:
        before = [*planned.needs, *([planned.counterpart] if planned.counterpart else [])]
        joined = {id(group): group for one in before if (group := group_of.get(one.name)) is not None}
        merged = [*(one for group in joined.values() for one in group), planned]
        group_of |= {one.name: merged for one in merged}
    place = {planned.name: number for number, planned in enumerate(runs)}
    groups = {id(group): sorted(group, key=lambda one: place[one.name]) for group in group_of.values()}
    return sorted(groups.values(), key=lambda group: place[group[0].name])
