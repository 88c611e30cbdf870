"""The symbols that a step computes with while it is traced: what they allow, and what they refuse.

Every refusal says what to write instead; `trace` adds file and line.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NoReturn

from ..cells.functions import FUNCTIONS
from .program import COMPARISONS, Call, Constant, Expression


class TraceError(TypeError):
    """A step does something that is not an equation."""


_BRANCH = (
    "a step cannot branch on a value (if, and, or, not, min, max): its equations must be the same "
    "whatever the numbers; write where(condition, a, b), minimum or maximum"
)
_NUMBER = (
    "a comparison is no number and stands in where(condition, a, b) only; for 1 or 0 write "
    "where(condition, 1, 0)"
)
_ONE_PATH = "a step cannot take a vector apart: its equations hold for every unit"


class Comparison:
    """A symbolic condition: the first argument of ``where``, and nothing else."""

    def __init__(self, expression: Call) -> None:
        self.expression = expression

    def traced_call(self, name: str, arguments: Sequence[Any]) -> Any:
        """A function of `unrolled.cells`, applied to this among others."""
        return call(name, arguments)

    def __bool__(self) -> NoReturn:
        raise TraceError(_BRANCH)

    def _no_number(self, *_: Any) -> NoReturn:
        raise TraceError(_NUMBER)

    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __neg__ = __abs__ = _no_number
    __truediv__ = __rtruediv__ = __pow__ = __rpow__ = __float__ = __int__ = __index__ = _no_number
    __and__ = __rand__ = __or__ = __ror__ = __invert__ = __xor__ = __array_ufunc__ = _no_number
    __lt__ = __le__ = __gt__ = __ge__ = __eq__ = __ne__ = _no_number
    __hash__ = object.__hash__


class Traced:
    """A symbolic vector: what ``step`` computes with while it is traced."""

    def __init__(self, expression: Expression) -> None:
        self.expression = expression

    def traced_call(self, name: str, arguments: Sequence[Any]) -> Any:
        """A function of `unrolled.cells`, applied to this among others."""
        return call(name, arguments)

    def __add__(self, other: Any) -> Any:
        return call("add", (self, other))

    def __radd__(self, other: Any) -> Any:
        return call("add", (other, self))

    def __sub__(self, other: Any) -> Any:
        return call("subtract", (self, other))

    def __rsub__(self, other: Any) -> Any:
        return call("subtract", (other, self))

    def __mul__(self, other: Any) -> Any:
        return call("multiply", (self, other))

    def __rmul__(self, other: Any) -> Any:
        return call("multiply", (other, self))

    def __truediv__(self, other: Any) -> Any:
        return call("divide", (self, other))

    def __rtruediv__(self, other: Any) -> Any:
        return call("divide", (other, self))

    def __pow__(self, other: Any) -> Any:
        return call("power", (self, other))

    def __rpow__(self, other: Any) -> Any:
        return call("power", (other, self))

    def __neg__(self) -> Any:
        return call("negate", (self,))

    def __pos__(self) -> Traced:
        return self

    def __abs__(self) -> Any:
        return call("abs", (self,))

    def __lt__(self, other: Any) -> Any:
        return call("less", (self, other))

    def __le__(self, other: Any) -> Any:
        return call("less_equal", (self, other))

    def __gt__(self, other: Any) -> Any:
        return call("greater", (self, other))

    def __ge__(self, other: Any) -> Any:
        return call("greater_equal", (self, other))

    # What is refused.

    def __eq__(self, other: object) -> NoReturn:
        raise TraceError("a step compares with < <= > >=, not with == or !=")

    __ne__ = __eq__
    __hash__ = object.__hash__

    def __bool__(self) -> NoReturn:
        raise TraceError(_BRANCH)

    def __float__(self) -> NoReturn:
        raise TraceError(
            "a value of a step is no Python number: write no float(), and for a function of math "
            "the one of unrolled.cells, such as unrolled.cells.exp"
        )

    __int__ = __index__ = __complex__ = __float__

    def __getitem__(self, *_: Any) -> NoReturn:
        raise TraceError(_ONE_PATH)

    __iter__ = __len__ = __setitem__ = __getitem__

    def __iadd__(self, _: Any) -> NoReturn:
        raise TraceError(
            "a step changes nothing in place, the state before it is still needed: "
            "write a = a + b, not a += b"
        )

    __isub__ = __imul__ = __itruediv__ = __ipow__ = __iadd__

    def __array_ufunc__(self, ufunc: Any, _: str, *inputs: Any, **__: Any) -> Any:
        if ufunc.__name__ in _OPERATORS:  # a NumPy number on the left
            return call(ufunc.__name__, inputs)
        name = {"absolute": "abs"}.get(ufunc.__name__, ufunc.__name__)
        instead = f"unrolled.cells.{name}" if name in _FUNCTIONS else "functions of unrolled.cells"
        raise TraceError(f"np.{ufunc.__name__} takes no value of a step; use {instead}")

    def __array__(self, *_: Any, **__: Any) -> NoReturn:
        raise TraceError("a value of a step is no array; use the functions of unrolled.cells")


_FUNCTIONS = frozenset(function.name for function in FUNCTIONS)
_OPERATORS = COMPARISONS | {"add", "subtract", "multiply", "divide", "power"}

_NOT_NEGATIVE = {"leaky_relu": "negative_slope", "elu": "alpha"}
"""Functions whose derivative is found from their value, and the number for which it can be."""


def call(operation: str, arguments: Sequence[Any]) -> Any:
    """An operation on symbols and numbers: a symbol, or a comparison."""
    if operation == "identity":
        return arguments[0]
    if operation == "where":
        return _where(*arguments)
    expressions = tuple(map(expression_of, arguments))
    if operation == "power":
        base, exponent = expressions
        if isinstance(base, Constant) and not base.value > 0:
            raise TraceError(f"the base of a power must be positive, got {base}")
        if exponent == Constant(0.5):
            return Traced(Call("sqrt", (base,)))
    if operation in _NOT_NEGATIVE:
        number = expressions[1]
        if not (isinstance(number, Constant) and 0 <= number.value < float("inf")):
            raise TraceError(
                f"{operation}: {_NOT_NEGATIVE[operation]} must be a number, 0 or more, "
                f"got {number}; for anything else write where(x > 0, ..., ...)"
            )
    found = Call(operation, expressions)
    return Comparison(found) if operation in COMPARISONS else Traced(found)


def _where(condition: Any, a: Any, b: Any) -> Any:
    if isinstance(condition, Comparison):
        arguments = expression_of(a), expression_of(b)
        return Traced(Call("where", (condition.expression, *arguments)))
    if isinstance(condition, Traced):
        raise TraceError("where takes a comparison, such as x > 0, as its condition, not a value")
    return a if condition else b


def expression_of(value: Any) -> Expression:
    """What a symbol or a number stands for in an expression."""
    if isinstance(value, Traced):
        return value.expression
    if isinstance(value, Comparison):
        raise TraceError(_NUMBER)
    if isinstance(value, (int, float)) or getattr(value, "shape", None) == ():
        return Constant(float(value))
    raise TraceError(f"a step can combine vectors and numbers, not {type(value).__name__}")
