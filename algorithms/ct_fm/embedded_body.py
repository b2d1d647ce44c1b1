"""A CT whose places have embeddings: on a lattice all over it, and wherever a climb asks for one."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Final, Self

import numpy as np
import numpy.typing as npt

from algorithms.ct_fm.body_alignment import Places, Sampled
from algorithms.ct_fm.embedding import Encoder, Vectors, unit
from algorithms.ct_fm.patches import Grid
from algorithms.protocol import Progress, Volume, Voxels, silent
from algorithms.spatial import Shape

AROUND: Final = np.array([offset for offset in product((-1.0, 0.0, 1.0), repeat=3) if any(offset)])
"""The 26 neighbours, in steps (neighbour, 3)."""
AIR: Final = 0.05
"""A patch with nothing above is air; scaled, about -870 HU."""


@dataclass(frozen=True, eq=False)
class Prior:
    """Where a place is expected.

    Attributes:
        place: voxel (3,).
        sigma: one standard deviation in voxels (3,); infinite where nothing is known.
    """

    place: Places
    sigma: Places

    def penalty(self, places: Places) -> npt.NDArray[np.float64]:
        """Half the squared distance (place,) in standard deviations."""
        return np.asarray((((places - self.place) / self.sigma) ** 2).sum(axis=-1) / 2, dtype=np.float64)


class EmbeddedBody:
    """A CT whose places, voxels of its grid, are embedded when they are asked for."""

    def __init__(self, encoder: Encoder, volume: Volume) -> None:
        """Bring it to the encoder's spacing.

        Raises:
            Unsuitable: the volume is no CT in Hounsfield units, or shows nothing but air.
        """
        self.grid = Grid.of(volume, encoder.search.spacing_mm).cropped()
        self._encoder = encoder
        self._patch = np.array(encoder.search.patch)
        self._voxels = np.pad(self.grid.voxels, [(size // 2, size // 2) for size in self._patch])
        self._last = np.array(self.grid.voxels.shape) - 1

    def sampled(self, step: Places, progress: Progress) -> tuple["Lattice", Sampled]:
        """Embed places all over it, so many voxels (3,) apart."""
        lattice = Lattice.over(self.grid.voxels, step)
        return lattice, Sampled(self.grid.position_mm(lattice.places), self.vectors(lattice.places, progress))

    def outside_mm(self, place: Places) -> float:
        """How far a place (3,) lies outside the part of the image that shows a body."""
        beyond = place - np.clip(place, 0, self._last)
        return float(np.linalg.norm(self.grid.affine_mm[:3, :3] @ beyond))

    def vectors(self, places: Places, progress: Progress) -> Vectors:
        """Embeddings (place, feature) of unit length; 0 where there is only air."""
        bodily, patches = self._bodily(places)
        vectors = np.zeros((len(places), self._encoder.features), dtype=np.float32)
        if bodily:
            vectors[bodily] = unit(self._encoder.vectors(patches, len(bodily), progress))
        return vectors

    def similarity(self, places: Places, query: Vectors) -> npt.NDArray[np.float32]:
        """Cosine (place,) to a query of unit length; 0 where there is only air."""
        return np.asarray(self.vectors(places, silent) @ query, dtype=np.float32)

    def climbed(
        self, start: Places, step: Places, query: Vectors, prior: Prior, progress: Progress
    ) -> tuple[Places, float]:
        """Uphill in similarity less penalty: to the best neighbour; where none is better, by half the step.

        Returns:
            The place (3,) and the similarity there.
        """
        place, step = np.clip(np.rint(start), 0, self._last), np.rint(step)
        likeness = float(self.similarity(place[None], query)[0])
        height = likeness - float(prior.penalty(place))
        while True:
            around = np.clip(place + AROUND * step, 0, self._last)
            similarity = self.similarity(around, query)
            heights = similarity - prior.penalty(around)
            best = int(heights.argmax())
            progress(1 / float(step.max()), "refining")
            if heights[best] > height:
                place, likeness, height = around[best], float(similarity[best]), float(heights[best])
            elif step.max() > 1:
                step = np.maximum(np.rint(step / 2), 1.0)
            else:
                return place, likeness

    def _bodily(self, places: Places) -> tuple[Sequence[int], Sequence[Voxels]]:
        """Which patches hold more than air, and these."""
        first = np.rint(places).astype(int)
        patches = [self._voxels[tuple(map(slice, low, low + self._patch))] for low in first]
        bodily = [n for n, patch in enumerate(patches) if (patch > AIR).any()]
        return bodily, [patches[n] for n in bodily]


@dataclass(frozen=True, eq=False)
class Lattice:
    """Places a step apart from end to end of an array.

    Attributes:
        places: voxels (place, 3).
        shape: how many there are along each axis.
        first: the first place.
        step: in voxels along each axis.
    """

    places: Places
    shape: Shape
    first: Places
    step: Places

    @classmethod
    def over(cls, voxels: Voxels, step: Places) -> Self:
        """Fill an array, with equal margins."""
        axes = [np.arange((n - 1) % s / 2, n, s) for n, s in zip(voxels.shape, step, strict=True)]
        places = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
        a, b, c = (len(axis) for axis in axes)
        return cls(places, (a, b, c), places[0], step)
