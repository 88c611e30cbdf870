"""Tests of `unrolled.cells`."""
