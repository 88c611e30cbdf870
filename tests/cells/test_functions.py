"""The functions of equations mean the same for tensors, arrays and numbers, and are torch's own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from unrolled import cells
from unrolled.cells import functions
from unrolled.cells.functions import FUNCTIONS, Function

INF, NAN = torch.inf, torch.nan

THEIRS: dict[str, Callable[..., Tensor]] = {
    "identity": lambda x: x * 1,
    "leaky_relu": functional.leaky_relu,
    "elu": functional.elu,
    "gelu": functional.gelu,
    "silu": functional.silu,
    # torch's own is the identity above 20, which is 2e-9 away
    "softplus": lambda x: functional.softplus(x, threshold=50.0),
    "normal_cdf": torch.special.ndtr,
    **{
        name: getattr(torch, name)
        for name in ("exp", "expm1", "log", "sqrt", "sin", "cos", "tanh", "sigmoid", "relu", "abs")
    },
    **{name: getattr(torch, name) for name in ("sign", "minimum", "maximum", "clamp", "where")},
}
UNARY = [f for f in FUNCTIONS if f.name not in ("minimum", "maximum", "clamp", "where")]
each_unary = pytest.mark.parametrize("function", UNARY, ids=str)

VALUES = torch.tensor([-INF, -30.0, -1.25, -1e-4, 0.0, 1e-4, 0.5, 1.25, 30.0, 700.0, INF, NAN])


def derivatives(function: Any, x: Tensor, order: int) -> list[Tensor]:
    """The function and its derivatives."""
    leaf = x.clone().requires_grad_()
    found = [function(leaf)]
    for _ in range(order):
        if not found[-1].requires_grad:
            break
        total = found[-1].sum()
        found += torch.autograd.grad(total, leaf, create_graph=True, materialize_grads=True)
    return [value.detach() for value in found]


def test_every_function_is_held_against_torch() -> None:
    assert THEIRS.keys() == {function.name for function in FUNCTIONS}


@each_unary
def test_values_are_torchs(function: Function) -> None:
    """NaN and infinities included; but NaN stays NaN under sign, which torch makes 0."""
    expected = THEIRS[function.name](VALUES.double())
    if function.name == "sign":
        expected[-1] = NAN
    if function.name in ("gelu", "silu"):  # -inf times 0, and no number for torch either
        assert expected[0].isnan()
    torch.testing.assert_close(
        function(VALUES.double()), expected, rtol=1e-13, atol=1e-13, equal_nan=True
    )


@each_unary
def test_derivatives_are_torchs(function: Function) -> None:
    """The first at 0 too, where relu's is 0, elu's alpha, abs's 0 and sqrt's infinite."""
    x = VALUES[torch.isfinite(VALUES)].double()
    x = x[:-1]  # the exponential of 700 has no derivative worth comparing
    for given, order in ((x, 1), (x[x != 0], 3)):
        found = derivatives(function, given, order)
        expected = derivatives(THEIRS[function.name], given, order)
        for one, two in zip(found, expected, strict=False):
            torch.testing.assert_close(one, two, rtol=1e-9, atol=1e-9, equal_nan=True)


@each_unary
def test_numbers_and_arrays_are_taken_like_tensors(function: Function) -> None:
    values = np.array([-1.5, -0.25, 0.0, 0.5, 2.0])
    expected = THEIRS[function.name](torch.tensor(values)).numpy()
    with np.errstate(invalid="ignore", divide="ignore"):
        np.testing.assert_allclose(function(values), expected, rtol=1e-13)
        np.testing.assert_allclose([function(float(v)) for v in values], expected, rtol=1e-13)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64], ids=str)
@pytest.mark.parametrize("function", FUNCTIONS, ids=str)
def test_a_dtype_stays(function: Function, dtype: torch.dtype) -> None:
    x = torch.tensor([0.25, 0.75], dtype=dtype)
    more = {"minimum": (0.5,), "maximum": (0.5,), "clamp": (0.3, 0.5)}
    found = (
        functions.where(x > 0.5, x, 0.1)
        if function.name == "where"
        else function(x, *more.get(function.name, ()))
    )
    assert found.dtype == dtype


A, B = torch.tensor([-1.0, 0.5, 0.5, NAN, 2.0]).double(), torch.tensor([0.5, 0.5, -INF, 1, NAN])


@pytest.mark.parametrize("name", ["minimum", "maximum"])
def test_of_two_the_gradient_goes_as_in_torch(name: str) -> None:
    """Half to each where they are equal."""
    for b in (B.double(), 0.5):
        found = derivatives(lambda x, b=b: getattr(cells, name)(x, b), A, 1)
        other = torch.as_tensor(b, dtype=torch.float64)
        expected = derivatives(lambda x, b=other: THEIRS[name](x, b), A, 1)
        for one, two in zip(found, expected, strict=True):
            torch.testing.assert_close(one, two, equal_nan=True)
    assert getattr(cells, name)(2.0, np.array([1.0, 3.0])).tolist() in ([1, 2], [2, 3])


@pytest.mark.parametrize("bounds", [(-1.0, 0.5), (-INF, 0.5), (0.75, 0.5)], ids=str)
def test_clamp_lets_the_gradient_through_at_its_border(bounds: tuple[float, float]) -> None:
    found = derivatives(lambda x: cells.clamp(x, *bounds), A, 1)
    expected = derivatives(lambda x: torch.clamp(x, *bounds), A, 1)
    for one, two in zip(found, expected, strict=True):
        torch.testing.assert_close(one, two, equal_nan=True)
    low = torch.tensor(bounds[0]).double()
    torch.testing.assert_close(cells.clamp(A, low, bounds[1]), expected[0], equal_nan=True)
    assert float(cells.clamp(3, low=-9, high=low)) == bounds[0]


def test_where_takes_conditions_of_every_kind() -> None:
    assert cells.where(A > 0, A, 0.0)[:3].tolist() == [0.0, 0.5, 0.5]
    assert cells.where(A > 0, 1.0, 0.0)[:3].tolist() == [0.0, 1.0, 1.0]
    assert cells.where(np.array([True, False]), 1.0, np.array([2.0, 3.0])).tolist() == [1.0, 3.0]
    assert cells.where(2 > 1, A[:3], 0.0).equal(A[:3])
    assert float(cells.where(2 < 1, 3.0, 4.0)) == 4.0


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated")  # torch's own use of it
@pytest.mark.parametrize("function", [cells.gelu, cells.elu, cells.softplus, cells.silu], ids=str)
def test_functions_may_be_transformed(function: Function) -> None:
    """By torch.func: the layers' second derivatives and batches of gradients rest on it."""
    x = torch.linspace(-2, 2, 6).double()
    found = torch.func.vmap(torch.func.grad(lambda v: function(v).sum()))(x)
    torch.testing.assert_close(found, derivatives(function, x, 1)[1])
    one = torch.ones_like(x)
    torch.testing.assert_close(torch.func.jvp(function, (x,), (one,))[1], found)


def test_a_call_with_too_few_arguments_names_them() -> None:
    with pytest.raises(TypeError, match=r"clamp\(x, low, high\): missing .* 'high'"):
        cells.clamp(A, 0)
    with pytest.raises(TypeError, match=r"elu\(x, alpha\): got an unexpected .* 'slope'"):
        cells.elu(A, slope=2)


def test_sigmoid_of_a_large_negative_array_does_not_warn() -> None:
    # warnings are errors here: exp must not overflow on the way
    np.testing.assert_allclose(cells.sigmoid(np.array([-1000.0, 1000.0])), [0.0, 1.0])
