"""A layer's parameters by name: as torch.nn calls them, as the engine takes them, by gate."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import Parameter

from ..cells import Cell
from ..compiler.program import Program, Space, VectorKind
from ..engine.weights import program_named
from ..errors import DeviceError, DtypeError, KindError, ShapeError
from .checks import autocasts

if TYPE_CHECKING:
    from .layer import Layer


def suffixes(num_layers: int, bidirectional: bool) -> Iterator[str]:
    """What ends a parameter's name, for every layer and direction."""
    for k in range(num_layers):
        yield f"_l{k}"
        if bidirectional:
            yield f"_l{k}_reverse"


def matrix_names(program: Program, bias: bool) -> list[str]:
    """How the names of one direction's weights begin, in the engine's order; without vectors."""
    names = ["weight_ih", "weight_hh"]
    return names + ["bias_ih", "bias_hh"] * bias + ["weight_hr"] * program.projected


def count(program: Program, kind: VectorKind) -> int:
    """How many vectors of a kind the program has."""
    return sum(vector.kind is kind for vector in program.vectors)


def state_sizes(program: Program, hidden: int, output: int) -> list[int]:
    """The size of every state."""
    sizes = {Space.HIDDEN: hidden, Space.PROJECTED: output}
    return [sizes[state.new.space] for state in program.states]


def add_parameters(layer: Layer) -> list[Parameter]:
    """Give a layer what torch.nn has no name for: V and s, and learned initial states."""
    program, hidden = layer.program, layer.hidden_size
    ends = list(suffixes(layer.num_layers, layer.bidirectional))
    shared = {
        "vector": count(program, VectorKind.UNIT) * hidden,
        "scalar": count(program, VectorKind.SCALAR),
    }
    wanted = [(name + end, size) for end in ends for name, size in shared.items() if size]
    if layer.options.learn_initial:  # last, so that all others are drawn as without
        sizes = state_sizes(program, hidden, layer.output_size)
        states = list(zip(program.states, sizes, strict=True))
        wanted += [(f"initial_{state.name}{end}", size) for end in ends for state, size in states]
    like = layer.weight_ih_l0
    for name, size in wanted:
        weight = torch.empty(size, device=like.device, dtype=like.dtype)
        layer.register_parameter(name, Parameter(weight))
    return [layer.get_parameter(name) for name, _ in wanted]


def flat(layer: Layer, program: Program) -> list[list[Tensor]]:
    """For each layer, of all its directions, the weights as `engine.weights.split` takes them.

    Raises:
        TypeError: if a parameter is no tensor.
        ValueError: if one has another shape, device or dtype than the layer's sizes and its other
            parameters say: it was pruned, cut, moved or loaded by itself.
    """
    names = matrix_names(program, layer.bias and program.bias)
    first = layer.weight_ih_l0
    found: list[list[Tensor]] = []
    for suffix, shapes in _shapes_of(
        program.name,
        layer.input_size,
        layer.hidden_size,
        layer.output_size,
        layer.heads,
        layer.num_layers,
        layer.bidirectional,
        layer.bias,
        layer.options.learn_initial,
    ):
        given = {}
        for start, shape in shapes:
            parameter = given[start] = getattr(layer, start + suffix)
            if (
                not isinstance(parameter, Tensor)
                or parameter.shape != shape
                or parameter.device != first.device
                or parameter.dtype != first.dtype
            ):
                _refuse(layer, start + suffix, parameter, shape, first)
        own = [given[name] for name in names]
        if layer.cell.antisymmetric:
            own[1] = _antisymmetric(layer, program, own[1])
        if program.vectors:
            own.append(_vectors(layer, program, suffix))
        if suffix.endswith("_reverse"):
            found[-1].extend(own)
        else:
            found.append(own)
    return found


def _refuse(layer: Layer, name: str, parameter: Any, shape: tuple[int, ...], first: Tensor) -> None:
    """Say what is wrong with a parameter; under autocast any dtype is right."""
    label = layer.label
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


_Shapes = tuple[tuple[str, tuple[tuple[str, tuple[int, ...]], ...]], ...]
_SHAPES: dict[tuple[Any, ...], _Shapes] = {}


