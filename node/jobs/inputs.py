"""What a run reads: a series of images, or a segmentation and the images it was made on."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

from node.errors import IncompleteInput, UnsuitableImage
from node.inbound import segmentations
from node.jobs.series import Series, Study


@dataclass(frozen=True)
class Input:
    """The instances that a result depends on, and their files.

    Attributes:
        sop_instance_uids: of all instances.
        images: files of the images.
        segmentation: file of a segmentation of the images; None where an algorithm is to find segments.
    """

    sop_instance_uids: tuple[str, ...]
    images: tuple[Path, ...]
    segmentation: Path | None = None

    @classmethod
    def of(cls, series: Series, study: Study) -> Self:
        """The instances of a series; with a segmentation, all images of the series it was made on.

        Raises:
            IncompleteInput: images that the segmentation names are not in the study.
            UnsuitableImage: it names no image, or images of several series; or there are several.
        """
        if series.modality != "SEG":
            return cls(series.sop_instance_uids, series.paths)
        if len(series.headers) > 1:
            raise UnsuitableImage(
                f"the series holds {len(series.headers)} segmentations; one is measured at a time"
            )
        images = _images(series, study)
        uids = (*series.sop_instance_uids, *images.sop_instance_uids)
        return cls(uids, images.paths, series.paths[0])

    def refuse_incomplete(self) -> None:
        """Raise IncompleteInput where there are fewer files than instances."""
        missing = len(self.sop_instance_uids) - len(self.images) - (self.segmentation is not None)
        if missing:
            raise IncompleteInput(
                f"{missing} of {len(self.sop_instance_uids)} instances are not in the spool"
            )


def _images(segmentation: Series, study: Study) -> Series:
    named = segmentations.images_named(segmentation.representative)
    if not named:
        raise UnsuitableImage("the segmentation does not say which images it was made on")
    missing = named.difference(*(series.sop_instance_uids for series in study.series))
    if missing:
        raise IncompleteInput(
            f"{len(missing)} of {len(named)} images that the segmentation was made on are not in the study, "
            f"such as {min(missing)}"
        )
    holding = [series for series in study.series if not named.isdisjoint(series.sop_instance_uids)]
    if len(holding) > 1:
        raise UnsuitableImage(f"the segmentation was made on images of {len(holding)} series; one is read")
    return holding[0]
