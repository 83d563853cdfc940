"""Project-blind helpers: errors a user can act on, whole files, fingerprints, seeds, devices, progress.

Nothing here knows what a face or a dataset is. Torch is imported only by the functions that need it.
"""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sized
from contextlib import contextmanager, suppress
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar

import numpy as np

from fer.console.interrupt import half_written

if TYPE_CHECKING:
    import pandas as pd
    import torch
    from filelock import FileLock

log = logging.getLogger("fer")
SEAL = "checksum"  # key of a sealed JSON file
T = TypeVar("T")
R = TypeVar("R")


class InputError(Exception):
    """Something the user has to mend. Lists every problem at once, each with its value and its fix."""

    def __init__(self, problems: str | Iterable[str]):
        self.problems = [problems] if isinstance(problems, str) else list(problems)
        super().__init__("\n".join(self.problems))


class DiskFullError(OSError):
    """There is no room for a file. Its text names the file, what it needs and what is free."""

    def __str__(self) -> str:
        return str(self.strerror)


# ---------------------------------------------------------------- files

# What systems raise where a disk, or the share of it a user may fill, is full.
FULL = {errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)}
ZEROS = bytes(2**20)


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success flush it and rename it into place.

    A reader sees the old file, or the whole new one, never a part. On an error the
    temporary file is removed and the old file stays.
    """
    with _named_when_full(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=".partial-", suffix=path.suffix)
        os.close(descriptor)
    temporary = Path(name)
    half_written.add(name)
    try:
        with _named_when_full(path, temporary):
            yield temporary
            with temporary.open("rb+") as stream:
                os.fsync(stream.fileno())
            temporary.chmod(0o666 & ~_umask())
            temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
        half_written.discard(name)


@contextmanager
def _named_when_full(path: Path, temporary: Path | None = None) -> Iterator[None]:
    """Turn the system's "no space left", which names no file, into DiskFullError about `path`."""
    try:
        yield
    except OSError as error:
        if error.errno not in FULL or isinstance(error, DiskFullError):
            raise
        written = temporary.stat().st_size if temporary is not None and temporary.exists() else 0
        raise disk_full(path, written, "more than ") from error


def disk_full(path: Path, needed: int, more: str = "", free: int | None = None) -> DiskFullError:
    """The error that says how many bytes `path` needs and how many are free (None: now)."""
    free = free_space(path) if free is None else free
    return DiskFullError(
        errno.ENOSPC, f"disk full: {path} needs {more}{needed / 1e6:.1f} MB, {free / 1e6:.1f} MB are free"
    )


def free_space(path: Path) -> int:
    """Bytes that can still be written where `path` lies or will lie."""
    return shutil.disk_usage(next(place for place in (path, *path.absolute().parents) if place.exists())).free


def reserve(stream: BinaryIO, size: int, path: Path) -> None:
    """Give an empty file being written its `size` in bytes, so that a full disk is found before the work is done.

    Where the system cannot reserve (Windows, macOS), zeros are written. The stream ends at its start.
    Raises DiskFullError about `path`.
    """
    free = free_space(path)
    try:
        if not _allocate(stream, size):
            for written in range(0, size, len(ZEROS)):
                stream.write(ZEROS[: size - written])
            stream.flush()
    except OSError as error:
        raise disk_full(path, size, free=free) if error.errno in FULL else error from error
    stream.seek(0)


def _allocate(stream: BinaryIO, size: int) -> bool:
    """Reserve by the system's own call; False where it has none, or the file system does not take it."""
    if not hasattr(os, "posix_fallocate"):
        return False
    try:
        os.posix_fallocate(stream.fileno(), 0, size)
    except OSError as error:
        if error.errno in (errno.EOPNOTSUPP, errno.EINVAL):
            return False
        raise
    return True


class Noted:
    """A stream to write to that keeps the first error of writing, for libraries that raise another in its place."""

    def __init__(self, stream: BinaryIO):
        self.stream = stream
        self.error: OSError | None = None

    def write(self, data: bytes) -> int:
        """Write to the stream."""
        try:
            return self.stream.write(data)
        except OSError as error:
            self.error = self.error or error
            raise

    def flush(self) -> None:
        """Flush the stream."""
        self.stream.flush()


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current


