"""``python -m unrolled.cli``, the same as ``unrolled``."""

from __future__ import annotations

from .entry import main

main()
