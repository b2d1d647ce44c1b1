from dataclasses import replace
from pathlib import Path

import nibabel
import numpy as np
import pytest

from algorithms.protocol import Volume
from node.errors import UnsuitableImage
from node.inbound import nifti

RAS = np.diag([-0.7, -0.8, 2.5, 1.0])
"""Of columns to the left, rows to the back and slices to the head, as DICOM has them."""


@pytest.fixture
def image() -> Volume:
    voxels = np.arange(4 * 5 * 6, dtype=np.float32).reshape(4, 5, 6)
    affine = np.array([[0, 0, 0.7, 0], [0, 0.8, 0, 0], [2.5, 0, 0, 0], [0, 0, 0, 1.0]])
    return Volume(voxels, affine, "HU", "CT", tuple("0123"))


def saved(folder: Path, voxels: np.ndarray) -> Path:
    nibabel.save(nibabel.Nifti1Image(voxels.transpose(2, 1, 0), RAS), folder / "it.nii.gz")
    return folder / "it.nii.gz"


def test_a_ct_comes_back_with_its_voxels_where_they_were(image: Volume, tmp_path: Path) -> None:
    read = nifti.volume(saved(tmp_path, image.voxels))
    assert np.array_equal(read.voxels, image.voxels)
    assert np.allclose(read.affine_mm, image.affine_mm)
    assert read.unit == "HU"


def test_labels_come_with_the_names_beside_them(image: Volume, tmp_path: Path) -> None:
    labels = (image.voxels > 100).astype(np.uint8)
    labels[0, 0, 0] = 7
    path = saved(tmp_path, labels)
    (tmp_path / "it.json").write_text('{"1": "tumor"}')
    found = nifti.labels(path, image)
    assert list(found) == ["tumor", "7"]
    assert np.array_equal(found["tumor"], image.voxels > 100)
    assert np.argwhere(found["7"]).tolist() == [[0, 0, 0]]


def test_labels_are_never_laid_on_unevenly_spaced_slices(image: Volume, tmp_path: Path) -> None:
    path = saved(tmp_path, (image.voxels > 100).astype(np.uint8))
    uneven = replace(image, slice_places=np.array([0, 1, 2, 3.5]))
    with pytest.raises(
        UnsuitableImage, match=r"it\.nii\.gz cannot be laid on slices that are unevenly spaced"
    ):
        nifti.labels(path, uneven)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UnsuitableImage, match=r"^there is no file .*gone\.nii\.gz$"):
        nifti.volume(tmp_path / "gone.nii.gz")


@pytest.mark.parametrize("content", [b"", b"no image", bytes(400)])
def test_what_is_no_nifti_is_named(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "it.nii").write_bytes(content)
    with pytest.raises(UnsuitableImage, match=r"it\.nii cannot be read as NIfTI"):
        nifti.volume(tmp_path / "it.nii")


@pytest.mark.parametrize("value", [-1.0, 0.5, 256.0])
def test_a_ct_is_no_label_map(value: float, image: Volume, tmp_path: Path) -> None:
    path = saved(tmp_path, np.full(image.voxels.shape, value, np.float32))
    with pytest.raises(UnsuitableImage, match="is no label map"):
        nifti.labels(path, image)
