"""Weights on their way into the store: converted, checked against the network, kept with their digest."""

import shutil
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from algorithms.protocol import Progress
from algorithms.weights import Checkpoint, Store, WeightsFaulty, WeightsMissing, check_shapes, save
from node import archives, conversion
from node.errors import AINodeError, ConfigurationError
from node.published import cerebrum
from node.published.manifest import PUBLISHED, Archive, Published, Repository, known

_DIGEST: Final = "file SHA-256"
_CONVERTIBLE: Final = {".ckpt", ".model", ".pt", ".pth"}
_READABLE: Final = _CONVERTIBLE | cerebrum.KERAS


def add(name: str, file: Path, folder: Path) -> list[Checkpoint]:
    """Take weights from a file into a folder of the store; pickles are converted elsewhere.

    Args:
        name: of weights that the node knows.
        file: the published zip archive, a file of torch, or safetensors, with its JSON beside it if any.
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
        raise ConfigurationError(f"{file.name} is not what {name} asks for: {error}") from None
    except OSError as error:
        raise AINodeError(f"{folder} cannot be written: {error.strerror}; make room") from None


def pull(name: str, folder: Path, endpoint: str | None, progress: Progress) -> Checkpoint:
    """Download weights from where they are published into a folder of the store.

    What is there under this name stays until the new file has proved right; where it was made of the file
    that the hub has now and is undamaged, nothing is downloaded.

    Args:
        name: of weights that are on the hub.
        folder: of the store.
        endpoint: of the hub, or of a mirror; None for the public one.
        progress: told of the bytes.

    Raises:
        ConfigurationError: the name is not known, or they are not on the hub.
        AINodeError: the download failed, there is no room, or the file is not what the network asks for.
    """
    published = known(name)
    if not isinstance(published.source, Repository):
        raise ConfigurationError(f"{name} cannot be pulled: {published.way}")
    from node.published import hub  # loads only for a download

    held = _held(name, folder)
    if held and held.card[_DIGEST] == (published.source.sha256 or hub.digest(published.source, endpoint)):
        return held
    beside = folder / f".pulling-{name}"
    try:
        beside.mkdir(parents=True, exist_ok=True)
        got = hub.fetch(published.source, beside, endpoint, progress)
        with TemporaryDirectory(dir=beside) as room:
            plain = archives.tensors(_without_pickle(got.path, Path(room)))
        tensors, config = published.fitted(plain, {})
        facts = {"revision": got.revision, _DIGEST: got.sha256}
        kept = _kept(published, tensors, config, folder, facts)
    except WeightsFaulty as error:
        shutil.rmtree(beside, ignore_errors=True)
        raise AINodeError(f"{published.source.name} holds other weights than expected: {error}") from None
    except OSError as error:
        raise AINodeError(f"{folder} cannot be written: {error.strerror or error}; make room") from None
    finally:
        with suppress(OSError):
            beside.rmdir()  # unless a part of the file waits in it for the next try
    shutil.rmtree(beside, ignore_errors=True)
    return kept


def verify(checkpoint: Checkpoint) -> None:
    """Check digest, keys and shapes; bundled weights are for the network of the published ones.

    Raises:
        WeightsFaulty: one of them is wrong; it is named.
    """
    checkpoint.verify()
    name = checkpoint.weights.name
    published = PUBLISHED.get(name.removesuffix("-bundled"))
    if published:
        check_shapes(checkpoint.shapes(), published.shapes(checkpoint.config), name)


def _held(name: str, folder: Path) -> Checkpoint | None:
    """Undamaged weights of this name that were downloaded into the folder."""
    try:
        checkpoint = Store((folder,)).get(name)
        verify(checkpoint)
    except (WeightsMissing, WeightsFaulty):
        return None
    return checkpoint if _DIGEST in checkpoint.card else None


def _added(published: Published, file: Path, folder: Path, beside: Path) -> Iterator[Checkpoint]:
    if file.suffix == ".zip" and isinstance(published.source, Archive):
        yield from _unpacked(published, published.source, file, folder, beside)
        return
    tensors, described = _single(published, file, beside)
    yield _kept(published, *published.fitted(tensors, described), folder)


def _unpacked(
    published: Published, source: Archive, file: Path, folder: Path, beside: Path
) -> Iterator[Checkpoint]:
    packed, plain = beside / "packed", beside / "plain"
    packed.mkdir()
    plain.mkdir()
    conversion.unpack(file, source.layout, packed)
    _convert(packed, plain)
    for each in PUBLISHED.values():
        if not isinstance(each.source, Archive) or each.source.file != source.file:
            continue
        found = each.source.read(plain)
        if found:
            yield _kept(each, *found, folder)
        elif each is published:
            raise ConfigurationError(
                f"{file.name} holds no {published.name}; {source.file} is at {source.page}"
            )


def _convert(packed: Path, plain: Path) -> None:
    """Pickles through the converter; JSON as it is."""
    for file in [f for f in packed.rglob("*.json") if f.is_file()]:
        target = plain / file.relative_to(packed)
        target.parent.mkdir(parents=True, exist_ok=True)
        file.rename(target)
    conversion.unpickle(packed, plain)


def _kept(
    published: Published,
    tensors: archives.Tensors,
    config: dict[str, Any],
    folder: Path,
    facts: Mapping[str, str] | None = None,
) -> Checkpoint:
    wanted = published.shapes(config)
    if published.extra_tensors:
        tensors = {key: tensor for key, tensor in tensors.items() if key in wanted}
    shapes = {key: tuple(tensor.shape) for key, tensor in tensors.items()}
    check_shapes(shapes, wanted, published.name)
    return save(folder, published.name, tensors, config, {**published.card, **(facts or {})})


def _single(published: Published, file: Path, beside: Path) -> archives.Content:
    """Tensors in a file of their own; their configuration in the JSON file of the same name."""
    name = published.name
    about = file.with_suffix(".json")
    described = archives.description(about) if about.is_file() else {}
    if described.get("name", name) != name:
        raise ConfigurationError(f"{about.name} beside it says {described['name']!r}, not {name!r}")
    config = described.get("config", {})
    if not isinstance(config, dict):
        raise WeightsFaulty(f"{about.name} holds no configuration")
    if file.suffix in cerebrum.KERAS:
        return cerebrum.content(file, config)
    if file.suffix not in {*_READABLE, ".safetensors"}:
        packing = "a zip archive nor " if isinstance(published.source, Archive) else ""
        raise ConfigurationError(
            f"{file.name} is neither {packing}.safetensors nor {', '.join(sorted(_READABLE))}"
        )
    return archives.tensors(_without_pickle(file, beside)), config


def _without_pickle(file: Path, beside: Path) -> Path:
    """The file, or what the converter makes of it in another process."""
    if file.suffix not in _CONVERTIBLE:
        return file
    packed, plain = beside / "packed", beside / "plain"
    packed.mkdir()
    plain.mkdir()
    as_torch = f"{file.name}.pt" if file.suffix == ".ckpt" else file.name  # the converter goes by it
    shutil.copyfile(file, packed / as_torch)
    conversion.unpickle(packed, plain)
    return (plain / as_torch).with_suffix(".safetensors")
