"""Calls share their work among threads: the same numbers, whoever comes, and as many as may."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import torch
from torch import Tensor

import unrolled
from unrolled.engine.cpu.parallel import quota


def gradients(layer: torch.nn.Module, x: Tensor) -> list[Tensor]:
    """Output and gradients of all parameters."""
    layer.zero_grad()
    output, _ = layer(x)
    output.square().sum().backward()
    found = [parameter.grad for parameter in layer.parameters()]
    return [output.detach(), *(each.clone() for each in found if each is not None)]


def helpers() -> int:
    """Threads of the pool in this process."""
    names = Path("/proc/self/task").glob("*/comm")
    return sum(name.read_text(encoding="utf-8").strip() == "unrolled" for name in names)


@pytest.fixture
def layer() -> unrolled.LSTM:
    torch.manual_seed(0)
    return unrolled.LSTM(24, 64)


def test_every_division_gives_the_same_bits(layer: unrolled.LSTM) -> None:
    """Twenty calls are enough to try every division of the work, and to choose one."""
    x = torch.randn(40, 9, 24)
    torch.set_num_threads(1)
    expected = gradients(layer, x)
    for threads in (2, 3, 4):
        torch.set_num_threads(threads)
        for _ in range(20):
            for one, other in zip(expected, gradients(layer, x), strict=True):
                assert torch.equal(one, other)


def test_calls_of_several_threads_share_the_helpers(layer: unrolled.LSTM) -> None:
    x = torch.randn(40, 9, 24)
    torch.set_num_threads(4)
    with torch.no_grad():
        expected, _ = layer(x)
    wrong: list[int] = []

    def work(number: int) -> None:
        torch.set_num_threads(4)  # each thread has a setting of its own
        for _ in range(30):
            with torch.no_grad():
                if not torch.equal(layer(x)[0], expected):
                    wrong.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
        assert not thread.is_alive()
    assert wrong == []


COUNT = """
import torch, unrolled
from pathlib import Path

def names():
    return [name.read_text().strip() for name in Path("/proc/self/task").glob("*/comm")]

torch.set_num_threads(2)
layer, x = unrolled.LSTM(24, 64), torch.randn(40, 9, 24)
before = names()
with torch.no_grad():
    expected, _ = layer(x)
    assert all(torch.equal(layer(x)[0], expected) for _ in range(12))
after = names()
print(after.count("unrolled"), len(after) - len(before))
"""


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="threads are not listed here")
@pytest.mark.skipif(
    "ATen parallel backend: OpenMP" not in torch.__config__.parallel_info(),
    reason="torch has no OpenMP here",
)
def test_threads_of_torch_and_our_own_are_tried() -> None:
    """Torch's look for work between its operations, on the processors that ours would need."""
    done = subprocess.run(
        [sys.executable, "-c", COUNT], capture_output=True, text=True, timeout=120, check=True
    )
    assert done.stdout.split() == ["1", "2"], "one helper, and one thread of torch's runtime"


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="threads are not listed here")
def test_helpers_stay_and_no_more_are_hired_than_asked_for(layer: unrolled.LSTM) -> None:
    x = torch.randn(40, 9, 24)
    torch.set_num_threads(3)
    for _ in range(20):
        gradients(layer, x)
    hired = helpers()
    for _ in range(20):
        gradients(layer, x)
    assert helpers() == hired


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no forks here")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_forked_child_hires_its_own(layer: unrolled.LSTM) -> None:
    """Those of the parent do not exist there; to wait for one would be for ever."""
    x = torch.randn(40, 9, 24)
    torch.set_num_threads(2)
    for _ in range(10):
        expected, _ = layer(x)
    child = os.fork()
    if child == 0:
        code = 1
        try:
            layer(x)  # sets torch to one thread
            torch.set_num_threads(2)
            with torch.no_grad():
                code = 0 if all(torch.equal(layer(x)[0], expected) for _ in range(10)) else 2
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0


def test_flush_to_zero_holds_for_every_member(layer: unrolled.LSTM) -> None:
    """Each thread has its own setting; a call computes with its caller's."""
    x = torch.full((20, 8, 24), 1e-39)  # no normal number
    results = []
    try:
        torch.set_flush_denormal(True)
        for threads in (1, 4):
            torch.set_num_threads(threads)
            with torch.no_grad():
                results += [layer(x)[0] for _ in range(12)]
    finally:
        torch.set_flush_denormal(False)
    assert all(torch.equal(results[0], each) for each in results)


def write(path: Path, text: str) -> None:
    """A file with the folders it is in."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


@pytest.mark.parametrize(
    ("limits", "processors"),
    [
        ({"": "100000 100000"}, 1),
        ({"": "250000 100000"}, 2),
        ({"": "50000 100000"}, 1),  # half of one: still a thread
        ({"": "max 100000"}, None),
        ({"a/b": "max 100000", "a": "300000 100000", "": "max 100000"}, 3),
        ({"a/b": "800000 100000", "a": "300000 100000"}, 3),  # the least of them
        ({"a/b": "nonsense"}, None),
        ({}, None),
    ],
)
def test_quota_of_control_groups(
    tmp_path: Path, limits: dict[str, str], processors: int | None
) -> None:
    groups, root = tmp_path / "cgroup", tmp_path / "fs"
    write(groups, "0::/a/b\n")
    for folder, limit in limits.items():
        write(root / folder / "cpu.max", limit + "\n")
    assert quota(groups, root) == processors


@pytest.mark.parametrize(("limit", "processors"), [("150000", 1), ("-1", None), ("400000", 4)])
def test_quota_of_the_older_control_groups(
    tmp_path: Path, limit: str, processors: int | None
) -> None:
    groups, root = tmp_path / "cgroup", tmp_path / "fs"
    write(groups, "5:cpuset:/other\n3:cpu,cpuacct:/docker/1\n1:name=systemd:/docker/1\n")
    write(root / "cpu,cpuacct" / "cpu.cfs_quota_us", limit + "\n")
    write(root / "cpu,cpuacct" / "cpu.cfs_period_us", "100000\n")
    assert quota(groups, root) == processors


def test_no_quota_where_nothing_can_be_read(tmp_path: Path) -> None:
    assert quota(tmp_path / "none", tmp_path) is None
