"""Findings in, DICOM objects out: which objects a run gives, and all of them encoded."""

from collections.abc import Sequence

from pydicom import Dataset

from algorithms.protocol import Findings, Volume
from node.outbound import rtstruct as structures
from node.outbound import seg, slices_sr, sr
from node.outbound.equipment import EncodedObject, Provenance, Role, encoded


def roles_of(findings: Findings, *, rtstruct: bool, given: Dataset | None = None) -> frozenset[Role]:
    """The objects that say all that was found.

    An RT Structure Set only where it was asked for, no segmentation where the segments were given in one.
    """
    there: dict[Role, bool] = {
        "seg": given is None and bool(findings.segments),
        "sr": bool(findings.measurements),
        "regions": any(region.sop_instance_uids for region in findings.regions),
        "landmarks": bool(findings.landmarks),
        "rtstruct": rtstruct and bool(findings.segments),
    }
    return frozenset(role for role, wanted in there.items() if wanted)


def encode_all(
    findings: Findings,
    volume: Volume,
    sources: Sequence[Dataset],
    provenance: Provenance,
    *,
    rtstruct: bool,
    given: Dataset | None = None,
) -> list[EncodedObject]:
    """Encode the findings, in the order in which the objects are sent.

    Args:
        findings: what the algorithm returned.
        volume: the image whose grid the masks are on.
        sources: the headers of its slices, in slice order.
        provenance: who found it.
        rtstruct: whether an RT Structure Set is asked for.
        given: the segmentation in which the segments were given; None where the algorithm found them.
            Its Segment Sequence has an item for each segment of the findings, in their order.

    Raises:
        ValueError: the findings refer to segments or slices that there are not.
        UnsuitableImage: the sources lack a UID without which nothing can refer to them.
        IrregularGeometry: the sources are not the slices of the volume, or lie elsewhere.
    """
    wanted = roles_of(findings, rtstruct=rtstruct, given=given)
    segmentation = given
    made: list[EncodedObject] = []
    if "seg" in wanted:
        segmentation = seg.encode(findings, volume, sources, provenance)
        made.append(encoded("seg", segmentation))
    if "sr" in wanted:
        report = sr.encode_measurements(findings, sources, segmentation, provenance)
        made.append(encoded("sr", report))
    if "regions" in wanted:
        made.append(encoded("regions", slices_sr.encode_regions(findings, sources, provenance)))
    if "landmarks" in wanted:
        made.append(encoded("landmarks", slices_sr.encode_landmarks(findings, sources, provenance)))
    if "rtstruct" in wanted:
        made.append(encoded("rtstruct", structures.encode(findings, volume, sources, provenance)))
    return made
