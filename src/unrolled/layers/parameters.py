"""A layer's parameters by name: added, begun, handed to the engine, looked up by gate."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import prod
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import Module, Parameter, init

from ..cells import Cell
from ..compiler.program import Program, VectorKind
from ..errors import DeviceError, DtypeError, KindError, ShapeError
from .checks import autocasts
from .description import Description, Prepared, count


def add_parameters(layer: Module, description: Description) -> list[Parameter]:
    """Give a layer what torch.nn has no name for: V and s, and what options add."""
    program, hidden = description.program(), description.hidden_size
    ends = description.suffixes
    shared = {
        "vector": count(program, VectorKind.UNIT) * hidden,
        "scalar": count(program, VectorKind.SCALAR),
    }
    wanted = [(name + end, size) for end in ends for name, size in shared.items() if size]
    for option, value in description.options.given():  # last: all others are drawn as without
        own = option.parameters(value, program, description.sizes).items()
        wanted += [(name + end, prod(shape)) for end in ends for name, shape in own]
    like = _first(layer)
    for name, size in wanted:
        weight = torch.empty(size, device=like.device, dtype=like.dtype)
        layer.register_parameter(name, Parameter(weight))
    return [layer.get_parameter(name) for name, _ in wanted]


def _first(layer: Module) -> Tensor:
    """The parameter of which all others have the dtype and device."""
    found: Tensor = layer.weight_ih_l0  # type: ignore[assignment]
    return found


class _Beginning:
    """Parameters of one direction of one layer, as options set their initial values."""

    def __init__(self, layer: Module, description: Description, suffix: str) -> None:
        self._layer, self._description, self._suffix = layer, description, suffix
        self.cell, self.program = description.cell, description.program()

    def blocks(self, name: str) -> Sequence[Tensor]:
        """Views of the rows of one name of the equations, a block for each head."""
        return self._part(name).chunk(self._description.heads)

    def parameter(self, name: str) -> Tensor:
        """A parameter of the direction, by the beginning of its name."""
        found: Tensor = getattr(self._layer, name + self._suffix)
        return found

    def uniform(self) -> Tensor:
        """Random numbers between 0 and 1, neither of them among the numbers, ``[H]``."""
        return _uniform(_first(self._layer).new_empty(self._description.hidden_size))

    def set(self, name: str, value: Any) -> None:
        """Make one name of the equations a value, or a function's value of random numbers."""
        weight = self._part(name)
        if callable(value):
            value = value(_uniform(weight))
        weight.copy_(torch.as_tensor(value, dtype=weight.dtype, device=weight.device))

    def set_bias(self, gate: str, value: Any) -> None:
        """Make the sum of a gate's two biases a value: that of W, or, without a W, that of U.

        Raises:
            ValueError: if there is no such gate.
        """
        if not self._description.bias:
            return
        known = names(self._description)
        bias = [f"{matrix}.{gate}.bias" for matrix in "WU" if f"{matrix}.{gate}" in known]
        if not bias:
            raise ValueError(
                f"{self._description.label}: there is no gate {gate!r}; "
                f"there are {', '.join(known)}"
            )
        self.set(bias[0], value)
        for other in bias[1:]:
            init.zeros_(self._part(other))

    def _part(self, name: str) -> Tensor:
        return part_of(self._layer, self._description, name, self._suffix)


@torch.no_grad()
def set_initial_values(layer: Module, description: Description) -> None:
    """Set what does not stay as it was drawn; later ones win over earlier ones."""
    given = description.options.given()
    for suffix in description.suffixes:
        weights = _Beginning(layer, description, suffix)
        for option, value in given:
            if option.place is not None:
                option.begin(value, weights)
        for name, value in description.cell.initial.items():
            if name.endswith(".bias"):
                weights.set_bias(name.split(".")[1], value)
            else:
                weights.set(name, value)
        for option, value in given:
            if option.place is None:
                option.begin(value, weights)


def _uniform(like: Tensor) -> Tensor:
    exact = torch.promote_types(like.dtype, torch.float32)
    return torch.rand(like.shape, device=like.device, dtype=exact).clamp(min=2**-25)


def weights_of(layer: Module, prepared: Prepared) -> list[Tensor]:
    """The weights of all layers and directions, each as `engine.weights.split` takes them.

    Raises:
        TypeError: if a parameter is no tensor.
        ValueError: if one has another shape, device or dtype than the layer's sizes and its other
            parameters say: it was pruned, cut, moved or loaded by itself.
    """
    program, names, cell = prepared.program, prepared.names, prepared.description.cell
    first = _first(layer)
    device, dtype = first.device, first.dtype
    # Past torch.nn's lookup, which takes longer than what is done with a parameter.
    registered = {} if torch.compiler.is_compiling() else layer._parameters
    found: list[Tensor] = []
    for suffix, shapes in prepared.shapes:
        given = {}
        for start, shape in shapes:
            name = start + suffix
            parameter = registered.get(name)
            if parameter is None:  # a buffer, parametrized, pruned, or another module's view
                parameter = getattr(layer, name)
            given[start] = parameter
            if (
                not isinstance(parameter, Tensor)
                or parameter.shape != shape
                or parameter.device != device
                or parameter.dtype != dtype
            ):
                _refuse(prepared.description.label, name, parameter, shape, first)
        own = [given[name] for name in names]
        if cell.antisymmetric:
            own[1] = _antisymmetric(prepared.description, program, own[1])
        if program.vectors:
            own.append(_vectors(layer, prepared, suffix))
        found += own
    return found


