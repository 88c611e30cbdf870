# ruff: noqa: N805 - a step has no self
"""Every option is a rewriting of the program: what it writes, where, and what it refuses.

What the options compute is tested with the layers, their adjoints with `differentiate`.
"""

from __future__ import annotations

from typing import Any

import pytest

from unrolled.cells import BUILTIN, GRU, LSTM, RNN, Cell, OriginalGRU, relu, sigmoid, tanh
from unrolled.compiler.program import Mask, Product, Program, Space, Symbol, VectorKind, reads
from unrolled.compiler.trace import trace
from unrolled.compiler.transforms import expose, project
from unrolled.options import Variant, vary
from unrolled.options.activation import activation
from unrolled.options.candidate_dropout import candidate_dropout
from unrolled.options.cell_clip import cell_clip
from unrolled.options.layer_norm import layer_norm
from unrolled.options.recurrent_dropout import recurrent_dropout
from unrolled.options.zoneout import zoneout

from ..compiler.invented import INVENTED, NewStateInProduct, SeveralStates
from ..compiler.options import PAIRS, WORDS, varied


def lines(program: Program) -> list[str]:
    return [str(instruction) for instruction in program.instructions]


def well_formed(program: Program) -> None:
    """Everything is computed once, before it is read, and all states and exposed values are."""
    known = [Symbol("x"), *program.gates, *(state.previous for state in program.states)]
    known += [vector.symbol for vector in program.vectors]
    known += [mask.symbol for mask in program.masks]
    for instruction in program.instructions:
        assert set(reads(instruction)) <= set(known), instruction
        known.append(instruction.symbol)
    names = [symbol.name for symbol in known]
    assert len(set(names)) == len(names)
    assert {state.new for state in program.states} <= set(known)
    assert len({state.new for state in program.states}) == len(program.states)
    assert set(program.exposed) <= set(known)


@pytest.mark.parametrize("words", [(word,) for word in WORDS] + list(PAIRS), ids="+".join)
def test_what_comes_out_is_a_program(words: tuple[str, ...]) -> None:
    for cell in (*BUILTIN, *INVENTED):
        well_formed(varied(cell, words))


def test_programs_of_different_options_have_different_names() -> None:
    """Kernels are found by name."""
    programs = [varied(LSTM(), words) for words in [*((word,) for word in WORDS), *PAIRS]]
    by_name: dict[str, Program] = {}
    for program in programs:
        assert by_name.setdefault(program.name, program) == program


class TestProject:
    def test_the_projected_lstm(self) -> None:
        program = project(trace(LSTM()))
        assert program.name == "lstm,projected"
        assert program.projected
        assert str(program).endswith("    P_h = P.h @ h\n    return P_h, c")
        assert [state.new.space for state in program.states] == [Space.PROJECTED, Space.HIDDEN]
        operands = {product.operand for product in program.matrix("U")}
        assert [operand.space for operand in operands] == [Space.PROJECTED]
        assert program.named == trace(LSTM()).named

    def test_what_is_used_elementwise_is_one_more_state(self) -> None:
        program = project(trace(GRU()))
        assert [state.name for state in program.states] == ["h", "h_full"]
        assert "h = (1 - z) * n + z * h_full_previous" in lines(program)
        assert str(program).endswith("    P_h = P.h @ h\n    return P_h, h")

    def test_computed_operands_go_through_the_same_matrix(self) -> None:
        program = project(trace(OriginalGRU()))
        assert program.rows("P") == ("h",)
        assert [str(product) for product in program.matrix("P")] == [
            "P_v = P.h @ v",
            "P_h = P.h @ h",
        ]
        assert "U_n = U.n @ P_v + bias U.n" in lines(program)

    def test_a_vector_is_projected_once(self) -> None:
        program = project(trace(NewStateInProduct()))
        assert [str(product) for product in program.matrix("P")] == [
            "P_c = P.h @ c",
            "P_h = P.h @ h",
        ]
        assert {product.operand.space for product in program.matrix("U")} == {Space.PROJECTED}

    @pytest.mark.parametrize("cell", INVENTED, ids=lambda cell: cell.name)
    def test_any_cell(self, cell: Cell) -> None:
        program = project(trace(cell))
        well_formed(program)
        assert program.states[0].new.space is Space.PROJECTED
        assert all(product.operand.space is Space.PROJECTED for product in program.matrix("U"))


