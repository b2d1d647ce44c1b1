"""How well a segmentation that came back from the PACS agrees with the known truth of a phantom."""

import json
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx2
import nibabel
import numpy as np
import numpy.typing as npt
import pydicom
from places import DemonstrationFailed, Places
from pydicom import Dataset
from rich.table import Table

ALGORITHM = "chest-ct-annotation"

Labels = npt.NDArray[np.uint8]
Masks = dict[str, npt.NDArray[np.bool_]]


def table(places: Places, items: list[dict[str, Any]], folder: Path) -> Table:
    """Dice of every structure of the synthetic chest in `folder` against the SEG in the PACS.

    Raises:
        DemonstrationFailed: no SEG came back, or it cannot be fetched.
    """
    results = [r for item in items if item["algorithm"] == ALGORITHM for r in item["results"]]
    uids = [r["sop_instance_uid"] for r in results if r["kind"] == "seg"]
    if not uids:
        raise DemonstrationFailed("no segmentation came back for the synthetic chest CT")
    truth, names, affine = _truth(folder)
    segments = _segments(_fetch(places, uids[0]), truth.shape, affine)
    found = np.zeros_like(truth)
    for number in sorted(names):
        if names[number] in segments:
            found[segments[names[number]]] = number
    shown = Table(title="Segmentation in the test PACS against the truth", title_justify="left")
    shown.add_column("Structure")
    shown.add_column("Dice", justify="right")
    for number, name in names.items():
        missing = name not in segments
        shown.add_row(name, "not found" if missing else f"{_dice(found == number, truth == number):.3f}")
    return shown


def _fetch(places: Places, sop_instance_uid: str) -> Dataset:
    try:
        found = httpx2.post(f"{places.pacs}/tools/lookup", content=sop_instance_uid).raise_for_status().json()
        file = httpx2.get(f"{places.pacs}/instances/{found[0]['ID']}/file", timeout=60).raise_for_status()
    except (httpx2.HTTPError, IndexError):
        raise DemonstrationFailed(f"the test PACS does not give back instance {sop_instance_uid}") from None
    return pydicom.dcmread(BytesIO(file.content))


def _truth(folder: Path) -> tuple[Labels, dict[int, str], npt.NDArray[np.float64]]:
    """Label map with axes (column, row, slice), names by label, and the 4x4 affine to LPS millimetres.

    Structures lie in each other; a voxel has the highest label of those that hold it.
    """
    image = nibabel.Nifti1Image.from_filename(folder / "truth.nii.gz")
    names = json.loads((folder / "truth.json").read_text(encoding="utf-8"))
    ras_to_lps = np.diag([-1.0, -1.0, 1.0, 1.0])
    labels = np.asarray(image.dataobj).astype(np.uint8)
    return labels, {int(number): name for number, name in names.items()}, ras_to_lps @ image.affine


def _segments(seg: Dataset, shape: tuple[int, ...], affine: npt.NDArray[np.float64]) -> Masks:
    """Masks by Segment Label, laid through patient space onto the grid of the truth (PS3.3 C.7.6.2.1.1)."""
    labels = {int(s.SegmentNumber): str(s.SegmentLabel) for s in seg.SegmentSequence}
    masks: Masks = {label: np.zeros(shape, dtype=np.bool_) for label in labels.values()}
    to_voxel = np.linalg.inv(affine)
    frames = seg.pixel_array.reshape(-1, seg.Rows, seg.Columns)
    for groups, frame in zip(seg.PerFrameFunctionalGroupsSequence, frames, strict=True):
        number = groups.SegmentIdentificationSequence[0].ReferencedSegmentNumber
        rows, columns = np.nonzero(frame)
        points = _frame_affine(seg, groups) @ np.stack([columns, rows, np.ones_like(rows)])
        voxels = np.rint((to_voxel @ points)[:3]).astype(np.intp)
        masks[labels[int(number)]][tuple(voxels)] = True
    return masks


def _frame_affine(seg: Dataset, groups: Dataset) -> npt.NDArray[np.float64]:
    """4x3: (column, row, 1) of a frame to homogeneous LPS millimetres."""
    shared = seg.SharedFunctionalGroupsSequence[0]
    measures = (groups if "PixelMeasuresSequence" in groups else shared).PixelMeasuresSequence[0]
    plane = groups if "PlaneOrientationSequence" in groups else shared
    direction = np.array(plane.PlaneOrientationSequence[0].ImageOrientationPatient, dtype=np.float64)
    row_mm, column_mm = (float(v) for v in measures.PixelSpacing)
    affine = np.zeros((4, 3))
    affine[:3, 0] = direction[:3] * column_mm
    affine[:3, 1] = direction[3:] * row_mm
    affine[:3, 2] = groups.PlanePositionSequence[0].ImagePositionPatient
    affine[3, 2] = 1.0
    return affine


def _dice(found: npt.NDArray[np.bool_], truth: npt.NDArray[np.bool_]) -> float:
    """Dice coefficient: twice the overlap over the sum of both."""
    return 2.0 * float(np.count_nonzero(found & truth)) / float(found.sum() + truth.sum())
