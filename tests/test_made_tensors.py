"""Every tensor that the library makes says its dtype and device itself.

`torch.set_default_dtype` and `torch.set_default_device` belong to the user. A buffer of another
dtype than the kernels expect, or on another device, is at best an error.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import unrolled

SOURCE = Path(unrolled.__file__).parent
MODULES = sorted(SOURCE.rglob("*.py"))

# Functions of torch that take what is not said from the defaults. The dtype of as_tensor is that
# of what it is given.
NAMES = (
    *("empty", "zeros", "ones", "full", "arange", "range", "linspace", "logspace", "eye"),
    *("tensor", "scalar_tensor", "rand", "randn", "randint", "randperm", "normal"),
    *("empty_strided", "tril_indices", "triu_indices", "sparse_coo_tensor"),
)
MAKERS = {name: {"dtype", "device"} for name in NAMES}
MAKERS |= {"as_tensor": {"device"}, "asarray": {"device"}}


def unsaid(source: str) -> Iterator[tuple[int, str]]:
    """Lines that make a tensor, and what they do not say."""
    for node in ast.walk(ast.parse(source)):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
            continue
        owner = node.func.value
        if not (isinstance(owner, ast.Name) and owner.id == "torch"):
            continue
        said = {keyword.arg for keyword in node.keywords}
        if None in said or "out" in said:  # **like; out= has its own
            continue
        missing = MAKERS.get(node.func.attr, set()) - said
        if missing:
            yield node.lineno, f"torch.{node.func.attr} without {' and '.join(sorted(missing))}"


@pytest.mark.parametrize(
    ("source", "count"),
    [
        ("torch.zeros(3)", 1),
        ("torch.zeros(3, dtype=torch.int64)", 1),
        ("torch.zeros(3, dtype=torch.int64, device=x.device)", 0),
        ("torch.as_tensor(a, **like)", 0),
        ("torch.as_tensor(a)", 1),
        ("x.new_zeros(3)", 0),
    ],
)
def test_the_rule(source: str, count: int) -> None:
    assert len(list(unsaid(source))) == count


def test_no_tensor_depends_on_the_defaults() -> None:
    found = [
        f"{path.relative_to(SOURCE)}:{line}: {what}"
        for path in MODULES
        for line, what in unsaid(path.read_text(encoding="utf-8"))
    ]
    assert found == []
