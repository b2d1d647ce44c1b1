"""Do report and picture of a photograph say what was found? Read back with plain pydicom and numpy."""

from collections.abc import Iterator
from typing import Final

import numpy as np
import numpy.typing as npt

from node.outbound import photograph_overlay, photograph_sr, sr_fidelity, sr_reading
from node.outbound.fidelity import Case, Check, differences
from node.outbound.secondary_capture import FAINTEST

_STRONG: Final = 0.5
"""From this strength on no rounding makes grey of a colour."""

_COLOURED: Final = 8
"""Least difference between two samples of a pixel in colour, of 255."""

_ROUNDING: Final = 1
"""Of 255."""


def _group(case: Case) -> Iterator[str]:
    if len(case.groups) != 1:
        yield f"there are {len(case.groups)} groups for one face"
        return
    group, said = case.groups[0], photograph_sr.said(case.findings)
    made_by = case.provenance
    yield from differences(
        {
            "tracking identifier": (group.tracking_identifier, said.identifier),
            "tracking UID": (group.tracking_uid, photograph_sr.tracking_uid(made_by)),
            "list of sites": (group.sites, (sr_reading.Site(photograph_sr.FACE),)),
            "list of numbers": (
                [(item.code, item.value, item.unit) for item in group.numbers],
                list(said.numbers),
            ),
            "list of evaluations": (group.evaluations, said.evaluations),
            "list of images": (group.images, (case.photograph.sop_instance_uid,)),
            "comment": (group.comment, photograph_sr.caution(case.findings, made_by)),
            "algorithm": (group.algorithm, (made_by.algorithm, made_by.version)),
            "list of algorithm parameters": (
                group.parameters,
                tuple(f"{name}={value}" for name, value in made_by.parameters.items()),
            ),
        }
    )


def _subject(case: Case) -> Iterator[str]:
    """The age at the picture, once, in years; none where it is not known."""
    ages = [
        (
            item.RelationshipType,
            float(item.MeasuredValueSequence[0].FloatingPointValue),
            str(item.MeasuredValueSequence[0].MeasurementUnitsCodeSequence[0].CodeValue),
        )
        for item in sr_reading.items(case.dataset, photograph_sr.SUBJECT_AGE.value)
    ]
    known = case.photograph.subject_age_years
    wanted = [] if known is None else [("HAS OBS CONTEXT", known, "a")]
    yield from differences({"age of the subject": (ages, wanted)})


def _form(case: Case) -> Iterator[str]:
    dataset = case.dataset
    named = [str(item.ReferencedSOPInstanceUID) for item in dataset.SourceImageSequence]
    factor = photograph_overlay.reduction(case.photograph.pixels.shape)
    size = tuple(length // factor for length in case.photograph.pixels.shape[:2])
    yield from differences(
        {
            "number of frames": (dataset.NumberOfFrames, 1),
            "size": ((dataset.Rows, dataset.Columns), size),
            "photometric interpretation": (dataset.PhotometricInterpretation, "RGB"),
            "burned in annotation": (dataset.BurnedInAnnotation, "NO"),
            "statement on recognizable features": (dataset.RecognizableVisualFeatures, "YES"),
            "list of source images": (named, [case.photograph.sop_instance_uid]),
        }
    )


def _colours(case: Case) -> Iterator[str]:
    """Grey of the photograph where the highlights are faint, coloured where they are strong."""
    highlights = case.findings.highlights
    if highlights is None:
        raise ValueError("there are no highlights to compare with")
    size = (int(case.dataset.Rows), int(case.dataset.Columns))
    flat = np.frombuffer(case.dataset.PixelData, np.uint8)[: size[0] * size[1] * 3]
    shown = flat.reshape(*size, 3).astype(np.intp)
    factor = photograph_overlay.reduction(case.photograph.pixels.shape)
    # Blocks are summed by cutting the axes in two, where the encoder takes means of blocks by view.
    rows, columns = (np.arange(0, length * factor, factor) for length in size)
    whole = (slice(size[0] * factor), slice(size[1] * factor))

    def blocks(plane: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return np.add.reduceat(np.add.reduceat(plane[whole], rows, axis=0), columns, axis=1) / factor**2

    red, green, blue = (blocks(case.photograph.pixels[..., n].astype(np.float64)) for n in range(3))
    grey = np.rint(0.299 * red + 0.587 * green + 0.114 * blue)
    weight = blocks(highlights.weight.astype(np.float64))
    faint, strong = weight < FAINTEST, weight > _STRONG
    if np.abs(shown - grey[..., None])[faint].max(initial=0) > _ROUNDING:
        yield "it does not show the photograph where nothing is highlighted"
    if np.ptp(shown, axis=2)[strong].min(initial=255) < _COLOURED:
        yield "it has no colour where the highlights are strong"


REPORT: Final[tuple[Check, ...]] = (*sr_fidelity.REPORT, _group, _subject)
OVERLAY: Final[tuple[Check, ...]] = (_form, _colours)