def _shapes_of(
    program: str,
    features: int,
    hidden: int,
    output: int,
    heads: int,
    layers: int,
    bidirectional: bool,
    bias: bool,
    learns_initial: bool,
) -> _Shapes:
    """The shape of every parameter: for each layer and direction, by how its name begins.

    Tuples all through: torch.compile takes no dictionary for a constant.
    """
    key = (program, features, hidden, output, heads, layers, bidirectional, bias, learns_initial)
    found = _SHAPES.get(key)
    if found is not None:
        return found
    own = program_named(program)
    gates, products = len(own.gates) * hidden, len(own.rows("U")) * hidden
    each: list[tuple[str, tuple[tuple[str, tuple[int, ...]], ...]]] = []
    for suffix in suffixes(layers, bidirectional):
        below = features if suffix.startswith("_l0") else output * (1 + bidirectional)
        shapes: dict[str, tuple[int, ...]] = {
            "weight_ih": (gates, below),
            "weight_hh": (products, output // heads),
        }
        if bias:
            shapes |= {"bias_ih": (gates,), "bias_hh": (products,)}
        if own.projected:
            shapes["weight_hr"] = (output, hidden)
        if units := count(own, VectorKind.UNIT):
            shapes["vector"] = (units * hidden,)
        if scalars := count(own, VectorKind.SCALAR):
            shapes["scalar"] = (scalars,)
        if learns_initial:
            sizes = state_sizes(own, hidden, output)
            states = zip(own.states, sizes, strict=True)
            shapes |= {f"initial_{state.name}": (size,) for state, size in states}
        each.append((suffix, tuple(shapes.items())))
    found = _SHAPES[key] = tuple(each)
    return found


# What `torch.compiler.assume_constant_result` sets, which would load the compiler here.
_shapes_of._dynamo_marked_constant = True  # type: ignore[attr-defined]


def _antisymmetric(layer: Layer, program: Program, recurrent: Tensor) -> Tensor:
    """U with A - Aᵀ in the place of A where the cell says so, for every head by itself."""
    gates = program.rows("U")
    blocks = list(recurrent.chunk(len(gates)))
    for gate in layer.cell.antisymmetric:
        A = blocks[gates.index(gate)]
        heads = A.reshape(layer.heads, -1, A.shape[1])
        blocks[gates.index(gate)] = (heads - heads.transpose(-1, -2)).reshape(A.shape)
    return torch.cat(blocks)


def _vectors(layer: Layer, program: Program, suffix: str) -> Tensor:
    """What all steps and rows share, in the program's order."""
    hidden = layer.hidden_size
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
        like = layer.weight_ih_l0
        constants = torch.from_numpy(_constants(layer.cell, program)).to(like.device, like.dtype)
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


def rows_of(layer: Layer, name: str, suffix: str) -> Tensor:
    """A view of the rows, or numbers, that belong to one name of the equations.

    Raises:
        ValueError: if there is no such name.
    """
    places = _places(layer)
    if name not in places:
        raise ValueError(f"{layer.label}: there is no {name!r}; there are {', '.join(places)}")
    parameter, start, size = places[name]
    found: Tensor = getattr(layer, parameter + suffix)[start : start + size]
    return found


def names(layer: Layer) -> list[str]:
    """Every name that `Layer.gate` knows."""
    return list(_places(layer))


def _places(layer: Layer) -> dict[str, tuple[str, int, int]]:
    """For each name: how the parameter's name begins, the first row, the number of rows."""
    program, hidden = layer.program, layer.hidden_size
    gates = {
        "ih": [f"W.{gate.name.removeprefix('W_')}" for gate in program.gates],
        "hh": [f"U.{gate}" for gate in program.rows("U")],
    }
    places = {}
    for end, names in gates.items():
        for k, name in enumerate(names):
            places[name] = (f"weight_{end}", k * hidden, hidden)
            if layer.bias:
                places[f"{name}.bias"] = (f"bias_{end}", k * hidden, hidden)
    if program.projected:
        places["P"] = ("weight_hr", 0, layer.output_size)
    for kind, parameter, size in (
        (VectorKind.UNIT, "vector", hidden),
        (VectorKind.SCALAR, "scalar", 1),
    ):
        symbols = [vector.symbol.name for vector in program.vectors if vector.kind is kind]
        for k, symbol in enumerate(symbols):
            places[symbol.replace("_", ".", 1)] = (parameter, k * size, size)
    return places
