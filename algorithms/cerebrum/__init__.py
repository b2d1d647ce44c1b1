"""CEREBRUM (Bontempi et al., Med. Image Anal. 2020;62:101688): a whole T1 brain MR segmented at once."""

from pathlib import Path
from typing import Final

MUSE: Final = Path(__file__).with_name("muse.csv")
"""Which structure each label of MUSE is: number, structure. The thalamus counts as grey matter, the ventral
diencephalon as white matter, as MUSE's own groups have them."""
