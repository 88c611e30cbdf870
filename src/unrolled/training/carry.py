"""What is carried from one batch to the next: any tree of tensors in tuples, lists and dicts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from torch import Tensor


def leaves(tree: Any) -> Iterator[Tensor]:
    """The tensors of a tree, in order."""
    if isinstance(tree, Tensor):
        yield tree
    elif isinstance(tree, Mapping):
        for value in tree.values():
            yield from leaves(value)
    elif isinstance(tree, tuple | list):
        for value in tree:
            yield from leaves(value)
    elif tree is not None:
        raise TypeError(f"carry: expected tensors in tuples, lists and dicts, got {type(tree)}")


def mapped(function: Callable[[Tensor], Any], tree: Any) -> Any:
    """A tree of the same form, of the function's results."""
    if isinstance(tree, Tensor):
        return function(tree)
    if isinstance(tree, Mapping):
        return {key: mapped(function, value) for key, value in tree.items()}
    if isinstance(tree, tuple | list):
        return type(tree)(mapped(function, value) for value in tree)
    return tree


def form(tree: Any) -> Any:
    """The form of a tree as JSON has it: a leaf is its number, a tuple an object."""
    numbers = iter(range(sum(1 for _ in leaves(tree))))

    def of(part: Any) -> Any:
        if isinstance(part, Tensor):
            return next(numbers)
        if isinstance(part, Mapping):
            return {"dict": {str(key): of(value) for key, value in part.items()}}
        if isinstance(part, tuple):
            return {"tuple": [of(value) for value in part]}
        return None if part is None else [of(value) for value in part]

    return of(tree)


def rebuilt(form: Any, tensors: Mapping[str, Tensor]) -> Any:
    """The tree of a form, whose leaves are tensors by number.

    Raises:
        LookupError, TypeError: The form is none, or a tensor is not there.
    """
    if form is None:
        return None
    if isinstance(form, int):
        return tensors[str(form)]
    if isinstance(form, list):
        return [rebuilt(part, tensors) for part in form]
    if "tuple" in form:
        return tuple(rebuilt(part, tensors) for part in form["tuple"])
    return {key: rebuilt(part, tensors) for key, part in form["dict"].items()}
