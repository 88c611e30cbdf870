"""The worked example's numbers: those of the hand calculation, and of autograd, for every cell."""

from __future__ import annotations

import math
import xml.etree.ElementTree as ElementTree
from typing import Any

import pytest
import torch
from starlette.testclient import TestClient
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from unrolled.compiler.typeset import equations
from unrolled.lens.recording import recording
from unrolled.page.learn import growth, run, train
from unrolled.page.learn_detail import _point, _shown, detail
from unrolled.page.worked import CHOICES, Network, Setting
from unrolled.page.written_out import result

PRINTED = 2e-4  # the hand calculation rounds to four decimals as it goes


def near(found: Tensor, expected: Any) -> None:
    torch.testing.assert_close(
        found, torch.tensor(expected, dtype=torch.float64), rtol=0, atol=PRINTED
    )


def test_hello_is_what_was_calculated_by_hand() -> None:
    network = Network(Setting())
    found = run(network)
    states, scores = found.strand.states["h"][:, 0], found.scores
    with recording(network, "test") as recorder:
        network(network.x)
        steps = recorder.strands["layer.l0"].steps
    ((gate, product),) = [(s.gates.values(), s.products) for s in steps[:1]]
    near(next(iter(gate))[0], [0.2973, 0.2766, 0.7974])  # x_1 W_xh
    near(product[0].result[0], [0.0, 0.0, 0.0])
    recurrent = steps[1].products[0].result[0]
    near(recurrent, [0.8176, 0.5368, 0.9591])  # h_1 W_hh
    near(next(iter(steps[1].gates.values()))[0] + recurrent, [1.2045, 1.4538, 1.3716])
    near(states[1], [0.8350, 0.8964, 0.8791])
    near(scores[1], [0.4056, 1.8696, 0.7877, 1.8910])
    near(scores[1].softmax(0), [0.0892, 0.3858, 0.1308, 0.3942])
    assert scores[1].argmax() == 3
    assert network.targets.tolist() == [1, 2, 2, 3]
    assert network.setting.letters == "helo"


def test_hello_learned_says_ello() -> None:
    network = Network(Setting())
    found = train(network, 200, 0.3, None)
    assert network(network.x).argmax(-1).flatten().tolist() == [1, 2, 2, 3]
    assert found.losses[-1] < 0.1 < found.losses[0]
    assert len(found.losses) == len(found.norms) + 1 == 201


def test_training_is_plain_gradient_descent() -> None:
    """The same as torch's, with its RNN, its optimiser and its clipping."""
    network = Network(Setting(bias=True))
    rnn = nn.RNN(4, 3, dtype=torch.float64)
    rnn.load_state_dict(network.layer.state_dict())
    readout = nn.Linear(3, 4, dtype=torch.float64)
    readout.load_state_dict(network.readout.state_dict())
    weights = [*rnn.parameters(), *readout.parameters()]
    optimizer = torch.optim.SGD(weights, lr=0.2)
    losses = []
    for _ in range(7):
        optimizer.zero_grad()
        scores = readout(rnn(network.x)[0])[:, 0]
        loss = cross_entropy(scores, network.targets, reduction="sum")
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(weights, 0.5)
        optimizer.step()
        losses.append(loss.item())
    found = train(network, 7, 0.2, 0.5)
    assert found.losses[:-1] == pytest.approx(losses, abs=1e-5)  # torch divides by ‖g‖ + 1e-6
    assert all(found.clipped)


