"""A SEG by other software and its CT arrive; their measurements come back, and nothing is doubled."""

import shutil
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import pytest
from pydicom import dcmread

from node.outbound import sr_reading
from tests.orthanc_server import Orthanc
from tests.system.nodes import Node, copy_of, destination, wait_for

pytestmark = pytest.mark.system

ROUTES = """
[[routes]]
name = "given-segmentations"
algorithm = "radiomics"

[routes.options]
radiomics = "shape"

[[routes.when]]
series = "modality"
equals = "SEG"

[routes.select]
take = "all"
"""


@pytest.fixture
def examples(shared_data: Path) -> Path:
    """CT of three slices, and segmentations of them by dcmqi."""
    return shared_data / "seg-sr-examples" / "dcmqi"


@pytest.fixture
def node(make_node: Callable[..., Node], pacs: Orthanc, tmp_path: Path) -> Node:
    (tmp_path / "routes.toml").write_text(ROUTES)
    return make_node(
        AINODE__DESTINATIONS=destination(pacs), AINODE__ROUTES__FILE=str(tmp_path / "routes.toml")
    ).start()


def test_a_segmentation_by_other_software_is_measured(
    node: Node, pacs: Orthanc, examples: Path, tmp_path: Path
) -> None:
    study = copy_of(examples / "ct-3slice", tmp_path / "study")
    shutil.copy(examples / "liver.dcm", study)
    given = dcmread(study / "liver.dcm", stop_before_pixels=True)
    node.send(study)
    item = node.workitem(given.StudyInstanceUID, "COMPLETED")
    assert (item["algorithm"], item["series_instance_uid"]) == ("radiomics", given.SeriesInstanceUID)
    (uid,) = pacs.sop_instance_uids()
    report = dcmread(BytesIO(pacs.file(uid)))
    (group,) = sr_reading.groups(report)
    assert group.segment == (given.SOPInstanceUID, 1)
    assert {number.code.scheme for number in group.numbers} == {"IBSI", "99PYRADIOMICS"}


def test_a_segmentation_whose_images_are_not_all_there_waits_for_a_person(
    node: Node, pacs: Orthanc, examples: Path, tmp_path: Path
) -> None:
    study = copy_of(examples / "ct-3slice", tmp_path / "study", 2)
    shutil.copy(examples / "liver.dcm", study)
    uid = dcmread(study / "liver.dcm", stop_before_pixels=True).StudyInstanceUID
    left_out = dcmread(examples / "ct-3slice" / "03.dcm", stop_before_pixels=True).SOPInstanceUID
    node.send(study)
    item = node.workitem(uid, "CANCELED")
    assert f"1 of 3 images that the segmentation was made on are not in the study, such as {left_out}" in str(
        item
    )
    assert pacs.sop_instance_uids() == []
    shutil.copy(examples / "ct-3slice" / "03.dcm", study)
    node.send(study)
    wait_for("the last image", lambda: node.get("/api/studies")[0]["instances"] == 4)
    node.run("workitems", "rerun", item["uid"])
    node.workitem(uid, "COMPLETED")
    assert len(pacs.sop_instance_uids()) == 1


def test_the_command_takes_the_longest_of_several_segmentations(
    make_node: Callable[..., Node], examples: Path, tmp_path: Path
) -> None:
    study = copy_of(examples / "ct-3slice", tmp_path / "study")
    shutil.copy(examples / "liver.dcm", study)
    shutil.copy(examples / "partial_overlaps.dcm", study)
    done = make_node().run(
        "run", "radiomics", study, "--out", tmp_path / "out", "--option", "radiomics=shape"
    )
    longest = dcmread(study / "partial_overlaps.dcm", stop_before_pixels=True)
    assert f"2 series fit; running on the longest, {longest.SeriesInstanceUID}" in done.stdout.replace(
        "\n", ""
    )
    groups = sr_reading.groups(dcmread(tmp_path / "out" / "sr.dcm"))
    assert [group.segment for group in groups] == [(longest.SOPInstanceUID, n) for n in range(1, 6)]
    assert not (tmp_path / "out" / "seg.dcm").exists()
