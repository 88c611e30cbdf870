"""What the transforms share: new instructions between those of a program, and names for them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from ..program import Assignment, Call, Expression, Instruction, Product, Program, Symbol


def fresh(program: Program, name: str) -> str:
    """A name that nothing in the program has: the given one, or that with a number after it."""
    taken = {symbol.name for symbol in _symbols(program)}
    number, candidate = 1, name
    while candidate in taken:
        number += 1
        candidate = f"{name}{number}"
    return candidate


def _symbols(program: Program) -> Iterator[Symbol]:
    yield from program.gates
    yield from (instruction.symbol for instruction in program.instructions)
    yield from (state.previous for state in program.states)
    yield from (vector.symbol for vector in program.vectors)
    yield from (mask.symbol for mask in program.masks)


def renamed(instruction: Instruction, names: Mapping[Symbol, Symbol]) -> Instruction:
    """The instruction with other symbols on its right side."""
    if isinstance(instruction, Product):
        return replace(instruction, operand=names.get(instruction.operand, instruction.operand))
    return replace(instruction, expression=_renamed(instruction.expression, names))


def _renamed(expression: Expression, names: Mapping[Symbol, Symbol]) -> Expression:
    if isinstance(expression, Symbol):
        return names.get(expression, expression)
    if isinstance(expression, Call):
        return replace(
            expression, arguments=tuple(_renamed(a, names) for a in expression.arguments)
        )
    return expression


def take_its_place(
    program: Program, followers: Mapping[Symbol, Sequence[Assignment]]
) -> tuple[tuple[Instruction, ...], dict[Symbol, Symbol]]:
    """Instructions in which some values are followed by others that everything after reads instead.

    Args:
        program: what is rewritten.
        followers: for a gate or the result of an instruction what is to follow it; the last of
            these takes its place.

    Returns:
        The instructions, and for each value that has lost its place what has it now.
    """
    found: list[Instruction] = []
    names: dict[Symbol, Symbol] = {}

    def follow(symbol: Symbol) -> None:
        if symbol in followers:
            found.extend(followers[symbol])
            names[symbol] = followers[symbol][-1].symbol

    for gate in program.gates:
        follow(gate)
    for instruction in program.instructions:
        found.append(renamed(instruction, names))
        follow(instruction.symbol)
    return tuple(found), names


def rewritten(
    program: Program, option: str, followers: Mapping[Symbol, Sequence[Assignment]]
) -> Program:
    """The program with `take_its_place` done to its equations and to its states' new values."""
    instructions, names = take_its_place(program, followers)
    return replace(
        program,
        name=f"{program.name},{option}",
        instructions=instructions,
        states=tuple(replace(s, new=names.get(s.new, s.new)) for s in program.states),
    )


def product(*factors: Expression) -> Expression:
    """Expressions multiplied."""
    first, *others = factors
    for factor in others:
        first = Call("multiply", (first, factor))
    return first
