"""Texture features (GLCM, GLRLM, GLSZM, GLDM, NGTDM) by mirp, on the image cropped to a segment.

Grey levels are bins of 25 that begin at 0, as in the first-order features. Co-occurrences and runs of
all 13 directions are counted in one matrix (the IBSI's "3D, merged"), where pyradiomics averages over
the directions; the other three classes have one matrix anyway.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from algorithms.protocol import BoolMask, Voxels
from algorithms.radiomics.firstorder import BIN_WIDTH
from algorithms.radiomics.texture_codes import TEXTURE_FEATURES

_MERGED = "3d_volume_merge"
_MOST_LEVELS = 1000
"""The matrices grow with its square; a range of 25 000 says that bins of 25 do not fit the unit."""


class TextureUnavailable(Exception):
    """The library that computes texture is not installed."""

    def __init__(self) -> None:
        super().__init__("texture features need mirp; install it with: pip install 'ainode[texture]'")


def texture_features(voxels: Voxels, mask: BoolMask, bin_width: float = BIN_WIDTH) -> dict[str, float]:
    """The 76 texture features by their names in `texture_codes`; NaN where one is not defined.

    None at all for values whose range makes more than a thousand bins, such as PET in Bq/ml.

    Args:
        voxels: float32, axes (slice, row, column), cropped to the segment.
        mask: bool, of the same shape, with at least one voxel.
        bin_width: of the grey levels, in the unit of the values.

    Raises:
        TextureUnavailable: mirp is not installed.
    """
    try:
        from mirp import extract_features
    except ModuleNotFoundError as error:
        if error.name != "mirp":
            raise
        raise TextureUnavailable from None
    levels = np.floor(voxels.astype(np.float64) / bin_width)
    levels -= levels[mask].min() - 1
    if levels[mask].max() > _MOST_LEVELS:
        return {}
    levels[~mask] = 1  # mirp asks for levels from 1 on everywhere
    with _log_kept_off_stdout():
        tables = extract_features(
            image=levels,
            mask=mask.astype(np.uint8),
            base_discretisation_method="none",
            base_feature_families=["glcm", "glrlm", "glszm", "ngtdm", "ngldm"],
            glcm_spatial_method=_MERGED,
            glrlm_spatial_method=_MERGED,
            glszm_spatial_method="3d",
            ngtdm_spatial_method="3d",
            ngldm_spatial_method="3d",
        )
    row = tables[0].iloc[0]
    return {feature.name: float(row[feature.column]) for feature in TEXTURE_FEATURES}


@contextmanager
def _log_kept_off_stdout() -> Iterator[None]:
    # mirp calls logging.basicConfig to write to stdout, unless the root logger has a handler already.
    handler = logging.NullHandler()
    logging.getLogger().addHandler(handler)
    try:
        yield
    finally:
        logging.getLogger().removeHandler(handler)
