"""Recurrent matrices that keep the length of what they multiply, at first."""

from __future__ import annotations

from typing import Any, Literal

from .option import RECURRENT, Beginning, Option, Subject

_KINDS = ("orthogonal", "identity")


class RecurrentInit(Option):
    """Beginning of the recurrent weights.

    Every square block of U, of each gate and each head, is orthogonal (Saxe, McClelland & Ganguli,
    2014) or the identity (Le, Jaitly & Hinton, 2015); with a projection it is semi-orthogonal.
    """

    flag = Literal["random", "orthogonal", "identity"]
    off = "random"
    need = RECURRENT
    at_first = True
    symbol = '"orthogonal"`, `"identity"'
    equation = "at first every block of U is orthogonal, or the identity"
    evaluation = ""
    source = "Saxe, McClelland & Ganguli 2014; Le, Jaitly & Hinton 2015"

    def check(self, value: Any, layer: Subject) -> None:
        """Refuse any other word."""
        if value not in _KINDS:
            raise ValueError(
                f"{layer.label}: {self.name} must be one of {', '.join(_KINDS)}, got {value!r}"
            )

    def begin(self, value: Any, weights: Beginning) -> None:
        """Every block of U by itself."""
        import torch
        from torch.nn import init

        fill = init.orthogonal_ if value == "orthogonal" else init.eye_
        for gate in weights.program.rows("U"):
            for block in weights.blocks(f"U.{gate}"):
                # the decomposition behind the orthogonal ones does not know short floating point
                exact = torch.promote_types(block.dtype, torch.float32)
                block.copy_(fill(torch.empty_like(block, dtype=exact)))
