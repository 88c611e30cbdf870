"""bfloat16 modules and autocast: torch.nn's dtypes, and no less accurate than it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import unrolled
from unrolled.engine.torch.functions import torch_runs

BFLOAT16 = torch.bfloat16


def torch_has(program: str, dtype: torch.dtype, autocast: bool) -> bool:
    """Whether torch's layer runs here, to be compared with: its LSTM needs AVX-512."""
    with torch.autocast("cpu", dtype=BFLOAT16, enabled=autocast):
        return torch_runs(program, [torch.empty(1, dtype=dtype)])


each_cell = pytest.mark.parametrize("cell", ["RNN", "GRU", "LSTM"])


def tensors(found: tuple[Any, Any]) -> list[Tensor]:
    output, states = found
    return [output, *(states if isinstance(states, tuple) else [states])]


@each_cell
@pytest.mark.parametrize("module", [BFLOAT16, torch.float32], ids=["module16", "module32"])
@pytest.mark.parametrize("x", [BFLOAT16, torch.float32], ids=["x16", "x32"])
@pytest.mark.parametrize("states", [None, BFLOAT16, torch.float32], ids=["none", "h16", "h32"])
@pytest.mark.parametrize("layers", [1, 2])
def test_autocast_returns_the_dtypes_of_torch(
    cell: str, module: torch.dtype, x: torch.dtype, states: torch.dtype | None, layers: int
) -> None:
    found = []
    for library in (nn, unrolled) if torch_has(cell.lower(), torch.float32, True) else (unrolled,):
        layer = getattr(library, cell)(5, 7, num_layers=layers).to(module)
        hx: Any = None if states is None else torch.zeros(layers, 3, 7, dtype=states)
        if hx is not None and cell == "LSTM":
            hx = (hx, hx)
        with torch.autocast("cpu", dtype=BFLOAT16):
            result = layer(torch.randn(9, 3, 5, dtype=x), hx)
        found.append([tensor.dtype for tensor in tensors(result)])
    # Without the instructions torch's LSTM fails, or takes another way that returns other dtypes.
    expected = found[0] if len(found) == 2 else [BFLOAT16] * 3
    assert found[-1] == expected


def test_autocast_of_a_projected_lstm() -> None:
    if not torch_has("lstm,projected", torch.float32, True):
        pytest.skip("torch's layer does not run in bfloat16 on this processor")
    found = []
    for library in (nn, unrolled):
        layer = library.LSTM(5, 7, proj_size=3, bidirectional=True)
        with torch.autocast("cpu", dtype=BFLOAT16):
            found.append([tensor.dtype for tensor in tensors(layer(torch.randn(9, 3, 5)))])
    assert found[0] == found[1]


def relative(found: Tensor, exact: Tensor) -> float:
    return float((found.double() - exact).norm() / exact.norm())


@each_cell
@pytest.mark.parametrize("autocast", [False, True], ids=["module", "autocast"])
@pytest.mark.parametrize("size", [(20, 17, 65, 130), (30, 32, 1, 64), (10, 5, 300, 40)], ids=str)
def test_no_less_accurate_than_torch(
    cell: str, autocast: bool, size: tuple[int, int, int, int]
) -> None:
    """Outputs, states and every gradient against float64, the same weights for all.

    Where torch cannot run, no less accurate than rounding to bfloat16 is.
    """
    T, N, X, H = size
    torch.manual_seed(T)
    model = getattr(nn, cell)(X, H).to(BFLOAT16)
    x, gradient = torch.randn(T, N, X).to(BFLOAT16), torch.randn(T, N, H).to(BFLOAT16)

    def run(library: Any, dtype: torch.dtype, cast: bool) -> list[Tensor]:
        layer = getattr(library, cell)(X, H)
        layer.load_state_dict(model.state_dict())
        layer = layer.to(dtype)
        leaf = x.to(dtype, copy=True).requires_grad_()
        with torch.autocast("cpu", dtype=BFLOAT16, enabled=cast):
            found = tensors(layer(leaf))
        found[0].backward(gradient.to(found[0].dtype))  # type: ignore[no-untyped-call]
        leaves = [leaf, *layer.parameters()]
        return [*found, *(found_leaf.grad for found_leaf in leaves)]

    dtype = torch.float32 if autocast else BFLOAT16
    exact = run(nn, torch.float64, False)
    ours = run(unrolled, dtype, autocast)
    bars = [8e-3] * (len(exact) - len(list(model.parameters())) - 1)
    bars += [2e-2] * (len(exact) - len(bars))
    if torch_has(cell.lower(), dtype, autocast):
        pairs = zip(run(nn, dtype, autocast), exact, strict=True)
        bars = [relative(theirs.detach(), wanted.detach()) for theirs, wanted in pairs]
    for found, wanted, bar in zip(ours, exact, bars, strict=True):
        assert relative(found.detach(), wanted.detach()) <= bar


