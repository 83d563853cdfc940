"""Ctrl-C: one line, exit code 130, within two seconds, whatever the program is doing just then.

Needs the standard library alone, since it stands before all other imports. A process that dies at any moment loses
at most an epoch, so leaving at once is safe; it only has to be orderly where that is quick.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from types import FrameType
from typing import NoReturn

STOPPED = (
    "stopped. Finished runs are kept, the current one goes on after its last whole epoch: run the same command again."
)
EXIT_CODE = 130
GRACE = 1.0  # seconds for an orderly end; after them the process leaves as it is
SHOW_CURSOR = "\x1b[?25h"  # a progress bar hides it

half_written: set[str] = set()  # temporary files to remove on leaving; kept by utils.atomic_path
_watching = False


def leave_on_ctrl_c() -> None:
    """From now on Ctrl-C ends the process at once. Where it is ignored (nohup), it stays ignored."""
    global _watching
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        return
    signal.signal(signal.SIGINT, lambda *_: leave())
    # A process that leaves at once does not give back its semaphores; multiprocessing's tracker, which lives a moment
    # longer, removes them, and would print a warning about each kind. It is started with these options.
    sys.warnoptions.append("ignore:resource_tracker:UserWarning")
    reader, writer = socket.socketpair()
    writer.setblocking(False)
    # Python runs handlers between two of its own instructions; the byte comes also while a library computes.
    signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
    threading.Thread(target=_leave_after_grace, args=(reader, writer), daemon=True).start()
    _watching = True


def raise_on_ctrl_c() -> None:
    """After `leave_on_ctrl_c`: Ctrl-C raises KeyboardInterrupt, and ends the process if that takes over a second."""
    if _watching:
        signal.signal(signal.SIGINT, _raise_once)


def _raise_once(_number: int, _frame: FrameType | None) -> NoReturn:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second one would break the orderly end of the first
    raise KeyboardInterrupt


def _leave_after_grace(reader: socket.socket, _writer: socket.socket) -> None:
    while signal.SIGINT not in reader.recv(64):
        pass
    time.sleep(GRACE)
    leave()


def leave(say: bool = True) -> NoReturn:
    """End this process and its workers now, with exit code 130; `say` what happens to the work."""
    if say:
        with contextlib.suppress(OSError):  # a closed terminal: nobody to tell
            cursor = SHOW_CURSOR if os.isatty(2) else ""
            os.write(2, f"{cursor}{STOPPED}\n".encode())
    # Not imported here: another thread may just be importing it, and this one would wait for that.
    active_children = getattr(sys.modules.get("multiprocessing"), "active_children", list)
    for worker in active_children():
        worker.kill()
    for path in list(half_written):
        with contextlib.suppress(OSError):
            os.unlink(path)  # noqa: PTH108 - pathlib may not be imported yet
    os._exit(EXIT_CODE)


@contextlib.contextmanager
def children_without_ctrl_c() -> Iterator[None]:
    """Processes started inside never see Ctrl-C: their parent ends them, and they print nothing of their own."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    from multiprocessing import resource_tracker

    resource_tracker.ensure_running()  # started later, inside, it would unblock the signal for whatever follows it
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
