"""The functions of which equations are made; they accept symbols, tensors, arrays and numbers.

A traced symbol and a torch tensor both carry these functions as methods, so calling the method is
the whole dispatch, and neither torch nor the compiler is imported here. Anything else is taken for
an array or a number.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class Function:
    """A named elementwise function of one argument."""

    def __init__(self, name: str, of_array: Callable[[Any, Any], Any]) -> None:
        self.name = name
        self._of_array = of_array

    def __call__(self, value: Any) -> Any:
        method = getattr(value, self.name, None)
        if method is not None:
            return method()
        import numpy  # here, since the build, which only traces, does without it

        return self._of_array(numpy, value)

    def __repr__(self) -> str:
        return self.name


sigmoid = Function("sigmoid", lambda np, value: np.exp(-np.logaddexp(0, -np.asarray(value))))
tanh = Function("tanh", lambda np, value: np.tanh(value))
relu = Function("relu", lambda np, value: np.maximum(value, 0))
identity = Function("identity", lambda np, value: value)

NONLINEARITIES = {function.name: function for function in (tanh, relu, sigmoid, identity)}
"""The functions that an equation may take by name."""