def write_text(path: Path, text: str) -> None:
    """Write `text` as UTF-8, whole or not at all."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def write_changed(path: Path, text: str) -> None:
    """Write `text` where the file does not hold it already, so that an unchanged file keeps its time."""
    if not path.is_file() or path.read_bytes() != text.encode():
        write_text(path, text)


def read_csv(path: Path, texts: Iterable[str] = (), **options: Any) -> pd.DataFrame:
    """A table as `to_csv` wrote it: only an empty cell is missing, and a word stays that word, "null" and "NA" too.

    The columns `texts` stay text where they look like numbers; those the table lacks do not matter. `options` are
    pandas'. Raises OSError or ValueError.
    """
    import pandas as pd

    return pd.read_csv(path, dtype=dict.fromkeys(texts, str), keep_default_na=False, na_values=[""], **options)


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON, whole or not at all. NaN and infinity are refused."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """Read a JSON file. Raises OSError or ValueError; RecursionError for one nested a thousand deep."""
    return json.loads(path.read_text(encoding="utf-8"))


def write_sealed(path: Path, value: dict[str, Any]) -> None:
    """Write `value` as JSON with a checksum of itself, for `read_sealed`."""
    write_json(path, value | {SEAL: _seal(value)})


def read_sealed(path: Path) -> dict[str, Any]:
    """The object that `write_sealed` wrote; one without a checksum, of an earlier version, is taken as it is.

    Raises OSError, or ValueError when it is no JSON object or was changed since it was written.
    """
    value = read_json(path)
    if not isinstance(value, dict):
        raise ValueError("it holds no JSON object")
    seal = value.pop(SEAL, None)
    if seal is not None and seal != _seal(value):
        raise ValueError("its checksum does not match: it was changed since it was written")
    return value


def _seal(value: dict[str, Any]) -> str:
    return fingerprint(json.loads(json.dumps(value)), 32)


def lock_in(folder: Path, name: str) -> FileLock:
    """The lock called `name` among those of `folder`, not held yet: all lie in `folder`/.locks, which is made.

    Processes that mean the same thing must give the same folder and name. The files stay, as removing one that
    another process waits for would let two of them in.
    """
    from filelock import FileLock

    (folder / ".locks").mkdir(parents=True, exist_ok=True)
    return FileLock(folder / ".locks" / f"{name}.lock")


def remove_partial_files(folder: Path, older_than_hours: float = 24) -> None:
    """Remove what killed processes left half-written; younger files may belong to a process still running."""
    limit = time.time() - older_than_hours * 3600
    for root, _, names in os.walk(folder):  # goes on where another process has just removed a folder
        for path in (Path(root, name) for name in names if name.startswith(".partial-")):
            with suppress(FileNotFoundError):  # another process has just finished it
                if path.stat().st_mtime < limit:
                    path.unlink()


# ---------------------------------------------------------------- fingerprints


def canonical_json(value: Any) -> str:
    """JSON text that is the same for equal values: sorted keys, no spaces, tuples as lists."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def fingerprint(value: Any, length: int = 8) -> str:
    """First `length` hexadecimal digits of the SHA-256 of a JSON-able value."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()[:length]


def file_fingerprint(path: Path, length: int = 16) -> str:
    """First `length` hexadecimal digits of the SHA-256 of a file's bytes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()[:length]


# ---------------------------------------------------------------- randomness and devices


def derived_seed(*key: int) -> int:
    """A 63-bit seed fixed by the integers of `key`."""
    return int(np.random.SeedSequence(key).generate_state(1, np.uint64)[0] >> 1)


def pick_device(name: str) -> torch.device:
    """The torch device for `name` ("auto", "cpu", "cuda", "cuda:1", "mps").

    Raises InputError when the named device is not there: never a silent change to another one.
    """
    import torch

    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    device = torch.device(name)
    missing_cuda = device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count()
    if missing_cuda or (device.type == "mps" and not torch.backends.mps.is_available()):
        raise InputError(
            f'DEVICE = "{name}" is not available here ({torch.cuda.device_count()} CUDA devices). '
            'Set DEVICE = "auto" or "cpu".'
        )
    return device


