"""Inspect shows the model's own numbers: those of the lens, of autograd, and of the text."""

from __future__ import annotations

import base64
import math
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from starlette.testclient import TestClient

from unrolled import cli
from unrolled.errors import UserError
from unrolled.page import desk as desks
from unrolled.page.desk import Desk
from unrolled.page.features import FEATURES, correlations, features
from unrolled.page.inspect import find_units
from unrolled.page.inspect_api import ROWS
from unrolled.page.server import create_app
from unrolled.page.subject import LIMIT, TextSubject
from unrolled.tasks import load
from unrolled.training.run_folder.folder import RunFolder

SAMPLE = 'he said "aab" (3) to her\nhe said "c'
LSTM, RNN = 0, 1
OF = {"strand": "recurrent.l0", "value": "x"}


@pytest.fixture(scope="module")
def page(runs: tuple[Path, Path]) -> Iterator[TestClient]:
    with TestClient(create_app(runs), base_url="http://localhost") as client:
        yield client


def array(packed: dict[str, Any]) -> np.ndarray[Any, Any]:
    numbers = np.frombuffer(base64.b64decode(packed["float32"]), "<f4")
    return numbers.reshape(packed["shape"])


def post(page: TestClient, path: str, **asked: Any) -> Any:
    answer = page.post(f"/api/inspect/{path}", json={"run": LSTM, "text": SAMPLE, **asked})
    assert answer.status_code == 200, answer.json()
    return answer.json()


def refusal(page: TestClient, path: str, **asked: Any) -> str:
    answer = page.post(f"/api/inspect/{path}", json={"run": LSTM, "text": SAMPLE, **asked})
    assert 400 <= answer.status_code < 500
    line = answer.json()["error"]
    assert "\n" not in line
    return str(line)


# ---- numbers


def test_predictions_and_losses_are_the_models_own(
    page: TestClient, runs: tuple[Path, Path]
) -> None:
    """On the fast engine, where the page's numbers come from the lens."""
    found = post(page, "inspect")
    run = load(runs[0])
    tokens = torch.from_numpy(run.vocabulary.encode(SAMPLE).astype("int64"))
    with torch.no_grad():
        logits = run.model(tokens.unsqueeze(1))[0][:, 0]
    assert found["names"] == list(SAMPLE)
    for step, guesses in enumerate(found["guesses"]):
        best = logits[step].softmax(-1).topk(5)
        assert [name for name, _ in guesses] == [
            run.vocabulary.decode(int(t)) for t in best.indices
        ]
        assert [p for _, p in guesses] == pytest.approx(best.values.tolist(), abs=6e-5)
    nats = -logits.log_softmax(-1)[:-1].gather(1, tokens[1:, None])[:, 0]
    assert found["losses"] == pytest.approx((nats / math.log(2)).tolist(), abs=6e-4)
    assert [strand["name"] for strand in found["strands"]] == ["recurrent.l0", "recurrent.l1"]


def test_states_and_gates_follow_the_cells_equations(
    page: TestClient, runs: tuple[Path, Path]
) -> None:
    """c_t = f_t c_{t-1} + i_t g_t, h_t = o_t tanh(c_t), and h what the layer returns."""
    values = {
        name: array(post(page, "values", strand="recurrent.l1", value=name)["values"])
        for name in "hcifgo"
    }
    before = np.vstack([np.zeros_like(values["c"][:1]), values["c"][:-1]])
    c = values["f"] * before + values["i"] * values["g"]
    np.testing.assert_allclose(values["c"], c, atol=1e-6)
    np.testing.assert_allclose(values["h"], values["o"] * np.tanh(c), atol=1e-6)
    run = load(runs[0])
    tokens = torch.from_numpy(run.vocabulary.encode(SAMPLE).astype("int64"))
    with torch.no_grad():
        output = run.model.recurrent(run.model.embedding(tokens.unsqueeze(1)))[0][:, 0]
    np.testing.assert_allclose(values["h"], output.numpy(), atol=1e-5)


