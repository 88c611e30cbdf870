"""A user's losses, checked, and how their gradients are to be computed: the plan of an analysis."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from .memory import format_memory, parse_memory
from .recording import Strand, call, recording

Loss = Callable[[Any], Tensor]
Steps = int | Sequence[int] | None

NODE = 1000
"""Bytes of a tensor and its node in the graph beside the numbers (benchmarks/lens.py)."""

BLOCK = 128
"""Losses of one backward pass, if memory allows: more of them are no faster."""


@dataclass(frozen=True)
class Plan:
    """What an analysis is going to do.

    Attributes:
        steps: the losses whose gradients are asked for, by their time.
        window: how many steps back; None for all.
        block: losses of one backward pass.
        causal: whether no loss depends on states that come after it. Found out by trial: where
            later states are NaN, earlier losses are still numbers.
        per_row: whether there is a loss for each row, ``[T, N]``.
        time: steps of the sequence T.
        rows: of the batch, N.
        losses: how many there are in all.
    """

    steps: tuple[int, ...]
    window: int | None
    block: int
    causal: bool
    per_row: bool
    time: int
    rows: int
    losses: int

    def blocks(self) -> Iterator[tuple[tuple[int, ...], range]]:
        """Losses of one pass, and the steps k that matter to one of them."""
        for first in range(0, len(self.steps), self.block):
            block = self.steps[first : first + self.block]
            start = 0 if self.window is None else max(0, min(block) - self.window)
            yield block, range(start, max(block) + 1 if self.causal else self.time)

    def outside(self, count: int) -> Tensor:
        """Bools ``[len(steps), count]`` that say which (t, k) are beyond the window."""
        t, k = (
            torch.tensor(self.steps, dtype=torch.int64, device="cpu").unsqueeze(-1),
            torch.arange(count, dtype=torch.int64, device="cpu"),
        )
        if self.window is None:
            return torch.zeros(len(self.steps), count, dtype=torch.bool, device="cpu")
        return k < t - self.window


def make_plan(
    model: nn.Module,
    x: Any,
    loss: Loss,
    *,
    verb: str,
    steps: Steps,
    window: int | None,
    memory: int | str,
    per_loss: Callable[[Strand], int],
    kept: Callable[[Strand, int], int],
) -> Plan:
    """Try the model without a graph, check the losses, and see that memory will do.

    Args:
        model: what is looked at.
        x: its input.
        loss: of its output.
        verb: who asks, for errors.
        steps: which losses: all, every so many, or those given.
        window: how many steps back to look, or None.
        memory: the most that may be used, in bytes or in words.
        per_loss: bytes that the gradients of one loss take at one step of a strand.
        kept: bytes of the result for a strand and a number of losses.

    Raises:
        TypeError: if an argument is of a wrong kind.
        ValueError: if the losses are not one for each step, a step does not exist, or the work
            would not fit into memory.
    """
    limit = parse_memory(memory, verb)
    if window is not None and (not isinstance(window, int) or isinstance(window, bool)):
        raise TypeError(f"{verb}: window must be a number of steps, got {type(window).__name__}")
    if window is not None and window < 0:
        raise ValueError(f"{verb}: window must be 0 or more, got {window}")
    with recording(model, verb, graph=False) as recorder:
        output = call(model, x)
        recorder.check_used(verb)
        strands = [strand for strand in recorder.strands.values() if strand.steps]
        lengths = [len(strand.steps) for strand in strands]
        time = max(lengths)
        losses, single = losses_of(loss, output, verb, time)
        if len(losses) not in lengths:
            raise ValueError(
                f"{verb}: loss must give one value for each of the {time} steps, "
                f"got {list(losses.shape)}"
            )
        if steps is None and single:
            steps = (-1,)
        chosen = choose(steps, len(losses), verb)
        rows = strands[-1].steps[-1].after[0].shape[0]
        if losses.ndim == 2 and losses.shape[1] != rows:
            raise ValueError(
                f"{verb}: loss must give [T] or [T, N] for N = {rows} rows, "
                f"got {list(losses.shape)}"
            )
        graph = sum(map(_graph, strands))
        result = sum(kept(strand, len(chosen)) for strand in strands)
        back = time if window is None else min(time, window + BLOCK)
        each = max(1, sum(map(per_loss, strands)) * back)
    left = limit - graph - result
    if left < each:
        raise ValueError(
            f"{verb}: {time} steps of {rows} row{'s' * (rows != 1)} need "
            f"{format_memory(graph)} for the graph, {format_memory(result)} for the result and "
            f"{format_memory(each)} for one backward pass, and memory is {format_memory(limit)}; "
            "give a shorter x or fewer rows (graph), steps=… (result), window=… (backward), "
            "or more memory=…"
        )
    block = min(BLOCK, left // each, len(chosen) or 1)
    aligned = all(len(strand.steps) == len(losses) and not strand.reverse for strand in strands)
    per_row = losses.ndim == 2
    plan = Plan(chosen, window, block, False, per_row, time, rows, len(losses))
    causal = aligned and _is_causal(model, x, loss, verb, plan)
    return replace(plan, causal=causal)


def losses_of(loss: Loss, output: Any, verb: str, time: int) -> tuple[Tensor, bool]:
    """The losses ``[T]`` or ``[T, N]``, and whether it is one alone, of the last of ``time`` steps.

    Raises:
        TypeError: if the loss gives no tensor of real numbers.
        ValueError: if it has not one or two dimensions.
    """
    found = loss(output)
    if not isinstance(found, Tensor) or not found.is_floating_point():
        kind = str(found.dtype) if isinstance(found, Tensor) else type(found).__name__
        raise TypeError(f"{verb}: loss must give a tensor of real numbers, got {kind}")
    single = found.ndim == 0
    if single:
        found = torch.cat([found.new_zeros(time - 1), found.unsqueeze(0)])
    if found.ndim > 2 or len(found) == 0:
        raise ValueError(
            f"{verb}: loss must give one value for each step, [T] or [T, N], got shape "
            f"{list(found.shape)}; for cross_entropy give reduction='none'"
        )
    if torch.is_grad_enabled() and not found.requires_grad:
        raise ValueError(f"{verb}: loss does not depend on the model's layers")
    return found, single


def choose(steps: Steps, count: int, verb: str) -> tuple[int, ...]:
    """The steps asked for: all, every so many (ending with the last), or those given.

    Raises:
        TypeError: if they are no numbers.
        ValueError: if one does not exist.
    """
    if steps is None:
        return tuple(range(count))
    if isinstance(steps, bool):
        raise TypeError(f"{verb}: steps must be whole numbers, got bool")
    if isinstance(steps, int):
        if steps < 1:
            raise ValueError(f"{verb}: steps must be a stride of 1 or more, got {steps}")
        return tuple(range(count - 1, -1, -steps))[::-1]
    chosen = []
    for step in steps:
        if not isinstance(step, int) or isinstance(step, bool):
            raise TypeError(f"{verb}: steps must be whole numbers, got {type(step).__name__}")
        if not -count <= step < count:
            raise ValueError(f"{verb}: steps must be from 0 to {count - 1}, got {step}")
        chosen.append(step % count)
    if not chosen:
        raise ValueError(f"{verb}: steps must name at least one step, got none")
    return tuple(sorted(set(chosen)))


def _is_causal(model: nn.Module, x: Any, loss: Loss, verb: str, plan: Plan) -> bool:
    """Whether no loss of a block sees states after the block."""
    for block, reach in replace(plan, causal=True).blocks():
        if reach.stop >= plan.time:
            continue
        with recording(model, verb, graph=False) as recorder:
            recorder.limit.poison = reach.stop
            try:
                losses, _ = losses_of(loss, call(model, x), verb, plan.time)
            except (ValueError, RuntimeError):  # a loss that takes no NaN: then nobody knows
                return False
        if not losses[: max(block) + 1].isfinite().all():
            return False
    return True


def _graph(strand: Strand) -> int:
    """Bytes that autograd keeps of a strand: about two tensors for each value of a step.

    For each of them comes what a tensor and its node weigh without numbers.
    """
    program, state = strand.program, strand.steps[0].after[-1]
    values = 2 * len(program.instructions) + len(program.gates)
    return len(strand.steps) * values * (state.numel() * state.element_size() + NODE)
