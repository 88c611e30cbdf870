"""What the Inspect view asks for.

A run is asked for by its number in the list that the page was started with: a path cannot be named.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from unrolled.errors import UserError
from unrolled.lens import HalfLife
from unrolled.training.run_folder.folder import RunFolder

from .desk import Desk
from .features import FEATURES
from .inspect import Inspection, find_units, influence, inspect
from .memory import half_life, lyapunov, singular_values
from .packed import packed
from .subject import LIMIT, TextSubject

ROWS = 128
"""Losses of one question: a few seconds' work, so that a new sample need not wait for long."""


class Asked(BaseModel):
    """A sample, and the run that reads it."""

    model_config = ConfigDict(strict=True)

    run: int
    text: str


class AskedOf(Asked):
    """One of the values of a strand."""

    strand: str
    value: str


class AskedAt(Asked):
    """One of the sample's steps."""

    step: int


class AskedRows(AskedOf):
    """Losses whose influence is wanted: every so many, or if that is 0 those of a range."""

    every: int = Field(ge=0, le=LIMIT)
    start: int = Field(default=0, ge=0, le=LIMIT)
    count: int = Field(default=0, ge=0, le=ROWS)


def router(runs: Sequence[RunFolder]) -> APIRouter:
    """The view's questions about the runs that the page was started with.

    Raises:
        UserError: if one is no text run, is corrupt, or has no weights.
    """
    named = [*zip(runs, _names(runs), strict=True)]
    desks = [Desk(TextSubject(folder, name)) for folder, name in named]
    # What takes long has a model of its own, so that a new sample need not wait for it.
    back_desks = [Desk(TextSubject(folder, name)) for folder, name in named]
    routes = APIRouter()

    def desk(run: int, among: list[Desk] = desks) -> Desk:
        if not 0 <= run < len(desks):
            known = f"0 to {len(desks) - 1}" if desks else "none: the page was started without runs"
            raise UserError(f"run: expected {known}, got {run}")
        return among[run]

    @routes.get("/runs")
    def list_runs() -> dict[str, Any]:
        return {
            "limit": LIMIT,
            "features": list(FEATURES),
            "runs": [{"name": one.subject.name, **one.subject.facts()} for one in desks],
        }

    @routes.get("/samples")
    def samples(run: int) -> dict[str, Any]:
        return {"samples": [vars(sample) for sample in desk(run).subject.samples()]}

    @routes.post("/inspect")
    def look(asked: Asked) -> dict[str, Any]:
        return _inspection(desk(asked.run).get(inspect, asked.text))

    @routes.post("/values")
    def values(asked: AskedOf) -> dict[str, Any]:
        found = desk(asked.run).get(inspect, asked.text)
        _check(asked, {n: [*s.states, *s.gates] for n, s in found.trace.strands.items()})
        return {
            "values": packed(found.values(asked.strand, asked.value)),
            "r": packed(found.correlations(asked.strand, asked.value)),
        }

    @routes.post("/influence")
    def reach(asked: AskedRows) -> dict[str, Any]:
        found = desk(asked.run).get(influence, asked.text, _steps(asked))
        _check(asked, {name: [*strand.states, "x"] for name, strand in found.strands.items()})
        strand = found[asked.strand]
        matrix = strand.inputs if asked.value == "x" else strand.states[asked.value]
        return {"steps": found.steps, "matrix": packed(matrix)}

    @routes.post("/memory")
    def remember(asked: Asked) -> dict[str, Any]:
        return _memory(desk(asked.run, back_desks).get(half_life, asked.text))

    @routes.post("/exponents")
    def exponents(asked: Asked) -> dict[str, Any]:
        found = desk(asked.run, back_desks).get(lyapunov, asked.text)
        return {name: packed(values) for name, values in found.items()}

    @routes.post("/singular-values")
    def singular(asked: AskedAt) -> dict[str, Any]:
        found = desk(asked.run, back_desks).get(singular_values, asked.text, asked.step)
        return {name: packed(values) for name, values in found.items()}

    @routes.get("/units")
    def units(run: int) -> dict[str, Any]:
        found = desk(run, back_desks).get(find_units)
        if found is None:
            return {"features": None}
        return {
            "features": {
                name: [{**unit._asdict(), "r": round(unit.r, 3)} for unit in best]
                for name, best in found.items()
            }
        }

    return routes


def _inspection(found: Inspection) -> dict[str, Any]:
    strands = found.trace.strands.values()
    return {
        "names": found.names,
        "guesses": [[[g.name, round(g.probability, 4)] for g in step] for step in found.guesses],
        "losses": [round(loss, 3) for loss in found.losses],
        "features": packed(found.features),
        "strands": [
            {
                "name": strand.name,
                "cell": strand.cell,
                "units": next(iter(strand.states.values())).shape[-1],
                "states": list(strand.states),
                "gates": list(strand.gates),
            }
            for strand in strands
        ],
    }


def _memory(found: HalfLife) -> dict[str, Any]:
    return {
        "losses": len(found.influence.steps),
        "strands": [
            {
                "name": strand.name,
                "lags": strand.decay.lags,
                "half": strand.decay.half,
                "tenth": strand.decay.tenth,
                "hundredth": strand.decay.hundredth,
                "left": _finite(strand.decay.left),
                "by_lag": packed(strand.by_lag),
                "line": None if strand.line is None else packed(strand.line),
                "kind": strand.verdict.kind,
                "reasons": strand.verdict.reasons,
                "advice": strand.verdict.advice,
                "gates": {
                    name: {"function": gate.function, "low": gate.low, "high": gate.high}
                    for name, gate in strand.gates.items()
                },
            }
            for strand in found.strands.values()
        ],
    }


def _finite(value: float) -> float | None:
    """JSON has no other numbers."""
    return value if math.isfinite(value) else None


def _steps(asked: AskedRows) -> int | tuple[int, ...]:
    last = len(asked.text) - 1
    rows = tuple(range(asked.start, min(asked.start + asked.count, last)))
    if not asked.every and last > 0 and not rows:
        raise UserError(f"start, count: expected some of the steps 0 to {last - 1}, got none")
    return asked.every or rows


def _check(asked: AskedOf, known: dict[str, list[str]]) -> None:
    if asked.strand not in known:
        raise UserError(f"strand: expected one of {', '.join(known)}, got {asked.strand!r:.60}")
    if asked.value not in known[asked.strand]:
        names = ", ".join(known[asked.strand])
        raise UserError(f"value: expected one of {names}, got {asked.value!r:.60}")


def _names(runs: Sequence[RunFolder]) -> list[str]:
    """Names of folders, told apart where they are the same."""
    # JSON is UTF-8; a folder's name need not be
    names = [run.path.resolve().name.encode("utf-8", "replace").decode() for run in runs]
    seen = Counter(names)
    return [f"{name} ({place})" if seen[name] > 1 else name for place, name in enumerate(names, 1)]
