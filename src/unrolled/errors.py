"""Errors of a layer's call: each is of our kind, and of the kind that torch.nn raises.

torch.nn raises RuntimeError for most wrong sizes, ValueError for others, and AttributeError where
an argument is no tensor. Code that was written for torch.nn and catches one of these works with our
layers too; and so does code that catches what Python would raise, TypeError for a wrong kind and
ValueError for anything else.
"""

from __future__ import annotations


class ArgumentError(Exception):
    """An argument that a layer's call cannot take; the base of the errors below.

    Args:
        message: one line that names the layer, the argument, what was expected and what came.
        torch_words: what torch.nn says in the same place. They follow in parentheses, for code,
            and for people, who look for them.
    """

    def __init__(self, message: str, torch_words: str = "") -> None:
        super().__init__(f"{message} (torch.nn: {torch_words})" if torch_words else message)


class KindError(ArgumentError, TypeError, AttributeError, RuntimeError):
    """An argument of a wrong kind: a list or a sparse tensor for a tensor, a tensor for a tuple.

    A TypeError, as Python calls it; an AttributeError, since torch.nn asks whatever it is given for
    its ``dim``; a RuntimeError, which torch.nn raises for too many states.
    """


class ShapeError(ArgumentError, ValueError, RuntimeError):
    """A tensor of a wrong number of dimensions or a wrong size.

    A ValueError, which torch.nn raises for the input's dimensions; a RuntimeError, which it raises
    for the number of features and for the shape of a state.
    """


class DtypeError(ArgumentError, ValueError, RuntimeError):
    """A tensor whose numbers are of a wrong type.

    A ValueError, which torch.nn raises for the input; a RuntimeError, which it raises for a state.
    """


class DeviceError(ArgumentError, ValueError, RuntimeError):
    """A tensor on another device than the weights or the input.

    A ValueError like all other wrong values here; a RuntimeError, which torch.nn raises.
    """
