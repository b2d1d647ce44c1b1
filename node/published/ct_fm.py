"""Files of CT-FM: which network they hold, and its tensors under the keys that the algorithms ask for.

Published files have the bare keys; those of training frameworks put prefixes before them, and name the
head of the triage network as they like. The size of a network is in its shapes.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Annotated, Any, Final

from pydantic import BaseModel, Field, ValidationError

from algorithms.ct_fm.network import Architecture, canonical
from algorithms.weights import Shapes, WeightsFaulty, shapes_of
from node.archives import Content, Tensors

WHOLE_BODY: Final = Architecture(out_channels=118, dsdepth=4)
"""The background and the 117 structures of TotalSegmentator 2."""

ENCODER: Final = Architecture()

_FIELDS: Final = frozenset(asdict(ENCODER))

Count = Annotated[int, Field(strict=True, ge=1, le=16)]


class _Network(BaseModel):
    """What a configuration may say of a network; larger ones are nobody's."""

    init_filters: int = Field(strict=True, ge=1, le=128)
    blocks_down: tuple[Count, ...] = Field(min_length=2, max_length=6)
    out_channels: Annotated[int, Field(strict=True, ge=2, le=1024)] | None
    dsdepth: Count


def segmenter_shapes(config: Mapping[str, Any]) -> Shapes:
    """The tensors of encoder and decoder.

    Raises:
        WeightsFaulty: the configuration describes no such network.
    """
    return shapes_of(_architecture(config).segmenter)


def encoder_shapes(config: Mapping[str, Any]) -> Shapes:
    """The tensors of the encoder alone.

    Raises:
        WeightsFaulty: the configuration describes no such network.
    """
    return shapes_of(_architecture(config).encoder)


def triage_shapes(config: Mapping[str, Any]) -> Shapes:
    """The tensors of the encoder and of the head of two layers.

    Raises:
        WeightsFaulty: the configuration describes no such network.
    """
    from algorithms.ct_fm.triage_network import TriageNetwork

    architecture = _architecture(config)
    return shapes_of(lambda: TriageNetwork(architecture))


def whole_body_shapes(config: Mapping[str, Any]) -> Shapes:
    """The tensors of the segmenter of the whole body, whose classes are given.

    Raises:
        WeightsFaulty: the configuration describes no such network.
    """
    return segmenter_shapes({**config, "out_channels": WHOLE_BODY.out_channels})


def fitted(
    tensors: Tensors,
    config: Mapping[str, Any],
    wanted: Callable[[Mapping[str, Any]], Shapes],
    usual: Architecture | None = None,
) -> Content:
    """The tensors of a network under its own keys, and a configuration that tells its size.

    Args:
        tensors: of the file.
        config: what is said beside the file; the size of the network need not be.
        wanted: the tensors that a configuration asks for.
        usual: the network, where nothing is said; None for the one that the shapes tell.

    Raises:
        WeightsFaulty: the configuration describes no such network.
    """
    config = _sized(tensors, config, usual)
    keys = canonical(tensors.keys(), wanted(config).keys())
    return {key: tensors[old] for old, key in keys.items()}, config


def triage(tensors: Tensors, config: Mapping[str, Any]) -> Content:
    """The tensors of the triage network; its head is the two linear layers of the file, whatever their names.

    Raises:
        WeightsFaulty: the head has other layers, or the configuration describes no such network.
    """
    trunk = {key: tensor for key, tensor in tensors.items() if tensor.ndim != 2}
    config = _sized(tensors, config, None)
    architecture = _architecture(config)
    head = _head(tensors, architecture)
    trunk = {key: tensor for key, tensor in trunk.items() if key not in head}
    keys = canonical(trunk.keys(), encoder_shapes(config).keys())
    found = {f"encoder.{key}": trunk[old] for old, key in keys.items()}
    return found | {key: tensors[old] for old, key in head.items()}, config


def _head(tensors: Tensors, architecture: Architecture) -> dict[str, str]:
    """The keys of the head by those of the file."""
    from algorithms.ct_fm.triage_network import HIDDEN

    layers = {key: tuple(tensor.shape) for key, tensor in tensors.items() if tensor.ndim == 2}
    wanted: dict[tuple[int, ...], str] = {(HIDDEN, architecture.features): "head.2", (1, HIDDEN): "head.4"}
    if sorted(layers.values()) != sorted(wanted):
        there = ", ".join(f"{key} {shape}" for key, shape in layers.items()) or "none"
        raise WeightsFaulty(
            f"the head is not two linear layers of the shapes {' and '.join(map(str, wanted))}; "
            f"there is {there}"
        )
    return {
        f"{key.removesuffix('.weight')}.{part}": f"{wanted[shape]}.{part}"
        for key, shape in layers.items()
        for part in ("weight", "bias")
        if f"{key.removesuffix('.weight')}.{part}" in tensors
    }


def _sized(tensors: Tensors, config: Mapping[str, Any], usual: Architecture | None) -> dict[str, Any]:
    """The configuration, with the size of the network in it."""
    if _FIELDS & config.keys():
        return dict(config)
    shapes = {key: tuple(tensor.shape) for key, tensor in tensors.items()}
    return {**config, **asdict(usual or Architecture.of_tensors(shapes))}


def _architecture(config: Mapping[str, Any]) -> Architecture:
    try:
        network = _Network.model_validate({**asdict(ENCODER), **config})
    except ValidationError as error:
        fault = error.errors()[0]
        at = ".".join(map(str, fault["loc"]))
        raise WeightsFaulty(f"its configuration: {at}: {fault['msg']}") from None
    return Architecture(**network.model_dump())
