from pathlib import Path

import pytest
from pydicom import Dataset

from node.errors import IncompleteInput, UnsuitableImage
from node.jobs.inputs import Input
from node.jobs.series import Series, Study, study_of


def image(series: str, number: int) -> Dataset:
    header = Dataset()
    header.StudyInstanceUID, header.SeriesInstanceUID, header.Modality = "1.2", series, "CT"
    header.SOPInstanceUID, header.InstanceNumber = f"{series}.{number}", number
    header.filename = f"/spool/{header.SOPInstanceUID}"
    return header


def segmentation(number: int, *named: str) -> Dataset:
    header = image("1.9", number)
    header.Modality = "SEG"
    referenced = Dataset()
    referenced.ReferencedInstanceSequence = []
    for uid in named:
        item = Dataset()
        item.ReferencedSOPInstanceUID = uid
        referenced.ReferencedInstanceSequence.append(item)
    header.ReferencedSeriesSequence = [referenced]
    return header


IMAGES = (image("1.3", 1), image("1.3", 2), image("1.3", 3), image("1.4", 1))


def of(*headers: Dataset, series: str = "1.9") -> Input:
    study: Study = study_of(headers)
    chosen: Series = next(s for s in study.series if s.series_instance_uid == series)
    return Input.of(chosen, study)


def test_a_series_of_images_is_read_alone() -> None:
    found = of(*IMAGES, series="1.3")
    assert found.sop_instance_uids == ("1.3.1", "1.3.2", "1.3.3")
    assert found.images == tuple(map(Path, ("/spool/1.3.1", "/spool/1.3.2", "/spool/1.3.3")))
    assert found.segmentation is None


def test_a_segmentation_is_read_with_the_whole_series_that_it_was_made_on() -> None:
    found = of(*IMAGES, segmentation(1, "1.3.1", "1.3.3"))
    assert found.segmentation == Path("/spool/1.9.1")
    assert found.sop_instance_uids == ("1.9.1", "1.3.1", "1.3.2", "1.3.3")
    assert [path.name for path in found.images] == ["1.3.1", "1.3.2", "1.3.3"]
    found.refuse_incomplete()


def test_images_that_are_not_there_are_named() -> None:
    with pytest.raises(IncompleteInput, match=r"2 of 3 images .* such as 1\.3\.8"):
        of(*IMAGES, segmentation(1, "1.3.1", "1.3.8", "1.3.9"))


@pytest.mark.parametrize(
    ("segmentations", "said"),
    [
        ([segmentation(1)], "does not say which images"),
        ([segmentation(1, "1.3.1", "1.4.1")], "images of 2 series"),
        ([segmentation(1, "1.3.1"), segmentation(2, "1.3.1")], "holds 2 segmentations"),
    ],
)
def test_what_cannot_be_measured_is_refused(segmentations: list[Dataset], said: str) -> None:
    with pytest.raises(UnsuitableImage, match=said):
        of(*IMAGES, *segmentations)


def test_fewer_files_than_instances_are_incomplete() -> None:
    with pytest.raises(IncompleteInput, match="1 of 2 instances are not in the spool"):
        Input(("1.3.1", "1.3.2"), (Path("/spool/1.3.1"),)).refuse_incomplete()
