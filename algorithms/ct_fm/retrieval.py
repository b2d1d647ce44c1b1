"""The place of a CT in the space of an encoder: what resembles it lies near.

Published: the element-wise minimum over the embeddings of the patches, compared by cosine
(Pai et al., arXiv:2501.09001, `3d-mir.ipynb`); the mean is the usual alternative.
"""

from collections.abc import Mapping
from typing import Self

from algorithms.ct_fm.embedding import Encoder, unit
from algorithms.ct_fm.options import ENCODER, RETRIEVAL_OPTIONS
from algorithms.ct_fm.patches import Grid
from algorithms.options import chosen
from algorithms.protocol import Embedding, Findings, Progress, Volume
from algorithms.weights import Store

_LEAST_BODY = 0.02  # of a patch
_AIR = 0.1  # scaled; about -700 HU


class Retrieval:
    """Finds the place of a CT among others."""

    name = "ct-retrieval"
    version = "0.1.0"

    def __init__(self, encoder: Encoder, pooling: str) -> None:
        self._encoder = encoder
        self._pooling = pooling

    @classmethod
    def from_options(cls, options: Mapping[str, str], device: str, store: Store) -> Self:
        """Build; options are `weights` (bundled, published) and `pooling` (minimum, mean).

        Raises:
            ValueError: an option or a value that there is not.
            WeightsMissing: the weights are not in the store.
            WeightsFaulty: they do not fit.
        """
        asked = chosen(cls.name, RETRIEVAL_OPTIONS, options)
        return cls(Encoder(store.get(ENCODER[asked["weights"]]), device), asked["pooling"])

    def run(self, image: Volume, progress: Progress) -> Findings:
        """Embed all of a volume.

        Raises:
            Unsuitable: the values are not in Hounsfield units, or there is nothing in the image.
        """
        return Findings(embedding=self.embed(image, progress))

    def embed(self, image: Volume, progress: Progress) -> Embedding:
        """The place of a volume: of unit length, in a space named after encoder, digest and pooling.

        Raises:
            Unsuitable: the values are not in Hounsfield units, or there is nothing in the image.
        """
        sampling = self._encoder.embedding
        progress(0.0, "resampling")
        grid = Grid.of(image, sampling.spacing_mm).cropped().padded(sampling.patch)
        patches = [grid.voxels[box] for box in sampling.boxes(grid.voxels.shape)]
        bodily = [patch for patch in patches if (patch > _AIR).mean() >= _LEAST_BODY] or patches
        vectors = self._encoder.vectors(bodily, len(bodily), progress)
        pooled = vectors.min(axis=0) if self._pooling == "minimum" else vectors.mean(axis=0)
        weights = self._encoder.weights
        return Embedding(unit(pooled), f"{weights.name}/{weights.sha256[:16]}/{self._pooling}")
