"""The place in one CT that matches a point in another.

A patch around the point is compared with patches of the other CT by the cosine of their embeddings (Pai
et al., arXiv:2501.09001, `scripts/semantic_search_quantitative.py`). Published is one pass, and the centre
of the best patch as the answer. Here the two bodies are laid over each other first, by all their patches
(`body_alignment`); where they hardly show the same part of a body, each over a whole synthetic body that
stands between them. The answer moves from the expected place uphill in ever smaller steps, and the further
it moves the more alike the place must be. If no body fits, the patches beside the point must match those
beside the answer, and it moves uphill from the best of these.
"""

from dataclasses import dataclass
from typing import Final, Self

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from algorithms.ct_fm.body_alignment import BodyMap, Places, Sampled, aligned
from algorithms.ct_fm.embedded_body import AIR, AROUND, EmbeddedBody, Lattice, Prior
from algorithms.ct_fm.embedding import Encoder, Vectors, unit
from algorithms.ct_fm.patches import Grid
from algorithms.phantoms import torso
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

_WITH_AROUND = np.concatenate([np.zeros((1, 3)), AROUND])
_UNSEEN = 0.1  # share of the surroundings that counts as seen and neither like nor unlike the point's
_SMOOTH_MM = 5.0
_REFERENCE_SEED = 3002
_REFERENCE_MM = 4.0
_EXPECTED_WITHIN_MM = 70.0  # one standard deviation: 31 mm away weighs as much as 0.1 of similarity


@dataclass(frozen=True, eq=False)
class Match:
    """A place that matches a point.

    Attributes:
        position_mm: in patient LPS of the other CT.
        similarity: cosine of the embeddings there and at the point.
        outside_mm: how far outside the other CT the place is expected, so that the answer can but be
            near; 0 inside, or where nothing is known.
        heat: how well each place of the other CT matches, 0 to 1.
    """

    position_mm: Point
    similarity: float
    outside_mm: float
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
    query = Query.of(source, point_mm, encoder)
    return Search(source, target, encoder, part(progress, 0.0, 0.9)).match(query, part(progress, 0.9, 1.0))


class Search:
    """Finds places of one CT in another; both are embedded once, for any number of points."""

    def __init__(self, source: Volume, target: Volume, encoder: Encoder, progress: Progress) -> None:
        """Embed both and lay one over the other.

        Raises:
            Unsuitable: a volume is no CT in Hounsfield units.
        """
        step = _step(encoder)
        self._target = EmbeddedBody(encoder, target)
        _, here = EmbeddedBody(encoder, source).sampled(step, part(progress, 0.0, 0.4))
        self._lattice, there = self._target.sampled(step, part(progress, 0.4, 0.8))
        self._vectors = there.vectors
        self._map = aligned(here, there) or _by_reference(here, there, encoder, part(progress, 0.8, 1.0))

    def match(self, query: "Query", progress: Progress) -> Match:
        """Find one point."""
        grid, lattice = self._target.grid, self._lattice
        agreement = _agreement(lattice, self._vectors, query)
        prior = self._prior(query, lattice.places[int(agreement.argmax())])
        outside_mm = self._target.outside_mm(prior.place)
        best, likeness = self._target.climbed(
            prior.place, lattice.step / 2, query.vectors[0], prior, progress
        )
        x, y, z = (float(mm) for mm in grid.position_mm(best))
        weight = np.exp(-prior.penalty(lattice.places))
        return Match((x, y, z), likeness, outside_mm, _heat(agreement, weight, lattice, grid))

    def _prior(self, query: "Query", best: Places) -> Prior:
        """Where the map of the bodies leads; without one the best place, which binds nothing."""
        if self._map is None:
            return Prior(best, np.full(3, np.inf))
        grid = self._target.grid
        expected = grid.index(self._map(np.array(query.point_mm)))
        return Prior(expected, _EXPECTED_WITHIN_MM / np.linalg.norm(grid.affine_mm[:3, :3], axis=0))


