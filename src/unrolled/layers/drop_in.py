"""What the drop-in layers share: torch.nn's modules with another engine under them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, SupportsIndex

import torch

from .layer import Layer
from .options import split_options
from .tools import compilable


class DropIn(Layer, torch.nn.RNNBase):
    """A layer of torch.nn, run by our engine; parameters and everything else are torch's own.

    A subclass comes before torch.nn's class among the bases and says which ``cell`` it runs.

    Attributes:
        positions: names of the arguments that torch.nn's class takes by position.
    """

    positions: ClassVar[tuple[str, ...]] = (
        "input_size",
        "hidden_size",
        "num_layers",
        "bias",
        "batch_first",
        "dropout",
        "bidirectional",
        "proj_size",
    )

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        compilable(cls)

    def __init__(
        self, *arguments: Any, choices: Mapping[str, Any] | None = None, **keywords: Any
    ) -> None:
        """Make torch.nn's layer, and then what is ours: the cell's choices and the options."""
        options, own = split_options(keywords)
        given = dict(zip(self.positions, arguments, strict=False)) | own
        for name in ("num_layers", "proj_size"):  # torch.nn's class checks the kind of the others
            if not isinstance(given.get(name, 0), SupportsIndex):
                kind = type(given[name]).__name__
                raise TypeError(f"{self.label}: {name} must be an integer, got {kind}")
        super().__init__(*arguments, **own)
        for name, value in (choices or {}).items():
            setattr(self, name, value)
        self._complete(options)

    def extra_repr(self) -> str:
        """As torch.nn's, and what torch.nn does not have."""
        return super().extra_repr() + str(self.options)
