"""Memory: what the kernels keep, what they give back, and what they do when there is none."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from typing import Any

import pytest
import torch

import unrolled

MIB = 2**20


def test_a_large_call_leaves_nothing_behind() -> None:
    """Its working memory is beyond what a thread may keep."""
    unrolled.release_memory()
    layer = unrolled.GRU(16, 2048)  # 50 MB of U, packed once for forward and once for backward
    layer(torch.randn(9, 1, 16))[0].sum().backward()
    assert unrolled.release_memory() <= 64 * MIB + 2 * MIB


def test_a_small_call_keeps_its_memory_until_it_is_released() -> None:
    unrolled.release_memory()
    layer = unrolled.GRU(8, 64)
    layer(torch.randn(20, 4, 8))
    assert unrolled.release_memory() > 0
    assert unrolled.release_memory() == 0
    layer(torch.randn(20, 4, 8))  # and takes it again


def test_weights_packed_for_short_calls_are_released() -> None:
    layer, x = unrolled.GRU(32, 64), torch.randn(1, 1, 32)
    numbers = sum(parameter.numel() for parameter in layer.parameters())
    with torch.no_grad():
        unrolled.release_memory()
        before = layer(x)[0]
        assert unrolled.release_memory() >= 2 * 4 * numbers
        assert unrolled.release_memory() == 0
        assert torch.equal(layer(x)[0], before)
        assert unrolled.release_memory() >= 2 * 4 * numbers


def test_release_while_others_compute() -> None:
    """What is in use stays; the numbers are right."""
    layer = unrolled.LSTM(8, 64)
    x = torch.randn(50, 4, 8)
    with torch.no_grad():
        expected = layer(x)[0]
    wrong: list[Any] = []

    def work() -> None:
        for _ in range(200):
            with torch.no_grad():
                found = layer(x)[0]
            if not torch.equal(found, expected):
                wrong.append(found)

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        unrolled.release_memory()
    assert not wrong


@pytest.mark.parametrize("kind", ["states", "gates"])
def test_returned_sequences_own_their_numbers(kind: str) -> None:
    """Where nothing is to be differentiated they do not hold on to a tape five times their size."""
    layer = unrolled.LSTM(8, 16, num_layers=2)
    with torch.no_grad():
        *_, found = layer(torch.randn(9, 3, 8), **{f"return_{kind}": True})
    for sequences in getattr(found, kind).values():
        for sequence in sequences:
            assert sequence.untyped_storage().nbytes() == sequence.nbytes


SHORT = """
import itertools, resource, sys
import torch, unrolled

MIB, threads = 2**20, int(sys.argv[1])
torch.set_num_threads(threads)
x = torch.randn(12, 4 * threads, 64)


def limited(left, call):
    used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + left, -1))
    try:
        call()
    except (MemoryError, RuntimeError) as error:
        return "refused"
    else:
        return "done"
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (-1, -1))


for cell, kind in itertools.product(("GRU", "LSTM"), ("inference", "forward", "backward")):
    layer = getattr(unrolled, cell)(64, 1024)
    small = layer(x[:9, :1])[0].detach()
    outcomes = set()
    for left in (0, 2, 12, 30, 300):
        loss = layer(x)[0].sum() if kind == "backward" else None
        unrolled.release_memory()

        def call():
            with torch.set_grad_enabled(kind != "inference"):
                loss.backward() if loss is not None else layer(x)

        outcomes.add(limited(left * MIB, call))
        loss = None
    assert outcomes == {"refused", "done"}, (cell, kind, outcomes)
    assert torch.equal(layer(x[:9, :1])[0], small)
print("alive")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits the address space")
@pytest.mark.parametrize("threads", [1, 3])
def test_short_memory_is_an_error(threads: int) -> None:
    """As torch's is: the process goes on. From none to enough, for each kind of call."""
    command = [sys.executable, "-c", SHORT, str(threads)]
    # What is freed goes back to the system, so that all of it has to be asked for again.
    environment = os.environ | {"MALLOC_MMAP_THRESHOLD_": "65536"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert (done.returncode, done.stdout) == (0, "alive\n"), done.stderr
