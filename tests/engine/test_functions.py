"""The vector functions, compiled as a cell's are: each against float64, on every instruction set.

Floats of every magnitude and either sign, numbers as cells meet them, and all that is special.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from unrolled.engine import _cpu
from unrolled.engine.cpu import INSTRUCTION_SETS, library
from unrolled.engine.cpu.library_cache import UnavailableError

Floats = NDArray[np.float32]
INF, NAN = np.inf, np.nan

NAMES = (
    *("exp", "expm1", "log", "sqrt", "sin", "cos", "tanh", "sigmoid", "relu", "softplus", "silu"),
    *("gelu", "normal_cdf", "abs", "sign", "leaky_relu", "elu", "minimum", "maximum", "power"),
    *("clamp", "less", "less_equal", "greater", "greater_equal"),
)
ARITY = {"clamp": 3} | dict.fromkeys(
    ("leaky_relu", "elu", "minimum", "maximum", "power", *NAMES[-4:]), 2
)


def source() -> str:
    """C++ with a function that sweeps over numbers, as a stage of a cell does."""
    cases = []
    for number, name in enumerate(NAMES):
        arguments = ", ".join(["x", "y", "z"][: ARITY.get(name, 1)])
        call = f"{name}({arguments})"
        if name in NAMES[-4:]:
            call = f"where({call}, broadcast(1.0f), broadcast(0.0f))"
        cases.append(f"case {number}: lanes.store(out + j, {call}); break;")
    return f"""
#include "functions.h"
namespace unrolled {{
namespace {{
void apply(int name, index count, const float* a, const float* b, const float* c, float* out) {{
  sweep(0, count, [=](index j, auto lanes) {{
    const vec x = lanes.load(a + j), y = lanes.load(b + j), z = lanes.load(c + j);
    switch (name) {{ {" ".join(cases)} }}
  }});
}}
}}  // namespace
}}  // namespace unrolled
extern "C" __attribute__((visibility("default"))) void* UNROLLED_SYMBOL() {{
  return reinterpret_cast<void*>(unrolled::apply);
}}
"""


@cache
def compiled(isa: str) -> Any:
    _, flags = _cpu.target(isa)
    pointer = ctypes.c_void_p
    kind = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_ssize_t, *[pointer] * 4)
    made = library.compiled(source(), f"{flags} -Wall -Wextra -Werror")
    function = getattr(ctypes.CDLL(str(made.path)), made.symbol)
    function.restype = pointer
    return kind(function())


@pytest.fixture(params=[i for i in INSTRUCTION_SETS if i in ("baseline", "avx2", "avx512")])
def apply(request: pytest.FixtureRequest) -> Callable[..., Floats]:
    """A function by name, of float32 arrays."""
    try:
        run = compiled(request.param)
    except UnavailableError as error:
        if "no C++ compiler" in str(error):
            pytest.skip(str(error))
        raise

    def call(name: str, *arguments: Any) -> Floats:
        same = np.broadcast_arrays(*(np.array(a, dtype=np.float32) for a in arguments))
        given = [np.ascontiguousarray(a) for a in same]
        out = np.full_like(given[0], NAN)
        given += [given[0]] * (3 - len(given))
        run(NAMES.index(name), out.size, *(a.ctypes.data for a in given), out.ctypes.data)
        return out

    return call


def floats(*values: Any) -> Floats:
    return np.array(values, dtype=np.float32)


def line() -> Floats:
    """Floats of every magnitude, evenly spaced in their bits, and more of those in use."""
    bits = np.arange(0, 0x7F800000, 12289, dtype=np.uint32).view(np.float32)
    usual = np.linspace(0, 120, 200_003, dtype=np.float32)
    special = floats(0, 1, 2, 0.5, 1e-45, 1.1754944e-38, 3.4028235e38, INF)
    positive = np.concatenate([bits, usual, special])
    return np.concatenate([positive, -positive, floats(NAN)])


LINE = line()


def error(found: Floats, exact: NDArray[np.float64], smallest: float = 0.0) -> NDArray[np.float64]:
    """Distance in units in the last place; 0 where both are NaN, infinite where one is.

    A unit is no less than `smallest`.
    """
    with np.errstate(all="ignore"):
        nearest = exact.astype(np.float32)
        unit = np.spacing(np.minimum(np.abs(nearest), np.float32(3e38))).astype(np.float64)
        # beyond the largest float comes infinity
        bounded = np.clip(exact, -(2.0**128), 2.0**128)
        value = np.where(np.isinf(found), np.copysign(2.0**128, found), found.astype(np.float64))
        distance = np.abs(value - bounded) / np.maximum(unit, smallest)
    equal = (found == nearest) | (np.isnan(found) & np.isnan(exact))
    return np.where(equal, 0.0, np.where(np.isnan(distance), INF, distance))


def normal_cdf(x: NDArray[np.float64]) -> NDArray[np.float64]:
    found: NDArray[np.float64] = torch.special.ndtr(torch.tensor(x)).numpy()
    wrong = x < -1  # where ndtr has lost digits
    exact = 0.5 * torch.special.erfc(torch.tensor(-x / np.sqrt(2))).numpy()
    return np.where(wrong, exact, found)


EXACT: dict[str, Callable[..., Any]] = {
    "exp": np.exp,
    "log": np.log,
    "sqrt": np.sqrt,
    "sin": np.sin,
    "cos": np.cos,
    "tanh": np.tanh,
    "relu": lambda x: np.where(x <= 0, 0, x),
    "softplus": lambda x: np.logaddexp(0, x),
    "silu": lambda x: x * np.exp(-np.logaddexp(0, -x)),
    "normal_cdf": normal_cdf,
    "gelu": lambda x: x * normal_cdf(x),
    "abs": np.abs,
    "sign": np.sign,
}
LIMIT = {
    **{"tanh": 4, "silu": 4, "gelu": 6, "normal_cdf": 6},
    **{"softplus": 3, "sin": 2, "cos": 2, "expm1": 4, "elu": 4, "power": 2},
}
"""Units in the last place, 1 where nothing is said."""
PRODUCTS = {"silu": 1e-43, "gelu": 1e-43}
"""Of x and what may be denormal: no better than that."""


def compare(apply: Any, name: str, exact: Callable[..., Any], *arguments: Any) -> None:
    """Nowhere farther from float64 than the function's limit, and NaN where it has NaN."""
    given = [np.array(a, dtype=np.float32) for a in np.broadcast_arrays(*arguments)]
    with np.errstate(all="ignore"):
        expected = np.asarray(exact(*(a.astype(np.float64) for a in given)), dtype=np.float64)
    value = apply(name, *given)
    found = error(value, expected, PRODUCTS.get(name, 0.0))
    at = int(found.argmax())
    assert found[at] <= LIMIT.get(name, 1), f"{name}{tuple(a[at] for a in given)} = {value[at]}"


