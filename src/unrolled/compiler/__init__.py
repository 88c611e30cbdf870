"""Equations become programs, programs become gradients and source text."""
