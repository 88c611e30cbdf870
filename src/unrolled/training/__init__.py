"""Training of any task: batches, the loop, run folders, reports, the lens while it trains.

Where to begin: ``task.py`` is the protocol of a task, ``session.py`` the life of a run, ``loop.py``
the updates. ``batches.py`` has the two kinds of data, streams and buckets.

Import the modules by name (``from unrolled.training.batches import Streams``): this file stays
empty of imports so that options can be read without loading torch.
"""
