"""Bounds of memory are read as people write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unrolled.lens.memory import format_memory, parse_memory


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("2GB", 2_000_000_000),
        ("1.5 gb", 1_500_000_000),
        ("500 MiB", 500 * 2**20),
        (".5kB", 500),
        ("7", 7),
        ("12b", 12),
        (4096, 4096),
        (1e6, 1_000_000),
    ],
)
def test_a_size_is_read(text: str | float, count: int) -> None:
    assert parse_memory(text, "jacobians") == count


@pytest.mark.parametrize("text", ["", "much", "GB", "-2GB", "2 GBs", "0", "1ib", "nan", 0, -1])
def test_what_is_no_size_is_refused_in_one_line(text: str | float) -> None:
    with pytest.raises(ValueError, match=r"^jacobians: memory must be a size such as .*, got "):
        parse_memory(text, "jacobians")


@pytest.mark.parametrize("value", [None, True, [1]])
def test_what_is_neither_number_nor_text_is_refused(value: object) -> None:
    with pytest.raises(TypeError, match=r"^influence: memory must be .* bytes, got "):
        parse_memory(value, "influence")  # type: ignore[arg-type]


def test_sizes_are_written_in_words() -> None:
    assert format_memory(2_000_000_000) == "2 GB"
    assert format_memory(1_640_000) == "1.64 MB"
    assert format_memory(999) == "999 B"
    assert format_memory(999_900) == "1 MB"
    assert format_memory(3e15) == "3000 TB"


@given(st.integers(1, 10**14))
def test_what_is_written_can_be_read(count: int) -> None:
    assert parse_memory(format_memory(count), "lens") == pytest.approx(count, rel=6e-3)
