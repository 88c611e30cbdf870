"""What every test may count on: one thread, reproducible examples, and poison on request."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from hypothesis import settings

# A busy machine makes no test fail, and CI draws the same examples every time.
settings.register_profile("usual", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "usual")


@pytest.fixture(autouse=True, scope="session")
def kernel_cache(pytestconfig: pytest.Config) -> Iterator[Path]:
    """One cache of compiled kernels for all tests, their workers and the next run's."""
    assert pytestconfig.cache is not None
    folder = pytestconfig.cache.mkdir("kernels") / "own"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("UNROLLED_CACHE", str(folder))
        yield folder


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Tests are small: threads would only wait for each other. A test may ask for more."""
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def seed() -> None:
    """The same numbers whichever tests ran before."""
    torch.manual_seed(0)


@pytest.fixture
def poisoned() -> Iterator[None]:
    """Memory that torch hands out fresh holds NaN, so that what nobody wrote shows."""
    torch.use_deterministic_algorithms(True)
    assert torch.empty(1).isnan().all()
    yield
    torch.use_deterministic_algorithms(False)