def by_autograd(run: Path) -> np.ndarray[Any, Any]:
    """‖∂ℓ_t/∂x_k‖ in bits, with torch's own layers and nothing of ours."""
    loaded = load(run)
    tokens = torch.from_numpy(loaded.vocabulary.encode(SAMPLE).astype("int64"))
    recurrent = loaded.model.recurrent
    assert isinstance(recurrent, torch.nn.Module)
    twin = torch.nn.LSTM(6, 12, 2)
    twin.load_state_dict(recurrent.state_dict())
    x = loaded.model.embedding(tokens[:-1].unsqueeze(1)).detach().requires_grad_()
    logits = loaded.model.readout(twin(x)[0])[:, 0]
    losses = torch.nn.functional.cross_entropy(logits, tokens[1:], reduction="none") / math.log(2)
    rows = [torch.autograd.grad(loss, x, retain_graph=True)[0].norm(dim=(1, 2)) for loss in losses]
    return torch.stack(rows).numpy()


def test_influence_is_autograds(page: TestClient, runs: tuple[Path, Path]) -> None:
    expected = by_autograd(runs[0])
    asked = {"strand": "recurrent.l0", "value": "x", "every": 0, "start": 0, "count": ROWS}
    found = post(page, "influence", **asked)
    assert found["steps"] == list(range(len(SAMPLE) - 1))
    np.testing.assert_allclose(array(found["matrix"]), expected, rtol=1e-4, atol=1e-7)


def test_a_part_of_the_influence_is_the_same_numbers(page: TestClient) -> None:
    """The first quick picture and the blocks after it fit together."""
    asked = {"strand": "recurrent.l1", "value": "c", "every": 0}
    whole = array(post(page, "influence", **asked, start=0, count=ROWS)["matrix"])
    coarse = post(page, "influence", **{**asked, "every": 5})
    assert coarse["steps"][-1] == len(SAMPLE) - 2
    np.testing.assert_allclose(array(coarse["matrix"]), whole[coarse["steps"]], rtol=1e-5)
    block = post(page, "influence", **asked, start=7, count=4)
    assert block["steps"] == [7, 8, 9, 10]
    np.testing.assert_allclose(array(block["matrix"]), whole[7:11], rtol=1e-5)


def test_decay_and_verdicts_are_the_lenss(page: TestClient, runs: tuple[Path, Path]) -> None:
    from unrolled import lens

    found = post(page, "memory")
    subject = TextSubject(RunFolder(runs[0]), "lstm")
    tokens = subject.tokens(SAMPLE)
    expected = lens.half_life(
        subject.model, tokens[:-1].unsqueeze(1), lambda output: subject.losses(output, tokens)
    )
    assert [strand["name"] for strand in found["strands"]] == list(expected.strands)
    for strand in found["strands"]:
        own = expected[strand["name"]]
        for name in ("lags", "half", "tenth", "hundredth"):
            assert strand[name] == getattr(own.decay, name)
        assert strand["left"] == pytest.approx(own.decay.left, rel=1e-4)
        assert (strand["line"] is None) == (own.line is None)
        assert strand["kind"] == own.verdict.kind
        assert strand["reasons"] == list(own.verdict.reasons)
        np.testing.assert_allclose(array(strand["by_lag"]), own.by_lag.numpy(), rtol=1e-5)


def test_spectra_of_a_plain_network(page: TestClient, runs: tuple[Path, Path]) -> None:
    """∂h_t/∂h_{t-1} = diag(1 - h_t²) U."""
    at = 9
    found = array(post(page, "singular-values", run=RNN, step=at)["recurrent.l0"])
    h = array(post(page, "values", run=RNN, strand="recurrent.l0", value="h")["values"])[at]
    weights = load(runs[1]).model.recurrent.weight_hh_l0
    assert isinstance(weights, torch.Tensor)
    jacobian = np.diag(1 - h.astype(float) ** 2) @ weights.detach().double().numpy()
    np.testing.assert_allclose(found, np.linalg.svd(jacobian)[1], rtol=1e-4)
    exponents = array(post(page, "exponents", run=RNN)["recurrent.l0"])
    assert exponents.shape == (7,)
    assert list(exponents) == sorted(exponents, reverse=True)


