"""The vertebral canal: enclosed by bone on four sides, gaps between the arches allowed."""

import numpy as np

from algorithms.chest_ct.canal import enclosed_by_bone
from algorithms.phantoms import torso
from algorithms.phantoms.labels import Label


def test_a_ring_encloses_and_three_walls_do_not():
    hu = np.zeros((30, 24, 24), dtype=np.float32)
    hu[5:25, 8:16, 8:16] = 400
    hu[5:25, 10:14, 10:14] = 20
    ring = enclosed_by_bone(hu, 3.0)
    assert ring[10:20, 10:14, 10:14].all()
    assert not ring[:, :8].any()
    hu[:, 14:] = 20
    assert not enclosed_by_bone(hu, 3.0)[:, 10:14, 10:14].any()


def test_a_gap_as_high_as_a_disc_is_bridged_and_a_long_one_is_not():
    hu = np.zeros((40, 24, 24), dtype=np.float32)
    hu[:, 8:16, 8:16] = 400
    hu[10:13] = hu[20:35] = 20.0
    hu[:, 10:14, 10:14] = 20
    enclosed = enclosed_by_bone(hu, 3.0)[:, 11, 11]
    assert enclosed[10:13].all()
    assert not enclosed[26:29].any()


def test_the_cord_of_a_body_is_enclosed_and_its_muscles_are_not():
    made = torso(600_031, bottom_mm=-60.0, top_mm=240.0)
    enclosed = enclosed_by_bone(made.hu, 3.0)
    assert enclosed[made.labels == Label.SPINAL_CORD].mean() > 0.8
    assert enclosed[made.labels == Label.MUSCLE].mean() < 0.25
