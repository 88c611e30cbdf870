"""A model file of CRFsuite from anywhere: it works, or is refused, and never ends the process."""

from __future__ import annotations

import random
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from unrolled.tasks.tag.crfsuite_file import DamagedError, check_model

pycrfsuite: Any = pytest.importorskip("pycrfsuite")

TAGS = ("O", "B-LOC", "I-LOC", "B-한국")


def model(path: Path, *, words: int = 12, sentences: int = 30, **settings: object) -> bytes:
    """A model file that the library has written."""
    draw = random.Random(0)
    trainer = pycrfsuite.Trainer(algorithm="lbfgs", verbose=False)
    for _ in range(sentences):
        given = [draw.randrange(words) for _ in range(5)]
        trainer.append([[f"w{one}", f"é{one % 3}", "b"] for one in given],
                       [TAGS[one % len(TAGS)] for one in given])  # fmt: skip
    trainer.set_params({"max_iterations": 10, "feature.possible_transitions": True, **settings})
    trainer.train(str(path))
    return path.read_bytes()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return model(tmp_path_factory.mktemp("model") / "model")


@pytest.mark.parametrize(
    "settings",
    [
        {"c1": 0.0, "c2": 0.1},
        {"c1": 0.1, "c2": 0.01, "words": 900, "sentences": 300},
        {"c1": 1.0, "sentences": 5},
        {"c1": 100.0},  # leaves no weight and no attribute
        {"feature.minfreq": 2, "feature.possible_states": True},
    ],
    ids=["all", "many", "few", "none", "rare"],
)
def test_files_that_the_library_has_written_are_taken(
    tmp_path: Path, settings: dict[str, Any]
) -> None:
    check_model(model(tmp_path / "model", **settings), TAGS)


DAMAGE = """
import random, sys
from pathlib import Path
import pycrfsuite
from unrolled.tasks.tag.crfsuite_file import DamagedError, check_model

whole, tags = Path(sys.argv[1]).read_bytes(), sys.argv[2:]
draw = random.Random(0)
sentence = [[f"w{n}", f"é{n}", "b", f"new{n}"] for n in range(40)]
counts = {"refused": 0, "taken": 0}


def meet(content):
    try:
        check_model(content, tags)
    except DamagedError:
        counts["refused"] += 1
        return
    tagger = pycrfsuite.Tagger()
    tagger.open_inmemory(content)
    found = tagger.tag(sentence)
    assert len(found) == len(sentence) and set(found) <= set(tags), found
    counts["taken"] += 1


meet(whole)
assert counts == {"refused": 0, "taken": 1}
for place in range(0, len(whole), 4):  # a number in each word of the file, aligned or not
    place += draw.randrange(4)
    near = int.from_bytes(whole[place : place + 4], "little") + draw.choice((-1, 1, 4, 20))
    far = draw.choice((0, 1, 255, len(whole) - 1, len(whole), 2**31 - 1, 2**31, 2**32 - 1))
    for number in (near, far):
        number = (number % 2**32).to_bytes(4, "little")
        meet((whole[:place] + number + whole[place + 4 :])[: len(whole)])
for _ in range(500):
    content = bytearray(whole)
    start, size = draw.randrange(len(whole)), draw.choice((1, 8, 100))
    kind = draw.randrange(4)
    if kind == 0:
        content[start : start + size] = draw.randbytes(len(content[start : start + size]))
    elif kind == 1:  # a piece of the file somewhere else
        piece = whole[draw.randrange(len(whole)) :][:size]
        content[start : start + len(piece)] = piece
    elif kind == 2:
        del content[start : start + size]
        content[4:8] = len(content).to_bytes(4, "little")
    else:
        del content[start:]
    meet(bytes(content))
print(counts["refused"], counts["taken"])
"""


def test_damage_never_ends_the_process(tmp_path: Path, whole: bytes) -> None:
    path = tmp_path / "model"
    path.write_bytes(whole)
    done = subprocess.run(
        [sys.executable, "-c", DAMAGE, str(path), *TAGS], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    refused, taken = map(int, done.stdout.split())
    assert refused > 1000
    assert taken > 100  # weights, hashes, attributes: another model, but a model


def replaced(content: bytes, place: int, form: str, value: float) -> bytes:
    new = struct.pack(form, value)
    return content[:place] + new + content[place + len(new) :]


@pytest.mark.parametrize("weight", [np.nan, np.inf, -np.inf, 1e200])
def test_a_weight_that_leaves_no_best_label(whole: bytes, weight: float) -> None:
    """The library's search would go on from label -1."""
    with pytest.raises(DamagedError, match="a weight is not from -1e\\+30 to 1e\\+30"):
        check_model(replaced(whole, 48 + 12 + 12, "<d", weight), TAGS)


def test_a_table_without_an_empty_bucket(whole: bytes) -> None:
    """The library would look for an unknown text for ever."""
    start = struct.unpack_from("<I", whole, 36)[0]
    tables = np.frombuffer(whole, "<u4", 512, start + 24).reshape(256, 2)
    (table, buckets) = next(one.tolist() for one in tables if one[1])
    used = np.frombuffer(whole, "<u4", 2 * buckets, start + table)[1::2].max()
    content = whole
    for bucket in range(buckets):
        content = replaced(content, start + table + 8 * bucket + 4, "<I", int(used))
    with pytest.raises(DamagedError, match="no empty bucket"):
        check_model(content, TAGS)


def test_labels_are_tags_of_the_run(whole: bytes) -> None:
    with pytest.raises(DamagedError, match="its label 'B-한국' is no tag of the run"):
        check_model(whole, TAGS[:-1])


def test_a_file_without_its_end(whole: bytes) -> None:
    with pytest.raises(DamagedError, match=r"expected [\d,]+ bytes, got 1,000"):
        check_model(whole[:1000], TAGS)
