"""The algorithm `ct-wholebody`: 117 structures by CT-FM's whole-body network (Pai et al., arXiv:2501.09001).

Cubes of 1.5 mm, as the network was trained on (TotalSegmentator's data), scaled and cropped as in the
published evaluation; the class with the greatest score; the nearest voxel on the way back. Volumes are
measured by the node, with the shape of every segment.
"""

from dataclasses import dataclass
from typing import ClassVar, Final, Self

from algorithms.ct_fm.network_grid import NetworkGrid
from algorithms.ct_fm.options import WHOLE_BODY, WHOLE_BODY_OPTIONS
from algorithms.ct_fm.segmenter import Segmenter
from algorithms.ct_fm.structures import Structure, segments, structures
from algorithms.options import chosen
from algorithms.protocol import Findings, Progress, Volume, part
from algorithms.spatial import Spacing
from algorithms.weights import Store

SPACING_MM: Final[Spacing] = (1.5, 1.5, 1.5)


@dataclass(frozen=True)
class WholeBody:
    """The algorithm, with what it runs.

    Attributes:
        segmenter: the network.
        structures: its classes.
    """

    segmenter: Segmenter
    structures: tuple[Structure, ...]
    name: ClassVar[str] = "ct-wholebody"
    version: ClassVar[str] = "0.1.0"

    @classmethod
    def from_options(cls, options: dict[str, str], device: str, store: Store) -> Self:
        """Build it.

        Raises:
            ValueError: an option that there is not.
            WeightsMissing: the weights are not in the store.
            WeightsFaulty: they do not fit.
        """
        chosen(cls.name, WHOLE_BODY_OPTIONS, options)
        known = structures()
        network = Segmenter.from_checkpoint(store.get(WHOLE_BODY), device, classes=len(known) + 1)
        return cls(network, known)

    def run(self, image: Volume, progress: Progress) -> Findings:
        """Segment; structures without a voxel are left out.

        Raises:
            Unsuitable: not a CT in Hounsfield units, or nothing in it but air.
        """
        progress(0.0, "resampling")
        grid = NetworkGrid.of(image, SPACING_MM)
        labels = self.segmenter.labels(grid.scaled, part(progress, 0.02, 0.98))
        progress(0.98, "back to the source grid")
        found = segments(grid.to_source(labels), self.structures)
        progress(1.0, "done")
        return Findings(segments=found)