def test_influence_is_the_product_of_jacobians() -> None:
    network = Network(Setting(word="banana", hidden=4, scale=1.7))
    found = run(network)
    U, V = network.tensors["U.h"], network.tensors["V"]
    states, scores = found.strand.states["h"][:, 0], found.scores
    for t in range(5):
        error = scores[t].softmax(0)
        error[network.targets[t]] -= 1
        gradient = V.T @ error
        for k in range(t, -1, -1):
            norm = found.influence.states["h"][t, k]
            torch.testing.assert_close(norm, gradient.norm().detach(), rtol=1e-10, atol=1e-14)
            gradient = U.T @ ((1 - states[k] ** 2) * gradient)
    assert found.influence.states["h"].triu(1).count_nonzero() == 0


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("scale", [0.5, 1.0, 2.0])
def test_growth_of_a_linear_network_is_its_spectral_radius(seed: int, scale: float) -> None:
    """Whatever the few steps of one loss do."""
    network = Network(Setting(cell="rnn,nonlinearity=identity", hidden=4, seed=seed, scale=scale))
    radius = torch.linalg.eigvals(network.tensors["U.h"].detach()).abs().max()
    assert growth(network) == pytest.approx(float(radius), rel=0.05)


def test_growth_is_of_all_states_and_ends_where_numbers_end() -> None:
    """An LSTM whose gates are open keeps c, whatever h does; too large a U has no numbers left."""
    network = Network(Setting(cell="lstm", bias=True, scale=0))
    with torch.no_grad():
        network.tensors["W.f"].zero_()
        network.tensors["W.f.bias"].fill_(100)
    assert growth(network) == pytest.approx(1, abs=1e-3)
    wild = Network(Setting(cell="rnn,nonlinearity=relu", scale=4))
    with torch.no_grad():
        wild.tensors["U.h"].fill_(1e30)
        wild.tensors["W.h"].fill_(1)
    assert math.isnan(growth(wild))
    assert growth(Network(Setting(scale=0))) == 0


def test_larger_weights_are_compared_with_those_that_were(client: TestClient) -> None:
    one, larger, smaller = (ask(client, "run", cell="gru", scale=s) for s in (1.0, 3.0, 0.5))
    assert larger["unscaled"] == {name: one[name] for name in ("whole", "growth", "saturated")}
    assert one["unscaled"] is smaller["unscaled"] is None


def test_the_states_that_a_step_reads(client: TestClient) -> None:
    for cell, names in (("rnn", ["h"]), ("lstm", ["h", "c"]), ("sru", ["c"])):
        assert ask(client, "run", cell=cell)["read"] == names


@pytest.mark.parametrize("cell", CHOICES)
def test_terms_add_up_to_the_gradient(cell: str) -> None:
    """Explicit and implicit terms together are what autograd gives, and there is no other."""
    network = Network(Setting(cell=cell, word="banana", bias=True))
    found = run(network).contributions
    name = {"U": "weight_hh_l0", "W": "weight_ih_l0"}[found.of]
    loss = network.loss(network(network.x)).sum()
    (expected,) = torch.autograd.grad(loss, network.layer.get_parameter(name))
    gradient = found.gradient
    if network.layer.cell.antisymmetric:  # the matrix is made of the weights as A - Aᵀ
        gradient = gradient - gradient.T
    torch.testing.assert_close(gradient, expected, rtol=1e-10, atol=1e-14)
    torch.testing.assert_close(found.explicit, found.norms.diagonal())
    assert found.norms.triu(1).count_nonzero() == 0


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("cell", CHOICES)
def test_the_equations_with_numbers_come_to_the_cells_own(cell: str, bias: bool) -> None:
    """What is printed, worked out as it is printed, is what the cell computes."""
    network = Network(Setting(cell=cell, word="banana", bias=bias))
    with recording(network, "test", values=True) as recorder:
        network(network.x)
        step = recorder.strands["layer.l0"].steps[2]
        point, _ = _point(network, step, 1, 2)
        for equation in equations(_shown(network)):
            found = result(equation, point)
            assert found == pytest.approx(point.values[equation.left], rel=1e-12, abs=1e-14)


