"""Print: a plan as C++, its elementwise functions and the tables that the engine walks through."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from sympy.printing.str import StrPrinter

from .plan import Location, Pass, Place, Plan, Stage, row_wise
from .program import Mask, Space
from .sweeps import Sweep, sweeps


def source(plans: Iterable[Plan]) -> str:
    """A translation unit with the kernels of the given plans.

    It is compiled once for each target (an instruction set, as far as cells are concerned), with
    ``UNROLLED_TARGET`` as its name.
    """
    parts, kernels = [], []
    for number, plan in enumerate(plans):
        unit = _Unit(f"k{number}", plan)
        parts.append(f"// {plan.program.name}\n" + unit.declarations())
        kernels.append(unit.kernel())
    tables = ",\n".join(kernels)
    return f"""{_HEAD}
{chr(10).join(parts)}
}}  // namespace

#define UNROLLED_JOIN_(a, b) a##b
#define UNROLLED_JOIN(a, b) UNROLLED_JOIN_(a, b)

extern const Kernel UNROLLED_JOIN(kernels_, UNROLLED_TARGET)[] = {{
{tables}
}};
extern const index UNROLLED_JOIN(kernel_count_, UNROLLED_TARGET) = {len(kernels)};

}}  // namespace unrolled
"""


def library_source(plan: Plan) -> str:
    """A translation unit that becomes a library of its own, with the kernel of one plan.

    Its one visible symbol is a function, called ``UNROLLED_SYMBOL``, that returns the kernel.
    """
    return f"""#define UNROLLED_TARGET library
{source([plan])}
extern "C" __attribute__((visibility("default"))) const unrolled::Kernel* UNROLLED_SYMBOL() {{
  return unrolled::kernels_library;
}}
"""


_HEAD = """// Generated from the equations of the cells; not to be edited.
#include "functions.h"
#include "row.h"

namespace unrolled {
namespace {
"""


class _Unit:
    """The C++ of one plan; all its names begin with ``prefix``."""

    def __init__(self, prefix: str, plan: Plan) -> None:
        self.prefix = prefix
        self.plan = plan

    def declarations(self) -> str:
        plan, p = self.plan, self.prefix
        matrices = []
        for name in plan.matrix_runs:
            products = plan.program.matrix(name)
            rows, columns = products[0].symbol.space, products[0].operand.space
            count = len(plan.program.rows(name))
            recurrent = str(name == "U").lower()
            matrices.append(f"{{{_space(rows)}, {_space(columns)}, {count}, {recurrent}}}")
        return "\n".join(
            [
                self._pass("forward", plan.forward),
                self._pass("inference", plan.inference),
                self._pass("backward", plan.backward),
                _array("Space", f"{p}_states", (_space(s.new.space) for s in plan.program.states)),
                _array("std::int8_t", f"{p}_kept", map(str, plan.kept)),
                _array("Space", f"{p}_tape", map(_space, plan.tape)),
                _array("Space", f"{p}_delta", map(_space, plan.delta)),
                _array("Matrix", f"{p}_matrices", matrices),
                _array("Bias", f"{p}_biases", self._biases()),
                _array("Gradient", f"{p}_gradients", self._gradients()),
                _array("MaskKind", f"{p}_masks", map(_mask, plan.program.masks)),
            ]
        )

    def _biases(self) -> list[str]:
        plan = self.plan
        recurrent = {gate: row for row, gate in plan.folded}
        gates = range(len(plan.program.gates) if plan.program.bias else 0)
        shared = [f"{{{gate}, {recurrent.get(gate, -1)}}}" for gate in gates]
        return shared + [f"{{-1, {row}}}" for row in plan.biases]

    def _gradients(self) -> list[str]:
        nowhere = "{}"
        found = [(-1, run, nowhere) for run in self.plan.gate_runs]
        for number, operands in enumerate(self.plan.matrix_runs.values()):
            for operand, runs in operands:
                found += [(number, run, _location(operand)) for run in runs]
        return [
            f"{{{matrix}, {run.slot}, {run.row}, {run.count}, {operand}}}"
            for matrix, run, operand in found
        ]

    def kernel(self) -> str:
        """The initialiser of the plan's Kernel."""
        plan, p = self.plan, self.prefix

