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

    def __init__(self, name: str, of_array: Callable[[Any], Any]) -> None:
        self.name = name
        self._of_array = of_array

    def __call__(self, value: Any) -> Any:
        method = getattr(value, self.name, None)
        return method() if method is not None else self._of_array(value)

    def __repr__(self) -> str:
        return self.name


# NumPy is imported when it is needed: the build, which only traces, does without it.


def _sigmoid(value: Any) -> Any:
    import numpy as np

    return np.exp(-np.logaddexp(0, -np.asarray(value)))


def _tanh(value: Any) -> Any:
    import numpy as np

    return np.tanh(value)


def _relu(value: Any) -> Any:
    import numpy as np

    return np.maximum(value, 0)


sigmoid = Function("sigmoid", _sigmoid)
tanh = Function("tanh", _tanh)
relu = Function("relu", _relu)
identity = Function("identity", lambda value: value)

NONLINEARITIES = {function.name: function for function in (tanh, relu, sigmoid, identity)}
"""The functions that an equation may take by name."""
