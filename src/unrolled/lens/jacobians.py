"""Singular values of the Jacobians that carry a gradient back through time."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from . import figures
from .chain import NUMBER, Chain
from .figures import Picture
from .losses import Steps, choose
from .memory import format_memory, parse_memory
from .products import products
from .recording import call, recording
from .singular_values import singular_values
from .strands import ByStrand

BLOCK = 1 << 28
"""Bytes that the Jacobians of one block of steps take at most: more of them are no faster."""


@dataclass(frozen=True)
class StrandJacobians:
    """Singular values of one direction of one layer.

    Attributes:
        name: the module's name and the parameters' suffix, such as ``"encoder.l0"``.
        states: how many units each state has, by the cell's names, in the order in which they
            stand in the whole state s; D in all.
        steps: the times t.
        lags: over how many steps.
        log10: their decimal logarithms ``[lags, t, N, D]``, the largest first, of any size; -∞ for
            zero. NaN where a row has not as many steps before t, and where a value is so small
            beside the largest (1e-16 of it times D) that a product cannot tell it from rounding.
        reverse: whether time runs backwards in it: then it is ∂s_t/∂s_{t+lag}.
    """

    name: str
    states: dict[str, int]
    steps: tuple[int, ...]
    lags: tuple[int, ...]
    log10: Tensor
    reverse: bool

    def singular_values(self, lag: int | None = None) -> Tensor:
        """The values themselves over one lag, ``[t, N, D]``; 0 and ∞ where float64 ends.

        Args:
            lag: which; the first if None.

        Raises:
            ValueError: if there is no such lag.
        """
        if lag is not None and lag not in self.lags:
            raise ValueError(f"lag must be one of {', '.join(map(str, self.lags))}, got {lag}")
        found: Tensor = 10 ** self.log10[0 if lag is None else self.lags.index(lag)]
        return found

    @property
    def largest(self) -> Tensor:
        """log₁₀ ‖∂s_t/∂s_{t-lag}‖₂, ``[lags, t, N]``."""
        return self.log10[..., 0]


@dataclass(frozen=True)
class Jacobians(ByStrand[StrandJacobians]):
    """Singular values of Jacobians over time, by `jacobians`.

    Attributes:
        lags: over how many steps.
        strands: each direction of each layer by its name, in the order in which they ran.
    """

    lags: tuple[int, ...]
    strands: dict[str, StrandJacobians]

    def picture(
        self, strand: str | None = None, lag: int | None = None, row: int | None = None
    ) -> Picture:
        """Singular values at every step, and the largest against the lag.

        With a single lag, all of them in order stand in the place of the lag.

        Args:
            strand: its name; the first if not given.
            lag: over which lag; the first if not given.
            row: which sequence of the batch; the geometric mean over all if not given.

        Raises:
            ValueError: if there is no such strand, lag or row.
        """
        return figures.jacobians(self, strand, lag, row)


def jacobians(
    model: nn.Module,
    x: Any,
    *,
    lags: int | Sequence[int] = 1,
    steps: Steps = None,
    memory: int | str = "2GB",
) -> Jacobians:
    r"""Singular values of ∂s_t/∂s_{t-1}, and of its products over longer lags, exactly.

    .. math::
        \frac{\partial s_t}{\partial s_{t-L}} = \prod_{j=t-L+1}^{t}
        \frac{\partial s_j}{\partial s_{j-1}}

    s is the whole state of one direction of one layer, all states of the cell stacked (an LSTM's h
    and c, so D = 2 H); inputs are held fixed, so that nothing passes through other layers. At the
    first step s_{t-1} is the initial state; across a reset, and between calls of which the later
    does not begin with the states of the earlier, the Jacobian is zero.

    Computed in float64 at the states that the model goes through. Products are scaled on the way,
    so that none is too large or small for a number. The model runs in evaluation mode and is left
    as it was.

    Args:
        model: any module with recurrent layers of unrolled's or torch.nn's in it, or one itself.
        x: the model's input; a tuple for several arguments. Every row has Jacobians of its own:
            give few.
        lags: one lag L or several, in steps.
        steps: the times t to look at: all of them (None), every so many up to the last (a number),
            or these. A decomposition takes time in proportion to D³.
        memory: the most to use, in bytes or as "2GB". What would need more is refused before it
            begins; what fits is done in blocks of steps.

    Raises:
        TypeError: if an argument is of a wrong kind.
        ValueError: if there is no layer to look at, a step or lag does not exist, or memory does
            not suffice.

    Example:
        >>> found = jacobians(unrolled.LSTM(4, 8), torch.randn(20, 1, 4), lags=[1, 5])
        >>> found["l0"].log10.shape  # lags, steps, rows, h and c
        torch.Size([2, 20, 1, 16])
    """
    limit = parse_memory(memory, "jacobians")
    with recording(model, "jacobians", graph=False) as recorder:
        call(model, x)
        recorder.check_used("jacobians")
        chains = [Chain(s, "jacobians") for s in recorder.strands.values() if s.steps]
    over = _lags(lags, max(map(len, chains)))
    wanted = [choose(steps, len(chain), "jacobians") for chain in chains]
    result = sum(
        len(over) * len(times) * chain.rows * chain.size * NUMBER
        for chain, times in zip(chains, wanted, strict=True)
    )
    work = [_Work(chain, over, times) for chain, times in zip(chains, wanted, strict=True)]
    needed = max(own.least for own in work)
    if limit - result < needed:
        largest = max(chains, key=lambda chain: chain.size)
        raise ValueError(
            f"jacobians: {largest.rows} row{'s' * (largest.rows != 1)} of {largest.size} units "
            f"need {format_memory(result)} for the result and {format_memory(needed)} for products "
            f"over {max(over)} step{'s' * (max(over) != 1)}, and memory is "
            f"{format_memory(limit)}; give fewer rows, smaller lags=…, steps=… (result), "
            "or more memory=…"
        )
    return Jacobians(over, {own.name: own.run(limit - result) for own in work})


def _lags(lags: int | Sequence[int], steps: int) -> tuple[int, ...]:
    each = [lags] if isinstance(lags, int) else list(lags)
    for lag in each:
        if not isinstance(lag, int) or isinstance(lag, bool):
            raise TypeError(f"jacobians: lags must be whole numbers, got {type(lag).__name__}")
        if not 1 <= lag <= steps:
            raise ValueError(f"jacobians: lags must be from 1 to the {steps} steps, got {lag}")
    if not each:
        raise ValueError("jacobians: lags must name at least one lag, got none")
    return tuple(sorted(set(each)))


class _Work:
    """The singular values of one strand."""

    def __init__(self, chain: Chain, lags: tuple[int, ...], times: tuple[int, ...]) -> None:
        self.name = chain.strand.name
        self._chain, self._lags, self._times = chain, lags, times
        self._matrices = chain.rows * chain.size**2 * NUMBER  # of one step
        # the factors, a table of products and the next one, and of each lag what it has so far
        tables = 2 if max(lags) == 1 else 3 + len(lags)
        self._each = tables * self._matrices
        self._fixed = chain.jacobian_bytes() + 2 * self._matrices

    @property
    def least(self) -> int:
        """Bytes without which it cannot be done."""
        return self._fixed + max(self._lags) * self._each

    def run(self, memory: int) -> StrandJacobians:
        chain = self._chain
        shape = (len(self._lags), len(self._times), chain.rows, chain.size)
        log10 = torch.full(shape, math.nan, dtype=torch.float64, device="cpu")
        place = {time: row for row, time in enumerate(self._times)}
        at_once = max(1, min(BLOCK, memory - self.least) // chain.jacobian_bytes())
        room = (memory - self._fixed - (at_once - 1) * chain.jacobian_bytes()) // self._each
        for ends in self._blocks(max(room, max(self._lags))):
            start = max(0, ends[0] - max(self._lags) + 1)
            factors = chain.jacobians(start, ends[-1] + 1, at_once)
            # what comes before a step that begins anew does not reach it
            anew = chain.running[start : ends[-1] + 1] & ~chain.linked[start : ends[-1] + 1]
            anew[: 1 if start == 0 else 0] = False
            factors[anew] = 0
            inside = [end - start for end in ends]
            rows = [place[chain.times[end]] for end in ends]
            for lag, product, scale in products(factors, self._lags, inside):
                found = _log10(product, scale, exact=lag == 1)
                known = self._known(ends, lag)
                log10[self._lags.index(lag), rows] = torch.where(
                    known.unsqueeze(-1), found, math.nan
                ).cpu()
        return StrandJacobians(
            self.name, chain.sizes, self._times, self._lags, log10, chain.strand.reverse
        )

    def _blocks(self, room: int) -> Iterator[list[int]]:
        """Positions of ends, as many as need no more than so many factors, without large gaps."""
        position = {time: place for place, time in enumerate(self._chain.times)}
        ends = sorted(position[time] for time in self._times)
        block: list[int] = []
        for end in ends:
            reach = max(self._lags)
            if block and (end - block[0] + reach > room or end - block[-1] > reach):
                yield block
                block = []
            block.append(end)
        yield block

    def _known(self, ends: list[int], lag: int) -> Tensor:
        """Where a row has run through all of so many steps, ``[ends, N]``."""
        running = self._chain.running
        none = torch.zeros_like(running[0])
        return torch.stack(
            [none if end < lag - 1 else running[end - lag + 1 : end + 1].all(0) for end in ends]
        )


def _log10(matrices: Tensor, scale: Tensor, exact: bool) -> Tensor:
    """log₁₀ of the singular values of ``exp(scale) · matrices``."""
    values = singular_values(matrices)
    if not exact:
        least = values[..., :1] * matrices.shape[-1] * torch.finfo(values.dtype).eps
        values = torch.where((values < least) & (values[..., :1] > 0), math.nan, values)
    return values.log10() + scale.unsqueeze(-1) / math.log(10)
