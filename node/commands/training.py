"""`pretrain` and `finetune`: weights of one's own, from folders of CT series."""

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence, Set
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Final

import numpy as np
import typer
from pydicom import Dataset

from algorithms.ct_fm.options import ENCODER, TUMOUR
from algorithms.protocol import BoolMask, Progress, Volume
from algorithms.spatial import Labels
from algorithms.weights import BUNDLED, Checkpoint, Store, WeightsFaulty, WeightsMissing
from node import config, published
from node.commands.console import Config, bar, dicom_files, make, say, say_aside
from node.commands.devices import Device, checked
from node.errors import ConfigurationError, IrregularGeometry, ResourceInadequate, UnsuitableImage
from node.inbound import nifti, segmentations, volumes

Inputs = Annotated[list[Path], typer.Argument(metavar="FOLDER...", help="Folders of CT series.")]
Out = Annotated[
    Path, typer.Option("--out", metavar="DIR", help="Folder of weights; the node's is its `weights`.")
]
Steps = Annotated[int, typer.Option(min=1, help="Steps of the optimiser.")]
Seed = Annotated[int, typer.Option(min=0, help="Everything random follows from it.")]
Name = Annotated[str, typer.Option(help="Name of the weights.")]
Rate = Annotated[float, typer.Option("--learning-rate", min=0.0, help="After the warm-up.")]

_TUMOUR: Final = "tumor"  # what `ct-tumor` calls the class it shows
_FEWEST_SLICES: Final = 8
_MULTIPLE: Final = 16  # voxels; the network halves a patch four times
_PLAIN: Final = re.compile(r"[A-Za-z0-9][\w.-]*", re.ASCII)
_NIFTI: Final = (".nii", ".nii.gz")


def pretrain(
    inputs: Annotated[
        list[Path] | None, typer.Argument(metavar="FOLDER...", help="Folders of CT series.")
    ] = None,
    *,
    out: Out,
    name: Name = ENCODER["published"],
    phantoms: Annotated[int, typer.Option(min=0, help="Synthetic bodies beside the series.")] = 0,
    steps: Steps = 225_000,
    seed: Seed = 0,
    filters: Annotated[int, typer.Option(min=1, help="Of the first level; published are 32.")] = 32,
    spacing: Annotated[float, typer.Option(min=0.0, help="Millimetres; 0 is as published, 3 x 1 x 1.")] = 0.0,
    patch: Annotated[int, typer.Option(min=0, help="Voxels; 0 is as published, 32 x 128 x 128.")] = 0,
    learning_rate: Rate = 1e-4,
    device: Device = "cpu",
) -> None:
    """Pre-train an encoder without labels; run again, it goes on where it was interrupted."""
    from algorithms.ct_fm import pretraining
    from algorithms.ct_fm.cases import Case, mixed, phantom

    device = checked(device)
    recipe = pretraining.Recipe.sized(filters, spacing, patch, steps, learning_rate, seed)
    state = state_of(out, name)
    scans = [Case.of(volume, recipe.spacing_mm) for volume in _volumes(inputs or [])]
    bodies = [phantom(number, recipe.spacing_mm) for number in range(phantoms)]
    if not scans and not bodies:
        raise ConfigurationError("there is nothing to learn from; give folders of CT series, or --phantoms")
    with training("pretrain", state) as progress:
        encoder = pretraining.pretrain(
            mixed(bodies, scans),
            recipe,
            state,
            lambda done, loss: progress(done / steps, f"step {done}, loss {loss:.3f}"),
            device,
        )
    pretraining.save(out, name, encoder, recipe, f"{len(bodies)} phantoms, {len(scans)} series")
    say(f"{name} from {len(scans)} series and {len(bodies)} phantoms is in {out}. Research use only.")


def finetune(
    inputs: Inputs,
    *,
    out: Out,
    name: Name = TUMOUR,
    encoder: Annotated[
        str, typer.Option(help="Weights to start from; `none` for nothing.")
    ] = "ct-fm-encoder",
    segment: Annotated[list[str] | None, typer.Option(help="A structure to learn; default all.")] = None,
    steps: Steps = 10_000,
    seed: Seed = 0,
    spacing: Annotated[float, typer.Option(min=0.1, help="Millimetres.")] = 1.5,
    patch: Annotated[int, typer.Option(min=16, help="Voxels, a multiple of 16.")] = 96,
    learning_rate: Rate = 2e-4,
    file: Config = None,
    device: Device = "cpu",
) -> None:
    """Fine-tune a segmentation network on CT series with labels: a SEG or a NIfTI label map beside them."""
    from algorithms.ct_fm import fine_tuning
    from algorithms.ct_fm.network import Architecture

    device = checked(device)
    if patch % _MULTIPLE:
        raise ConfigurationError(f"--patch is {patch}; give a multiple of {_MULTIPLE} such as 96")
    store = Store((config.load(file).weights, out, BUNDLED))
    checkpoint = None if encoder == "none" else _checkpoint(store, encoder)
    labelled = [(volume, labels) for volume, labels in _labelled(inputs) if labels]
    names = _structures({label for _, labels in labelled for label in labels}, segment)
    architecture = Architecture.of(checkpoint.config) if checkpoint else Architecture()
    recipe = fine_tuning.FineTuning.sized(
        architecture, len(names) + 1, spacing, patch, steps, learning_rate, seed
    )
    cases = [fine_tuning.LabelledCase.of(v, _numbered(v, found, names), recipe) for v, found in labelled]
    state = state_of(out, name)
    with training("finetune", state) as progress:
        network = fine_tuning.finetune(
            cases,
            recipe,
            checkpoint.tensors() if checkpoint else None,
            state,
            lambda done, loss: progress(done / steps, f"step {done}, loss {loss:.3f}"),
            device,
        )
    classes = [_TUMOUR] if name == TUMOUR and len(names) == 1 else names
    fine_tuning.save(out, name, network, recipe, classes, f"{len(cases)} series, from {encoder}")
    say(f"{name} from {len(cases)} series with {', '.join(names)} is in {out}. Research use only.")


