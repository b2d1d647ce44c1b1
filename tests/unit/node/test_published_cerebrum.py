"""Published files of CEREBRUM come into the store under the names of the algorithm."""

from pathlib import Path

import h5py
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


def test_a_layer_that_is_missing_is_named(tmp_path: Path) -> None:
    file = keras_file(tmp_path / "model.h5", 4, 7, leave_out="up_3to2_conv")
    with pytest.raises(ConfigurationError, match="up_3to2_conv"):
        published.add("cerebrum-7t", file, tmp_path / "w")


def test_the_file_and_its_page_are_named_where_they_are_missing() -> None:
    with pytest.raises(ConfigurationError, match=r"model_trained\.h5 at https://github\.com"):
        published.pull("cerebrum-7t", Path("nowhere"), None, lambda *_: None)
