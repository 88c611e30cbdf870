"""Files that hold nothing but series: .ts, .npz, MNIST's IDX."""

from __future__ import annotations

import gzip
import random
import re
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, cast

import numpy as np
import numpy.typing as npt

from unrolled.errors import UserError, reason
from unrolled.files import check_regular, open_regular
from unrolled.tasks.tables import Broken, read_lines, refuse

from .items import Item, Values, label_of, numbers

Numbers = npt.NDArray[Any]

LARGEST_SMALL = 1 << 30
"""Bytes of labels and lengths, which are read whole."""

LARGEST_ITEM = 1 << 28
"""Bytes of one item of a binary file."""

_POINT = re.compile(r"\(\s*([^,()]+?)\s*,\s*([^,()]+?)\s*\)")
"""A value with its time, ``(0.5,1.25)``."""


def read_ts(path: Path, encoding: str, broken: Broken | None = None) -> Iterator[Item]:
    """Series of the UEA and UCR archives: channels between colons, the class behind the last.

    Raises:
        UserError: The file is not in this format, or a case of it is broken.
    """
    header: dict[str, str] = {}
    lines = read_lines(path, encoding)
    for number, text in lines:
        line = text.strip()
        if not line or line.startswith(("#", "%")):
            continue
        if not line.startswith("@"):
            raise UserError(f"{path}:{number}: expected @data before the first case")
        key, _, value = line[1:].partition(" ")
        if key.lower() == "data":
            break
        header[key.lower()] = value.strip()
    else:
        raise UserError(f"{path}: not a .ts file: it has no line @data")
    if header.get("targetlabel", "false").split(" ")[0].lower() == "true":
        raise UserError(f"{path}: its targets are numbers; expected classes (@classLabel true)")
    labelled = header.get("classlabel", "true").split(" ")[0].lower() == "true"
    timed = header.get("timestamps", "false").lower() == "true"
    channels = _channels(header, path)
    for number, text in lines:
        if not text.strip() or text.startswith("#"):
            continue
        try:
            item = _case(text.strip(), f"{path}:{number}", labelled, timed, channels)
        except UserError as error:
            refuse(str(error), broken)
            continue
        channels = channels or len(item.series[0])  # type: ignore[index]
        yield item


def _channels(header: dict[str, str], path: Path) -> int | None:
    if header.get("univariate", "").lower() == "true":
        return 1
    given = header.get("dimensions", header.get("dimension", ""))
    if not given:
        return None
    if not given.isdecimal() or not 1 <= int(given[:9]) <= 1_000_000:
        raise UserError(f"{path}: @dimensions: expected a number from 1, got {given}")
    return int(given)


def _case(line: str, place: str, labelled: bool, timed: bool, channels: int | None) -> Item:
    parts = line.split(":")
    labels: tuple[str, ...] = ()
    if labelled:
        if len(parts) < 2:
            raise UserError(f"{place}: expected channels and a class between colons")
        labels = (label_of(parts.pop(), place),)
    if channels and len(parts) != channels:
        raise UserError(f"{place}: expected {channels} channels, got {len(parts)}")
    columns: list[Values] = []
    for at, part in enumerate(parts, 1):
        where = f"{place}: channel {at}"
        cells = [value for _, value in _POINT.findall(part)] if timed else part.split(",")
        if timed and _POINT.sub("", part).replace(",", "").strip():
            raise UserError(f"{where}: expected pairs of time and value: (0,1.5),(1,2.5)")
        if not part.strip() or not cells:
            raise UserError(f"{where}: empty")
        columns.append(numbers(["nan" if c.strip() == "?" else c for c in cells], where))
        if len(columns[-1]) != len(columns[0]):
            raise UserError(
                f"{where}: expected {len(columns[0])} values as channel 1 has, "
                f"got {len(columns[-1])}"
            )
    return Item(None, np.stack(columns, 1).astype(np.float32), labels, place)


def read_npz(path: Path, broken: Broken | None = None) -> Iterator[Item]:
    """Series of numpy: ``X``, and ``y`` where there are labels.

    ``X`` is ``[N, T]`` or ``[N, T, C]``, with ``lengths`` ``[N]`` where series end earlier; or all
    series one after another, ``[sum of lengths]`` or ``[sum of lengths, C]``.

    Raises:
        UserError: The file is not in this format, or holds Python objects.
    """
    check_regular(path)
    try:
        with zipfile.ZipFile(path) as archive:
            yield from _npz_items(archive, path, broken)
    except OSError as error:
        raise UserError(f"{path}: {reason(error)}") from error
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise UserError(f"{path}: not a valid .npz file: {error}") from error


