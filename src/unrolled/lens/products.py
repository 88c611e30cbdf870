"""Products of consecutive matrices, of any length, that neither overflow nor vanish."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor


def products(
    factors: Tensor, lags: Sequence[int], ends: Sequence[int]
) -> Iterator[tuple[int, Tensor, Tensor]]:
    """F_t F_{t-1} … F_{t-L+1} for some ends t and every lag L.

    Products over 1, 2, 4, ... factors are made of each other, and those over other lags of these:
    log₂ L multiplications for each t instead of L.

    Args:
        factors: ``[T, ..., D, D]``.
        lags: how many factors, sorted.
        ends: the last factor of each.

    Yields:
        A lag, the products ``[ends, ..., D, D]`` divided by their scale, and the logarithms of the
        scales ``[ends, ...]``. Where there are not so many factors they mean nothing.
    """
    at = torch.tensor(ends, dtype=torch.int64, device=factors.device)
    table, scales = _scaled(factors, factors.new_zeros(factors.shape[:-2]))
    partial: dict[int, tuple[Tensor, Tensor]] = {}
    span = 1
    while True:
        for lag in [lag for lag in lags if lag & span]:
            # What is done already are the lag's lower binary digits.
            behind = (at - lag % span).clamp(min=0)
            own = table[behind], scales[behind]
            if lag in partial:
                product, scale = partial[lag]
                partial[lag] = _scaled(product @ own[0], scale + own[1])
            else:
                partial[lag] = own
        for lag in [lag for lag in partial if lag < 2 * span]:
            yield lag, *partial.pop(lag)
        if 2 * span > max(lags):
            return
        product, scale = _scaled(table[span:] @ table[:-span], scales[span:] + scales[:-span])
        table = torch.cat([table[:span], product])
        scales = torch.cat([scales[:span], scale])
        span *= 2


def _scaled(matrices: Tensor, scales: Tensor) -> tuple[Tensor, Tensor]:
    size = matrices.abs().amax((-1, -2))
    size = torch.where((size > 0) & size.isfinite(), size, 1)
    return matrices / size[..., None, None], scales + size.log()
