"""The seam between the science side and the hospital side: images in, findings out.

Geometry is fixed here once. Voxel arrays have the axes (slice, row, column). `affine_mm` maps the
homogeneous voxel index (slice, row, column, 1) of a voxel's centre to patient coordinates in
millimetres, LPS: +x to the patient's left, +y to the back, +z to the head (PS3.3 C.7.6.2.1.1).
No handedness is assumed: a series stacked from feet to head is left-handed in these axes.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol, Self, runtime_checkable

import numpy as np
import numpy.typing as npt

Affine = npt.NDArray[np.float64]
Voxels = npt.NDArray[np.float32]
BoolMask = npt.NDArray[np.bool_]

Progress = Callable[[float, str], None]
"""Called with the fraction done, 0 to 1, and what is being done; it may raise to cancel the run."""

Urgency = Literal["HIGH", "MEDIUM", "LOW"]
"""Scheduled Procedure Step Priority (0074,1200)."""


class Unsuitable(Exception):
    """The image is not what the algorithm is made for; the message says what was found instead."""


class Code(NamedTuple):
    """A coded concept (PS3.3 section 8): Code Value, Coding Scheme Designator, Code Meaning."""

    value: str
    scheme: str
    meaning: str


@dataclass(frozen=True, eq=False)
class Volume:
    """A regular stack of slices in patient space.

    Attributes:
        voxels: float32, axes (slice, row, column).
        affine_mm: 4x4, voxel index to patient LPS millimetres; invertible.
        unit: "HU" for CT, "arbitrary" where values have no scale.
        modality: Modality (0008,0060) of the source series.
        sop_instance_uids: one SOP Instance UID for each slice, in slice order.
        slice_places: where each slice lies along the first axis, in steps of the affine, rising; None where
            they are 0, 1, 2 and so on. Only algorithms that say so get an uneven stack, or one that leans:
            then the first column of the affine does not stand upright on the slices.

    Raises:
        ValueError: an array of another shape, or an affine that cannot be inverted.
    """

    voxels: Voxels
    affine_mm: Affine
    unit: Literal["HU", "arbitrary"]
    modality: str
    sop_instance_uids: tuple[str, ...]
    slice_places: npt.NDArray[np.float64] | None = None

    def __post_init__(self) -> None:
        if self.voxels.ndim != 3:
            raise ValueError(f"voxels has {self.voxels.ndim} axes; it must have 3: slice, row, column")
        if self.affine_mm.shape != (4, 4) or abs(np.linalg.det(self.affine_mm[:3, :3])) < 1e-9:
            raise ValueError("affine_mm must be an invertible 4x4 matrix")
        if len(self.sop_instance_uids) != self.voxels.shape[0]:
            raise ValueError(
                f"{len(self.sop_instance_uids)} SOP Instance UIDs for {self.voxels.shape[0]} slices"
            )
        places = self.slice_places
        if places is not None and (len(places) != len(self.voxels) or (np.diff(places) <= 0).any()):
            raise ValueError("slice_places must rise, one for each slice")

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Distance in millimetres between neighbours along (slice, row, column)."""
        slices, rows, columns = np.linalg.norm(self.affine_mm[:3, :3], axis=0)
        return float(slices), float(rows), float(columns)

    @property
    def voxel_volume_ml(self) -> float:
        """Volume of one voxel in millilitres, in an even stack."""
        return float(abs(np.linalg.det(self.affine_mm[:3, :3]))) / 1000.0

    def volume_ml(self, segment: "Segment") -> float:
        """Volume of a segment in millilitres; a slice of an uneven stack reaches half way to the next."""
        if self.slice_places is None:
            return segment.voxel_count * self.voxel_volume_ml
        steps = np.gradient(self.slice_places)[segment.box[0]]
        return float(np.count_nonzero(segment.mask, axis=(1, 2)) @ steps) * self.voxel_volume_ml


@dataclass(frozen=True, eq=False)
class Photograph:
    """A photograph of a person.

    Attributes:
        pixels: uint8, axes (row, column, RGB), as a viewer shows them: the person upright.
        sop_instance_uid: of the source instance.
        subject_age_years: how old the person was when it was taken, as far as the source says so.

    Raises:
        ValueError: an array of another shape or type.
    """

    pixels: npt.NDArray[np.uint8]
    sop_instance_uid: str
    subject_age_years: float | None = None

    def __post_init__(self) -> None:
        if self.pixels.ndim != 3 or self.pixels.shape[2] != 3 or self.pixels.dtype != np.uint8:
            raise ValueError("pixels must be uint8 with the axes row, column, RGB")


