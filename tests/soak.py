"""Faults at random moments, then the same results as without: `python tests/soak.py --faults 500`.

A tiny study is trained, scored and reported again and again while it is hurt: killed (SIGKILL), asked to end (SIGTERM,
Ctrl-C), its disk filled, its folder taken away as by a lost mount, two processes on it of which one is killed. After
some faults it is left to finish, and its weights, predictions and tables have to be those of an undisturbed run, bit
for bit. Whatever leaves `main` as an exception, hangs, or gives another number is a failure: exit code 1.

A process costs no start here: each is a fork of this one, which has imported everything, and figures are drawn empty.
Where it may mount (root on Linux), the study lies on a small disk in memory that is really filled; elsewhere writing
fails from a random moment on. The seed is printed; with it the same faults come in the same order, at the same share
of a run's time though not at the same instruction. The result is written anew after each comparison, so that of a soak
that was stopped is there as well. POSIX only, as it forks.
"""

from __future__ import annotations

import argparse
import errno
import os
import platform
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
PROJECT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(PROJECT))

KINDS = ("kill", "terminate", "interrupt", "full disk", "lost mount", "two processes")
MOST_FAULTS_A_ROUND = 6  # then it may finish and is compared
HANGS = 600  # seconds without an end: a failure
DISK_MB = 150
UNCAUGHT = 70  # exit code of a process that main left with an exception
TABLES = ("results.csv", "validation_results.csv", "per_class_results.csv", "statistics/intervals.csv")
EARLIEST = 0.2  # seconds; before them main has not begun
PROMPT = 10  # seconds in which Ctrl-C has to end it: two on a computer that does nothing else
MEASURED = (  # differ from run to run
    "train_seconds", "images_per_second", "peak_memory_mb", "peak_gpu_mb", "peak_ram_mb", "latency_ms",
)  # fmt: skip
INSIDE = "FER_SOAK_INSIDE"  # set where this process has a view of the mounts of its own


@dataclass(frozen=True)
class Fault:
    """What happens, at which share of an undisturbed run's time, and whether the study may finish after it."""

    kind: str
    share: float
    writes: int  # files written before writing fails, where no disk can be filled
    last_of_round: bool


@dataclass
class Soak:
    """Where the study lies, what has happened so far, and what it should end with."""

    base: Path
    seed: int
    may_mount: bool
    wanted: int
    seconds: float = 0.0
    expected: dict[str, str] = field(default_factory=dict)
    faults: Counter[str] = field(default_factory=Counter)
    rounds: int = 0
    failures: list[str] = field(default_factory=list)
    running: set[int] = field(default_factory=set)
    started: float = field(default_factory=time.monotonic)

    @property
    def disk(self) -> Path:
        """What is mounted where it may be."""
        return self.base / "disk"

    @property
    def study(self) -> Path:
        """The folder that holds everything of the study: its config, pictures and results."""
        return self.disk / "study"


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faults", type=int, default=500)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--result", type=Path, help="write the summary to this text file as well, after each round")
    arguments = parser.parse_args()
    inside = _with_own_mounts()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        soak = Soak(Path(folder), arguments.seed, inside, arguments.faults)
        soak.disk.mkdir()
        if inside:
            subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_MB}m", "tmpfs", str(soak.disk)], check=True)
        try:
            run_soak(soak, arguments.result)
        finally:
            for process in soak.running:
                with suppress(ProcessLookupError):
                    os.killpg(process, signal.SIGKILL)
            if inside:
                subprocess.run(["umount", "-l", str(soak.disk)], check=True)
            note(soak, arguments.result)
    return 1 if soak.failures else 0


def _with_own_mounts() -> bool:
    """True in a process whose mounts are its own: this one starts itself again as such where it may."""
    if os.environ.get(INSIDE):
        return True
    if shutil.which("unshare") is None or subprocess.run(["unshare", "-m", "true"], capture_output=True).returncode:
        return False
    os.environ[INSIDE] = "1"
    return bool(os.execvp("unshare", ["unshare", "-m", sys.executable, *sys.argv]))  # it does not come back


def run_soak(soak: Soak, result: Path | None) -> None:
    """Hurt the study `soak.wanted` times, comparing what it ends with; stops after ten failures."""
    print(f"seed {soak.seed}, {soak.wanted} faults", flush=True)
    _write_study(soak.study)
    _import_everything()
    _finish_undisturbed(soak)
    print(f"undisturbed: {soak.seconds:.1f} s", flush=True)
    soak.started = time.monotonic()
    for fault in faults_of(soak.seed, soak.wanted):
        _hurt(soak, fault)
        if fault.last_of_round:
            _finish_and_compare(soak)
            note(soak, result)
        if len(soak.failures) >= 10:
            return


