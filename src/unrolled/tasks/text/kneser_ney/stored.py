"""A model as a file: NumPy's ``.npz``, not compressed, of lists of unsigned numbers.

``vocabulary_size`` is one number. For each order k from 1, of all its n-grams in order:
``tokens_k``, the last token; ``counts_k``; and, but for the highest, ``children_k``, how many
n-grams of the next order begin with each. Each list has the smallest type that holds it. Discounts
and weights follow from the counts, so that every file that is in order is a distribution.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from unrolled.errors import UserError, reason
from unrolled.files import check_regular, replacing

from . import MOST_ORDER
from .counts import TOKEN_BITS, gram_keys
from .model import KneserNey, Level

_LONGEST = 200
"""Characters of an error's text at most."""

Unsigned = npt.NDArray[np.unsignedinteger[Any]]


def write(path: Path, model: KneserNey) -> None:
    """Write a model to a file.

    Raises:
        OSError: The file cannot be written, or the disk is full.
    """
    arrays: dict[str, npt.NDArray[Any]] = {"vocabulary_size": np.array([model.vocabulary_size])}
    levels = model.levels
    for order, level in enumerate(levels, start=1):
        arrays[f"tokens_{order}"] = level.keys & np.uint64((1 << TOKEN_BITS) - 1)
        arrays[f"counts_{order}"] = level.counts
        if order < len(levels):
            begins = (levels[order].keys >> np.uint64(TOKEN_BITS)).astype(np.int64)
            arrays[f"children_{order}"] = np.bincount(begins, minlength=len(level.keys))
    with replacing(path) as file:
        small: dict[str, Any] = {name: _smallest(array) for name, array in arrays.items()}
        np.savez(file, **small)


def read(path: Path) -> KneserNey:
    """The model of a file.

    Raises:
        UserError: The file is missing, or is not what `write` wrote.
    """
    check_regular(path)
    try:
        with zipfile.ZipFile(path) as archive:
            return _model(archive)
    except OSError as error:
        raise UserError(f"{path}: {reason(error)}") from error
    except Exception as error:  # the parsers of zip files and of numpy's headers raise anything
        words = " ".join(str(error).split())[:_LONGEST]  # some repeat the content
        raise UserError(f"{path}: corrupt or truncated: {words}") from error


def _model(archive: zipfile.ZipFile) -> KneserNey:
    """The model of a file's arrays.

    Raises:
        ValueError: They do not go together.
    """
    names = set(archive.namelist())
    order = sum(name.startswith("tokens_") for name in names)
    if not 1 <= order <= MOST_ORDER or names != {f"{name}.npy" for name in _names(order)}:
        raise ValueError(f"expected the arrays of a model of order 1 to {MOST_ORDER}")
    size = _array(archive, "vocabulary_size")
    if len(size) != 1 or not 1 <= int(size[0]) <= 1 << TOKEN_BITS:
        raise ValueError("vocabulary_size: expected one number from 1 to 2^32")
    levels: list[Level] = []
    children: Unsigned = np.zeros(0, np.uint32)
    for number in range(1, order + 1):
        tokens, counts = _array(archive, f"tokens_{number}"), _array(archive, f"counts_{number}")
        if not 1 <= len(tokens) == len(counts):
            raise ValueError(f"counts_{number}: expected {len(tokens)} numbers, got {len(counts)}")
        if int(tokens.max()) >= int(size[0]):
            raise ValueError(f"tokens_{number}: expected tokens below {size[0]}")
        if not 1 <= int(counts.min()) <= int(counts.max()) < 1 << 32:
            raise ValueError(f"counts_{number}: expected numbers from 1 to 2^32 - 1")
        if number == 1:
            contexts = np.zeros(len(tokens), np.int64)
        elif int(children.max()) > len(tokens) or int(children.sum(dtype=np.uint64)) != len(tokens):
            raise ValueError(f"children_{number - 1}: expected {len(tokens)} in sum")
        else:
            contexts = np.repeat(np.arange(len(children)), children.astype(np.int64))
        keys = gram_keys(contexts, tokens)
        if bool((keys[1:] <= keys[:-1]).any()):
            raise ValueError(f"tokens_{number}: n-grams are not in order")
        levels.append(Level(keys, counts.astype(np.uint32)))
        if number < order:
            children = _array(archive, f"children_{number}")
            if len(children) != len(tokens):
                raise ValueError(f"children_{number}: expected {len(tokens)} numbers")
    return KneserNey(levels, int(size[0]))


def _names(order: int) -> Iterator[str]:
    yield "vocabulary_size"
    for number in range(1, order + 1):
        yield f"tokens_{number}"
        yield f"counts_{number}"
        if number < order:
            yield f"children_{number}"


def _array(archive: zipfile.ZipFile, name: str) -> Unsigned:
    """An array of the file; as it is not compressed, it is never larger than the file.

    Raises:
        ValueError: It is compressed, or no list of unsigned numbers.
    """
    member = archive.getinfo(f"{name}.npy")
    if member.compress_type != zipfile.ZIP_STORED:
        raise ValueError(f"{name}: expected an array that is not compressed")
    with archive.open(member) as file:
        if np.lib.format.read_magic(file) != (1, 0):
            raise ValueError(f"{name}: expected version 1.0 of the .npy format")
        shape, _, dtype = np.lib.format.read_array_header_1_0(file)
        if dtype.kind != "u" or len(shape) != 1:
            raise ValueError(f"{name}: expected a list of unsigned numbers")
        data = file.read()  # to its end, where its checksum is compared
    if len(data) != shape[0] * dtype.itemsize:
        raise ValueError(f"{name}: expected {shape[0]} numbers")
    return np.frombuffer(data, dtype)


def _smallest(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return array.astype(np.min_scalar_type(int(array.max())))
