"""Tests, in the rooms of the package that they are about."""
