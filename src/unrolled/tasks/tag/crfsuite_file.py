"""Check of a CRFsuite model file, whose offsets and counts its library follows unchecked.

A run may come from anywhere, and CRFsuite's library reads wherever the file sends it: a damaged
file ends the process. So the file is taken only if it is laid out exactly as the library writes it.

All numbers are little-endian uint32 but the weights, which are float64. ``size`` counts from the
chunk's own beginning; offsets count from the beginning of the file, in a database from its own::

    header      "lCRF" size "FOMC" version 0 L A  off_features off_labels off_attributes
                off_label_references off_attribute_references
    features    "FEAT" size F, then F × (kind, source, label, weight)
    labels      database of L texts
    attributes  database of A texts
    references  "LFRF" size L + 2, then L offsets of lists (n, n × number of a feature) and two
                more that are 0; "AFRF" size A, then A offsets of lists
    database    "CQDB" size flag byte_order length offset_of_places, then 256 × (offset, buckets)
                of hash tables, then records (number, bytes of the text, text, zero byte), the
                tables of (hash, offset of a record or 0), and places: the record of each number
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.int64]

MOST_LABELS = 4096
"""Labels of a model; the library takes memory for a number for every two of them."""

LARGEST_WEIGHT = 1e30
"""Weights beyond, or not finite, could leave the library's search without a best label."""

_HEADER = 48
_TABLES = 256
_RECORDS = 24 + 8 * _TABLES
_BYTE_ORDER = 0x62445371
_FEATURE = np.dtype([("kind", "<u4"), ("source", "<u4"), ("label", "<u4"), ("weight", "<f8")])


class DamagedError(ValueError):
    """A file that is not laid out as CRFsuite writes it."""


def check_model(content: bytes, tags: Sequence[str]) -> None:
    """Refuse a model file that CRFsuite's library must not be given.

    Args:
        content: The whole file.
        tags: Tags that the model may predict.

    Raises:
        DamagedError: It is not laid out as the library writes it, or predicts another tag.
    """
    if len(content) < _HEADER or content[:4] != b"lCRF" or content[8:12] != b"FOMC":
        raise DamagedError("it does not begin as one")
    size = int(_words(content, 4, 1)[0])
    if size != len(content):
        raise DamagedError(f"expected {size:,} bytes, got {len(content):,}")
    labels, attributes = _words(content, 20, 2).tolist()
    if not 0 < labels <= MOST_LABELS:
        raise DamagedError(f"expected from 1 to {MOST_LABELS:,} labels, got {labels:,}")
    features_at, labels_at, attributes_at, by_label, by_attribute = _words(content, 28, 5).tolist()
    features = _check_features(content, features_at, labels, attributes)
    known = {tag.encode() for tag in tags}
    for text in _texts(content, labels_at, labels):
        if text not in known:
            raise DamagedError(f"its label {text.decode(errors='replace')!r} is no tag of the run")
    _check_database(content, attributes_at, attributes)
    for name, start, count, vacant in (
        (b"LFRF", by_label, labels, 2),
        (b"AFRF", by_attribute, attributes, 0),
    ):
        _check_references(content, name, start, count, vacant, labels=labels, features=features)


def _words(content: bytes, start: int, count: int) -> Numbers:
    """``count`` uint32 from ``start`` on, as int64, so that no sum of them overflows."""
    if not 0 <= start <= start + 4 * count <= len(content):
        raise DamagedError(f"{count:,} numbers from byte {start:,} on reach beyond its end")
    return np.frombuffer(content, "<u4", count, start).astype(np.int64)


def _chunk(content: bytes, name: bytes, start: int, header: int) -> int:
    """End of a chunk that begins with ``name`` and its size; it holds at least the header."""
    size = int(_words(content, start + 4, 1)[0])
    if content[start : start + 4] != name or not header <= size <= len(content) - start:
        raise DamagedError(f"expected a chunk {name.decode()} at byte {start:,}")
    return start + size


def _check_features(content: bytes, start: int, labels: int, attributes: int) -> int:
    """Check the weights, and return how many there are."""
    end = _chunk(content, b"FEAT", start, 12)
    count = int(_words(content, start + 8, 1)[0])
    if end != start + 12 + _FEATURE.itemsize * count:
        raise DamagedError(f"expected {count:,} features")
    found: Any = np.frombuffer(content, _FEATURE, count, start + 12)
    sources = np.where(found["kind"] == 0, attributes, labels)
    if (
        (found["kind"] > 1).any()
        or (found["source"] >= sources).any()
        or (found["label"] >= labels).any()
    ):
        raise DamagedError("a feature is of no attribute or label")
    if not (np.abs(found["weight"]) <= LARGEST_WEIGHT).all():  # nor is NaN
        raise DamagedError(f"a weight is not from -{LARGEST_WEIGHT:g} to {LARGEST_WEIGHT:g}")
    return count


