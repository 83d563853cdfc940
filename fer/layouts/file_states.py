"""What lies where a picture or a label file should be: size, time of change, and why it cannot be opened, if so.

Nothing is opened here: opening a FIFO waits for a writer, for ever.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

KINDS = {
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFDIR: "a folder",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}
GONE = "cannot be opened: there is no such file"


@dataclass(frozen=True)
class FileState:
    """Size in bytes and time of change of a file; `problem` says why it cannot be read, "" where it can."""

    size: int = 0
    mtime_ns: int = 0
    problem: str = ""


def file_state(file: str | os.PathLike[str]) -> FileState:
    """The state of what a path leads to, links followed. Never raises for what lies there."""
    try:
        found = os.stat(file)  # noqa: PTH116 - a Path costs five times as much, and there are 100,000 of them
    except OSError as error:
        return FileState(problem=_unopened(error, os.path.islink(file)))  # noqa: PTH114
    return _judged(file, found)


def file_states(root: Path, files: Collection[str]) -> dict[str, FileState]:
    """The state of each of `files` (posix paths below `root`); one listing per folder instead of a look-up per path."""
    wanted: dict[str, set[str]] = {}
    for file in files:
        folder, _, name = file.rpartition("/")
        wanted.setdefault(folder, set()).add(name)
    states: dict[str, FileState] = {}
    for folder, names in sorted(wanted.items()):
        found = _states_in(root / folder, names)
        states |= {f"{folder}/{name}" if folder else name: found[name] for name in sorted(names)}
    return states


def _states_in(folder: Path, names: set[str]) -> dict[str, FileState]:
    try:
        with os.scandir(folder) as entries:
            found = {entry.name: _state_of(entry) for entry in entries if entry.name in names}
    except OSError as error:
        return dict.fromkeys(names, FileState(problem=f"its folder {_unopened(error, folder.is_symlink())}"))
    return dict.fromkeys(names, FileState(problem=GONE)) | found


def _state_of(entry: os.DirEntry[str]) -> FileState:
    try:
        return _judged(entry.path, entry.stat())
    except OSError as error:
        return FileState(problem=_unopened(error, entry.is_symlink()))


def _judged(file: str | os.PathLike[str], found: os.stat_result) -> FileState:
    problem = ""
    if not stat.S_ISREG(found.st_mode):
        problem = f"cannot be opened: no file but {KINDS.get(stat.S_IFMT(found.st_mode), 'something else')}"
    elif not os.access(file, os.R_OK):
        problem = f"cannot be opened: {os.strerror(errno.EACCES)}"
    return FileState(found.st_size, found.st_mtime_ns, problem)


def _unopened(error: OSError, is_link: bool) -> str:
    """Why `error` came, in words; data tools (git-annex, DVC) leave links to pictures that are not fetched."""
    if error.errno == errno.ELOOP:
        return "cannot be opened: a link that leads back to itself"
    if is_link and error.errno in (errno.ENOENT, errno.ENOTDIR):
        return "cannot be opened: a link to something that is not there"
    return GONE if error.errno == errno.ENOENT else f"cannot be opened: {error.strerror or error}"
