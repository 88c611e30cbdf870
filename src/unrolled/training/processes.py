"""One training shared by several processes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed


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

    def sum(self, numbers: Sequence[float]) -> list[float]:
        """Each number summed over all processes; all must call it."""
        if self.count == 1:
            return list(numbers)
        totals = torch.tensor(numbers, dtype=torch.float64, device="cpu")
        torch.distributed.all_reduce(totals)
        return totals.tolist()


ALONE = Processes()
"""A process that trains by itself."""