def _check_references(
    content: bytes, name: bytes, start: int, count: int, vacant: int, *, labels: int, features: int
) -> None:
    """Lists of features, one for each label or attribute, one behind the other."""
    end = _chunk(content, name, start, 12)
    if _words(content, start + 8, 1)[0] != count + vacant:
        raise DamagedError(f"expected {count:,} lists in {name.decode()}")
    offsets = _words(content, start + 12, count)
    first = start + 12 + 4 * (count + vacant)
    if (end - first) % 4 or end < first:
        raise DamagedError(f"{name.decode()} ends within a list")
    body = _words(content, first, (end - first) // 4)
    places, rest = np.divmod(offsets - first, 4)
    if rest.any() or (places < 0).any() or (places >= len(body)).any():
        raise DamagedError(f"a list of {name.decode()} is somewhere else")
    lengths = body[places]
    if not np.array_equal(np.append(places, len(body)), np.append(0, np.cumsum(lengths + 1))):
        raise DamagedError(f"the lists of {name.decode()} are not one behind the other")
    # One feature for each label at most, or tagging would take more time than the file has bytes.
    if (lengths > labels).any():
        raise DamagedError(f"a list of {name.decode()} is longer than there are labels")
    if (np.delete(body, places) >= features).any():
        raise DamagedError(f"a list of {name.decode()} names a feature that is not there")


def _texts(content: bytes, start: int, count: int) -> list[bytes]:
    """Texts of a database as the library reads them: up to their first zero byte."""
    places = _check_database(content, start, count) + start + 8
    return [content[place : content.index(b"\0", place)] for place in places.tolist()]


def _check_database(content: bytes, start: int, count: int) -> Numbers:
    """Check a database of ``count`` texts, with the numbers from 0 on.

    Returns:
        The offset of each number's record, from the beginning of the database.
    """
    end = _chunk(content, b"CQDB", start, _RECORDS)
    order, length, backward = _words(content, start + 12, 3).tolist()
    if order != _BYTE_ORDER or length < count:
        raise DamagedError("the header of a database is wrong")
    tables, buckets = _words(content, start + 24, 2 * _TABLES).reshape(_TABLES, 2).T
    # A writer without texts names no places.
    tail = backward if count else end - start
    if tail + 4 * count != end - start:
        raise DamagedError("the places of a database do not end where it ends")
    places = _words(content, start + tail, count)
    first = tail - 8 * int(buckets.sum())  # the tables stand between records and places
    begins = first + 8 * (np.cumsum(buckets) - buckets)
    if first < _RECORDS or not np.array_equal(tables, np.where(buckets > 0, begins, 0)):
        raise DamagedError("the tables of a database are not one behind the other")
    offsets = _words(content, start + first, 2 * int(buckets.sum()))[1::2]
    _check_vacant(offsets, buckets)
    offsets = np.sort(offsets[offsets > 0])
    bounds = np.append(offsets, first)
    ends = bounds[1:]
    if len(offsets) != count or bounds[0] != _RECORDS or (offsets + 8 >= ends).any():
        raise DamagedError("the records of a database are not one behind the other")
    numbers = _scattered(content, start + offsets)
    lengths = _scattered(content, start + offsets + 4)
    last = np.frombuffer(content, np.uint8)[start + ends - 1]
    if not np.array_equal(offsets + 8 + lengths, ends) or last.any():
        raise DamagedError("a text of a database does not end where its record ends")
    if (numbers >= count).any() or not np.array_equal(places[numbers], offsets):
        raise DamagedError("the numbers of a database are not those of its records")
    return places


def _check_vacant(offsets: Numbers, buckets: Numbers) -> None:
    """Each hash table needs an empty bucket: there the library's search for a text ends."""
    table = np.repeat(np.arange(_TABLES), buckets)
    vacant = np.bincount(table[offsets == 0], minlength=_TABLES)
    if (vacant[buckets > 0] == 0).any():
        raise DamagedError("a table of a database has no empty bucket")


def _scattered(content: bytes, starts: Numbers) -> Numbers:
    """The uint32 at each of some bytes, which need not be aligned."""
    four = np.frombuffer(content, np.uint8)[starts[:, None] + np.arange(4)]
    return np.ascontiguousarray(four).view("<u4")[:, 0].astype(np.int64)
