"""The text task from Python."""

import math
from pathlib import Path

import pytest
import torch

from unrolled.errors import UserError
from unrolled.tasks import load, resume, train

from .small import SMALL

ROOT = Path(__file__).parents[3]
TEXTS = [folder / "shared/data/01_lm/tinyshakespeare/input.txt" for folder in (ROOT, ROOT.parent)]
SHAKESPEARE = next((path for path in TEXTS if path.exists()), None)


def test_train_write_score(prose: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    run = train("text", data=[prose], out=out, quiet=True, max_epochs=6, **SMALL)
    written = run.generate("the ", length=50, seed=2)
    assert len(written) == 50
    again = load(out)
    assert again.generate("the ", length=50, seed=2) == written
    assert "".join(again.stream("the ", length=50, seed=2)) == written
    score = again.evaluate(prose)
    # Words drawn from ten: far better than characters drawn evenly.
    assert score.nats < 0.6 * math.log(len(again.vocabulary))
    assert score.characters == len(prose.read_text(encoding="utf-8")) - 1


def test_the_callers_random_state_and_threads_are_left_alone(prose: Path, tmp_path: Path) -> None:
    state, threads = torch.get_rng_state(), torch.get_num_threads()
    run = train("text", prose, out=tmp_path / "r", quiet=True, max_steps=2, dropout=0.5, **SMALL)
    run.generate(length=3)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.get_num_threads() == threads


def test_without_validation_the_last_weights_are_kept(prose: Path, tmp_path: Path) -> None:
    run = train(
        "text", prose, out=tmp_path / "r", quiet=True, max_steps=5, val_fraction=0.0, **SMALL
    )
    assert len(run.generate(length=3)) == 3
    assert resume(tmp_path / "r", max_steps=7, quiet=True).folder.report.exists()


def test_wrong_settings(prose: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="hidden: no such setting"):
        train("text", prose, out=tmp_path / "r", hidden=3)
    with pytest.raises(UserError, match="hidden_size: expected a whole number"):
        train("text", prose, out=tmp_path / "r", hidden_size="3")
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize("precision", ["64", "bf16-mixed"])
def test_precision(prose: Path, tmp_path: Path, precision: str) -> None:
    settings = SMALL | {"precision": precision}
    run = train("text", prose, out=tmp_path / "r", quiet=True, max_steps=4, **settings)
    resume(tmp_path / "r", max_steps=6, quiet=True)
    assert len(run.generate(length=3)) == 3


@pytest.mark.skipif(SHAKESPEARE is None, reason="the text is not here")
def test_real_text_is_split_as_others_split_it(tmp_path: Path) -> None:
    assert SHAKESPEARE is not None
    settings = SMALL | {"val_fraction": 0.1, "batch_size": 64, "seq_len": 64}
    run = train("text", SHAKESPEARE, out=tmp_path / "r", quiet=True, max_steps=1, **settings)
    from unrolled.tasks.text.corpus import open_tokens

    assert len(run.vocabulary) == 66
    assert len(open_tokens(run.folder.cache / "train.npy", run.vocabulary)) == 1_003_854
