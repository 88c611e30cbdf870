"""Transforms: an option is a rewriting of the program, not a case in the engine."""

from __future__ import annotations

from dataclasses import replace

from .program import Product, Program, Space, State, Symbol, symbols


def project(program: Program) -> Program:
    """Output ← P output: the first state becomes a product of its own size, without bias.

    The projection of Sak, Senior & Beaufays (2014), as torch.nn.LSTM has it: recurrent products
    then take the projected state.

    Raises:
        ValueError: if the step uses its output's previous value outside a recurrent product, where
            a vector of another size has no meaning; or if it takes a recurrent product of anything
            else, for which the matrix would need another width.
    """
    first, *others = program.states
    for assignment in program.assignments:
        if first.previous in symbols(assignment.expression):
            raise ValueError(
                f"{program.name}: cannot be projected, because {assignment} combines the state "
                f"{first.name} with vectors of hidden size"
            )
    for product in program.products:
        if product.operand != first.previous:
            raise ValueError(
                f"{program.name}: cannot be projected, because {product} needs a matrix of another "
                f"width than the products of the state {first.name}"
            )
    previous = replace(first.previous, space=Space.PROJECTED)
    instructions = [
        replace(i, operand=previous)
        if isinstance(i, Product) and i.operand == first.previous
        else i
        for i in program.instructions
    ]
    output = Symbol(f"P_{first.new.name}", Space.PROJECTED)
    instructions.append(Product(output, "P", first.new.name, first.new, bias=False))
    return Program(
        name=f"{program.name},projected",
        gates=program.gates,
        instructions=tuple(instructions),
        states=(State(first.name, previous, output), *others),
    )