def _refuse(label: str, name: str, parameter: Any, shape: tuple[int, ...], first: Tensor) -> None:
    """Say what is wrong with a parameter; under autocast any dtype is right."""
    if not isinstance(parameter, Tensor):
        raise KindError(f"{label}: {name} must be a tensor, got {type(parameter).__name__}")
    if parameter.shape != shape:
        raise ShapeError(
            f"{label}: {name} must have shape {list(shape)}, got {list(parameter.shape)}"
        )
    if parameter.device != first.device:
        raise DeviceError(
            f"{label}: {name} is on {parameter.device}, but weight_ih_l0 is on {first.device}"
        )
    if not autocasts(first.device):
        raise DtypeError(f"{label}: {name} is {parameter.dtype}, but weight_ih_l0 is {first.dtype}")


def _antisymmetric(description: Description, program: Program, recurrent: Tensor) -> Tensor:
    """U with A - Aᵀ in the place of A where the cell says so, for every head by itself."""
    gates = program.rows("U")
    blocks = list(recurrent.chunk(len(gates)))
    for gate in description.cell.antisymmetric:
        A = blocks[gates.index(gate)]
        heads = A.reshape(description.heads, -1, A.shape[1])
        blocks[gates.index(gate)] = (heads - heads.transpose(-1, -2)).reshape(A.shape)
    return torch.cat(blocks)


def _vectors(layer: Module, prepared: Prepared, suffix: str) -> Tensor:
    """What all steps and rows share, in the program's order."""
    program, hidden = prepared.program, prepared.description.hidden_size
    kinds = {vector.kind for vector in program.vectors}
    if kinds == {VectorKind.UNIT}:
        found: Tensor = getattr(layer, f"vector{suffix}")
        return found
    pieces = {}
    if VectorKind.UNIT in kinds:
        pieces[VectorKind.UNIT] = iter(getattr(layer, f"vector{suffix}").split(hidden))
    if VectorKind.SCALAR in kinds:
        scalars = getattr(layer, f"scalar{suffix}").unsqueeze(-1).expand(-1, hidden)
        pieces[VectorKind.SCALAR] = iter(scalars.unbind())
    if VectorKind.CONSTANT in kinds:
        like = _first(layer)
        constants = torch.from_numpy(_constants(prepared.description.cell, program)).to(
            like.device, like.dtype
        )
        pieces[VectorKind.CONSTANT] = iter(constants.unbind())
    if VectorKind.BIAS in kinds:
        biases = (getattr(layer, name + suffix) for name in ("bias_ih", "bias_hh"))
        pieces[VectorKind.BIAS] = iter(torch.cat([*biases]).reshape(-1, hidden).unbind())
    return torch.cat([next(pieces[vector.kind]) for vector in program.vectors])


def _constants(cell: Cell, program: Program) -> np.ndarray:
    """The choices that are a number for each unit, ``[count, H]``."""
    return np.array(
        [
            cell.choices[vector.symbol.name.removeprefix("K_")]
            for vector in program.vectors
            if vector.kind is VectorKind.CONSTANT
        ]
    )


def part_of(layer: Module, description: Description, name: str, suffix: str) -> Tensor:
    """A view of the rows, or numbers, that belong to one name of the equations.

    Raises:
        ValueError: if there is no such name.
    """
    places = _places(description)
    if name not in places:
        raise ValueError(
            f"{description.label}: there is no {name!r}; there are {', '.join(places)}"
        )
    parameter, start, size = places[name]
    found: Tensor = getattr(layer, parameter + suffix)[start : start + size]
    return found


def names(description: Description) -> list[str]:
    """Every name that `Layer.gate` knows."""
    return list(_places(description))


def _places(description: Description) -> dict[str, tuple[str, int, int]]:
    """For each name: how the parameter's name begins, the first row, the number of rows."""
    program, hidden = description.program(), description.hidden_size
    gates = {
        "ih": [f"W.{gate.name.removeprefix('W_')}" for gate in program.gates],
        "hh": [f"U.{gate}" for gate in program.rows("U")],
    }
    places = {}
    for end, names in gates.items():
        for k, name in enumerate(names):
            places[name] = (f"weight_{end}", k * hidden, hidden)
            if description.bias:
                places[f"{name}.bias"] = (f"bias_{end}", k * hidden, hidden)
    if program.projected:
        places["P"] = ("weight_hr", 0, description.output_size)
    for kind, parameter, size in (
        (VectorKind.UNIT, "vector", hidden),
        (VectorKind.SCALAR, "scalar", 1),
    ):
        symbols = [vector.symbol.name for vector in program.vectors if vector.kind is kind]
        for k, symbol in enumerate(symbols):
            places[symbol.replace("_", ".", 1)] = (parameter, k * size, size)
    return places


_MARK = "unrolled_equations("


def add_mark(layer: Module, description: Description) -> None:
    """Give a layer whose equations torch.nn does not have a mark in its state_dict.

    Parameters of a published GRU have the names and shapes of `torch.nn.GRU`'s, which would load
    them without an error and compute something else. So such a layer has an empty buffer whose name
    says what it computes: to any other layer that is an unexpected key.
    """
    if not description.beyond_torch(training=False):
        return
    # Whichever cells of one name came first in this process, and a dot is no part of a name.
    name = description.program().name.partition("#")[0].replace(".", "_")
    heads = f",heads={description.heads}" if description.heads > 1 else ""
    layer.register_buffer(f"{_MARK}{name}{heads})", _first(layer).new_empty(0))


def marks(module: Module) -> Iterator[tuple[str, Tensor]]:
    """A module's own mark, by name."""
    return ((k, v) for k, v in module.named_buffers(recurse=False) if k.startswith(_MARK))
