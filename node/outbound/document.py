"""Findings as `findings.json`, the document of the contract, for people and programs without DICOM."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from pydicom import Dataset

from algorithms.protocol import (
    Code,
    Embedding,
    Findings,
    Landmark,
    Measurement,
    Photograph,
    Region,
    SaliencyMap,
    Score,
    Segment,
    Similar,
    Volume,
    Weights,
)
from node.outbound.equipment import EncodedObject, Provenance


def of(
    findings: Findings,
    image: Volume | Photograph,
    sources: Sequence[Dataset],
    provenance: Provenance,
    *,
    objects: Sequence[EncodedObject],
    seconds: Mapping[str, float],
) -> dict[str, Any]:
    """The document; positions in patient LPS millimetres, volumes in millilitres, times in seconds."""
    return {
        "algorithm": {
            "name": provenance.algorithm,
            "version": provenance.version,
            "weights": _weights(provenance.weights),
        },
        "source": {
            "StudyInstanceUID": str(sources[0].StudyInstanceUID),
            "SeriesInstanceUID": str(sources[0].SeriesInstanceUID),
            "instances": len(sources),
        },
        "segments": _segments(findings, image) if isinstance(image, Volume) else [],
        "measurements": [_measurement(m) for m in findings.measurements],
        "landmarks": [_landmark(mark) for mark in findings.landmarks],
        "regions": [_region(region) for region in findings.regions],
        "scores": [score(each) for each in findings.scores],
        "embedding": _embedding(findings.embedding) if findings.embedding else None,
        "similar": [_similar(other) for other in findings.similar],
        "saliency": _saliency(findings.saliency) if findings.saliency else None,
        "objects": [
            {
                "file": item.file,
                "kind": item.kind,
                "SOPClassUID": item.sop_class_uid,
                "SOPInstanceUID": item.sop_instance_uid,
            }
            for item in objects
        ],
        "seconds": dict(seconds),
    }


def write_nifti(findings: Findings, volume: Volume, path: Path) -> None:
    """Write the segments as one label map on the source grid, axes (column, row, slice), RAS millimetres.

    Labels are the segment numbers of the SEG; where segments overlap, the smaller one is seen. The format
    has no uneven spacing: of an uneven stack, evenly spaced planes are written from the first slice to the
    last, at the median distance of the slices, each with the labels of the slice nearest to it.
    """
    labels = np.zeros(volume.voxels.shape, dtype=np.uint16)
    numbered = enumerate(findings.segments, start=1)
    for number, segment in sorted(numbered, key=lambda pair: -pair[1].voxel_count):
        labels[segment.box][segment.mask] = number
    affine_mm = volume.affine_mm
    if (places := volume.slice_places) is not None:
        planes = np.linspace(
            places[0], places[-1], round(np.ptp(places) / float(np.median(np.diff(places)))) + 1
        )
        labels = labels[np.abs(places[:, None] - planes).argmin(axis=0)]
        affine_mm = affine_mm @ np.array(
            [[planes[1] - planes[0], 0, 0, planes[0]], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]
        )
    affine = np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine_mm[:, [2, 1, 0, 3]]
    nibabel.save(nibabel.Nifti1Image(labels.transpose(2, 1, 0), affine), path)


def _weights(weights: Sequence[Weights]) -> dict[str, str] | None:
    """Name and digest; of several weights both are lists in the same order, separated by commas."""
    if not weights:
        return None
    return {"name": ", ".join(w.name for w in weights), "sha256": ", ".join(w.sha256 for w in weights)}


def _segments(findings: Findings, volume: Volume) -> list[dict[str, Any]]:
    return [_segment(number, segment, volume) for number, segment in enumerate(findings.segments, start=1)]


def _segment(number: int, segment: Segment, volume: Volume) -> dict[str, Any]:
    return {
        "number": number,
        "label": segment.label,
        "category": _code(segment.category),
        "type": _code(segment.type),
        "site": _code(segment.site) if segment.site else None,
        "voxels": segment.voxel_count,
        "volume_ml": round(volume.volume_ml(segment), 3),
        "review": segment.review,
    }


def _measurement(measurement: Measurement) -> dict[str, Any]:
    return {
        "segment": measurement.segment,
        "name": measurement.name,
        "code": _code(measurement.code),
        "value": measurement.value,
        "unit": measurement.unit.value,
    }


def _landmark(mark: Landmark) -> dict[str, Any]:
    return {
        "name": mark.name,
        "code": _code(mark.code),
        "position_mm": list(mark.position_mm),
        "SOPInstanceUID": mark.sop_instance_uid,
        "value": mark.value,
    }


def _region(region: Region) -> dict[str, Any]:
    return {
        "name": region.name,
        "code": _code(region.code),
        "SOPInstanceUIDs": list(region.sop_instance_uids),
    }


def score(of: Score) -> dict[str, Any]:
    """A score as `findings.json` has it."""
    return {
        "name": of.name,
        "code": _code(of.code),
        "value": of.value,
        "unit": of.unit.value,
        "calibrated": of.calibrated,
        "urgency": of.urgency,
        "finding": _code(of.finding) if of.finding else None,
        "verdict": _code(of.verdict) if of.verdict else None,
    }


def _embedding(embedding: Embedding) -> dict[str, Any]:
    return {
        "space": embedding.space,
        "length": len(embedding.vector),
        "vector": [round(float(component), 6) for component in embedding.vector],
    }


def _similar(other: Similar) -> dict[str, Any]:
    return {
        "StudyInstanceUID": other.study_instance_uid,
        "SeriesInstanceUID": other.series_instance_uid,
        "SOPClassUID": other.sop_class_uid,
        "SOPInstanceUID": other.sop_instance_uid,
        "similarity": other.similarity,
    }


def _saliency(saliency: SaliencyMap) -> dict[str, Any]:
    """The greatest value, and the centre of its voxel in patient LPS mm."""
    index = np.unravel_index(int(saliency.voxels.argmax()), saliency.voxels.shape)
    return {
        "name": saliency.name,
        "code": _code(saliency.code),
        "unit": saliency.unit.value,
        "maximum": float(saliency.voxels[index]),
        "position_mm": [round(float(mm), 3) for mm in (saliency.affine_mm @ [*index, 1.0])[:3]],
    }


def _code(code: Code) -> dict[str, str]:
    return code._asdict()
