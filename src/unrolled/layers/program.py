"""The program that a layer runs, its cell with its options, and the noise in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from ..cells import Cell, Function
from ..cells.functions import NONLINEARITIES
from ..compiler.program import Program
from ..compiler.transforms import Variant
from ..engine.noise import QUIET, Noise
from ..engine.weights import program_named, program_of
from .options import Options

if TYPE_CHECKING:
    from .layer import Layer

_NAMES: dict[tuple[Any, ...], str] = {}


def program_for(
    cell: Cell,
    options: Options,
    projected: bool = False,
    bias: bool = True,
    training: bool = False,
    returns: tuple[str, ...] = (),
) -> Program:
    """The program of a cell with a layer's options; dropout is part of it in training only.

    ``returns`` are values that it exposes.
    """
    return program_named(_name_for(cell, options, projected, bias, training, returns))


def _name_for(
    cell: Cell,
    options: Options,
    projected: bool,
    bias: bool,
    training: bool,
    returns: tuple[str, ...],
) -> str:
    key = cell, options, projected, bias, training, returns
    name = _NAMES.get(key)
    if name is None:
        variant = Variant(
            activation=_function(options.activation),
            recurrent_activation=_function(options.recurrent_activation),
            cell_clip=options.cell_clip,
            projected=projected,
            layer_norm=options.layer_norm,
            bias=bias or not options.layer_norm,
            candidate_dropout=cell.candidate if training and options.candidate_dropout else None,
            recurrent_dropout=bool(training and options.recurrent_dropout),
            zoneout=tuple(state for state, rate in _zoneout(cell, options).items() if rate),
            returns=returns,
        )
        name = _NAMES[key] = program_of(cell, variant=variant).name
    return name


# What `torch.compiler.assume_constant_result` sets, which would load the compiler here.
_name_for._dynamo_marked_constant = True  # type: ignore[attr-defined]


@dataclass(frozen=True)
class NoiseSource:
    """Draws the noise of a layer's calls.

    Attributes:
        rates: for each of the program's masks its probability.
        training: whether noise is drawn; if not masks are their means.
    """

    rates: tuple[float, ...]
    training: bool

    def draw(self) -> Noise:
        """The noise of one layer's call, by a seed from torch's generator."""
        if not self.rates:
            return QUIET
        seed = (
            torch.randint(2**63 - 1, (1,), dtype=torch.int64, device="cpu")
            if self.training
            else None
        )
        return Noise(seed, self.rates)


def noise_of(cell: Cell, options: Options, program: Program, training: bool) -> NoiseSource:
    """The noise in a layer's program."""
    if not program.masks:
        return NoiseSource((), training)
    rates = {
        "M_recurrent": options.recurrent_dropout,
        "M_candidate": options.candidate_dropout,
        **{f"M_zoneout_{state}": rate for state, rate in _zoneout(cell, options).items()},
    }
    # Zoneout of a projected output is that of what it is projected from.
    first = cell.states[0]
    rates.setdefault(f"M_zoneout_{first}_full", rates[f"M_zoneout_{first}"])
    return NoiseSource(tuple(rates[mask.symbol.name] for mask in program.masks), training)


def initial_for(cell: Cell, options: Options, program: Program) -> Mapping[str, Any]:
    """Initial values of weights by name, see `Cell.initial`, of a cell with a layer's options."""
    if not options.layer_norm:
        return cell.initial
    gains = [v.symbol.name for v in program.vectors if v.symbol.name.startswith("gain_")]
    values: dict[str, Any] = {name.replace("_", ".", 1): 1.0 for name in gains}
    gates = dict.fromkeys(name.removeprefix("gain_")[2:] for name in gains)
    return values | {f"W.{gate}.bias": 0.0 for gate in gates} | dict(cell.initial)


def check_variant(layer: Layer) -> None:
    """See that the options of the program are of the right kind and that the cell allows them.

    Raises:
        TypeError: if one is of a wrong kind.
        ValueError: if one has a wrong value, or the cell has nothing that it could act on.
    """
    label, cell, options = layer.label, layer.cell, layer.options
    layer_norm: Any = options.layer_norm
    if not isinstance(layer_norm, bool):
        raise TypeError(f"{label}: layer_norm must be a bool, got {type(layer_norm).__name__}")
    for name in ("activation", "recurrent_activation"):
        value = getattr(options, name)
        if value is not None and not isinstance(value, (str, Function)):
            kind = type(value).__name__
            raise TypeError(f"{label}: {name} must be a function's name, got {kind}")
        if value is not None and str(value) not in NONLINEARITIES:
            names = ", ".join(NONLINEARITIES)
            raise ValueError(f"{label}: {name} must be one of {names}, got {str(value)!r}")
    if options.cell_clip is not None:
        _check_number(label, "cell_clip", options.cell_clip)
        if not options.cell_clip > 0:
            raise ValueError(f"{label}: cell_clip must be more than 0, got {options.cell_clip}")
    for name in ("recurrent_dropout", "candidate_dropout", "weight_drop"):
        _check_rate(label, name, getattr(options, name))
    rates = options.zoneout if isinstance(options.zoneout, tuple) else (options.zoneout,)
    for rate in rates:
        _check_rate(label, "zoneout", rate)
    if isinstance(options.zoneout, tuple) and len(rates) != len(cell.states):
        states = ", ".join(cell.states)
        raise ValueError(
            f"{label}: zoneout must be a number, or one for each state ({states}), got {len(rates)}"
        )
    if options.candidate_dropout and not cell.candidate:
        raise ValueError(
            f"{label}: candidate_dropout needs a candidate, and this cell names none "
            "(candidate is empty)"
        )
    for name in ("recurrent_dropout", "weight_drop"):
        if getattr(options, name) and not layer.program.matrix("U"):
            raise ValueError(f"{label}: {name} needs a recurrent matrix U; there is none")


def _check_rate(label: str, name: str, rate: Any) -> None:
    _check_number(label, name, rate)
    if not 0 <= rate <= 1:
        raise ValueError(f"{label}: {name} must be from 0 to 1, got {rate}")


def _check_number(label: str, name: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{label}: {name} must be a number, got {type(value).__name__}")


def _function(given: str | Function | None) -> Function | None:
    return NONLINEARITIES[given] if isinstance(given, str) else given


def _zoneout(cell: Cell, options: Options) -> dict[str, float]:
    """The rate of every state of the cell."""
    rates = options.zoneout
    each = rates if isinstance(rates, tuple) else (rates,) * len(cell.states)
    return dict(zip(cell.states, each, strict=True))
