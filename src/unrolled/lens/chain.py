"""The steps of a strand as maps from one state to the next, and their Jacobians."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor
from torch.func import vjp, vmap

from ..engine.noise import Noise
from ..engine.reference import sizes_of
from ..engine.reference import step as take_step
from .recording import Step, Strand

NUMBER = torch.float64.itemsize


class Chain:
    """A strand in the order in which its steps ran, in which a reverse direction goes back in time.

    The whole state s is looked at, all states of the cell side by side; inputs are held fixed.
    Everything is computed in float64, at the states that the model went through in its own dtype.

    Attributes:
        strand: whose steps they are.
        times: for each position its time.
        sizes: how many units each state has, by its name, in the order in which they are stacked.
        size: D, units of the whole state.
        rows: N.
        running: ``[T, N]``, where a row has a step whose numbers are finite.
        linked: ``[T, N]``, where a step begins in the state in which the one before it ended, and
            no reset is between them, nor a call that begins anew. The first has none before it.
    """

    def __init__(self, strand: Strand, verb: str) -> None:
        """Link the steps of a strand, while it is being recorded.

        Raises:
            ValueError: if the layer was called with different numbers of rows.
        """
        self.strand = strand
        self.times = list(_order(strand))
        self._steps = [strand.steps[t] for t in self.times]
        first = self._steps[0]
        names = strand.state_names
        self.sizes = {n: s.shape[-1] for n, s in zip(names, first.after, strict=True)}
        self.size = sum(self.sizes.values())
        self.rows = len(first.after[0])
        # While the layer is ours: it may be one of torch's that is so for the recording only.
        rates = strand.layer.description.rates(strand.program)
        self._noise = Noise(None, rates)
        for step in self._steps:
            if len(step.after[0]) != self.rows:
                raise ValueError(
                    f"{verb}: every call of {strand.name} must have the same number of rows, "
                    f"got {self.rows} and {len(step.after[0])}"
                )
        self.running = torch.stack([step.running & _finite(step) for step in self._steps])
        pairs = zip(self._steps, self._steps[1:], strict=False)
        none = torch.zeros_like(self.running[0])
        self.linked = torch.stack([none, *(_linked(before, after) for before, after in pairs)])

    def __len__(self) -> int:
        return len(self._steps)

    def jacobian_bytes(self) -> int:
        """Bytes that `jacobians` takes for each step: what a step computes, D times over."""
        program = self.strand.program
        values = len(program.gates) + len(program.instructions) + 3 * len(self.sizes)
        return self.rows * self.size * values * max(self.sizes.values()) * NUMBER

    def jacobians(self, start: int, stop: int, block: int) -> Tensor:
        """∂s/∂(the state before) of some positions, ``[stop - start, N, D, D]``.

        With respect to the state in which the step began, be it linked or not. Zero where a row is
        not running.

        Args:
            start: the first position.
            stop: the one after the last.
            block: how many steps at once.
        """
        found = [self._jacobians(*part) for part in self._parts(start, stop, block)]
        return torch.where(self.running[start:stop, :, None, None], torch.cat(found), 0)

    def push(self, position: int, tangents: Tensor) -> Tensor:
        """The Jacobian of one step times ``[N, D, m]``."""
        function, state = self._map(position, position + 1)
        pull = vjp(function, state)[1]
        # u -> uᵀJ is linear, and its own backward is v -> Jv; forward mode would warm up for long.
        push = vjp(lambda cotangent: pull(cotangent)[0], torch.zeros_like(state))[1]
        found: Tensor = vmap(lambda v: push(v)[0], in_dims=-1, out_dims=-1)(tangents)
        return found

    def _parts(self, start: int, stop: int, block: int) -> Iterator[tuple[int, int]]:
        """Blocks of one call each."""
        while start < stop:
            end = start + 1
            while (
                end < min(stop, start + block)
                and self._steps[end].setting is self._steps[start].setting
            ):
                end += 1
            yield start, end
            start = end

    def _jacobians(self, start: int, stop: int) -> Tensor:
        function, state = self._map(start, stop)
        pull = vjp(function, state)[1]
        one_hot = torch.eye(self.size, dtype=state.dtype, device=state.device)
        rows = vmap(lambda cotangent: pull(cotangent.expand_as(state))[0], out_dims=1)(one_hot)
        found: Tensor = rows.unflatten(0, (stop - start, self.rows))
        return found

    def _map(self, start: int, stop: int) -> tuple[Callable[[Tensor], Tensor], Tensor]:
        """Some steps of one call as a function of their states, and these; rows one by one."""
        steps = self._steps[start:stop]
        setting = steps[0].setting
        program, weights = setting.program, setting.weights.map(_exact)
        x = torch.cat([_exact(step.x) for step in steps])
        gates = [
            torch.cat([_exact(g) for g in step.gates.values()], -1) for step in steps if step.gates
        ]
        products = torch.cat(gates) if gates else x
        masks = self._noise.masks(program, 0, 0, len(x), sizes_of(weights), x)

        def function(state: Tensor) -> Tensor:
            states = torch.split(state, list(self.sizes.values()), dim=-1)
            return torch.cat(take_step(program, x, products, states, weights, masks)[0], dim=-1)

        states = [torch.cat([_exact(s) for s in step.before], dim=-1) for step in steps]
        return function, torch.cat(states)


def _exact(tensor: Tensor) -> Tensor:
    return tensor.detach().double()


def _order(strand: Strand) -> Iterator[int]:
    """Times in the order in which they ran: in a reverse direction every call goes backwards."""
    start = 0
    while start < len(strand.steps):
        end = start
        while end < len(strand.steps) and (
            strand.steps[end].setting is strand.steps[start].setting
        ):
            end += 1
        yield from reversed(range(start, end)) if strand.reverse else range(start, end)
        start = end


def _finite(step: Step) -> Tensor:
    numbers = [*step.before, *step.after]
    return torch.stack([number.isfinite().all(-1) for number in numbers]).all(0)


def _linked(before: Step, after: Step) -> Tensor:
    """Where one step goes on from another, ``[N]``."""
    if before.setting is not after.setting:
        # Whoever called the layer handed on the states in which it had ended, or did not.
        ran = before.running.unsqueeze(-1)
        pairs = zip(before.before, before.after, after.before, strict=True)
        same = [(torch.where(ran, new, old) == now).all(-1) for old, new, now in pairs]
        return torch.stack(same).all(0)
    reset = before.setting.reset
    if reset is None:
        return torch.ones_like(before.running)
    return ~(reset[max(before.t, after.t)] & before.running & after.running)
