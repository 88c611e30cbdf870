"""The command line: options to calls, nothing more.

It learns of tasks from their registry and builds every command from the dataclasses that they
declare. torch and the like are imported within the commands, so that help pages come at once.
"""

from __future__ import annotations

from .entry import main, run

__all__ = ["main", "run"]
