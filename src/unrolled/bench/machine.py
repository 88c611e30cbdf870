"""Description of the machine that measures: processor, instruction sets, versions."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import platform
from pathlib import Path

from unrolled.bench.options import available_processors

# What the processor calls the instruction sets that matter here.
_TELLING = ("avx2", "fma", "avx512f", "avx512_bf16", "avx512_fp16", "amx_tile", "amx_bf16", "asimd")


def describe_machine() -> dict[str, str]:
    """Processor, its instruction sets, how many processors, system, versions."""
    info = _cpu_info()
    flags = (info.get("flags") or info.get("Features") or "").split()
    return {
        "processor": info.get("model name") or platform.processor() or platform.machine(),
        "instruction_sets": " ".join(name for name in _TELLING if name in flags),
        "processors": str(len(available_processors())),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "torch": importlib.metadata.version("torch"),
        "unrolled": importlib.metadata.version("unrolled"),
    }


def installed(peer: str) -> str | None:
    """Version of a library; None if it is not installed."""
    return importlib.metadata.version(peer) if importlib.util.find_spec(peer) else None


def _cpu_info() -> dict[str, str]:
    """The first processor's entry in Linux' list; empty elsewhere."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return {}
    pairs = (line.partition(":") for line in text.partition("\n\n")[0].splitlines())
    return {name.strip(): value.strip() for name, _, value in pairs}
