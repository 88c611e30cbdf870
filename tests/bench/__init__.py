"""Tests of `unrolled.bench`."""
