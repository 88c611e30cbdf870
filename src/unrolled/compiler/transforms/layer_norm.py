"""Layer normalisation."""

from __future__ import annotations

from dataclasses import replace

from ..program import (
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
from .rewriting import fresh, product, take_its_place


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
