"""Synthetic studies with known truth: for the demonstration, for tests, for measuring and for training."""

from algorithms.phantoms.chest import Phantom, chest_ct
from algorithms.phantoms.torso import Torso, torso

__all__ = ["Phantom", "Torso", "chest_ct", "torso"]
