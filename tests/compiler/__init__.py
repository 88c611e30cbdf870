"""Tests of `unrolled.compiler`."""
