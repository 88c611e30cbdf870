"""State of a training as a checkpoint holds it: collected from its parts, given back to them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from unrolled.errors import UserError
from unrolled.training import carry as carried
from unrolled.training.optimizer import WeightAverage
from unrolled.training.position import Position
from unrolled.training.processes import Processes
from unrolled.training.run_folder import checkpoint as ckpt
from unrolled.training.task import Opened
from unrolled.training.updates import Updates

if TYPE_CHECKING:
    from lightning_fabric import Fabric

Start = tuple[dict[str, Tensor], dict[str, Any]]
"""A checkpoint's tensors and record."""


class TrainingState:
    """Weights, optimizer, moving average, carry, random numbers and position of a training.

    Args:
        opened: Model, batches and loss.
        updates: The updates, with optimizer, position and carry.
        average: Moving average of the weights, if there is one.
        fabric: Device of the model.
        processes: Those that train together.
    """

    def __init__(
        self,
        opened: Opened,
        updates: Updates,
        average: WeightAverage | None,
        fabric: Fabric,
        processes: Processes,
    ) -> None:
        self._opened, self._updates, self._average = opened, updates, average
        self._fabric, self._processes = fabric, processes

    def collect(self) -> Start:
        """Tensors and record of a checkpoint; empty in all processes but the one that writes it.

        All processes must call it.
        """
        carry = self._updates.carry
        own = (ckpt.random_state(), list(carried.leaves(carry)), carried.form(carry))
        everyone = self._processes.gather(own)
        if not self._processes.first:
            return {}, {}
        moments, values = ckpt.optimizer_state(self._plain_optimizer())
        tensors = (
            ckpt.over("model", self._opened.model.state_dict())
            | ckpt.over("optimizer", moments)
            | (ckpt.over("average", self._average.state()) if self._average else {})
        )
        for rank, (random, state, _) in enumerate(everyone):
            tensors |= ckpt.over(f"random.{rank}", random) | ckpt.over(f"carry.{rank}", state)
        record = {
            "position": asdict(self._updates.position),
            "optimizer": values,
            "carry": [form for _, _, form in everyone],
        }
        return tensors, record

    def restore(self, tensors: dict[str, Tensor], record: dict[str, Any]) -> None:
        """Go on from a checkpoint; the weights are loaded already.

        Raises:
            UserError: There were more or fewer processes, or the position is damaged.
            ValueError: Something else does not fit; damage may also raise a LookupError, TypeError,
                AttributeError or RuntimeError.
        """
        ckpt.load_optimizer(
            self._plain_optimizer(), ckpt.under(tensors, "optimizer"), record["optimizer"]
        )
        position = Position.from_record(record["position"])
        if position.index >= self._opened.batches.count(position.epoch):
            raise ValueError(f"position: there is no batch {position.index}")
        self._updates.position = position
        self._restore_own(tensors, record["carry"])
        self._try_carry()
        if self._average is not None:
            average = ckpt.under(tensors, "average")
            # A run extended with --ema switched on begins to average here.
            self._average.load(average or dict(self._opened.model.named_parameters()))
        ckpt.load_random_state(ckpt.under(tensors, f"random.{self._processes.rank}"))

    def _restore_own(self, tensors: dict[str, Tensor], forms: Sequence[Any]) -> None:
        """Take what this process carried.

        Raises:
            UserError: There were more or fewer processes.
        """
        rank, count = self._processes.rank, self._processes.count
        if len(forms) != count:
            raise UserError(
                f"its batches were shared by {len(forms)} processes, now there are {count}; go on "
                "with as many"
            )
        carry = carried.rebuilt(forms[rank], ckpt.under(tensors, f"carry.{rank}"))
        self._updates.carry = carried.mapped(lambda leaf: leaf.to(self._fabric.device), carry)

    def _try_carry(self) -> None:
        """Run the model on a batch with what is carried; it raises if that does not fit."""
        position = self._updates.position
        if self._updates.carry is None:
            return
        batch = self._opened.batches.batch(position.epoch, position.index)
        if batch is not None:
            with torch.no_grad():
                self._opened.loss(
                    self._updates.model, self._fabric.to_device(batch), self._updates.carry
                )

    def _plain_optimizer(self) -> torch.optim.Optimizer:
        """The optimizer that Fabric wraps."""
        return self._updates.optimizer.optimizer  # type: ignore[attr-defined,no-any-return]
