"""The vision transformer of FAHR-Face, of any size, with one head (Dosovitskiy et al., arXiv:2010.11929)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, Self

import torch
from torch import nn
from torch.nn import functional

from algorithms.weights import WeightsFaulty

HEAD_WIDTH: Final = 64
"""Features of an attention head, where nothing else is said: their number is not in the tensors."""

_LARGEST: Final = 8192
_DEEPEST: Final = 64

Pooling = Literal["class", "mean"]
"""What the head sees: the class token, or the mean of all patches (global pooling of MAE)."""


@dataclass(frozen=True)
class Architecture:
    """What the network needs to know beside its tensors.

    Attributes:
        dimension: features of a token.
        depth: blocks.
        hidden: features inside the perceptron of a block.
        patch: pixels along each side of a patch.
        grid: patches along each side of the picture.
        outputs: 1 for a number, 101 for the probabilities of the ages 0 to 100; None for no head.
        heads: of the attention.
        pooling: what the head sees.
        epsilon: of the layer norms.
    """

    dimension: int
    depth: int
    hidden: int
    patch: int
    grid: int
    outputs: int | None
    heads: int
    pooling: Pooling = "class"
    epsilon: float = 1e-6

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> Self:
        """From the configuration of a checkpoint.

        Raises:
            WeightsFaulty: it describes no such network; the field is named.
        """
        sizes = {name: _size(config, name) for name in ("dimension", "hidden", "patch", "grid")}
        depth, outputs = _size(config, "depth", _DEEPEST), config.get("outputs")
        heads = _size({"heads": max(1, sizes["dimension"] // HEAD_WIDTH), **config}, "heads")
        pooling, epsilon = config.get("pooling", "class"), config.get("epsilon", 1e-6)
        if outputs not in {None, 1, 101}:
            raise WeightsFaulty(f"its configuration: outputs is {outputs!r}; it is 1 or 101")
        if sizes["dimension"] % heads:
            raise WeightsFaulty(
                f"its configuration: {heads} heads do not divide {sizes['dimension']} features"
            )
        if pooling not in {"class", "mean"}:
            raise WeightsFaulty(f"its configuration: pooling is {pooling!r}; it is class or mean")
        if not isinstance(epsilon, float) or not 0 < epsilon < 1:
            raise WeightsFaulty(f"its configuration: epsilon is {epsilon!r}; it is a small number")
        return cls(**sizes, depth=depth, outputs=outputs, heads=heads, pooling=pooling, epsilon=epsilon)

    @property
    def side(self) -> int:
        """Pixels along each side of the picture."""
        return self.patch * self.grid


def _size(config: Mapping[str, Any], name: str, largest: int = _LARGEST) -> int:
    value = config.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= largest:
        raise WeightsFaulty(f"its configuration: {name} is {value!r}; it is a number from 1 to {largest}")
    return value


class Block(nn.Module):
    """Attention and perceptron, each behind a norm and beside a shortcut."""

    def __init__(self, dimension: int, hidden: int, heads: int, epsilon: float) -> None:
        super().__init__()
        self._heads = heads
        self.norm1 = nn.LayerNorm(dimension, epsilon)
        self.qkv = nn.Linear(dimension, 3 * dimension)
        self.projection = nn.Linear(dimension, dimension)
        self.norm2 = nn.LayerNorm(dimension, epsilon)
        self.hidden = nn.Linear(dimension, hidden)
        self.output = nn.Linear(hidden, dimension)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Tokens (picture, token, feature) to tokens."""
        tokens = tokens + self._attended(self.norm1(tokens))
        perceived: torch.Tensor = self.output(functional.gelu(self.hidden(self.norm2(tokens))))
        return tokens + perceived

    def _attended(self, tokens: torch.Tensor) -> torch.Tensor:
        pictures, length, dimension = tokens.shape
        parts = self.qkv(tokens).reshape(pictures, length, 3, self._heads, dimension // self._heads)
        query, key, value = parts.permute(2, 0, 3, 1, 4)
        mixed = functional.scaled_dot_product_attention(query, key, value)
        projected: torch.Tensor = self.projection(mixed.transpose(1, 2).reshape(tokens.shape))
        return projected


class FaceTransformer(nn.Module):
    """Patches, a class token, blocks, a norm and a head."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        a = self.architecture = architecture
        self.class_token = nn.Parameter(torch.zeros(1, 1, a.dimension))
        self.position = nn.Parameter(0.02 * torch.randn(1, a.grid**2 + 1, a.dimension))
        self.patch = nn.Conv2d(3, a.dimension, a.patch, a.patch)
        self.blocks = nn.ModuleList(Block(a.dimension, a.hidden, a.heads, a.epsilon) for _ in range(a.depth))
        self.norm = nn.LayerNorm(a.dimension, a.epsilon)
        if a.outputs is not None:
            self.head = nn.Linear(a.dimension, a.outputs)

    def patches(self, pictures: torch.Tensor) -> torch.Tensor:
        """Tokens (picture, patch, feature) of normalised pictures (picture, RGB, row, column), placed."""
        tokens: torch.Tensor = self.patch(pictures).flatten(2).transpose(1, 2) + self.position[:, 1:]
        return tokens

    def encoded(self, patches: torch.Tensor) -> torch.Tensor:
        """All tokens (picture, 1 + patch, feature) of some patches, the class token first."""
        first = (self.class_token + self.position[:, :1]).expand(len(patches), -1, -1)
        tokens = torch.cat([first, patches], dim=1)
        for block in self.blocks:
            tokens = block(tokens)
        return tokens

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        """One number for each picture (picture, RGB, row, column): the output, or the age expected."""
        tokens = self.encoded(self.patches(pictures))
        if self.architecture.pooling == "mean":
            pooled = self.norm(tokens[:, 1:].mean(dim=1))
        else:
            pooled = self.norm(tokens[:, 0])
        out: torch.Tensor = self.head(pooled)
        if out.shape[1] == 1:
            return out[:, 0]
        return out.softmax(dim=1) @ torch.arange(out.shape[1], dtype=out.dtype, device=out.device)
