"""Images that several tests share."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest

from algorithms.phantoms import Phantom, chest_ct
from algorithms.protocol import Volume


@pytest.fixture(scope="session")
def phantom() -> Phantom:
    return chest_ct(seed=3)


@pytest.fixture(scope="session")
def small_phantom() -> Phantom:
    return chest_ct(seed=4, slices=44, columns=192, slice_spacing_mm=7.0)


@pytest.fixture(scope="session")
def read_series() -> Callable[[Path], Volume]:
    """Read a regular series, sorted along its normal."""

    def read(folder: Path) -> Volume:
        images = [pydicom.dcmread(path) for path in sorted(folder.glob("*.dcm"))]
        images = [image for image in images if image.get("ImageOrientationPatient")]
        row, column = np.reshape(np.asarray(images[0].ImageOrientationPatient, dtype=float), (2, 3))
        images.sort(key=lambda image: float(np.dot(np.cross(row, column), image.ImagePositionPatient)))
        first, last = (np.asarray(images[i].ImagePositionPatient, dtype=float) for i in (0, -1))
        affine = np.eye(4)
        affine[:3, 0] = (last - first) / (len(images) - 1)
        affine[:3, 1] = column * float(images[0].PixelSpacing[0])
        affine[:3, 2] = row * float(images[0].PixelSpacing[1])
        affine[:3, 3] = first
        voxels = np.stack(
            [
                image.pixel_array * float(image.get("RescaleSlope", 1))
                + float(image.get("RescaleIntercept", 0))
                for image in images
            ]
        ).astype(np.float32)
        uids = tuple(str(image.SOPInstanceUID) for image in images)
        return Volume(voxels, affine, "HU", str(images[0].Modality), uids)

    return read
