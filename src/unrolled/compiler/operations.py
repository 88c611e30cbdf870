"""The table of operations: how the adjoint of a function's value becomes those of its arguments.

A rule is written as a step is, in arithmetic and the functions of `unrolled.cells`. It names the
function's value where that is possible, so that backward needs the values of the nonlinearities and
little else; where it names the argument, tracing gives that a symbol of its own.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeAlias

from ..cells import functions as f
from .program import COMPARISONS, Call, Constant, Expression, Symbol, symbols
from .traced import Comparison, Traced, expression_of

Rule: TypeAlias = Callable[..., Any]
"""(d, value, *arguments) -> the adjoint of one argument, where d is the adjoint of the value."""


def _power_of_base(d: Any, value: Any, a: Any, b: Any) -> Any:
    slope = b * a ** (b - 1)
    if isinstance(b, float):  # not zero: that is arithmetic
        return d * slope
    return f.where(abs(b) > 0, d * slope, 0)


def _power_of_exponent(d: Any, value: Any, a: Any, b: Any) -> Any:
    if isinstance(a, float):
        return d * (value * math.log(a))
    return d * (value * f.log(f.where(abs(a) > 0, a, 1)))  # 0 ** b is constant for b > 0


def _larger(d: Any, a: Any, b: Any) -> Any:
    """The part of d that goes to a, where a is the larger."""
    return f.where(a < b, 0, f.where(b < a, d, d / 2))


def _silu(d: Any, value: Any, x: Any) -> Any:
    s = f.sigmoid(x)
    return d * (s * (1 + x * (1 - s)))


def _gelu(d: Any, value: Any, x: Any) -> Any:
    return d * (f.normal_cdf(x) + x * (f.exp(-0.5 * x * x) * (1 / math.sqrt(2 * math.pi))))


def _names(*values: Traced) -> tuple[Expression, ...]:
    return tuple(value.expression for value in values)


RULES: dict[str, tuple[Rule | None, ...]] = {
    "sigmoid": (lambda d, value, x: d * value * (1 - value),),
    "tanh": (lambda d, value, x: d * (1 - value * value),),
    "relu": (lambda d, value, x: f.where(value <= 0, 0, d),),
    "leaky_relu": (lambda d, value, x, slope: f.where(value > 0, d, slope * d), None),
    "elu": (lambda d, value, x, alpha: f.where(value > 0, d, d * (value + alpha)), None),
    "gelu": (_gelu,),
    "silu": (_silu,),
    "softplus": (lambda d, value, x: -d * f.expm1(-value),),
    "exp": (lambda d, value, x: d * value,),
    "log": (lambda d, value, x: d / x,),
    "sqrt": (lambda d, value, x: 0.5 * d / value,),
    "sin": (lambda d, value, x: d * f.cos(x),),
    "cos": (lambda d, value, x: -d * f.sin(x),),
    "abs": (lambda d, value, x: d * f.sign(x),),
    "sign": (None,),
    "power": (_power_of_base, _power_of_exponent),
    "minimum": (lambda d, value, a, b: _larger(d, b, a), lambda d, value, a, b: _larger(d, a, b)),
    "maximum": (lambda d, value, a, b: _larger(d, a, b), lambda d, value, a, b: _larger(d, b, a)),
    "clamp": (
        lambda d, value, x, low, high: f.where(x < low, 0, f.where(x > high, 0, d)),
        lambda d, value, x, low, high: f.where(x < low, f.where(low < high, d, 0), 0),
        lambda d, value, x, low, high: f.where(x > high, d, f.where(high < low, d, 0)),
    ),
    "normalize": (lambda d, value, v: Traced(Call("normalize_adjoint", _names(d, v))),),
    "where": (
        None,
        lambda d, value, condition, a, b: f.where(condition, d, 0),
        lambda d, value, condition, a, b: f.where(condition, 0, d),
    ),
}
"""For each function the rules of its arguments; None for one that has no gradient."""


def adjoints(call: Call, d: Expression, value: Expression) -> list[Expression | None]:
    """The adjoint of each argument, None where it has none, given that of the call's value."""
    given = [_given(argument) for argument in call.arguments]
    return [
        None
        if rule is None or not any(symbols(argument))
        else expression_of(rule(Traced(d), Traced(value), *given))
        for rule, argument in zip(RULES[call.operation], call.arguments, strict=True)
    ]


def read_by_backward(call: Call) -> list[bool]:
    """For each argument whether some adjoint names it."""
    probes = [_probe(argument, Symbol(f"{place}")) for place, argument in enumerate(call.arguments)]
    found = adjoints(Call(call.operation, tuple(probes)), Symbol("d"), Symbol("value"))
    named = {
        symbol for expression in found if expression is not None for symbol in symbols(expression)
    }
    return [any(symbol in named for symbol in symbols(probe)) for probe in probes]


def _given(argument: Expression) -> Any:
    """An argument as a rule computes with it."""
    if isinstance(argument, Constant):
        return argument.value
    if isinstance(argument, Call) and argument.operation in COMPARISONS:
        return Comparison(argument)
    return Traced(argument)


def _probe(argument: Expression, symbol: Symbol) -> Expression:
    """A symbol in the place of an argument that varies."""
    if isinstance(argument, Call) and argument.operation in COMPARISONS:
        return Call(argument.operation, (symbol, symbol))
    return symbol if any(symbols(argument)) else argument
