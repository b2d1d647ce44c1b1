import json

import nibabel
import numpy as np

from algorithms.protocol import Findings, Segment
from node.outbound import document
from tests import synthetic_findings, synthetic_series


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


def test_the_document_holds_the_embedding_what_is_similar_and_where_the_map_is_greatest():
    volume, sources = synthetic_series.series()
    found = synthetic_findings.findings(volume)
    told = document.of(
        found, volume, sources, synthetic_series.provenance(volume), objects=[], seconds={"run": 1.0}
    )
    json.dumps(told)
    assert told["embedding"] == {"space": found.embedding.space, "length": 4, "vector": [0.5] * 4}
    assert [other["similarity"] for other in told["similar"]] == [0.93, 0.87, 0.51]
    assert told["similar"][0]["SOPInstanceUID"] == "2.25.4000"
    assert told["saliency"]["maximum"] == 1.0
    x, y, z = (found.saliency.affine_mm @ [*(length // 2 for length in found.saliency.voxels.shape), 1])[:3]
    assert told["saliency"]["position_mm"] == [round(x, 3), round(y, 3), round(z, 3)]


def test_a_score_that_is_not_calibrated_has_its_number_and_says_so():
    volume, sources = synthetic_series.series()
    found = Findings(scores=synthetic_findings.scores())
    told = document.of(found, volume, sources, synthetic_series.provenance(volume), objects=[], seconds={})
    first, second = told["scores"]
    assert (first["calibrated"], first["value"], first["verdict"]["meaning"]) == (True, 0.9321, "Abnormal")
    assert (second["calibrated"], second["value"], second["finding"]) == (False, 0.4, None)
    assert (told["embedding"], told["similar"], told["saliency"]) == (None, [], None)


def test_a_slice_of_an_uneven_stack_counts_half_way_to_its_neighbours():
    volume, sources = synthetic_findings.leaning(places=[0, 1, 2, 4, 6, 8], lean_mm=0.0)
    mask = np.zeros(volume.voxels.shape, dtype=bool)
    mask[3, 2:5, 2:4] = True
    found = Findings(
        (
            Segment.from_mask(
                mask,
                label="x",
                category=synthetic_series.ANATOMY,
                type=synthetic_series.LUNG,
                rgb=(1, 2, 3),
            ),
        )
    )
    told = document.of(found, volume, sources, synthetic_series.provenance(volume), objects=[], seconds={})
    assert told["segments"][0]["volume_ml"] == round(volume.volume_ml(found.segments[0]), 3)
    assert told["segments"][0]["volume_ml"] != round(6 * volume.voxel_volume_ml, 3)


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


def test_the_label_map_of_an_uneven_stack_lies_where_its_slices_do(tmp_path):
    volume, _ = synthetic_findings.leaning(places=[0, 1, 2, 4, 6, 8], lean_mm=0.0)
    mask = np.zeros(volume.voxels.shape, dtype=bool)
    mask[0, 1, 1] = mask[4, 2, 3] = mask[5, 3, 1] = True
    kind = {"category": synthetic_series.ANATOMY, "type": synthetic_series.LUNG}
    segment = Segment.from_mask(mask, label="x", rgb=(1, 2, 3), **kind)
    document.write_nifti(Findings((segment,)), volume, tmp_path / "labels.nii.gz")
    image = nibabel.load(tmp_path / "labels.nii.gz")
    assert image.shape[2] == 5
    shown = [image.affine @ [*place, 1] for place in np.argwhere(np.asarray(image.dataobj))]
    meant = [volume.affine_mm @ [volume.slice_places[s], r, c, 1] for s, r, c in np.argwhere(mask)]
    assert np.allclose(
        sorted(np.array(shown)[:, :3] * [-1, -1, 1], key=lambda p: p[2]), np.array(meant)[:, :3]
    )
