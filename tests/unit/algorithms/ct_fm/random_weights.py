"""Segmentation networks with random weights whose every class wins somewhere."""

from pathlib import Path
from typing import Any

import torch
from monai.networks.nets.segresnet_ds import SegResNetDS

from algorithms.ct_fm.network import Architecture
from algorithms.weights import Checkpoint, save

SMALL = {"init_filters": 8, "blocks_down": [1, 1, 1], "dsdepth": 2}


def segmenter(config: dict[str, Any], seed: int = 1) -> SegResNetDS:
    """Seeded; batch norm knows the statistics of one pass, so that scores neither vanish nor explode."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = Architecture.of(config).segmenter().train()
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm3d):
                module.momentum = None
        with torch.no_grad():
            network(torch.rand(1, 1, 32, 32, 32))
    return network.eval()


def stored(folder: Path, name: str, config: dict[str, Any], seed: int = 1) -> Checkpoint:
    """Such a network among the weights of a store."""
    return save(folder, name, segmenter(config, seed).state_dict(), config, {"licence": "none"})
