"""Sequences of different lengths, on disk and in batches.

On disk they stand one after another in one array, ``NAME.npy``, with the places where they begin
and end in another, ``NAME.offsets.npy``. Both are ordinary files of numpy without objects. The
writer keeps only the offsets in memory; the reader maps the array and reads what is asked for.
"""

from __future__ import annotations

import contextlib
from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from unrolled.errors import UserError, reason
from unrolled.files import check_regular

Numbers = npt.NDArray[Any]
Offsets = npt.NDArray[np.int64]

_HEADER = 128
"""Bytes of the header: fixed, so that the final one takes the place of the first."""

_BUFFER = 1 << 20
"""Bytes gathered before they are written."""


class RaggedWriter:
    """Writes sequences one by one; a context manager, after which the files are whole.

    Args:
        path: The file without its ending: ``cache/tokens`` makes ``cache/tokens.npy`` and
            ``cache/tokens.offsets.npy``.
        dtype: Type of the numbers.
        channels: C of sequences ``[T, C]``; None for sequences ``[T]``.
    """

    def __init__(self, path: Path, dtype: npt.DTypeLike, channels: int | None = None) -> None:
        self.dtype = np.dtype(dtype)
        self.channels = channels
        self._array, self._offsets_file = _paths(path)
        self._offsets = array("q", [0])
        self._file = self._array.open("wb", buffering=_BUFFER)
        self._write(self._header())

    def __len__(self) -> int:
        """Number of sequences written so far."""
        return len(self._offsets) - 1

    def append(self, sequence: npt.ArrayLike) -> None:
        """Write one more sequence, ``[T]`` or ``[T, C]``; T may be 0.

        Raises:
            ValueError: It has another shape, or numbers that the type does not hold.
            OSError: The file cannot be written, or the disk is full.
        """
        given = np.asarray(sequence)
        expected = "[T]" if self.channels is None else f"[T, {self.channels}]"
        shape = given.shape[1:]
        if given.ndim == 0 or shape != (() if self.channels is None else (self.channels,)):
            raise ValueError(f"expected a sequence of shape {expected}, got {list(given.shape)}")
        if given.size and not np.can_cast(given.dtype, self.dtype, "same_kind"):
            raise ValueError(f"expected numbers of {self.dtype}, got {given.dtype}")
        self._write(np.ascontiguousarray(given, self.dtype).tobytes())
        self._offsets.append(self._offsets[-1] + len(given))

    def close(self) -> None:
        """Complete both files.

        Raises:
            OSError: They cannot be written, or the disk is full.
        """
        if self._file.closed:
            return
        try:
            self._file.seek(0)
            self._write(self._header())
            self._file.close()
            with self._offsets_file.open("wb") as file:
                np.lib.format.write_array_header_1_0(
                    file,
                    {"descr": "<i8", "fortran_order": False, "shape": (len(self._offsets),)},
                )
                file.write(np.asarray(self._offsets, "<i8").tobytes())
        except OSError as error:
            error.filename = error.filename or str(self._array)
            self._abandon()
            raise

    def _abandon(self) -> None:
        """Close the file, whatever becomes of it."""
        with contextlib.suppress(OSError):  # a full disk refuses the rest, too; the first tells
            self._file.close()

    def __enter__(self) -> RaggedWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if kind is None:
            self.close()
        else:
            self._abandon()

    def _write(self, data: bytes) -> None:
        # Not a memory map: writing to one on a full disk kills the process.
        try:
            self._file.write(data)
        except OSError as error:
            error.filename = error.filename or str(self._array)
            raise

    def _header(self) -> bytes:
        """Header of the .npy format, version 1.0, filled up with blanks to its fixed size."""
        steps = self._offsets[-1]
        shape = (steps,) if self.channels is None else (steps, self.channels)
        words = f"{{'descr': {self.dtype.str!r}, 'fortran_order': False, 'shape': {shape}, }}"
        text = words.encode("ascii").ljust(_HEADER - 11) + b"\n"
        return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text