def faults_of(seed: int, count: int) -> Iterator[Fault]:
    """The same faults for the same seed; every kind comes equally often."""
    draws = random.Random(seed)
    kinds = [KINDS[number % len(KINDS)] for number in range(count)]
    draws.shuffle(kinds)
    left = draws.randint(1, MOST_FAULTS_A_ROUND)
    for number, kind in enumerate(kinds, 1):
        left -= 1
        last = left == 0 or number == count
        yield Fault(kind, draws.random(), draws.randrange(1, 80), last)
        left = left or draws.randint(1, MOST_FAULTS_A_ROUND)


def note(soak: Soak, result: Path | None) -> None:
    """Print what has happened so far, and write it to `result`."""
    done, seconds = soak.faults.total(), time.monotonic() - soak.started
    lines = [
        f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, Python {platform.python_version()}, {platform.system()}, "
        f"seed {soak.seed}: {done} of {soak.wanted} faults, {soak.rounds} studies compared with the undisturbed one, "
        f"{len(soak.failures)} failures",
        ", ".join(f"{kind} {count}" for kind, count in sorted(soak.faults.items())),
        f"undisturbed {soak.seconds:.1f} s; {seconds / 60:.1f} min, {seconds / max(done, 1):.1f} s a fault; "
        f"full disk: {'a real one' if soak.may_mount else 'writing fails'}",
        *soak.failures,
    ]
    print("\n".join(lines), flush=True)
    if result is not None:
        result.write_text("\n".join(lines) + "\n", encoding="utf-8")


# ---------------------------------------------------------------- the study


def _write_study(folder: Path) -> None:
    from conftest import TINY_MODEL, draw_folders

    draw_folders(folder / "in" / "alpha", {"train": [7, 5, 5, 9, 6, 5, 7], "test": [3] * 7})
    values = {
        "ACTIVE_DATASETS": ("alpha",),
        "DATASETS": {"alpha": {"path": str(folder / "in/alpha"), "layout": "folders", "faces": "cropped"}},
        "DATASETS_DIR": str(folder / "prepared"), "OUTPUT_DIR": str(folder / "out"), "VARIANTS": ("raw", "augmented"),
        "EXPERIMENTS": ("individual",), "MODEL_CONFIG": {"tiny_plain": TINY_MODEL}, "EPOCHS": 4, "PATIENCE": None,
        "LEARNING_RATE": 3e-3, "FACE_SIZE": 16, "DEVICE": "cpu", "WORKERS": 0, "VAL_FRACTION": 0.2,
    }  # fmt: skip
    lines = [f"{name} = {value!r}" for name, value in values.items()]
    (folder / "study.py").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _import_everything() -> None:
    import importlib

    for path in [*PROJECT.glob("*.py"), *(PROJECT / "fer").rglob("*.py")]:
        if path.stem not in ("config", "__init__"):
            importlib.import_module(".".join(path.relative_to(PROJECT).with_suffix("").parts))
    sys.modules["fer.figures.engine"].__dict__.update(MANY=10**9, _draw=_draw_empty)
    for name in ("albumentations", "timm", "imblearn.over_sampling", "seaborn", "statsmodels.api", "scikit_posthocs"):
        importlib.import_module(name)


def _draw_empty(_: object, path: Path) -> Path:
    """In place of a figure's drawing, which takes half of the time and gives nothing that is compared."""
    from utils import write_text

    write_text(path, "empty")
    return path


def _state(output: Path) -> dict[str, str]:
    """Fingerprints of all that has to come out the same: weights, probabilities, tables."""
    import numpy as np
    import pandas as pd

    from utils import file_fingerprint, fingerprint

    found = {str(p.relative_to(output)): file_fingerprint(p) for p in output.glob("saved_models/*/weights.pth")}
    for path in output.glob("saved_models/*/predictions/*.npz"):
        with np.load(path) as stored:
            parts = [stored[name] for name in sorted(stored.files)]
        found[str(path.relative_to(output))] = fingerprint([part.tobytes().hex() for part in parts])
    for name in TABLES:
        table = pd.read_csv(output / name, dtype=str)
        found[name] = fingerprint(table.drop(columns=list(MEASURED), errors="ignore").to_csv(index=False))
    return found


# ---------------------------------------------------------------- processes