def _npz_items(archive: zipfile.ZipFile, path: Path, broken: Broken | None) -> Iterator[Item]:
    names = {name.removesuffix(".npy").lower(): name for name in archive.namelist()}
    if "x" not in names:
        raise UserError(f"{path}: expected an array X, found {', '.join(sorted(names)) or 'none'}")
    with archive.open(names["x"]) as file:
        shape, kind = _npy_header(file, f"{path}: X")
        if kind.kind not in "biuf":
            raise UserError(f"{path}: X: expected numbers, got {kind}")
        lengths = _small(archive, names.get("lengths"), f"{path}: lengths", "iu")
        labels = _small(archive, names.get("y"), f"{path}: y", "iuUb")
        flat = lengths is not None and len(lengths) != shape[0]
        if flat:
            assert lengths is not None
            if int(lengths.sum()) != shape[0] or len(shape) > 2:
                raise UserError(
                    f"{path}: lengths: expected one for each of the {shape[0]} series of X, or "
                    f"{shape[0]} in sum, got {len(lengths)} with sum {int(lengths.sum())}"
                )
        elif len(shape) not in (2, 3):
            raise UserError(f"{path}: X: expected shape [N, T] or [N, T, C], got {list(shape)}")
        count = len(lengths) if flat and lengths is not None else shape[0]
        if labels is not None and len(labels) != count:
            raise UserError(f"{path}: y: expected {count} labels, got {len(labels)}")
        steps = 1 if flat else shape[1]
        channels = (shape[1:] or (1,))[0] if flat else (shape[2:] or (1,))[0]
        if lengths is not None and (
            lengths.min(initial=0) < 0 or (not flat and lengths.max(initial=0) > steps)
        ):
            raise UserError(f"{path}: lengths: expected numbers from 0 to {steps}")
        for number in range(count):
            place = f"{path}: series {number + 1}"
            rows = int(lengths[number]) if flat and lengths is not None else steps
            values = _array(file, (rows, channels), kind, place)
            if not flat and lengths is not None:
                values = values[: int(lengths[number])]
            try:
                if not len(values):
                    raise UserError(f"{place}: empty")
                checked = _finite(values, place)
                label = () if labels is None else (label_of(labels[number].item(), place),)
            except UserError as error:
                refuse(str(error), broken)
                continue
            yield Item(None, checked, label, place)


def _small(archive: zipfile.ZipFile, name: str | None, where: str, kinds: str) -> Numbers | None:
    """A one-dimensional array, read whole."""
    if name is None:
        return None
    with archive.open(name) as file:
        shape, kind = _npy_header(file, where)
        if len(shape) != 1 or kind.kind not in kinds:
            raise UserError(
                f"{where}: expected one dimension of whole numbers"
                f"{' or text' if 'U' in kinds else ''}, got {list(shape)} of {kind}"
            )
        if shape[0] * kind.itemsize > LARGEST_SMALL:
            raise UserError(f"{where}: expected at most {LARGEST_SMALL:,} bytes")
        return _array(file, shape, kind, where)


def _npy_header(file: Any, where: str) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Shape and type of an array in .npy format, without objects and in C order."""
    try:
        version = np.lib.format.read_magic(file)
        reader = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }[version]
        shape, fortran, kind = reader(file)
    except Exception as error:  # numpy's parser of headers raises anything
        raise UserError(f"{where}: not an array of numpy: {error}") from error
    if kind.hasobject or kind.fields:
        raise UserError(f"{where}: expected numbers or text, got Python objects or records")
    if fortran and len(shape) > 1:
        raise UserError(f"{where}: expected C order; numpy.ascontiguousarray makes it")
    return tuple(shape), kind


def _array(file: Any, shape: tuple[int, ...], kind: np.dtype[Any], where: str) -> Numbers:
    size = int(np.prod(shape, dtype=object)) * kind.itemsize
    if size > max(LARGEST_ITEM, LARGEST_SMALL):
        raise UserError(f"{where}: expected at most {LARGEST_ITEM:,} bytes, got {size:,}")
    data = file.read(size)
    if len(data) != size:
        raise UserError(f"{where}: truncated")
    return np.frombuffer(data, kind).reshape(shape)


def read_npy(path: Path) -> Values:
    """One series ``[T]`` or ``[T, C]`` as ``[T, C]``.

    Raises:
        UserError: The file is not in this format, or the series is empty or not finite.
    """
    with open_regular(path, LARGEST_ITEM) as file:
        shape, kind = _npy_header(file, str(path))
        if len(shape) not in (1, 2) or kind.kind not in "biuf" or not shape[0]:
            raise UserError(f"{path}: expected numbers [T] or [T, C], got {list(shape)} of {kind}")
        values = _array(file, shape, kind, str(path))
    return _finite(values.reshape(shape[0], -1), str(path))


def _finite(values: Numbers, place: str) -> Values:
    with np.errstate(over="ignore"):
        floats: npt.NDArray[np.float32] = values.astype(np.float32)
    if not np.isfinite(floats).all():
        step, channel = np.argwhere(~np.isfinite(floats))[0]
        raise UserError(
            f"{place}: step {step + 1}, channel {channel + 1}: expected a finite number, "
            f"got {values[step, channel]}"
        )
    return floats


class _Header(NamedTuple):
    items: int
    rows: int
    columns: int


def is_idx(path: Path) -> bool:
    """Whether a file's name is one of IDX: ``train-images-idx3-ubyte.gz``."""
    return re.search(r"[-.]idx[13]-ubyte(\.gz)?$", path.name) is not None


