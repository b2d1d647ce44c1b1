"""The triage network sees what the published recipe would show it."""

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.data import MetaTensor
from monai.transforms import (
    CenterSpatialCrop,
    Compose,
    CropForeground,
    Orientation,
    ScaleIntensityRange,
    Spacing,
    SpatialPad,
)

from algorithms.ct_fm.triage_preparation import SHAPE, SPACING_MM, WINDOWS_HU, PreparedHead, windowed
from algorithms.protocol import Affine, Unsuitable, Volume, Voxels

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


def volume_of(voxels: Voxels, affine_mm: Affine) -> Volume:
    uids = tuple(f"2.25.{index}" for index in range(len(voxels)))
    return Volume(voxels, affine_mm, "HU", "CT", uids)


def affine_of(
    spacing: tuple[float, float, float], flips: tuple[int, int, int], turn_degrees: float
) -> Affine:
    """Axes (slice, row, column) that point to head, back, left, or the other way; turned about the x axis."""
    affine = np.zeros((4, 4))
    affine[[2, 1, 0], [0, 1, 2]] = np.array(spacing) * flips
    angle = np.radians(turn_degrees)
    turn = np.eye(4)
    turn[1:3, 1:3] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    affine[:, 3] = -30.0, 20.0, 700.0, 1.0
    return turn @ affine


def published(volume: Volume) -> tuple[npt.NDArray[np.float32], Affine]:
    """The windows and the affine (LPS) by MONAI's own transforms in the published order."""
    prepare = Compose(
        [
            Orientation(axcodes="SPL", labels=(("L", "R"), ("P", "A"), ("I", "S"))),
            CropForeground(),
            Spacing(pixdim=SPACING_MM, mode="bilinear"),
            SpatialPad(SHAPE, mode="minimum"),
            CenterSpatialCrop(SHAPE),
        ]
    )
    image = prepare(MetaTensor(torch.from_numpy(volume.voxels)[None], affine=LPS_TO_RAS @ volume.affine_mm))
    windows = [ScaleIntensityRange(low, high, 0.0, 1.0, clip=True)(image) for low, high in WINDOWS_HU]
    return torch.cat(windows, dim=1)[0].numpy(), LPS_TO_RAS @ image.affine.numpy()


@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    shape=st.tuples(st.integers(4, 60), st.integers(20, 90), st.integers(20, 90)),
    hundredths_mm=st.tuples(st.integers(80, 900), st.integers(40, 500), st.integers(40, 500)),
    flips=st.tuples(*[st.sampled_from((1, -1))] * 3),
    turn_degrees=st.sampled_from((0.0, -18.5, 7.0)),
)
def test_prepared_head_is_what_monai_makes_of_it(seed, shape, hundredths_mm, flips, turn_degrees) -> None:
    rng = np.random.default_rng(seed)
    voxels = np.full(shape, -1000.0, dtype=np.float32)
    voxels[1:-1, 3:-2, 2:-4] = rng.uniform(-200, 1500, [n - m for n, m in zip(shape, (2, 5, 6), strict=True)])
    a, b, c = (hundredths / 100 for hundredths in hundredths_mm)
    volume = volume_of(voxels, affine_of((a, b, c), flips, turn_degrees))
    expected, affine_mm = published(volume)
    prepared = PreparedHead.of(volume)
    found = windowed(torch.from_numpy(prepared.hu)[None, None])[0, 0].numpy()
    assert found.shape == (192, 128, 128)
    np.testing.assert_allclose(prepared.affine_mm, affine_mm, atol=1e-3)
    near = np.isclose(found, expected, atol=1e-2)  # the stroke window is 8 HU wide: 0.08 HU
    assert near.mean() > 0.9999


def test_windows_lie_one_after_the_other_along_the_first_axis() -> None:
    hu = torch.full((2, 1, 3, 4, 5), 32.0)
    stacked = windowed(hu)
    assert stacked.shape == (2, 1, 12, 4, 5)
    expected = [32 / 80, 157 / 300, 4 / 8, 932 / 3000]
    np.testing.assert_allclose(stacked[0, 0, ::3, 0, 0].numpy(), expected, rtol=1e-6)


def test_affine_of_the_prepared_head_keeps_places() -> None:
    rows = np.arange(120, dtype=np.float32)
    voxels = np.ascontiguousarray(np.broadcast_to(rows[None, :, None], (40, 120, 100))) + 1.0
    volume = volume_of(voxels, affine_of((3.0, 1.5, 1.5), (1, 1, 1), 0.0))
    prepared = PreparedHead.of(volume)
    index = np.array([24, 60, 64, 1.0])
    back_mm = (prepared.affine_mm @ index)[1]
    source_row = (np.linalg.inv(volume.affine_mm) @ prepared.affine_mm @ index)[1]
    assert prepared.hu[24, 60, 64] == pytest.approx(source_row + 1.0, abs=1e-3)
    assert back_mm == pytest.approx(20.0 + 1.5 * source_row)


def test_air_alone_is_refused() -> None:
    with pytest.raises(Unsuitable, match="denser than water"):
        PreparedHead.of(
            volume_of(np.full((5, 20, 20), -1000.0, np.float32), affine_of((5, 2, 2), (1, 1, 1), 0))
        )
