"""Text on its way to the terminal: shown as it is, on whatever terminal there is.

Names that come from users (paths, classes, people) are text and never markup, and a character that the terminal
cannot show is replaced and never an error.
"""

from __future__ import annotations

import codecs
import errno
import io
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

# For terminals without them; anything else they lack becomes "?".
PLAIN = {"±": "+/-", "…": "...", "×": "x", "−": "-", "–": "-", "▶": ">", "·": "|", "≥": ">=", "≤": "<=", "é": "e"}
REPLACEMENT = "fer_plain"


def prepare_streams() -> None:
    """Let standard output and error take any text, and stand where the caller closed them."""
    codecs.register_error(REPLACEMENT, _plain)
    descriptor = os.open(os.devnull, os.O_RDWR)
    while descriptor < 3:  # closed by the caller; the next file opened would get the messages
        descriptor = os.open(os.devnull, os.O_RDWR)
    os.close(descriptor)
    sys.stdout = sys.stdout or Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - open to the end
    sys.stderr = sys.stderr or sys.stdout
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=REPLACEMENT)


def _plain(error: UnicodeError) -> tuple[str, int]:
    """Error handler for encoding: what this terminal shows instead of characters it has not."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(PLAIN.get(letter, "?") for letter in error.object[error.start : error.end]), error.end


def console(stderr: bool = False, **options: Any) -> Console:
    """A rich console that shows text as it is: no markup, no emoji codes, no colours by guess."""
    from rich.console import Console

    return Console(stderr=stderr, markup=False, emoji=False, highlight=False, **options)


# ---------------------------------------------------------------- errors of the file system, in words

WHAT_TO_DO = {
    (errno.EACCES, errno.EPERM): "Give your account the right to read and write there, or name another folder",
    (errno.EROFS,): "That disk can only be read. Name another folder",
    (errno.ENOSPC, errno.EDQUOT): "Free space there, or name a folder on another disk",
    (errno.ENAMETOOLONG,): "Give it a shorter name: at most 255 bytes between two slashes",
    (errno.ENOENT,): "Was it moved or removed while in use? Put it back, or correct its path",
    (errno.ENOTDIR, errno.EISDIR, errno.EEXIST): "A file stands where a folder is meant, or the other way round; "
    "rename it, or name another place",
    (errno.ELOOP,): "Its links lead in a circle. Name the place itself",
    (errno.EMFILE, errno.ENFILE): "Raise the limit of open files (ulimit -n), or lower WORKERS",
    (errno.EIO, errno.ESTALE, errno.ENODEV, errno.ENXIO): "The disk or its mount does not answer. Mount it again, or "
    "name another folder",
}  # fmt: skip


def file_problem(error: OSError, where: Path) -> str:
    """One sentence on what the file system refused, with the path and what to do.

    `where` is named for errors that hold no path (a full disk while writing): the folder that was written to.
    """
    named = next((name for name in (error.filename2, error.filename) if isinstance(name, str | bytes)), None)
    path = Path(os.fsdecode(named)) if named is not None else where
    if path.name.startswith(".partial-"):  # beside the file that was to be written
        path = path.parent
    advice = next((text for numbers, text in WHAT_TO_DO.items() if error.errno in numbers), "Name another place")
    return f"{path}: {error.strerror or error}. {advice}, and run the same command again."


def stdout_problem() -> str | None:
    """Why standard output takes nothing more (its disk is full, its reader left); None where an empty line goes out.

    After a problem it leads nowhere, so that nothing fails once more when the process ends.
    """
    try:
        print(flush=True)
    except OSError as error:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
        return f"standard output takes nothing more ({error.strerror}); the rest was not printed."
    except ValueError:  # closed
        return "standard output is closed; the rest was not printed."
    return None
