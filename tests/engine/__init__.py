"""Tests of `unrolled.engine`."""
