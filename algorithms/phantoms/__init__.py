"""Synthetic studies with known truth: for the demonstration, for tests, for measuring and for training."""

from algorithms.phantoms.brain_t1 import brain_t1
from algorithms.phantoms.chest import Phantom, chest_ct
from algorithms.phantoms.face import FacePhantom, face_phantom
from algorithms.phantoms.head_ct import HeadPhantom, head_ct
from algorithms.phantoms.head_ct_bleeds import Bleed
from algorithms.phantoms.torso import Torso, torso

__all__ = [
    "Bleed",
    "FacePhantom",
    "HeadPhantom",
    "Phantom",
    "Torso",
    "brain_t1",
    "chest_ct",
    "face_phantom",
    "head_ct",
    "torso",
]