class TestLayerNorm:
    def test_every_product_has_a_gain_and_a_bias_outside(self) -> None:
        program = layer_norm(trace(RNN()))
        assert lines(program) == [
            "normalized_W_h = normalize(W_h)",
            "scaled_W_h = gain_W_h * normalized_W_h + shift_W_h",
            "U_h = U.h @ h_previous",
            "normalized_U_h = normalize(U_h)",
            "scaled_U_h = gain_U_h * normalized_U_h + shift_U_h",
            "h = tanh(scaled_W_h + scaled_U_h)",
        ]
        assert not program.bias
        kinds = [(vector.symbol.name, vector.kind) for vector in program.vectors]
        assert kinds == [
            ("gain_W_h", VectorKind.UNIT),
            ("gain_U_h", VectorKind.UNIT),
            ("shift_W_h", VectorKind.BIAS),
            ("shift_U_h", VectorKind.BIAS),
        ]

    def test_without_biases(self) -> None:
        program = layer_norm(trace(GRU()), bias=False)
        assert {vector.kind for vector in program.vectors} == {VectorKind.UNIT}
        assert "scaled_U_n = gain_U_n * normalized_U_n" in lines(program)

    def test_the_projection_is_not_normalised(self) -> None:
        program = layer_norm(project(trace(LSTM())))
        assert str(program.instructions[-1]) == "P_h = P.h @ h"
        assert not any("P_h" in vector.symbol.name for vector in program.vectors)

    def test_a_local_may_be_called_like_what_is_added(self) -> None:
        class Named(Cell):
            def step(W: Any, U: Any, x: Any, h: Any) -> Any:
                gain_W_h = sigmoid(W.h(x) + U.h(h))
                normalized_W_h = tanh(gain_W_h * h)
                return normalized_W_h + gain_W_h

        well_formed(layer_norm(trace(Named())))


class TestDropout:
    def test_one_mask_for_the_columns_of_every_gate(self) -> None:
        program = recurrent_dropout(trace(OriginalGRU()))
        assert program.masks == (Mask(Symbol("M_recurrent"), every_step=False, scaled=True),)
        assert "dropped_h_previous = M_recurrent * h_previous" in lines(program)
        assert "dropped_v = M_recurrent * v" in lines(program)
        # what is kept of the past elementwise is not dropped
        assert "h = (1 - z) * n + z * h_previous" in lines(program)

    def test_of_a_projected_state_as_many_as_it_has(self) -> None:
        program = recurrent_dropout(project(trace(LSTM())))
        assert [mask.symbol.space for mask in program.masks] == [Space.PROJECTED]

    def test_a_cell_without_products_stays_as_it_is(self) -> None:
        class Leaky(Cell):
            def step(W: Any, x: Any, h: Any) -> Any:
                return 0.5 * h + tanh(W.a(x))

        assert recurrent_dropout(trace(Leaky())) == trace(Leaky())

    def test_the_candidate_alone_is_dropped(self) -> None:
        program = candidate_dropout(trace(LSTM()), "g")
        assert program.masks == (Mask(Symbol("M_candidate"), every_step=True, scaled=True),)
        assert "dropped_g = M_candidate * g" in lines(program)
        assert "c = f * c_previous + i * dropped_g" in lines(program)

    @pytest.mark.parametrize("cell", [c for c in BUILTIN if c.candidate], ids=lambda c: c.name)
    def test_a_cells_candidate_is_a_value_of_its_step(self, cell: Cell) -> None:
        assert len(candidate_dropout(trace(cell), cell.candidate).masks) == 1

    @pytest.mark.parametrize(
        ("candidate", "message"),
        [
            ("", "rnn: candidate_dropout needs a cell that names its candidate"),
            ("g", "rnn: candidate_dropout drops 'g', which the step does not compute"),
        ],
    )
    def test_a_cell_without_candidate(self, candidate: str, message: str) -> None:
        with pytest.raises(ValueError, match=message):
            candidate_dropout(trace(RNN()), candidate)


