"""Does a Key Object Selection name what was found, in its order and as TID 2010 has it?"""

from collections.abc import Iterator
from typing import Final

from node.config import MANUFACTURER
from node.outbound import coding, key_objects, sr_reading
from node.outbound.fidelity import Case, Check, differences
from node.outbound.sr_fidelity import similar_instances


def _selection(case: Case) -> Iterator[str]:
    dataset, made_by = case.dataset, case.provenance
    images = [item for item in dataset.ContentSequence if item.ValueType == "IMAGE"]
    referenced = [item.ReferencedSOPSequence[0] for item in images]
    wanted = similar_instances(case.findings)
    (template,) = dataset.ContentTemplateSequence
    yield from differences(
        {
            "title": (coding.code_of(dataset.ConceptNameCodeSequence[0]), key_objects.TITLE),
            "template": ((template.MappingResource, template.TemplateIdentifier), ("DCMR", "2010")),
            "description": (
                sr_reading.value(dataset, key_objects.DESCRIPTION.value),
                key_objects.description(case.findings.similar),
            ),
            "list of images": (
                [(i.ReferencedSOPClassUID, i.ReferencedSOPInstanceUID) for i in referenced],
                [(instance.sop_class, instance.uid) for instance in wanted],
            ),
            "evidence": (sorted(sr_reading.evidence(dataset)), sorted(wanted)),
            "device observer UID": (sr_reading.value(dataset, "121012"), made_by.device_uid),
            "device observer manufacturer": (sr_reading.value(dataset, "121014"), MANUFACTURER),
            "device observer model": (sr_reading.value(dataset, "121015"), made_by.algorithm),
        }
    )
    if any("ConceptNameCodeSequence" in item for item in images):
        yield "an image has a concept name, which TID 2010 forbids"


CHECKS: Final[tuple[Check, ...]] = (_selection,)
