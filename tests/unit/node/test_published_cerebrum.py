"""Published files of CEREBRUM come into the store under the names of the algorithm."""

from pathlib import Path

import h5py
import nibabel
import numpy as np
import pytest

from algorithms.cerebrum.brain_t1 import BrainT1
from algorithms.cerebrum.network import shapes
from algorithms.weights import Store
from node import published
from node.errors import ConfigurationError


def keras_file(path: Path, filters: int, classes: int, leave_out: str = "") -> Path:
    """A model of random numbers in the published layout."""
    rng = np.random.default_rng(0)
    with h5py.File(path, "w") as file:
        for key, shape in shapes({"filters": filters, "classes": classes}).items():
            layer, part = key.split(".")
            if layer == leave_out:
                continue
            array = rng.normal(0, 0.1, shape).astype(np.float32)
            array = array.transpose(2, 3, 4, 1, 0) if array.ndim == 5 else array
            name = {"weight": "kernel:0", "bias": "bias:0"}[part]
            file.create_dataset(f"model_weights/{layer}/{layer}/{name}", data=array)
    return path


@pytest.mark.parametrize(("name", "filters", "classes"), [("cerebrum-7t", 24, 7), ("cerebrum-3t", 48, 7)])
def test_both_published_widths_are_added_and_loaded(tmp_path: Path, name, filters, classes) -> None:
    (added,) = published.add(
        name, keras_file(tmp_path / "model_trained.h5", filters, classes), tmp_path / "w"
    )
    assert added.config == {"filters": filters, "classes": classes}
    published.verify(added)
    algorithm = BrainT1.from_options({"weights": name}, "cpu", Store((tmp_path / "w",)))
    assert algorithm.look.spacing_mm == 1.0
    assert len(algorithm.structures) == classes - 1


def average_head(folder: Path, spread_shape: tuple[int, int, int] = (96, 112, 104)) -> None:
    """Mean and deviation as CEREBRUM-7T has them, in a folder beside the model; axes right, front, head."""
    (folder / "mean_std").mkdir()
    places = np.stack(np.meshgrid(*(np.arange(n) for n in (96, 112, 104)), indexing="ij"), axis=-1)
    mean = np.where(np.linalg.norm(places - (48, 56, 52), axis=-1) < 40, 100.0, 1.0)
    mean[-20:] += 7.0  # at the right of the patient
    affine = np.diag([2.0, 2.0, 2.0, 1.0])
    for name, values in (("average", mean), ("stdDev", np.zeros(spread_shape))):
        nibabel.save(
            nibabel.Nifti1Image(values.astype(np.float32), affine),
            folder / "mean_std" / f"_T1w_{name}_subject.nii.gz",
        )


def test_an_average_head_beside_the_model_standardises_each_voxel(tmp_path: Path) -> None:
    average_head(tmp_path)
    (added,) = published.add("cerebrum-7t", keras_file(tmp_path / "model.h5", 4, 7), tmp_path / "w")
    published.verify(added)
    look = BrainT1.from_options({"weights": "cerebrum-7t"}, "cpu", Store((tmp_path / "w",))).look
    assert (look.over, look.spacing_mm) == ("voxel", 2.0)
    assert look.average.mean.shape == (104, 112, 96)
    right, left = look.average.mean[0, 0, 0], look.average.mean[0, 0, -1]  # the last axis is to the left
    assert (right, left) == (8.0, 1.0)
    assert (look.average.deviation == 1.0).all()


def test_half_an_average_head_or_two_that_do_not_fit_are_named(tmp_path: Path) -> None:
    average_head(tmp_path, spread_shape=(96, 112, 103))
    model = keras_file(tmp_path / "model.h5", 4, 7)
    with pytest.raises(ConfigurationError, match="not the same voxels"):
        published.add("cerebrum-7t", model, tmp_path / "w")
    (tmp_path / "mean_std" / "_T1w_stdDev_subject.nii.gz").unlink()
    with pytest.raises(ConfigurationError, match="there is only _T1w_average_subject"):
        published.add("cerebrum-7t", model, tmp_path / "w")


def test_a_layer_that_is_missing_is_named(tmp_path: Path) -> None:
    file = keras_file(tmp_path / "model.h5", 4, 7, leave_out="up_3to2_conv")
    with pytest.raises(ConfigurationError, match="up_3to2_conv"):
        published.add("cerebrum-7t", file, tmp_path / "w")


def test_the_file_and_its_page_are_named_where_they_are_missing() -> None:
    with pytest.raises(ConfigurationError, match=r"model_trained\.h5 at https://github\.com"):
        published.pull("cerebrum-7t", Path("nowhere"), None, lambda *_: None)
