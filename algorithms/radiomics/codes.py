"""How each feature of shape and first order is coded: quantity, unit and derivation.

Shape has IBSI codes of DICOM (CID 7477). First-order statistics have none there: where the quantity
itself has a code (CID 7180), a statistic of CID 7464 is derived from it. What is left is an extension:
the IBSI's own code, or, where the IBSI has none, the private code that pyradiomics' DICOM writer gives
(the first six characters of the Base64 of the SHA-1 of "class_Name", which is the meaning).
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

from algorithms.protocol import Code, Volume
from algorithms.terminology import (
    ATTENUATION_COEFFICIENT,
    DERIVATIONS,
    HOUNSFIELD_UNIT,
    MILLIMETER,
    NO_UNITS,
    SHAPE_FEATURES,
)


class Coded(NamedTuple):
    """A quantity, its UCUM unit, and the derivation (CID 7464) if the quantity alone does not say all."""

    code: Code
    unit: Code
    derivation: Code | None = None


MR_SIGNAL_INTENSITY: Final = Code("110852", "DCM", "MR signal intensity")

_ARBITRARY_UNIT = Code("[arb'U]", "UCUM", "arbitrary unit")

_DERIVATIONS: Mapping[str, Code] = {
    **DERIVATIONS,
    "Variance": Code("C1711260", "UMLS", "Variance"),
    "Skewness": Code("126051", "DCM", "Skewness"),
    "Kurtosis": Code("126052", "DCM", "Kurtosis"),
    "RootMeanSquared": Code("C2347976", "UMLS", "Root Mean Square"),
}

_OF_HISTOGRAM: Mapping[str, Code] = {  # CID 7478
    "Entropy": Code("TLU2", "IBSI", "Intensity Histogram Entropy"),
    "Uniformity": Code("BJ5W", "IBSI", "Intensity Histogram Uniformity"),
}

_SHAPE_EXTENSIONS: Mapping[str, Code] = {
    "Maximum2DDiameterSlice": Code("sr6t3v", "99PYRADIOMICS", "shape_Maximum2DDiameterSlice"),
    "Maximum2DDiameterColumn": Code("E2ihFx", "99PYRADIOMICS", "shape_Maximum2DDiameterColumn"),
    "Maximum2DDiameterRow": Code("fGlyyY", "99PYRADIOMICS", "shape_Maximum2DDiameterRow"),
}

_INTENSITY_EXTENSIONS: Mapping[str, Code] = {
    "Mean": Code("Q4LE", "IBSI", "Mean intensity"),
    "Variance": Code("ECT3", "IBSI", "Intensity variance"),
    "Skewness": Code("KE2A", "IBSI", "Intensity skewness"),
    # The IBSI's kurtosis (IPH6) is less by 3.
    "Kurtosis": Code("IsDeUa", "99PYRADIOMICS", "firstorder_Kurtosis"),
    "Median": Code("Y12H", "IBSI", "Median intensity"),
    "Minimum": Code("1GSF", "IBSI", "Minimum intensity"),
    "10Percentile": Code("QG58", "IBSI", "10th intensity percentile"),
    "90Percentile": Code("8DWT", "IBSI", "90th intensity percentile"),
    "Maximum": Code("84IY", "IBSI", "Maximum intensity"),
    "InterquartileRange": Code("SALO", "IBSI", "Intensity interquartile range"),
    "Range": Code("2OJQ", "IBSI", "Intensity range"),
    "MeanAbsoluteDeviation": Code("4FUA", "IBSI", "Intensity mean absolute deviation"),
    "RobustMeanAbsoluteDeviation": Code("1128", "IBSI", "Intensity robust mean absolute deviation"),
    "Energy": Code("N8CA", "IBSI", "Intensity energy"),
    "RootMeanSquared": Code("5ZWQ", "IBSI", "Root mean square intensity"),
    "TotalEnergy": Code("/VaYyp", "99PYRADIOMICS", "firstorder_TotalEnergy"),
    "StandardDeviation": Code("F2uMwa", "99PYRADIOMICS", "firstorder_StandardDeviation"),
}

_SQUARED = frozenset({"Variance", "Energy"})
_WITHOUT_UNIT = frozenset({"Skewness", "Kurtosis"})

EXTENSIONS: Final = frozenset((*_SHAPE_EXTENSIONS.values(), *_INTENSITY_EXTENSIONS.values()))
"""Codes that are in no context group of DICOM; docs/how-to/radiomics.md says why each is used."""

SHAPE: Mapping[str, Coded] = MappingProxyType(
    {name: Coded(code, unit) for name, (code, unit) in SHAPE_FEATURES.items()}
    | {name: Coded(code, MILLIMETER) for name, code in _SHAPE_EXTENSIONS.items()}
)


def first_order(volume: Volume) -> dict[str, Coded]:
    """Codes of the first-order features of an image, by their names in pyradiomics."""
    quantity, unit = _quantity(volume)
    coded = {name: Coded(code, NO_UNITS) for name, code in _OF_HISTOGRAM.items()}
    for name, extension in _INTENSITY_EXTENSIONS.items():
        derivation = _DERIVATIONS.get(name)
        if quantity is None or derivation is None:
            coded[name] = Coded(extension, _unit(name, unit))
        else:
            coded[name] = Coded(quantity, _unit(name, unit), derivation)
    return coded


def _quantity(volume: Volume) -> tuple[Code | None, Code]:
    if volume.unit == "HU":
        return ATTENUATION_COEFFICIENT, HOUNSFIELD_UNIT
    return (MR_SIGNAL_INTENSITY if volume.modality == "MR" else None), _ARBITRARY_UNIT


def _unit(name: str, unit: Code) -> Code:
    if name in _WITHOUT_UNIT:
        return NO_UNITS
    if name in _SQUARED:
        return Code(f"{unit.value}2", "UCUM", f"square {unit.meaning}")
    if name == "TotalEnergy":
        return Code(f"{unit.value}2.mm3", "UCUM", f"square {unit.meaning} cubic millimeter")
    return unit
