"""Finding where numbers stopped being finite."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn


def first_nonfinite_parameter(model: nn.Module, *, gradient: bool = False) -> str | None:
    """Name of the first parameter with a value (or gradient) that is not finite."""
    for name, parameter in model.named_parameters():
        tensor = parameter.grad if gradient else parameter.detach()
        if tensor is not None and not bool(torch.isfinite(tensor).all()):
            return name
    return None


def diagnose(
    model: nn.Module, state: Iterable[Tensor] | None, forward: Callable[[], object]
) -> str:
    """Say in a few words where the first non-finite value is.

    Looks, in this order, at the weights, the carried state, the output of each layer when
    ``forward`` is run again, and the gradients.

    Args:
        model: The model, its gradients as the failing step left them.
        state: The state carried into the step.
        forward: Runs the step's forward pass again.

    Returns:
        For example ``the output of layer 'recurrent' (LSTM) at time index 17``.
    """
    name = first_nonfinite_parameter(model)
    if name is not None:
        return f"the weight '{name}'"
    if state is not None and any(not bool(torch.isfinite(s).all()) for s in state):
        return "the carried state at time index 0"
    found: list[str] = []
    handles = [
        module.register_forward_hook(_watch(layer, found))
        for layer, module in model.named_modules()
        if not any(module.children())
    ]
    try:
        with torch.no_grad():
            forward()
    finally:
        for handle in handles:
            handle.remove()
    if found:
        return found[0]
    name = first_nonfinite_parameter(model, gradient=True)
    if name is not None:
        return f"the gradient of '{name}'"
    # Finite gradients can have a norm that is not: their squares overflow.
    sizes = {
        name: float(parameter.grad.abs().max())
        for name, parameter in model.named_parameters()
        if parameter.grad is not None and parameter.grad.numel()
    }
    if sizes and max(sizes.values()) > 1e15:
        name = max(sizes, key=lambda key: sizes[key])
        return f"none, but the gradient of '{name}' reaches {sizes[name]:.0e}"
    return "the loss itself"


def _watch(name: str, found: list[str]) -> Callable[[nn.Module, Any, Any], None]:
    """A hook that records the first time index at which a layer's output is not finite."""

    def hook(module: nn.Module, inputs: Any, output: Any) -> None:
        tensor = output[0] if isinstance(output, tuple) else output
        if found or not isinstance(tensor, Tensor) or tensor.dim() < 2:
            return
        finite = torch.isfinite(tensor).flatten(1).all(1)  # [T]; the first dimension is time
        if not bool(finite.all()):
            time = int((~finite).nonzero()[0])
            kind = type(module).__name__
            found.append(f"the output of layer '{name}' ({kind}) at time index {time}")

    return hook