def _start(soak: Soak, fails_after: int | None = None) -> int:
    """Fork a process that runs main.py on the study; its words go to words.txt beside it. Returns its number."""
    words = os.open(soak.base / "words.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    sys.stdout.flush()
    process = os.fork()
    if process:
        os.close(words)
        soak.running.add(process)
        return process
    os.setsid()
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.dup2(words, 1)
    os.dup2(words, 2)
    if fails_after is not None:
        _fail_writing(fails_after)
    code = UNCAUGHT
    try:
        import main as program
        from fer.console.interrupt import leave_on_ctrl_c

        leave_on_ctrl_c()  # as main.py does when it is the program
        code = program.main(["--config", str(soak.study / "study.py")])
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else 1
    except BaseException:  # whatever leaves main is what is looked for
        traceback.print_exc()
    os._exit(code)


def _fail_writing(after: int) -> None:
    """From the `after`-th file on, writing fails as on a full disk."""
    real, calls = os.fsync, Counter[str]()

    def fsync(descriptor: int) -> None:
        calls["fsync"] += 1
        if calls["fsync"] > after:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(descriptor)

    os.fsync = fsync


def _wait(soak: Soak, process: int, seconds: float) -> int | None:
    """The exit code of a process (negative: the signal), or None when it runs on after `seconds`."""
    until = time.monotonic() + seconds
    while True:
        done, status = os.waitpid(process, os.WNOHANG)
        if done:
            soak.running.discard(process)
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() > until:
            return None
        time.sleep(0.01)


def _end(soak: Soak, process: int, what: str, allowed: tuple[int, ...], seconds: float = HANGS) -> None:
    """Wait for the end of a process, and judge it."""
    code = _wait(soak, process, seconds)
    if code is None:
        os.killpg(process, signal.SIGKILL)
        _wait(soak, process, HANGS)
        _fail(soak, f"{what}: no end within {seconds} s")
    elif code not in allowed:
        _fail(soak, f"{what}: exit code {code}")


def _fail(soak: Soak, what: str) -> None:
    soak.failures.append(f"after {soak.faults.total()} faults, {what}{_last_words(soak)}")
    print(soak.failures[-1], flush=True)


def _last_words(soak: Soak) -> str:
    words = (soak.base / "words.txt").read_text(encoding="utf-8", errors="replace")
    return "\n" + "\n".join(words.splitlines()[-25:])


def _finish_undisturbed(soak: Soak) -> None:
    started = time.monotonic()
    _end(soak, _start(soak), "undisturbed", (0,))
    soak.seconds = time.monotonic() - started
    if soak.failures:
        raise SystemExit("the study does not finish even when it is left alone")
    soak.expected = _state(soak.study / "out")
    _forget(soak)


def _finish_and_compare(soak: Soak) -> None:
    _end(soak, _start(soak), "left alone", (0,))
    _compare(soak)


def _compare(soak: Soak) -> None:
    """Compare a finished study with the undisturbed one, then start over."""
    found = _state(soak.study / "out") if (soak.study / "out" / "results.csv").is_file() else {}
    other = sorted(name for name in soak.expected.keys() | found.keys() if soak.expected.get(name) != found.get(name))
    if other:
        _fail(soak, f"not the same: {', '.join(other)}")
    soak.rounds += 1
    _forget(soak)


def _forget(soak: Soak) -> None:
    """Back to a study that was never run."""
    for name in ("out", "prepared"):
        shutil.rmtree(soak.study / name, ignore_errors=True)
    (soak.base / "words.txt").unlink(missing_ok=True)


# ---------------------------------------------------------------- faults

SIGNALS = {"kill": signal.SIGKILL, "terminate": signal.SIGTERM, "interrupt": signal.SIGINT}


def _hurt(soak: Soak, fault: Fault) -> None:
    """One fault in the middle of a run; where the run was over before, it is compared, and hurt earlier in the next."""
    fails_after = fault.writes if fault.kind == "full disk" and not soak.may_mount else None
    moment = EARLIEST + fault.share * soak.seconds
    while True:
        process = _start(soak, fails_after)
        helper = _start(soak) if fault.kind == "two processes" else None
        code = _wait(soak, process, moment) if fails_after is None else None
        if code is None:
            break
        if code != 0:
            _fail(soak, f"before {fault.kind}: exit code {code}")
        if helper is not None:
            _end(soak, helper, "two processes, both left alone", (0,))
        _compare(soak)
        moment = max(EARLIEST, moment / 2)
    soak.faults[fault.kind] += 1
    if fault.kind in SIGNALS:
        number = SIGNALS[fault.kind]
        os.killpg(process, number)
        prompt = number == signal.SIGINT
        _end(soak, process, fault.kind, (0, 130) if prompt else (0, -number), PROMPT if prompt else HANGS)
    elif helper is not None:
        os.killpg(process, signal.SIGKILL)
        _end(soak, process, fault.kind, (0, -signal.SIGKILL))
        _end(soak, helper, "the other of two processes was killed", (0,))
    elif fault.kind == "full disk":
        _fill_disk_and_end(soak, process)
    else:
        _take_folder_and_end(soak, process)


def _fill_disk_and_end(soak: Soak, process: int) -> None:
    ballast = soak.disk / "ballast"
    if soak.may_mount:
        with ballast.open("wb", buffering=0) as stream:
            size = 1 << 20
            while size:
                try:
                    stream.write(bytes(size))
                except OSError:
                    size //= 2
    _end(soak, process, "a full disk", (0, 1, 2))
    ballast.unlink(missing_ok=True)


def _take_folder_and_end(soak: Soak, process: int) -> None:
    """The folder goes away for a while, as a network drive does; what is made at its place meanwhile is thrown away."""
    away = soak.disk / "away"
    soak.study.rename(away)
    _end(soak, process, "its folder was taken away", (0, 1, 2))
    shutil.rmtree(soak.study, ignore_errors=True)
    away.rename(soak.study)


if __name__ == "__main__":
    sys.exit(main())
