"""A classifier of texts and series with the face of scikit-learn."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from unrolled.errors import UserError
from unrolled.options import with_flags
from unrolled.tasks.estimators import ClassifierMixin, TaskEstimator, check_is_fitted, trained

from .options import ClassifyOptions, ClassifyTraining, DataOptions, ModelOptions
from .task import TASK

_BLANK = "\N{REPLACEMENT CHARACTER}"
"""In the place of a text without characters: an unknown one."""


class Classifier(ClassifierMixin, TaskEstimator):  # type: ignore[misc]
    """A recurrent classifier of whole texts or series, for scikit-learn's tools.

    It can be cloned, searched over, cross-validated, put at the end of a pipeline and pickled. It
    trains as ``unrolled train classify`` does, in a temporary folder. A share ``val_fraction`` of
    the items given to ``fit`` decides which weights are kept.

    ::

        from sklearn.model_selection import cross_val_score
        import unrolled

        scores = cross_val_score(unrolled.Classifier(hidden_size=64, max_epochs=10), texts, labels)

    Args:
        random_state: Seed of everything random.
        lens_every: As the option, but 0 by default: nobody reads the report.
        **options: Every other argument is the option of ``unrolled train classify`` of that name,
            with its default; see `unrolled.tasks.classify.options`.

    Attributes:
        classes_: The labels, sorted.
        predictor_: The trained `ClassifyPredictor`; its labels are places in ``classes_``.
    """

    @with_flags
    def __init__(
        self,
        *,
        cell: str = "gru",
        hidden_size: int = 64,
        num_layers: int = 1,
        bidirectional: bool = True,
        dropout: float = 0.5,
        proj_size: int = 0,
        heads: int = 1,
        nonlinearity: str = "tanh",
        reset_after: bool = True,
        embedding_size: int = 64,
        input_size: int = 0,
        input_noise: float = 0.0,
        embedding_dropout: float = 0.2,
        token_dropout: float = 0.1,
        convolution: int = 0,
        ngrams: int = 1,
        ngram_vectors: int = 2**16,
        ngram_size: int = 32,
        pooling: str = "concat",
        batch_size: int = 32,
        optimizer: str = "adamw",
        lr: float = 0.003,
        beta2: float = 0.999,
        weight_decay: float = 0.1,
        clip: float = 1.0,
        schedule: str = "cosine",
        warmup: float = 0.03,
        final_lr: float = 0.01,
        ema: float = 0.99,
        max_epochs: int | None = None,
        max_steps: int | None = None,
        max_time: float | str | None = None,
        patience: int | None = None,
        val_every: int = 0,
        lens_every: int = 0,
        threads: int = 0,
        device: str = "auto",
        precision: str = "32",
        metric: str = "auto",
        positive: Any = None,
        class_weights: str = "none",
        label_smoothing: float = 0.0,
        combine: bool = False,
        val_fraction: float = 0.1,
        tokens: str = "characters",
        subword_model: str = "bpe",
        subword_count: int = 8000,
        min_count: int = 2,
        lower: bool = False,
        normalize: str = "NFC",
        max_length: int | None = None,
        keep: str = "beginning",
        scale: str = "auto",
        random_state: int = 0,
        **options: Any,
    ) -> None:
        self._keep(locals())

    def fit(self, X: Any, y: Any) -> Classifier:
        """Train on items and their labels.

        Args:
            X: A list of texts; a list of series, arrays ``[T]`` or ``[T, C]`` of any lengths; or an
                array ``[n, T]`` or ``[n, T, C]``.
            y: Label of each item.

        Raises:
            ValueError: X and y do not go together, or there is one label only.
            UserError: An option or an item cannot be used.
        """
        items = _items(X)
        self.classes_, numbers = np.unique(np.asarray(y), return_inverse=True)
        if numbers.ndim != 1 or len(numbers) != len(items):
            raise ValueError(f"expected one label for each of {len(items)} items")
        if len(self.classes_) < 2:
            raise ValueError(f"expected two labels or more, got {len(self.classes_)}")
        with tempfile.TemporaryDirectory(prefix="unrolled-") as folder:
            data = Path(folder) / "items.jsonl"
            kind = "text" if isinstance(items[0], str) else "series"
            with data.open("w", encoding="utf-8") as file:
                for item, number in zip(items, numbers, strict=True):
                    content: Any = item if isinstance(item, str) else item.tolist()
                    file.write(json.dumps({kind: content, "label": str(number)}) + "\n")
            self.predictor_ = trained(TASK, self._options(data, kind), Path(folder) / "run")
        return self

    def predict_proba(self, X: Any) -> npt.NDArray[np.float64]:
        """Probability of each of ``classes_`` for each item, ``[n, classes]``.

        Raises:
            sklearn.exceptions.NotFittedError: It was not trained.
            UserError: An item is of another kind than in training.
        """
        check_is_fitted(self, "predictor_")
        items = _items(X) if len(X) else []
        found = np.zeros((len(items), len(self.classes_)))
        columns = [int(name) for name in self.predictor_.labels]
        found[:, columns] = self.predictor_.probabilities(items)
        return found

    def predict(self, X: Any) -> npt.NDArray[Any]:
        """Likeliest label of each item, ``[n]``."""
        chances = self.predict_proba(X)
        likeliest: npt.NDArray[Any] = self.classes_[chances.argmax(1)]
        return likeliest

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.string = tags.input_tags.three_d_array = True
        return tags

    def _options(self, data: Path, kind: str) -> ClassifyOptions:
        positive = None
        if self.positive is not None:
            found = np.flatnonzero(self.classes_ == self.positive)
            if not len(found):
                raise UserError(f"positive: expected one of {self.classes_}, got {self.positive}")
            positive = str(found[0])
        return ClassifyOptions(
            data=self._section(
                DataOptions, data=(str(data),), format="jsonl", text=kind, label="label"
            ),
            model=self._section(ModelOptions),
            training=self._section(
                ClassifyTraining, seed=self.random_state, baseline=self.combine, positive=positive
            ),
        )


def _items(X: Any) -> Sequence[str | npt.NDArray[Any]]:
    """Texts, or series ``[T, C]``.

    Raises:
        ValueError: It is neither.
    """
    if isinstance(X, str) or not len(X):
        raise ValueError("expected a list of texts or series, one or more")
    values = list(X)
    if all(isinstance(one, str) for one in values):
        return [str(one) if one.strip() else _BLANK for one in values]
    if any(isinstance(one, str) for one in values):
        raise ValueError("expected texts or series, got both")
    series = [np.asarray(one, np.float64) for one in values]
    if any(one.ndim not in (1, 2) or not len(one) for one in series):
        raise ValueError("expected series [T] or [T, C] with one step or more")
    return [one.reshape(len(one), -1) for one in series]
