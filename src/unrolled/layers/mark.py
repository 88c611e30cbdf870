"""A mark in the state_dict of every layer whose equations torch.nn has not.

Parameters of a published GRU have the names and shapes of `torch.nn.GRU`'s, which would load them
without an error and compute something else. So such a layer has an empty buffer whose name says
what it computes: to any other layer that is an unexpected key.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from torch import Tensor, nn

from .stand_in import beyond_torch

if TYPE_CHECKING:
    from .layer import Layer

_START = "unrolled_equations("


def add_mark(layer: Layer) -> None:
    """Give a layer its mark, if it needs one."""
    if not beyond_torch(layer, training=False):
        return
    # Whichever cells of one name came first in this process, and a dot is no part of a name.
    name = layer.program_in(training=False).name.partition("#")[0].replace(".", "_")
    heads = f",heads={layer.heads}" if layer.heads > 1 else ""
    layer.register_buffer(f"{_START}{name}{heads})", layer.weight_ih_l0.new_empty(0))


def marks(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """A module's own mark, by name."""
    return ((k, v) for k, v in module.named_buffers(recurse=False) if k.startswith(_START))
