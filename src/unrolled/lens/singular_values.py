"""Singular values of many matrices at once, on all cores."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor

from ..engine.threads import one_thread


def singular_values(matrices: Tensor) -> Tensor:
    """Of ``[..., D, D]``, the largest first, ``[..., D]``; NaN where a matrix is not finite.

    LAPACK takes one matrix after the other, with all threads for each, of which it makes little
    use. Here every thread takes matrices of its own.
    """
    flat = matrices.flatten(0, -3)
    finite = flat.isfinite().all(-1).all(-1)
    flat = torch.where(finite[:, None, None], flat, 0)
    threads = torch.get_num_threads()
    if flat.device.type != "cpu" or threads == 1 or len(flat) == 1:
        values = torch.linalg.svdvals(flat)
    else:
        with one_thread(), ThreadPoolExecutor(threads) as pool:
            values = torch.stack([*pool.map(torch.linalg.svdvals, flat)])
    values = torch.where(finite.unsqueeze(-1), values, torch.nan)
    return values.reshape(matrices.shape[:-1])
