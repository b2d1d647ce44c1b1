"""The algorithm `ct-tumor`: lung or pancreas tumours by CT-FM's segmentation network, weights by the user.

The authors fine-tuned their network on the Medical Segmentation Decathlon (Task06 lung, Task07 pancreas)
and publish no weights of it. So the grid, the tiles and the range of Hounsfield units may come with the
weights (`spacing_mm`, `roi`, `hu_range` in their configuration); what is assumed without that is inferred:
the median spacing of the training data, the tiles and the range of the published whole-body network.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import pi
from types import MappingProxyType
from typing import ClassVar, Final, Self

import cc3d
import numpy as np
import numpy.typing as npt

from algorithms.ct_fm.network import HU_RANGE
from algorithms.ct_fm.network_grid import NetworkGrid
from algorithms.ct_fm.options import TUMOUR, TUMOUR_OPTIONS
from algorithms.ct_fm.segmenter import Segmenter, numbers
from algorithms.ct_fm.structures import ALTERED_STRUCTURE
from algorithms.options import chosen
from algorithms.protocol import BoolMask, Code, Findings, Measurement, Progress, Segment, Volume, part
from algorithms.radiomics.diameters import largest_diameters
from algorithms.radiomics.surface import Surface
from algorithms.spatial import Orientation, Spacing
from algorithms.terminology import LUNG, MILLIMETER, Colour
from algorithms.weights import Checkpoint, Store, WeightsFaulty

NEOPLASM: Final = Code("108369006", "SCT", "Neoplasm")
"""Segmented Property Type (CID 7159)."""

LONG_AXIS: Final = Code("103339001", "SCT", "Long axis")
"""Linear measurement (CID 7470)."""

PANCREAS: Final = Code("15776009", "SCT", "Pancreas")

SMALLEST_MM3: Final = pi / 6 * 3.0**3
"""A ball of 3 mm: smaller ones are micronodules (Fleischner Society glossary, 2008), or specks."""

MOST: Final = 50
"""Lesions given; more of them are a network gone wrong, or nothing that is counted one by one."""

_TUMOUR = "tumor"
_COLOUR: Colour = (229, 57, 53)


@dataclass(frozen=True)
class Site:
    """Where tumours are looked for.

    Attributes:
        code: the anatomic site.
        spacing_mm: of the grid along head, back and left, where the weights name none.
    """

    code: Code
    spacing_mm: Spacing


SITES: Final[Mapping[str, Site]] = MappingProxyType(
    {
        "lung": Site(LUNG, (1.25, 0.79, 0.79)),
        "pancreas": Site(PANCREAS, (2.5, 0.8, 0.8)),
    }
)


@dataclass(frozen=True)
class Tumour:
    """The algorithm, with what it runs.

    Attributes:
        segmenter: the network.
        channel: of the tumour in its output.
        site: name among `SITES`.
        spacing_mm: of the network's grid, along head, back and left.
        hu_range: what the network sees as 0 and 1.
    """

    segmenter: Segmenter
    channel: int
    site: str
    spacing_mm: Spacing
    hu_range: tuple[float, float]
    name: ClassVar[str] = "ct-tumor"
    version: ClassVar[str] = "0.1.0"

    @classmethod
    def from_options(cls, options: dict[str, str], device: str, store: Store) -> Self:
        """Build it.

        Raises:
            ValueError: an option or a value that there is not.
            WeightsMissing: the weights are not in the store.
            WeightsFaulty: they do not fit.
        """
        site = chosen(cls.name, TUMOUR_OPTIONS, options)["site"]
        checkpoint = store.get(TUMOUR)
        segmenter = Segmenter.from_checkpoint(checkpoint, device)
        head, back, left = numbers(checkpoint, "spacing_mm", SITES[site].spacing_mm)
        low, high = numbers(checkpoint, "hu_range", HU_RANGE)
        if min(head, back, left) <= 0 or low >= high:
            raise WeightsFaulty(f"{checkpoint.weights.name}: spacing_mm must be positive and hu_range rise")
        channel = _channel(checkpoint, len(segmenter.weight))
        return cls(segmenter, channel, site, (head, back, left), (low, high))

    def run(self, image: Volume, progress: Progress) -> Findings:
        """Find lesions, the largest first.

        Lesions are the connected components (26 neighbours) on the grid of the image; those smaller than a
        ball of 3 mm are dropped, and all but the `MOST` largest; the first then says so in its `review`.

        Raises:
            Unsuitable: not a CT in Hounsfield units, or nothing in it but air.
        """
        progress(0.0, "resampling")
        grid = NetworkGrid.of(image, self.spacing_mm, self.hu_range)
        labels = self.segmenter.labels(grid.scaled, part(progress, 0.02, 0.95))
        progress(0.95, "measuring lesions")
        components = _Components.of(grid.to_source(labels) == self.channel, image)
        lesions = [
            self._segment(number, mask, origin)
            for number, (mask, origin) in enumerate(components.largest(MOST), 1)
        ]
        if components.count > MOST:
            said = f"{components.count} lesions were found; the {MOST} largest are given, the others left out"
            lesions[0] = replace(lesions[0], review=said)
        progress(1.0, "done")
        return Findings(tuple(lesions), tuple(_long_axis(lesion, image) for lesion in lesions))

    def _segment(self, number: int, mask: BoolMask, origin: tuple[int, int, int]) -> Segment:
        return Segment(
            f"{self.site} tumor {number}",
            ALTERED_STRUCTURE,
            NEOPLASM,
            _COLOUR,
            mask,
            origin,
            site=SITES[self.site].code,
        )


def _channel(checkpoint: Checkpoint, count: int) -> int:
    """Which channel is the tumour: the one named so, or that of two which is not the background."""
    names = checkpoint.config.get("classes", ["background", _TUMOUR] if count == 2 else None)
    if not isinstance(names, list) or len(names) != count or _TUMOUR not in names:
        raise WeightsFaulty(
            f"{checkpoint.weights.name}: the configuration must name the {count} classes, "
            f"one of them {_TUMOUR!r}; it has {names!r}"
        )
    return names.index(_TUMOUR)


@dataclass(frozen=True, eq=False)
class _Components:
    """The connected components of a mask that are no specks.

    Attributes:
        labels: their numbers on the grid of the image.
        boxes: around each number.
        numbers: of the components, the largest first.
    """

    labels: npt.NDArray[np.unsignedinteger]
    boxes: Sequence[tuple[slice, slice, slice]]
    numbers: Sequence[int]

    @classmethod
    def of(cls, tumour: BoolMask, image: Volume) -> Self:
        labels = cc3d.connected_components(tumour, connectivity=26)
        found = cc3d.statistics(labels)
        sizes = np.asarray(found["voxel_counts"], dtype=np.int64)
        sizes[0] = 0
        by_size = np.argsort(-sizes, kind="stable").tolist()
        large = [n for n in by_size if _volume_mm3(int(sizes[n]), image) >= SMALLEST_MM3]
        return cls(labels, found["bounding_boxes"], large)

    @property
    def count(self) -> int:
        return len(self.numbers)

    def largest(self, most: int) -> Iterator[tuple[BoolMask, tuple[int, int, int]]]:
        """The mask and the origin of each, in its box."""
        for number in self.numbers[:most]:
            box = self.boxes[number]
            yield np.equal(self.labels[box], number), (box[0].start, box[1].start, box[2].start)


def _volume_mm3(voxels: int, image: Volume) -> float:
    return voxels * image.voxel_volume_ml * 1000.0


def _long_axis(lesion: Segment, image: Volume) -> Measurement:
    """The longest diameter within one axial slice, between the borders of the mask."""
    diameters = largest_diameters(Surface.of(lesion.mask), image.affine_mm[:3, :3])
    in_planes = (diameters.in_slice, diameters.in_row, diameters.in_column)
    axial = Orientation.closest(image.affine_mm).axes[0]
    return Measurement(lesion.label, "LongestDiameter", LONG_AXIS, in_planes[axial], MILLIMETER)