def read_idx(path: Path, steps: str, permute: int | None, *, labels: bool = True) -> Iterator[Item]:
    """Images of IDX as series of pixels ``[784, 1]`` or of rows ``[28, 28]``.

    Args:
        path: File of images, perhaps compressed by gzip.
        steps: ``pixels`` or ``rows``.
        permute: Seed of a fixed order of the pixels.
        labels: Whether the file of labels must stand beside it; it is read where it does.

    Raises:
        UserError: The file is not in this format, or its labels do not fit.
    """
    if "idx1" in path.name:
        raise UserError(f"{path}: these are labels; give the file of images (…-images-idx3-ubyte)")
    beside = _labels_beside(path)
    if beside is None and labels:
        name = path.name.replace("images", "labels").replace("idx3", "idx1")
        raise UserError(f"{path}: expected its labels beside it, in {name}")
    try:
        with _open(path) as images:
            head = _idx_header(images, path, 3)
            pixels = head.rows * head.columns
            if not 0 < pixels <= LARGEST_ITEM:
                raise UserError(f"{path}: expected images, got {head.rows} × {head.columns} pixels")
            names = None if beside is None else _idx_labels(beside, head.items)
            order = None if permute is None else permutation(pixels, permute)
            shape = (pixels, 1) if steps == "pixels" else (head.rows, head.columns)
            for number in range(head.items):
                data = images.read(pixels)
                if len(data) != pixels:
                    raise UserError(f"{path}: truncated: it ends in image {number + 1}")
                values = np.frombuffer(data, np.uint8)
                if order is not None:
                    values = values[order]
                label = () if names is None else (str(names[number]),)
                yield Item(None, values.reshape(shape), label, f"{path}: image {number + 1}")
            if images.read(1):
                raise UserError(f"{path}: expected {head.items} images, got more")
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise UserError(f"{path}: truncated or corrupt: {error}") from error
    except OSError as error:
        raise UserError(f"{path}: {reason(error)}") from error


def permutation(size: int, seed: int) -> npt.NDArray[np.int64]:
    """A fixed random order, the same with every version of Python and numpy."""
    # Python promises the numbers of random() for a seed, and of nothing that is made from them.
    draw = random.Random(f"permutation {seed}")
    keys = [draw.random() for _ in range(size)]
    return np.asarray(sorted(range(size), key=keys.__getitem__), np.int64)


def _labels_beside(path: Path) -> Path | None:
    name = path.name.replace("images", "labels").replace("idx3", "idx1")
    for one in (name, name.removesuffix(".gz"), f"{name}.gz"):
        if one != path.name and (place := path.with_name(one)).is_file():
            return place
    return None


@contextmanager
def _open(path: Path) -> Iterator[BinaryIO]:
    """A file that may be compressed."""
    with open_regular(path) as file:
        head = file.read(2)
        file.seek(0)
        if head != b"\x1f\x8b":
            yield file
            return
        with gzip.GzipFile(fileobj=file) as unpacked:
            yield cast("BinaryIO", unpacked)


def _idx_header(file: BinaryIO, path: Path, dimensions: int) -> _Header:
    data = file.read(4 * (1 + dimensions))
    if len(data) < 4 * (1 + dimensions) or data[:4] != bytes((0, 0, 8, dimensions)):
        raise UserError(f"{path}: not an IDX file of bytes in {dimensions} dimensions")
    sizes = np.frombuffer(data, ">u4")[1:].tolist()
    return _Header(*sizes, *[1] * (3 - dimensions))


def _idx_labels(path: Path, count: int) -> bytes:
    with _open(path) as file:
        head = _idx_header(file, path, 1)
        if head.items != count:
            raise UserError(f"{path}: expected {count} labels, got {head.items}")
        data = file.read(count)
        if len(data) != count:
            raise UserError(f"{path}: truncated: {count} labels expected, {len(data)} found")
        return data
