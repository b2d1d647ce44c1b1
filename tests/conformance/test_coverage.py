"""A route that asks for a chest holds what is none, whatever its headers say: real scans, pixels decide."""

from collections.abc import Callable, Sequence
from pathlib import Path

import nibabel
import numpy as np
import pydicom
import pytest

from algorithms import CATALOGUE
from algorithms.protocol import silent
from algorithms.spatial import Orientation
from algorithms.weights import BUNDLED, Store
from node.errors import NotCovered, UnsuitableImage
from node.inbound import volumes
from node.jobs.production import Means, Produced, Stopwatch, produce, provenance_of
from tests.synthetic_study import write

CHEST = {
    "Modality": "CT",
    "BodyPartExamined": "CHEST",
    "SeriesDescription": "CT Thorax",
    "StudyDescription": "CT CHEST W/O CONTRAST",
    "ImageOrientationPatient": [1, 0, 0, 0, 1, 0],
}
STORE = Store((BUNDLED,))
ENTRY = CATALOGUE["chest-ct-annotation"]


def run(paths: Sequence[Path]) -> Produced:
    uids = [str(header.SOPInstanceUID) for header in volumes.headers(paths)]
    provenance = provenance_of(ENTRY, {"covers": "chest"}, uids, STORE)
    return produce(ENTRY, paths, provenance, Means(STORE, "cpu"), progress=silent, watch=Stopwatch())


@pytest.fixture
def disguise(tmp_path: Path) -> Callable[[Sequence[Path], float], list[Path]]:
    """Copies with the headers of a chest CT, upright and in Hounsfield units as they stand."""

    def write(paths: Sequence[Path], step: float) -> list[Path]:
        copies = []
        datasets = sorted(map(pydicom.dcmread, paths), key=lambda d: int(d.InstanceNumber))
        for number, dataset in enumerate(datasets):
            for keyword, value in CHEST.items():
                setattr(dataset, keyword, value)
            dataset.ImagePositionPatient = [-120.0, -120.0, number * step]
            dataset.SOPClassUID = pydicom.uid.CTImageStorage
            dataset.RescaleSlope = dataset.get("RescaleSlope", 1)
            dataset.RescaleIntercept = dataset.get("RescaleIntercept", 0)
            copies.append(tmp_path / f"{number}.dcm")
            dataset.save_as(copies[-1])
        return copies

    return write


def test_a_real_chest_is_annotated_with_every_object(shared_data: Path) -> None:
    produced = run(sorted((shared_data / "ct-thorax-lungdx/Lung_Dx-A0001/series3").glob("*.dcm")))
    assert [item.role for item in produced.objects] == ["seg", "sr", "regions", "landmarks"]
    assert "chest" in {region.name for region in produced.findings.regions}


def test_a_head_sent_as_a_chest_is_held(shared_data: Path, disguise) -> None:
    head = sorted((shared_data / "ct-head/ge-hispeed-tilted").glob("*.dcm"))
    evenly = [
        p for p in head if pydicom.dcmread(p).SliceThickness == pydicom.dcmread(head[-1]).SliceThickness
    ]
    with pytest.raises((NotCovered, UnsuitableImage), match="does not cover chest"):
        run(disguise(evenly, 7.0))


def test_an_abdomen_sent_as_a_chest_is_held(shared_data: Path, tmp_path: Path) -> None:
    image = nibabel.load(shared_data / "ct-labelled-totalsegmentator/nifti/example_ct.nii.gz")
    voxels = np.clip(np.asarray(image.dataobj).transpose(2, 1, 0), -1024, 3071).astype(np.float32)
    affine = np.diag([-1.0, -1.0, 1.0, 1.0]) @ image.affine[:, [2, 1, 0, 3]]
    files = write(tmp_path, Orientation.closest(affine).apply(voxels), (3.0, 3.0, 3.0), seed=0)
    with pytest.raises(NotCovered, match="does not cover chest"):
        run(files)


def test_a_brain_mr_sent_as_a_chest_ct_is_held(shared_data: Path, disguise) -> None:
    brain = sorted((shared_data / "mr-t1-brain-dicom").rglob("*.dcm"))
    with pytest.raises((NotCovered, UnsuitableImage)):
        run(disguise(brain[::2], 3.0))
