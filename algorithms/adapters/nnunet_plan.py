"""What nnU-Net v1 planned for a data set: grid, patch, network and normalisation, as plain data."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import chain
from math import inf, isfinite
from typing import Any, Literal, Self

from algorithms.spatial import Shape, Spacing
from algorithms.weights import Shapes, shapes_of

Configuration = Literal["3d_fullres", "3d_lowres", "3d_cascade_fullres"]
CONFIGURATIONS: tuple[Configuration, ...] = ("3d_fullres", "3d_lowres", "3d_cascade_fullres")


_MALFORMED = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
_DEEPEST = 8
_LARGEST_EDGE = 1024
_MOST_CLASSES = 256
_MOST_FEATURES = 320


class PlanUnknown(Exception):
    """A plan that asks for something this adapter does not do; the message names it."""


@dataclass(frozen=True)
class Plan:
    """A configuration of a plan, for one image channel.

    Attributes:
        spacing_mm: of the grid the network sees, along its axes.
        patch: size of a tile on that grid.
        pooling: strides of each pooling.
        kernels: of each stage, one more than there are poolings.
        features: of the first stage.
        classes: background included.
        axes: the canonical axis (head, back, left) that each axis of the network is.
        low: Hounsfield units below are clipped: the 0.5th percentile of the foreground in training.
        high: Hounsfield units above are clipped: the 99.5th percentile.
        mean: subtracted after clipping.
        sd: divided by.
        largest: classes, or groups of them taken as one, of which only the largest component stays.
        cascade: whether the label map of a lower resolution comes in as further channels.
    """

    spacing_mm: Spacing
    patch: Shape
    pooling: tuple[Shape, ...]
    kernels: tuple[Shape, ...]
    features: int
    classes: int
    axes: Shape
    low: float
    high: float
    mean: float
    sd: float
    largest: tuple[tuple[int, ...], ...]
    cascade: bool

    def __post_init__(self) -> None:
        """Refuse values that no network can have.

        Raises:
            PlanUnknown: one is named.
        """
        depth = len(self.pooling)
        holds = {
            "spacing_mm": all(0 < edge < inf for edge in self.spacing_mm),
            "patch": all(0 < edge <= _LARGEST_EDGE for edge in self.patch),
            "pooling": 0 < depth <= _DEEPEST and set(chain(*self.pooling)) <= {1, 2, 3, 4},
            "kernels": len(self.kernels) == depth + 1 and set(chain(*self.kernels)) <= {1, 3, 5, 7},
            "features": 0 < self.features <= _MOST_FEATURES,
            "classes": 1 < self.classes <= _MOST_CLASSES,
            "axes": set(self.axes) == {0, 1, 2},
            "low": -inf < self.low < self.high < inf,
            "mean": isfinite(self.mean),
            "sd": 0 < self.sd < inf,
            "largest": all(0 < label < self.classes for label in chain(*self.largest)),
        }
        if wrong := [name for name, is_so in holds.items() if not is_so]:
            raise PlanUnknown(f"not a plan of nnU-Net: its {wrong[0]} cannot be")

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """Read what `to_config` wrote.

        Raises:
            PlanUnknown: a value is missing, of another kind, or one that no network can have.
        """
        try:
            return cls(
                spacing_mm=_spacing(config["spacing_mm"]),
                patch=_shape(config["patch"]),
                pooling=tuple(map(_shape, config["pooling"])),
                kernels=tuple(map(_shape, config["kernels"])),
                features=int(config["features"]),
                classes=int(config["classes"]),
                axes=_shape(config["axes"]),
                **{name: float(config[name]) for name in ("low", "high", "mean", "sd")},
                largest=tuple(tuple(map(int, group)) for group in config["largest"]),
                cascade=bool(config["cascade"]),
            )
        except _MALFORMED as error:
            raise PlanUnknown(f"not a plan of nnU-Net: {type(error).__name__} {error}") from None

    @classmethod
    def from_published(
        cls, plans: Mapping[str, Any], postprocessing: Mapping[str, Any], configuration: Configuration
    ) -> Self:
        """Read a configuration of `plans.pkl` and `postprocessing.json`, both turned into JSON.

        Raises:
            PlanUnknown: something is missing, or is not done here.
        """
        try:
            return cls._read(plans, postprocessing, configuration)
        except _MALFORMED as error:
            raise PlanUnknown(f"not a plan of nnU-Net v1: {type(error).__name__} {error}") from None

    @classmethod
    def _read(
        cls, plans: Mapping[str, Any], postprocessing: Mapping[str, Any], configuration: Configuration
    ) -> Self:
        stages = plans["plans_per_stage"]
        stage = stages["0" if configuration == "3d_lowres" else max(stages, key=int)]
        _refuse_the_unusual(plans)
        intensity = plans["dataset_properties"]["intensityproperties"]["0"]
        return cls.from_config(
            {
                "spacing_mm": stage["current_spacing"],
                "patch": stage["patch_size"],
                "pooling": stage["pool_op_kernel_sizes"],
                "kernels": stage["conv_kernel_sizes"],
                "features": plans["base_num_features"],
                "classes": plans["num_classes"] + 1,
                "axes": plans["transpose_forward"],
                "low": intensity["percentile_00_5"],
                "high": intensity["percentile_99_5"],
                "mean": intensity["mean"],
                "sd": intensity["sd"],
                "largest": [
                    group if isinstance(group, list) else [group]
                    for group in postprocessing["for_which_classes"]
                ],
                "cascade": configuration == "3d_cascade_fullres",
            }
        )

    def to_config(self) -> dict[str, Any]:
        """The plan as JSON can hold it."""
        return asdict(self)

    @property
    def channels(self) -> int:
        """Of the input: the image, and for a cascade one for each class of the stage before."""
        return self.classes if self.cascade else 1

    def shapes(self) -> Shapes:
        """The tensors that the network has, by the keys of the published checkpoints."""
        from algorithms.adapters.nnunet_network import UNet

        return shapes_of(lambda: UNet(self.channels, self.classes, self.features, self.pooling, self.kernels))


def _refuse_the_unusual(plans: Mapping[str, Any]) -> None:
    if plans["num_modalities"] != 1 or plans["normalization_schemes"] != {"0": "CT"}:
        raise PlanUnknown(f"input {plans['normalization_schemes']} is not one CT")
    if any(plans["use_mask_for_norm"].values()):
        raise PlanUnknown("normalisation inside the mask of non-zero voxels is not done here")
    if plans["conv_per_stage"] != 2:
        raise PlanUnknown(f"{plans['conv_per_stage']} convolutions per stage instead of 2")


def _shape(values: Any) -> Shape:  # noqa: ANN401 - read from JSON
    first, second, third = map(int, values)
    return first, second, third


def _spacing(values: Any) -> Spacing:  # noqa: ANN401 - read from JSON
    first, second, third = map(float, values)
    return first, second, third
