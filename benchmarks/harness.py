"""What every benchmark shares: sides measured in turn, one table, one JSON file, the state of the machine.

Sides are measured in alternating rounds, since this or another machine may be busy with something else: a ratio is
the median of the rounds' own ratios, and stands beside the lowest and the highest of them. Process time (CPU seconds
of this process and all its workers) stands beside wall time: it is what a busy machine leaves comparable.
"""

from __future__ import annotations

import argparse
import os
import platform
import resource
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

PROJECT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(PROJECT))

import psutil  # noqa: E402

import main  # noqa: E402, F401  (sets what a run of main.py sets before torch starts)
from utils import log, start_logging, write_json  # noqa: E402

RESULTS = PROJECT / "saidas" / "benchmarks"

Work = Callable[[], int]
Row = dict[str, Any]
T = TypeVar("T")


@dataclass(frozen=True)
class Round:
    """One measurement: how many items were done, in how many seconds of the clock and of all cores together."""

    items: int
    wall: float
    cpu: float

    @property
    def rate(self) -> float:
        """Items a second of wall time."""
        return self.items / self.wall

    @property
    def cpu_rate(self) -> float:
        """Items a second of one core."""
        return self.items / max(self.cpu, 1e-9)


# ---------------------------------------------------------------- measuring


def cpu_seconds() -> float:
    """CPU seconds so far of this process, its children that ended, and those that live."""
    total = time.process_time()
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    total += ended.ru_utime + ended.ru_stime
    for child in psutil.Process().children(recursive=True):
        try:
            times = child.cpu_times()
        except psutil.NoSuchProcess:  # it ended in between, and counts among those the next time
            continue
        total += times.user + times.system
    return total


def measured(work: Work) -> Round:
    """Do `work` once; it returns the number of items it did."""
    items, one = timed(work)
    return Round(items, one.wall, one.cpu)


def timed(make: Callable[[], T], items: int = 1) -> tuple[T, Round]:
    """What `make` returns, and its measurement over `items` items."""
    cpu, wall = cpu_seconds(), time.perf_counter()
    value = make()
    return value, Round(items, time.perf_counter() - wall, cpu_seconds() - cpu)


def in_turn(sides: Mapping[str, Work], rounds: int) -> dict[str, list[Round]]:
    """Each side once unmeasured, then `rounds` times in turn; every other round in the reverse order."""
    for work in sides.values():
        work()
    results: dict[str, list[Round]] = {name: [] for name in sides}
    for number in range(rounds):
        for name in list(sides)[:: -1 if number % 2 else 1]:
            results[name].append(measured(sides[name]))
    return results


def median_rate(rounds: Sequence[Round]) -> float:
    """Items a second, median of the rounds."""
    return statistics.median(one.rate for one in rounds)


def compared(ours: Sequence[Round], theirs: Sequence[Round]) -> Row:
    """Rates of both sides, and how many times as fast the first is: by wall time with its spread, by CPU time."""
    ratios = [a.rate / b.rate for a, b in zip(ours, theirs, strict=True)]
    by_cpu = [a.cpu_rate / b.cpu_rate for a, b in zip(ours, theirs, strict=True)]
    return {
        "ours/s": median_rate(ours),
        "theirs/s": median_rate(theirs),
        "times": statistics.median(ratios),
        "lowest": min(ratios),
        "highest": max(ratios),
        "times by CPU": statistics.median(by_cpu),
        "n": len(ratios),
    }


# ---------------------------------------------------------------- the command line and what comes out


def command(name: str, description: str | None, title: str, run: Callable[[Row], list[Row]], **defaults: Any) -> None:
    """A benchmark as a command: read the options, measure, report. `title` may name options, as "{images} pictures"."""
    options = options_of(description, **defaults)
    output = options.pop("output")
    started(name)
    report(name, title.format(**options), run(options), options, output)


def options_of(description: str | None, **defaults: Any) -> Row:
    """The command line: one option for each default, of its type, and --output, the folder of the JSON file.

    A tuple is an option of several values (--sizes 3000 36000), None one of text, a list one that may be repeated.
    """
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, value in defaults.items():
        kind: Row = {"type": str if value is None else type(value)}
        if isinstance(value, tuple):
            kind = {"type": type(value[0]), "nargs": "+"}
        elif isinstance(value, list):
            kind = {"action": "append"}
        parser.add_argument(f"--{name.replace('_', '-')}", default=value, help=f"default: {value}", **kind)
    parser.add_argument("--output", type=Path, default=RESULTS, help=f"default: {RESULTS.relative_to(PROJECT)}")
    return vars(parser.parse_args())


def machine() -> Row:
    """What the figures were measured on, and how busy it was when this was called."""
    import torch

    return {
        "cores": os.cpu_count(),
        "cores_usable": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "load_1_minute": round(psutil.getloadavg()[0], 2),
    }


def report(name: str, title: str, rows: Sequence[Row], options: Row, output: Path = RESULTS, **more: Any) -> Row:
    """Print the table and write `output`/`name`.json. Returns what was written."""
    import pandas as pd

    found = {
        "benchmark": name,
        "title": title,
        "measured": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine(),
        "options": {key: str(value) if isinstance(value, Path) else value for key, value in options.items()},
        "rows": [_plain(row) for row in rows],
        **more,
    }
    write_json(output / f"{name}.json", found)
    print(f"\n{title}\n{pd.DataFrame(rows).to_string(index=False, float_format=_short, na_rep='')}")
    state = found["machine"]
    print(f"{state['cores_usable']} cores, {state['threads']} threads, load {state['load_1_minute']} at the end")
    print(f"-> {output / name}.json", flush=True)
    return found


def _plain(row: Row) -> Row:
    """Numbers as JSON holds them: rounded to four digits, NaN as null."""
    return {key: _rounded(value) for key, value in row.items()}


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return None if value != value else float(f"{value:.4g}")
    return value


def _short(value: float) -> str:
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"


def started(script: str) -> None:
    """Send the log to the terminal; the benchmark's own lines go to standard output."""
    start_logging()
    log.info("benchmark %s", script)
