"""What torch.nn's layers have beside their call, public or nearly so, does the same on ours."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import prune, stateless
from torch.nn.utils.rnn import pack_sequence

import unrolled

SETTINGS: dict[str, dict[str, Any]] = {
    "plain": {},
    "two-layers-both-ways": {"num_layers": 2, "bidirectional": True, "bias": False},
    "batch-first": {"batch_first": True},
    "projected": {"proj_size": 2},
}
x = torch.randn(9, 2, 3, generator=torch.Generator().manual_seed(1))
packed = pack_sequence([x[:5, 0], x[:, 1]], enforce_sorted=False)


def states(m: Any, rows: int) -> Any:
    """Initial states of a layer, none of them zero."""
    stacked = m.num_layers * (2 if m.bidirectional else 1)
    found = tuple(torch.full((stacked, rows, n), 0.5) for n in (m.proj_size or 4, 4))
    return found if m.mode == "LSTM" else found[0]


def rows(m: Any) -> int:
    return 9 if m.batch_first else 2


def unpickled_from(m: Any, old: Callable[[dict[str, Any]], None]) -> Any:
    """A copy by way of the state that an older torch would have saved."""
    state = dict(m.__getstate__())
    if not m.proj_size:
        del state["proj_size"]
    old(state)
    made = object.__new__(type(m))
    made.__setstate__(state)
    return made


def as_of_0_4(m: Any) -> Any:
    """Weights themselves in the place of their names."""

    def old(state: dict[str, Any]) -> None:
        names = state.pop("_all_weights")
        state["all_weights"] = [[getattr(m, name) for name in own] for own in names]
        del state["_flat_weights"], state["_flat_weights_names"]

    made = unpickled_from(m, old)
    return made._flat_weights_names, made._all_weights, made(x)


def replaced(m: Any) -> Any:
    m.weight_hh_l0 = nn.Parameter(m.weight_hh_l0.detach() * 3)
    return m(x), m.all_weights, m._flat_weights


def deleted_and_put_back(m: Any) -> Any:
    weight = m.weight_hh_l0
    del m.weight_hh_l0
    m.float()
    m.weight_hh_l0 = weight
    return m(x), len(m._flat_weights)


def pruned(m: Any) -> Any:
    prune.l1_unstructured(m, "weight_hh_l0", 0.5)  # type: ignore[no-untyped-call]
    during = m(x), sorted(m.state_dict())
    prune.remove(m, "weight_hh_l0")  # type: ignore[no-untyped-call]
    return during, m(x), sorted(m.state_dict())


def hooked(m: Any) -> Any:
    seen: list[Any] = []
    m.register_forward_pre_hook(lambda _, args: seen.append(len(args)))
    m.register_forward_hook(lambda _, args, out: seen.append((len(args), len(out))))
    m.register_full_backward_hook(lambda _, into, out: seen.append((len(into), len(out))))
    inside = x.clone().requires_grad_()
    m(inside)[0].sum().backward()
    return seen, inside.grad


METHODS: dict[str, Callable[[Any], Any]] = {
    "check_input": lambda m: m.check_input(x, None),
    "check_input-packed": lambda m: m.check_input(packed.data, packed.batch_sizes),
    "check_input-unbatched": lambda m: m.check_input(x[0], None),
    "check_input-features": lambda m: m.check_input(x[..., :2], None),
    "check_input-dtype": lambda m: m.check_input(x.double(), None),
    "check_hidden_size": lambda m: m.check_hidden_size(x, (1, 2, 9)),
    "check_hidden_size-words": lambda m: m.check_hidden_size(x, (1, 2, 9), "{} is not {}"),
    "check_forward_args": lambda m: m.check_forward_args(x, states(m, rows(m)), None),
    "check_forward_args-rows": lambda m: m.check_forward_args(x, states(m, 5), None),
    "get_expected_hidden_size": lambda m: m.get_expected_hidden_size(x, None),
    "get_expected_hidden_size-packed": lambda m: m.get_expected_hidden_size(x, packed.batch_sizes),
    "get_expected_cell_size": lambda m: m.get_expected_cell_size(x, None),
    "permute_hidden": lambda m: m.permute_hidden(states(m, 2), torch.tensor([1, 0])),
    "permute_hidden-none": lambda m: m.permute_hidden(states(m, 2), None),
    "flatten_parameters": lambda m: m.flatten_parameters(),
    "_flat_weights": lambda m: (m._flat_weights, m._flat_weights_names, m._weights_have_changed()),
    "all_weights": lambda m: (m.all_weights, m._all_weights),
    "extra_repr": lambda m: m.extra_repr(),
    "pickle": lambda m: pickle.loads(pickle.dumps(m))(x),
    "pickle-of-1.7": lambda m: unpickled_from(m, lambda _: None)(x),
    "pickle-of-0.4": as_of_0_4,
    "deepcopy": lambda m: copy.deepcopy(m)(x, states(m, rows(m))),
    "share_memory": lambda m: (m.share_memory()(x), [p.is_shared() for p in m.parameters()]),
    "half": lambda m: [p.dtype for p in m.half()._flat_weights],
    "type": lambda m: [p.dtype for p in m.type("torch.DoubleTensor")._flat_weights],
    "type-integer": lambda m: m.to(torch.int32),
    "to_empty": lambda m: [
        p.device.type for p in m.to("meta").to_empty(device="cpu")._flat_weights
    ],
    "functional_call": lambda m: torch.func.functional_call(m, doubled(m), (x,)),
    "stateless": lambda m: stateless.functional_call(m, doubled(m), (x,)),
    "load_state_dict-assign": lambda m: (m.load_state_dict(doubled(m), assign=True) and 0, m(x)),
    "load_state_dict-shape": lambda m: m.load_state_dict({"weight_ih_l0": x[0]}, strict=False),
    "replicate": lambda m: m._replicate_for_data_parallel()._flat_weights_names,
    "replaced": replaced,
    "deleted-and-put-back": deleted_and_put_back,
    "pruned": pruned,
    "hooks": hooked,
}


def doubled(m: Any) -> dict[str, Tensor]:
    return {name: weight.detach() * 2 for name, weight in m.named_parameters()}


def outcome(method: Callable[[Any], Any], module: nn.Module) -> Any:
    """What a method returns, or the error that it raises."""
    try:
        return method(module)
    except Exception as error:
        return type(error), str(error)


def assert_same(ours: Any, theirs: Any) -> None:
    if isinstance(theirs, Tensor):
        torch.testing.assert_close(ours, theirs)
    elif isinstance(theirs, (tuple, list)):
        assert type(ours) is type(theirs)
        assert len(ours) == len(theirs)
        for one, other in zip(ours, theirs, strict=True):
            assert_same(one, other)
    else:
        assert ours == theirs


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize(
    ("kind", "setting"),
    [
        (kind, setting)
        for kind in ("LSTM", "GRU", "RNN")
        for setting in SETTINGS
        if kind == "LSTM" or setting != "projected"  # torch.nn projects the LSTM only
    ],
)
def test_a_method_does_what_torch_nn_s_does(name: str, kind: str, setting: str) -> None:
    arguments = SETTINGS[setting]
    theirs = getattr(nn, kind)(3, 4, **arguments)
    ours = getattr(unrolled, kind)(3, 4, **arguments)
    ours.load_state_dict(theirs.state_dict())
    assert_same(outcome(METHODS[name], ours), outcome(METHODS[name], theirs))
