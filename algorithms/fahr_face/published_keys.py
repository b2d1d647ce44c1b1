"""Files of vision transformers: which network they hold, and its tensors under the keys of `network`.

Three ways to name the same tensors are published: that of transformers up to version 4, that of version 5
and later, and that of facebookresearch/mae and timm, where query, key and value are one tensor.
"""

import re
from collections.abc import Mapping
from dataclasses import asdict
from math import isqrt
from typing import TYPE_CHECKING, Any, Final

from algorithms.weights import Shapes, WeightsFaulty, shapes_of

if TYPE_CHECKING:
    import torch

Tensors = Mapping[str, "torch.Tensor"]

_PREFIX: Final = re.compile(
    r"^(?:(?:model_state_dict|state_dict|module|model|vit|encoder(?=\.patch_embed))\.)+"
)
_BESIDE: Final = re.compile(r"(?:decoder.*|mask_token|pooler\..*|optimizer.*)")
"""What stands beside the network: pre-training, the optimiser."""

_NAMES: Final[tuple[tuple[str, str], ...]] = (
    (r"(?:embeddings\.)?cls_token", "class_token"),
    (r"embeddings\.position_embeddings|pos_embed", "position"),
    (r"(?:embeddings\.patch_embeddings\.projection|patch_embed\.proj)", "patch"),
    (r"layernorm|fc_norm|norm", "norm"),
    (r"(?:encoder\.layer|layers|blocks)\.(\d+)\.(?:layernorm_before|norm1)", r"blocks.\1.norm1"),
    (r"(?:encoder\.layer|layers|blocks)\.(\d+)\.(?:layernorm_after|norm2)", r"blocks.\1.norm2"),
    (r"blocks\.(\d+)\.attn\.qkv", r"blocks.\1.qkv"),
    (r"encoder\.layer\.(\d+)\.attention\.attention\.(query|key|value)", r"blocks.\1.\2"),
    (r"layers\.(\d+)\.attention\.q_proj", r"blocks.\1.query"),
    (r"layers\.(\d+)\.attention\.k_proj", r"blocks.\1.key"),
    (r"layers\.(\d+)\.attention\.v_proj", r"blocks.\1.value"),
    (
        r"(?:encoder\.layer\.(\d+)\.attention\.output\.dense|layers\.(\d+)\.attention\.o_proj"
        r"|blocks\.(\d+)\.attn\.proj)",
        r"blocks.\1\2\3.projection",
    ),
    (
        r"(?:encoder\.layer\.(\d+)\.intermediate\.dense|(?:layers|blocks)\.(\d+)\.mlp\.fc1)",
        r"blocks.\1\2.hidden",
    ),
    (r"(?:encoder\.layer\.(\d+)\.output\.dense|(?:layers|blocks)\.(\d+)\.mlp\.fc2)", r"blocks.\1\2.output"),
)
_TABLE: Final = tuple((re.compile(rf"(?:{old})(?=\.(?:weight|bias)$|$)"), new) for old, new in _NAMES)
_HEAD: Final = re.compile(r"(?:.+\.)?(?:head|classifier|regressor|fc|out|linear|age|risk|survival)[\w.]*")
_THIRDS: Final = ("query", "key", "value")


def canonical(key: str) -> str | None:
    """The key of `network.FaceTransformer` for one of a file; None for what stands beside it.

    Query, key and value of the two ways that keep them apart are `blocks.{i}.query` and so on, until
    `fitted` joins them. A key that is in no table is kept.
    """
    bare = _PREFIX.sub("", key)
    if _BESIDE.fullmatch(bare):
        return None
    for old, new in _TABLE:
        if found := old.match(bare):
            return found.expand(new) + bare[found.end() :]
    return bare


def shapes(config: Mapping[str, Any]) -> Shapes:
    """The tensors of the network with its head.

    Raises:
        WeightsFaulty: the configuration describes no such network.
    """
    from algorithms.fahr_face.network import Architecture, FaceTransformer

    architecture = Architecture.of(config)
    if architecture.outputs is None:
        raise WeightsFaulty("its configuration: outputs is missing; a network without a head says nothing")
    return shapes_of(lambda: FaceTransformer(architecture))


