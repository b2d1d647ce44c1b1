"""Lesions from labels: which are given, how they are coded, and how long they are."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydicom.sr.codedict import codes

from algorithms.ct_fm.network import HU_RANGE
from algorithms.ct_fm.segmenter import Segmenter
from algorithms.ct_fm.tumour import LONG_AXIS, MOST, NEOPLASM, PANCREAS, SITES, Tumour
from algorithms.protocol import Findings, Volume, silent
from algorithms.terminology import LUNG
from algorithms.weights import Store, WeightsFaulty
from node.outbound import coding
from tests.unit.algorithms.ct_fm.random_weights import SMALL, stored

NAME = "ct-fm-tumor"
CHEST = np.array([[0, 0, 1.0, -30], [0, 1.0, 0, -30], [2.0, 0, 0, 0], [0, 0, 0, 1.0]])


def bright(channel: int = 1, classes: int = 2) -> Segmenter:
    """A network that calls everything above the middle of the range the class of that channel."""
    weight, bias = torch.zeros(classes, 1), torch.zeros(classes)
    weight[channel], bias[channel] = 2.0, -1.0
    bias[[c for c in range(1, classes) if c != channel]] = -1.0
    return Segmenter(lambda tiles: tiles, weight, bias, (16, 32, 32), "cpu")


def found_in(voxels: np.ndarray, affine: np.ndarray = CHEST, site: str = "lung") -> Findings:
    """Lesions where voxels are true, on a grid of the image's own spacing."""
    hu = np.where(voxels, 900, -700).astype(np.float32)
    volume = Volume(hu, affine, "HU", "CT", tuple(map(str, range(len(hu)))))
    a, b, c = np.linalg.norm(affine[:3, :3], axis=0)[np.argmax(np.abs(affine[[2, 1, 0], :3]), axis=1)]
    algorithm = Tumour(bright(), 1, site, (float(a), float(b), float(c)), HU_RANGE)
    return algorithm.run(volume, silent)


def test_each_lesion_is_a_segment_the_largest_first_and_specks_are_dropped() -> None:
    voxels = np.zeros((20, 60, 60), dtype=bool)
    voxels[3:5, 10:14, 10:14] = True
    voxels[8:14, 30:45, 20:40] = True
    voxels[14, 45, 40] = True  # touches the corner of the large one
    voxels[17, 50, 50:53] = True  # 6 cubic millimetres
    found = found_in(voxels)
    assert [(s.label, s.voxel_count) for s in found.segments] == [
        ("lung tumor 1", 6 * 15 * 20 + 1),
        ("lung tumor 2", 2 * 4 * 4),
    ]
    assert {segment.review for segment in found.segments} == {None}
    assert np.array_equal(found.segments[1].on_grid(voxels.shape)[:6], voxels[:6])
    assert {(s.type, s.site, s.laterality) for s in found.segments} == {(NEOPLASM, LUNG, None)}


@pytest.mark.parametrize("axial", [0, 1, 2])
def test_the_longest_diameter_is_measured_in_the_axial_plane(axial: int) -> None:
    head, back, left = (np.array(v, dtype=float) for v in ((0, 0, 2.0), (0, 1.0, 0), (1.0, 0, 0)))
    columns = [back, left]
    columns.insert(axial, head)
    affine = np.eye(4)
    affine[:3, :3] = np.column_stack(columns)
    voxels = np.zeros((20, 60, 60), dtype=bool)
    voxels[2:22, 10:40, 10:50] = True  # 36 or 60 mm along the head, 30 or 40 across
    voxels = np.moveaxis(np.moveaxis(voxels, 0, 0), 0, axial)
    (measured,) = found_in(voxels, affine).measurements
    sizes = [n for axis, n in enumerate(np.ptp(np.argwhere(voxels), axis=0) + 1) if axis != axial]
    assert (measured.segment, measured.code, measured.unit.value) == ("lung tumor 1", LONG_AXIS, "mm")
    assert measured.value == pytest.approx(np.hypot(*sizes), abs=1.5)


def test_nothing_is_found_in_a_healthy_lung() -> None:
    found = found_in(np.zeros((20, 60, 60), dtype=bool))
    assert (found.segments, found.measurements) == ((), ())


def test_of_countless_lesions_the_largest_are_given_and_it_is_said() -> None:
    voxels = np.zeros((20, 60, 60), dtype=bool)
    voxels[::4, ::6, ::6] = voxels[1::4, ::6, ::6] = True
    voxels[:, :, 1::6] = voxels[:, :, ::6]
    voxels[:, 1::6] = voxels[:, ::6]
    found = found_in(voxels, site="pancreas")
    assert len(found.segments) == MOST
    assert found.segments[0].review == (
        "500 lesions were found; the 50 largest are given, the others left out"
    )
    assert {segment.review for segment in found.segments[1:]} == {None}
    assert found.segments[0].site == PANCREAS


def test_codes_are_those_of_dicom() -> None:
    assert NEOPLASM.value == codes.cid7159.Neoplasm.value
    assert LONG_AXIS.value == codes.cid7470.LongAxis.value
    for code in (NEOPLASM, LONG_AXIS, *(site.code for site in SITES.values())):
        assert coding.faults(code) == []


def loaded(folder: Path, config: Mapping[str, Any], **options: str) -> Tumour:
    stored(folder, NAME, {**SMALL, "roi": [16, 32, 32], **config})
    return Tumour.from_options(options, "cpu", Store((folder,)))


def test_the_site_decides_what_the_weights_do_not_say(tmp_path: Path) -> None:
    lung = loaded(tmp_path, {"out_channels": 2})
    assert (lung.site, lung.spacing_mm, lung.hu_range) == ("lung", SITES["lung"].spacing_mm, HU_RANGE)
    pancreas = loaded(tmp_path, {"out_channels": 2}, site="pancreas")
    assert pancreas.spacing_mm == SITES["pancreas"].spacing_mm
    told = loaded(
        tmp_path,
        {
            "out_channels": 3,
            "classes": ["background", "pancreas", "tumor"],
            "spacing_mm": [3, 2, 2],
            "hu_range": [-100, 240],
        },
        site="pancreas",
    )
    assert (told.channel, told.spacing_mm, told.hu_range) == (2, (3.0, 2.0, 2.0), (-100.0, 240.0))


def test_loaded_weights_run_to_the_end(tmp_path: Path) -> None:
    algorithm = loaded(tmp_path, {"out_channels": 2, "spacing_mm": [3, 2, 2]})
    hu = np.random.default_rng(1).normal(0, 400, (12, 40, 40)).astype(np.float32)
    volume = Volume(hu, CHEST, "HU", "CT", tuple(map(str, range(12))))
    told: list[float] = []
    found = algorithm.run(volume, lambda fraction, _: told.append(fraction))
    assert told == sorted(told)
    assert len(found.measurements) == len(found.segments)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"out_channels": 3}, "must name the 3 classes"),
        ({"out_channels": 2, "classes": ["background", "nodule"]}, "one of them 'tumor'"),
        ({"out_channels": 2, "classes": ["background", "lung", "tumor"]}, "must name the 2 classes"),
        ({"out_channels": 2, "spacing_mm": [0, 1, 1]}, "spacing_mm must be positive"),
        ({"out_channels": 2, "hu_range": [300, -100]}, "hu_range rise"),
    ],
)
def test_a_configuration_that_makes_no_sense_is_refused(
    tmp_path: Path, config: Mapping[str, Any], message: str
) -> None:
    with pytest.raises(WeightsFaulty, match=message):
        loaded(tmp_path, config)
