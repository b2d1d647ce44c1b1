"""An encoder and its weights: patches of a CT in, points in its space out."""

from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt
import torch

from algorithms.ct_fm.network import Architecture, canonical, embed
from algorithms.ct_fm.patches import Sampling
from algorithms.protocol import Progress, Voxels
from algorithms.weights import Checkpoint, load_into

Vectors = npt.NDArray[np.float32]
"""Points in the space of an encoder (patch, feature)."""

_BATCH_VOXELS = 1 << 20


class Encoder:
    """An encoder on a device, with what its checkpoint says of the images it takes.

    Attributes:
        weights: which they are.
        embedding: how a volume is looked at to find its place among others.
        search: how it is looked at to find a place in it.
        features: numbers of an embedding; 512 as published.
    """

    def __init__(self, checkpoint: Checkpoint, device: str) -> None:
        """Load.

        Raises:
            WeightsFaulty: the tensors do not fit, or were changed.
        """
        self.weights = checkpoint.weights
        self.embedding = Sampling.of(checkpoint.config, "embedding")
        self.search = Sampling.of(checkpoint.config, "search")
        self._device = torch.device(device)
        architecture = Architecture.of(checkpoint.config)
        network = architecture.encoder()
        self.features = architecture.init_filters * 2 ** (len(architecture.blocks_down) - 1)
        tensors = checkpoint.tensors()
        keys = canonical(tensors.keys(), network.state_dict().keys())
        load_into(network, {keys[key]: tensors[key] for key in keys}, checkpoint.weights.name)
        network.to(self._device, memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
        self._network = network.eval()

    def vectors(self, patches: Iterable[Voxels], count: int, progress: Progress) -> Vectors:
        """Embeddings of patches, in batches.

        Args:
            patches: each float32 (head, back, left), 0 to 1, all of one shape.
            count: how many there are.
            progress: told after each batch.
        """
        found: list[Vectors] = []
        done = 0
        for batch in _batches(patches):
            with torch.inference_mode():
                seen = torch.from_numpy(batch[:, None]).to(self._device)
                found.append(embed(self._network, seen).cpu().numpy())
            done += len(batch)
            progress(done / count, "encoding patches")
        return np.concatenate(found)


def unit(vectors: Vectors) -> Vectors:
    """Vectors (..., feature) of length 1, so that their scalar product is the cosine similarity."""
    return np.asarray(vectors / np.linalg.norm(vectors, axis=-1, keepdims=True), dtype=np.float32)


def _batches(patches: Iterable[Voxels]) -> Iterator[Voxels]:
    waiting: list[Voxels] = []
    for patch in patches:
        waiting.append(patch)
        if (len(waiting) + 1) * patch.size > _BATCH_VOXELS:
            yield np.stack(waiting)
            waiting = []
    if waiting:
        yield np.stack(waiting)
