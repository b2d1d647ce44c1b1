"""`run`, `algorithms`, `phantom`: the science without a PACS or a database."""

import json
from pathlib import Path
from typing import Annotated

import typer

from algorithms import CATALOGUE
from algorithms.catalogue import CatalogueEntry
from algorithms.protocol import Volume
from algorithms.weights import BUNDLED, Store
from node import config
from node.commands.console import AsJson, Config, Option, bar, dicom_files, make, options_of, say, show
from node.commands.devices import Device, checked
from node.commands.phantom import PHANTOMS, write_study
from node.commands.weights import states
from node.errors import AINodeError, ConfigurationError, UnsuitableImage
from node.inbound import pictures, volumes
from node.jobs.inputs import Input
from node.jobs.production import Faulty, Means, Produced, Stopwatch, produce, provenance_of, write
from node.jobs.series import Series, Study, attribute, study_of
from node.outbound import document

WRAPPED = "photograph.dcm"
"""What a JPEG or PNG was wrapped as."""

Patient = Annotated[
    list[str] | None,
    typer.Option(
        metavar="KEYWORD=VALUE", help="What is known of the patient on a JPEG or PNG, as PatientAge=051Y."
    ),
]

algorithms = typer.Typer(help="The algorithms that this node knows.", invoke_without_command=True)


def run(
    algorithm: Annotated[str, typer.Argument(help="Name of the algorithm; see `ainode algorithms`.")],
    inputs: Annotated[
        list[Path],
        typer.Argument(metavar="INPUT...", help="DICOM files or folders of them; or a photograph."),
    ],
    folder: Annotated[Path, typer.Option("--out", metavar="DIR", help="Where the results go.")],
    file: Config = None,
    option: Option = None,
    device: Device = "cpu",
    nifti: Annotated[bool, typer.Option("--nifti", help="Write segments.nii.gz too.")] = False,
    patient: Patient = None,
) -> None:
    """Run one algorithm on DICOM files, or on a photograph; write DICOM results and findings.json."""
    store = Store((config.load(file).weights, BUNDLED))
    entry = entry_named(algorithm)
    device = checked(device)
    options = options_of(option or [])
    if nifti and entry.photograph:
        raise ConfigurationError("a photograph has no label map; leave --nifti out")
    study = study_of(volumes.headers(_files(inputs, entry, folder, options_of(patient or []))))
    source = Input.of(_series(study, entry), study)
    provenance = provenance_of(entry, options, source.sop_instance_uids, store)
    make(folder)
    try:
        with bar(algorithm) as progress:
            produced = produce(
                entry,
                source.images,
                provenance,
                Means(store, device),
                segmentation=source.segmentation,
                progress=progress,
                watch=Stopwatch(),
            )
    except Faulty as verdict:
        verdict.save(folder / "quarantine")
        raise
    try:
        produced.save(folder)
        if nifti and isinstance(produced.image, Volume):
            document.write_nifti(produced.findings, produced.image, folder / "segments.nii.gz")
    except OSError as error:
        raise AINodeError(
            f"{folder} cannot be written: {error.strerror}; make room or give another --out"
        ) from None
    _summarise(produced, folder)


def phantom(
    kind: Annotated[str, typer.Argument(help=f"One of: {', '.join(PHANTOMS)}.")],
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Where the study goes.")],
    seed: Annotated[int, typer.Option(min=0, help="Each seed is another patient.")] = 0,
) -> None:
    """Write a synthetic DICOM study with the known truth beside it."""
    if kind not in PHANTOMS:
        raise ConfigurationError(f"there is no phantom {kind!r}; there is {', '.join(PHANTOMS)}")
    count = write_study(folder, kind, seed)
    say(f"{count} instances in {folder / 'dicom'}, truth in {folder / 'truth.json'}")


@algorithms.callback()
def list_algorithms(context: typer.Context, file: Config = None, as_json: AsJson = False) -> None:
    """List the algorithms."""
    if context.invoked_subcommand is None:
        store = Store((config.load(file).weights, BUNDLED))
        rows = [
            {
                "name": e.name,
                "version": e.version,
                "input": e.input,
                "outputs": ", ".join(e.outputs),
                "weights": "; ".join(f"{row['name']} {row['state']}" for row in states(e.needs({}), store)),
            }
            for e in CATALOGUE.values()
        ]
        show("Algorithms", rows, as_json)


