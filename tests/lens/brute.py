"""The same numbers by plain loops and one `torch.autograd.grad` for each of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn


@dataclass
class Run:
    """A torch.nn layer run step by step: graph nodes by strand, ``[N, ·]`` for each step."""

    output: Tensor
    states: dict[str, list[tuple[Tensor, ...]]] = field(default_factory=dict)
    inputs: dict[str, list[Tensor]] = field(default_factory=dict)


def run(layer: nn.RNNBase, x: Tensor) -> Run:
    """What `layer(x)` computes, by torch's single-step functions."""
    step = {"LSTM": torch.lstm_cell, "GRU": torch.gru_cell, "RNN_TANH": torch.rnn_tanh_cell}
    found = Run(x)
    xs = list(x.detach().clone().requires_grad_().unbind())
    for level in range(layer.num_layers):
        outputs = []
        for direction in range(1 + layer.bidirectional):
            end = f"l{level}" + "_reverse" * direction
            weights = [
                getattr(layer, f"{kind}_{end}")
                for kind in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
            ]
            zero = xs[0].new_zeros(len(xs[0]), layer.hidden_size)
            state: tuple[Tensor, ...] = (zero, zero) if layer.mode == "LSTM" else (zero,)
            states = []
            for own in reversed(xs) if direction else xs:
                before = state if layer.mode == "LSTM" else state[0]
                after = step[layer.mode](own, before, *weights)  # type: ignore[operator]
                state = after if layer.mode == "LSTM" else (after,)
                states.append(state)
            found.states[end] = states[::-1] if direction else states
            found.inputs[end] = xs
            outputs.append([state[0] for state in found.states[end]])
        xs = [torch.cat(parts, dim=-1) for parts in zip(*outputs, strict=True)]
    found.output = torch.stack(xs)
    return found


def norms(losses: Tensor, targets: Sequence[Tensor], per_row: bool = False) -> Tensor:
    """``[t, k]``, or ``[t, k, N]`` where losses are ``[T, N]`` and rows are apart."""
    rows = []
    for loss in losses:
        found = torch.autograd.grad(loss.sum(), list(targets), retain_graph=True, allow_unused=True)
        rows.append(
            [
                torch.zeros_like(target) if gradient is None else gradient
                for gradient, target in zip(found, targets, strict=True)
            ]
        )
    each = torch.stack([torch.stack(row) for row in rows])
    lengths: Tensor = torch.linalg.vector_norm(each if per_row else each.flatten(2), dim=-1)
    return lengths