def fitted(tensors: Tensors, config: Mapping[str, Any]) -> tuple[dict[str, "torch.Tensor"], dict[str, Any]]:
    """The tensors under the network's own keys, and a configuration that tells its size.

    Args:
        tensors: of the file.
        config: what is said beside the file: `heads`, `mean`, `deviation` and the like; it wins.

    Raises:
        WeightsFaulty: there is no such network in the file; the tensor is named.
    """
    hugging = any(".layer." in key or "layers." in key for key in tensors)
    global_pool = any(_PREFIX.sub("", key).startswith("fc_norm.") for key in tensors)
    joined = _headed(_joined(_canonical(tensors, global_pool)))
    size = _size_of({key: tuple(tensor.shape) for key, tensor in joined.items()})
    usual = {"pooling": "mean" if global_pool else "class", "epsilon": 1e-12 if hugging else 1e-6}
    full = {**size, **usual, **config}
    from algorithms.fahr_face.network import Architecture

    return joined, {**config, **asdict(Architecture.of(full))}


def _canonical(tensors: Tensors, global_pool: bool) -> "dict[str, torch.Tensor]":
    found: dict[str, torch.Tensor] = {}
    for key, tensor in tensors.items():
        bare = _PREFIX.sub("", key)
        new = canonical(key)
        if new is None or (global_pool and bare.startswith("norm.")):
            continue
        if new in found:
            raise WeightsFaulty(f"two tensors of the file are {new}; one of them is {key}")
        found[new] = tensor
    return found


def _joined(named: "dict[str, torch.Tensor]") -> "dict[str, torch.Tensor]":
    """Query, key and value of each block as one tensor."""
    import torch

    joined = {key: tensor for key, tensor in named.items() if _third(key) is None}
    for stem, kind in sorted({third for key in named if (third := _third(key)) is not None}):
        parts = [f"{stem}.{each}.{kind}" for each in _THIRDS]
        if missing := [part for part in parts if part not in named]:
            raise WeightsFaulty(f"tensor {missing[0]} is missing: query, key and value belong together")
        joined[f"{stem}.qkv.{kind}"] = torch.cat([named[part] for part in parts])
    return joined


def _third(key: str) -> tuple[str, str] | None:
    found = re.fullmatch(rf"(blocks\.\d+)\.(?:{'|'.join(_THIRDS)})\.(weight|bias)", key)
    return (found[1], found[2]) if found else None


def _headed(named: "dict[str, torch.Tensor]") -> "dict[str, torch.Tensor]":
    """The one linear layer of 1 or 101 outputs is the head, whatever its name."""
    heads = [
        key.removesuffix(".weight")
        for key, tensor in named.items()
        if key.endswith(".weight") and tensor.ndim == 2 and _HEAD.fullmatch(key) and len(tensor) in {1, 101}
    ]
    if len(heads) != 1:
        there = ", ".join(heads) or "none"
        raise WeightsFaulty(f"there must be one head, a linear layer of 1 or 101 outputs; there is {there}")
    stem = f"{heads[0]}."
    return {
        f"head.{key.removeprefix(stem)}" if key.startswith(stem) else key: tensor
        for key, tensor in named.items()
    }


def _size_of(found: Shapes) -> dict[str, Any]:
    """The size of a network by the shapes of its tensors."""
    wanted = {"patch.weight": 4, "position": 3, "blocks.0.hidden.weight": 2, "head.weight": 2}
    for key, axes in wanted.items():
        if len(found.get(key, ())) != axes:
            there = f"has the shape {found[key]}" if key in found else "is missing"
            raise WeightsFaulty(f"tensor {key} {there}; this is no vision transformer")
    tokens = found["position"][1] - 1
    if isqrt(max(tokens, 0)) ** 2 != tokens:
        raise WeightsFaulty(f"tensor position has the shape {found['position']}: its patches form no square")
    blocks = [int(at[1]) for key in found if (at := re.match(r"blocks\.(\d+)\.", key))]
    return {
        "dimension": found["patch.weight"][0],
        "depth": 1 + max(blocks),
        "hidden": found["blocks.0.hidden.weight"][0],
        "patch": found["patch.weight"][2],
        "grid": isqrt(tokens),
        "outputs": found["head.weight"][0],
    }
