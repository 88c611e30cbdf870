"""Errors: of what a user asked for, and of a layer's call.

A `UserError` is one line that the command line prints; nothing else of the library prints.

An error of a layer's call is of our kind, and of the kind that torch.nn raises.

torch.nn raises RuntimeError for most wrong sizes, ValueError for others, and AttributeError where
an argument is no tensor. Code that was written for torch.nn and catches one of these works with our
layers too; and so does code that catches what Python would raise, TypeError for a wrong kind and
ValueError for anything else.
"""

from __future__ import annotations

USAGE = 2
"""Exit code for a mistake in what was asked for: an option, a file, a folder."""

RUNTIME = 1
"""Exit code for something that went wrong on the way, such as a full disk or a diverging loss."""


LONGEST = 1000
"""Characters of a message; of one that quotes more, beginning and end."""


class UserError(Exception):
    """A problem that one sentence explains: what was expected, what came, where.

    The command line prints the sentence and exits with ``code``, without a traceback.

    Attributes:
        code: The exit code, ``USAGE`` or ``RUNTIME``.
    """

    def __init__(self, message: str, *, code: int = USAGE) -> None:
        # Names of files and characters of prompts come from outside and may hold line breaks or
        # lone surrogates; the sentence stays one printable line.
        line = " ".join(message.split())
        if len(line) > LONGEST:
            line = f"{line[: LONGEST // 2]} … {line[-LONGEST // 2 :]}"
        super().__init__(line.encode("utf-8", "backslashreplace").decode("utf-8"))
        self.code = code


def reason(error: OSError) -> str:
    """Words of an operating-system error, without its number."""
    return (error.strerror or str(error) or type(error).__name__).lower()


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
