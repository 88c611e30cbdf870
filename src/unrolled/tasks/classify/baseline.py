"""A cheap method beside the network: n-grams or summary features, and logistic regression.

It is fitted with scikit-learn and kept as plain arrays and JSON, so that using it needs neither
scikit-learn nor trust in a file.
"""

from __future__ import annotations

import importlib.util
import itertools
import random
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, cast

import numpy as np
import numpy.typing as npt
import torch

from unrolled.errors import UserError
from unrolled.training.run_folder.checkpoint import read_tensors, write_tensors
from unrolled.training.run_folder.folder import RunFolder

Array = npt.NDArray[np.float64]
Value = str | npt.NDArray[Any]
"""A text, or the values of a series ``[T, C]``."""

STRENGTHS = (0.3, 1.0, 3.0, 10.0, 30.0, 100.0)
"""Inverse strengths C of the penalty that are tried on the validation data."""
MOST_CLASSES = 100
"""Labels up to which it is fitted: its time grows with their number."""
MOST_CHARACTERS = 20_000_000
"""Characters or numbers that it is fitted on at most; of more data a random part."""
_MOST_TERMS = 1 << 18
_MOST_COUNTED = 3_000_000
_LONGEST_WORD = 40
_POINTS = 7
_NAME = "baseline.safetensors"


class Terms(NamedTuple):
    """Which pieces of a text are counted.

    Attributes:
        characters: Fewest and most characters of a piece.
        words: Whether words and pairs of words are counted besides.
    """

    characters: tuple[int, int]
    words: bool

    @classmethod
    def choose(cls, texts: Sequence[str]) -> Terms:
        """Characters alone where more than a third of the letters belong to no spaced alphabet.

        A Chinese or Japanese text has no blanks between its words, and a Korean one glues endings
        to them.
        """
        letters = [c for text in texts[:2000] for c in text if c.isalpha()]
        dense = sum(c >= "\u2e80" or "\u0e00" <= c <= "\u0eff" for c in letters)
        return cls((1, 4), False) if 3 * dense > len(letters) else cls((2, 5), True)

    def of(self, text: str) -> tuple[list[str], list[str]]:
        """All pieces of a text, characters and words, each as often as it occurs."""
        text = " ".join(text.lower().split())
        low, high = self.characters
        pieces = [text[i : i + n] for n in range(low, high + 1) for i in range(len(text) - n + 1)]
        if not self.words:
            return pieces, []
        found = [word.strip(".,;:!?\"'()[]") for word in text.split()]
        found = [word for word in found if 0 < len(word) <= _LONGEST_WORD]
        # A word's piece begins with a line break, which no other piece has.
        pairs = [f"\n{one} {two}" for one, two in itertools.pairwise(found)]
        return pieces, [f"\n{word}" for word in found] + pairs