        def counted(name: str, values: Any) -> str:
            return f"{p}_{name}, {len(values)}"

        fields = [
            json.dumps(plan.program.name),
            json.dumps(json.dumps(plan.as_json())),
            f"{p}_forward",
            f"{p}_inference",
            f"{p}_backward",
            f"{p}_states, {p}_kept, {len(plan.kept)}",
            counted("tape", plan.tape),
            counted("delta", plan.delta),
            counted("matrices", plan.matrix_runs),
            str(len(plan.program.gates)),
            counted("biases", self._biases()),
            counted("gradients", self._gradients()),
            str(len(plan.program.vectors)),
            str(plan.input_slot),
            counted("masks", plan.program.masks),
        ]
        fields.append(str(plan.row_wise).lower())
        return "  {" + ",\n   ".join(fields) + "}"

    def _pass(self, name: str, laid: Pass) -> str:
        prefix = f"{self.prefix}_{name}"
        parts, stages = [], []
        for number, stage in enumerate(laid.stages):
            at = f"{prefix}_{number}"
            parts.append(_function(at, stage))
            multiplies = [
                f"{{{_location(m.operand)}, {m.matrix}, {m.row}, {m.rows}, "
                f"{str(m.transposed).lower()}, {m.result}, {m.state}}}"
                for m in stage.multiplies
            ]
            inputs = list(map(_location, stage.inputs.values()))
            outputs = [_location(location) for location, _ in stage.outputs]
            parts.append(_array("Multiply", f"{at}_multiplies", multiplies))
            parts.append(_array("Location", f"{at}_inputs", inputs))
            parts.append(_array("Location", f"{at}_outputs", outputs))
            results = len({m.result + i for m in stage.multiplies for i in range(_results(m))})
            stages.append(
                f"{{{_space(stage.space)}, {results}, {at}_multiplies, {len(multiplies)}, "
                f"{at}_inputs, {len(inputs)}, {at}_outputs, {len(outputs)}, {at}}}"
            )
        parts.append(_array("Stage", f"{prefix}_stages", stages))
        parts.append(_array("Space", f"{prefix}_scratch", map(_space, laid.scratch)))
        parts.append(
            f"constexpr Pass {prefix} = "
            f"{{{prefix}_stages, {len(stages)}, {prefix}_scratch, {len(laid.scratch)}}};"
        )
        return "\n".join(parts)


def _results(multiply: Any) -> int:
    return 1 if multiply.transposed else int(multiply.rows)


def _function(name: str, stage: Stage) -> str:
    """The elementwise function of a stage."""
    lines = [f"void {name}(const float* const* in, float* const* out, index begin, index end) {{"]
    for number in range(len(stage.inputs)):
        lines.append(f"  const float* const in{number} = in[{number}];")
    for number in range(len(stage.outputs)):
        lines.append(f"  float* const out{number} = out[{number}];")
    if not stage.inputs:
        lines.append("  (void)in;")
    if not stage.outputs:
        lines.append("  (void)out;")
    rows = _rows(stage)
    lines += [
        f"  const auto {name} = {call.func.__name__}_of_row({', '.join(memory)}, begin, end);"
        for call, (name, memory) in rows.items()
    ]
    printer = _VectorPrinter({call: name for call, (name, _) in rows.items()})
    parts = sweeps(stage)
    if len(parts) == 1:
        return "\n".join([*lines, *_sweep(stage, parts[0], printer, "begin, end"), "}"])
    for name in (name for part in parts for name in part.kept):
        lines.append(f"  alignas(64) float memory_{_name(name)}[at_once];")
        lines.append(f"  float* const kept_{_name(name)} = memory_{_name(name)};")
    lines.append("  for (index from = begin; from < end; from += at_once) {")
    lines.append("    const index until = from + at_once < end ? from + at_once : end;")
    for part in parts:
        lines += [f"  {line}" for line in _sweep(stage, part, printer, "from, until")]
    return "\n".join([*lines, "  }", "}"])


def _sweep(stage: Stage, part: Sweep, printer: StrPrinter, units: str) -> list[str]:
    """One sweep over the units. Values are kept from one sweep to the next as whole vectors."""
    lines = [f"  sweep({units}, [=](index j, auto lanes) {{"]
    for number, symbol in enumerate(stage.inputs):
        if symbol in part.inputs:
            lines.append(f"    const vec {_name(symbol)} = lanes.load(in{number} + j);")
    for name in part.found:
        kept = f"kept_{_name(name)} + j - from"
        lines.append(f"    const vec {_name(name)} = Whole{{}}.load({kept});")
    for symbol, value in part.equations:
        text = printer.doprint(value)
        text = f"broadcast({text})" if value.is_number else text
        lines.append(f"    const vec {_name(symbol.name)} = {text};")
    for name in part.kept:
        lines.append(f"    Whole{{}}.store(kept_{_name(name)} + j - from, {_name(name)});")
    for number, (location, symbol) in enumerate(stage.outputs):
        if symbol not in part.outputs:
            continue
        value = _name(symbol)
        if location.place is Place.SUM:
            value = f"lanes.load(out{number} + j) + {value}"
        lines.append(f"    lanes.store(out{number} + j, {value});")
    return [*lines, "  });"]


def _rows(stage: Stage) -> dict[Any, tuple[str, list[str]]]:
    """For each function of a whole row: what is known of the row, and the vectors it is found from.

    The function's arguments are inputs of the stage, or other names of them.
    """
    numbers = {name: number for number, name in enumerate(stage.inputs)}
    values = {symbol.name: value for symbol, value in stage.equations}

