"""One training over several processes, a GPU each, as torchrun or accelerate launch starts them.

The first is the main process: it alone reads the study, plans, locks, writes and logs. The others wait (`follow`) until
it tells them to do something with it (`tell`); then all work in step. Which process this is and how they exchange
tensors is settled by Accelerate's PartialState; words go by a gloo group of their own, which waits as long as the main
process is busy.
"""

from __future__ import annotations

import logging
import os
import platform
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from fer.machine.extras import need_extra
from utils import InputError, log, pick_device

if TYPE_CHECKING:
    import torch
    from torch import nn

T = TypeVar("T")
STARTED = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR")  # what torchrun says in the environment
PATIENCE = timedelta(days=365)  # how long a word is waited for: the main process may be preparing pictures


class ProcessError(Exception):
    """Work failed in one or several processes; all of them know, and go on together."""


class OutOfStepError(SystemExit):
    """One process failed while the others wait for it: it ends with this text and exit code 1, torchrun ends them."""


class Processes:
    """This process among those that train together: `number` (0: the main one) of `count`."""

    def __init__(self, number: int = 0, count: int = 1, place: int = 0, neighbours: int = 1, words: Any = None):
        """`place`: its number on this computer, of `neighbours`; `words`: the group for anything but tensors."""
        self.number, self.count, self.place, self.neighbours = number, count, place, neighbours
        self._words, self._in_step = words, False

    def __reduce__(self) -> tuple[Callable[[], Processes], tuple[()]]:
        return joined, ()  # sent to another process it is that process

    @property
    def is_main(self) -> bool:
        """Whether this is the process that plans and writes."""
        return self.number == 0

    @property
    def fewest(self) -> int:
        """Pictures a step needs: two for each process, since BatchNorm cannot train on one; alone one."""
        return 1 if self.count == 1 else 2 * self.count

    def device(self, picked: torch.device) -> torch.device:
        """The device of this process where `picked` is what DEVICE means: the GPU of its own number."""
        import torch

        return torch.device("cuda", self.place) if self.count > 1 and picked.type == "cuda" else picked

    def share(self, length: int) -> slice:
        """Its part of so many rows: nearly equal ones, one after another."""
        return share_of(length, self.number, self.count)

    # ------------------------------------------------------------ words

    def lead(self, work: Callable[[], int]) -> int:
        """Do `work` in the main process while the others follow it; returns the exit code."""
        if not self.is_main:
            return self.follow()
        try:
            code = work()
        except Exception:
            self.dismiss()
            raise
        self.dismiss()
        return code

    def tell(self, function: Callable[..., object], *arguments: Any) -> None:
        """From the main process: the others call `function`, of a module, with these arguments, sent by pickle."""
        self._broadcast((function, arguments))

    def follow(self) -> int:
        """Do what the main process tells until it dismisses this one; returns the exit code."""
        while (told := self._broadcast(None)) is not None:
            function, arguments = told
            try:
                function(*arguments)
            except ProcessError:
                log.debug("the main process says it")
        self._leave()
        return 0

    def dismiss(self) -> None:
        """From the main process, at its end: the others end too. Those that wait in a step are ended by torchrun."""
        if self.count > 1 and not self._in_step:
            self._broadcast(None)
            self._leave()

    def from_main(self, value: T) -> T:
        """What the main process has for `value`."""
        return self._broadcast(value) if self.count > 1 else value

    def gathered(self, value: T) -> list[T]:
        """What each process has for `value`, in their order."""
        if self.count == 1:
            return [value]
        import torch

        values: list[Any] = [None] * self.count
        torch.distributed.all_gather_object(values, value, group=self._words)
        return values

    def agreed(self, work: Callable[[], T]) -> T:
        """Do `work` in each process; what it gave here. Raises ProcessError in all of them where it fails in one."""
        if self.count == 1:
            return work()
        result, problem = None, ""
        try:
            result = work()
        except Exception as error:
            problem = f"{self}: {type(error).__name__}: {error}"
        if problems := [problem for problem in self.gathered(problem) if problem]:
            raise ProcessError("; ".join(problems))
        return result  # type: ignore[return-value]

    def __str__(self) -> str:
        return f"process {self.number} of {self.count} on {platform.node()}"

    def _broadcast(self, value: Any) -> Any:
        import torch

        values = [value]
        torch.distributed.broadcast_object_list(values, src=0, group=self._words)
        return values[0]

    def _leave(self) -> None:
        import torch

        torch.distributed.destroy_process_group()

    # ------------------------------------------------------------ tensors, in step

    @contextmanager
    def in_step(self, *agreed: type[Exception]) -> Iterator[None]:
        """Where every process needs all others: what fails in one ends them all, with OutOfStepError.

        `agreed`: errors that all of them raise at the same point, since they know the same; these are left as they are.
        """
        if self.count == 1:
            yield
            return
        known: tuple[type[Exception], ...] = (ProcessError, *agreed)
        self._in_step = True
        try:
            yield
        except known:
            self._in_step = False
            raise
        except Exception as error:
            text = (
                f"{self} stopped while the others needed it: {type(error).__name__}: {error}\n"
                "All end; the first that stopped says why. The same command goes on after the last whole epoch, with "
                "any number of processes."
            )
            log.debug("out of step", exc_info=True)
            raise OutOfStepError(text) from error
        self._in_step = False

    def sum(self, tensor: torch.Tensor) -> torch.Tensor:
        """The sum over all processes, in place."""
        if self.count > 1:
            import torch

            torch.distributed.all_reduce(tensor)
        return tensor

    def total(self, value: torch.Tensor | float, device: torch.device) -> torch.Tensor | float:
        """The sum of a number over all processes; alone the number itself."""
        if self.count == 1:
            return value
        import torch

        return self.sum(torch.as_tensor(value, dtype=torch.float32, device=device).clone())

    def add_gradients(self, network: nn.Module) -> None:
        """Each parameter's gradient becomes the sum over all processes, by one exchange after the backward pass.

        Not torch's DistributedDataParallel, which exchanges during it: that takes means (shares of a batch need not be
        equal), is built anew for every stage of frozen layers, and fails where a network leaves parameters unused.
        """
        if self.count == 1:
            return
        import torch

        gradients = [parameter.grad for parameter in network.parameters() if parameter.grad is not None]
        flat = self.sum(torch.cat([gradient.reshape(-1) for gradient in gradients]))
        for gradient, part in zip(gradients, flat.split([one.numel() for one in gradients]), strict=True):
            gradient.copy_(part.view(gradient.shape))

    def take_buffers(self, network: nn.Module) -> None:
        """The running statistics of the main process's network, in every process."""
        if self.count > 1:
            import torch

            for buffer in network.buffers():
                torch.distributed.broadcast(buffer, src=0)


