"""Layer normalisation."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ..cells import Cell
from ..compiler.program import (
    Assignment,
    Call,
    Expression,
    Instruction,
    Product,
    Program,
    Symbol,
    Vector,
    VectorKind,
)
from ..compiler.transforms.rewriting import fresh, product, take_its_place
from .option import Beginning, Place, Switch
from .variant import Variant


class LayerNorm(Switch):
    """Normalise every product of a cell over its units.

    Every product with W and every product with U is normalised by itself, and has a gain of its
    own, which begins at 1, and a bias, which begins at 0.
    """

    place = Place.PRODUCTS
    equation = "W_g x ← gain ∘ normalize(W_g x) + b_g; U_g h alike"
    source = "Ba, Kiros & Hinton 2016"

    def setting(self, value: Any, cell: Cell, training: bool) -> bool:
        """Whether it is on."""
        return bool(value)

    def transform(self, program: Program, variant: Variant) -> Program:
        """The program with every product normalised."""
        return layer_norm(program, variant.bias)

    def read(self, text: str, cell: type[Cell]) -> dict[str, Any]:
        """Whether there are biases is part of the word."""
        return {self.name: True, "bias": text != "gain"}

    def begin(self, value: Any, weights: Beginning) -> None:
        """Gains of 1 and biases of 0."""
        vectors = (vector.symbol.name for vector in weights.program.vectors)
        gains = [name for name in vectors if name.startswith("gain_")]
        for name in gains:
            weights.set(name.replace("_", ".", 1), 1.0)
        for gate in dict.fromkeys(name.removeprefix("gain_")[2:] for name in gains):
            weights.set_bias(gate, 0.0)


def layer_norm(program: Program, bias: bool = True) -> Program:
    """W_g x ← gain ∘ normalize(W_g x) + b_g, and the same for every recurrent product by itself.

    normalize(v) = (v - mean(v)) / √(variance(v) + 1e-5) over the units of a row (Ba, Kiros &
    Hinton, 2016). The paper's LSTM normalises its four gates' products as one vector of 4 H; here
    every gate's is normalised by itself, as in TensorFlow's LayerNormBasicLSTMCell. For a cell of
    one gate the two are the same.

    The biases are no longer part of the products but vectors of the step: gains come first, those
    of W and then those of U, then the biases in the same order.

    Args:
        program: what is rewritten.
        bias: whether there are biases at all.
    """
    multiplied = [*program.gates, *(p.symbol for p in program.matrix("U"))]
    gains = {s: Symbol(fresh(program, f"gain_{s.name}")) for s in multiplied}
    shifts = {s: Symbol(fresh(program, f"shift_{s.name}")) for s in multiplied} if bias else {}
    followers = {}
    for symbol in multiplied:
        normalized = Symbol(fresh(program, f"normalized_{symbol.name}"), symbol.space)
        value: Expression = product(gains[symbol], normalized)
        if bias:
            value = Call("add", (value, shifts[symbol]))
        followers[symbol] = [
            Assignment(normalized, Call("normalize", (symbol,))),
            Assignment(Symbol(fresh(program, f"scaled_{symbol.name}"), symbol.space), value),
        ]
    instructions, _ = take_its_place(program, followers)
    return replace(
        program,
        name=f"{program.name},layer_norm" + ("" if bias else "=gain"),
        instructions=tuple(map(_without_bias, instructions)),
        vectors=(
            *program.vectors,
            *(Vector(symbol, VectorKind.UNIT) for symbol in gains.values()),
            *(Vector(symbol, VectorKind.BIAS) for symbol in shifts.values()),
        ),
        bias=False,
    )


def _without_bias(instruction: Instruction) -> Instruction:
    return replace(instruction, bias=False) if isinstance(instruction, Product) else instruction
