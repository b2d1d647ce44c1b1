from dataclasses import replace

import numpy as np
import pytest

from algorithms.protocol import Findings
from node.outbound import parametric_map, seg_reading
from tests.synthetic_findings import saliency
from tests.synthetic_series import OBLIQUE, provenance, series


def encoded(found, sources, volume):
    return parametric_map.encode(Findings(saliency=found), sources, provenance(volume))


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("orientation", [(1.0, 0.0, 0.0, 0.0, 1.0, 0.0), OBLIQUE])
def test_frames_rise_along_the_normal_of_their_planes(orientation, descending):
    volume, sources = series(orientation=orientation, descending=descending)
    written = encoded(saliency(volume), sources, volume)
    normal = np.cross(orientation[:3], orientation[3:])
    along = [plane.affine_mm[:, 2] @ normal for plane in seg_reading.planes(written)]
    assert np.diff(along).min() > 0


@pytest.mark.parametrize(("part", "meaning"), [("HEAD", "Head"), ("CHEST", "Chest"), ("TOE", None)])
def test_the_anatomy_is_that_of_the_source_where_it_is_known(part, meaning):
    volume, sources = series(BodyPartExamined=part)
    shared = encoded(saliency(volume), sources, volume).SharedFunctionalGroupsSequence[0]
    anatomy = shared.get("FrameAnatomySequence", ())
    assert [item.AnatomicRegionSequence[0].CodeMeaning for item in anatomy] == ([meaning] if meaning else [])


def test_a_map_that_is_the_same_everywhere_can_be_shown():
    volume, sources = series()
    flat = replace(saliency(volume), voxels=np.zeros((2, 3, 4), dtype=np.float32))
    window = encoded(flat, sources, volume).SharedFunctionalGroupsSequence[0].FrameVOILUTSequence[0]
    assert window.WindowWidth > 0


@pytest.mark.parametrize(
    "voxels",
    [
        np.full((1, 1, 1), np.nan, dtype=np.float32),
        np.broadcast_to(np.float32(0), (2**9, 2**9, 2**9)),
    ],
    ids=["no number", "too large"],
)
def test_what_is_no_map_is_refused(voxels):
    volume, sources = series()
    with pytest.raises(ValueError, match="a saliency map of"):
        encoded(replace(saliency(volume), voxels=voxels), sources, volume)


def test_no_map_is_no_object():
    volume, sources = series()
    with pytest.raises(ValueError, match="no saliency map"):
        encoded(None, sources, volume)
