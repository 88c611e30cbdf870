"""The instruction sets of this processor that there are kernels for."""

from __future__ import annotations

from .. import _cpu

INSTRUCTION_SETS: tuple[str, ...] = tuple(_cpu.instruction_sets())
"""What this processor runs, the fastest first."""

FLOAT32_SETS = tuple(name for name in INSTRUCTION_SETS if name not in ("amx", "avx512_bf16"))
"""Without those that differ from the next in nothing but products of bfloat16."""


def fastest(bfloat16: bool) -> str:
    """The instruction set for float32 or bfloat16 on this processor."""
    return (INSTRUCTION_SETS if bfloat16 else FLOAT32_SETS)[0]
