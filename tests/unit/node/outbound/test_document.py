import nibabel
import numpy as np

from node.outbound import document
from tests import synthetic_series


def test_the_document_counts_what_the_masks_hold():
    volume, sources = synthetic_series.series()
    found = synthetic_series.findings(volume)
    made_by = synthetic_series.provenance(volume)
    told = document.of(found, volume, sources, made_by, objects=[], seconds={"run": 1.0})
    assert [s["voxels"] for s in told["segments"]] == [s.voxel_count for s in found.segments]
    assert [s["number"] for s in told["segments"]] == [1, 2, 3]
    first = told["segments"][0]
    assert first["volume_ml"] == round(first["voxels"] * 2.5 * 0.7 * 0.7 / 1000, 3)
    assert told["algorithm"]["weights"] == {"name": "chest-bundled", "sha256": "ab" * 32}
    assert told["source"] == {
        "StudyInstanceUID": synthetic_series.STUDY,
        "SeriesInstanceUID": synthetic_series.SERIES,
        "instances": 5,
    }


def test_the_label_map_lies_in_ras_where_the_segments_lie_in_lps(tmp_path):
    volume, _ = synthetic_series.series(orientation=synthetic_series.OBLIQUE, descending=True)
    found = synthetic_series.findings(volume)
    document.write_nifti(found, volume, tmp_path / "labels.nii.gz")
    image = nibabel.load(tmp_path / "labels.nii.gz")
    labels = np.asarray(image.dataobj)
    single = found.segments[2]
    ((column, row, slice_),) = np.argwhere(labels == 3)
    assert (slice_, row, column) == single.origin
    ras = image.affine @ [column, row, slice_, 1]
    lps = volume.affine_mm @ [slice_, row, column, 1]
    assert np.allclose(ras[:3], lps[:3] * [-1, -1, 1], atol=1e-4)