class TextFeatures:
    """TF-IDF of n-grams: (1 + log count) × idf, characters and words of length 1 each.

    Args:
        terms: Which pieces are counted.
        vocabulary: The pieces, in the order of their numbers.
        idf: 1 + log of the inverse share of the texts that hold each.
    """

    def __init__(self, terms: Terms, vocabulary: Sequence[str], idf: Array) -> None:
        self.terms, self.vocabulary, self.idf = terms, list(vocabulary), idf
        self._numbers = {term: number for number, term in enumerate(self.vocabulary)}

    @classmethod
    def fit(cls, texts: Sequence[str], classes: int) -> TextFeatures:
        """Count the pieces of some texts; those that occur in a single text are left out."""
        terms = Terms.choose(texts)
        counts: Counter[str] = Counter()
        for text in texts:
            for pieces in terms.of(text):
                counts.update(set(pieces))
            if len(counts) > _MOST_COUNTED:
                counts = Counter({term: n for term, n in counts.items() if n > 1})
        most = min(_MOST_TERMS, (1 << 25) // classes)
        often = [(term, n) for term, n in counts.items() if n > 1 or len(texts) < 50]
        often = sorted(often, key=lambda one: (-one[1], one[0]))[:most]
        seen = np.array([n for _, n in often], np.float64)
        return cls(terms, [term for term, _ in often], 1 + np.log((1 + len(texts)) / (1 + seen)))

    def rows(self, texts: Sequence[str]) -> Iterator[tuple[npt.NDArray[np.int64], Array]]:
        """Numbers and values of the pieces of each text."""
        for text in texts:
            places, values = [], []
            for pieces in self.terms.of(text):
                numbers = [n for n in map(self._numbers.get, pieces) if n is not None]
                found, counts = np.unique(np.array(numbers, np.int64), return_counts=True)
                weights = (1 + np.log(counts)) * self.idf[found]
                length = float(np.linalg.norm(weights))
                places.append(found)
                values.append(weights / length if length else weights)
            yield np.concatenate(places), np.concatenate(values)

    def matrix(self, texts: Sequence[str]) -> Any:
        """All rows as a sparse matrix of SciPy, ``[n, terms]``."""
        from scipy.sparse import csr_matrix  # type: ignore[import-untyped]

        rows = list(self.rows(texts))
        ends = np.cumsum([0] + [len(places) for places, _ in rows])
        places = np.concatenate([places for places, _ in rows])
        values = np.concatenate([values for _, values in rows])
        return csr_matrix((values, places, ends), shape=(len(rows), len(self.vocabulary)))

    def products(self, texts: Sequence[str], weights: Array) -> Array:
        """The rows times weights ``[terms, K]``."""
        rows = [values @ weights[places] for places, values in self.rows(texts)]
        return np.array(rows).reshape(len(texts), weights.shape[1])


class SeriesFeatures:
    """Mean, deviation, minimum, maximum and seven points of each channel, and the length.

    Args:
        shift: Subtracted from each feature.
        scale: Then divided by this.
    """

    def __init__(self, shift: Array, scale: Array) -> None:
        self.shift, self.scale = shift, scale

    @classmethod
    def fit(cls, series: Sequence[npt.NDArray[Any]]) -> SeriesFeatures:
        """Scale each feature to mean 0 and deviation 1."""
        found = cls.summaries(series)
        deviation = found.std(0)
        return cls(found.mean(0), np.where(deviation > 0, deviation, 1.0))

    @staticmethod
    def summaries(series: Sequence[npt.NDArray[Any]]) -> Array:
        """Features before scaling, ``[n, 11 C + 1]``."""
        rows = []
        for values in series:
            x = np.asarray(values, np.float64).reshape(len(values), -1)
            if not len(x):
                x = np.zeros((1, x.shape[1]))
            places = np.linspace(0, len(x) - 1, _POINTS)
            low = np.floor(places).astype(np.int64)
            part = (places - low)[:, None]
            points = x[low] * (1 - part) + x[np.minimum(low + 1, len(x) - 1)] * part
            summary = [x.mean(0), x.std(0), x.min(0), x.max(0), points.ravel()]
            rows.append(np.concatenate([*summary, [float(len(values))]]))
        return np.array(rows)

    def matrix(self, series: Sequence[npt.NDArray[Any]]) -> Array:
        """Features ``[n, F]``."""
        found: Array = (self.summaries(series) - self.shift) / self.scale
        return found

    def products(self, series: Sequence[npt.NDArray[Any]], weights: Array) -> Array:
        """The features times weights ``[F, K]``."""
        if not len(series):
            return np.zeros((0, weights.shape[1]))
        found: Array = self.matrix(series) @ weights
        return found


class Baseline:
    """A fitted cheap method.

    Args:
        features: How items become features.
        weights: ``[F, K]``.
        bias: ``[K]``.
        strength: C, the inverse strength of the penalty.
    """

    def __init__(
        self,
        features: TextFeatures | SeriesFeatures,
        weights: Array,
        bias: Array,
        strength: float,
    ) -> None:
        self.features, self.weights, self.bias, self.strength = features, weights, bias, strength

    @property
    def description(self) -> str:
        """The method in a few words."""
        if isinstance(self.features, SeriesFeatures):
            what = "mean, deviation, minimum, maximum, seven points and length"
        else:
            low, high = self.features.terms.characters
            words = "words 1–2, " if self.features.terms.words else ""
            what = f"TF-IDF of {words}characters {low}–{high}"
        return f"{what}; logistic regression (C = {self.strength:g})"

    def logits(self, values: Sequence[Value]) -> Array:
        """Logits ``[n, K]`` of texts or series."""
        found: Array = self.features.products(cast(Any, values), self.weights) + self.bias
        return found

    def save(self, folder: RunFolder) -> None:
        """Write it to a run.

        Raises:
            OSError: It cannot be written, or the disk is full.
        """
        arrays = {"weights": self.weights, "bias": self.bias}
        record: dict[str, Any] = {"strength": self.strength}
        if isinstance(self.features, TextFeatures):
            arrays["idf"] = self.features.idf
            record |= self.features.terms._asdict()
            record["vocabulary"] = self.features.vocabulary
        else:
            arrays |= {"shift": self.features.shift, "scale": self.features.scale}
        tensors = {
            name: torch.as_tensor(values, dtype=torch.float32, device="cpu")
            for name, values in arrays.items()
        }
        write_tensors(folder.path / _NAME, tensors, record, folder.write)

    @classmethod
    def load(cls, folder: RunFolder) -> Baseline | None:
        """Read it from a run; None if the run has none.

        Raises:
            UserError: The file is corrupt.
        """
        path = folder.path / _NAME
        if not path.exists():
            return None
        tensors, record = read_tensors(path)
        try:
            arrays = {name: tensor.double().numpy() for name, tensor in tensors.items()}
            weights, bias = arrays["weights"], arrays["bias"]
            features: TextFeatures | SeriesFeatures
            if "vocabulary" in record:
                low, high = map(int, record["characters"])
                if not 1 <= low <= high <= 10:
                    raise ValueError(f"pieces of {low} to {high} characters")
                vocabulary = [str(term) for term in record["vocabulary"]]
                terms = Terms((low, high), bool(record["words"]))
                features = TextFeatures(terms, vocabulary, arrays["idf"])
                rows = len(vocabulary)
                fits = arrays["idf"].shape == (rows,)
            else:
                features = SeriesFeatures(arrays["shift"], arrays["scale"])
                rows = len(features.shift)
                fits = features.shift.shape == features.scale.shape == (rows,)
            if not fits or bias.ndim != 1 or weights.shape != (rows, len(bias)):
                raise ValueError("sizes that do not go together")
            return cls(features, weights, bias, float(record["strength"]))
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(f"{path}: corrupt: {error}") from error


def obstacle(classes: int) -> str | None:
    """Why no baseline can be fitted, as a sentence; None if it can."""
    if importlib.util.find_spec("sklearn") is None:
        return (
            "No cheap method stands beside the network: scikit-learn is not installed "
            "(pip install 'unrolled[baseline]')."
        )
    if classes > MOST_CLASSES:
        return f"No cheap method stands beside the network: more than {MOST_CLASSES} labels."
    return None


def fit_baseline(
    values: Sequence[Value],
    targets: npt.NDArray[Any],
    classes: int,
    *,
    validation: Sequence[Value] = (),
    score: Callable[[Array], float] | None = None,
    balanced: bool = False,
) -> Baseline:
    """Fit the cheap method.

    Args:
        values: Texts or series to fit on.
        targets: Their labels ``[n]``, or ``[n, K]`` of 0 and 1.
        classes: K.
        validation: Items on which C is chosen.
        score: How good logits of these items are; higher is better. Without it C is 10 for texts
            and 1 for series.
        balanced: Whether each class weighs the same.
    """
    features: TextFeatures | SeriesFeatures
    if isinstance(values[0], str):
        features = TextFeatures.fit(cast(Sequence[str], values), classes)
    else:
        features = SeriesFeatures.fit(cast(Any, values))
    matrix = features.matrix(cast(Any, values))
    if score is None or not len(validation):
        strength = 10.0 if isinstance(features, TextFeatures) else 1.0
        weights, bias = _regression(matrix, targets, classes, strength, balanced)
        return Baseline(features, weights, bias, strength)
    prepared = features.matrix(cast(Any, validation))
    best: tuple[float, Baseline] | None = None
    for strength in STRENGTHS:
        weights, bias = _regression(matrix, targets, classes, strength, balanced)
        value = score(np.asarray(prepared @ weights + bias))
        if best is None or value > best[0]:
            best = value, Baseline(features, weights, bias, strength)
    assert best is not None
    return best[1]


def some_of(sizes: npt.NDArray[Any], seed: int) -> list[int]:
    """Numbers of the items to fit on: all, or a random part of so many steps as it can take."""
    if sizes.sum() <= MOST_CHARACTERS:
        return list(range(len(sizes)))
    order = list(range(len(sizes)))
    random.Random(seed).shuffle(order)
    fits = int(np.searchsorted(np.cumsum(sizes[order]), MOST_CHARACTERS))
    return sorted(order[: max(1, fits)])


def _regression(
    matrix: Any, targets: npt.NDArray[Any], classes: int, strength: float, balanced: bool
) -> tuple[Array, Array]:
    """Weights ``[F, K]`` and bias ``[K]`` of one regression, or of one for each of several labels.

    A label that all or none of the items have gets a bias alone.
    """
    from sklearn.linear_model import LogisticRegression

    weights, bias = np.zeros((matrix.shape[1], classes)), np.full(classes, -20.0)

    def fitted(target: npt.NDArray[Any]) -> Any:
        kind = "balanced" if balanced else None
        model = LogisticRegression(C=strength, class_weight=kind, max_iter=300)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # not converged to the last digit: near enough
            return model.fit(matrix, target)

    if targets.ndim == 2:
        for label in range(classes):
            own = targets[:, label] > 0
            if own.all() or not own.any():
                bias[label] = 20.0 if own.all() else -20.0
                continue
            model = fitted(own)
            weights[:, label], bias[label] = model.coef_[0], model.intercept_[0]
        return weights, bias
    known = np.unique(targets)
    if len(known) == 1:
        bias[known[0]] = 20.0
        return weights, bias
    model = fitted(targets)
    if len(known) == 2:  # one logit, of the second class against the first
        weights[:, known[1]] = model.coef_[0]
        bias[known[0]], bias[known[1]] = 0.0, model.intercept_[0]
    else:
        weights[:, known], bias[known] = model.coef_.T, model.intercept_
    return weights, bias
