"""Our layers in the place of torch.nn's, inside a model that is already there; and back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn.utils import parametrize

from .drop_in import DropIn
from .gru import GRU
from .layer import Layer
from .lstm import LSTM
from .recurrent import Recurrent
from .rnn import RNN
from .tools import described

_OURS: dict[type[nn.Module], type[DropIn]] = {nn.RNN: RNN, nn.LSTM: LSTM, nn.GRU: GRU}
_KINDS = ("RNN", "LSTM", "GRU", "RNNCell", "LSTMCell", "GRUCell")


@dataclass(frozen=True)
class Found:
    """One recurrent module of a model.

    Attributes:
        names: where it stands in the model; several if it is used in several places, "" for the
            model itself.
        layer: its representation.
        obstacle: why it was left as it is; empty if it was replaced.
    """

    names: tuple[str, ...]
    layer: str
    obstacle: str = ""


@dataclass(frozen=True)
class Acceleration:
    """What `accelerate` or `deaccelerate` did; ``str`` of it is a table, a line for each module.

    Attributes:
        replaced: modules that have become ours, or torch.nn's.
        left: recurrent modules that were left as they are, and why.
    """

    replaced: tuple[Found, ...]
    left: tuple[Found, ...]

    def __str__(self) -> str:
        rows = [
            (
                ", ".join(name or "(the model)" for name in found.names),
                found.layer,
                f"left: {found.obstacle}" if found.obstacle else "replaced",
            )
            for found in self.replaced + self.left
        ]
        if not rows:
            return "no recurrent layer found"
        widths = [max(len(row[k]) for row in rows) for k in range(2)]
        return "\n".join(
            f"{place:<{widths[0]}}  {layer:<{widths[1]}}  {what}" for place, layer, what in rows
        )


def accelerate(model: nn.Module) -> Acceleration:
    """Let our engine run every `torch.nn.RNN`, `LSTM` and `GRU` inside a model, in place.

    The modules remain the very objects that they were and get another class: `unrolled.LSTM` is a
    subclass of `torch.nn.LSTM` with nothing else in it. So parameters (an optimizer goes on with
    them), hooks, names, modules used twice, training mode, device, dtype, parametrizations and
    ``state_dict`` stay, and results are the same to rounding. Afterwards ``lengths=``, ``reset=``
    and the like can be given to them. A second call changes nothing.

    What may compute something else is left alone, and reported: subclasses, modules whose
    ``forward`` was replaced, single steps (`torch.nn.LSTMCell`), quantized and scripted modules.

    Tools that know modules by their exact class (dynamic quantization, counters of operations, a
    validator of privacy) see none of torch.nn's afterwards: `deaccelerate` goes back.

    Args:
        model: any module; it may be a recurrent layer itself.

    Returns:
        What was replaced and what was not, and why. Nothing is printed.

    Raises:
        TypeError: if model is no module.

    Example:
        >>> print(accelerate(torch.nn.ModuleDict({"encoder": torch.nn.LSTM(64, 128)})))
        encoder  LSTM(64, 128)  replaced
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"accelerate: model must be a torch.nn.Module, got {_kind(model)}")
    replaced: list[Found] = []
    left: list[Found] = []
    for module, names in _modules(model):
        if not _is_recurrent(module):
            continue
        layer, obstacle = f"{type(module).__name__}({module.extra_repr()})", _obstacle(module)
        (left if obstacle else replaced).append(Found(names, layer, obstacle))
        if not obstacle:
            _replace(module)
    return Acceleration(tuple(replaced), tuple(left))


