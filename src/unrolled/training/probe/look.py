"""One look through time at a model in training: how far back its loss reaches."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from unrolled.lens.decay import Decay, decay_of_influence
from unrolled.lens.recording import Strand, recording
from unrolled.lens.saturation import saturation_of
from unrolled.lens.tracing import strand_trace

REACH = 0.99
"""Share of the influence that lies within the reach."""


@dataclass(frozen=True)
class LayerLook:
    """What a look finds in one direction of one layer.

    Attributes:
        influence: ‖∂ℓ/∂h‖ of the loss at the last step with respect to the layer's output so many
            steps back, lag 0 first; the mean over rows. In a reverse direction, of the loss at the
            first step, so many steps ahead.
        saturation: for each sigmoid and tanh of the cell, the shares of units and steps below 0.05
            (tanh: -0.97) and above 0.95 (tanh: 0.97).
    """

    influence: tuple[float, ...]
    saturation: Mapping[str, tuple[float, float]]

    @cached_property
    def decay(self) -> Decay:
        """The lags at which a half, a tenth and a hundredth are left, and what is left at last."""
        return decay_of_influence(self._norms)

    @cached_property
    def reach(self) -> int:
        """Steps, the present one counted, within which 99 % of the influence lies.

        All of them where the influence is no finite number.
        """
        within = self._norms.cumsum(0)
        if not len(within) or not within[-1].isfinite():
            return len(within)
        return min(int((within < REACH * within[-1]).sum()) + 1, len(within))

    @property
    def _norms(self) -> Tensor:
        return torch.tensor(self.influence, dtype=torch.float64, device="cpu")

    def record(self) -> dict[str, Any]:
        """All of it as JSON has it; what follows from influence is there for other readers."""
        decay = self.decay
        return {
            "influence": self.influence,
            "half": decay.half,
            "tenth": decay.tenth,
            "hundredth": decay.hundredth,
            "left": _number(decay.left),
            "half_life": _number(decay.half_life),
            "r_squared": _number(decay.fit.r_squared),
            "reach": self.reach,
            "saturation": self.saturation,
        }


@dataclass(frozen=True)
class Look:
    """One look.

    Attributes:
        step: updates made before it.
        seconds: what it took.
        layers: what it found, by the layer's name and direction, in the order in which they ran.
    """

    step: int
    seconds: float
    layers: Mapping[str, LayerLook]

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Look:
        """Read back what `record` and JSON made of a look; earlier versions' looks as well.

        Raises:
            KeyError, TypeError, ValueError: if it is none.
        """
        layers = {
            str(name): LayerLook(
                _norms(layer["influence"]),
                {
                    str(gate): (float(low), float(high))
                    for gate, (low, high) in layer["saturation"].items()
                },
            )
            for name, layer in record["layers"].items()
        }
        return cls(int(record["step"]), float(record["seconds"]), layers)

    def record(self) -> dict[str, Any]:
        """All of it as JSON has it."""
        layers = {name: layer.record() for name, layer in self.layers.items()}
        return {"step": self.step, "seconds": self.seconds, "layers": layers}


def look(model: nn.Module, losses: Callable[[], Tensor | None]) -> dict[str, LayerLook]:
    r"""Look through time: one run on the reference, one backward pass, both of a few rows.

    The last loss of every row is differentiated by every earlier output of every layer,

    .. math::
        \left\| \frac{\partial \ell_T}{\partial h_{T-d}} \right\|, \quad d = 0, 1, \dots

    exactly. The model runs in evaluation mode and is left as it was; its gradients and torch's
    random numbers are not touched.

    Args:
        model: any module with recurrent layers of unrolled's or torch.nn's in it.
        losses: runs the model and gives the loss of each prediction, ``[T, N]`` with time first,
            or of whole sequences, ``[1, N]``; rows must not see each other. None where there is
            nothing to look at.

    Returns:
        What it found, by the layer's name and direction; nothing where ``losses`` gives None.

    Raises:
        ValueError: if there is no layer that can be watched, or none was used.
    """
    devices = {p.device.index for p in model.parameters() if p.is_cuda}
    with torch.random.fork_rng(devices), recording(model, "look", values=True) as recorder:
        found = losses()
        if found is None:
            return {}
        recorder.check_used("look")
        strands = [strand for strand in recorder.strands.values() if strand.steps]
        layers: dict[str, LayerLook] = {}
        for reverse in {strand.reverse for strand in strands}:
            own = [strand for strand in strands if strand.reverse == reverse]
            outputs = [step.after[0] for strand in own for step in strand.steps]
            loss = found[0 if reverse else -1].sum()
            gradients = torch.autograd.grad(
                loss, outputs, retain_graph=not reverse, allow_unused=True
            )
            first = 0
            for strand in own:
                last = first + len(strand.steps)
                layers[strand.name] = _layer(strand, outputs[first:last], gradients[first:last])
                first = last
    return {strand.name: layers[strand.name] for strand in strands}


def _layer(
    strand: Strand, outputs: list[Tensor], gradients: tuple[Tensor | None, ...]
) -> LayerLook:
    by_time = torch.stack(
        [
            torch.zeros_like(output) if gradient is None else gradient
            for output, gradient in zip(outputs, gradients, strict=True)
        ]
    )
    # In float64, where squares of small numbers are no zeros.
    norms = torch.linalg.vector_norm(by_time.double(), dim=-1).mean(-1).cpu()
    influence = norms if strand.reverse else norms.flip(0)
    gates = saturation_of(strand_trace(strand))
    return LayerLook(
        tuple(influence.tolist()), {name: (gate.low, gate.high) for name, gate in gates.items()}
    )


def _norms(values: Any) -> tuple[float, ...]:
    """Influence as it was written.

    Raises:
        ValueError: if it is not one norm or more.
    """
    norms = tuple(float(norm) for norm in values)
    if not norms or any(norm < 0 for norm in norms):
        raise ValueError("influence: expected one norm or more")
    return norms


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None
