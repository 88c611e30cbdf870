"""Other nonlinearities in the place of a cell's own."""

from __future__ import annotations

from dataclasses import replace

from ...cells import Function
from ..program import ARITHMETIC, Assignment, Call, Expression, Instruction, Program, Symbol
from ..trace import Traced
from .rewriting import fresh


def activation(
    program: Program, tanh: Function | None = None, sigmoid: Function | None = None
) -> Program:
    """Put other functions in the place of tanh and σ, wherever they stand.

    Args:
        program: what is rewritten.
        tanh: what takes the place of tanh (``activation`` in Keras); None for tanh itself.
        sigmoid: what takes the place of σ (``recurrent_activation`` in Keras); None for σ itself.
    """
    functions = {"tanh": tanh, "sigmoid": sigmoid}
    instructions: list[Instruction] = []
    for instruction in program.instructions:
        expression = instruction.expression if isinstance(instruction, Assignment) else None
        function = functions.get(expression.operation) if isinstance(expression, Call) else None
        if function is None or not isinstance(expression, Call):
            instructions.append(instruction)
            continue
        value = function(Traced(expression.arguments[0])).expression
        at_hand = replace(program, instructions=(*program.instructions, *instructions))
        instructions.extend(_flattened(at_hand, instruction.symbol, value))
    words = {"activation": tanh, "recurrent_activation": sigmoid}
    given = [f"{word}={function}" for word, function in words.items() if function is not None]
    return replace(program, name=",".join([program.name, *given]), instructions=tuple(instructions))


def _flattened(program: Program, symbol: Symbol, value: Expression) -> list[Assignment]:
    """Assignments in which a function stands only at the top."""
    found: list[Assignment] = []

    def inner(expression: Expression) -> Expression:
        if not isinstance(expression, Call):
            return expression
        call = replace(expression, arguments=tuple(map(inner, expression.arguments)))
        if call.operation in ARITHMETIC:
            return call
        at_hand = replace(program, instructions=(*program.instructions, *found))
        named = Symbol(fresh(at_hand, f"part_of_{symbol.name}"), symbol.space)
        found.append(Assignment(named, call))
        return named

    if isinstance(value, Call):
        value = replace(value, arguments=tuple(map(inner, value.arguments)))
    return [*found, Assignment(symbol, value)]
