"""Transforms of a program: the tools of every option, and the two that are no option of a layer.

Each gives a program like any other, so they combine.
"""

from .expose import expose
from .project import project

__all__ = ["expose", "project"]
