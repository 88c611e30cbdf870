"""Which letter stands for which symbol of a program; no two look alike."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from string import ascii_letters

from ..program import INPUT, Program, Symbol, VectorKind
from ..trace import name_in_step
from .layout import Name

# A name that is taken gets another letter with the name as its index: W.i, U.i and V.i agree then.
_VECTORS = {VectorKind.UNIT: "v", VectorKind.SCALAR: "s", VectorKind.CONSTANT: "k"}

_BIASES = "bcdeklpquvw" + ascii_letters

_LOWER = "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi omicron pi rho"
_LOWER_REST = "sigma tau upsilon phi chi psi omega"
_UPPER = {
    "Gamma": "Γ",
    "Delta": "Δ",
    "Theta": "Θ",
    "Lambda": "Λ",
    "Xi": "Ξ",
    "Pi": "Π",
    "Sigma": "Σ",
    "Upsilon": "Υ",
    "Phi": "Φ",
    "Psi": "Ψ",
    "Omega": "Ω",
}
GREEK = {
    **dict(zip(_LOWER.split(), "αβγδεζηθικλμνξοπρ", strict=True)),
    **dict(zip(_LOWER_REST.split(), "στυφχψω", strict=True)),
    **_UPPER,
}
"""Spelled out, and the letter; capitals that look like Latin ones are left out."""

_LETTERS = {**GREEK, "log": "ℓ"}  # log_a is a value's name, not log of a

_ACCENTS = ("tilde", "hat", "bar", "prime")


def parse(identifier: str) -> Name:
    """A Python identifier as it is printed: ``h_tilde``, ``lambda_``, ``beta1``, ``f_in``."""
    pieces = [piece for piece in identifier.split("_") if piece] or ["v"]
    accents: list[str] = []
    while len(pieces) > 1 and pieces[-1] in _ACCENTS:
        accents.insert(0, pieces.pop())
    match = re.fullmatch(r"(.*?)(\d*)", pieces[0])
    assert match is not None
    letter, digits = match.groups()
    subscripts = tuple(parse(piece) for piece in pieces[1:])
    if digits and letter:
        subscripts = (Name(digits), *subscripts)
    return Name(_LETTERS.get(letter, letter) or digits, tuple(accents), subscripts)


class Names:
    """The names of a program's symbols.

    Attributes:
        input_bias: b, or another letter where the step has a b of its own or a gate b.
        recurrent_bias: c, or another letter in the same way.
    """

    def __init__(self, program: Program) -> None:
        self._names: dict[Symbol, Name] = {INPUT: Name("x", time=0)}
        self._taken = {Name("x"), Name("σ"), *map(Name, "WUP")}
        for state in program.states:
            name = self._unused(_candidates(parse(state.name)))
            self._names[state.previous] = replace(name, time=-1)
            self._names[state.new] = replace(name, time=0)
        values = (*program.named, *(mask.symbol for mask in program.masks))
        plain = {symbol: parse(name_in_step(symbol)) for symbol in values}
        # What must give way to a state does so last, in case a value is called what it would take.
        for symbol in sorted(values, key=lambda symbol: plain[symbol] in self._taken):
            name = self._unused(_candidates(plain[symbol]))
            self._names[symbol] = replace(name, time=0)
        for vector in program.vectors:
            name = parse(vector.symbol.name.split("_", 1)[1])
            second = Name(_VECTORS[vector.kind], subscripts=(name,))
            self._names[vector.symbol] = self._unused(_candidates(name, second))
        gates = (*program.gates, *(product.symbol for product in program.products))
        letters = {name.letter for name in self._names.values()}
        letters |= {gate.name.split("_", 1)[1] for gate in gates}  # c_c says nothing
        unused = (letter for letter in _BIASES if letter not in letters)
        self.input_bias, self.recurrent_bias = next(unused), next(unused)

    def __contains__(self, symbol: Symbol) -> bool:
        return symbol in self._names

    def __getitem__(self, symbol: Symbol) -> Name:
        return self._names[symbol]

    def _unused(self, candidates: Iterator[Name]) -> Name:
        name = next(name for name in candidates if name not in self._taken)
        self._taken.add(name)
        return name


def _candidates(name: Name, second: Name | None = None) -> Iterator[Name]:
    """The name, the second choice, and from there on with more and more primes."""
    yield name
    name = second or replace(name, accents=(*name.accents, "tilde"))
    while True:
        yield name
        name = replace(name, accents=(*name.accents, "prime"))