@pytest.mark.parametrize("cell", CHOICES)
def test_what_arrives_is_the_sum_of_what_is_shown(cell: str) -> None:
    network = Network(Setting(cell=cell, word="banana"))
    expected = run(network).influence.states
    for k in (1, 2, 3):
        for unit in (0, 2):
            found = detail(network, k, unit, 3)
            ElementTree.fromstring(found.equations)
            for dot in (*found.backward, *found.products):
                assert dot.value == pytest.approx(sum(a * b for a, b in dot.factors), abs=1e-12)
            for dot, gradient in zip(found.backward, found.gradient.values(), strict=True):
                assert dot.value == pytest.approx(gradient[unit], abs=1e-12)
        for name, gradient in found.gradient.items():
            norm = math.hypot(*gradient)
            assert norm == pytest.approx(float(expected[name][3, k]), rel=1e-9, abs=1e-14)
        assert (found.jacobian is None) == (k == 3)


def test_one_unit_of_hello_written_out() -> None:
    found = detail(Network(Setting()), 1, 0, 3)
    text = "".join(ElementTree.fromstring(found.equations).itertext())
    plain = "".join(text.split()).replace("\u2061", "")
    assert plain == "h2,1=tanh(0.3869+0.8176)=tanh(1.2045)=0.8350"
    assert found.products[1].name == "U.h"
    assert [weight for weight, _ in found.products[1].factors] == [0.3152, 0.3008, 0.9741]


def test_the_scale_multiplies_the_recurrent_weights_alone() -> None:
    one, two = Network(Setting()), Network(Setting(scale=2.0))
    for name, tensor in one.tensors.items():
        torch.testing.assert_close(two.tensors[name], tensor * (2 if name == "U.h" else 1))


def test_without_a_nonlinearity_it_explodes_exactly() -> None:
    network = Network(Setting(cell="rnn,nonlinearity=identity", scale=3.0))
    found = run(network)
    values = found.influence.states["h"][3]
    U = network.tensors["U.h"].detach()
    error = found.scores[3].softmax(0)
    error[network.targets[3]] -= 1
    arriving = network.tensors["V"].T @ error
    for k in range(4):
        power = torch.linalg.matrix_power(U.T, 3 - k)
        torch.testing.assert_close(values[k], (power @ arriving).norm().detach())
    assert values[0] > 4 * values[3]
    largest = torch.linalg.matrix_norm(U, 2).item()
    assert detail(network, 0, 0, 3).jacobian == pytest.approx(largest, rel=1e-10)


def test_weights_are_drawn_alike_and_nobody_elses_numbers_change() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    a, b = (Network(Setting(cell="gru", seed=3)).numbers for _ in range(2))
    assert a == b != Network(Setting(cell="gru", seed=4)).numbers
    torch.testing.assert_close(torch.rand(3), expected)


# What the page asks for.


