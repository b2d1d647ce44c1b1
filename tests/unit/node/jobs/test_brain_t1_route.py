"""The route of brain-t1 on headers of real series."""

from datetime import UTC, datetime

import pytest
from pydicom import dcmread
from pydicom.misc import is_dicom

from algorithms import CATALOGUE
from node.inbound import volumes
from node.jobs.routing import DEFAULT_ROUTES, explain, load, match, study_of
from tests.enhanced_series import converted, enhanced, saved

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)


@pytest.fixture(scope="module")
def brain():
    return [route for route in load(DEFAULT_ROUTES, CATALOGUE, ["pacs"]) if route.name == "brain-t1"]


def read(folder):
    return study_of(volumes.headers(p for p in folder.rglob("*") if p.is_file() and is_dicom(p)))


def test_a_real_mprage_is_taken_whole(shared_data, brain):
    (found,) = match(read(shared_data / "mr-t1-brain-dicom"), brain, NOON)
    assert len(found.sop_instance_uids) == 192


@pytest.mark.parametrize("make", [converted, enhanced])
@pytest.mark.filterwarnings("ignore:The string")
def test_the_same_as_enhanced_mr_is_taken(shared_data, brain, tmp_path, make):
    folder = shared_data / "mr-t1-brain-dicom"
    image = make([dcmread(path) for path in folder.rglob("*") if path.is_file() and is_dicom(path)])
    saved(image, tmp_path)
    (found,) = match(read(tmp_path), brain, NOON)
    assert found.sop_instance_uids == (image.SOPInstanceUID,)


def test_real_spin_echoes_of_a_leg_are_left(shared_data, brain):
    studied = read(shared_data / "ct-pet-mr-rtstruct-sts")
    verdicts = [v for v in explain(studied, brain, NOON) if "(MR, instances:" in str(v)]
    assert verdicts
    assert all("ScanningSequence is SE" in str(v) and "does not take" in str(v) for v in verdicts)
