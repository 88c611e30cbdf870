"""Other nonlinearities in the place of a cell's own."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

from ..cells import Cell, Function
from ..cells.functions import NONLINEARITIES
from ..compiler.operations import read_by_backward
from ..compiler.program import Assignment, Call, Instruction, Program, Symbol, is_arithmetic
from ..compiler.traced import Traced
from ..compiler.transforms.rewriting import fresh
from .option import Need, Option, Place, Subject
from .variant import Variant


def _calls(operation: str) -> Need:
    """A function among those of a step."""

    def there(cell: Cell, program: Program) -> bool:
        values = (step.expression for step in program.assignments)
        return any(isinstance(one, Call) and one.operation == operation for one in values)

    return Need(there, "", f"has no {operation} that another function could replace")


class Activation(Option):
    """Function in the place of a cell's tanh."""

    flag: Any = Literal[tuple(NONLINEARITIES)] | None
    need = _calls("tanh")
    place = Place.FUNCTIONS
    equation = "another function for tanh"

    def check(self, value: Any, layer: Subject) -> None:
        """Refuse what is no function, and no name of one."""
        if not isinstance(value, (str, Function)):
            kind = type(value).__name__
            raise TypeError(f"{layer.label}: {self.name} must be a function's name, got {kind}")
        if str(value) not in NONLINEARITIES:
            names = ", ".join(NONLINEARITIES)
            raise ValueError(
                f"{layer.label}: {self.name} must be one of {names}, got {str(value)!r}"
            )

    def setting(self, value: Any, cell: Cell, training: bool) -> Function | None:
        """The function."""
        return NONLINEARITIES[value] if isinstance(value, str) else value

    def transform(self, program: Program, variant: Variant) -> Program:
        """The program with other functions; both at once, since one may put in what the other has.

        A function that has just taken the place of tanh is not replaced again.
        """
        return activation(program, variant.activation, variant.recurrent_activation)

    def read(self, text: str, cell: type[Cell]) -> dict[str, Any]:
        """The function, by its name."""
        return {self.name: NONLINEARITIES[text]}


class RecurrentActivation(Activation):
    """Function in the place of a cell's sigmoid."""

    need = _calls("sigmoid")
    equation = "another function for σ"

    def transform(self, program: Program, variant: Variant) -> Program:
        """The program with another function, where `Activation` has not put it in already."""
        if variant.activation is not None:
            return program
        return super().transform(program, variant)


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
