"""Published weights that the node knows: where they come from, and how they are added to the store."""

import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType
from typing import Any, Final

from algorithms.adapters.nnunet_plan import CONFIGURATIONS, Configuration
from algorithms.weights import Checkpoint, Shapes, WeightsFaulty, check_shapes, save
from node import archives, conversion
from node.errors import AINodeError, ConfigurationError

_CONVERTIBLE: Final = {".model", ".pt", ".pth"}
_NOTICE: Final = "Research use only. Not for diagnosis."


@dataclass(frozen=True)
class Published:
    """Weights that others have published.

    Attributes:
        name: in the store.
        archive: the published file.
        algorithm: in the catalogue.
        source: where the file is.
        licence: what is known of it.
        layout: names in the archive.
        shapes: the tensors that a configuration asks for.
        read: the tensors and the configuration in an unpacked archive; None if it holds others only.
        extra_tensors: whether the published file holds more than the network, as its authors load it.
    """

    name: str
    archive: str
    algorithm: str
    source: str
    licence: str
    layout: re.Pattern[str]
    shapes: Callable[[Mapping[str, Any]], Shapes]
    read: Callable[[Path], archives.Content | None]
    extra_tensors: bool = False

    @property
    def way(self) -> str:
        """How a person gets them."""
        return f"{self.archive} at {self.source}; then: ainode weights add {self.name} {self.archive}"

    @property
    def card(self) -> dict[str, str]:
        """What is recorded beside the tensors."""
        return {
            "source": self.source,
            "file": self.archive,
            "licence": self.licence,
            "algorithm": self.algorithm,
            "intended use": _NOTICE,
        }


def add(name: str, file: Path, folder: Path) -> list[Checkpoint]:
    """Take published weights into a folder of the store; pickles are converted elsewhere.

    Args:
        name: of weights that the node knows.
        file: the published zip archive, a file of torch, or safetensors with its JSON beside it.
        folder: of the store.

    Returns:
        What was added: every configuration that the archive holds, this one among them.

    Raises:
        ConfigurationError: the name is not known, or the file is not what was published under it.
        AINodeError: there is no room, or the conversion failed.
    """
    published = known(name)
    if not file.is_file():
        raise ConfigurationError(f"{file} is a folder" if file.is_dir() else f"there is no file {file}")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=folder, prefix=".adding-") as beside:
            return list(_added(published, file, folder, Path(beside)))
    except WeightsFaulty as error:
        raise ConfigurationError(f"{file.name} is not what was published: {error}") from None
    except OSError as error:
        raise AINodeError(f"{folder} cannot be written: {error.strerror}; make room") from None


def verify(checkpoint: Checkpoint) -> None:
    """Check digest, keys and shapes.

    Raises:
        WeightsFaulty: one of them is wrong; it is named.
    """
    checkpoint.verify()
    published = PUBLISHED.get(checkpoint.weights.name)
    if published:
        check_shapes(checkpoint.shapes(), published.shapes(checkpoint.config), checkpoint.weights.name)


def known(name: str) -> Published:
    """The weights of this name.

    Raises:
        ConfigurationError: the node does not know them.
    """
    if name not in PUBLISHED:
        raise ConfigurationError(f"there are no published weights {name!r}; there are {', '.join(PUBLISHED)}")
    return PUBLISHED[name]


def _added(published: Published, file: Path, folder: Path, beside: Path) -> Iterator[Checkpoint]:
    if file.suffix != ".zip":
        tensors, config = _single(published.name, file, beside)
        yield _kept(published, tensors, config, folder)
        return
    family = [other for other in PUBLISHED.values() if other.archive == published.archive]
    packed, plain = beside / "packed", beside / "plain"
    packed.mkdir()
    plain.mkdir()
    conversion.unpack(file, published.layout, packed)
    _convert(packed, plain)
    for each in family:
        found = each.read(plain)
        if found:
            yield _kept(each, *found, folder)
        elif each is published:
            raise ConfigurationError(
                f"{file.name} holds no {published.name}; {published.archive} is at {published.source}"
            )


def _convert(packed: Path, plain: Path) -> None:
    """Pickles through the converter; JSON as it is."""
    for file in [f for f in packed.rglob("*.json") if f.is_file()]:
        target = plain / file.relative_to(packed)
        target.parent.mkdir(parents=True, exist_ok=True)
        file.rename(target)
    conversion.unpickle(packed, plain)


def _kept(
    published: Published, tensors: archives.Tensors, config: dict[str, Any], folder: Path
) -> Checkpoint:
    wanted = published.shapes(config)
    if published.extra_tensors:
        tensors = {key: tensor for key, tensor in tensors.items() if key in wanted}
    shapes = {key: tuple(tensor.shape) for key, tensor in tensors.items()}
    check_shapes(shapes, wanted, published.name)
    return save(folder, published.name, tensors, config, published.card)


def _single(name: str, file: Path, beside: Path) -> archives.Content:
    """Tensors in a file of their own; their configuration in the JSON file of the same name."""
    about = file.with_suffix(".json")
    described = archives.description(about) if about.is_file() else {}
    if described.get("name", name) != name:
        raise ConfigurationError(f"{about.name} beside it says {described['name']!r}, not {name!r}")
    config = described.get("config", {})
    if not isinstance(config, dict):
        raise WeightsFaulty(f"{about.name} holds no configuration")
    if file.suffix in _CONVERTIBLE:
        packed, plain = beside / "packed", beside / "plain"
        packed.mkdir()
        plain.mkdir()
        shutil.copyfile(file, packed / file.name)
        conversion.unpickle(packed, plain)
        file = (plain / file.name).with_suffix(".safetensors")
    elif file.suffix != ".safetensors":
        raise ConfigurationError(
            f"{file.name} is neither a zip archive nor .safetensors nor {', '.join(sorted(_CONVERTIBLE))}"
        )
    return archives.tensors(file), config


def _segthor(name: str, configuration: Configuration) -> Published:
    return Published(
        name=name,
        archive="Task055_SegTHOR.zip",
        algorithm="chest-ct-annotation",
        source="https://zenodo.org/records/4003545",
        licence="see the record; Isensee et al., Nature Methods 2021",
        layout=re.compile(
            rf"(?:.*/)?(?:{'|'.join(CONFIGURATIONS)})/Task055_SegTHOR/[^/]+/"
            r"(?:plans\.pkl|postprocessing\.json|fold_\d/model_final_checkpoint\.model)"
        ),
        shapes=archives.nnunet_shapes,
        read=partial(archives.nnunet, configuration),
    )


PUBLISHED: Final[Mapping[str, Published]] = MappingProxyType(
    {
        each.name: each
        for each in (
            _segthor("segthor-task055", "3d_fullres"),
            _segthor("segthor-task055-lowres", "3d_lowres"),
            _segthor("segthor-task055-cascade", "3d_cascade_fullres"),
            Published(
                name="bpr",
                archive="public_bpr_model.zip",
                algorithm="body-part-regression",
                source="https://zenodo.org/records/5113483",
                licence="see the record; code Apache-2.0",
                layout=re.compile(r"(?:.*/)?(?:model\.pt|inference-settings\.json)"),
                shapes=archives.bpr_shapes,
                read=archives.bpr,
                extra_tensors=True,
            ),
        )
    }
)