@algorithms.command("show")
def show_algorithm(name: str, file: Config = None, as_json: AsJson = False) -> None:
    """Show one algorithm: input, outputs, weights and their state, licence, intended use."""
    entry = entry_named(name)
    rows = states(entry.needs({}), Store((config.load(file).weights, BUNDLED)))
    facts = {
        "name": entry.name,
        "version": entry.version,
        "summary": entry.summary,
        "input": entry.input,
        "modalities": ", ".join(sorted(entry.modalities)),
        "outputs": ", ".join(entry.outputs),
        "weights": rows if as_json else _told(rows),
        "licence": entry.licence,
        "intended use": entry.intended_use,
    }
    if as_json:
        say(json.dumps(facts))
    else:
        show(name, [{"": key, " ": value} for key, value in facts.items()], as_json=False)


def _told(rows: list[dict[str, str]]) -> str:
    each = (f"{r['name']} {r['state']}" + (f"; {r['mend']}" if r["mend"] else "") for r in rows)
    return "\n".join(each) or "none needed"


def entry_named(name: str) -> CatalogueEntry:
    """The entry of the catalogue.

    Raises:
        ConfigurationError: there is none of this name.
    """
    if name not in CATALOGUE:
        raise ConfigurationError(f"there is no algorithm {name!r}; there is {', '.join(CATALOGUE)}")
    return CATALOGUE[name]


def _files(inputs: list[Path], entry: CatalogueEntry, folder: Path, said: dict[str, str]) -> list[Path]:
    """The DICOM files; a JPEG or PNG is wrapped as one, which is kept beside the results that refer to it.

    Raises:
        ConfigurationError: an input is not there, there is no DICOM file, or one that says itself who the
            patient is.
        UnsuitableImage: a picture cannot be read, or what is said of the patient cannot be written.
    """
    content = inputs[0].read_bytes() if entry.photograph and inputs[0].is_file() else b""
    if len(inputs) != 1 or not pictures.kind_of(content):
        if said:
            raise ConfigurationError("--patient is for one JPEG or PNG; DICOM files say who the patient is")
        return dicom_files(inputs)
    make(folder)
    wrapped = folder / WRAPPED
    write(wrapped, pictures.written(pictures.wrap(content, said)))
    return [wrapped]


def _series(study: Study, entry: CatalogueEntry) -> Series:
    """The series to run on: the longest of a modality that the algorithm takes.

    Raises:
        UnsuitableImage: there is no series of such a modality.
    """
    fitting = [series for series in study.series if series.modality in entry.modalities]
    if not fitting:
        found = ", ".join(sorted({series.modality for series in study.series}))
        wanted = ", ".join(sorted(entry.modalities))
        raise UnsuitableImage(f"{entry.name} takes {wanted}, and the input holds {found}")
    chosen = max(fitting, key=_frames)
    if len(fitting) > 1:
        say(f"{len(fitting)} series fit; running on the longest, {chosen.series_instance_uid}")
    return chosen


def _frames(series: Series) -> int:
    counts = (attribute(header, "NumberOfFrames") for header in series.headers)
    return sum(int(count[0]) if count and not isinstance(count[0], str) else 1 for count in counts)


def _summarise(produced: Produced, folder: Path) -> None:
    volume_ml = produced.image.voxel_volume_ml if isinstance(produced.image, Volume) else 0.0
    rows = [
        {
            "segment": segment.label,
            "voxels": segment.voxel_count,
            "ml": f"{segment.voxel_count * volume_ml:.1f}",
            "review": segment.review or "",
        }
        for segment in produced.findings.segments
    ]
    regions = [
        {"region": region.name, "slices": len(region.sop_instance_uids)}
        for region in produced.findings.regions
    ]
    numbers = [
        {"measurement": m.name, "value": f"{m.value:.4g}", "unit": m.unit.meaning}
        for m in produced.findings.measurements
        if m.segment is None
    ]
    for title, table in (("Segments", rows), ("Regions", regions), ("Measurements", numbers)):
        if table:
            show(title, table, as_json=False)
    if produced.findings.landmarks:
        say(f"Landmarks: {', '.join(landmark.name for landmark in produced.findings.landmarks)}")
    say(f"{len(produced.objects)} DICOM objects and findings.json in {folder}. Research use only.")
