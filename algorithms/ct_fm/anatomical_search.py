"""The place in one CT that matches a point in another.

A patch around the point is compared with patches of the other CT by the cosine of their embeddings (Pai
et al., arXiv:2501.09001, `scripts/semantic_search_quantitative.py`). Published is one pass, and the centre
of the best patch as the answer. Here the patches beside the point must match those beside the answer as
well, which tells the left from the right and a shoulder from a heart; then the answer moves uphill in ever
smaller steps.
"""

from dataclasses import dataclass
from itertools import product
from typing import Final, Self

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from algorithms.ct_fm.embedding import Encoder, Vectors, unit
from algorithms.ct_fm.patches import Grid
from algorithms.protocol import (
    BoolMask,
    Code,
    Progress,
    SaliencyMap,
    Unsuitable,
    Volume,
    Voxels,
    part,
    silent,
)
from algorithms.spatial import Shape, resample
from algorithms.terminology import NO_UNITS

SALIENCY: Final = Code("130404", "DCM", "Saliency")

Point = tuple[float, float, float]
_Places = npt.NDArray[np.float64]
"""Voxels with fractions (place, 3)."""

_AROUND = np.array([offset for offset in product((-1.0, 0.0, 1.0), repeat=3) if any(offset)])
_WITH_AROUND = np.concatenate([np.zeros((1, 3)), _AROUND])
_UNSEEN = 0.1  # share of the surroundings that counts as seen and neither like nor unlike the point's
_SIGMA_MM = 5.0
_AIR = 0.05  # scaled; about -870 HU


@dataclass(frozen=True, eq=False)
class Match:
    """A place that matches a point.

    Attributes:
        position_mm: in patient LPS of the other CT.
        similarity: cosine of the embeddings there and at the point.
        heat: how well each place of the other CT matches, 0 to 1.
    """

    position_mm: Point
    similarity: float
    heat: SaliencyMap


def locate(source: Volume, point_mm: Point, target: Volume, encoder: Encoder, progress: Progress) -> Match:
    """Find the place in one CT that matches a point in another.

    Args:
        source: the CT with the point.
        point_mm: in patient LPS millimetres of the source.
        target: the other CT.
        encoder: compares them.
        progress: told while it searches.

    Raises:
        Unsuitable: the point lies outside the source, or a volume is no CT in Hounsfield units.
    """
    sampling = encoder.search
    step = np.maximum(1.0, np.round(np.array(sampling.patch) * (1 - sampling.overlap)))
    query = _Query.of(source, point_mm, step, encoder)
    grid = Grid.of(target, sampling.spacing_mm).cropped()
    embedded = _Embedded(encoder, grid)
    lattice = _Lattice.over(grid.voxels, step)
    agreement = lattice.agreement(embedded.vectors(lattice.places, part(progress, 0.0, 0.8)), query)
    best = lattice.places[int(agreement.argmax())]
    best, likeness = embedded.climbed(best, step / 2, query.vectors[0], part(progress, 0.8, 1.0))
    x, y, z = (float(mm) for mm in grid.position_mm(best))
    return Match((x, y, z), likeness, _heat(agreement.reshape(lattice.shape), lattice, grid))


@dataclass(frozen=True, eq=False)
class _Query:
    """The embeddings of the patch at a point, and of those beside it that lie in the image.

    Attributes:
        offsets: (patch, 3), in steps; the point itself first.
        vectors: (patch, feature), of unit length.
    """

    offsets: npt.NDArray[np.intp]
    vectors: Vectors

    @classmethod
    def of(cls, source: Volume, point_mm: Point, step: _Places, encoder: Encoder) -> Self:
        if not _inside(source, np.array(point_mm)):
            place = ", ".join(f"{mm:g}" for mm in point_mm)
            raise Unsuitable(f"the point {place} mm lies outside the image")
        grid = Grid.of(source, encoder.search.spacing_mm)
        points = np.array(point_mm) + (_WITH_AROUND * step) @ grid.affine_mm[:3, :3].T
        patches = [_patch(grid, point, encoder.search.patch) for point in points]
        kept = [
            n
            for n, (point, patch) in enumerate(zip(points, patches, strict=True))
            if n == 0 or (_inside(source, point) and (patch > _AIR).any())
        ]
        vectors = encoder.vectors([patches[n] for n in kept], len(kept), silent)
        return cls(_WITH_AROUND[kept].astype(np.intp), unit(vectors))


