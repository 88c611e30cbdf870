"""One checkpoint = one safetensors file, replaced atomically.

Everything a run needs to go on is in it: tensors as tensors, the rest as JSON in the file's
metadata with a checksum over all tensors. So there is never a half-new checkpoint, and reading one
from a stranger executes nothing.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from unrolled.errors import UserError, reason
from unrolled.files import check_regular, parse_json, write_file
from unrolled.training.run_folder.folder import RunFolder

FORMAT = 1


def write_tensors(
    path: Path,
    tensors: Mapping[str, Tensor],
    record: Mapping[str, Any],
    write: Callable[[Path, bytes], None] = write_file,
) -> None:
    """Write tensors and a JSON record as one file, atomically.

    Args:
        path: The file.
        tensors: By their names.
        record: What JSON can hold.
        write: Replaces the file's content.

    Raises:
        OSError: The folder cannot be written, or the disk is full.
    """
    # Clones on the CPU: safetensors refuses tensors that share storage.
    copies = {name: t.detach().to("cpu").clone().contiguous() for name, t in tensors.items()}
    text = json.dumps(record)
    metadata = {
        "format": str(FORMAT),
        "checksum": str(_checksum(copies, text)),
        "record": text,
    }
    write(path, save(copies, metadata=metadata))


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read what ``write_tensors`` wrote.

    Returns:
        The tensors, on the CPU, and the record.

    Raises:
        UserError: The file is missing, truncated, changed, or not one of ours.
    """
    check_regular(path)
    try:
        with _utf8_name(path) as name, safe_open(name, framework="pt", device="cpu") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except OSError as error:
        raise UserError(f"{path}: {reason(error)}") from error
    except SafetensorError as error:
        raise UserError(f"{path}: corrupt or truncated: {error}") from error
    if metadata.get("format") != str(FORMAT):
        raise UserError(f"{path}: not a file of this version of unrolled")
    if metadata.get("checksum") != str(_checksum(tensors, metadata.get("record", ""))):
        raise UserError(f"{path}: corrupt: the checksum does not match the content")
    record = parse_json(metadata.get("record", ""), path)
    if not isinstance(record, dict):
        raise UserError(f"{path}: corrupt: its record is not a table")
    return tensors, record


@contextmanager
def _utf8_name(path: Path) -> Iterator[str]:
    """A name of a file in UTF-8, as safetensors needs it: its own, else that of an open handle."""
    name = str(path)
    if not any("\ud800" <= c <= "\udfff" for c in name):
        yield name
    else:  # bytes that are no UTF-8 are names on POSIX only, where handles have names, too
        with path.open("rb") as file:
            yield f"/dev/fd/{file.fileno()}"


def load_weights(model: nn.Module, weights: Mapping[str, Tensor], path: Path) -> None:
    """Load weights into a model.

    Raises:
        UserError: A weight is missing, left over, or has another shape than the model's.
    """
    # What is empty is a mark, and cannot be missed: older files have none.
    own = {k: t for k, t in model.state_dict().items() if t.numel() or k in weights}
    missing, extra = sorted(own.keys() - weights.keys()), sorted(weights.keys() - own.keys())
    if missing or extra:
        what = f"lacks {missing[0]}" if missing else f"has {extra[0]}, which the model lacks"
        raise UserError(f"{path}: does not fit the run's options: {what}")
    for name, tensor in own.items():
        if tensor.shape != weights[name].shape:
            raise UserError(
                f"{path}: does not fit the run's options: {name} has shape "
                f"{list(weights[name].shape)}, expected {list(tensor.shape)}"
            )
        if not (weights[name].is_floating_point() and bool(weights[name].isfinite().all())):
            raise UserError(f"{path}: corrupt: {name} has values that are not finite numbers")
    model.load_state_dict(dict(weights))


def load_best(model: nn.Module, folder: RunFolder, device: torch.device | str) -> None:
    """Make a model ready for use: the best weights of a run, on a device, in eval mode.

    Raises:
        UserError: The run has no weights yet, its file is corrupt, or they are not the model's.
    """
    load_weights(model, *best_weights(folder))
    model.to(torch.device(device)).eval()


