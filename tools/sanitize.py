"""Run all kernels under sanitizers: addresses and undefined behaviour, then threads.

Usage: python tools/sanitize.py [instruction set ...]

Builds the engine with tools/sanitize.cpp, once for each instruction set and sanitizer, and runs
it; a finding ends it with the sanitizer's report and a non-zero exit status. ``CXX`` names
the compiler.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ENGINE = ROOT / "src" / "unrolled" / "engine" / "cpu"

# name: bytes of a vector, what the processor must have, compiler flags (as in CMakeLists.txt)
AVX512 = ["-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl", "-mfma"]
BF16 = [*AVX512, "-mavx512bf16"]
INSTRUCTION_SETS = {
    "baseline": (16, "sse2", []),
    "avx2": (32, "avx2", ["-mavx2", "-mfma"]),
    "avx512": (64, "avx512vl", AVX512),
    "avx512_bf16": (64, "avx512vl", BF16),
    "amx": (64, "avx512vl", [*BF16, "-mamx-tile", "-mamx-bf16"]),
}
SANITIZERS = {
    "address, undefined": ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"],
    "thread": ["-fsanitize=thread"],
}


def main(names: list[str]) -> int:
    """Build and run; returns the number of failures."""
    x86 = platform.machine().lower() in {"x86_64", "amd64"}
    unknown = sorted(set(names) - set(INSTRUCTION_SETS))
    if unknown:
        sys.exit(f"sanitize: expected some of {', '.join(INSTRUCTION_SETS)}, got {unknown[0]!r}")
    chosen = names or (list(INSTRUCTION_SETS) if x86 else ["baseline"])
    failures = 0
    with tempfile.TemporaryDirectory() as folder:
        generated = Path(folder) / "kernels.cpp"
        generated.write_text(kernels(), encoding="utf-8")
        for sanitizer, flags in SANITIZERS.items():
            for name in chosen:
                started = time.monotonic()
                program = build(Path(folder), generated, name, flags, x86)
                done = subprocess.run([program], capture_output=True, text=True)
                seconds = time.monotonic() - started
                said = done.stdout.strip() if done.returncode == 0 else "FAILED"
                print(f"{sanitizer:18} {name:9} {said} ({seconds:.0f} s)", flush=True)
                if done.returncode != 0:
                    failures += 1
                    print(done.stdout + done.stderr, file=sys.stderr)
    return failures


def kernels() -> str:
    """C++ of the cells that differ in what the engine does for them, and of all options at once."""
    sys.path.insert(0, str(ROOT / "src"))
    from unrolled import cells
    from unrolled.compiler.cpp import source
    from unrolled.compiler.planning import plan
    from unrolled.compiler.trace import trace
    from unrolled.options import Variant, vary

    plain = [cells.RNN(), cells.LSTM(), cells.GRU(), cells.OriginalGRU(), cells.BRC()]
    # vectors, scalars, x itself, no recurrent product, a bias beside products in a row
    plain += [
        cells.PeepholeLSTM(),
        cells.FastGRNN(),
        cells.SRU(),
        cells.RGLRU(),
        cells.MinimalRNN(),
    ]
    everything = Variant(
        cell_clip=0.4,
        layer_norm=True,
        candidate_dropout="g",
        recurrent_dropout=True,
        zoneout=("h", "c"),
        returns=("f", "c"),
    )
    programs = [trace(cell) for cell in plain]
    programs += [vary(trace(cells.LSTM()), Variant(projected=True)), vary(programs[1], everything)]
    programs.append(vary(programs[2], Variant(projected=True, zoneout=("h",), returns=("z",))))
    return source(plan(program) for program in programs)


def build(folder: Path, generated: Path, name: str, flags: list[str], x86: bool) -> Path:
    """The program for one instruction set under one sanitizer."""
    width, needs, options = INSTRUCTION_SETS[name]
    program = folder / f"{name}-{flags[0].rpartition('=')[2].replace(',', '-')}"
    compile_only = ["-O1", "-g", "-std=c++17", "-fno-omit-frame-pointer", "-Wno-psabi"]
    objects = []
    names = ("stream.cpp", "workspace.cpp", "pool.cpp", "division.cpp")
    portable = (*(ENGINE / name for name in names), ROOT / "tools" / "sanitize.cpp")
    for source in (ENGINE / "recurrence.cpp", generated, *portable):
        objects.append(folder / f"{program.name}-{source.stem}.o")
        command: list[str | Path] = [os.environ.get("CXX", "c++"), *compile_only, *flags]
        command += options if source not in portable else []
        command += ["-DUNROLLED_X86"] if x86 else []
        command += [
            f"-DUNROLLED_ISA={name}",
            f"-DUNROLLED_TARGET={name}",
            '-DUNROLLED_FLAGS=""',
            f"-DUNROLLED_VECTOR_BYTES={width}",
            f"-DUNROLLED_ENGINE=engine_{name}",
            f'-DUNROLLED_SET="{name}"',
            f'-DUNROLLED_NEEDS="{needs}"',
            f"-I{ENGINE}",
        ]
        subprocess.run([*command, "-c", source, "-o", objects[-1]], check=True)
    link = [os.environ.get("CXX", "c++"), *flags, "-pthread"]
    subprocess.run([*link, *objects, "-o", program], check=True)
    return program


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
