from pathlib import Path

import pytest

from unrolled.errors import UserError
from unrolled.tasks.text.tokens.characters import Characters
from unrolled.tasks.text.tokens.vocabulary import UNKNOWN

HANGUL = "나는 학교에 간다.\n한글, 漢字, ünï, 🙂🙂\n"


def test_it_comes_back_as_it_was_saved(tmp_path: Path) -> None:
    vocabulary = Characters("".join(sorted(set(HANGUL))))
    path = tmp_path / "vocabulary.json"
    vocabulary.save(path)
    again = Characters.load(path)
    assert again.characters == vocabulary.characters
    assert again.encode("나Z").tolist() == [vocabulary.encode("나")[0], UNKNOWN]
    assert again.unknown_in("ZxZ나") == "Zx"
    assert again.decode(UNKNOWN) == "\ufffd"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"\xff",
        b'{"format": 2, "characters": "ab"}',
        b'{"format": 1, "characters": "ba"}',
        b'{"format": 1, "characters": "aa"}',
        b'{"format": 1, "characters": ""}',
        b'{"format": 1, "characters": "\\ud800"}',
        b'{"format": 1, "characters": 3}',
    ],
)
def test_corrupt_vocabulary(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "vocabulary.json"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"vocabulary\.json: (corrupt|not a vocabulary)"):
        Characters.load(path)