def ask(client: TestClient, question: str, **body: Any) -> Any:
    answer = client.post(f"/api/learn/{question}", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_choices(client: TestClient) -> None:
    found = client.get("/api/learn/choices").json()
    titles = [cell["title"] for cell in found["cells"]]
    first = ["RNN, tanh", "RNN, relu", "RNN, sigmoid", "RNN, identity", "GRU", "LSTM"]
    assert titles[:6] == first
    assert len(titles) == len(CHOICES)


def test_hello_as_the_page_gets_it(client: TestClient) -> None:
    found = ask(client, "run")
    assert found["by_hand"]
    near(torch.tensor(found["states"]["h"][1], dtype=torch.float64), [0.8350, 0.8964, 0.8791])
    assert "".join(found["predicted"]) == "eooo"
    assert "tanh" in found["equations"]
    weights = {round(number, 4) for rows in found["weights"].values() for r in rows for number in r}
    assert {0.2973, 0.7974, 0.3880, 0.3152, 0.9133, 0.3189, 0.8142} <= weights


def test_weights_travel_and_stay_what_they_are(client: TestClient) -> None:
    """The server keeps nothing: what training gave comes back with the next question."""
    trained = ask(client, "train", cell="lstm", updates=5, rate=0.5, clip=1.0)
    again = ask(client, "run", cell="lstm", weights=trained["weights"])
    assert again["losses"] == trained["run"]["losses"]
    assert again["loss"] == pytest.approx(trained["losses"][-1])
    assert not again["by_hand"]


def test_a_trained_scale_is_part_of_the_weights(client: TestClient) -> None:
    trained = ask(client, "train", updates=1, rate=1e-12, scale=2.0)
    assert trained["weights"]["U.h"][0][0] == pytest.approx(2 * 0.3152)


def test_what_is_out_of_the_numbers_range_is_null(client: TestClient) -> None:
    weights = ask(client, "run")["weights"]
    weights["W.h"][0][0] = weights["V"][0][0] = 1.7e308
    cell = "rnn,nonlinearity=identity"
    found = ask(client, "run", cell=cell, weights=weights, scale=4.0)
    assert found["loss"] is None
    ask(client, "detail", cell=cell, weights=weights, scale=4.0, step=1, unit=1, loss=4)


@pytest.mark.parametrize("cell", ["slstm", "mut1", "rglru", "nas"])
def test_the_longest_word(client: TestClient, cell: str) -> None:
    word = "abcdefghijklmnopqrstuvwxyzabcdefghijklmn"
    found = ask(client, "run", cell=cell, word=word, hidden=8, bias=True, scale=4.0)
    assert len(found["losses"]) == 39


BAD = {
    "long": ({"word": "x" * 10_000}, "word: expected 2 to 40 letters, got 10,000"),
    "short": ({"word": "h"}, "word: expected 2 to 40 letters, got 1"),
    "one letter": (
        {"word": "aaa"},
        "word: expected two different letters or more, got 'a' 3 times: there is nothing to",
    ),
    "one letter of Hangul": ({"word": "한한"}, "word: expected two different letters or more"),
    "line": ({"word": "a\nb"}, "word: expected letters that can be shown, got '\\n'"),
    "units": ({"hidden": 9}, "hidden: expected 1 to 8 units, got 9"),
    "none": ({"hidden": 0}, "hidden: expected 1 to 8 units, got 0"),
    "kind": ({"hidden": "3"}, "hidden: expected a valid integer, got '3'"),
    "cell": ({"cell": "transformer"}, "cell: expected one of"),
    "scale": ({"scale": 1e9}, "scale: expected less than or equal to 4"),
    "other": ({"colour": 1}, "colour: nothing of this name is asked for"),
    "names": ({"weights": {"W.h": [[1.0]]}}, "weights: expected W.h, U.h, V, got W.h"),
    "shape": (
        {"weights": {"W.h": [[1.0]], "U.h": [[1.0]], "V": [[1.0]]}},
        "weights.W.h: expected 3 x 4 finite numbers",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_questions_are_refused_in_a_line(client: TestClient, case: str) -> None:
    body, expected = BAD[case]
    answer = client.post("/api/learn/run", json=body)
    assert answer.status_code in (400, 422)
    line = answer.json()["error"]
    assert line.startswith(expected)
    assert "\n" not in line
    assert len(line) < 600


@pytest.mark.parametrize(
    ("question", "body", "expected"),
    [
        ("detail", {"step": 5, "unit": 1, "loss": 1}, "step: expected 1 to 4, got 5"),
        ("detail", {"step": 1, "unit": 4, "loss": 1}, "unit: expected 1 to 3, got 4"),
        ("detail", {"step": 1, "unit": 1, "loss": 0}, "loss: expected greater than or equal to 1"),
        ("train", {"updates": 201, "rate": 0.1}, "updates: expected less than or equal to 200"),
        ("train", {"updates": 1, "rate": 0}, "rate: expected greater than 0"),
        ("train", {"updates": 1, "rate": 0.1, "clip": -1}, "clip: expected greater than 0"),
        (
            "train",
            {"updates": 200, "rate": 10, "cell": "rnn,nonlinearity=identity"},
            "after 4 updates the loss is no finite number any more",
        ),
    ],
)
def test_other_bad_questions(
    client: TestClient, question: str, body: dict[str, Any], expected: str
) -> None:
    answer = client.post(f"/api/learn/{question}", json=body)
    assert answer.status_code in (400, 422)
    assert answer.json()["error"].startswith(expected)
