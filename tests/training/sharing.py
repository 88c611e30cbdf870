"""A program that trains with as many processes as start it: ``sharing.py FOLDER PROCESSES``."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.training.toy import TOY, ToyData, ToyOptions

import unrolled
from unrolled.errors import UserError
from unrolled.training import session
from unrolled.training.loop import Training
from unrolled.training.options import TrainingOptions

TOYS: dict[str, Any] = {
    "batch_size": 8,
    "max_epochs": 2,
    "log_every": 1,
    "lens_every": 0,
    "optimizer": "sgd",  # adam makes much of the rounding of gradients that are nearly zero
    "lr": 0.3,
    "threads": 1,
    "device": "cpu",
}
TEXT: dict[str, Any] = TOYS | {
    "batch_size": 5,
    "seq_len": 8,
    "max_epochs": None,
    "max_steps": 12,
    "val_every": 6,
    "hidden_size": 8,
    "embedding_size": 4,
    "dropout": 0.0,
    "sample_length": 5,
    "quiet": True,
}


TWO = {"processes": 2}


def toy(folder: Path, out: Path, **more: Any) -> session.Summary | None:
    """Train the toy task; its last batch has a single sequence."""
    data = ToyData((str(folder / "toy.txt"),), (str(folder / "toy.txt"),))
    options = ToyOptions(data=data, training=TrainingOptions(**(TOYS | more)))
    return session.train(TOY, options, out, quiet=True)


def said(train: Callable[[], object]) -> None:
    """Write what an error says, and in which process, to standard output."""
    try:
        train()
    except UserError as error:
        sys.stdout.write(f"{os.environ['LOCAL_RANK']}: {error}\n")


def stopped_by(number: int, rank: int, train: Callable[[], object]) -> object:
    """Train; the process of this rank gets a signal after update 7."""
    real = Training._step

    def step(self: Training) -> None:
        real(self)
        if (self.position.step, self.processes.rank) == (7, rank):
            os.kill(os.getpid(), number)

    Training._step = step  # type: ignore[method-assign]
    try:
        return train()
    finally:
        Training._step = real  # type: ignore[method-assign]


def main(folder: Path, processes: int) -> None:
    """Everything that two processes do in one program, one after another."""
    prose = folder / "prose.txt"
    toy(folder, folder / "toy", processes=processes)
    unrolled.train("text", prose, out=folder / "text", processes=processes, **TEXT)
    stopped = stopped_by(
        signal.SIGTERM,
        1,
        lambda: unrolled.train(
            "text", prose, out=folder / "stopped", processes=processes, **(TEXT | {"dropout": 0.3})
        ),
    )
    assert (stopped is None) == (os.environ["LOCAL_RANK"] != "0")
    unrolled.resume(folder / "stopped", quiet=True)
    unrolled.train(
        "text", prose, out=folder / "whole", processes=processes, **(TEXT | {"dropout": 0.3})
    )
    if processes == 1:  # torchrun's number goes before the run's own
        said(lambda: unrolled.resume(folder / "alone", max_steps=14, quiet=True))
    else:
        none = folder / "none.txt"
        said(lambda: unrolled.train("text", none, out=folder / "none", **TEXT | TWO))
    said(lambda: toy(folder, folder / "after", processes=processes))
    sys.stdout.write(f"{os.environ['LOCAL_RANK']} is done\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
