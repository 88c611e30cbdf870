"""Variants of a cell's program: settings of all options, and what is no option of a layer."""

from __future__ import annotations

from typing import Any


class Variant:
    """All that is done to a cell's program; nothing by default. It is compared by value.

    Rates of noise are no part of it: they are numbers that a run is given.

    Args:
        projected: whether the output is projected.
        bias: with layer_norm, whether there are biases.
        returns: names of values that are returned beside the output.
        **settings: of options by name, see `Option.setting`; None, False and () ask for nothing.

    Attributes are the arguments; a setting that was not given is None.
    """

    def __init__(
        self,
        projected: bool = False,
        bias: bool = True,
        returns: tuple[str, ...] = (),
        **settings: Any,
    ) -> None:
        self.projected, self.bias, self.returns = projected, bias, returns
        for name, value in settings.items():
            if value is not None and value is not False and value != ():
                setattr(self, name, value)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # what Python itself asks for
            raise AttributeError(name)
        return None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Variant) and vars(self) == vars(other)

    def __hash__(self) -> int:
        return hash(frozenset(vars(self).items()))

    def __repr__(self) -> str:
        return f"Variant({', '.join(f'{name}={value!r}' for name, value in vars(self).items())})"