@dataclass(frozen=True, eq=False)
class Segment:
    """One segmented structure, kept as the box that encloses it on the source grid.

    Attributes:
        label: a name for people, unique within the findings.
        category: Segmented Property Category (CID 7150).
        type: Segmented Property Type (CID 7151 and below).
        rgb: display colour, 0 to 255.
        mask: bool, axes (slice, row, column), cropped to the box.
        origin: voxel index (slice, row, column) of the box's first corner on the source grid.
        laterality: modifier of the type, for paired organs, or of the site where there is one (CID 244).
        review: why a person should look at this segment first; None if there is no doubt.
        site: the part of the body that holds what is none itself, such as the kidney of a cyst.
    """

    label: str
    category: Code
    type: Code
    rgb: tuple[int, int, int]
    mask: BoolMask
    origin: tuple[int, int, int]
    laterality: Code | None = None
    review: str | None = None
    site: Code | None = None

    @classmethod
    def from_mask(
        cls,
        mask: BoolMask,
        *,
        label: str,
        category: Code,
        type: Code,  # noqa: A002 - the field's term
        rgb: tuple[int, int, int],
        laterality: Code | None = None,
        review: str | None = None,
        site: Code | None = None,
    ) -> Self:
        """Crop a mask that covers the whole source grid.

        Raises:
            ValueError: the mask is empty.
        """
        if not mask.any():
            raise ValueError(f"segment {label!r} has no voxel")
        bounds = [np.flatnonzero(mask.any(axis=tuple(a for a in range(3) if a != axis))) for axis in range(3)]
        low = tuple(int(b[0]) for b in bounds)
        box = tuple(slice(int(b[0]), int(b[-1]) + 1) for b in bounds)
        cropped = np.ascontiguousarray(mask[box])
        return cls(label, category, type, rgb, cropped, (low[0], low[1], low[2]), laterality, review, site)

    @property
    def box(self) -> tuple[slice, slice, slice]:
        """Where the cropped mask lies on the source grid."""
        s, r, c = (slice(o, o + n) for o, n in zip(self.origin, self.mask.shape, strict=True))
        return s, r, c

    @property
    def voxel_count(self) -> int:
        """Number of voxels in the segment."""
        return int(np.count_nonzero(self.mask))

    def on_grid(self, shape: tuple[int, ...]) -> BoolMask:
        """The mask on the whole source grid of the given shape (slice, row, column)."""
        full = np.zeros(shape, dtype=np.bool_)
        full[self.box] = self.mask
        return full


@dataclass(frozen=True)
class Measurement:
    """A number measured on a segment, or on the image where `segment` is None.

    Attributes:
        segment: label of the segment.
        name: a short name for people and for `findings.json`, such as "MeshVolume".
        code: the quantity measured.
        value: in `unit`.
        unit: a UCUM unit as a code; dimensionless is ("1", "UCUM", "no units").
        derivation: how the value was derived (CID 7464), such as Mean of an attenuation coefficient.
    """

    segment: str | None
    name: str
    code: Code
    value: float
    unit: Code
    derivation: Code | None = None


@dataclass(frozen=True)
class Landmark:
    """A named place: a point in patient LPS millimetres on the slice that shows it.

    Attributes:
        name: for people, such as "Th12".
        code: the anatomic site.
        position_mm: in patient LPS.
        sop_instance_uid: the slice.
        value: a score of the algorithm's own, if it has one.
        modifier: which end or part of the site (SCT 106233006 Topographical modifier).
    """

    name: str
    code: Code
    position_mm: tuple[float, float, float]
    sop_instance_uid: str
    value: float | None = None
    modifier: Code | None = None


@dataclass(frozen=True)
class Region:
    """A part of the body and the slices that show it."""

    name: str
    code: Code
    sop_instance_uids: tuple[str, ...]


