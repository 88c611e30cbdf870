"""How weights begin where it is not at random: what the cell says, and what a layer's options say.

References:
    Gers, Schmidhuber & Cummins, 2000; Jozefowicz, Zaremba & Sutskever, 2015 (the forget gate's
    bias); Tallec & Ollivier, 2018 (chrono); Saxe, McClelland & Ganguli, 2014 (orthogonal); Le,
    Jaitly & Hinton, 2015 (identity).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import Module, init

from .description import Description
from .parameters import names, part_of

_MATRICES = ("orthogonal", "identity")


def check_options(description: Description) -> None:
    """See that the options are of the right kind and that the cell has what they set.

    Raises:
        TypeError: if one is of a wrong kind.
        ValueError: if one has a wrong value, or the cell has nothing that it could set.
    """
    options, label = description.options, description.label
    for name in ("forget_bias", "chrono"):
        value: Any = getattr(options, name)
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise TypeError(f"{label}: {name} must be a number, got {type(value).__name__}")
        if not description.cell.gates_of_memory:
            raise ValueError(
                f"{label}: {name} needs a gate of memory, and this cell has none "
                "(gates_of_memory is empty)"
            )
        if not description.bias:
            raise ValueError(f"{label}: {name} sets a bias, so bias must be True, got False")
    if options.chrono is not None and options.chrono <= 2:
        raise ValueError(
            f"{label}: chrono must be more than 2 steps, since log(T_max - 1) is the largest bias, "
            f"got {options.chrono}"
        )
    if options.forget_bias is not None and options.chrono is not None:
        raise ValueError(f"{label}: forget_bias and chrono set the same bias; give one of them")
    if options.recurrent_init is not None:
        if options.recurrent_init not in _MATRICES:
            raise ValueError(
                f"{label}: recurrent_init must be one of {', '.join(_MATRICES)}, "
                f"got {options.recurrent_init!r}"
            )
        if not description.program().rows("U"):
            raise ValueError(f"{label}: recurrent_init needs a recurrent matrix U; there is none")
    learn: Any = options.learn_initial
    if not isinstance(learn, bool):
        raise TypeError(f"{label}: learn_initial must be a bool, got {type(learn).__name__}")


@torch.no_grad()
def set_initial_values(layer: Module, description: Description) -> None:
    """Set what does not stay as it was drawn; later ones win over earlier ones."""
    options = description.options
    for suffix in description.suffixes:
        for name, value in description.initial().items():
            if name.endswith(".bias"):
                if description.bias:
                    _set_bias(layer, description, name.split(".")[1], value, suffix)
            else:
                _set(part_of(layer, description, name, suffix), value)
        if options.recurrent_init is not None:
            _set_matrices(layer, description, options.recurrent_init, suffix)
        for gate, bias in _biases(layer, description).items():
            _set_bias(layer, description, gate, bias, suffix)
        if options.learn_initial:
            for state in description.program().states:
                init.zeros_(getattr(layer, f"initial_{state.name}{suffix}"))


def _biases(layer: Module, description: Description) -> dict[str, Any]:
    """The bias of gates of memory, where an option says it."""
    options, gates = description.options, description.cell.gates_of_memory
    if options.forget_bias is not None:
        gate, sign = next(iter(gates.items()))
        return {gate: sign * options.forget_bias}
    if options.chrono is not None:
        like: Any = layer.weight_ih_l0
        times = _uniform(like.new_empty(description.hidden_size)) * (options.chrono - 2) + 1
        return {gate: sign * times.log() for gate, sign in gates.items()}
    return {}


def _set_bias(layer: Module, description: Description, gate: str, value: Any, suffix: str) -> None:
    """Make the sum of a gate's two biases a value: that of W, or, if the gate has no W, of U."""
    known = names(description)
    bias = [f"{matrix}.{gate}.bias" for matrix in "WU" if f"{matrix}.{gate}" in known]
    if not bias:
        raise ValueError(
            f"{description.label}: there is no gate {gate!r}; there are {', '.join(known)}"
        )
    _set(part_of(layer, description, bias[0], suffix), value)
    for other in bias[1:]:
        init.zeros_(part_of(layer, description, other, suffix))


def _set(weight: Tensor, value: Any) -> None:
    if callable(value):
        value = value(_uniform(weight))
    weight.copy_(torch.as_tensor(value, dtype=weight.dtype, device=weight.device))


def _uniform(like: Tensor) -> Tensor:
    """Random numbers between 0 and 1, neither of them among the numbers."""
    found = torch.rand(like.shape, device=like.device, dtype=_exact(like))
    return found.clamp(min=2**-25)


def _set_matrices(layer: Module, description: Description, kind: str, suffix: str) -> None:
    """Every block of U on its own: of each gate, of each head."""
    fill = init.orthogonal_ if kind == "orthogonal" else init.eye_
    for gate in description.program().rows("U"):
        for block in part_of(layer, description, f"U.{gate}", suffix).chunk(description.heads):
            # the decomposition behind the orthogonal ones does not know short floating point
            block.copy_(fill(torch.empty_like(block, dtype=_exact(block))))


def _exact(tensor: Tensor) -> torch.dtype:
    return torch.promote_types(tensor.dtype, torch.float32)
