"""`locate`: the place in one CT that matches a point in another."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer
from pydicom import Dataset

from algorithms import CATALOGUE
from algorithms.protocol import Findings, Progress, Unsuitable, Volume, part
from algorithms.weights import BUNDLED, Store, WeightsFaulty
from node import config
from node.commands.console import AsJson, Config, Option, bar, dicom_files, make, options_of, say
from node.commands.devices import Device, checked
from node.errors import ConfigurationError, ResourceInadequate, UnsuitableImage
from node.inbound import volumes
from node.jobs.production import provenance_of, write
from node.jobs.series import study_of
from node.outbound import gate
from node.outbound.equipment import Provenance
from node.outbound.objects import encode_all

if TYPE_CHECKING:
    from algorithms.ct_fm.anatomical_search import Match
    from algorithms.ct_fm.embedding import Encoder

_ENTRY = CATALOGUE["ct-retrieval"]


def locate(
    source: Annotated[Path, typer.Argument(metavar="SOURCE", help="Folder of the CT with the point.")],
    target: Annotated[Path, typer.Argument(metavar="TARGET", help="Folder of the CT to search.")],
    point: Annotated[str, typer.Option("--point", metavar="X,Y,Z", help="Patient LPS millimetres.")],
    as_json: AsJson = False,
    heat_map: Annotated[
        Path | None, typer.Option("--heat-map", metavar="DIR", help="Write the similarity as DICOM there.")
    ] = None,
    file: Config = None,
    option: Option = None,
    device: Device = "cpu",
) -> None:
    """Find the place in one CT that matches a point in another."""
    point_mm = _point(point)
    options = options_of(option or [])
    store = Store((config.load(file).weights, BUNDLED))
    device = checked(device)
    if heat_map:
        make(heat_map)
    with bar("locate") as progress:
        here, headers = _ct(source)
        there, sources = _ct(target)
        uids = (*(str(header.SOPInstanceUID) for header in headers), *there.sop_instance_uids)
        named = {**options, "point": ",".join(f"{mm:g}" for mm in point_mm)}
        provenance = _provenance(options, named, uids, store)
        match = _match(here, point_mm, there, _encoder(options, device, store), part(progress, 0.1, 1.0))
    if heat_map:
        _save(heat_map, match, there, sources, provenance)
    found = _described(match, there)
    if as_json:
        say(json.dumps(found))
        return
    x, y, z = found["position_mm"]
    if found["outside_mm"]:
        say(f"The place is expected {found['outside_mm']:.0f} mm outside that CT; the nearest it shows:")
    say(
        f"{x:.1f}, {y:.1f}, {z:.1f} mm (LPS), similarity {found['similarity']:.3f}: row {found['row']}, "
        f"column {found['column']} of {found['SOPInstanceUID']}. Research use only."
    )


def _point(text: str) -> tuple[float, float, float]:
    try:
        x, y, z = (float(number) for number in text.split(","))
        if not np.isfinite((x, y, z)).all():
            raise ValueError
    except ValueError:
        raise ConfigurationError(f"--point is {text!r}; give three numbers such as 12.5,-30,-210") from None
    return x, y, z


def _ct(folder: Path) -> tuple[Volume, Sequence[Dataset]]:
    """The longest CT series of a folder.

    Raises:
        UnsuitableImage: there is none.
    """
    study = study_of(volumes.headers(dicom_files([folder])))
    series = [each for each in study.series if each.modality == "CT"]
    if not series:
        found = ", ".join(sorted({each.modality for each in study.series}))
        raise UnsuitableImage(f"{folder} holds {found} and no CT")
    return volumes.read(max(series, key=lambda each: len(each.paths)).paths)


def _provenance(
    options: dict[str, str], named: dict[str, str], uids: Sequence[str], store: Store
) -> Provenance:
    plain = provenance_of(_ENTRY, options, uids, store)
    return Provenance(plain.algorithm, plain.version, plain.weights, named, plain.source_sop_instance_uids)


def _encoder(options: dict[str, str], device: str, store: Store) -> "Encoder":
    from algorithms.ct_fm.embedding import Encoder

    try:
        (name,) = _ENTRY.needs(options)
        return Encoder(store.get(name), device)
    except WeightsFaulty as error:
        raise ResourceInadequate(str(error)) from None


def _match(
    here: Volume,
    point_mm: tuple[float, float, float],
    there: Volume,
    encoder: "Encoder",
    progress: Progress,
) -> "Match":
    from algorithms.ct_fm.anatomical_search import locate as search

    try:
        return search(here, point_mm, there, encoder, progress)
    except Unsuitable as verdict:
        raise UnsuitableImage(str(verdict)) from None


def _described(match: "Match", target: Volume) -> dict[str, Any]:
    """The match as JSON has it; row and column count from 0."""
    index = np.linalg.solve(target.affine_mm, [*match.position_mm, 1.0])[:3]
    slice_, row, column = np.clip(np.rint(index).astype(int), 0, np.array(target.voxels.shape) - 1).tolist()
    return {
        "position_mm": [round(mm, 2) for mm in match.position_mm],
        "SOPInstanceUID": target.sop_instance_uids[slice_],
        "row": row,
        "column": column,
        "similarity": round(match.similarity, 4),
        "outside_mm": round(match.outside_mm, 1),
    }


def _save(
    folder: Path, match: "Match", target: Volume, sources: Sequence[Dataset], provenance: Provenance
) -> None:
    """Write the heat map, proved, as a Parametric Map and as a picture over the target."""
    findings = Findings(saliency=match.heat)
    objects = encode_all(findings, target, sources, provenance, rtstruct=False)
    gate.prove(objects, findings, target, sources, provenance, rtstruct=False)
    for item in objects:
        write(folder / item.file, item.content)