    def memory(name: str) -> str:
        return f"in{numbers[name]}" if name in numbers else memory(values[name].name)

    calls = dict.fromkeys(call for _, value in stage.equations for call in row_wise(value))
    return {
        call: (f"row{number}", [memory(argument.name) for argument in call.args])
        for number, call in enumerate(calls)
    }


class _VectorPrinter(StrPrinter):  # type: ignore[misc]
    """Arithmetic on vectors; every number is a float32.

    ``rows`` tells for each function of a whole row what holds that which is known of the row.
    """

    def __init__(self, rows: dict[Any, str]) -> None:
        super().__init__()
        self._rows = rows

    def _print_Symbol(self, expr: Any) -> str:  # noqa: N802
        return _name(expr.name)

    def _print_Integer(self, expr: Any) -> str:  # noqa: N802
        return f"{int(expr)}.0f"

    def _print_Float(self, expr: Any) -> str:  # noqa: N802
        return f"{float(expr)!r}f"

    def _print_Rational(self, expr: Any) -> str:  # noqa: N802
        return f"({int(expr.p)}.0f / {int(expr.q)}.0f)"

    def _print_Function(self, expr: Any) -> str:  # noqa: N802
        arguments = [*map(self._vector, expr.args)]
        if expr in self._rows:
            arguments.append(self._rows[expr])
        return f"{expr.func.__name__}({', '.join(arguments)})"

    def _print_Pow(self, expr: Any, rational: bool = False) -> str:  # noqa: N802
        base, exponent = expr.as_base_exp()
        if not exponent.is_Integer:
            return f"power({self._vector(base)}, {self._vector(exponent)})"
        factors = " * ".join([f"({self.doprint(base)})"] * abs(int(exponent)))
        return f"({factors})" if exponent > 0 else f"(1.0f / ({factors}))"

    def _print_Infinity(self, expr: Any) -> str:  # noqa: N802
        return "__builtin_inff()"

    def _print_NegativeInfinity(self, expr: Any) -> str:  # noqa: N802
        return "-__builtin_inff()"

    def _vector(self, expr: Any) -> str:
        """A function's argument: numbers become vectors."""
        text = self.doprint(expr)
        return f"broadcast({text})" if expr.is_number else str(text)


def _name(symbol: str) -> str:
    return f"{symbol}_"  # no C++ keyword, no name of ours ends so


def _mask(mask: Mask) -> str:
    return f"{{{str(mask.every_step).lower()}, {str(mask.scaled).lower()}}}"


def _space(space: Space) -> str:
    return f"Space::{space.value}"


def _location(location: Location) -> str:
    return f"{{Place::{location.place.name.lower()}, {location.index}}}"


def _array(kind: str, name: str, items: Iterable[str]) -> str:
    """A constant array; an empty one becomes a null pointer."""
    listed = list(items)
    if not listed:
        return f"constexpr const {kind}* {name} = nullptr;"
    return f"constexpr {kind} {name}[] = {{{', '.join(listed)}}};"
