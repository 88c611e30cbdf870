"""Tests of `unrolled.lens.figures`."""
