"""Layers survive what people do to modules: copying, saving, sharing, forking, parametrising.

What could hang runs in a process of its own with a time limit, so that a hang is a failure.
"""

from __future__ import annotations

import copy
import io
import pickle
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.utils import parametrizations, prune

import unrolled
from unrolled.layers import GRU, LSTM, RNN

LAYERS: dict[str, Callable[..., torch.nn.RNNBase]] = {
    "RNN-identity": lambda **more: RNN(3, 4, 2, "identity", **more),
    "RNN-sigmoid": lambda **more: RNN(3, 4, nonlinearity="sigmoid", bidirectional=True, **more),
    "LSTM-projected": lambda **more: LSTM(3, 4, 2, proj_size=2, **more),
    "GRU": lambda **more: GRU(3, 4, batch_first=True, **more),
    "GRU-original": lambda **more: GRU(3, 4, 2, bias=False, reset_after=False, **more),
}
TIME_LIMIT = 90  # seconds; these take three on an idle machine


def saved_and_loaded(layer: torch.nn.Module) -> Any:
    file = io.BytesIO()
    torch.save(layer, file)
    file.seek(0)
    return torch.load(file, weights_only=False)


WAYS: dict[str, Callable[[torch.nn.Module], Any]] = {
    "deepcopy": copy.deepcopy,
    "copy": copy.copy,
    "pickle": lambda layer: pickle.loads(pickle.dumps(layer)),
    "torch-save": saved_and_loaded,
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", LAYERS)
def test_a_copy_is_the_same_layer(name: str, way: str) -> None:
    layer, x = LAYERS[name](), torch.randn(5, 2, 3)
    expected = layer(x)  # used before it is copied
    twin = WAYS[way](layer)
    assert type(twin) is type(layer)
    assert repr(twin) == repr(layer)
    torch.testing.assert_close(twin(x), expected, rtol=0, atol=0)
    twin(x)[0].sum().backward()


@pytest.mark.parametrize("name", LAYERS)
def test_a_state_dict_through_a_file_with_weights_only(name: str) -> None:
    layer, other, x = LAYERS[name](), LAYERS[name](), torch.randn(5, 2, 3)
    file = io.BytesIO()
    torch.save(layer.state_dict(), file)
    file.seek(0)
    other.load_state_dict(torch.load(file, weights_only=True), strict=True)
    torch.testing.assert_close(other(x), layer(x), rtol=0, atol=0)


def test_what_torch_does_not_have_is_in_the_representation() -> None:
    assert repr(RNN(3, 4, nonlinearity="sigmoid")) == "RNN(3, 4, nonlinearity=sigmoid)"
    assert repr(RNN(3, 4, nonlinearity="relu")) == repr(torch.nn.RNN(3, 4, nonlinearity="relu"))
    assert repr(GRU(3, 4, 2, reset_after=False)) == ("GRU(3, 4, num_layers=2, reset_after=False)")
    assert repr(GRU(3, 4)) == "GRU(3, 4)"


@pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("name", LAYERS)
def test_conversion_to_another_dtype_and_back(name: str, dtype: torch.dtype) -> None:
    layer, x = LAYERS[name](), torch.randn(5, 2, 3)
    with torch.no_grad():
        expected = layer(x)[0]
        converted = layer.to(dtype)(x.to(dtype), lengths=None)[0]
        assert converted.dtype == dtype
        bar = 1e-5 if dtype == torch.float64 else 5e-2
        torch.testing.assert_close(converted.float(), expected, rtol=bar, atol=bar)
    assert "kernels" in unrolled.explain(layer.float(), x)


@pytest.mark.parametrize("name", LAYERS)
def test_autocast_runs_and_gives_its_gradients(name: str) -> None:
    layer, x = LAYERS[name](), torch.randn(5, 2, 3)
    expected = layer(x)[0]
    with torch.autocast("cpu"):
        output = layer(x)[0]
    torch.testing.assert_close(output.float(), expected, rtol=5e-2, atol=5e-2)
    output.sum().backward()
    assert all(p.grad is not None and p.grad.dtype == torch.float32 for p in layer.parameters())


@pytest.mark.parametrize("kind", ["weight_norm", "spectral_norm", "prune"])
@pytest.mark.parametrize("name", ["RNN", "LSTM", "GRU"])
def test_parametrised_weights_are_the_ones_used(name: str, kind: str) -> None:
    x, results = torch.randn(5, 2, 3), []
    for home in (unrolled, torch.nn):
        torch.manual_seed(0)
        layer = getattr(home, name)(3, 4)
        if kind == "prune":
            prune.l1_unstructured(layer, "weight_hh_l0", amount=0.5)  # type: ignore[no-untyped-call]
        else:
            getattr(parametrizations, kind)(layer, "weight_hh_l0")
        layer.eval()
        for _ in range(2):  # an update in between: nothing may be remembered
            output = layer(x)[0]
            gradients = torch.autograd.grad(output.sin().sum(), list(layer.parameters()))
            with torch.no_grad():
                for p, gradient in zip(layer.parameters(), gradients, strict=True):
                    p -= 0.3 * gradient
        results.append((output, gradients))
    torch.testing.assert_close(results[0], results[1], rtol=1e-4, atol=1e-5)


def test_a_weight_that_is_replaced_is_the_one_used() -> None:
    layer, x = GRU(3, 4), torch.randn(5, 2, 3)
    layer.weight_hh_l0 = torch.nn.Parameter(torch.zeros(12, 4))
    twin = torch.nn.GRU(3, 4)
    twin.load_state_dict(layer.state_dict())
    torch.testing.assert_close(layer(x), twin(x))


def test_a_layer_built_on_meta_is_filled_later() -> None:
    source, x = LSTM(3, 4), torch.randn(5, 2, 3)
    layer = LSTM(3, 4, device="meta")
    assert layer(x.to("meta"))[0].shape == (5, 2, 4)
    assert layer(x.to("meta"), lengths=[3, 1])[0].shape == (5, 2, 4)
    layer.load_state_dict(source.state_dict(), assign=True)
    torch.testing.assert_close(layer(x), source(x))


PRELUDE = """
import os, torch
from unrolled import GRU, LSTM

def train(layer, x):
    layer.zero_grad()
    output, _ = layer(x)
    torch.autograd.backward(output, torch.ones(1).expand_as(output))
    return [p.grad for p in layer.parameters()]

layer, x = LSTM(96, 96, 2), torch.randn(20, 16, 96)
"""

FORK = """
torch.set_num_threads(4)
expected = train(layer, x)  # the parent's threads have run
child = os.fork()
if not child:
    assert torch.get_num_threads() == 4  # until a layer is called
    found = train(layer, x)
    for a, b in zip(found, expected):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)
    os._exit(7)
_, status = os.waitpid(child, 0)
assert os.waitstatus_to_exitcode(status) == 7, status
train(layer, x)
"""

LARGE_FORK = """
import unrolled
from unrolled.cells import AntisymmetricRNN

torch.set_num_threads(4)
layer, x = LSTM(256, 256), torch.randn(60, 16, 256)
train(layer, x)
child = os.fork()
if not child:
    train(layer, x)
    # What is around the kernels: masks, copies, other engines, options; torch's loops are parallel.
    lengths = [60, 0, *range(14)]
    dropped = LSTM(256, 256, num_layers=2, dropout=0.5, weight_drop=0.5, batch_first=True)
    anti = unrolled.Recurrent(AntisymmetricRNN, 256, 256, bidirectional=True)
    for own in (layer, dropped, anti):
        for engine in ("auto", "reference", "torch"):
            for options in ({}, {"lengths": lengths}, {"reset": torch.rand(60, 16) < 0.1}):
                given = x.transpose(0, 1) if own is dropped else x
                if "reset" in options and own is dropped:
                    options = {"reset": options["reset"].T}
                with unrolled.using(engine):
                    own(given, **options)[0].square().sum().backward()
    layer.stream(16).run(x)
    os._exit(7)
_, status = os.waitpid(child, 0)
assert os.waitstatus_to_exitcode(status) == 7, status
"""

WORKERS = """
class Encoded(torch.utils.data.Dataset):
    def __len__(self):
        return 8
    def __getitem__(self, i):
        train(layer, x)
        with torch.no_grad():
            return layer(x[:, i : i + 1])[0][-1, 0]

if __name__ == "__main__":
    torch.set_num_threads(2)
    train(layer, x)
    expected = layer(x)[0][-1, :8]
    loader = torch.utils.data.DataLoader(
        Encoded(), batch_size=4, num_workers=2, multiprocessing_context="fork"
    )
    found = torch.cat(list(loader))
    torch.testing.assert_close(found, expected.detach())
"""

SHARED = """
torch.set_num_threads(1)
layer.share_memory()
before = layer(x)[0].detach().clone()
child = os.fork()
if not child:
    with torch.no_grad():
        for p in layer.parameters():
            p.zero_()
    os._exit(0)
os.waitpid(child, 0)
assert all(p.is_shared() for p in layer.parameters())
assert layer(x)[0].abs().max() == 0 < before.abs().max()
"""


@pytest.mark.skipif(not hasattr(__import__("os"), "fork"), reason="no fork on this system")
@pytest.mark.parametrize(
    "script",
    [FORK + WORKERS + SHARED, LARGE_FORK],
    ids=["fork-data-loader-workers-shared-memory", "fork-of-a-large-layer"],
)
def test_other_processes(script: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PRELUDE + script],
        capture_output=True,
        text=True,
        timeout=TIME_LIMIT,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_data_parallel_replicas_have_their_own_weights() -> None:
    layer: Any = GRU(3, 4, reset_after=False)
    replica = layer._replicate_for_data_parallel()
    assert isinstance(replica, GRU)
    assert not replica.reset_after


def test_forward_hooks_see_the_result() -> None:
    layer, x = LSTM(3, 4), torch.randn(5, 2, 3)
    seen: list[Tensor] = []
    layer.register_forward_hook(lambda _module, _args, result: seen.append(result[0]))
    output, _ = layer(x)
    assert seen[0] is output
