"""Devices, and one training shared by several processes."""

from __future__ import annotations

import atexit
import datetime
import logging
import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from inspect import signature
from typing import TYPE_CHECKING, Any, cast

import torch
import torch.distributed

from unrolled.errors import RUNTIME, UserError

if TYPE_CHECKING:
    from lightning_fabric import Fabric

    from unrolled.training.options import TrainingOptions

_PRECISION = {"32": "32-true", "64": "64-true", "bf16-mixed": "bf16-mixed"}
_PATIENCE = datetime.timedelta(days=1)
"""How long a process waits for the others; one that has ended is noticed at once."""

_BUFFERS = next(
    name
    for name in ("forward_sync_buffers", "broadcast_buffers")
    if name in signature(torch.nn.parallel.DistributedDataParallel).parameters
)


@dataclass(frozen=True)
class Processes:
    """The processes that train one model together, as one of them sees them.

    Attributes:
        rank: Number of this process, from 0.
        count: Number of processes.
    """

    rank: int = 0
    count: int = 1

    @property
    def first(self) -> bool:
        """Whether this is the process that writes the run folder."""
        return self.rank == 0

    def part(self, count: int) -> slice:
        """This process's part of some rows in order, as equal to the others' as may be."""
        return slice(count * self.rank // self.count, count * (self.rank + 1) // self.count)

    def gather(self, value: Any) -> list[Any]:
        """The values of all processes, in order of rank; all must call it."""
        if self.count == 1:
            return [value]
        values: list[Any] = [None] * self.count
        torch.distributed.all_gather_object(values, value)
        return values

    @contextmanager
    def together(self) -> Iterator[None]:
        """A block that fails in every process if a user's error ends it in one.

        Raises:
            UserError: The first of theirs, in order of rank.
        """
        problem: UserError | None = None
        try:
            yield
        except UserError as error:
            problem = error
        found = self.gather(None if problem is None else (str(problem), problem.code))
        if problem is not None:
            raise problem
        for words, code in filter(None, found):
            raise UserError(words, code=code)

    def sum(self, numbers: Sequence[float]) -> list[float]:
        """Each number summed over all processes; all must call it."""
        return self._reduced(numbers, torch.distributed.ReduceOp.SUM)

    def largest(self, numbers: Sequence[float]) -> list[float]:
        """The largest of each number over all processes; all must call it."""
        return self._reduced(numbers, torch.distributed.ReduceOp.MAX)

    def _reduced(self, numbers: Sequence[float], operation: Any) -> list[float]:
        if self.count == 1:
            return list(numbers)
        both = torch.tensor(numbers, dtype=torch.float64, device="cpu")
        torch.distributed.all_reduce(both, operation)
        return cast("list[float]", both.tolist())


ALONE = Processes()
"""A process that trains by itself."""


def choose_device(name: str) -> str:
    """The device to use: ``cpu``, ``cuda`` or ``mps``; ``auto`` takes what is there.

    Raises:
        UserError: The device is not there.
    """
    there = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if name == "auto":
        return next(device for device, available in there.items() if available)
    if not there.get(name, False):
        present = ", ".join(device for device, available in there.items() if available)
        raise UserError(f"--device {name}: not available here; available: {present}")
    return name


@contextmanager
def launched(options: TrainingOptions) -> Iterator[tuple[Fabric, Processes]]:
    """Fabric on a device, in this process or in several, until the block ends.

    Several processes are those that torchrun has started, or Fabric starts them now: each runs the
    program's command once more. They share gradients by gloo on the CPU and NCCL on GPUs. They can
    find each other only once, so they stay connected for the program's next training.

    Raises:
        UserError: The device is not there; or the program has had several processes before and
            these have failed, or were of another number.
    """
    from lightning_fabric import Fabric
    from lightning_fabric.strategies.ddp import DDPStrategy

    # Fabric tells of every process that it starts, and of the precision.
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    device = choose_device(options.device)
    here, machines = options.processes, 1
    if torch.distributed.is_available() and torch.distributed.is_torchelastic_launched():
        here = int(os.environ["LOCAL_WORLD_SIZE"])
        machines = int(os.environ["WORLD_SIZE"]) // here
    shared = here * machines > 1
    strategy = DDPStrategy(
        process_group_backend="cpu:gloo,cuda:nccl" if device == "cuda" else "gloo",
        timeout=_PATIENCE,
        # every process has the same buffers; torch has renamed the option
        **cast("dict[str, Any]", {_BUFFERS: False}),
    )
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*GPU available but not used.*")
        fabric = Fabric(
            accelerator=device,
            devices=here,
            num_nodes=machines,
            strategy=strategy if shared else "auto",
            precision=cast(Any, _PRECISION[options.precision]),
        )
    if not shared:
        yield fabric, ALONE
        return
    _check_connection(here * machines)
    fabric.launch()
    if options.threads:  # Fabric has set the number anew
        torch.set_num_threads(options.threads)
    _connected.append(fabric.world_size)
    try:
        yield fabric, Processes(fabric.global_rank, fabric.world_size)
    except BaseException:
        _disconnect()  # others that wait for this process learn that it is gone
        raise


_connected: list[int] = []
"""Numbers of processes of this program's trainings so far, those that several have shared."""


def _check_connection(count: int) -> None:
    if not _connected:
        atexit.register(_disconnect)
    elif not torch.distributed.is_initialized():
        raise UserError(
            "a training of several processes has failed before; start the program again",
            code=RUNTIME,
        )
    elif count != _connected[0]:
        raise UserError(
            f"--processes {count}: the program has begun with {_connected[0]}; start it again"
        )


def _disconnect() -> None:
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


@contextmanager
def reported_once() -> Iterator[None]:
    """A block whose errors of users the first of several processes reports, and no other.

    In the others the block just ends: an exit code that is not 0 would let Fabric kill the first
    one before it has said a word.

    Raises:
        UserError: In the first process, that of the block, or that another process is gone.
    """
    try:
        yield
    except UserError:
        if _rank() == 0:
            raise
    except RuntimeError as error:
        if not _is_lost(error):
            raise
        if _rank() == 0:
            raise UserError(
                "another process of this training ended; --resume goes on from the last checkpoint",
                code=RUNTIME,
            ) from error


def _rank() -> int:
    """Number of this process, known before it has joined the others."""
    if torch.distributed.is_available() and torch.distributed.is_torchelastic_launched():
        return int(os.environ["RANK"])
    started = {"LOCAL_RANK", "NODE_RANK", "WORLD_SIZE", "MASTER_PORT"} <= os.environ.keys()
    return int(os.environ["LOCAL_RANK"]) if started else 0


def _is_lost(error: RuntimeError) -> bool:
    """Whether a process has lost the connection to another; gloo says so in words only."""
    lost = isinstance(error, torch.distributed.DistError)
    return lost or "Connection closed" in str(error) or "gloo" in str(error)
