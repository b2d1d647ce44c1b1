"""What published archives hold, once no pickle is left in them: tensors, and the network they belong to.

Descriptions are what anyone wrote: each is read whole only if it is small, and checked value by value.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from algorithms.adapters.nnunet_plan import Configuration, Plan, PlanUnknown
from algorithms.weights import Shapes, WeightsFaulty, shapes_of
from node.conversion import LARGEST_JSON

if TYPE_CHECKING:
    import torch

Tensors = Mapping[str, "torch.Tensor"]
Content = tuple[Tensors, dict[str, Any]]
"""Tensors by their keys, and the configuration of the network."""

Count = Annotated[int, Field(strict=True, ge=1, le=8)]
Width = Annotated[int, Field(strict=True, ge=1, le=1024)]
Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]


class _Network(BaseModel):
    """A network of the family of VGG16."""

    widths: tuple[Width, ...] = Field(min_length=1, max_length=5)
    convolutions: tuple[Count, ...]
    shrink: Count

    @model_validator(mode="after")
    def _match(self) -> Self:
        if len(self.widths) != len(self.convolutions):
            raise ValueError("there must be as many widths as convolutions")
        return self


class _Reference(BaseModel):
    """How raw scores are read."""

    model_config = ConfigDict(extra="forbid")

    raw_ends: tuple[Number, Number]
    landmarks: dict[str, Number] = {}
    slope_per_mm: Number = 0.0
    slope_range_per_mm: tuple[Number, Number] = (0.0, 0.0)
    slope_tolerance: Number = 0.0


class _Regressor(BaseModel):
    """What the configuration of body part regression says."""

    network: _Network
    reference: _Reference


def tensors(file: Path) -> Tensors:
    """The tensors of a file.

    Raises:
        WeightsFaulty: it is not in the format of safetensors.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(file)
    except (SafetensorError, OSError) as error:
        raise WeightsFaulty(f"{file.name} is not in the format of safetensors: {error}") from None


def description(file: Path) -> dict[str, Any]:
    """The object in a JSON file.

    Raises:
        WeightsFaulty: it cannot be read, is too large, or is something else.
    """
    try:
        if file.stat().st_size > LARGEST_JSON:
            raise WeightsFaulty(f"{file.name} cannot be read: it is larger than {LARGEST_JSON >> 20} MB")
        content = json.loads(file.read_text(encoding="utf-8"))
    except RecursionError:
        raise WeightsFaulty(f"{file.name} cannot be read: it is nested too deeply") from None
    except (OSError, ValueError) as error:
        raise WeightsFaulty(f"{file.name} cannot be read: {error}") from None
    if not isinstance(content, dict):
        raise WeightsFaulty(f"{file.name} holds no object")
    return content


def nnunet(configuration: Configuration, plain: Path) -> Content | None:
    """The folds of a configuration that nnU-Net v1 trained; None if the archive has others only.

    Args:
        configuration: of the plan.
        plain: folder of the unpacked archive, pickles converted.

    Raises:
        WeightsFaulty: the plan is not one that is done here, or a file cannot be read.
    """
    plans = sorted(plain.glob(f"**/{configuration}/Task*/*/plans.json"))
    if not plans:
        return None
    folder = plans[0].parent
    try:
        plan = Plan.from_published(
            description(folder / "plans.json"), description(folder / "postprocessing.json"), configuration
        )
    except PlanUnknown as error:
        raise WeightsFaulty(f"{configuration}: {error}") from None
    found = {
        f"{file.parent.name}.{key}": tensor
        for file in sorted(folder.glob("fold_*/model_final_checkpoint.safetensors"))
        for key, tensor in tensors(file).items()
    }
    return found, plan.to_config() | {"folds": sorted({key.split(".")[0] for key in found})}


def nnunet_shapes(config: Mapping[str, Any]) -> Shapes:
    """The tensors that a plan asks for, in each fold.

    Raises:
        WeightsFaulty: it is no plan, or the folds are not named as they are published.
    """
    try:
        plan = Plan.from_config(config)
    except PlanUnknown as error:
        raise WeightsFaulty(
            f"{error}; its plan belongs beside the tensors, so add the published archive"
        ) from None
    folds = config.get("folds") or ["fold_0"]
    if not isinstance(folds, list) or not all(re.fullmatch(r"fold_\d", str(fold)) for fold in folds):
        raise WeightsFaulty("its folds are not a list of fold_0 to fold_9")
    return {f"{fold}.{key}": shape for fold in folds for key, shape in plan.shapes().items()}


def bpr(plain: Path) -> Content | None:
    """Body part regression and the reference of its scores; None if the archive has no such file.

    Raises:
        WeightsFaulty: the reference is not there, or a file cannot be read.
    """
    from algorithms.body_part.scores import Reference

    files = sorted(plain.glob("**/model.safetensors"))
    if not files:
        return None
    settings = description(files[0].with_name("inference-settings.json"))
    try:
        reference = Reference.published(settings)
    except (KeyError, TypeError) as error:
        raise WeightsFaulty(f"inference-settings.json lacks {error}") from None
    return tensors(files[0]), {"reference": reference.as_config()}


def bpr_shapes(config: Mapping[str, Any]) -> Shapes:
    """The tensors of body part regression; where the configuration names no network, the published one.

    Raises:
        WeightsFaulty: the configuration describes no network, or not how its scores are read.
    """
    from algorithms.body_part.network import VGG16, build
    from algorithms.body_part.scores import Reference

    try:
        _Regressor.model_validate({"network": VGG16, **config})
    except ValidationError as error:
        fault = error.errors()[0]
        at = ".".join(map(str, fault["loc"]))
        raise WeightsFaulty(f"bpr: {at}: {fault['msg'].removeprefix('Value error, ')}") from None
    Reference.from_config(config, "bpr")
    return shapes_of(lambda: build(config))
