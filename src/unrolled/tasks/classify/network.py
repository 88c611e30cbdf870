"""A run's network: built from its encoding, and run over many items."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from unrolled.tasks.recurrent import cell_class
from unrolled.training.run_folder.folder import RunFolder

from .encoding import Encoding
from .model import SequenceClassifier, build_model
from .options import ClassifyOptions
from .text_encoder import TextEncoder

Array = npt.NDArray[np.float64]
STEPS = 1 << 15
"""Steps of all rows of a batch together, paddings counted, beyond which it gets fewer rows."""


def network_of(
    options: ClassifyOptions, encoding: Encoding, folder: RunFolder
) -> SequenceClassifier:
    """A run's network with fresh weights.

    Raises:
        UserError: It does not fit into memory, or its cell is the user's own and is not trusted.
    """
    inputs = encoding.inputs
    cell = cell_class(options.model, folder.path)
    if isinstance(inputs, TextEncoder):
        return build_model(options.model, len(encoding.labels), tokens=inputs.size, cell=cell)
    return build_model(options.model, len(encoding.labels), channels=inputs.channels, cell=cell)


@torch.no_grad()
def logits_of(
    model: SequenceClassifier,
    lengths: Sequence[int] | npt.NDArray[np.int64],
    fetch: Callable[[npt.NDArray[np.int64]], tuple[Tensor, Tensor]],
    *,
    batch_size: int,
) -> Array:
    """Logits ``[n, K]`` of items, those of similar length side by side.

    The model is in evaluation mode; a row does not depend on the others.

    Args:
        model: The network.
        lengths: Steps of each item.
        fetch: Inputs and lengths of items by number.
        batch_size: Items of a batch.
    """
    device = next(model.parameters()).device
    steps = np.asarray(lengths, np.int64)
    order = np.argsort(-steps, kind="stable")
    found = np.zeros((len(steps), model.readout.out_features))
    start = 0
    while start < len(order):
        rows = max(1, min(batch_size, STEPS // max(1, int(steps[order[start]]))))
        part = order[start : start + rows]
        inputs, own = fetch(part)
        found[part] = model(inputs.to(device), own.to(device)).double().cpu().numpy()
        start += rows
    return found