def deaccelerate(model: nn.Module) -> Acceleration:
    """Turn every layer of ours inside a model into torch.nn's, in place: `accelerate` undone.

    The modules remain the very objects, with the same parameter objects; their class is torch.nn's
    exactly. For tools that look a module's class up: `torch.ao.quantization.quantize_dynamic`,
    `torch.jit.script`, thop, ptflops, Opacus. Layers that were never torch.nn's are turned, too,
    where torch.nn has their equations, `Recurrent(cells.GRU, ...)` for one.

    Args:
        model: any module; it may be a layer itself.

    Returns:
        What was replaced. Recurrent modules of others are not in it.

    Raises:
        TypeError: if model is no module.
        ValueError: if torch.nn lacks what some layers have; all of them are named, and nothing is
            changed.

    Example:
        >>> print(deaccelerate(torch.nn.ModuleDict({"encoder": LSTM(64, 128)})))
        encoder  LSTM(64, 128)  replaced
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"deaccelerate: model must be a torch.nn.Module, got {_kind(model)}")
    layers = [(m, names) for m, names in _modules(model) if isinstance(m, Layer)]
    obstacles = {names[0]: _no_torch(layer) for layer, names in layers}
    if any(obstacles.values()):
        found = "; ".join(
            f"{name or '(the model)'} ({described(layer)}): {obstacles[name]}"
            for layer, (name, *_) in layers
            if obstacles[name]
        )
        raise ValueError(f"deaccelerate: torch.nn has no such layer: {found}")
    replaced = [Found(names, described(layer)) for layer, names in layers]
    for layer, _ in layers:
        _give_back(layer)
    return Acceleration(tuple(replaced), ())


@contextmanager
def accelerated(model: nn.Module) -> Iterator[dict[str, Layer]]:
    """Let `accelerate` work on a model for the length of a block.

    Within it all of the model's layers that are ours, or have become so, are given by their (first)
    names. Afterwards every module has its own class again.
    """
    changed: list[tuple[nn.Module, type[nn.Module]]] = []
    layers: dict[str, Layer] = {}
    try:
        for module, names in _modules(model):
            if _is_recurrent(module) and not _obstacle(module):
                changed.append((module, type(module)))
                _replace(module)
            if isinstance(module, Layer):
                layers[names[0]] = module
        yield layers
    finally:
        for module, cls in changed:
            module.__class__ = cls
            vars(module).pop("_kept", None)


def obstacles(model: nn.Module) -> dict[str, str]:
    """The recurrent modules that `accelerate` would leave as they are, by name, and why."""
    return {
        names[0]: _obstacle(module)
        for module, names in _modules(model)
        if _is_recurrent(module) and not isinstance(module, Layer) and _obstacle(module)
    }


def _modules(model: nn.Module) -> Iterator[tuple[nn.Module, tuple[str, ...]]]:
    """Every module once, with all its names."""
    names: dict[nn.Module, list[str]] = {}
    for name, module in model.named_modules(remove_duplicate=False):
        names.setdefault(module, []).append(name)
    for module, found in names.items():
        yield module, tuple(found)


def _is_recurrent(module: nn.Module) -> bool:
    if isinstance(module, torch.jit.ScriptModule):
        return getattr(module, "original_name", "") in _KINDS
    library = type(module).__module__.startswith(("torch.ao.nn.", "torch.nn."))
    return (
        isinstance(module, (nn.RNNBase, nn.RNNCellBase))
        or (library and type(module).__name__ in _KINDS)
        or isinstance(module, Layer)
    )


def _obstacle(module: nn.Module) -> str:
    """Why a module is left as it is; empty if it need not be."""
    if isinstance(module, Layer):
        return "is one of unrolled's already"
    if isinstance(module, torch.jit.ScriptModule):
        return "is compiled by torch.jit"
    if type(module).__module__.startswith("torch.ao."):
        return "is quantized"
    if isinstance(module, nn.RNNCellBase):
        return "is a single step, not a layer"
    cls = _plain_class(module)
    if cls not in _OURS:
        base = next((known.__name__ for known in _OURS if issubclass(cls, known)), "RNNBase")
        return f"{cls.__qualname__} is a subclass of torch.nn.{base} and may compute something else"
    if "forward" in vars(module):
        return "its forward has been replaced"
    return ""


def _plain_class(module: nn.Module) -> type[nn.Module]:
    """The class without what `torch.nn.utils.parametrize` made of it."""
    cls = type(module)
    return cls.__bases__[0] if parametrize.is_parametrized(module) else cls


def _replace(module: nn.Module) -> None:
    _change_class(module, _OURS[_plain_class(module)])


def _change_class(module: nn.Module, cls: type[nn.Module]) -> None:
    if parametrize.is_parametrized(module):
        # A class made for this module and its copies; theirs stays as it is.
        own = {k: v for k, v in vars(type(module)).items() if k not in ("__dict__", "__weakref__")}
        module.__class__ = type(f"Parametrized{cls.__name__}", (cls,), own)
    else:
        module.__class__ = cls


def _no_torch(layer: Layer) -> str:
    """Why a layer cannot become torch.nn's; empty if it can."""
    cls = _plain_class(layer)
    if cls not in (*_OURS.values(), Recurrent):
        return f"{cls.__qualname__} is a class of its own and may compute something else"
    if "forward" in vars(layer):
        return "its forward has been replaced"
    own = layer.description.beyond_torch(training=True)
    own += [
        f"{option.name}={value}"
        for option, value in layer.options.given()
        if option.place is None and not option.at_first
    ]
    return ", ".join(own)


def _give_back(layer: Layer) -> None:
    theirs = next(k for k in _OURS if layer.program.name.startswith(k.__name__.lower()))
    if isinstance(layer, nn.RNNBase):
        _change_class(layer, theirs)
    else:
        like: dict[str, Any] = {"num_layers": layer.num_layers, "bias": layer.bias}
        like |= {"bidirectional": layer.bidirectional, "device": "meta"}
        if theirs is nn.RNN:
            like["nonlinearity"] = str(layer.cell.choices["nonlinearity"])
            vars(layer)["nonlinearity"] = like["nonlinearity"]
        if layer.proj_size:
            like["proj_size"] = layer.proj_size
        made: Any = theirs(layer.input_size, layer.hidden_size, **like)
        for name in ("mode", "_flat_weights_names", "_all_weights"):
            vars(layer)[name] = getattr(made, name)
        _change_class(layer, theirs)
        vars(layer)["_flat_weight_refs"] = []
        layer._init_flat_weights()  # type: ignore[operator]
    for name in ("options", "reset_after", "_cell", "heads", "_kept"):
        vars(layer).pop(name, None)


def _kind(value: object) -> str:
    return f"the class {value.__name__}" if isinstance(value, type) else type(value).__name__
