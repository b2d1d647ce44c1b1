"""What a result is compared with to prove that it says what was found, and the form of a check."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from pydicom import Dataset
from pydicom.datadict import keyword_for_tag
from pydicom.dataelem import RawDataElement

from algorithms.protocol import Findings, Photograph, Volume
from node.outbound import seg_reading, sr_reading
from node.outbound.equipment import EncodedObject, Provenance


@dataclass(frozen=True, eq=False)
class Case:
    """An object read back, and what it is compared with.

    Attributes:
        image: what the algorithm was given.
        given: the segmentation in which the segments were given; None where the algorithm found them.
    """

    encoded: EncodedObject
    dataset: Dataset
    findings: Findings
    image: Volume | Photograph
    sources: Sequence[Dataset]
    provenance: Provenance
    siblings: Mapping[str, EncodedObject]
    given: Dataset | None = None

    @property
    def volume(self) -> Volume:
        """The image of an algorithm for volumes."""
        if not isinstance(self.image, Volume):
            raise TypeError("a photograph has no slices")
        return self.image

    @property
    def photograph(self) -> Photograph:
        """The image of an algorithm for photographs."""
        if not isinstance(self.image, Photograph):
            raise TypeError("a volume is no photograph")
        return self.image

    @cached_property
    def items(self) -> Sequence[tuple[str, Dataset]]:
        """The dataset and every item below it, each with the keywords that lead to it, none twice."""
        return list(_below(self.dataset, "", set()))

    @cached_property
    def frames(self) -> Sequence[seg_reading.Frame]:
        """The frames of a segmentation."""
        return seg_reading.frames(self.dataset)

    @cached_property
    def groups(self) -> Sequence[sr_reading.Group]:
        """The measurement groups of a report."""
        return sr_reading.groups(self.dataset)


Check = Callable[[Case], Iterator[str]]
"""Yields what is wrong, in words."""


def _below(dataset: Dataset, path: str, seen: set[tuple[str, bytes]]) -> Iterator[tuple[str, Dataset]]:
    """A sequence whose bytes were met before in the same place is passed over.

    The thousands of frames of a segmentation repeat what a few hundred of them say.
    """
    yield path, dataset
    for element in list(dataset.elements()):
        if element.VR != "SQ":
            continue
        place = f"{path}/{keyword_for_tag(element.tag)}"
        if isinstance(element, RawDataElement):
            key = (place, element.value or b"")
            if key in seen:
                continue
            seen.add(key)
        for item in dataset[element.tag].value or ():
            yield from _below(item, place, seen)


def differences(compared: Mapping[str, tuple[object, object]]) -> Iterator[str]:
    """What is not as it should be: by name, what is written and what should be."""
    for name, (written, wanted) in compared.items():
        if written != wanted:
            yield f"the {name} is {written} instead of {wanted}"