class _Embedded:
    """A CT whose places are embedded when they are asked for."""

    def __init__(self, encoder: Encoder, grid: Grid) -> None:
        self._encoder = encoder
        self._patch = np.array(encoder.search.patch)
        self._voxels = np.pad(grid.voxels, [(size // 2, size // 2) for size in self._patch])
        self._last = np.array(grid.voxels.shape) - 1

    def vectors(self, places: _Places, progress: Progress) -> Vectors:
        """Embeddings (place, feature) of unit length; 0 where there is only air."""
        first = np.rint(places).astype(int)
        patches = [self._voxels[tuple(map(slice, low, low + self._patch))] for low in first]
        bodily = [n for n, patch in enumerate(patches) if (patch > _AIR).any()]
        if not bodily:
            raise Unsuitable("there is only air in the image")
        found = unit(self._encoder.vectors((patches[n] for n in bodily), len(bodily), progress))
        vectors = np.zeros((len(places), found.shape[1]), dtype=np.float32)
        vectors[bodily] = found
        return vectors

    def climbed(
        self, place: _Places, step: _Places, query: Vectors, progress: Progress
    ) -> tuple[_Places, float]:
        """Uphill in similarity to a query: to the best neighbour; where none is better, by half the step."""
        place, step = np.rint(place), np.rint(step)
        likeness = float(self.vectors(place[None], silent)[0] @ query)
        while True:
            around = np.clip(place + _AROUND * step, 0, self._last)
            similarity = self.vectors(around, silent) @ query
            best = int(similarity.argmax())
            progress(1 / float(step.max()), "refining")
            if similarity[best] > likeness:
                place, likeness = around[best], float(similarity[best])
            elif step.max() > 1:
                step = np.maximum(np.rint(step / 2), 1.0)
            else:
                return place, likeness


@dataclass(frozen=True, eq=False)
class _Lattice:
    """Places a step apart from end to end of an array.

    Attributes:
        places: voxels (place, 3).
        shape: how many there are along each axis.
        first: the first place.
        step: in voxels along each axis.
    """

    places: _Places
    shape: Shape
    first: _Places
    step: _Places

    @classmethod
    def over(cls, voxels: Voxels, step: _Places) -> Self:
        axes = [np.arange((n - 1) % s / 2, n, s) for n, s in zip(voxels.shape, step, strict=True)]
        places = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
        a, b, c = (len(axis) for axis in axes)
        return cls(places, (a, b, c), places[0], step)

    def agreement(self, vectors: Vectors, query: _Query) -> npt.NDArray[np.float32]:
        """How much more a place and those beside it resemble a point and those beside it than others do.

        Args:
            vectors: of the places (place, feature); 0 where there is only air.
            query: the point.

        Returns:
            Mean surplus over the mean similarity (place,), lower where less of the surroundings is in view;
            minus infinity in the air.
        """
        on_lattice = vectors.reshape(*self.shape, -1)
        bodily: BoolMask = np.asarray(on_lattice.any(axis=-1))
        total = np.zeros(self.shape, dtype=np.float32)
        count = np.full(self.shape, _UNSEEN * len(query.vectors), dtype=np.float32)
        for offset, vector in zip(query.offsets, query.vectors, strict=True):
            similarity = on_lattice @ vector
            surplus = np.where(bodily, similarity - similarity[bodily].mean(), 0)
            beside = tuple(slice(1 + o, 1 + o + n) for o, n in zip(offset, self.shape, strict=True))
            total += np.pad(surplus, 1)[beside]
            count += np.pad(bodily, 1)[beside]
        return np.where(bodily, total / count, -np.inf).ravel().astype(np.float32)


def _inside(image: Volume, point_mm: npt.NDArray[np.float64]) -> bool:
    index = np.linalg.solve(image.affine_mm, [*point_mm, 1.0])[:3]
    return bool((index >= -0.5).all() and (index <= np.array(image.voxels.shape) - 0.5).all())


def _patch(grid: Grid, point_mm: npt.NDArray[np.float64], shape: Shape) -> Voxels:
    """The patch with a point in its middle."""
    onto = grid.affine_mm.copy()
    onto[:3, 3] = point_mm - onto[:3, :3] @ (np.array(shape) // 2)
    return resample(grid.voxels, grid.affine_mm, shape, onto, order=1, outside=0.0)


def _heat(agreement: npt.NDArray[np.float32], lattice: _Lattice, grid: Grid) -> SaliencyMap:
    """Agreement as a map at the spacing of the encoder: 0 to 1, then smooth over 5 mm, as published."""
    bodily = np.isfinite(agreement)
    low, high = float(agreement[bodily].min()), float(agreement[bodily].max())
    lifted = np.where(bodily, agreement, low) - low
    normal = (lifted / max(high - low, 1e-6)).astype(np.float32)
    onto_lattice = np.diag([*(1 / lattice.step), 1.0])
    onto_lattice[:3, 3] = 1 - lattice.first / lattice.step  # the edge is repeated once
    a, b, c = grid.voxels.shape
    fine = resample(
        np.pad(normal, 1, mode="edge"),
        np.linalg.inv(onto_lattice),
        (a, b, c),
        np.eye(4),
        order=1,
        outside=0.0,
    )
    spacing = np.linalg.norm(grid.affine_mm[:3, :3], axis=0)
    smooth = ndimage.gaussian_filter(fine, _SIGMA_MM / spacing)
    return SaliencyMap("Similarity to the point", SALIENCY, NO_UNITS, smooth, grid.affine_mm)
