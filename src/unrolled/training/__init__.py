"""Training through time: aligned streams, carried state, truncation, guards, run folders.

Import the modules by name (``from unrolled.training.batches import AlignedStreams``): this file
stays empty of imports so that options and errors can be read without loading torch.
"""
