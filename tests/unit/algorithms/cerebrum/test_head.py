"""A head is made ready in any orientation, and labels come back to the image's own grid."""

from itertools import permutations, product

import numpy as np
import pytest

from algorithms.cerebrum.head import Average, Head, Look, head_box
from algorithms.cerebrum.network import STRIDE
from algorithms.protocol import Unsuitable, Volume

AXES = list(product(permutations(range(3)), product((1, -1), repeat=3)))


def ball(spacing=(2.0, 2.0, 2.0), sides=(110, 120, 100), radius=80.0) -> Volume:
    """A bright head of 80 mm in dark air, its left half brighter; canonical axes."""
    places = np.stack(np.meshgrid(*(np.arange(n) for n in sides), indexing="ij"), axis=-1) * spacing
    middle = np.array(sides) * spacing / 2
    inside = np.linalg.norm(places - middle, axis=-1) < radius
    voxels = np.where(inside, 100.0 + 50.0 * (places[..., 2] > middle[2]), 2.0).astype(np.float32)
    affine = np.zeros((4, 4))
    affine[[2, 1, 0], [0, 1, 2]] = spacing
    affine[3, 3] = 1.0
    return Volume(voxels, affine, "arbitrary", "MR", tuple(map(str, range(sides[0]))))


def stored(image: Volume, axes, signs) -> Volume:
    """The same image with its axes reordered and reversed."""
    voxels = np.transpose(image.voxels, axes)
    to_canonical = np.zeros((4, 4))
    to_canonical[3, 3] = 1.0
    for new, (old, sign) in enumerate(zip(axes, signs, strict=True)):
        to_canonical[old, new] = sign
        to_canonical[old, 3] = 0 if sign > 0 else image.voxels.shape[old] - 1
    flipped = np.flip(voxels, [n for n, sign in enumerate(signs) if sign < 0])
    affine = image.affine_mm @ to_canonical
    uids = tuple(map(str, range(len(flipped))))
    return Volume(np.ascontiguousarray(flipped), affine, "arbitrary", "MR", uids)


@pytest.mark.parametrize(("axes", "signs"), AXES)
def test_however_it_is_stored_the_network_sees_the_same_head(axes, signs) -> None:
    wanted, found = (Head.of(i, Look(2.0, "head")) for i in (ball(), stored(ball(), axes, signs)))
    assert np.abs(found.voxels - wanted.voxels).max() < 1e-4
    assert found.affine_mm == pytest.approx(wanted.affine_mm)


@pytest.mark.parametrize("spacing", [(2.0, 2.0, 2.0), (1.0, 1.0, 1.0), (0.9, 0.86, 0.86), (1.5, 1.2, 1.2)])
@pytest.mark.parametrize(("axes", "signs"), AXES[5::17])
def test_labels_come_back_to_the_grid_of_the_image(spacing, axes, signs) -> None:
    sides = tuple(int(220 / s) for s in spacing)
    image = stored(ball(spacing, sides), axes, signs)
    head = Head.of(image, Look(2.0, "head"))
    assert all(side % STRIDE == 0 for side in head.voxels.shape)
    bright = (head.voxels > 0).astype(np.float32)
    labels = head.labels_of(np.stack([1 - bright, bright]))
    truth = image.voxels > 50
    overlap = 2 * np.count_nonzero(truth & (labels == 1)) / (truth.sum() + (labels == 1).sum())
    assert labels.shape == image.voxels.shape
    assert overlap > 0.98


def test_values_are_standardised_over_the_head_or_the_volume() -> None:
    image = ball()
    over_head, over_volume = (Head.of(image, Look(2.0, over)).voxels for over in ("head", "volume"))
    assert abs(over_head.mean()) < abs(over_volume.mean())
    whole = (image.voxels - image.voxels.mean()) / image.voxels.std()
    assert over_volume.max() == pytest.approx(whole.max(), rel=1e-5)


def test_the_neck_is_left_out() -> None:
    image = ball(sides=(200, 100, 100))
    image.voxels[:100, 30:70, 30:70] = 90.0
    crown = int(np.flatnonzero((image.voxels > 50).any(axis=(1, 2)))[-1])
    box = head_box(image.voxels, 2.0)
    assert crown < box[0].stop < crown + 10
    assert box[0].stop - box[0].start < (200 + 2 * 12 + 8) / 2 + 4


@pytest.mark.parametrize("radius", [0.0, 30.0])
def test_what_is_no_head_is_refused(radius: float) -> None:
    with pytest.raises(Unsuitable, match=r"head|nothing"):
        Head.of(ball(radius=radius), Look())


@pytest.mark.parametrize(("axes", "signs"), AXES[3::19])
def test_each_voxel_is_standardised_by_the_average_head_wherever_both_lie(axes, signs) -> None:
    average = Average(ball(sides=(104, 112, 96)).voxels, np.full((104, 112, 96), 2.0, dtype=np.float32))
    found = Head.of(stored(ball(), axes, signs), Look(2.0, "voxel", average))
    assert found.voxels.shape == (104, 112, 96)
    assert np.mean(found.voxels == 0) > 0.99  # the same head, in the middle of another field of view
    wanted = Head.of(ball(), Look(2.0, "voxel", average))
    assert np.array_equal(found.voxels, wanted.voxels)
    assert found.affine_mm == pytest.approx(wanted.affine_mm)


def test_labels_come_back_from_the_field_of_view_of_the_average_head() -> None:
    average = Average(ball().voxels, np.full((110, 120, 100), 2.0, dtype=np.float32))
    image = ball(sides=(100, 128, 110))
    head = Head.of(image, Look(2.0, "voxel", average))
    logits = np.stack([np.full(head.voxels.shape, 0.0), np.full(head.voxels.shape, -1.0)]).astype(np.float32)
    logits[1, 50:60, 60:70, 40:50] = 1.0
    places = np.argwhere(head.labels_of(logits) == 1)
    middle = (image.affine_mm @ [*places.mean(axis=0), 1.0])[:3]
    assert middle == pytest.approx((head.affine_mm @ [54.5, 64.5, 44.5, 1.0])[:3], abs=0.5)
