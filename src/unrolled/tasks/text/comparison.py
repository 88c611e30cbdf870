"""Network, n-gram model and both together on the same tokens of a text."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from .kneser_ney.model import KneserNey
from .lines import KnownLines
from .mixture import Mixture, MixtureFit
from .score import Block, Score

Tokens = np.ndarray[Any, np.dtype[Any]]
Array = npt.NDArray[np.float64]

BLOCK = 1 << 16
"""Tokens compared at a time."""

_IN_MEMORY = 1 << 26
"""Bytes of nats in memory; more go to a temporary file."""
_STRETCH, _MOST_STRETCHES = 500, 1000
"""Tokens of a stretch of text at least, and stretches of a text at most."""


class Recorded:
    """Nats of every predicted token of a text, in the order of the text; closed by ``with``.

    They come in blocks of several streams. Those of a long text are on the disk.
    """

    def __init__(self) -> None:
        self._file = tempfile.SpooledTemporaryFile(_IN_MEMORY, prefix="unrolled-")  # noqa: SIM115

    def __enter__(self) -> Recorded:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()

    def through(self, blocks: Iterable[Block]) -> Iterator[Block]:
        """The same blocks, whose nats are kept.

        Raises:
            OSError: The disk is full.
        """
        for block in blocks:
            for start, nats in zip(block.starts, block.nats.T, strict=True):
                self._file.seek(8 * start)
                self._file.write(nats.astype(np.float64).tobytes())
            yield block

    def nats(self, start: int, stop: int) -> Array:
        """Nats of the tokens from ``start`` to ``stop``."""
        self._file.seek(8 * start)
        return np.frombuffer(self._file.read(8 * (stop - start)), np.float64)


class Methods:
    """Nats of the tokens of a text by network, n-gram model and both together.

    Args:
        recorded: Nats by the network.
        tokens: The text.
        baseline: The n-gram model, if there is one.
        mixture: Its weights beside the network, if they are known.

    Attributes:
        names: ``network``; ``baseline`` and ``combined``, as far as they are there.
        order: Order of the n-gram model; 0 where there is none.
    """

    def __init__(
        self,
        recorded: Recorded,
        tokens: Tokens,
        baseline: KneserNey | None = None,
        mixture: Mixture | None = None,
    ) -> None:
        self._recorded, self._tokens = recorded, tokens
        self._baseline, self._mixture = baseline, mixture
        self.order = 0 if baseline is None else baseline.order
        names = ("network", "baseline", "combined")
        self.names = names[: 1 if baseline is None else 2 if mixture is None else 3]

    def blocks(self) -> Iterator[tuple[int, int, list[Array]]]:
        """Begin and end of parts of the text, and the nats of their tokens by each method.

        The text's first token, which nothing precedes, is left out.
        """
        for start in range(1, len(self._tokens), BLOCK):
            stop = min(start + BLOCK, len(self._tokens))
            nats = [self._recorded.nats(start, stop)]
            if self._baseline is not None:
                found = self._baseline.predictions(self._tokens, start, stop)
                nats.append(found.nats)
                if self._mixture is not None:
                    nats.append(self._mixture.nats(nats[0], found.nats, found.matched))
            yield start, stop, nats


def fit_mixture(recorded: Recorded, tokens: Tokens, baseline: KneserNey) -> Mixture:
    """The weights of network and n-gram model that are best for a text."""
    fit = MixtureFit(baseline.order)
    for start in range(1, len(tokens), BLOCK):
        stop = min(start + BLOCK, len(tokens))
        found = baseline.predictions(tokens, start, stop)
        fit.add(recorded.nats(start, stop), found.nats, found.matched)
    return fit.best()


class Group(NamedTuple):
    """Tokens of one kind of lines.

    Attributes:
        tokens: How many they are.
        nats: Sum of their nats by method.
    """

    tokens: int
    nats: Mapping[str, float]


@dataclass(frozen=True)
class Comparison:
    """Scores of the methods on the same tokens.

    Attributes:
        scores: Score of each method: ``network``; ``baseline``, the n-gram model, if there is one;
            ``combined``, both together, if their weights are known.
        combine: Whether both together are what is used.
        stretches: Sums over stretches of the text, ``[n, methods + 1]``: nats of each method in
            the order of the scores, and at the end the number of tokens.
        lines: Tokens of lines that stand in the training text, ``known``, and of all others,
            ``new``; empty where the run does not know its lines.
        order: Order of the n-gram model; 0 where there is none.
    """

    scores: Mapping[str, Score]
    combine: bool
    stretches: Array
    lines: Mapping[str, Group]
    order: int = 0

    @property
    def used(self) -> str:
        """Name of the method that is used."""
        return "combined" if self.combine and "combined" in self.scores else "network"


def compare(
    network: Score, methods: Methods, tokens: Tokens, lines: KnownLines | None, *, combine: bool
) -> Comparison:
    """Scores of all methods, and of lines that stand in the training text and others.

    Args:
        network: Score of the network.
        methods: Nats by method.
        tokens: The text.
        lines: Lines of the training text, if they are known.
        combine: Whether both together are what is used.
    """
    names, count = methods.names, max(1, min(_MOST_STRETCHES, network.tokens // _STRETCH))
    sums = np.zeros((len(names) + 1, 2 * count))
    for start, stop, nats in methods.blocks():
        stretches = (np.arange(start, stop) - 1) * count // network.tokens
        known = lines.marks(tokens, start, stop) if lines is not None else 0
        for row, own in zip(sums, [*nats, np.ones(stop - start)], strict=True):
            row += np.bincount(2 * stretches + known, own, 2 * count)
    by_stretch = sums.reshape(len(names) + 1, count, 2)
    scores = {
        name: replace(network, total=total)
        for name, total in zip(names, by_stretch[:-1].sum((1, 2)).tolist(), strict=True)
    }
    groups = {
        kind: Group(int(own[-1]), dict(zip(names, own[:-1].tolist(), strict=True)))
        for kind, own in zip(("new", "known"), by_stretch.sum(1).T, strict=True)
    }
    return Comparison(
        {**scores, "network": network},  # the network's sum as it was taken, to the last bit
        combine,
        by_stretch.sum(2).T,
        groups if lines is not None else {},
        methods.order,
    )
