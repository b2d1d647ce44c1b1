"""`train-brain` learns from T1 images and label maps in NIfTI, and names what is wrong with them."""

from pathlib import Path

import nibabel
import numpy as np
import pytest

from algorithms.cerebrum.brain_t1 import BrainT1
from algorithms.weights import Store
from node import published
from node.commands.training_brain import numbers_of, train_brain
from node.errors import ConfigurationError, UnsuitableImage

RAS = np.diag([4.0, 4.0, 4.0, 1.0])


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Two heads, bright balls, with the numbers of MUSE for cerebellum and frontal cortex in them."""
    images, labels = tmp_path / "t1", tmp_path / "labels"
    for folder in (images, labels):
        folder.mkdir()
    for seed in range(2):
        index = np.stack(np.meshgrid(*(np.arange(52),) * 3, indexing="ij"), axis=-1)
        radius = np.linalg.norm(index - 26, axis=-1)
        numbers = np.where(radius < 15, np.where(index[..., 2] < 22, 38, 204), 0).astype(np.int16)
        values = np.where(radius < 15, 80.0, np.where(radius < 21, 30.0, 1.0))
        values += np.random.default_rng(seed).normal(0, 2, values.shape)
        nibabel.Nifti1Image(values.astype(np.float32), RAS).to_filename(images / f"S{seed}_T1.nii.gz")
        nibabel.Nifti1Image(numbers, RAS).to_filename(labels / f"S{seed}_T1_labels.nii.gz")
    return images, labels


def test_weights_are_trained_and_can_be_loaded(folders: tuple[Path, Path], tmp_path: Path, capsys) -> None:
    train_brain(*folders, out=tmp_path / "weights", steps=2, filters=2)
    assert "2 heads" in capsys.readouterr().out
    checkpoint = Store((tmp_path / "weights",)).get("cerebrum-3t")
    assert len(checkpoint.config["structures"]) == 7
    published.verify(checkpoint)
    algorithm = BrainT1.from_options({"weights": "cerebrum-3t"}, "cpu", Store((tmp_path / "weights",)))
    assert algorithm.look.spacing_mm == 2.0


def test_a_table_of_ones_own_names_the_structures(tmp_path: Path) -> None:
    table = tmp_path / "numbers.csv"
    table.write_text("number,structure\n3,Grey matter\n2,White matter\n")
    assert numbers_of(table) == {3: "Grey matter", 2: "White matter"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a,b\n1,2\n", "number,structure"),
        ("number,structure\nx,Grey matter\n", "number,structure"),
        ("number,structure\n1,Thalamus\n", "'Thalamus'; there is Grey matter"),
        ("number,structure\n0,Grey matter\n", "0 is background"),
    ],
)
def test_a_table_that_cannot_be_used_is_named(tmp_path: Path, text: str, said: str) -> None:
    table = tmp_path / "numbers.csv"
    table.write_text(text)
    with pytest.raises(ConfigurationError, match=said):
        numbers_of(table)


def test_an_image_without_labels_is_named(folders: tuple[Path, Path], tmp_path: Path) -> None:
    images, labels = folders
    (labels / "S1_T1_labels.nii.gz").unlink()
    with pytest.raises(ConfigurationError, match=r"0 label maps named S1_T1\*"):
        train_brain(images, labels, out=tmp_path / "weights", steps=1, filters=2)


def test_a_folder_without_images_is_named(folders: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="holds no NIfTI"):
        train_brain(tmp_path, folders[1], out=tmp_path / "weights", steps=1, filters=2)


def test_an_image_without_a_head_is_named(folders: tuple[Path, Path], tmp_path: Path) -> None:
    images, labels = folders
    nibabel.Nifti1Image(np.zeros((52, 52, 52), np.float32), RAS).to_filename(images / "S0_T1.nii.gz")
    with pytest.raises(UnsuitableImage, match=r"S0_T1\.nii\.gz: there is nothing"):
        train_brain(images, labels, out=tmp_path / "weights", steps=1, filters=2)