class Ragged(Sequence[Numbers]):
    """Sequences written by `RaggedWriter`, read-only; ``ragged[i]`` is ``[T]`` or ``[T, C]``.

    Attributes:
        flat: All sequences one after another, ``[sum of T]`` or ``[sum of T, C]``, mapped.
        offsets: Sequence i is ``flat[offsets[i] : offsets[i + 1]]``.
        lengths: T of each.
    """

    def __init__(self, flat: Numbers, offsets: Offsets) -> None:
        self.flat, self.offsets = flat, offsets
        self.lengths: Offsets = np.diff(offsets)

    @classmethod
    def open(cls, path: Path) -> Ragged:
        """Open the files of a writer that was given this path.

        Raises:
            UserError: One is missing, or they are not what the writer wrote.
        """
        first, second = _paths(path)
        flat, offsets = load_array(first), load_array(second, mapped=False)
        if flat.ndim not in (1, 2) or flat.dtype.kind not in "biuf":
            raise UserError(f"{first}: corrupt: expected numbers in one or two dimensions")
        if offsets.ndim != 1 or offsets.dtype != np.int64 or not len(offsets):
            raise UserError(f"{second}: corrupt: expected one dimension of int64")
        if offsets[0] != 0 or offsets[-1] != len(flat) or bool((offsets[1:] < offsets[:-1]).any()):
            raise UserError(f"{second}: corrupt: the offsets do not fit {first.name}")
        return cls(flat, offsets)

    @property
    def channels(self) -> int | None:
        """C of sequences ``[T, C]``; None for sequences ``[T]``."""
        return None if self.flat.ndim == 1 else int(self.flat.shape[1])

    def __len__(self) -> int:
        """Number of sequences."""
        return len(self.lengths)

    def __getitem__(self, index: Any) -> Any:
        place = int(index)
        if not -len(self) <= place < len(self):
            raise IndexError(f"sequence {place} of {len(self)}")
        place %= len(self)
        return self.flat[self.offsets[place] : self.offsets[place + 1]]

    def __iter__(self) -> Iterator[Numbers]:
        return (self[place] for place in range(len(self)))


def pad(sequences: Sequence[Numbers]) -> tuple[Tensor, Tensor]:
    """A batch of sequences of different lengths, time first, filled up with zeros.

    Args:
        sequences: N arrays ``[T]`` or ``[T, C]`` of one kind.

    Returns:
        The batch ``[longest T, N]`` or ``[longest T, N, C]``, int64 of whole numbers and float32 of
        others; and the lengths, int64 ``[N]``. Both on the CPU.

    Raises:
        ValueError: There is no sequence, or their shapes do not go together.
    """
    if not sequences:
        raise ValueError("expected one sequence or more, got none")
    rest = sequences[0].shape[1:]
    if any(one.ndim == 0 or one.shape[1:] != rest for one in sequences):
        raise ValueError("expected sequences of the same number of channels")
    lengths = [len(one) for one in sequences]
    whole = all(one.dtype.kind in "biu" for one in sequences)
    batch = np.zeros((max(lengths), len(sequences), *rest), np.int64 if whole else np.float32)
    for column, one in enumerate(sequences):
        batch[: len(one), column] = one
    return torch.from_numpy(batch), torch.tensor(lengths, dtype=torch.int64, device="cpu")


def _paths(path: Path) -> tuple[Path, Path]:
    return path.with_name(f"{path.name}.npy"), path.with_name(f"{path.name}.offsets.npy")


def load_array(path: Path, *, mapped: bool = True) -> Numbers:
    """An array of numpy in the .npy format, of plain numbers.

    Args:
        path: The file.
        mapped: Whether it is mapped read-only instead of read.

    Raises:
        UserError: It is missing, corrupt or truncated.
    """
    check_regular(path)
    try:
        with path.open("rb") as file:
            if np.lib.format.read_magic(file) != (1, 0):
                raise ValueError("expected version 1.0 of the .npy format")
            shape, fortran, dtype = np.lib.format.read_array_header_1_0(file)
            start = file.tell()
        if dtype.hasobject or dtype.fields or fortran:
            raise ValueError("expected plain numbers in C order")
        steps = int(np.prod(shape, dtype=object)) * dtype.itemsize
        if path.stat().st_size != start + steps:
            raise ValueError(f"expected {start + steps:,} bytes, got {path.stat().st_size:,}")
        if mapped and steps:
            # As a plain array: each slice of a memmap makes a memmap, which is slow.
            return np.asarray(np.memmap(path, dtype, "r", start, shape))
        return np.load(path, allow_pickle=False)  # type: ignore[no-any-return]
    except OSError as error:
        raise UserError(f"{path}: {reason(error)}") from error
    except Exception as error:  # numpy's parser of headers raises anything
        raise UserError(f"{path}: corrupt or truncated: {error}") from error
