"""Other nonlinearities in the place of a cell's own."""

from __future__ import annotations

from dataclasses import replace

from ...cells import Function
from ..operations import read_by_backward
from ..program import Assignment, Call, Instruction, Program, Symbol, is_arithmetic
from ..traced import Traced
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
        else:
            value = Assignment(
                instruction.symbol, function(Traced(expression.arguments[0])).expression
            )
            instructions.extend(_with_named_argument(program, value))
    words = {"activation": tanh, "recurrent_activation": sigmoid}
    given = [f"{word}={function}" for word, function in words.items() if function is not None]
    return replace(program, name=",".join([program.name, *given]), instructions=tuple(instructions))


def _with_named_argument(program: Program, assignment: Assignment) -> list[Assignment]:
    """An argument that backward reads gets a symbol of its own, so that it can be kept."""
    symbol, value = assignment.symbol, assignment.expression
    if not isinstance(value, Call) or is_arithmetic(value) or not read_by_backward(value)[0]:
        return [assignment]
    argument, *others = value.arguments
    if isinstance(argument, Symbol):
        return [assignment]
    named = Symbol(fresh(program, f"argument_of_{symbol}"), symbol.space)
    return [
        Assignment(named, argument),
        Assignment(symbol, replace(value, arguments=(named, *others))),
    ]
