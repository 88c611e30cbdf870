"""Code that runs when somebody else has loaded a module, so that we need not load it ourselves."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType

Action = Callable[[ModuleType], object]

_waiting: dict[str, list[Action]] = {}


def when_loaded(name: str, action: Action) -> None:
    """Call an action with a module: now if it has been loaded, else as soon as it has."""
    if name in sys.modules:
        action(sys.modules[name])
        return
    if not _waiting:
        sys.meta_path.insert(0, _FINDER)
    _waiting.setdefault(name, []).append(action)


class _Finder(MetaPathFinder):
    """Finds nothing by itself: adds the actions to what others find. Leaves after the last one."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname not in _waiting:
            return None
        actions = _waiting.pop(fullname)
        if not _waiting:
            sys.meta_path.remove(self)
        spec = find_spec(fullname)
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def exec_module(module: ModuleType) -> None:
                execute(module)
                for action in actions:
                    action(module)

            spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


_FINDER = _Finder()