@pytest.mark.parametrize("autocast", [False, True], ids=["module", "autocast"])
@pytest.mark.parametrize("option", ["reset", "checkpoint"])
@each_cell
def test_resets_and_checkpoints(cell: str, option: str, autocast: bool) -> None:
    """By the kernels; within what rounding costs of the reference in float64."""
    torch.manual_seed(0)
    T, N, X, H = 20, 9, 13, 33
    model = getattr(nn, cell)(X, H, 2, bidirectional=True).to(BFLOAT16)
    x, gradient = torch.randn(T, N, X).to(BFLOAT16), torch.randn(T, N, 2 * H).to(BFLOAT16)
    options: Any = {"reset": torch.rand(T, N) < 0.2, "checkpoint": 6}
    options = {option: options[option]}

    def run(engine: str, dtype: torch.dtype, cast: bool) -> list[Tensor]:
        layer = getattr(unrolled, cell)(X, H, 2, bidirectional=True)
        layer.load_state_dict(model.state_dict())
        layer = layer.to(dtype)
        leaf = x.to(dtype, copy=True).requires_grad_()
        with torch.autocast("cpu", dtype=BFLOAT16, enabled=cast), unrolled.using(engine):
            text = unrolled.explain(layer, leaf, **options)
            found = tensors(layer(leaf, **options))
        assert ("products in bfloat16" if engine == "kernels" else "reference") in text
        found[0].backward(gradient.to(found[0].dtype))  # type: ignore[no-untyped-call]
        return [*found, *(each.grad for each in [leaf, *layer.parameters()])]

    exact = run("reference", torch.float64, False)
    actual = run("kernels", torch.float32 if autocast else BFLOAT16, autocast)
    outputs = len(exact) - 1 - len(list(model.parameters()))
    for k, (found, wanted) in enumerate(zip(actual, exact, strict=True)):
        assert relative(found.detach(), wanted.detach()) < (8e-3 if k < outputs else 2e-2)


def test_lengths_packing_and_dropout() -> None:
    """What stands around the kernels takes bfloat16, too."""
    layer = unrolled.GRU(4, 6, num_layers=2, bidirectional=True, dropout=0.5).to(BFLOAT16)
    x = torch.randn(9, 3, 4, dtype=BFLOAT16, requires_grad=True)
    output, h = layer(x, lengths=[9, 0, 4])
    assert (output.dtype, h.dtype) == (BFLOAT16, BFLOAT16)
    assert not output[4:, 2].any()
    (output.float().square().sum() + h.float().sum()).backward()
    assert x.grad is not None
    assert x.grad.dtype == BFLOAT16
    assert not x.grad[4:, 2].any()
    packed = nn.utils.rnn.pack_sequence([x[:, 0].detach(), x[:4, 1].detach()])
    data: Any = layer(packed)[0]  # a PackedSequence
    assert data.data.dtype == BFLOAT16


def test_a_gradient_can_be_differentiated() -> None:
    layer = unrolled.GRU(4, 6)
    x = torch.randn(9, 3, 4, requires_grad=True)
    with torch.autocast("cpu", dtype=BFLOAT16):
        output, _ = layer(x)
    (gradient,) = torch.autograd.grad(output.square().sum(), x, create_graph=True)
    gradient.square().sum().backward()  # type: ignore[no-untyped-call]
    for parameter in layer.parameters():
        assert parameter.grad is not None
        assert parameter.grad.isfinite().all()


def test_explain_names_it() -> None:
    layer = unrolled.LSTM(4, 6).to(BFLOAT16)
    assert "products in bfloat16" in unrolled.explain(layer, torch.randn(9, 3, 4, dtype=BFLOAT16))