# ---- features


def marks(name: str, sample: str) -> list[float]:
    return features(sample)[list(FEATURES).index(name)].tolist()


def test_inside_quotes() -> None:
    """The opening quote is inside, the closing one is not; an apostrophe is no quote."""
    assert marks('inside "double" quotes', 'a "b" c') == [0, 0, 1, 1, 0, 0, 0]
    assert marks("inside 'single' quotes", "don't 'x' y") == [0] * 6 + [1, 1, 0, 0, 0]


def test_a_quote_that_is_never_closed_ends_with_its_paragraph() -> None:
    assert marks('inside "double" quotes', '"a\nb\n\nc') == [1, 1, 1, 1, 1, 0, 0]
    assert marks("inside 'single' quotes", "'tis\n\nc") == [1, 1, 1, 1, 1, 0, 0]


def test_places_in_a_text() -> None:
    assert marks("depth of brackets", "a(b[c])])") == [0, 1, 1, 2, 2, 1, 0, 0, 0]
    assert marks("position in the line", "ab\ncd") == [1, 2, 0, 1, 2]
    assert marks("after a space", "ab cd") == [1, 0, 0, 1, 0]


def test_correlations_are_pearsons() -> None:
    torch.manual_seed(0)
    values, known = torch.randn(50, 4), torch.randn(3, 50).double()
    known[2] = 0.1  # never changes
    found = correlations(values, known)
    expected = np.corrcoef(np.vstack([known[:2].numpy(), values.double().T.numpy()]))[:2, 2:]
    np.testing.assert_allclose(found[:2].numpy(), expected, rtol=1e-9)
    assert found[2].tolist() == [0, 0, 0, 0]


def test_a_unit_that_follows_a_feature_is_found(runs: tuple[Path, Path]) -> None:
    """One is made to stand for digits: it must come first among those that follow them."""
    subject = TextSubject(RunFolder(runs[1]), "rnn")
    weights = dict(subject.model.named_parameters())
    digits = [int(subject.tokens(digit)[0]) for digit in "0123456789"]
    with torch.no_grad():
        weights["embedding.weight"][:, 0] = 0
        weights["embedding.weight"][digits, 0] = 1
        for name, weight in weights.items():
            if name.startswith("recurrent."):
                weight[3] = 0
        weights["recurrent.weight_ih_l0"][3, 0] = -5
    found = find_units(subject)
    assert found is not None
    first = found["digit"][0]
    assert (first.strand, first.state, first.number) == ("recurrent.l0", "h", 3)
    assert first.r == pytest.approx(-1)
    for units in found.values():
        strengths = [abs(unit.r) for unit in units]
        assert strengths == sorted(strengths, reverse=True)


# ---- what is kept


def test_a_desk_computes_once_and_forgets_the_oldest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(desks, "KEPT", 2)
    asked: list[str] = []

    def compute(subject: Any, sample: str) -> str:
        asked.append(sample)
        return sample

    desk = Desk(None)  # type: ignore[arg-type]
    for sample in ("a", "a", "b", "c", "c", "a"):
        assert desk.get(compute, sample) == sample
    assert asked == ["a", "b", "c", "a"]


# ---- refusals


def test_samples_that_cannot_be_read(page: TestClient) -> None:
    assert refusal(page, "inspect", text="") == "sample: expected at least one character, got none"
    line = refusal(page, "inspect", text="a" * (LIMIT + 1))
    assert line.startswith(f"sample: expected at most {LIMIT} characters, got {LIMIT + 1}; ")
    assert "window=" in line
    assert "has never seen 'Z' (U+005A)" in refusal(page, "inspect", text="abZ")
    lone = page.post(
        "/api/inspect/inspect",
        content=b'{"run": 0, "text": "\\ud800"}',
        headers={"content-type": "application/json"},
    )
    assert lone.status_code in (400, 422)
    assert list(lone.json()) == ["error"]
    assert "at least 2 characters" in refusal(page, "influence", text="a", **OF, every=1)


