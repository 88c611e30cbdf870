"""The base class of every cell: a cell is its equations."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

from .functions import NONLINEARITIES, Function

_WEIGHTS = ("W", "U", "V", "s")


class Cell:
    """A recurrent cell, defined by one step of its equations.

    A subclass writes ``step``. Its arguments are found by name and order::

        class GRU(Cell):
            def step(W, U, x, h):
                r = sigmoid(W.r(x) + U.r(h))
                z = sigmoid(W.z(x) + U.z(h))
                n = tanh(W.n(x) + r * U.n(h))
                return (1 - z) * n + z * h

    * ``W.r(x)`` is the affine map W_r x + b_r of the input, ``U.r(h)`` the affine map U_r h + c_r
      of a state or of something computed in the step. The order in which gates are first named is
      the order of the rows in the stacked weights.
    * ``V.p`` is a per-unit weight, a vector of as many numbers as there are units; ``s.q`` a scalar
      weight, one number for all units. Of W, U, V and s those stand before ``x`` that are used.
    * ``x`` itself may stand in the equations; the input then has as many features as units.
    * The arguments after ``x`` are the states at the previous step. ``step`` returns their new
      values in the same order; the first is also the cell's output.
    * Keyword-only arguments are choices, fixed when the cell is made: a nonlinearity
      (``RNN(nonlinearity="relu")``), a number, or a number for each unit.

    ``step`` has no ``self``: it is a static method. Everything else (the gradient, the kernels) is
    derived from it, so it may contain arithmetic and the functions of `unrolled.cells`, nothing
    whose path depends on a value.

    Two cells are equal if they are of one class and made with the same choices.

    Raises:
        TypeError: if ``step`` is missing or its arguments are not as described, or a choice is
            unknown.
        ValueError: if a choice has a value that does not exist.
    """

    step: ClassVar[Callable[..., Any]]
    states: ClassVar[tuple[str, ...]] = ()
    """Names of the states, in the order of ``step``'s arguments; the first is the output."""
    gates_of_memory: ClassVar[Mapping[str, float]] = {}
    """Gates that govern how long the cell remembers: +1 where opening them keeps the past (a forget
    gate), -1 where it lets the present in (an input gate). The first is the forget gate."""
    candidate: ClassVar[str] = ""
    """The value that the step would write to its memory, by its name in the step: what
    ``candidate_dropout`` drops."""
    antisymmetric: ClassVar[tuple[str, ...]] = ()
    """Gates whose recurrent matrix is antisymmetric: a layer makes it A - Aᵀ of its weights A."""
    initial: ClassVar[Mapping[str, Any]] = {}
    """Initial values of weights, by name (``"V.p"``, ``"s.q"``, ``"W.g.bias"``): a number, or a
    function of uniform numbers between 0 and 1, made of this module's functions."""

    _weights: ClassVar[tuple[str, ...]] = ()
    _defaults: ClassVar[Mapping[str, Any]] = {}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        step = cls.__dict__.get("step")
        if step is None:
            return
        function = step.__func__ if isinstance(step, staticmethod) else step
        cls.step = staticmethod(function)
        cls._weights, cls.states, cls._defaults = _signature(cls.__name__, function)

    def __init__(self, **choices: Any) -> None:
        if not self.states:
            raise TypeError(f"{type(self).__name__}: a cell must define step(W, U, x, h, ...)")
        unknown = choices.keys() - self._defaults.keys()
        if unknown:
            known = ", ".join(self._defaults) or "none"
            raise TypeError(
                f"{type(self).__name__}: unknown choice {min(unknown)!r}; it has {known}"
            )
        self.choices = {
            name: _choice(type(self).__name__, name, choices.get(name, default))
            for name, default in self._defaults.items()
        }

    def __call__(self, weights: Mapping[str, Any], x: Any, *states: Any) -> tuple[Any, ...]:
        """One step with the given W, U, V and s (looked up by name); returns the new states.

        Choices of a number for each unit are looked up in ``weights["K"]`` if that is there.
        """
        arguments = [weights[name] for name in self._weights]
        constants = weights.get("K", {})
        choices = {name: constants.get(name, value) for name, value in self.choices.items()}
        result = type(self).step(*arguments, x, *states, **choices)
        return result if isinstance(result, tuple) else (result,)

    @property
    def name(self) -> str:
        """The class's name in lower case, with every choice that is not the default."""
        chosen = [
            f"{key}={_shown(value)}"
            for key, value in self.choices.items()
            if value != _choice("", key, self._defaults[key])
        ]
        return ",".join([type(self).__name__.lower(), *chosen])

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Cell) and type(self) is type(other) and self.choices == other.choices
        )

    def __hash__(self) -> int:
        return hash((type(self), *self.choices.items()))

    def __repr__(self) -> str:
        choices = ", ".join(f"{key}={_shown(value)}" for key, value in self.choices.items())
        return f"{type(self).__name__}({choices})"

    def __reduce__(self) -> tuple[Any, ...]:
        # A Function is a constant of the library: it travels by its name.
        choices = {k: v.name if isinstance(v, Function) else v for k, v in self.choices.items()}
        return type(self), (), choices

    def __setstate__(self, choices: dict[str, Any]) -> None:
        # No function makes it: whoever loads with ``weights_only`` names the class and no more.
        self.__init__(**choices)  # type: ignore[misc]


def _shown(value: Any) -> Any:
    """A number for each unit as how many there are."""
    return f"[{len(value)}]" if isinstance(value, tuple) else value


def _signature(
    name: str, step: Callable[..., Any]
) -> tuple[tuple[str, ...], tuple[str, ...], dict[str, Any]]:
    """Split step's arguments into weights, states and choices."""
    positional, choices = [], {}
    for parameter in inspect.signature(step).parameters.values():
        if parameter.kind is parameter.KEYWORD_ONLY and parameter.default is not parameter.empty:
            choices[parameter.name] = parameter.default
        elif parameter.kind is parameter.POSITIONAL_OR_KEYWORD:
            positional.append(parameter.name)
        else:
            raise TypeError(
                f"{name}.step: argument {parameter.name!r} is neither a weight, x or a state, "
                "nor a keyword-only choice with a default"
            )
    if "x" not in positional:
        raise TypeError(f"{name}.step: expected step(W, U, x, h, ...), found no argument 'x'")
    at = positional.index("x")
    weights, states = tuple(positional[:at]), tuple(positional[at + 1 :])
    for weight in weights:
        if weight not in _WEIGHTS:
            raise TypeError(
                f"{name}.step: before x come W, U, V and s; {weight!r} is none of them "
                "(a step has no self; states come after x)"
            )
    if not states:
        raise TypeError(f"{name}.step: expected at least one state after x")
    return weights, states, choices


def _choice(cell: str, choice: str, value: Any) -> Any:
    """A nonlinearity looked up where it was given by name, numbers as a tuple."""
    if isinstance(value, str):
        if value not in NONLINEARITIES:
            names = ", ".join(NONLINEARITIES)
            raise ValueError(f"{cell}: {choice} must be one of {names}, got {value!r}")
        return NONLINEARITIES[value]
    if isinstance(value, Sequence) or getattr(value, "ndim", 0) == 1:
        return tuple(float(number) for number in value)
    return value