def state_of(folder: Path, name: str) -> Path:
    """The file of an unfinished training, in a folder that is made.

    Raises:
        ConfigurationError: the name would lead out of the folder, or the folder cannot be made.
    """
    if not _PLAIN.fullmatch(name):
        raise ConfigurationError(f"--name is {name!r}; give letters, digits, points, lines and hyphens only")
    make(folder)
    return folder / f"{name}.state"


@contextmanager
def training(title: str, state: Path) -> Iterator[Progress]:
    """A bar; what ends a training early is told as one sentence.

    Raises:
        ResourceInadequate: the state or the encoder is of another network.
    """
    with bar(title) as progress:
        try:
            yield progress
        except WeightsFaulty as error:
            raise ResourceInadequate(str(error)) from None
        except KeyboardInterrupt:
            if state.exists():
                say_aside(f"ainode: interrupted; the same command goes on from {state}")
            raise


def _structures(there: Set[str], wanted: Sequence[str] | None) -> list[str]:
    """The structures to learn, in the order of their labels.

    Raises:
        ConfigurationError: there is none, or not one that is wanted.
    """
    if not there:
        raise ConfigurationError("no series has labels; put a SEG or a .nii.gz label map beside it")
    if unknown := set(wanted or ()) - there:
        raise ConfigurationError(
            f"no series has a structure {min(unknown)!r}; there is {', '.join(sorted(there))}"
        )
    return sorted(set(wanted or there))


def _volumes(inputs: Sequence[Path]) -> Iterator[Volume]:
    """The CTs of some folders of DICOM, and those in NIfTI files."""
    for path in inputs:
        if path.name.endswith(_NIFTI):
            yield nifti.volume(path)
    for volume, _ in _series([path for path in inputs if not path.name.endswith(_NIFTI)]):
        yield volume


def _series(inputs: Sequence[Path]) -> Iterator[tuple[Volume, Sequence[Dataset]]]:
    """Every CT series of some folders that can be read; the others are named on standard error."""
    grouped: dict[str, list[Path]] = defaultdict(list)
    for header in volumes.headers(dicom_files(inputs)) if inputs else []:
        if header.get("Modality") == "CT":
            grouped[str(header.get("SeriesInstanceUID"))].append(Path(str(header.filename)))
    for uid, paths in sorted(grouped.items()):
        if len(paths) < _FEWEST_SLICES:
            continue
        try:
            volume, headers = volumes.read(paths)
        except (UnsuitableImage, IrregularGeometry) as error:
            say_aside(f"series {uid} is left out: {error}")
            continue
        if volume.unit == "HU":
            yield volume, headers


def _labelled(inputs: Sequence[Path]) -> Iterator[tuple[Volume, dict[str, BoolMask]]]:
    """The series, each with the structures of the segmentations made on it, else of a label map beside it."""
    given = [header for header in volumes.headers(dicom_files(inputs)) if header.get("Modality") == "SEG"]
    for volume, headers in _series(inputs):
        found: dict[str, BoolMask] = {}
        for header in given:
            try:
                if segmentations.images_named(header) & set(volume.sop_instance_uids):
                    read = segmentations.read(Path(str(header.filename)), volume, headers)
                    found |= {each.label: each.on_grid(volume.voxels.shape) for each in read.segments}
            except (UnsuitableImage, IrregularGeometry) as error:
                say_aside(f"{header.filename} is left out: {error}")
        yield volume, found or _label_map(Path(str(headers[0].filename)).parent, volume)


def _label_map(folder: Path, volume: Volume) -> dict[str, BoolMask]:
    """The one label map in the folder of a series, or in the one above it.

    Raises:
        ConfigurationError: there are several.
    """
    for place in (folder, folder.parent):
        maps = sorted(place.glob("*.nii.gz")) + sorted(place.glob("*.nii"))
        if len(maps) > 1:
            raise ConfigurationError(
                f"{place} holds {len(maps)} NIfTI files; leave one label map beside a series"
            )
        if maps:
            return nifti.labels(maps[0], volume)
    return {}


def _numbered(volume: Volume, found: dict[str, BoolMask], names: Sequence[str]) -> Labels:
    """Labels by the place of their names, 1 for the first; where structures overlap, the smaller one."""
    labels = np.zeros(volume.voxels.shape, dtype=np.uint8)
    by_size = sorted((n for n in names if n in found), key=lambda n: -int(np.count_nonzero(found[n])))
    for name in by_size:
        labels[found[name]] = names.index(name) + 1
    return labels


def _checkpoint(store: Store, name: str) -> Checkpoint:
    try:
        return store.get(name)
    except WeightsMissing as error:
        mend = published.mend(name) if name in published.PUBLISHED else "see `ainode weights list`"
        raise ResourceInadequate(
            f"{error}; {mend}; or give --encoder {ENCODER['bundled']}, or none"
        ) from None
    except WeightsFaulty as error:
        raise ResourceInadequate(str(error)) from None
