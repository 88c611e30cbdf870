"""Updates of a model's weights, one after another, from batches and a loss."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from unrolled.training import carry as carried
from unrolled.training.batches import Batches
from unrolled.training.optimizer import clip_gradients
from unrolled.training.position import Position
from unrolled.training.processes import ALONE, Processes
from unrolled.training.task import Loss

LossFunction = Callable[[nn.Module, Any, Any], Loss]


@dataclass(frozen=True, slots=True)
class Update:
    """One update.

    Attributes:
        loss: Mean loss of the batch before it, over all processes.
        count: What it is the mean of.
        norm: The gradient's norm before clipping.
        clipped: Whether it was clipped.
    """

    loss: float
    count: int
    norm: float
    clipped: bool


class NotFiniteError(ArithmeticError):
    """A loss or a gradient that is not finite; the weights are those before the update.

    Attributes:
        loss: The loss.
        norm: The gradient's norm.
        batch: The batch.
        carry: What was carried into it.
    """

    def __init__(self, loss: float, norm: float, batch: Any, carry: Any) -> None:
        what = f"the loss is {loss}" if not math.isfinite(loss) else f"the gradient norm is {norm}"
        super().__init__(what)
        self.loss, self.norm, self.batch, self.carry = loss, norm, batch, carry


class Updates:
    """Updates of a model's weights, one after another: loss, gradient, clipping, step.

    What a batch's loss carries is detached and handed on with the epoch's next batch.

    Args:
        model: The model, perhaps wrapped for several processes.
        loss: Its loss on a batch.
        batches: The data.
        optimizer: The optimizer.
        clip: Largest norm of the gradient; 0 for none.
        usual_count: Count of an ordinary batch: a batch is weighted by its count over this. None
            gives every batch the same weight.
        skip: Leave an update out whose gradient alone is not finite, instead of raising.
        position: Where to begin; kept up to date.
        processes: Those that share the batches.
        backward: Differentiates.
        moved: Moves a batch to the model's device.
    """

    def __init__(
        self,
        model: nn.Module,
        loss: LossFunction,
        batches: Batches,
        optimizer: torch.optim.Optimizer,
        *,
        clip: float = 0.0,
        usual_count: float | None = None,
        skip: bool = False,
        position: Position | None = None,
        processes: Processes = ALONE,
        backward: Callable[[Tensor], object] = torch.autograd.backward,
        moved: Callable[[Any], Any] = lambda batch: batch,
    ) -> None:
        self.model, self.batches, self.optimizer = model, batches, optimizer
        self.position = Position() if position is None else position
        self.carry: Any = None
        self._loss, self._clip, self._usual, self._skip = loss, clip, usual_count, skip
        self._processes, self._backward, self._moved = processes, backward, moved
        self._parameters = list(model.parameters())

    def next(self) -> Update:
        """Make the next update.

        Raises:
            NotFiniteError: The loss or the gradient is not finite.
        """
        position, before = self.position, self.carry
        batch = self.batches.batch(position.epoch, position.index)
        share = 1
        if batch is None:  # fewer sequences than processes: take part, with weight zero
            batch, share = self._any_batch(), 0
        batch = self._moved(batch)
        loss = self._loss(self.model, batch, before)
        count = loss.count * share
        weight = 1.0
        if self._usual is not None:
            # Gradients of several processes are averaged: their number makes it a sum again.
            weight = count * self._processes.count / self._usual
        if weight or self._processes.count > 1:
            self._backward(loss.mean if weight == 1 else loss.mean * weight)
        value = float(loss.mean.detach()) if weight else 0.0
        if self._processes.count > 1:
            total, items = self._processes.sum([value * count, count])
            value, count = total / max(items, 1), int(items)
        norm = clip_gradients(self._parameters, self._clip)
        finite = math.isfinite(norm)
        if not math.isfinite(value) or not (finite or self._skip):
            raise NotFiniteError(value, norm, batch, before)
        if finite and (count or self._usual is None):
            self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.carry = carried.mapped(Tensor.detach, loss.carry)

        position.step += 1
        position.index += 1
        if position.index == self.batches.count(position.epoch):
            position.epoch, position.index, self.carry = position.epoch + 1, 0, None
        return Update(value, count, norm, not finite or 0 < self._clip < norm)

    def set_rate(self, rate: float) -> None:
        """Set the learning rate of the updates to come."""
        for group in self.optimizer.param_groups:
            group["lr"] = rate

    def _any_batch(self) -> Any:
        found = (self.batches.batch(0, index) for index in range(self.batches.count(0)))
        return next(batch for batch in found if batch is not None)