class TestZoneout:
    def test_every_state_at_the_end_of_the_step(self) -> None:
        program = zoneout(trace(LSTM()))
        text = lines(program)
        assert "zoned_c = M_zoneout_c * c_previous + (1 - M_zoneout_c) * c" in text
        assert "zoned_h = M_zoneout_h * h_previous + (1 - M_zoneout_h) * h" in text
        assert "v = tanh(c)" in text  # of the c that is not zoned out, as in the paper
        assert [state.new.name for state in program.states] == ["zoned_h", "zoned_c"]
        assert all(mask.every_step and not mask.scaled for mask in program.masks)

    def test_some_states(self) -> None:
        program = zoneout(trace(LSTM()), ("c",))
        assert [mask.symbol.name for mask in program.masks] == ["M_zoneout_c"]
        assert [state.new.name for state in program.states] == ["h", "zoned_c"]

    def test_a_projection_follows_what_it_is_of(self) -> None:
        """Else output and state would disagree about which units keep their past."""
        program = zoneout(project(trace(GRU())), ("h",))
        assert [mask.symbol.name for mask in program.masks] == ["M_zoneout_h_full"]
        assert str(program.instructions[-1]) == "P_h = P.h @ zoned_h"
        assert [state.new.name for state in program.states] == ["P_h", "zoned_h"]

    def test_a_projection_of_nothing_that_stays_is_zoned_out_itself(self) -> None:
        program = zoneout(project(trace(LSTM())))
        assert [mask.symbol.space for mask in program.masks] == [Space.PROJECTED, Space.HIDDEN]


class TestCellClip:
    def test_later_equations_see_it(self) -> None:
        text = lines(cell_clip(trace(LSTM()), 3.0))
        assert "clipped_c = clamp(c, -3, 3)" in text
        assert "v = tanh(clipped_c)" in text
        assert not any("clamp(h" in line for line in text)

    def test_the_only_state(self) -> None:
        program = cell_clip(trace(GRU()), 0.5)
        assert program.states[0].new.name == "clipped_h"

    def test_every_state_but_the_output(self) -> None:
        program = cell_clip(trace(SeveralStates()), 1.0)
        clipped = [state.new.name.startswith("clipped_") for state in program.states]
        assert clipped == [False, True, True]


class TestActivation:
    def test_both_at_once(self) -> None:
        """They may even change places."""
        text = lines(activation(trace(LSTM()), tanh=sigmoid, sigmoid=tanh))
        assert "g = sigmoid(W_g + U_g)" in text
        assert "o = tanh(W_o + U_o)" in text

    def test_one_leaves_the_other(self) -> None:
        text = lines(activation(trace(GRU()), tanh=relu))
        assert "n = relu(W_n + r * U_n)" in text
        assert "z = sigmoid(W_z + U_z)" in text


class TestExpose:
    def test_gates_and_states_by_name(self) -> None:
        program = expose(trace(LSTM()), ["f", "c"])
        assert [symbol.name for symbol in program.exposed] == ["f", "c"]

    def test_a_state_as_it_leaves_the_step(self) -> None:
        program = vary(trace(LSTM()), Variant(cell_clip=1, zoneout=("c",), returns=("c",)))
        assert program.exposed == (program.states[1].new,)

    @pytest.mark.parametrize("name", ["h", "q", "x"])
    def test_what_there_is(self, name: str) -> None:
        with pytest.raises(ValueError, match=rf"lstm: there is no value '{name}'.*i, f, g, o, c"):
            expose(trace(LSTM()), [name])


def test_the_order_of_options() -> None:
    """Bounds before the projection, dropout after it, and zoneout last of all."""
    everything = Variant(
        cell_clip=1.0,
        projected=True,
        layer_norm=True,
        candidate_dropout="n",
        recurrent_dropout=True,
        zoneout=("h",),
    )
    program = vary(trace(OriginalGRU()), everything)
    well_formed(program)
    text = lines(program)
    assert "clipped_h = clamp(h, -1, 1)" in text
    assert (
        "zoned_clipped_h = M_zoneout_h_full * h_full_previous + (1 - M_zoneout_h_full) * clipped_h"
        in text
    )
    assert "P_clipped_h = P.h @ zoned_clipped_h" in text
    assert "dropped_P_v = M_recurrent * P_v" in text
    products = [i for i in program.instructions if isinstance(i, Product)]
    assert not any(product.bias for product in products)


def test_nothing_by_default() -> None:
    assert vary(trace(LSTM()), Variant()) == trace(LSTM())