def environment(device: torch.device) -> dict[str, Any]:
    """Versions, thread count, hardware and commit: what a rerun elsewhere may differ in."""
    import torch

    packages = (
        "torch",
        "torchvision",
        "timm",
        "albumentations",
        "facenet-pytorch",
        "numpy",
        "pandas",
        "pillow",
    )
    return {
        "python": platform.python_version(),
        "packages": {name: version(name) for name in packages},
        "platform": platform.platform(),
        "cpu": cpu_name(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        "commit": _commit(),
    }


@cache
def cpu_name() -> str:
    """The processor, as its maker calls it."""
    info = Path("/proc/cpuinfo")
    names = [line for line in info.read_text().splitlines() if line.startswith("model name")] if info.exists() else []
    return names[0].split(":", 1)[1].strip() if names else platform.processor()


def _commit() -> str | None:
    """The commit of this checkout; None outside one."""
    try:
        found = subprocess.run(
            ["git", "rev-parse", "HEAD"],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return found.stdout.strip()


# ---------------------------------------------------------------- what the user sees


def without_password(text: str) -> str:
    """`text` with three stars for the password of each address of a server in it."""
    text = re.sub(r"(://[^:/@\s]*:)\S+@", r"\1***@", text)
    return re.sub(r"(password=)[^&\s\"']+", r"\1***", text, flags=re.IGNORECASE)


DAY = 86_400  # seconds


def start_logging(log_file: Path | None = None) -> None:
    """Send the log to the terminal and, with `log_file`, to that file as well, with time and level."""
    from rich.logging import RichHandler

    from fer.console.terminal import console

    log.setLevel(logging.INFO)
    log.handlers.clear()
    log.propagate = False
    if sys.stderr.isatty():
        log.addHandler(RichHandler(console=console(stderr=True), show_path=False, markup=False))
    else:
        log.addHandler(logging.StreamHandler(sys.stderr))
        log.handlers[0].setFormatter(logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S"))
    if log_file is not None:
        log_file.parent.mkdir(parents=True, exist_ok=True)
        to_file = logging.FileHandler(log_file, encoding="utf-8", errors="backslashreplace")
        to_file.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
        log.addHandler(to_file)


def duration(seconds: float) -> str:
    """Seconds in the unit a person would use: 40 s, 12 minutes, 5.5 hours, 12 days."""
    for unit, length in (("days", DAY), ("hours", 3600), ("minutes", 60)):
        if seconds >= 1.5 * length:
            value = seconds / length
            return f"{value:.1f} {unit}" if unit == "hours" else f"{value:.0f} {unit}"
    return f"{seconds:.0f} s"


def log_to_file(lines: Iterable[str]) -> None:
    """Write lines to the log file alone, where there is one: the terminal shows them otherwise."""
    files = [handler for handler in log.handlers if isinstance(handler, logging.FileHandler)]
    for line in lines:
        record = log.makeRecord(log.name, logging.INFO, "", 0, line, (), None)
        for handler in files:
            handler.handle(record)


def warn_once(path: Path, messages: Iterable[str]) -> None:
    """Log those warnings that `path`, a JSON list, does not hold yet, and note them there."""
    try:
        known = [str(message) for message in read_json(path)]
    except (OSError, ValueError, TypeError):
        known = []  # not there, or not readable: said once more
    fresh = [message for message in dict.fromkeys(messages) if message not in known]
    for message in fresh:
        log.warning("%s", message)
    if fresh:
        write_json(path, [*known, *fresh])


def in_threads(do: Callable[..., R], *arguments: Iterable[Any], at_once: int = 4096) -> Iterator[R]:
    """Like `map`, by threads, in order. `at_once` calls wait at most: a million of them would take gigabytes."""
    from concurrent.futures import ThreadPoolExecutor
    from itertools import islice

    calls = zip(*arguments, strict=True)
    with ThreadPoolExecutor() as pool:
        while batch := list(islice(calls, at_once)):
            yield from pool.map(do, *zip(*batch, strict=True))


def progress(items: Iterable[T], what: str, total: int | None = None) -> Iterator[T]:
    """Iterate with a rich progress bar and ETA; without a terminal, with a log line every 15 seconds."""
    if total is None and isinstance(items, Sized):
        total = len(items)
    if sys.stderr.isatty() and log.isEnabledFor(logging.INFO):
        from rich.markup import escape
        from rich.progress import track

        from fer.console.terminal import console

        yield from track(items, escape(what), total=total, console=console(stderr=True), transient=True)
        return
    started = last = time.monotonic()
    for done, item in enumerate(items, 1):
        yield item
        now = time.monotonic()
        if now - last > 15:
            last = now
            enough = total is not None and done >= total / 50  # earlier, starting up would dominate the estimate
            left = f", about {(now - started) / done * (total - done):.0f} s left" if total and enough else ""
            log.info("%s: %d of %s%s", what, done, total or "?", left)
