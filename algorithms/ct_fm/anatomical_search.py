"""The place in one CT that matches a point in another.

A patch around the point is compared with patches of the other CT by the cosine of their embeddings (Pai et
al., arXiv:2501.09001, `scripts/semantic_search_quantitative.py`): first with patches all over the body, then
more and more densely around the best of them. Published is the first pass alone, and the centre of its best
patch as the answer.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from algorithms.ct_fm.embedding import Encoder, Vectors, unit
from algorithms.ct_fm.patches import Grid
from algorithms.protocol import Code, Progress, SaliencyMap, Unsuitable, Volume, Voxels, part, silent
from algorithms.spatial import resample
from algorithms.terminology import NO_UNITS

SALIENCY: Final = Code("130404", "DCM", "Saliency")

_Places = npt.NDArray[np.float64]
"""Voxels with fractions (place, 3)."""

_CANDIDATES = 3  # of the first pass, that are looked at more closely
_NEIGHBOURS = np.concatenate([np.eye(3), -np.eye(3)])
_SIGMA_MM = 5.0
_AIR = 0.05  # scaled; about -870 HU


@dataclass(frozen=True, eq=False)
class Match:
    """A place that matches a point.

    Attributes:
        position_mm: in patient LPS of the other CT.
        similarity: cosine of the embeddings there and at the point.
        heat: similarity all over the other CT, 0 to 1.
    """

    position_mm: tuple[float, float, float]
    similarity: float
    heat: SaliencyMap


def locate(
    source: Volume, point_mm: tuple[float, float, float], target: Volume, encoder: Encoder, progress: Progress
) -> Match:
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
    query = _query(source, point_mm, encoder)
    sampling = encoder.search
    grid = Grid.of(target, sampling.spacing_mm).cropped()
    search = _Search(encoder, grid, query)
    step = np.array([max(1.0, size * (1 - sampling.overlap)) for size in sampling.patch])
    places, shape = _lattice(grid.voxels, step)
    similarity = search.similarity(places, part(progress, 0.0, 0.7))
    best, likeness = search.refined(places, similarity, step, part(progress, 0.7, 1.0))
    x, y, z = (float(mm) for mm in grid.position_mm(best))
    return Match((x, y, z), likeness, _heat(similarity.reshape(shape), step, grid))


class _Search:
    """Compares places of a grid with a point in the space of an encoder."""

    def __init__(self, encoder: Encoder, grid: Grid, query: Vectors) -> None:
        self._encoder = encoder
        self._query = query
        self._patch = np.array(encoder.search.patch)
        around = [(size // 2 + 1, size // 2 + 1) for size in self._patch]
        self._voxels = np.pad(grid.voxels, around)
        self._last = np.array(grid.voxels.shape) - 1

    def similarity(self, places: _Places, progress: Progress) -> npt.NDArray[np.float32]:
        """Cosine similarity at places, which are rounded to voxels; -1 where there is only air."""
        found = np.full(len(places), -1.0, dtype=np.float32)
        first = np.rint(places).astype(int) + 1
        patches = [self._voxels[tuple(map(slice, low, low + self._patch))] for low in first]
        bodily = [i for i, patch in enumerate(patches) if (patch > _AIR).any()]
        if bodily:
            vectors = self._encoder.vectors((patches[i] for i in bodily), len(bodily), progress)
            found[bodily] = unit(vectors) @ self._query
        return found

    def refined(
        self, places: _Places, similarity: npt.NDArray[np.float32], step: _Places, progress: Progress
    ) -> tuple[_Places, float]:
        """The best place, and how similar it is: the best of some candidates, after ever smaller moves."""
        order = np.argsort(-similarity)[:_CANDIDATES]
        climbed = [
            self._climbed(places[i], float(similarity[i]), step, part(progress, n / len(order), 1.0))
            for n, i in enumerate(order)
        ]
        return max(climbed, key=lambda place: place[1])

    def _climbed(
        self, place: _Places, likeness: float, step: _Places, progress: Progress
    ) -> tuple[_Places, float]:
        """Uphill from a place: to the best of its neighbours, and where none is better, by half the step."""
        place = np.rint(place)
        step = np.rint(step / 2)
        while True:
            around = np.clip(place + _NEIGHBOURS * step, 0, self._last)
            similarity = self.similarity(around, progress)
            best = int(similarity.argmax())
            if similarity[best] > likeness:
                place, likeness = around[best], float(similarity[best])
            elif step.max() > 1:
                step = np.maximum(np.rint(step / 2), 1.0)
            else:
                return place, likeness


def _query(source: Volume, point_mm: tuple[float, float, float], encoder: Encoder) -> Vectors:
    """The embedding of the patch whose middle is the point."""
    _refuse_outside(source, point_mm)
    sampling = encoder.search
    grid = Grid.of(source, sampling.spacing_mm)
    onto = grid.affine_mm.copy()
    middle = np.array(sampling.patch) // 2
    onto[:3, 3] = np.array(point_mm) - onto[:3, :3] @ middle
    patch = resample(grid.voxels, grid.affine_mm, sampling.patch, onto, order=1, outside=0.0)
    return unit(encoder.vectors([patch], 1, silent)[0])


def _refuse_outside(source: Volume, point_mm: tuple[float, float, float]) -> None:
    index = np.linalg.solve(source.affine_mm, [*point_mm, 1.0])[:3]
    if (index < -0.5).any() or (index > np.array(source.voxels.shape) - 0.5).any():
        place = ", ".join(f"{mm:g}" for mm in point_mm)
        raise Unsuitable(f"the point {place} mm lies outside the image")


def _lattice(voxels: Voxels, step: _Places) -> tuple[_Places, tuple[int, ...]]:
    """Places a step apart from end to end of an array, and how many there are along each axis."""
    axes = [
        np.arange((length - 1) % mm / 2, length, mm) for length, mm in zip(voxels.shape, step, strict=True)
    ]
    places = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    return places, tuple(len(axis) for axis in axes)


def _heat(similarity: npt.NDArray[np.float32], step: _Places, grid: Grid) -> SaliencyMap:
    """Similarity of the first pass, 0 to 1, smooth over 5 mm, at the spacing of the encoder."""
    affine = grid.affine_mm @ np.diag([*step, 1.0])
    offset = [(length - 1) % mm / 2 for length, mm in zip(grid.voxels.shape, step, strict=True)]
    affine[:3, 3] = grid.position_mm(np.array(offset))
    low, high = float(similarity.min()), float(similarity.max())
    normal = (similarity - low) / max(high - low, 1e-6)
    shape = grid.voxels.shape
    fine = resample(
        np.pad(normal, 1, mode="edge"),
        affine @ np.array([[1, 0, 0, -1], [0, 1, 0, -1], [0, 0, 1, -1], [0, 0, 0, 1.0]]),
        (shape[0], shape[1], shape[2]),
        grid.affine_mm,
        order=1,
        outside=0.0,
    )
    spacing = np.linalg.norm(grid.affine_mm[:3, :3], axis=0)
    smooth = ndimage.gaussian_filter(fine, _SIGMA_MM / spacing)
    return SaliencyMap("Similarity to the point", SALIENCY, NO_UNITS, smooth, grid.affine_mm)
