"""Enhanced MR against the classic series that it was made of."""

from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.uid import EnhancedCTImageStorage, RLELossless

from node.errors import IrregularGeometry, UnsuitableImage
from node.inbound import volumes
from node.inbound.enhanced import slices_of
from node.jobs.series import study_of
from tests.enhanced_series import classic, converted, enhanced, saved
from tests.synthetic_series import OBLIQUE

MAKERS = [converted, enhanced]

pytestmark = pytest.mark.filterwarnings("ignore:The string", "ignore:No anatomic region", "ignore:Unable to")


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize("attributes", [{}, {"orientation": OBLIQUE}, {"descending": True}])
def test_the_same_voxels_in_the_same_place(make, attributes, tmp_path: Path) -> None:
    slices = classic(**attributes)
    (tmp_path / "classic").mkdir()
    wanted, _ = volumes.read([saved(one, tmp_path / "classic") for one in slices])
    found, headers = volumes.read([saved(make(slices), tmp_path)])
    assert np.array_equal(found.voxels, wanted.voxels)
    assert np.ptp(found.voxels[1]) > 0
    assert np.allclose(found.affine_mm, wanted.affine_mm)
    assert len(set(found.sop_instance_uids)) == 1
    assert sorted(header.frame_number for header in headers) == [1, 2, 3, 4, 5]


def test_compressed_frames_are_decoded_one_by_one(tmp_path: Path) -> None:
    plain = saved(enhanced(classic()), tmp_path)
    wanted, _ = volumes.read([plain])
    image = dcmread(plain)
    image.compress(RLELossless, generate_instance_uid=False)
    (tmp_path / "compressed").mkdir()
    found, _ = volumes.read([saved(image, tmp_path / "compressed")])
    assert np.array_equal(found.voxels, wanted.voxels)


@pytest.mark.parametrize("make", MAKERS)
def test_routes_see_a_frame_as_they_see_a_slice(make, tmp_path: Path) -> None:
    (series,) = study_of(volumes.headers([saved(make(classic()), tmp_path)])).series
    seen = series.representative
    assert (seen.ScanningSequence[0] if make is converted else seen.ScanningSequence) == "GR"
    assert float(seen.EchoTime) == 2.5
    assert (series.facts.slices, series.facts.regular, series.facts.derived) == (5, True, False)
    assert len(series.headers) == len(series.paths) == 1


def test_no_frame_changes_another_nor_the_header(tmp_path: Path) -> None:
    (header,) = volumes.headers([saved(enhanced(classic()), tmp_path)])
    first, *_, last = slices_of([header])
    assert {float(first.WindowCenter), float(last.WindowCenter)} == {100.0, 104.0}
    first.SeriesDescription = "changed"
    assert last.get("SeriesDescription") == header.get("SeriesDescription") != "changed"
    assert "PixelSpacing" not in header
    assert header.NumberOfFrames == 5


def test_frames_that_are_not_all_described_are_refused(tmp_path: Path) -> None:
    image = enhanced(classic())
    del image.PerFrameFunctionalGroupsSequence[2]
    with pytest.raises(UnsuitableImage, match="describes each of its frames"):
        volumes.read([saved(image, tmp_path)])


def test_two_echoes_in_one_instance_are_no_stack(tmp_path: Path) -> None:
    image = enhanced(classic())
    groups = image.PerFrameFunctionalGroupsSequence
    groups[3].PlanePositionSequence = groups[2].PlanePositionSequence
    with pytest.raises(IrregularGeometry, match="position"):
        volumes.read([saved(image, tmp_path)])


def test_enhanced_ct_is_refused_by_name(shared_data: Path) -> None:
    for path in (shared_data / "dicom-oddities" / "pydicom-data").glob("*.dcm"):
        if dcmread(path, stop_before_pixels=True).get("SOPClassUID") == EnhancedCTImageStorage:
            with pytest.raises(UnsuitableImage, match="several frames"):
                volumes.read([path])
            return
    pytest.fail("there is no Enhanced CT")
