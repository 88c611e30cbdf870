"""The reference: a plain loop over the steps, which every other engine must agree with."""

from .loop import LayerResult, layer, run, sizes_of, step

__all__ = ["LayerResult", "layer", "run", "sizes_of", "step"]
