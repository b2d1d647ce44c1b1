"""Compute devices, as torch names them."""

from typing import Annotated

import typer

from node.errors import ConfigurationError

Device = Annotated[str, typer.Option("--device", help="Where to compute: cpu, cuda or cuda:N.")]


def available() -> dict[str, str]:
    """The devices of this machine by name, each with what it is."""
    import torch

    cards = {f"cuda:{n}": torch.cuda.get_device_name(n) for n in range(torch.cuda.device_count())}
    return {"cpu": f"CPU, {torch.get_num_threads()} threads"} | cards


def checked(device: str) -> str:
    """The device, if this machine has it; torch is asked for anything but the CPU only.

    Raises:
        ConfigurationError: it has not.
    """
    if device == "cpu":
        return device
    there = available()
    name = "cuda:0" if device == "cuda" else device
    if name not in there:
        raise ConfigurationError(f"there is no device {device!r} here; there is {', '.join(there)}")
    return name
