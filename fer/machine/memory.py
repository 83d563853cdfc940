"""Memory of a training: how much it took, whether it ran out, and how many pictures at a time were seen to fit."""

from __future__ import annotations

import gc
import re
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
from filelock import FileLock

from utils import cpu_name, log, read_json, write_json

if TYPE_CHECKING:
    import torch

SAMPLED_EVERY = 0.02  # seconds
MIB = 2**20
# What torch says in RuntimeErrors when an allocation fails: its CPU allocator, CUDA's libraries, Apple's GPUs.
RAN_OUT = re.compile(r"not enough memory|can't allocate memory|out of memory|CUBLAS_STATUS_ALLOC_FAILED", re.IGNORECASE)
WORKER = re.compile(r"DataLoader worker \(pid(?:\(s\))? [\d, ]+\)[^.]*|DataLoader worker process \d+")


class PeakMemory:
    """Measures while it is entered: the peaks of one run, whatever ran before it in this process.

    `gpu_mb`: MiB torch had allocated on the GPU at most; None elsewhere. `ram_mb`: MiB by which this process (its
    workers apart) grew at most since the start, sampled by a thread; on Linux without files mapped into memory, which
    the system can drop.
    """

    def __init__(self, device: torch.device):
        self.device = device
        self._stop = threading.Event()
        self._sampler = threading.Thread(target=self._sample, daemon=True)

    def __enter__(self) -> PeakMemory:
        gc.collect()  # what an earlier run left must not be counted, nor be reused uncounted
        if self.device.type == "cuda":
            import torch

            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats(self.device)
        self._start = self._peak = _own_memory()
        self._sampler.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._sampler.join()

    @property
    def gpu_mb(self) -> float | None:
        """Peak so far."""
        if self.device.type != "cuda":
            return None
        import torch

        return torch.cuda.max_memory_allocated(self.device) / MIB

    @property
    def ram_mb(self) -> float:
        """Peak so far."""
        self._peak = max(self._peak, _own_memory())
        return (self._peak - self._start) / MIB

    def _sample(self) -> None:
        while not self._stop.wait(SAMPLED_EVERY):
            self._peak = max(self._peak, _own_memory())


def _own_memory() -> int:
    used = psutil.Process().memory_info()
    return used.rss - getattr(used, "shared", 0)


# ---------------------------------------------------------------- when it runs out


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory of the GPU or of the computer ran out."""
    import torch

    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and bool(RAN_OUT.search(str(error)))


def lost_worker(error: BaseException) -> str:
    """Which process that prepares batches was killed or ran out of memory, and by what; "" for any other error."""
    found = WORKER.search(str(error))
    killed = isinstance(error, RuntimeError) and found is not None and "pid" in found.group()
    return found.group().strip() if found and (killed or is_out_of_memory(error)) else ""


# ---------------------------------------------------------------- what fitted


def hardware_name(device: torch.device) -> str:
    """GPU type, or the processor and memory of this computer, as part of a file name."""
    import torch

    if device.type == "cuda":
        name = torch.cuda.get_device_name(device)
    else:
        name = f"{device.type} {cpu_name()} {psutil.virtual_memory().total / 2**30:.0f} GiB"
    return re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-")[:80]


def fitting_size(path: Path | None, network: str) -> int | None:
    """Pictures at a time `network` was seen to fit with after memory ran out; None where it never did."""
    size = _sizes(path).get(network)
    return size if isinstance(size, int) and size > 0 else None


def note_fitting_size(path: Path | None, network: str, size: int) -> None:
    """Keep it for later commands on the same hardware."""
    if path is None:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_suffix(".lock")):
        write_json(path, _sizes(path) | {network: size})


def _sizes(path: Path | None) -> dict[str, int]:
    if path is None or not path.is_file():
        return {}
    try:
        sizes = read_json(path)
    except (OSError, ValueError) as error:
        log.warning("%s is damaged (%s); it is made again.", path, error)
        return {}
    return sizes if isinstance(sizes, dict) else {}
