"""Interpolated modified Kneser–Ney smoothing of n-grams, over arrays of token numbers.

The command line's options read this file, so it imports nothing.
"""

MOST_ORDER = 12
"""Highest order of a model."""
