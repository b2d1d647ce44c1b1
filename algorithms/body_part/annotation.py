"""The algorithm `body-part-regression`: landmarks and regions of a CT, slice by slice."""

from typing import ClassVar, Self

from algorithms.body_part.anatomy import LANDMARKS, REGIONS
from algorithms.body_part.coverage import implausible, must_be_ct_of_the_body
from algorithms.body_part.levels import landmark_slices, region_slices
from algorithms.body_part.options import needs
from algorithms.body_part.preprocessing import rises
from algorithms.body_part.regressor import BodyPartRegressor
from algorithms.body_part.scores import Reference, ScoreCurve
from algorithms.protocol import Findings, Landmark, Progress, Region, Unsuitable, Volume
from algorithms.weights import Store


class BodyPartRegression:
    """The algorithm `body-part-regression`."""

    name: ClassVar[str] = "body-part-regression"
    version: ClassVar[str] = "0.1.0"

    def __init__(self, regressor: BodyPartRegressor) -> None:
        self.regressor = regressor

    @classmethod
    def from_options(cls, options: dict[str, str], device: str, store: Store) -> Self:
        """Build it.

        Raises:
            ValueError: an option that it does not know.
            WeightsMissing: the weights are not in the store.
            WeightsFaulty: they do not fit.
        """
        (name,) = needs(options)
        return cls(BodyPartRegressor(store.get(name), device))

    def run(self, image: Volume, progress: Progress) -> Findings:
        """Find landmarks and regions.

        Raises:
            Unsuitable: not a CT of the body in axial slices, or the scores contradict the order or the
                spacing of the slices.
        """
        must_be_ct_of_the_body(image)
        curve = self.regressor.curve(image, progress)
        if (reason := implausible(curve)) is not None:
            raise Unsuitable(reason)
        return annotate(image, curve, self.regressor.reference)


def annotate(image: Volume, curve: ScoreCurve, reference: Reference) -> Findings:
    """Landmarks and regions of a volume whose slices have been scored."""
    last = len(image.voxels) - 1
    stored = [index if rises(image) else last - index for index in range(last + 1)]
    landmarks = tuple(
        Landmark(
            name=name,
            code=LANDMARKS[name].code,
            position_mm=slice_centre(image, stored[index]),
            sop_instance_uid=image.sop_instance_uids[stored[index]],
            modifier=LANDMARKS[name].modifier,
        )
        for name, index in landmark_slices(curve, reference).items()
    )
    regions = tuple(
        Region(
            name=name,
            code=REGIONS[name].code,
            sop_instance_uids=tuple(image.sop_instance_uids[stored[i]] for i in shown.nonzero()[0]),
        )
        for name, shown in region_slices(curve, reference).items()
    )
    return Findings(landmarks=landmarks, regions=regions)


def slice_centre(image: Volume, index: int) -> tuple[float, float, float]:
    """The middle of a slice in patient LPS millimetres."""
    _, rows, columns = image.voxels.shape
    x, y, z, _ = image.affine_mm @ (index, (rows - 1) / 2, (columns - 1) / 2, 1.0)
    return float(x), float(y), float(z)
