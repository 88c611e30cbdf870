"""Random texts for tests of vocabularies."""

from typing import Any

from hypothesis import strategies as st

from unrolled.tasks.text.tokens.lines import whole_lines

_WORDS = "the; cell;';’s;한국어; 나는;\u1112\u1161\u11ab;e\u0301;नमस्ते;12,5;_;Ω;漢字;\u212b;ﬁ"
_BLANKS = "\n; \n;  ; ;\t;\x85;\u2028;\ufeff;\xa0;\ufffd;\x01"
_OTHERS = "🙂;👩\u200d👩\u200d👧;🇰🇷;<unknown>;<|endoftext|>"
_PIECES = st.sampled_from(";".join([_WORDS, _BLANKS, _OTHERS]).split(";"))

TEXTS = st.one_of(
    st.lists(_PIECES, max_size=20).map("".join),
    st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=40),
)
"""Texts as the reading gives them; it knows no carriage returns, but a prompt may."""


def in_blocks(text: str, draw: Any) -> list[str]:
    """A text in whole lines, read in blocks of random length."""
    blocks = []
    while text:
        size = draw.randint(1, 9)
        blocks.append(text[:size])
        text = text[size:]
    return list(whole_lines(blocks))
