"""`train-brain`: weights of one's own for `brain-t1`, from T1 images and label maps of any other method."""

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import numpy as np
import typer

from algorithms.cerebrum import MUSE
from algorithms.cerebrum.options import WEIGHTS
from algorithms.cerebrum.structures import STRUCTURES
from algorithms.protocol import Unsuitable, Volume
from algorithms.spatial import Labels
from node.commands.console import say
from node.commands.training import Name, Out, Rate, Seed, Steps, state_of, training
from node.errors import ConfigurationError, UnsuitableImage
from node.inbound import nifti

if TYPE_CHECKING:
    from algorithms.cerebrum.randomisation import LabelledHead

_NIFTI: Final = "*.nii*"


def train_brain(
    images: Annotated[Path, typer.Argument(metavar="IMAGES", help="Folder of T1 images, NIfTI.")],
    labels: Annotated[
        Path,
        typer.Argument(
            metavar="LABELS", help="Folder of label maps; each begins with the name of its image."
        ),
    ],
    *,
    out: Out,
    structures: Annotated[
        Path, typer.Option(metavar="CSV", help="Which structure each number is; default: MUSE's numbers.")
    ] = MUSE,
    name: Name = WEIGHTS["cerebrum-3t"],
    steps: Steps = 2000,
    seed: Seed = 0,
    filters: Annotated[int, typer.Option(min=1, help="Of the first level; published are 24 and 48.")] = 24,
    learning_rate: Rate = 2e-3,
) -> None:
    """Train CEREBRUM's network on heads and weak labels; run again, it goes on where it was interrupted."""
    from algorithms.cerebrum import training as cerebrum

    numbers = numbers_of(structures)
    names = tuple(each for each in STRUCTURES if each in numbers.values())
    heads = [_head(*case, names) for case in labelled(images, labels, numbers, names)]
    recipe = cerebrum.Recipe.sized(names, filters, steps, learning_rate, seed)
    state = state_of(out, name)
    with training("train-brain", state) as progress:
        network = cerebrum.train(
            heads, recipe, state, lambda done, loss: progress(done / steps, f"step {done}, loss {loss:.3f}")
        )
    source = f"trained by `ainode train-brain` on {len(heads)} heads"
    cerebrum.save(out, name, network, recipe, {"source": source, "licence": "that of the images and labels"})
    say(f"{name} from {len(heads)} heads with {', '.join(names)} is in {out}. Research use only.")


def numbers_of(path: Path) -> Mapping[int, str]:
    """The structure of each number, from a table with the columns number and structure.

    Raises:
        ConfigurationError: it cannot be read, or names a structure that there is not.
    """
    try:
        with path.open(newline="", encoding="utf-8") as table:
            numbers = {int(row["number"]): row["structure"] for row in csv.DictReader(table)}
    except (OSError, KeyError, TypeError, ValueError):
        raise ConfigurationError(
            f"{path} cannot be read: give a CSV with the columns number,structure"
        ) from None
    if unknown := set(numbers.values()) - set(STRUCTURES):
        known = ", ".join(STRUCTURES)
        raise ConfigurationError(f"{path} names a structure {min(unknown)!r}; there is {known}")
    if not all(0 < number <= np.iinfo(np.uint16).max for number in numbers):
        raise ConfigurationError(f"{path}: numbers are from 1 to {np.iinfo(np.uint16).max}; 0 is background")
    return numbers


def labelled(
    images: Path, labels: Path, numbers: Mapping[int, str], names: Sequence[str]
) -> Iterator[tuple[Path, Volume, Labels]]:
    """The images of a folder, each with its file and its labels: the places of the names, from 1.

    Raises:
        ConfigurationError: there is no image, or one has no label map, or several.
        UnsuitableImage: a file cannot be read.
    """
    found = sorted(images.glob(_NIFTI))
    if not found:
        raise ConfigurationError(f"{images} holds no NIfTI file; give a folder of T1 images")
    for path in found:
        stem = path.name.split(".nii")[0]
        maps = [each for each in sorted(labels.glob(_NIFTI)) if each.name.startswith(stem) and each != path]
        if len(maps) != 1:
            raise ConfigurationError(f"{labels} holds {len(maps)} label maps named {stem}*; give one")
        image = replace(nifti.volume(path), unit="arbitrary", modality="MR")
        yield path, image, _labels(maps[0], image, numbers, names)


def _head(path: Path, image: Volume, labels: Labels, names: Sequence[str]) -> "LabelledHead":
    from algorithms.cerebrum.randomisation import LabelledHead

    try:
        return LabelledHead.of(image, labels, names)
    except Unsuitable as verdict:
        raise UnsuitableImage(f"{path}: {verdict}") from None


def _labels(path: Path, image: Volume, numbers: Mapping[int, str], names: Sequence[str]) -> Labels:
    """Structures of a label map by the place of their names, on the grid of its image."""
    found = nifti.numbers(path, image)
    table = np.zeros(max(int(found.max()), *numbers) + 1, dtype=np.uint8)
    for number, name in numbers.items():
        table[number] = names.index(name) + 1
    return table[found]
