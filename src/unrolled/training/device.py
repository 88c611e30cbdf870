"""Choosing a device."""

from __future__ import annotations

import torch

from unrolled.errors import UserError


def choose_device(name: str) -> str:
    """The device to use: ``cpu``, ``cuda`` or ``mps``; ``auto`` takes what is there.

    Raises:
        UserError: The device is not there.
    """
    there = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if name == "auto":
        return next(device for device, available in there.items() if available)
    if not there.get(name, False):
        present = ", ".join(device for device, available in there.items() if available)
        raise UserError(f"--device {name}: not available here; available: {present}")
    return name