@pytest.mark.parametrize("name", EXACT)
def test_a_function_is_accurate_on_the_whole_line(apply: Any, name: str) -> None:
    compare(apply, name, EXACT[name], LINE)


def test_functions_with_a_number(apply: Any) -> None:
    for slope in (0.01, 0.0, 1.5):
        compare(apply, "leaky_relu", lambda x, s: np.where(x > 0, x, s * x), LINE, slope)
    for alpha in (1.0, 0.0, 0.3):
        formula = lambda x, a: np.where(x > 0, x, a * np.expm1(x))  # noqa: E731
        compare(apply, "elu", formula, LINE, alpha)
    compare(apply, "expm1", np.expm1, LINE[LINE <= 88])


def test_two_arguments_are_compared_with_nan_and_infinities(apply: Any) -> None:
    values = floats(-INF, -3e38, -1, -1e-45, 0.0, 1e-45, 0.5, 1, 3e38, INF, NAN)
    a, b = (grid.ravel() for grid in np.meshgrid(values, values))
    formulas = [np.minimum, np.maximum, np.less, np.less_equal, np.greater, np.greater_equal]
    for formula in formulas:
        compare(apply, formula.__name__, formula, a, b)
    compare(apply, "clamp", np.clip, a, np.minimum(b, 0.25), 0.5)


SPECIAL = [0.0, 1e-45, 1e-38, 0.5, 1 - 2**-24, 1, 1 + 2**-23, 2, 3, 8388607, 2**24, 3e38, INF]


def test_power_of_special_numbers(apply: Any) -> None:
    """As in C: whatever to the power of 0 is 1, a negative base takes whole exponents only."""
    values = floats(*SPECIAL, *(-v for v in SPECIAL), NAN, 2.5, -2.5)
    a, b = (grid.ravel() for grid in np.meshgrid(values, values))
    compare(apply, "power", np.power, a, b)
    zero = apply("power", floats(-0.0, -0.0, 0.0), floats(-3, 3, -3))
    assert zero.tolist() == [-INF, -0.0, INF]
    assert np.signbit(zero).tolist() == [True, True, False]


def test_power_on_the_whole_line(apply: Any) -> None:
    random = np.random.default_rng(0)
    bases = np.abs(LINE[np.isfinite(LINE)])
    compare(apply, "power", np.power, bases, random.uniform(-2, 2, bases.shape))
    compare(
        apply,
        "power",
        np.power,
        random.uniform(0.5, 2, bases.shape),
        random.choice(LINE, bases.shape),
    )
    whole = random.integers(-9, 10, bases.shape)
    compare(apply, "power", np.power, random.uniform(-9, 9, bases.shape), whole)


def test_every_lane_of_an_angle_beyond_a_million(apply: Any) -> None:
    """Those are computed one by one, and their neighbours with them."""
    for lane in range(17):
        values = np.linspace(-7, 7, 17, dtype=np.float32)
        values[lane] = 1.2345679e12
        compare(apply, "sin", np.sin, values)
        compare(apply, "cos", np.cos, values)