ALONE = Processes()


def share_of(length: int, number: int, count: int) -> slice:
    """Part `number` (from 0) of `count` nearly equal parts of so many rows, as numpy.array_split makes them."""
    size, larger = divmod(length, count)
    start = number * size + min(number, larger)
    return slice(start, start + size + (number < larger))


# ---------------------------------------------------------------- joining

_joined = ALONE


def joined() -> Processes:
    """This process among those that `join` found; ALONE before it, and for a plain command."""
    return _joined


def join(device: str) -> Processes:
    """Meet the processes that torchrun or accelerate launch started; ALONE for a plain command. `device`: DEVICE.

    Raises InputError where the extra is not installed, or a process would have no GPU of its own.
    """
    global _joined
    if not was_launched():
        return ALONE
    need_extra("accelerate", "accelerate")
    picked = pick_device(device)
    _refuse_device(device, picked)
    import torch
    from accelerate import PartialState

    state = PartialState(cpu=picked.type == "cpu")
    words = torch.distributed.new_group(backend="gloo", timeout=PATIENCE)
    neighbours = int(os.environ.get("LOCAL_WORLD_SIZE", 1))
    _joined = Processes(state.process_index, state.num_processes, state.local_process_index, neighbours, words)
    return _joined


def was_launched() -> bool:
    """Whether this is one of several processes that torchrun or accelerate launch started."""
    return all(name in os.environ for name in STARTED) and int(os.environ["WORLD_SIZE"]) > 1


def is_follower() -> bool:
    """Whether this process was started as another than the main one."""
    return was_launched() and os.environ["RANK"] != "0"


def hush() -> None:
    """Of the processes that train together, only the main one logs; the others say what is an error."""
    if is_follower():
        log.setLevel(logging.ERROR)


def _refuse_device(name: str, picked: torch.device) -> None:
    import torch

    place = int(os.environ["LOCAL_RANK"])
    if picked.type == "cuda" and picked.index is not None:
        raise InputError(f'DEVICE = "{name}" is one GPU, and several processes train: each takes its own by "cuda".')
    if picked.type == "cuda" and place >= torch.cuda.device_count():
        raise InputError(
            f"{platform.node()} has {torch.cuda.device_count()} GPUs and process {place + 1} there would need one "
            "more. Lower --nproc-per-node."
        )
    if picked.type == "mps":
        raise InputError('DEVICE = "mps" trains in one process. Start python main.py, or set DEVICE = "cpu".')
