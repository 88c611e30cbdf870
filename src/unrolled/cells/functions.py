"""The functions of which equations are made; they accept symbols, tensors, arrays and numbers.

Each is written once, as a formula on tensors and arrays; torch and NumPy call what it is made of
by the same names. Given a symbol of the compiler, a function names itself instead. Neither torch
nor the compiler is imported here: a tensor among the arguments tells that torch is there.
"""

from __future__ import annotations

import inspect
import math
import sys
from collections.abc import Callable
from typing import Any


class Function:
    """A named elementwise function, one of those that a step may contain.

    Args:
        formula: what it computes of tensors or arrays, and its name. The parameters with a default
            are numbers.
    """

    def __init__(self, formula: Callable[..., Any]) -> None:
        self.name = formula.__name__
        self.__doc__ = formula.__doc__
        self._formula = formula
        self._signature = inspect.signature(formula)

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        if named or len(arguments) != len(self._signature.parameters):
            try:
                bound = self._signature.bind(*arguments, **named)
            except TypeError as error:
                parameters = ", ".join(self._signature.parameters)
                raise TypeError(f"{self.name}({parameters}): {error}") from None
            bound.apply_defaults()
            arguments = bound.args
        for argument in arguments:
            call = getattr(argument, "traced_call", None)
            if call is not None:
                return call(self.name, arguments)
        return self._formula(*arguments)

    def __repr__(self) -> str:
        return self.name

    def __reduce__(self) -> str:
        return self.name  # a constant of this module, which copies and pickles find by its name


def _library(*arguments: Any) -> tuple[Any, list[Any]]:
    """The arguments as arrays of one library: torch if there is a tensor among them, or NumPy."""
    torch = sys.modules.get("torch")
    tensors = [a for a in arguments if isinstance(a, torch.Tensor)] if torch is not None else []
    if torch is None or not tensors:
        import numpy as np  # where it is needed: the build, which only traces, does without it

        return np, [np.asarray(a) for a in arguments]
    like = {"dtype": tensors[0].dtype, "device": tensors[0].device}
    return torch, [
        a if isinstance(a, torch.Tensor) else torch.as_tensor(a, **like) for a in arguments
    ]


@Function
def identity(x: Any) -> Any:
    """The value itself."""
    return x


@Function
def exp(x: Any) -> Any:
    """The exponential function."""
    lib, (x,) = _library(x)
    return lib.exp(x)


@Function
def expm1(x: Any) -> Any:
    """exp(x) - 1, accurate where x is small. The kernels have it for x <= 0."""
    lib, (x,) = _library(x)
    return lib.expm1(x)


@Function
def log(x: Any) -> Any:
    """The natural logarithm; NaN below zero."""
    lib, (x,) = _library(x)
    return lib.log(x)


@Function
def sqrt(x: Any) -> Any:
    """The square root; NaN below zero."""
    lib, (x,) = _library(x)
    return lib.sqrt(x)


@Function
def sin(x: Any) -> Any:
    """The sine."""
    lib, (x,) = _library(x)
    return lib.sin(x)


@Function
def cos(x: Any) -> Any:
    """The cosine."""
    lib, (x,) = _library(x)
    return lib.cos(x)


@Function
def tanh(x: Any) -> Any:
    """The hyperbolic tangent."""
    lib, (x,) = _library(x)
    return lib.tanh(x)


@Function
def sigmoid(x: Any) -> Any:
    """σ(x) = 1 / (1 + exp(-x))."""
    lib, (x,) = _library(x)
    return lib.exp(-lib.logaddexp(0.0, -x)) if lib.__name__ == "numpy" else lib.sigmoid(x)


@Function
def relu(x: Any) -> Any:
    """The positive part."""
    lib, (x,) = _library(x)
    return lib.maximum(x, 0.0) if lib.__name__ == "numpy" else lib.relu(x)


@Function
def leaky_relu(x: Any, negative_slope: float = 0.01) -> Any:
    """The larger of x and 0, plus negative_slope (0 or more) times the smaller."""
    return where(x > 0, x, negative_slope * x)


@Function
def elu(x: Any, alpha: float = 1.0) -> Any:
    """Itself where x is positive, alpha (exp(x) - 1) elsewhere; alpha is 0 or more."""
    return where(x > 0, x, alpha * expm1(clamp(x, -math.inf, 0.0)))


@Function
def normal_cdf(x: Any) -> Any:
    """The probability that a standard normal number is below x."""
    lib, (x,) = _library(x)
    if lib.__name__ == "numpy":
        return 0.5 * lib.vectorize(math.erfc, otypes=[float])(x * -math.sqrt(0.5))
    return 0.5 * lib.erfc(x * -math.sqrt(0.5))


@Function
def gelu(x: Any) -> Any:
    """The product of x and the probability that a standard normal number is below it."""
    return x * normal_cdf(x)


@Function
def silu(x: Any) -> Any:
    """The product x σ(x)."""
    return x * sigmoid(x)


@Function
def softplus(x: Any) -> Any:
    """log(1 + exp(x)), which does not overflow."""
    lib, (x, zero) = _library(x, 0.0)
    return lib.logaddexp(x, zero)


@Function
def abs(x: Any) -> Any:  # noqa: A001 - the name that torch and NumPy have for it
    """The absolute value."""
    lib, (x,) = _library(x)
    return lib.abs(x)


@Function
def sign(x: Any) -> Any:
    """-1, 0 or 1; its gradient is zero."""
    lib, (x,) = _library(x)
    return lib.where(x == x, lib.sign(x), x)  # torch's sign loses NaN


@Function
def minimum(a: Any, b: Any) -> Any:
    """The smaller of two; where they are equal each has half of the gradient."""
    lib, (a, b) = _library(a, b)
    return lib.minimum(a, b)


@Function
def maximum(a: Any, b: Any) -> Any:
    """The larger of two; where they are equal each has half of the gradient."""
    lib, (a, b) = _library(a, b)
    return lib.maximum(a, b)


@Function
def clamp(x: Any, low: Any, high: Any) -> Any:
    """x, but no less than low and no more than high."""
    lib, (x, low, high) = _library(x, low, high)
    return lib.clip(x, low, high)


@Function
def where(condition: Any, a: Any, b: Any) -> Any:
    """The first value where the condition (a comparison) holds, the second elsewhere."""
    lib, _ = _library(condition, a, b)
    return lib.where(lib.asarray(condition), a, b)


FUNCTIONS: tuple[Function, ...] = (
    identity,
    exp,
    expm1,
    log,
    sqrt,
    sin,
    cos,
    tanh,
    sigmoid,
    relu,
    leaky_relu,
    elu,
    normal_cdf,
    gelu,
    silu,
    softplus,
    abs,
    sign,
    minimum,
    maximum,
    clamp,
    where,
)
"""All of them."""

NONLINEARITIES = {
    function.name: function
    for function in (
        tanh,
        relu,
        sigmoid,
        identity,
        leaky_relu,
        elu,
        gelu,
        silu,
        softplus,
        sin,
        cos,
        abs,
    )
}
"""The functions that a choice may name."""
