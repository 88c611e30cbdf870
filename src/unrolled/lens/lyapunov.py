"""Lyapunov exponents: how fast small differences of a state grow, and gradients with them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from . import figures
from .chain import NUMBER, Chain
from .figures import Picture
from .memory import format_memory, parse_memory
from .recording import call, recording
from .strands import ByStrand


@dataclass(frozen=True)
class StrandLyapunov:
    """The spectrum of one direction of one layer.

    Attributes:
        name: the module's name and the parameters' suffix, such as ``"encoder.l0"``.
        states: how many units each state has, by the cell's names, in the order in which they
            stand in the whole state.
        exponents: nats per step, ``[N, count]``, the largest first; -∞ for a direction that is
            lost altogether, NaN for a row without a step that counts.
        growth: what they are the means of, for each time ``[T, N, count]``: the logarithm of the
            growth of each direction in that step. NaN where a step does not count.
        reverse: whether time runs backwards in it.
    """

    name: str
    states: dict[str, int]
    exponents: Tensor
    growth: Tensor
    reverse: bool

    @property
    def spectrum(self) -> Tensor:
        """The exponents' mean over rows, ``[count]``."""
        return self.exponents.nanmean(0)

    @property
    def largest(self) -> float:
        """The largest exponent, the mean over rows: above 0 gradients explode, below they vanish.

        They change by the factor exp(largest) in each step further back.
        """
        return float(self.spectrum[0])


@dataclass(frozen=True)
class Lyapunov(ByStrand[StrandLyapunov]):
    """Lyapunov spectra, by `lyapunov`.

    Attributes:
        strands: each direction of each layer by its name, in the order in which they ran.
    """

    strands: dict[str, StrandLyapunov]

    def picture(self, strand: str | None = None, row: int | None = None) -> Picture:
        """The spectrum, and the largest exponent as it settles with the steps taken.

        Args:
            strand: its name; the first if not given.
            row: which sequence of the batch; the mean over all if not given.

        Raises:
            ValueError: if there is no such strand or row.
        """
        return figures.lyapunov(self, strand, row)


def lyapunov(
    model: nn.Module,
    x: Any,
    *,
    count: int | None = None,
    transient: int = 0,
    memory: int | str = "2GB",
) -> Lyapunov:
    r"""The Lyapunov exponents of the states' way through a sequence, in nats per step.

    .. math::
        Q_t R_t = \frac{\partial s_t}{\partial s_{t-1}} Q_{t-1}, \qquad
        \lambda_i = \frac{1}{T} \sum_t \log |R_t|_{ii}

    by a QR decomposition at every step (Benettin et al., 1980), for the whole state s of one
    direction of one layer (an LSTM's h and c together), inputs held fixed. Of a sequence they are
    those of finite time: all together they sum up to the mean of log |det ∂s_t/∂s_{t-1}| exactly,
    each alone approaches its limit as 1 / T. Where a row begins anew (a reset, a call with other
    states) Q begins anew.

    Computed in float64 at the states that the model goes through. The model runs in evaluation
    mode and is left as it was.

    Args:
        model: any module with recurrent layers of unrolled's or torch.nn's in it, or one itself.
        x: the model's input; a tuple for several arguments. Every row has a spectrum of its own.
        count: how many exponents, from the largest on; all of them if None.
        transient: steps at the beginning that do not count, while Q, which begins as a fixed
            random frame, turns to the directions of largest growth.
        memory: the most to use, in bytes or as "2GB". What would need more is refused before it
            begins.

    Raises:
        TypeError: if an argument is of a wrong kind.
        ValueError: if there is no layer to look at, a number is out of range, or memory does not
            suffice.

    Example:
        >>> found = lyapunov(unrolled.LSTM(4, 8), torch.randn(100, 1, 4))
        >>> found["l0"].exponents.shape
        torch.Size([1, 16])
    """
    limit = parse_memory(memory, "lyapunov")
    _check_whole("count", count, 1)
    _check_whole("transient", transient, 0)
    with recording(model, "lyapunov", graph=False) as recorder:
        call(model, x)
        recorder.check_used("lyapunov")
        chains = [Chain(s, "lyapunov") for s in recorder.strands.values() if s.steps]
    shortest, narrowest = min(map(len, chains)), min(chain.size for chain in chains)
    if transient >= shortest:
        raise ValueError(
            f"lyapunov: transient must be less than the {shortest} steps, got {transient}"
        )
    if count is not None and count > narrowest:
        raise ValueError(
            f"lyapunov: count must be at most the {narrowest} units of a state, got {count}"
        )
    needed = sum(_bytes(chain, count or chain.size) for chain in chains)
    if needed > limit:
        raise ValueError(
            f"lyapunov: {max(map(len, chains))} steps need {format_memory(needed)}, and memory is "
            f"{format_memory(limit)}; give fewer rows, count=…, or more memory=…"
        )
    found = [spectrum(chain, count or chain.size, transient) for chain in chains]
    return Lyapunov({own.name: own for own in found})


def _check_whole(name: str, value: Any, least: int) -> None:
    if value is None and name == "count":
        return
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"lyapunov: {name} must be a whole number, got {type(value).__name__}")
    if value < least:
        raise ValueError(f"lyapunov: {name} must be {least} or more, got {value}")


def _bytes(chain: Chain, count: int) -> int:
    """The result, and what one step computes for every direction."""
    step = chain.jacobian_bytes() * count // chain.size
    return 2 * len(chain) * chain.rows * count * NUMBER + step


def spectrum(chain: Chain, count: int, transient: int) -> StrandLyapunov:
    """The exponents of one strand."""
    start = _frame(chain, count)
    frame = start
    growth = torch.full(
        (len(chain), chain.rows, count), math.nan, dtype=torch.float64, device="cpu"
    )
    taken = torch.zeros_like(chain.running[0], dtype=torch.long)  # steps since a row began
    for position, time in enumerate(chain.times):
        anew = ~chain.linked[position]
        frame = torch.where(anew[:, None, None], start, frame)
        taken = torch.where(anew, 0, taken)
        pushed = chain.push(position, frame)
        # A row that has ended stays as it is, and so does one whose numbers have.
        running = chain.running[position] & pushed.isfinite().all(-1).all(-1)
        pushed = torch.where(running[:, None, None], pushed, frame)
        size = pushed.abs().amax((-1, -2))  # whose square may be no number
        size = torch.where(size > 0, size, 1)
        frame, triangle = torch.linalg.qr(pushed / size[:, None, None])
        taken = taken + running
        counts = running & (taken > transient)
        logs = triangle.diagonal(dim1=-2, dim2=-1).abs().log() + size.log().unsqueeze(-1)
        growth[time] = torch.where(counts.unsqueeze(-1), logs, math.nan).cpu()
    means = growth.nanmean(0)
    order = means.nan_to_num(nan=-math.inf, neginf=-math.inf).argsort(-1, descending=True)
    growth = growth.gather(-1, order.expand_as(growth))
    return StrandLyapunov(
        chain.strand.name, chain.sizes, means.gather(-1, order), growth, chain.strand.reverse
    )


def _frame(chain: Chain, count: int) -> Tensor:
    """Orthonormal directions, the same in every run and at every row, ``[N, D, count]``."""
    numbers = torch.Generator().manual_seed(0)
    random = torch.randn(chain.size, count, generator=numbers, dtype=torch.float64, device="cpu")
    frame: Tensor = torch.linalg.qr(random)[0].to(chain.running.device)
    return frame.expand(chain.rows, -1, -1)
