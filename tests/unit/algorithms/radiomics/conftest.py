"""The published cases: pyradiomics' images with their baseline, and the digital phantom of the IBSI."""

import csv
import gzip
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import nibabel
import numpy as np
import pytest

from algorithms.protocol import Affine, BoolMask, Segment, Volume, Voxels
from algorithms.terminology import ANATOMICAL_STRUCTURE, LUNG


@dataclass(frozen=True, eq=False)
class Case:
    """An image and a mask on the same grid, axes (slice, row, column)."""

    voxels: Voxels
    mask: BoolMask
    affine_mm: Affine

    def volume(self, unit: str = "arbitrary", modality: str = "OT") -> Volume:
        uids = tuple(f"2.25.{index + 1}" for index in range(len(self.voxels)))
        return Volume(self.voxels, self.affine_mm, unit, modality, uids)

    def segment(self) -> Segment:
        return segment_of(self.mask)


def segment_of(mask: BoolMask, label: str = "ROI") -> Segment:
    return Segment.from_mask(mask, label=label, category=ANATOMICAL_STRUCTURE, type=LUNG, rgb=(0, 0, 0))


def read_nrrd(path: Path) -> tuple[np.ndarray, Affine]:
    header, data = path.read_bytes().split(b"\n\n", 1)
    fields = dict(re.findall(r"^([^#:]+): ?=?(.*)$", header.decode(), re.MULTILINE))
    kind = {"short": "<i2", "int": "<i4"}[fields["type"]]
    sizes = [int(size) for size in fields["sizes"].split()]
    axes = [
        [float(x) for x in axis.split(",")] for axis in re.findall(r"\(([^)]*)\)", fields["space directions"])
    ]
    affine = np.eye(4)
    affine[:3, :3] = np.array(axes[::-1]).T
    return np.frombuffer(gzip.decompress(data), kind).reshape(sizes[::-1]), affine


@pytest.fixture(scope="session")
def pyradiomics_case(shared_data: Path) -> Callable[[str], Case]:
    def read(name: str) -> Case:
        folder = shared_data / "radiomics-pyradiomics"
        image, affine = read_nrrd(folder / f"{name}_image.nrrd")
        label, _ = read_nrrd(folder / f"{name}_label.nrrd")
        return Case(image.astype(np.float32), label == 1, affine)

    return read


@pytest.fixture(scope="session")
def baseline(shared_data: Path) -> Callable[[str, str], dict[str, float]]:
    """Values of a feature class in a column, such as ("shape", "brain1")."""

    def read(feature_class: str, column: str) -> dict[str, float]:
        path = shared_data / "radiomics-pyradiomics" / "baseline" / f"baseline_{feature_class}.csv"
        with path.open(newline="") as file:
            return {
                row["featureName"].split("_")[-1]: float(row[column])
                for row in csv.DictReader(file)
                if row["featureName"].startswith("original")
            }

    return read


@pytest.fixture(scope="session")
def ibsi_phantom(shared_data: Path) -> Case:
    folder = shared_data / "radiomics-ibsi" / "ibsi_1_digital_phantom"
    image = nibabel.load(folder / "image" / "phantom.nii.gz")
    mask = nibabel.load(folder / "mask" / "mask.nii.gz")
    voxels, inside = (np.asarray(part.dataobj).T for part in (image, mask))
    return Case(voxels.astype(np.float32), inside > 0, np.diag((2.0, 2.0, 2.0, 1.0)))


@pytest.fixture(scope="session")
def ibsi_reference(shared_data: Path) -> dict[str, tuple[float, float]]:
    """Consensus value and tolerance by IBSI code; without a tolerance, half of the last digit printed."""
    path = shared_data / "radiomics-ibsi" / "ibsi_1_digital_phantom_reference_values.csv"
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    return {
        row["ibsi_code"]: (
            float(row["reference_value"]),
            float(row["tolerance"] or half_digit(row["reference_value"])),
        )
        for row in rows
    }


def half_digit(printed: str) -> float:
    digits, _, exponent = printed.partition("e")
    decimals = len(digits.partition(".")[2])
    return 0.5 * 10.0 ** (int(exponent or 0) - decimals)
