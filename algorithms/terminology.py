"""Coded concepts and display colours used by the algorithms, each in one place.

Sources: DICOM PS3.16 2024 context groups, named beside each block.
"""

from collections.abc import Mapping
from types import MappingProxyType

from algorithms.protocol import Code

Colour = tuple[int, int, int]

# Segmentation property category, CID 7150
ANATOMICAL_STRUCTURE = Code("91723000", "SCT", "Anatomical Structure")

# Segmentation property type, CID 7151
ENTIRE_BODY = Code("38266002", "SCT", "Entire body")
LUNG = Code("39607008", "SCT", "Lung")
TRACHEA_AND_BRONCHUS = Code("110726009", "SCT", "Trachea and bronchus")
TRACHEA = Code("44567001", "SCT", "Trachea")
HEART = Code("80891009", "SCT", "Heart")
AORTA = Code("15825003", "SCT", "Aorta")
ESOPHAGUS = Code("32849002", "SCT", "Esophagus")
SPINAL_CORD = Code("2748008", "SCT", "Spinal cord")

# Laterality, CID 244
LEFT = Code("7771000", "SCT", "Left")
RIGHT = Code("24028007", "SCT", "Right")

# Quantity; the derivations are CID 7464
VOLUME = Code("118565006", "SCT", "Volume")
ATTENUATION_COEFFICIENT = Code("112031", "DCM", "Attenuation Coefficient")
DERIVATIONS: Mapping[str, Code] = MappingProxyType(
    {
        "Mean": Code("373098007", "SCT", "Mean"),
        "Median": Code("373099004", "SCT", "Median"),
        "Minimum": Code("255605001", "SCT", "Minimum"),
        "Maximum": Code("56851009", "SCT", "Maximum"),
        "StandardDeviation": Code("386136009", "SCT", "Standard Deviation"),
    }
)

# What neither DICOM nor a registry has a code for; listed in the conformance statement
SIMILARITY = Code("SIMILARITY", "99AINODE", "Cosine similarity of embeddings")
DICE_STABILITY = Code("DICE-STABILITY", "99AINODE", "Dice coefficient under small changes of the image")
COSINE_STABILITY = Code("COSINE-STABILITY", "99AINODE", "Cosine similarity under small changes of the image")
SCORE_STABILITY = Code("SCORE-STABILITY", "99AINODE", "Change of score under small changes of the image")
LANDMARK_STABILITY = Code(
    "LANDMARK-STABILITY", "99AINODE", "Shift of landmarks under small changes of the image"
)
INTRACRANIAL_SHARE = Code("INTRACRANIAL-SHARE", "99AINODE", "Share of the intracranial volume")
INTRACRANIAL_VOLUME = Code("INTRACRANIAL-VOLUME", "99AINODE", "Intracranial volume")
ASYMMETRY = Code("ASYMMETRY", "99AINODE", "Left minus right volume, as a share of their mean")
MIRROR_AGREEMENT = Code("MIRROR-AGREEMENT", "99AINODE", "Least Dice coefficient with the mirrored image")

# Units, UCUM
HOUNSFIELD_UNIT = Code("[hnsf'U]", "UCUM", "Hounsfield unit")
MILLIMETER = Code("mm", "UCUM", "mm")
SQUARE_MILLIMETER = Code("mm2", "UCUM", "square millimeter")
CUBIC_MILLIMETER = Code("mm3", "UCUM", "cubic millimeter")
PER_MILLIMETER = Code("/mm", "UCUM", "/mm")
CUBIC_CENTIMETER = Code("cm3", "UCUM", "cubic centimeter")
PERCENT = Code("%", "UCUM", "percent")
NO_UNITS = Code("1", "UCUM", "no units")

# Shape, IBSI codes of CID 218 and 7477, with the unit each is given in
SHAPE_FEATURES: Mapping[str, tuple[Code, Code]] = MappingProxyType(
    {
        "VoxelVolume": (Code("YEKZ", "IBSI", "Volume from Voxel Summation"), CUBIC_MILLIMETER),
        "MeshVolume": (Code("RNU0", "IBSI", "Volume of Mesh"), CUBIC_MILLIMETER),
        "SurfaceArea": (Code("C0JK", "IBSI", "Surface Area of Mesh"), SQUARE_MILLIMETER),
        "SurfaceVolumeRatio": (Code("2PR5", "IBSI", "Surface to Volume Ratio"), PER_MILLIMETER),
        "Sphericity": (Code("QCFX", "IBSI", "Sphericity"), NO_UNITS),
        "SphericalDisproportion": (Code("KRCK", "IBSI", "Spherical Disproportion"), NO_UNITS),
        "Compactness1": (Code("SKGS", "IBSI", "Compactness 1"), NO_UNITS),
        "Compactness2": (Code("BQWJ", "IBSI", "Compactness 2"), NO_UNITS),
        "Maximum3DDiameter": (Code("L0JK", "IBSI", "Maximum 3D Diameter of a Mesh"), MILLIMETER),
        "MajorAxisLength": (Code("TDIC", "IBSI", "Major Axis in 3D Length"), MILLIMETER),
        "MinorAxisLength": (Code("P9VJ", "IBSI", "Minor Axis in 3D Length"), MILLIMETER),
        "LeastAxisLength": (Code("7J51", "IBSI", "Least Axis in 3D Length"), MILLIMETER),
        "Elongation": (Code("Q3CK", "IBSI", "Elongation"), NO_UNITS),
        "Flatness": (Code("N17B", "IBSI", "Flatness"), NO_UNITS),
    }
)

# Recommended display colours: organs as in the TotalSegmentator table, both lungs apart from each other
BODY_COLOUR: Colour = (177, 122, 101)
LEFT_LUNG_COLOUR: Colour = (71, 232, 244)
RIGHT_LUNG_COLOUR: Colour = (244, 178, 71)
AIRWAY_COLOUR: Colour = (226, 62, 62)
HEART_COLOUR: Colour = (206, 110, 84)
AORTA_COLOUR: Colour = (224, 97, 76)
ESOPHAGUS_COLOUR: Colour = (211, 171, 143)
SPINAL_CORD_COLOUR: Colour = (244, 214, 49)

# Photographs of faces; a code that neither DICOM nor a registry has is private
FACE_AGE = Code("FACE-AGE", "99AINODE", "Biological age estimated from a photograph of the face")
FACE_AGE_DIFFERENCE = Code("FACE-AGE-DIFF", "99AINODE", "Age estimated from the face minus age at that time")
FACE_RISK = Code("FACE-RISK", "99AINODE", "Survival risk score from a face photograph, no probability")
FACE_RISK_QUARTILE = Code("FACE-QUARTILE", "99AINODE", "Quartile of a risk score in a reference distribution")
SUBJECT_AGE = Code("121033", "DCM", "Subject Age")
PERCENTILE_RANKING = Code("121415", "DCM", "Percentile Ranking of measurement")
YEAR = Code("a", "UCUM", "year")
