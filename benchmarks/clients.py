"""Third-party tools on our layers: each that is installed, its numbers beside torch.nn's.

    python benchmarks/clients.py

A tool is tried on a small model three times: with torch.nn's layers, with ours, and with ours after
`unrolled.deaccelerate`. What it says of the model (operations, parameters, outputs) is printed, and
"as torch.nn" where ours is the same.
"""

from __future__ import annotations

import contextlib
import copy
import importlib
import io
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import unrolled

X, H, T, N = 16, 32, 20, 4


class Tagger(nn.Module):
    """Two recurrent layers and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(X, H, batch_first=True)
        self.gru = nn.GRU(H, H, batch_first=True, bidirectional=True)
        self.head = nn.Linear(2 * H, 5)

    def forward(self, x: Tensor) -> Tensor:
        """``[N, T, X]`` to ``[N, T, 5]``."""
        found: Tensor = self.head(self.gru(self.lstm(x)[0])[0])
        return found


def _close(found: Tensor, expected: Tensor, bound: float) -> str:
    far = float((found - expected).abs().max().detach())
    return f"right to {bound:g}" if far < bound else f"off by {far:g}"


def _thop(model: Any, x: Tensor) -> str:
    thop = importlib.import_module("thop")
    count, parameters = thop.profile(model, (x,), verbose=False)
    return f"{count:.0f} MACs, {parameters:.0f} parameters"


def _thop_told(model: Any, x: Tensor) -> str:
    thop, hooks = importlib.import_module("thop"), importlib.import_module("thop.rnn_hooks")
    told = {unrolled.LSTM: hooks.count_lstm, unrolled.GRU: hooks.count_gru}
    count, parameters = thop.profile(model, (x,), custom_ops=told, verbose=False)
    return f"{count:.0f} MACs, {parameters:.0f} parameters"


def _ptflops(model: Any, x: Tensor) -> str:
    ptflops = importlib.import_module("ptflops")
    count, parameters = ptflops.get_model_complexity_info(
        model,
        tuple(x.shape[1:]),
        as_strings=False,
        print_per_layer_stat=False,
        verbose=False,
        backend="pytorch",
    )
    return f"{count} MACs, {parameters} parameters"


def _torchinfo(model: Any, x: Tensor) -> str:
    info = importlib.import_module("torchinfo").summary(model, input_data=x, verbose=0)
    return f"{info.total_mult_adds} MACs, {info.total_params} parameters"


def _fvcore(model: Any, x: Tensor) -> str:
    analysis = importlib.import_module("fvcore.nn").FlopCountAnalysis(model, x)
    analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False)
    total, missed = analysis.total(), sorted(analysis.unsupported_ops())
    return f"{total} operations, not counted: {', '.join(missed) or 'none'}"


def _flop_counter(model: Any, x: Tensor) -> str:
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        model(x).sum().backward()
    return f"{counter.get_total_flops()} operations (torch.nn's LSTM counts as none)"


def _quantize_dynamic(model: Any, x: Tensor) -> str:
    quantize: Any = torch.ao.quantization.quantize_dynamic
    quantized = quantize(model.eval(), {nn.LSTM, nn.GRU, nn.Linear})
    count = sum("quantized" in type(layer).__module__ for layer in quantized.children())
    return f"{count} of 3 layers quantized, {_close(quantized(x), model(x), 0.05)}"


def _torchao(model: Any, x: Tensor) -> str:
    quantization = importlib.import_module("torchao.quantization")
    expected = model.eval()(x)
    quantization.quantize_(model, quantization.Int8WeightOnlyConfig())
    kind = type(model.head.weight).__name__
    return f"the linear layer is {kind}, {_close(model(x), expected, 0.05)}"


def _opacus_validator(model: Any, x: Tensor) -> str:
    validators = importlib.import_module("opacus.validators")
    errors = validators.ModuleValidator.validate(model, strict=False)
    fixed = validators.ModuleValidator.fix(model)
    kinds = [type(fixed.lstm).__name__, type(fixed.gru).__name__]
    return f"{len(errors)} errors, fixed as {', '.join(kinds)}"


def _opacus_private(model: Any, x: Tensor) -> str:
    opacus = importlib.import_module("opacus")
    validators = importlib.import_module("opacus.validators")
    model = validators.ModuleValidator.fix(model).train()
    sample = opacus.GradSampleModule(model)
    sample(x).sum().backward()
    shapes = {tuple(p.grad_sample.shape[:1]) for p in sample.parameters()}
    return f"gradients of {shapes} samples"


def _onnx(dynamo: bool) -> Callable[[Any, Tensor], str]:
    def export(model: Any, x: Tensor) -> str:
        runtime = importlib.import_module("onnxruntime")
        onnx = importlib.import_module("onnx")
        importlib.import_module("onnxscript")
        with tempfile.TemporaryDirectory() as folder:
            file = str(Path(folder) / "model.onnx")
            axes: Any = {} if dynamo else {"dynamic_axes": {"x": {0: "N", 1: "T"}}}
            torch.onnx.export(
                model.eval(), (x,), file, dynamo=dynamo, input_names=["x"], verbose=False, **axes
            )
            session = runtime.InferenceSession(file)
            nodes = [node.op_type for node in onnx.load(file).graph.node]
            given = x if dynamo else torch.randn(2, 33, X)
            found = session.run(None, {"x": given.numpy()})[0]
        kinds = [kind for kind in nodes if kind in ("LSTM", "GRU", "RNN")]
        return f"nodes {', '.join(kinds)}; {_close(torch.tensor(found), model(given), 1e-5)}"

    return export


def _captum(model: Any, x: Tensor) -> str:
    captum = importlib.import_module("captum.attr")
    torch.manual_seed(0)
    attributed = captum.IntegratedGradients(lambda x: model(x)[..., 0].sum(1)).attribute(
        x, n_steps=5
    )
    return f"attributions sum to {attributed.sum().item():.4f}"


CLIENTS: dict[str, tuple[str, Callable[[Any, Tensor], str]]] = {
    "thop": ("thop", _thop),
    "thop, custom_ops": ("thop", _thop_told),
    "ptflops": ("ptflops", _ptflops),
    "torchinfo": ("torchinfo", _torchinfo),
    "fvcore": ("fvcore", _fvcore),
    "FlopCounterMode": ("torch", _flop_counter),
    "quantize_dynamic": ("torch", _quantize_dynamic),
    "torchao": ("torchao", _torchao),
    "opacus validator": ("opacus", _opacus_validator),
    "opacus per sample": ("opacus", _opacus_private),
    "ONNX (TorchScript)": ("onnxruntime", _onnx(dynamo=False)),
    "ONNX (dynamo)": ("onnxruntime", _onnx(dynamo=True)),
    "captum": ("captum", _captum),
}


def tried(client: Callable[[Any, Tensor], str], model: Any, x: Tensor) -> str:
    """What the client says, or its error in one line; what it prints is swallowed."""
    with (
        warnings.catch_warnings(),
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
    ):
        warnings.simplefilter("ignore")
        try:
            return client(copy.deepcopy(model), x)
        except Exception as error:
            lines = str(error).strip().splitlines() or [""]
            return f"{type(error).__name__}: {lines[0][:150]}"


def main() -> None:
    """Try every client that is installed."""
    torch.manual_seed(0)
    theirs, x = Tagger(), torch.randn(N, T, X)
    ours = copy.deepcopy(theirs)
    unrolled.accelerate(ours)
    back = copy.deepcopy(ours)
    unrolled.deaccelerate(back)
    for name, (package, client) in CLIENTS.items():
        try:
            importlib.import_module(package)
        except ImportError as error:
            print(f"{name}\n  not installed: {error}", flush=True)
            continue
        expected = tried(client, theirs, x)
        print(f"{name}\n  torch.nn         {expected}")
        for label, model in (("unrolled", ours), ("deaccelerated", back)):
            found = tried(client, model, x)
            print(f"  {label:<16} {'as torch.nn' if found == expected else found}", flush=True)


if __name__ == "__main__":
    main()
