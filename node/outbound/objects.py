"""Findings in, DICOM objects out: which objects a run gives, and all of them encoded."""

from collections.abc import Callable, Collection, Mapping, Sequence

from pydicom import Dataset

from algorithms.protocol import Findings, Photograph, Volume
from node.outbound import key_objects, parametric_map, secondary_capture, seg, sr
from node.outbound.equipment import ROLES, EncodedObject, Provenance, Role, encoded
from node.outbound.photograph_overlay import encode_overlay
from node.outbound.photograph_sr import encode_report
from node.outbound.rtstruct import encode as encode_structures
from node.outbound.scores_sr import encode_scores, statements
from node.outbound.similar_sr import encode_similar
from node.outbound.slices_sr import encode_landmarks, encode_regions


def roles_of(findings: Findings, *, rtstruct: bool, given: Dataset | None = None) -> frozenset[Role]:
    """The objects that say all that was found.

    An RT Structure Set only where it was asked for, no segmentation where the segments were given in one,
    and no report of similar series where none is known.
    """
    there: dict[Role, bool] = {
        "seg": given is None and bool(findings.segments),
        "sr": any(measurement.segment for measurement in findings.measurements),
        "regions": any(region.sop_instance_uids for region in findings.regions),
        "landmarks": bool(findings.landmarks),
        "rtstruct": rtstruct and bool(findings.segments),
        "scores": bool(statements(findings)),
        "similar": bool(findings.similar),
        "saliency": findings.saliency is not None,
        "picture": findings.saliency is not None or findings.highlights is not None,
        "keyobjects": bool(findings.similar),
    }
    return frozenset(role for role, wanted in there.items() if wanted)


def encode_all(
    findings: Findings,
    image: Volume | Photograph,
    sources: Sequence[Dataset],
    provenance: Provenance,
    *,
    rtstruct: bool,
    given: Dataset | None = None,
) -> list[EncodedObject]:
    """Encode the findings, in the order in which the objects are sent.

    Args:
        findings: what the algorithm returned.
        image: the volume whose grid the masks are on, or a photograph.
        sources: the headers of its slices, in slice order; of a photograph its one header.
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
    if isinstance(image, Photograph):
        return _of_photograph(findings, wanted, image, sources[0], provenance)
    made: list[EncodedObject] = []
    segmentation = given
    if "seg" in wanted:
        segmentation = seg.encode(findings, image, sources, provenance)
        made.append(encoded("seg", segmentation))
    encoders: Mapping[Role, Callable[[], Dataset]] = {
        "sr": lambda: sr.encode_measurements(findings, sources, segmentation, provenance),
        "regions": lambda: encode_regions(findings, sources, provenance),
        "landmarks": lambda: encode_landmarks(findings, sources, provenance),
        "rtstruct": lambda: encode_structures(findings, image, sources, provenance),
        "scores": lambda: encode_scores(findings, sources, provenance),
        "similar": lambda: encode_similar(findings, sources, provenance),
        "saliency": lambda: parametric_map.encode(findings, sources, provenance),
        "picture": lambda: secondary_capture.encode(findings, image, sources, provenance),
        "keyobjects": lambda: key_objects.encode(findings, sources, provenance),
    }
    made += [encoded(role, encoders[role]()) for role in ROLES if role in wanted and role in encoders]
    return made


def _of_photograph(
    findings: Findings,
    wanted: Collection[Role],
    photograph: Photograph,
    source: Dataset,
    provenance: Provenance,
) -> list[EncodedObject]:
    encoders: Mapping[Role, Callable[[], Dataset]] = {
        "scores": lambda: encode_report(findings, photograph, source, provenance),
        "picture": lambda: encode_overlay(findings, photograph, source, provenance),
    }
    return [encoded(role, encoders[role]()) for role in ROLES if role in wanted]