@dataclass(frozen=True)
class Score:
    """A verdict on the whole image.

    Attributes:
        name: for people, such as "Abnormality of the head CT".
        code: what the value is, such as Probability (122157, DCM).
        value: in `unit`.
        unit: a UCUM unit as a code.
        calibrated: whether `value` may be read as a probability; only then it is written into reports.
        urgency: how soon a person should look (UPS Scheduled Procedure Step Priority).
        finding: the question that is answered, such as Normality (121402, DCM).
        verdict: the answer, such as Abnormal (263654008, SCT).
    """

    name: str
    code: Code
    value: float
    unit: Code
    calibrated: bool = False
    urgency: Urgency | None = None
    finding: Code | None = None
    verdict: Code | None = None


@dataclass(frozen=True, eq=False)
class Embedding:
    """The place of an image in the space of an encoder.

    Attributes:
        vector: float32, one axis, of unit length: the scalar product of two is their cosine similarity.
        space: names what may be compared with what: encoder, digest of its weights, pooling.
    """

    vector: npt.NDArray[np.float32]
    space: str


@dataclass(frozen=True)
class Similar:
    """A series of another study that resembles the image, and the instance in its middle."""

    study_instance_uid: str
    series_instance_uid: str
    sop_class_uid: str
    sop_instance_uid: str
    similarity: float


@dataclass(frozen=True, eq=False)
class SaliencyMap:
    """What in the image a verdict, or a match, rests on, on a grid of its own in patient space.

    Attributes:
        name: for people, such as "Occlusion sensitivity".
        code: the quantity.
        unit: a UCUM unit as a code.
        voxels: float32, axes (slice, row, column).
        affine_mm: 4x4, voxel index of `voxels` to patient LPS millimetres, without shear.
    """

    name: str
    code: Code
    unit: Code
    voxels: Voxels
    affine_mm: Affine


@dataclass(frozen=True, eq=False)
class Highlights:
    """What in a photograph a score rests on.

    Attributes:
        name: for people, such as "Occlusion sensitivity".
        weight: float32, axes (row, column) of the photograph, 0 to 1.
    """

    name: str
    weight: npt.NDArray[np.float32]


@dataclass(frozen=True)
class Findings:
    """All that an algorithm found in one image."""

    segments: tuple[Segment, ...] = ()
    measurements: tuple[Measurement, ...] = ()
    landmarks: tuple[Landmark, ...] = ()
    regions: tuple[Region, ...] = ()
    scores: tuple[Score, ...] = ()
    embedding: Embedding | None = None
    similar: tuple[Similar, ...] = ()
    saliency: SaliencyMap | None = None
    highlights: Highlights | None = None


class Named(Protocol):
    """What every algorithm has beside its function."""

    @property
    def name(self) -> str:
        """The name in the catalogue."""

    @property
    def version(self) -> str:
        """Changes whenever the same image could give other findings."""


class Algorithm(Named, Protocol):
    """What an algorithm is: a name, a version, and a function from an image to findings."""

    def run(self, image: Volume, progress: Progress) -> Findings:
        """Find; masks come back on the grid of `image`.

        Raises:
            Unsuitable: the image is not what the algorithm is made for.
        """


@runtime_checkable
class Explains(Protocol):
    """An algorithm that shows, once it has found, what its findings rest on.

    That may take longer than finding: nobody who is urgent has to wait for it.
    """

    def explain(self, image: Volume, findings: Findings, progress: Progress) -> SaliencyMap | None:
        """What speaks for the findings that `run` gave for the image; None where nobody asked."""


class PhotographAlgorithm(Named, Protocol):
    """The same for photographs; what it finds has neither place nor segment."""

    def run(self, image: Photograph, progress: Progress) -> Findings:
        """Find; raises what `Algorithm.run` raises."""


@runtime_checkable
class ExplainsPhotograph(Protocol):
    """An algorithm that shows, once it has found, what in a photograph its findings rest on."""

    def explain(self, image: Photograph, findings: Findings, progress: Progress) -> Highlights | None:
        """What speaks for the findings that `run` gave for the photograph; None where nobody asked."""


def silent(fraction: float, stage: str) -> None:
    """A progress callback that does nothing."""


def part(progress: Progress, start: float, end: float) -> Progress:
    """Progress of a part that goes from `start` to `end`, as progress of the whole."""
    return lambda fraction, stage: progress(start + (end - start) * fraction, stage)


@dataclass(frozen=True)
class Weights:
    """The weights an algorithm runs with, as they are recorded in every result."""

    name: str
    sha256: str