def best_weights(folder: RunFolder) -> tuple[dict[str, Tensor], Path]:
    """The best weights of a run, and their file; those of the checkpoint if there are none yet.

    Raises:
        UserError: The run has no weights yet, or its file is corrupt.
    """
    if os.path.lexists(folder.weights):  # even if it leads nowhere
        return read_tensors(folder.weights)[0], folder.weights
    if folder.checkpoint.exists():
        tensors = read_tensors(folder.checkpoint)[0]
        return under(tensors, "model") | under(tensors, "average"), folder.checkpoint
    raise UserError(f"{folder.path}: has no weights yet; train it with --resume")


def under(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors whose names begin with ``prefix.``, without it."""
    start = prefix + "."
    return {k.removeprefix(start): t for k, t in tensors.items() if k.startswith(start)}


def over(prefix: str, tensors: Mapping[str, Tensor] | Iterable[Tensor]) -> dict[str, Tensor]:
    """Tensors with ``prefix.`` before their names, or their numbers if they have none."""
    items = tensors.items() if isinstance(tensors, Mapping) else enumerate(tensors)
    return {f"{prefix}.{name}": tensor for name, tensor in items}


def optimizer_state(
    optimizer: torch.optim.Optimizer,
) -> tuple[dict[str, Tensor], dict[str, dict[str, Any]]]:
    """An optimizer's state as tensors named ``INDEX.KEY`` and plain values by index and key."""
    tensors: dict[str, Tensor] = {}
    values: dict[str, dict[str, Any]] = {}
    for index, entries in optimizer.state_dict()["state"].items():
        for key, value in entries.items():
            if isinstance(value, Tensor):
                tensors[f"{index}.{key}"] = value
            else:
                values.setdefault(str(index), {})[key] = value
    return tensors, values


def load_optimizer(
    optimizer: torch.optim.Optimizer,
    tensors: Mapping[str, Tensor],
    values: Mapping[str, Mapping[str, Any]],
) -> None:
    """Give an optimizer the state of another; its own options (lr, decay, …) stay.

    Raises:
        ValueError: The state belongs to another optimizer or to other parameters.
    """
    state: dict[int, dict[str, Any]] = {int(i): dict(v) for i, v in values.items()}
    for name, tensor in tensors.items():
        index, key = name.split(".", 1)
        state.setdefault(int(index), {})[key] = tensor
    groups = optimizer.state_dict()["param_groups"]
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    expected = _moments(optimizer)
    if state and state.keys() != set(range(len(parameters))):
        raise ValueError(f"it has moments of {len(state)} parameters, there are {len(parameters)}")
    for number, moments in state.items():
        if moments.keys() != expected:
            raise ValueError(f"it is of another optimizer: {', '.join(sorted(moments))}")
        for key, moment in moments.items():
            shape = () if key == "step" else parameters[number].shape
            if not isinstance(moment, Tensor) or moment.shape != shape:
                raise ValueError(f"optimizer: {key} of parameter {number} has another shape")
    optimizer.load_state_dict({"state": state, "param_groups": groups})


def _moments(optimizer: torch.optim.Optimizer) -> set[str]:
    """Names of what an optimizer keeps for each parameter."""
    if isinstance(optimizer, torch.optim.SGD):
        return {"momentum_buffer"}
    return {"step", "exp_avg", "exp_avg_sq"}


def random_state() -> dict[str, Tensor]:
    """States of torch's random generators: the CPU's and every CUDA device's in use."""
    states = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        states |= {f"cuda{i}": s for i, s in enumerate(torch.cuda.get_rng_state_all())}
    if torch.backends.mps.is_available():
        states["mps"] = torch.mps.get_rng_state()
    return states


def load_random_state(states: Mapping[str, Tensor]) -> None:
    """Set torch's random generators, those of devices that are here."""
    for name, state in states.items():
        if name == "cpu":
            torch.set_rng_state(state)
        elif name == "mps" and torch.backends.mps.is_available():
            torch.mps.set_rng_state(state)
        elif name.startswith("cuda"):
            device = int(name.removeprefix("cuda"))
            if device < torch.cuda.device_count():
                torch.cuda.set_rng_state(state, device)


def _checksum(tensors: Mapping[str, Tensor], record: str) -> int:
    """CRC-32 over the record and all tensors' bytes in order of their names."""
    value = zlib.crc32(record.encode())
    for name in sorted(tensors):
        flat = tensors[name].contiguous().reshape(-1)
        value = zlib.crc32(name.encode(), value)
        if flat.numel():
            value = zlib.crc32(flat.view(torch.uint8).numpy().data, value)
    return value
