"""Plan: decide the stages, what forward keeps for backward, and where every vector lives."""

from __future__ import annotations

from functools import cache
from typing import Any

import sympy

from .differentiate import Equation, differentiate, to_sympy
from .plan import ROW_WISE, Location, Pass, Place, Plan, Run, row_wise, runs
from .program import INPUT, Assignment, Call, Product, Program, Space, State, Symbol, symbols
from .stages import StageBuilder


@cache
def plan(program: Program) -> Plan:
    """Lay out a program and its adjoint."""
    return _Planner(program).plan()


class _Planner:
    def __init__(self, program: Program) -> None:
        self.program = program
        self.adjoint = differentiate(program)
        self.matrices = sorted({p.matrix for p in program.products}, reverse=True)  # U, then P
        self.row = {p.symbol: program.rows(p.matrix).index(p.gate) for p in program.products}
        self.previous = {state.previous: k for k, state in enumerate(program.states)}
        self.new = {state.new: k for k, state in enumerate(program.states)}
        # Where everything is that is there at any time.
        self.anywhere = {
            **{v.symbol: Location(Place.VECTOR, k) for k, v in enumerate(program.vectors)},
            **{m.symbol: Location(Place.MASK, k) for k, m in enumerate(program.masks)},
            INPUT: Location(Place.INPUT, 0),
        }
        self.shared = self._match_shared()

    def plan(self) -> Plan:
        needed, recomputed = self._needs()
        forward_levels = self._forward_levels()
        slots = self._tape(needed)
        self.slots = slots
        deltas, delta_slots = self._deltas()
        inference = self._forward_pass(forward_levels, {})
        forward = self._forward_pass(forward_levels, slots)
        backward = self._backward_pass(recomputed, delta_slots)
        kept = tuple(slots.get(s.new, -1) if k else -1 for k, s in enumerate(self.program.states))
        return Plan(
            program=self.program,
            tape=tuple(symbol.space for symbol in slots),
            delta=deltas,
            kept=kept,
            forward=forward,
            inference=inference,
            backward=backward,
            gate_runs=runs((delta_slots[gate], row) for row, gate in enumerate(self.program.gates)),
            matrix_runs={
                matrix: self._matrix_runs(matrix, delta_slots) for matrix in self.matrices
            },
            folded=tuple(
                (self.row[product], self.program.gates.index(gate))
                for product, gate in self.shared.items()
            ),
            biases=tuple(self.row[product] for product in self._own_biases()),
            input_slot=delta_slots.get(INPUT, -1),
            exposed=tuple(slots[symbol] for symbol in self.program.exposed),
        )

    # What the program shares and what backward needs.

    def _match_shared(self) -> dict[Symbol, Symbol]:
        """Pairs of product and gate of which the step sees only the sum."""
        free = list(self.program.gates)
        shared = {}
        for product in self.program.products:
            gate = next((g for g in free if self.adjoint.shares(g, product.symbol)), None)
            if product.bias and gate is not None:
                shared[product.symbol] = gate
                free.remove(gate)
        return shared

    def _own_biases(self) -> list[Symbol]:
        return [p.symbol for p in self.program.products if p.bias and p.symbol not in self.shared]

    def _needs(self) -> tuple[set[Symbol], list[Assignment]]:
        """Values that forward keeps for backward, and those that backward computes again."""
        by_name = {
            symbol.name: symbol
            for symbol in [
                *self.program.gates,
                *(i.symbol for i in self.program.instructions),
                *self.previous,
            ]
        }
        named = {
            by_name[s.name]
            for _, value in self._adjoint_equations()
            for s in value.free_symbols
            if s.name in by_name
        }
        free = {*self.previous, *self.new, *self.anywhere}
        recomputed: list[Assignment] = []
        exposed = set(self.program.exposed)
        for assignment in self.program.assignments:
            reads = set(symbols(assignment.expression))
            if assignment.symbol in named - free - exposed and reads <= free:
                recomputed.append(assignment)
                named |= reads
        kept = named - {a.symbol for a in recomputed} - set(self.previous) - set(self.anywhere)
        operands = {p.operand for p in self.program.products}
        # A state other than the output is on the tape if its value before or after is named, be it
        # by the gradient of a matrix.
        named |= operands
        kept |= {s.new for s in self.program.states[1:] if s.previous in named}
        kept |= operands - set(self.previous) - set(self.anywhere)
        kept |= exposed
        return kept - {self.program.states[0].new}, recomputed

    def _adjoint_equations(self) -> list[Equation]:
        """The adjoint's equations, and those of what leaves it."""
        adjoint = self.adjoint
        leaving = [
            *adjoint.gates.values(),
            *adjoint.products.values(),
            *adjoint.vectors.values(),
            *adjoint.outgoing.values(),
            adjoint.input,
        ]
        return [*adjoint.equations, *((sympy.Symbol("_"), sympy.sympify(v)) for v in leaving)]

    # Stages.

    def _forward_levels(self) -> dict[Symbol, int]:
        known = [*self.program.gates, *self.previous, *self.anywhere]
        levels: dict[Symbol, int] = dict.fromkeys(known, 0)
        # what is in memory already when the elementwise part of its stage begins
        products = {p.symbol for p in self.program.products if not p.bias}
        products |= set() if self.program.bias else set(self.program.gates)
        for instruction in self.program.instructions:
            if isinstance(instruction, Product):
                computed = instruction.operand not in self.previous
                levels[instruction.symbol] = levels[instruction.operand] + computed
            else:
                reads = symbols(instruction.expression)
                level = max((levels[s] for s in reads), default=0)
                called = instruction.expression
                whole = isinstance(called, Call) and called.operation in ROW_WISE
                if whole and not products.issuperset(symbols(called)):
                    level += 1  # a whole row must be there before
                levels[instruction.symbol] = level
        return levels

    def _tape(self, kept: set[Symbol]) -> dict[Symbol, int]:
        """Slots of the tape, in the order in which the step computes what they hold."""
        ordered = [*self.program.gates, *(i.symbol for i in self.program.instructions)]
        return {symbol: slot for slot, symbol in enumerate(s for s in ordered if s in kept)}

    def _forward_pass(self, levels: dict[Symbol, int], slots: dict[Symbol, int]) -> Pass:
        """The step; values that have a slot are written to the tape."""
        builder = StageBuilder()
        leaving = [self._leaving(state, levels) for state in self.program.states]
        first_read = dict.fromkeys(self.program.gates, max(levels.values()))
        for assignment in self.program.assignments:
            for symbol in set(symbols(assignment.expression)) & first_read.keys():
                first_read[symbol] = min(first_read[symbol], levels[assignment.symbol])
        for symbol, location in self.anywhere.items():
            builder.homes[symbol.name] = location
        for k, state in enumerate(self.program.states):
            builder.homes[state.previous.name] = Location(Place.PREVIOUS, k)
        for k, (name, _) in enumerate(leaving):
            builder.written[name] = Location(Place.STATE, k)
        for slot, gate in enumerate(self.program.gates):
            builder.homes[f"gate_{gate.name}"] = Location(Place.GATE, slot)
            value = sympy.Symbol(f"gate_{gate.name}")
            if self.program.bias:
                builder.homes[f"bias_{gate.name}"] = Location(Place.BIAS, slot)
                value += sympy.Symbol(f"bias_{gate.name}")
            builder.equation(first_read[gate], gate.space, sympy.Symbol(gate.name), value)
        for symbol, slot in slots.items():
            if symbol not in self.new:
                builder.written[symbol.name] = Location(Place.TAPE, slot)
        biases = [*(self.program.gates if self.program.bias else ()), *self._own_biases()]
        for instruction in self.program.instructions:
            symbol = instruction.symbol
            if isinstance(instruction, Assignment):
                value = to_sympy(instruction.expression)
                builder.equation(levels[symbol], symbol.space, sympy.Symbol(symbol.name), value)
                continue
            result = builder.product(levels[symbol], symbol.space, symbol.name)
            value = sympy.Symbol(result)
            if symbol in biases:
                name = f"bias_{symbol.name}"
                builder.homes[name] = Location(Place.BIAS, biases.index(symbol))
                value += sympy.Symbol(name)
            builder.equation(levels[symbol], symbol.space, sympy.Symbol(symbol.name), value)
            builder.multiply(
                levels[symbol],
                symbol.space,
                operand=instruction.operand.name,
                matrix=self.matrices.index(instruction.matrix),
                row=self.row[symbol],
                result=result,
            )
        for state, (name, level) in zip(self.program.states, leaving, strict=True):
            if name != state.new.name:
                value = sympy.Symbol(state.new.name)
                builder.equation(level, state.new.space, sympy.Symbol(name), value)
        return builder.build()

    def _leaving(self, state: State, levels: dict[Symbol, int]) -> tuple[str, int]:
        """Under which name, and at which level, a state's new value is written where it stays.

        It may take the place of the old one, so not before the last stage that reads that; until
        then it waits elsewhere.
        """
        readers = [
            levels[a.symbol]
            for a in self.program.assignments
            if state.previous in symbols(a.expression)
        ]
        last = max(readers, default=0)
        if state is self.program.states[0] or last <= levels[state.new]:
            return state.new.name, levels[state.new]
        return f"leaving_{state.name}", last

    # Backward.

    def _deltas(self) -> tuple[tuple[Space, ...], dict[Symbol, int]]:
        """Slots of the delta, in an order that makes both sides of a layer contiguous.

        First what only the input side has, then what both share, then what only the products have.
        """
        shared_gates = set(self.shared.values())
        spaces: list[Space] = []
        slots: dict[Symbol, int] = {}

        def place(symbol: Symbol) -> None:
            slots[symbol] = len(spaces)
            spaces.append(symbol.space)

        for gate in self.program.gates:
            if gate not in shared_gates:
                place(gate)
        ordered = sorted(self.program.products, key=lambda p: p.symbol not in self.shared)
        for product in ordered:
            place(product.symbol)
            if product.symbol in self.shared:
                slots[self.shared[product.symbol]] = slots[product.symbol]
        if self.program.reads_input:
            place(INPUT)
        return tuple(spaces), slots

    def _matrix_runs(
        self, matrix: str, slots: dict[Symbol, int]
    ) -> tuple[tuple[Location, tuple[Run, ...]], ...]:
        """For each operand of a matrix: where its sequence is, and the adjoints of its products."""
        found = []
        products = self.program.matrix(matrix)
        for operand in dict.fromkeys(p.operand for p in products):
            if operand in self.previous:
                place = Location(Place.PREVIOUS, self.previous[operand])
            elif operand in self.anywhere:
                place = self.anywhere[operand]
            elif operand in self.new and self.new[operand] == 0:
                place = Location(Place.STATE, 0)
            else:
                place = Location(Place.TAPE, self.slots[operand])
            rows = [(slots[p.symbol], self.row[p.symbol]) for p in products if p.operand == operand]
            found.append((place, runs(rows)))
        return tuple(found)

    def _backward_pass(self, recomputed: list[Assignment], delta_slots: dict[Symbol, int]) -> Pass:
        adjoint, program = self.adjoint, self.program
        builder = StageBuilder()
        levels: dict[str, int] = {}

        def equation(symbol: sympy.Symbol, value: Any, space: Space) -> None:
            level = max(
                (levels.get(s.name, 0) for s in sympy.sympify(value).free_symbols), default=0
            )
            if row_wise(value):
                level += 1  # a whole row must be there before
            levels[symbol.name] = level
            builder.equation(level, space, symbol, sympy.sympify(value))

        for symbol, location in self.anywhere.items():
            builder.homes[symbol.name] = location
        for symbol in program.exposed:
            slot = self.slots[symbol]
            builder.homes[f"gradient_{symbol.name}"] = Location(Place.GRADIENT, 1 + slot)
        for k, state in enumerate(program.states):
            builder.homes[state.previous.name] = Location(Place.PREVIOUS, k)
            builder.homes[state.new.name] = Location(Place.STATE, k)
        for symbol, slot in self.slots.items():
            if symbol not in self.new:
                builder.homes[symbol.name] = Location(Place.TAPE, slot)

        for k, state in enumerate(program.states):
            builder.homes[f"carry_{state.name}"] = Location(Place.CARRY, k)
            value = sympy.Symbol(f"carry_{state.name}")
            if k == 0:
                builder.homes["gradient"] = Location(Place.GRADIENT, 0)
                value += sympy.Symbol("gradient")
            used = [p for p in program.products if p.operand == state.previous]
            if used:
                result = builder.product(0, state.new.space, f"T_{state.name}")
                value += sympy.Symbol(result)
                self._transpose(builder, 0, used, delta_slots, result, state=k)
            equation(adjoint.incoming[state.name], value, state.new.space)
        for assignment in recomputed:
            value = to_sympy(assignment.expression)
            equation(sympy.Symbol(assignment.symbol.name), value, assignment.symbol.space)

        # Equations stand in reverse order of the program; a transposed product becomes possible
        # when the adjoints of all the products of its operand are known.
        pending = dict(adjoint.transposed)

        def release() -> None:
            for operand, symbol in list(pending.items()):
                used = [p for p in program.products if p.operand == operand]
                known = [
                    levels.get(s.name)
                    for p in used
                    for s in sympy.sympify(adjoint.products[p.symbol]).free_symbols
                    if s in adjoint.spaces
                ]
                if None in known:
                    continue
                level = 1 + max((k for k in known if k is not None), default=0)
                levels[symbol.name] = level
                result = builder.product(level, operand.space, symbol.name)
                builder.equation(level, operand.space, symbol, sympy.Symbol(result))
                self._transpose(builder, level, used, delta_slots, result, state=-1)
                del pending[operand]

        release()
        for symbol, value in adjoint.equations:
            equation(symbol, value, adjoint.spaces[symbol])
            release()

        written: set[int] = set()
        adjoints = [*adjoint.gates.items(), *adjoint.products.items()]
        if program.reads_input:
            adjoints.append((INPUT, adjoint.input))
        for symbol, value in adjoints:
            slot = delta_slots[symbol]
            if slot in written:
                continue
            written.add(slot)
            named = sympy.Symbol(f"delta_{symbol.name}")
            builder.written[named.name] = Location(Place.DELTA, slot)
            equation(named, value, symbol.space)
        for k, vector in enumerate(program.vectors):
            if vector.learned:
                named = sympy.Symbol(f"sum_{vector.symbol.name}")
                builder.written[named.name] = Location(Place.SUM, k)
                equation(named, adjoint.vectors[vector.symbol], vector.symbol.space)
        for k, state in enumerate(program.states):
            named = sympy.Symbol(f"leaving_{state.name}")
            builder.written[named.name] = Location(Place.CARRY, k)
            equation(named, adjoint.outgoing[state.name], state.new.space)
        return builder.build()

    def _transpose(
        self,
        builder: StageBuilder,
        level: int,
        used: list[Product],
        delta_slots: dict[Symbol, int],
        result: str,
        state: int,
    ) -> None:
        for matrix in self.matrices:
            rows = [(delta_slots[p.symbol], self.row[p.symbol]) for p in used if p.matrix == matrix]
            for run in runs(rows):
                place = Place.DELTA if state < 0 else Place.DELTA_AFTER
                builder.transpose(
                    level,
                    used[0].operand.space,
                    Location(place, run.slot),
                    self.matrices.index(matrix),
                    run,
                    result,
                    state,
                )
