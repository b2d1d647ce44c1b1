"""Synthetic studies with known truth: for the demonstration, for tests, for measuring and for training."""

from algorithms.phantoms.chest import Phantom, chest_ct
from algorithms.phantoms.head_ct import HeadPhantom, head_ct
from algorithms.phantoms.head_ct_bleeds import Bleed
from algorithms.phantoms.torso import Torso, torso

__all__ = ["Bleed", "HeadPhantom", "Phantom", "Torso", "chest_ct", "head_ct", "torso"]