@pytest.mark.parametrize(
    ("path", "asked", "line"),
    [
        ("inspect", {"run": 2}, "run: expected 0 to 1, got 2"),
        ("inspect", {"run": -1}, "run: expected 0 to 1, got -1"),
        ("inspect", {"run": "/etc/passwd"}, "run: expected a valid integer"),
        ("values", {"strand": "../..", "value": "h"}, "strand: expected one of recurrent.l0,"),
        ("values", {**OF, "value": "weight"}, "value: expected one of h, c, "),
        ("influence", {**OF, "every": 0}, "start, count: expected some of the steps"),
        ("influence", {**OF, "every": 0, "count": 10**9}, "count: expected less than or equal"),
        ("singular-values", {"step": 99}, "step: expected 0 to"),
    ],
)
def test_questions_that_make_no_sense(
    page: TestClient, path: str, asked: dict[str, Any], line: str
) -> None:
    assert refusal(page, path, **asked).startswith(line)


def test_a_page_without_runs_knows_none() -> None:
    with TestClient(create_app(), base_url="http://localhost") as client:
        assert client.get("/api/inspect/runs").json()["runs"] == []
        answer = client.get("/api/inspect/samples?run=0")
        assert answer.status_code == 400
        assert "the page was started without runs" in answer.json()["error"]


def test_runs_that_cannot_be_opened(runs: tuple[Path, Path], tmp_path: Path) -> None:
    """Refused before a browser is opened; nothing of a stranger's is unpickled."""
    picture = tmp_path / "picture.png"
    picture.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(64))
    with pytest.raises(UserError, match="expected the folder of a run, got a file"):
        create_app([picture])
    with pytest.raises(UserError, match="no such run"):
        create_app([tmp_path / "nothing"])
    with pytest.raises(UserError, match="not a run"):
        create_app([tmp_path])
    strange = tmp_path / "strange"
    shutil.copytree(runs[1], strange)
    (strange / "weights.safetensors").unlink()
    torch.save({"evil": 1}, strange / "weights.safetensors")
    with pytest.raises(UserError, match="corrupt"):
        create_app([strange])


@pytest.mark.parametrize("part", ["samples/00000020.txt", "cache", "vocabulary.json"])
def test_a_run_that_leads_out_of_its_folder(
    runs: tuple[Path, Path], tmp_path: Path, part: str
) -> None:
    """A stranger's run with links in it does not show what they point to."""
    secret = tmp_path / "secret"
    stranger = tmp_path / "stranger"
    shutil.copytree(runs[1], stranger)
    target = stranger / part
    if target.is_dir():
        target.rename(secret)
    else:
        target.parent.mkdir(exist_ok=True)
        target.unlink(missing_ok=True)
        secret.write_text("secret", encoding="utf-8")
    target.symlink_to(secret)
    with pytest.raises(UserError, match="leads out of the run's folder"):
        create_app([stranger])


def test_the_command_line_refuses_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture = tmp_path / "picture.png"
    picture.write_bytes(b"\x89PNG")
    assert cli.run(["lens", str(picture), "--port", "0", "--no-open"]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert "expected the folder of a run, got a file" in lines[0]


def test_names_that_are_the_same_are_told_apart(runs: tuple[Path, Path], tmp_path: Path) -> None:
    twin = tmp_path / "lstm"
    shutil.copytree(runs[0], twin)
    with TestClient(create_app([runs[0], twin]), base_url="http://localhost") as client:
        names = [run["name"] for run in client.get("/api/inspect/runs").json()["runs"]]
    assert names == ["lstm (1)", "lstm (2)"]


def test_a_run_without_its_data_has_no_samples(runs: tuple[Path, Path], tmp_path: Path) -> None:
    """A run folder that was copied from elsewhere: what is missing is left out."""
    bare = tmp_path / "bare"
    shutil.copytree(runs[0], bare)
    for part in ("cache", "samples"):
        shutil.rmtree(bare / part, ignore_errors=True)
    subject = TextSubject(RunFolder(bare), "bare")
    assert subject.samples() == []
    assert find_units(subject) is None
