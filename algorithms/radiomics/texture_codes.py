"""Names and IBSI codes of the texture features, and what mirp calls each of them.

All codes are in DICOM: CID 7467 (GLCM), 7475 (GLRLM), 7476 (GLSZM), 7501 (GLDM, the IBSI's NGLDM) and
7500 (NGTDM); the code meanings are DICOM's.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Final, NamedTuple

from algorithms.protocol import Code


class TextureFeature(NamedTuple):
    """A texture feature.

    Attributes:
        name: in pyradiomics, behind the name of its class where two classes have a feature of that name.
        column: of the table that mirp gives.
        code: of the IBSI.
    """

    name: str
    column: str
    code: Code


_COLUMNS: Mapping[str, tuple[str, str]] = {  # what mirp puts before and behind a feature of a class
    "glcm": ("cm", "d1_3d_v_mrg"),
    "glrlm": ("rlm", "3d_v_mrg"),
    "glszm": ("szm", "3d"),
    "gldm": ("ngl", "d1_a0.0_3d"),
    "ngtdm": ("ngt", "3d"),
}

_ROWS: Mapping[str, tuple[tuple[str, str, str, str], ...]] = {
    "glcm": (
        ("JointAverage", "joint_avg", "60VM", "Joint Average of GLCM"),
        ("JointEntropy", "joint_entr", "TU9B", "Joint Entropy of GLCM"),
        ("DifferenceAverage", "diff_avg", "TF7R", "Difference Average of GLCM"),
        ("DifferenceVariance", "diff_var", "D3YU", "Difference Variance of GLCM"),
        ("DifferenceEntropy", "diff_entr", "NTRS", "Difference Entropy of GLCM"),
        ("SumAverage", "sum_avg", "ZGXS", "Sum Average of GLCM"),
        ("SumVariance", "sum_var", "OEEB", "Sum Variance of GLCM"),
        ("SumEntropy", "sum_entr", "P6QZ", "Sum Entropy of GLCM"),
        ("JointEnergy", "energy", "8ZQL", "Angular Second Moment of GLCM"),
        ("Contrast", "contrast", "ACUI", "Contrast of GLCM"),
        ("Dissimilarity", "dissimilarity", "8S9J", "Dissimilarity of GLCM"),
        ("Id", "inv_diff", "IB1Z", "Inverse Difference of GLCM"),
        ("Idn", "inv_diff_norm", "NDRX", "Normalized Inverse Difference of GLCM"),
        ("Idm", "inv_diff_mom", "WF0Z", "Inverse Difference Moment of GLCM"),
        ("Idmn", "inv_diff_mom_norm", "1QCO", "Normalized Inverse Difference Moment of GLCM"),
        ("InverseVariance", "inv_var", "E8JP", "Inverse Variance of GLCM"),
        ("Correlation", "corr", "NI2N", "Correlation of GLCM"),
        ("Autocorrelation", "auto_corr", "QWB0", "Autocorrelation of GLCM"),
        ("ClusterTendency", "clust_tend", "DG8W", "Cluster Tendency of GLCM"),
        ("ClusterShade", "clust_shade", "7NFM", "Cluster Shade of GLCM"),
        ("ClusterProminence", "clust_prom", "AE86", "Cluster Prominence of GLCM"),
        ("Imc1", "info_corr1", "R8DG", "First Measure of Information Correlation of GLCM"),
        ("Imc2", "info_corr2", "JN9H", "Second Measure of Information Correlation of GLCM"),
        ("MaximumProbability", "joint_max", "GYBY", "Joint Maximum of GLCM"),
        ("SumSquares", "joint_var", "UR99", "Joint Variance of GLCM"),
    ),
    "glrlm": (
        ("ShortRunEmphasis", "sre", "22OV", "Short Runs Emphasis"),
        ("LongRunEmphasis", "lre", "W4KF", "Long Runs Emphasis"),
        ("LowGrayLevelRunEmphasis", "lgre", "V3SW", "Low Gray Level Run Emphasis"),
        ("HighGrayLevelRunEmphasis", "hgre", "G3QZ", "High Gray Level Run Emphasis"),
        ("ShortRunLowGrayLevelEmphasis", "srlge", "HTZT", "Short Run Low Gray Level Emphasis"),
        ("ShortRunHighGrayLevelEmphasis", "srhge", "GD3A", "Short Run High Gray Level Emphasis"),
        ("LongRunLowGrayLevelEmphasis", "lrlge", "IVPO", "Long Run Low Gray Level Emphasis"),
        ("LongRunHighGrayLevelEmphasis", "lrhge", "3KUM", "Long Run High Gray Level Emphasis"),
        ("GrayLevelNonUniformity", "glnu", "R5YN", "Gray Level Nonuniformity in Runs"),
        (
            "GrayLevelNonUniformityNormalized",
            "glnu_norm",
            "OVBL",
            "Normalized Gray Level Nonuniformity in Runs",
        ),
        ("RunLengthNonUniformity", "rlnu", "W92Y", "Run Length Nonuniformity"),
        ("RunLengthNonUniformityNormalized", "rlnu_norm", "IC23", "Normalized Run Length Nonuniformity"),
        ("RunPercentage", "r_perc", "9ZK5", "Run Percentage"),
        ("GrayLevelVariance", "gl_var", "8CE5", "Gray Level Variance in Runs"),
        ("RunVariance", "rl_var", "SXLW", "Run Length Variance"),
        ("RunEntropy", "rl_entr", "HJ9O", "Run Entropy"),
    ),
    "glszm": (
        ("SmallAreaEmphasis", "sze", "5QRC", "Small Zone Emphasis"),
        ("LargeAreaEmphasis", "lze", "48P8", "Large Zone Emphasis"),
        ("LowGrayLevelZoneEmphasis", "lgze", "XMSY", "Low Gray Level Zone Emphasis"),
        ("HighGrayLevelZoneEmphasis", "hgze", "5GN9", "High Gray Level Zone Emphasis"),
        ("SmallAreaLowGrayLevelEmphasis", "szlge", "5RAI", "Small Zone Low Gray Level Emphasis"),
        ("SmallAreaHighGrayLevelEmphasis", "szhge", "HW1V", "Small Zone High Gray Level Emphasis"),
        ("LargeAreaLowGrayLevelEmphasis", "lzlge", "YH51", "Large Zone Low Gray Level Emphasis"),
        ("LargeAreaHighGrayLevelEmphasis", "lzhge", "J17V", "Large Zone High Gray Level Emphasis"),
        ("GrayLevelNonUniformity", "glnu", "JNSA", "Gray Level Nonuniformity of Size Zone Counts"),
        (
            "GrayLevelNonUniformityNormalized",
            "glnu_norm",
            "Y1RO",
            "Normalized Gray Level Nonuniformity of Size Zone Counts",
        ),
        ("SizeZoneNonUniformity", "zsnu", "4JP3", "Zone Size Nonuniformity"),
        ("SizeZoneNonUniformityNormalized", "zsnu_norm", "VB3A", "Normalized Zone Size Nonuniformity"),
        ("ZonePercentage", "z_perc", "P30P", "Size Zone Percentage"),
        ("GrayLevelVariance", "gl_var", "BYLV", "Gray Level Variance in Size Zones"),
        ("ZoneVariance", "zs_var", "3NSA", "Zone Size Variance"),
        ("ZoneEntropy", "zs_entr", "GU8N", "Zone Size Entropy"),
    ),
    "ngtdm": (
        ("Coarseness", "coarseness", "QCDE", "Coarseness of NGTDM"),
        ("Contrast", "contrast", "65HE", "Contrast of NGTDM"),
        ("Busyness", "busyness", "NQ30", "Busyness of NGTDM"),
        ("Complexity", "complexity", "HDEZ", "Complexity of NGTDM"),
        ("Strength", "strength", "1X9X", "Strength of NGTDM"),
    ),
    "gldm": (
        ("SmallDependenceEmphasis", "lde", "SODN", "Low dependence emphasis"),
        ("LargeDependenceEmphasis", "hde", "IMOQ", "High dependence emphasis"),
        ("LowGrayLevelEmphasis", "lgce", "TL9H", "Low grey level count emphasis"),
        ("HighGrayLevelEmphasis", "hgce", "OAE7", "High grey level count emphasis"),
        ("SmallDependenceLowGrayLevelEmphasis", "ldlge", "EQ3F", "Low dependence low grey level emphasis"),
        ("SmallDependenceHighGrayLevelEmphasis", "ldhge", "JA6D", "Low dependence high grey level emphasis"),
        ("LargeDependenceLowGrayLevelEmphasis", "hdlge", "NBZI", "High dependence low grey level emphasis"),
        ("LargeDependenceHighGrayLevelEmphasis", "hdhge", "9QMG", "High dependence high grey level emphasis"),
        ("GrayLevelNonUniformity", "glnu", "FP8K", "Grey level non-uniformity of NGLDM"),
        ("GrayLevelVariance", "gl_var", "1PFV", "Grey level variance of NGLDM"),
        ("DependenceNonUniformity", "dcnu", "Z87G", "Dependence count non-uniformity"),
        (
            "DependenceNonUniformityNormalized",
            "dcnu_norm",
            "OKJI",
            "Dependence count non-uniformity normalized",
        ),
        ("DependenceVariance", "dc_var", "DNX2", "Dependence count variance"),
        ("DependenceEntropy", "dc_entr", "FCBV", "Dependence count entropy"),
    ),
}


def _features() -> tuple[TextureFeature, ...]:
    classes_with = Counter(name for rows in _ROWS.values() for name, *_ in rows)
    features = []
    for family, rows in _ROWS.items():
        before, behind = _COLUMNS[family]
        for name, column, value, meaning in rows:
            unique = name if classes_with[name] == 1 else f"{family}{name}"
            features.append(
                TextureFeature(unique, f"{before}_{column}_{behind}", Code(value, "IBSI", meaning))
            )
    return tuple(features)


TEXTURE_FEATURES: Final = _features()
