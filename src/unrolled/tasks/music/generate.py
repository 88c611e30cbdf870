"""Writing music, one frame at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch

from unrolled.engine.threads import one_thread
from unrolled.layers.layer import Layer
from unrolled.tasks.mapped_input import MappedInput

from .model import MusicModel
from .pieces import Frame, Keys


def generate(
    model: MusicModel,
    keys: Keys,
    frames: Sequence[Frame],
    *,
    length: int,
    temperature: float = 1.0,
    seed: int = 0,
    device: torch.device | str = "cpu",
) -> Iterator[Frame]:
    """Frames that continue a piece, each as soon as it is drawn.

    The model reads the given frames once and then steps with its state carried.

    Args:
        model: The model, in eval mode.
        keys: Its keys.
        frames: What to continue; none for a new piece.
        length: Frames to write.
        temperature: Below 1 more careful, above 1 more daring; 0 always takes the likeliest.
        seed: Seed of the draws.
        device: Where the model is.
    """
    random = torch.Generator().manual_seed(seed)
    dtype = next(model.parameters()).dtype
    silent_first = torch.from_numpy(keys.roll([(), *frames])).to(device, dtype)
    block, layers = silent_first[:, None], model.recurrent
    assert isinstance(layers, Layer | MappedInput)
    stream = layers.stream()
    for _ in range(length):
        # Entered anew for each frame: a generator must not leave its modes on for its caller.
        with torch.inference_mode(), one_thread():
            drawn = model.head.draw(stream.run(block)[-1], temperature, random)
            block = drawn.to(device, dtype)[None]
        yield keys.frames(drawn)[0]