@dataclass(frozen=True, eq=False)
class Query:
    """The embeddings of the patch at a point, and of those beside it that lie in the image.

    Attributes:
        point_mm: the point, in patient LPS of its CT.
        offsets: (patch, 3), in steps; the point itself first.
        vectors: (patch, feature), of unit length.
    """

    point_mm: Point
    offsets: npt.NDArray[np.intp]
    vectors: Vectors

    @classmethod
    def of(cls, source: Volume, point_mm: Point, encoder: Encoder) -> Self:
        """Embed them.

        Raises:
            Unsuitable: the point lies outside the source, or the volume is no CT in Hounsfield units.
        """
        if not _inside(source, np.array(point_mm)):
            place = ", ".join(f"{mm:g}" for mm in point_mm)
            raise Unsuitable(f"the point {place} mm lies outside the image")
        grid = Grid.of(source, encoder.search.spacing_mm)
        points = np.array(point_mm) + (_WITH_AROUND * _step(encoder)) @ grid.affine_mm[:3, :3].T
        patches = [_patch(grid, point, encoder.search.patch) for point in points]
        kept = [
            n
            for n, (point, patch) in enumerate(zip(points, patches, strict=True))
            if n == 0 or (_inside(source, point) and (patch > AIR).any())
        ]
        vectors = encoder.vectors([patches[n] for n in kept], len(kept), silent)
        return cls(point_mm, _WITH_AROUND[kept].astype(np.intp), unit(vectors))


def _by_reference(here: Sampled, there: Sampled, encoder: Encoder, progress: Progress) -> BodyMap | None:
    """From one body to another over a third, in which there is all that either may show."""
    whole = torso(_REFERENCE_SEED, spacing_mm=_REFERENCE_MM)
    uids = tuple(map(str, range(len(whole.hu))))
    volume = Volume(whole.hu, whole.affine_mm, "HU", "CT", uids)
    _, reference = EmbeddedBody(encoder, volume).sampled(_step(encoder), progress)
    first, second = aligned(here, reference), aligned(reference, there)
    return first.then(second) if first and second else None


def _agreement(lattice: Lattice, vectors: Vectors, query: Query) -> npt.NDArray[np.float32]:
    """How much more a place and those beside it resemble a point and those beside it than others do.

    Args:
        lattice: of places of the other CT.
        vectors: of the places (place, feature); 0 where there is only air.
        query: the point.

    Returns:
        Mean surplus over the mean similarity (place,), lower where less of the surroundings is in view;
        minus infinity in the air.
    """
    on_lattice = vectors.reshape(*lattice.shape, -1)
    bodily: BoolMask = np.asarray(on_lattice.any(axis=-1))
    total = np.zeros(lattice.shape, dtype=np.float32)
    count = np.full(lattice.shape, _UNSEEN * len(query.vectors), dtype=np.float32)
    for offset, vector in zip(query.offsets, query.vectors, strict=True):
        similarity = on_lattice @ vector
        surplus = np.where(bodily, similarity - similarity[bodily].mean(), 0)
        beside = tuple(slice(1 + o, 1 + o + n) for o, n in zip(offset, lattice.shape, strict=True))
        total += np.pad(surplus, 1)[beside]
        count += np.pad(bodily, 1)[beside]
    return np.where(bodily, total / count, -np.inf).ravel().astype(np.float32)


def _step(encoder: Encoder) -> Places:
    """Voxels (3,) from one patch to the next."""
    sampling = encoder.search
    return np.maximum(1.0, np.round(np.array(sampling.patch) * (1 - sampling.overlap)))


def _inside(image: Volume, point_mm: npt.NDArray[np.float64]) -> bool:
    index = np.linalg.solve(image.affine_mm, [*point_mm, 1.0])[:3]
    return bool((index >= -0.5).all() and (index <= np.array(image.voxels.shape) - 0.5).all())


def _patch(grid: Grid, point_mm: npt.NDArray[np.float64], shape: Shape) -> Voxels:
    """The patch with a point in its middle."""
    onto = grid.affine_mm.copy()
    onto[:3, 3] = point_mm - onto[:3, :3] @ (np.array(shape) // 2)
    return resample(grid.voxels, grid.affine_mm, shape, onto, order=1, outside=0.0)


def _heat(
    agreement: npt.NDArray[np.float32], weight: npt.NDArray[np.float64], lattice: Lattice, grid: Grid
) -> SaliencyMap:
    """Weighted agreement as a map at the spacing of the encoder: 0 to 1, smooth over 5 mm, as published."""
    bodily = np.isfinite(agreement)
    low = float(agreement[bodily].min())
    lifted = (np.where(bodily, agreement, low) - low) * weight
    normal = (lifted / max(float(lifted.max()), 1e-6)).astype(np.float32).reshape(lattice.shape)
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
    smooth = ndimage.gaussian_filter(fine, _SMOOTH_MM / spacing)
    return SaliencyMap("Similarity to the point", SALIENCY, NO_UNITS, smooth, grid.affine_mm)
