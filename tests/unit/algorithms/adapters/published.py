"""Plans, checkpoints and archives in the layout of nnU-Net v1, with random weights and small shapes."""

import json
import pickle
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import numpy as np
import torch

from algorithms.adapters.nnunet_network import UNet

TRAINER = "nnUNetTrainerV2__nnUNetPlansv2.1"


def plans() -> dict[str, Any]:
    """What `plans.pkl` holds: numpy arrays and scalars among plain values, as its authors pickled them."""

    def stage(spacing: list[float], patch: list[int]) -> dict[str, Any]:
        return {
            "batch_size": 2,
            "num_pool_per_axis": [1, 2, 2],
            "patch_size": np.array(patch),
            "median_patient_size_in_voxels": np.array([178, 512, 512]),
            "current_spacing": np.array(spacing),
            "original_spacing": np.array([2.5, 0.97656202, 0.97656202]),
            "do_dummy_2D_data_aug": False,
            "pool_op_kernel_sizes": [[1, 2, 2], [2, 2, 2]],
            "conv_kernel_sizes": [[1, 3, 3], [3, 3, 3], [3, 3, 3]],
        }

    intensity = {
        "mean": np.float64(20.78),
        "sd": np.float64(180.5),
        "median": np.float32(31.0),
        "mn": -1024.0,
        "percentile_00_5": np.float64(-986.0),
        "percentile_99_5": np.float64(271.0),
    }
    return {
        "num_stages": 2,
        "num_modalities": 1,
        "modalities": {0: "CT"},
        "normalization_schemes": OrderedDict([(0, "CT")]),
        "dataset_properties": {"intensityproperties": OrderedDict([(0, intensity)])},
        "original_spacings": [np.array([2.5, 0.976, 0.976])],
        "plans_per_stage": {0: stage([6.0, 5.0, 5.0], [8, 16, 16]), 1: stage([4.0, 3.0, 3.0], [8, 24, 16])},
        "base_num_features": 4,
        "num_classes": 4,
        "all_classes": [1, 2, 3, 4],
        "use_mask_for_norm": OrderedDict([(0, False)]),
        "keep_only_largest_region": None,
        "transpose_forward": [0, 1, 2],
        "transpose_backward": [0, 1, 2],
        "conv_per_stage": 2,
        "preprocessor_name": "GenericPreprocessor",
    }


def postprocessing() -> dict[str, Any]:
    """What `postprocessing.json` holds: everything as one, then two classes each."""
    return {
        "dc_per_class_raw": {"1": 0.8},
        "for_which_classes": [[1, 2, 3, 4], 1, 3],
        "validation_raw": "cv_niftis_raw",
    }


def fold(seed: int, *, channels: int = 1) -> dict[str, torch.Tensor]:
    """The tensors of one fold of the plan above, far enough from their start to say something."""
    torch.manual_seed(seed)
    network = UNet(channels, 5, 4, [(1, 2, 2), (2, 2, 2)], [(1, 3, 3), (3, 3, 3), (3, 3, 3)])
    for name, parameter in network.named_parameters():
        if name.startswith("seg_outputs") or parameter.ndim == 1:
            torch.nn.init.normal_(parameter, std=0.8)
    return dict(network.state_dict())


def checkpoint(tensors: Mapping[str, torch.Tensor]) -> dict[str, Any]:
    """What `model_final_checkpoint.model` holds."""
    return {
        "epoch": 1000,
        "state_dict": OrderedDict(tensors),
        "optimizer_state_dict": {"state": {}, "param_groups": [{"lr": 0.01}]},
        "lr_scheduler_state_dict": None,
        "plot_stuff": ([1.0], [np.float64(0.5)], [0.4], [np.float32(0.9)]),
        "best_stuff": (np.float64(0.1), 0.2, None),
        "amp_grad_scaler": {"scale": 65536.0},
    }


def write_archive(
    file: Path,
    folds: Mapping[str, Sequence[Mapping[str, torch.Tensor]]],
    *,
    plan: Mapping[str, Any] | None = None,
    old: bool = False,
) -> Path:
    """A zip archive as published, with the folds of each configuration.

    Args:
        file: where it goes.
        folds: tensors of each fold, by configuration.
        plan: other plans than the small ones.
        old: checkpoints in the format of torch before 1.6, pickles with the names of numpy before 2.
    """
    with ZipFile(file, "w") as archive:
        for configuration, members in folds.items():
            folder = f"{configuration}/Task055_SegTHOR/{TRAINER}"
            pickled = pickle.dumps(dict(plan or plans()), protocol=2)
            archive.writestr(
                f"{folder}/plans.pkl", pickled.replace(b"numpy._core", b"numpy.core") if old else pickled
            )
            archive.writestr(f"{folder}/postprocessing.json", json.dumps(postprocessing()))
            for number, tensors in enumerate(members):
                content = BytesIO()
                torch.save(checkpoint(tensors), content, _use_new_zipfile_serialization=not old)
                name = f"{folder}/fold_{number}/model_final_checkpoint.model"
                archive.writestr(name, content.getvalue())
                archive.writestr(f"{name}.pkl", b"not needed, and never opened")
                archive.writestr(f"{folder}/fold_{number}/progress.png", b"")
    return file
