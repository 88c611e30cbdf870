"""`explain` says which engine would run a call, and why if it is not the fastest."""

from __future__ import annotations

import pytest
import torch
from torch.func import vmap
from torch.nn.utils.rnn import pack_sequence

import unrolled
from unrolled.engine import cpu
from unrolled.layers import GRU, LSTM, RNN, explain

NAMES = {
    "amx": "AMX",
    "avx512_bf16": "AVX512-BF16",
    "avx512": "AVX-512",
    "avx2": "AVX2",
    "baseline": "the baseline instruction set",
}
BEST = NAMES[cpu.FLOAT32_SETS[0]]
x = torch.zeros(5, 2, 3)


def test_the_kernels_at_their_fastest_need_no_reason() -> None:
    assert explain(LSTM(3, 4, 2), x) == (
        f"LSTM(3, 4, num_layers=2): CPU kernels with {BEST} on 1 thread."
    )
    assert "reset_after=False): CPU kernels" in explain(GRU(3, 4, reset_after=False), x)
    assert "kernels" in explain(GRU(3, 4), x, torch.zeros(1, 2, 4), lengths=[2, 5])
    assert "kernels" in explain(RNN(3, 4), pack_sequence([x[:, 0]]))
    torch.set_num_threads(2)
    assert explain(GRU(3, 4), x) == f"GRU(3, 4): CPU kernels with {BEST} on 2 threads."


@pytest.mark.parametrize("isa", cpu.INSTRUCTION_SETS)
def test_a_slower_instruction_set_is_explained(isa: str) -> None:
    with unrolled.using(isa):
        text = explain(GRU(3, 4), x)
    reason = f', because using("{isa}") asks for it' if isa != cpu.FLOAT32_SETS[0] else ""
    assert text == f"GRU(3, 4): CPU kernels with {NAMES[isa]} on 1 thread{reason}."


def test_torch_runs_its_own_cells_where_the_kernels_do_not_apply() -> None:
    assert explain(GRU(3, 4).double(), x.double()) == (
        "GRU(3, 4): torch's own fused layer, "
        "because the numbers are float64 and the kernels compute in float32 or bfloat16."
    )
    with torch.autocast("cpu", dtype=torch.float16):
        assert "because autocast is to float16" in explain(LSTM(3, 4), x)
    with unrolled.using("torch"):
        assert explain(LSTM(3, 4), x) == (
            'LSTM(3, 4): torch\'s own fused layer, because using("torch") asks for it.'
        )
    assert "the input is on meta" in explain(LSTM(3, 4, device="meta"), x.to("meta"))


def test_the_reference_runs_the_rest() -> None:
    text = explain(GRU(3, 4, reset_after=False).double(), x.double())
    assert text.startswith("GRU(3, 4, reset_after=False): the reference")
    assert "float64" in text
    with unrolled.using("reference"):
        assert 'because using("reference") asks for it' in explain(LSTM(3, 4), x)
    layer, seen = RNN(3, 4), []

    def run(row: torch.Tensor) -> torch.Tensor:
        seen.append(explain(layer, row))
        output: torch.Tensor = layer(row)[0]
        return output

    vmap(run)(torch.zeros(3, 5, 2, 3))
    assert "because a torch.func transform is active" in seen[0]
    with unrolled.using("torch"):
        assert "asks for it and there is no step to run." in explain(LSTM(3, 4), x[:0])


def test_nothing_is_run() -> None:
    layer = LSTM(3, 4)
    setattr(layer, "forward", None)  # noqa: B010
    assert explain(layer, torch.zeros(1_000_000, 1, 1).expand(-1, -1, 3))
