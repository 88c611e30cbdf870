"""What the Learn view asks for."""

from __future__ import annotations

import inspect
import math
from dataclasses import replace
from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from unrolled.cells import GRU, LSTM, RNN
from unrolled.errors import UserError

from .learn import memory, run, train
from .learn_detail import detail, equations_of
from .refusal import refusing
from .worked import CHOICES, LETTERS, UNITS, Network, Setting, is_by_hand

UPDATES = 200
"""Most updates of one request."""

_Finite = Annotated[float, Field(allow_inf_nan=False)]


class _Question(BaseModel):
    """What is worked out; see `Setting`."""

    model_config = ConfigDict(extra="forbid", strict=True)

    cell: str = "rnn"
    word: str = "hello"
    hidden: int = 3
    bias: bool = False
    seed: int = Field(0, ge=0, le=2**31 - 1)
    scale: float = Field(1.0, ge=0, le=4, allow_inf_nan=False)
    weights: dict[str, list[_Finite] | list[list[_Finite]]] | None = None

    def network(self) -> Network:
        """The network of the setting."""
        with refusing():
            return Network(
                Setting(
                    self.cell,
                    self.word,
                    self.hidden,
                    self.bias,
                    self.seed,
                    self.scale,
                    self.weights,
                )
            )


class _DetailQuestion(_Question):
    """One unit at one step, and the loss that flows back to it; all counted from 1."""

    step: int = Field(ge=1)
    unit: int = Field(ge=1)
    loss: int = Field(ge=1)


class _TrainQuestion(_Question):
    """How to train."""

    updates: int = Field(ge=1, le=UPDATES)
    rate: float = Field(gt=0, le=10, allow_inf_nan=False)
    clip: float | None = Field(None, gt=0, allow_inf_nan=False)


def router() -> APIRouter:
    """The view's questions and answers; every question has all that it needs in it."""
    api = APIRouter()

    @api.get("/choices")
    def choices() -> dict[str, Any]:
        return {
            "cells": [
                {"name": name, "title": title(name), "about": _about(name)}
                for name in sorted(CHOICES, key=_order)
            ],
            "letters": LETTERS,
            "units": UNITS,
        }

    @api.post("/run")
    def whole_run(question: _Question) -> dict[str, Any]:
        return _run(question.network())

    @api.post("/detail")
    def one_step(question: _DetailQuestion) -> dict[str, Any]:
        network = question.network()
        steps = len(question.word) - 1
        for name, value, most in (
            ("step", question.step, steps),
            ("loss", question.loss, steps),
            ("unit", question.unit, question.hidden),
        ):
            if value > most:
                raise UserError(f"{name}: expected 1 to {most}, got {value}")
        found = detail(network, question.step - 1, question.unit - 1, question.loss - 1)
        return _answer(
            {
                "equations": found.equations,
                "products": [vars(dot) for dot in found.products],
                "backward": [vars(dot) for dot in found.backward],
                "gradient": found.gradient,
                "jacobian": found.jacobian,
            }
        )

    @api.post("/train")
    def some_updates(question: _TrainQuestion) -> dict[str, Any]:
        network = question.network()
        with refusing():
            found = train(network, question.updates, question.rate, question.clip)
        weights = network.numbers
        again = question.model_copy(update={"weights": weights, "scale": 1.0})
        return {**_answer(vars(found)), "weights": weights, "run": _run(again.network())}

    return api


def title(name: str) -> str:
    """A cell as it is called in a list."""
    cell = CHOICES[name]
    if isinstance(cell, RNN):
        return f"RNN, {cell.choices['nonlinearity'].name}"
    return type(cell).__name__


def _about(name: str) -> str:
    return (inspect.getdoc(type(CHOICES[name])) or "").split("\n")[0]


_NONLINEARITIES = ("tanh", "relu", "sigmoid", "identity")
_FIRST = [*(RNN(nonlinearity=name).name for name in _NONLINEARITIES), GRU().name, LSTM().name]


def _order(name: str) -> tuple[int, str]:
    return (_FIRST.index(name) if name in _FIRST else len(_FIRST)), title(name).lower()


def _run(network: Network) -> dict[str, Any]:
    found = run(network)
    setting, letters = network.setting, network.setting.letters
    probabilities = found.scores.softmax(-1)
    predicted = [letters[place] for place in found.scores.argmax(-1).tolist()]
    return _answer(
        {
            "cell": setting.cell,
            "title": title(setting.cell),
            "about": _about(setting.cell),
            "word": list(setting.word),
            "letters": list(letters),
            "hidden": setting.hidden,
            "by_hand": is_by_hand(setting) and setting.weights is None and setting.scale == 1,
            "equations": equations_of(network),
            "embedded": network.embedding is not None,
            "scaled": network.scaled,
            "weights": network.numbers,
            "states": _by_step(found.strand.states),
            "gates": _by_step(found.strand.gates),
            "scores": found.scores,
            "probabilities": probabilities,
            "predicted": predicted,
            "losses": found.losses,
            "loss": found.losses.sum(),
            "influence": found.influence.states,
            "read": found.read,
            **vars(found.memory),
            "unscaled": _unscaled(setting),
            "inputs": found.influence.inputs,
            "matrix": found.contributions.of,
            "terms": found.contributions.norms,
            "explicit": found.contributions.explicit,
            "implicit": found.contributions.implicit,
            "norm": found.norm,
        }
    )


def _unscaled(setting: Setting) -> dict[str, Any] | None:
    """The memory with the recurrent weights as they were; None where they are no larger now."""
    if setting.scale <= 1:
        return None
    with refusing():
        return _answer(vars(memory(Network(replace(setting, scale=1.0)))))


def _by_step(values: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.squeeze(1) for name, value in values.items()}


def _answer(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: _plain(value) for name, value in fields.items()}


def _plain(value: Any) -> Any:
    """As JSON has it: lists for tensors, null for what is no finite number."""
    if isinstance(value, Tensor):
        return _plain(value.tolist())
    if isinstance(value, dict):
        return _answer(value)
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
