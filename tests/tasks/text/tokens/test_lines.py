"""Texts in whole lines: the same lines wherever the blocks end."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unrolled.tasks.text.tokens import lines
from unrolled.tasks.text.tokens.lines import lines_of, whole_lines


@given(st.lists(st.text(alphabet="ab\n\u2028\x85\r", max_size=9), max_size=8))
def test_lines_are_the_same_in_any_blocks(blocks: list[str]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lines, "LONGEST", 4)
        patch.setattr(lines, "_LINE", lines.line_pattern(4))
        text = "".join(blocks)
        found = [line for block in whole_lines(blocks) for line in lines_of(block)]
        assert found == lines_of(text)
        assert "".join(found) == text
        assert all(0 < len(line) <= 4 and "\n" not in line[:-1] for line in found)


def test_a_text_without_lines_comes_in_blocks() -> None:
    found = list(whole_lines(["x" * 50_000] * 9))
    assert "".join(found) == "x" * 450_000
    assert max(map(len, found)) < 3 * lines.LONGEST
