"""Keras files in the published layout, made here, give the network that numpy computes from them."""

from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from algorithms.cerebrum.keras import tensors
from algorithms.cerebrum.network import Architecture, CerebrumNetwork
from algorithms.weights import WeightsFaulty, load_into

FILTERS, CLASSES = 2, 3
TRANSPOSED = ("up_3to2_conv", "up_2to1_conv")
SIDES = {"down_1to2_conv": 4, "down_2to3_conv": 2, "up_3to2_conv": 2, "up_2to1_conv": 4, "main_output": 1}
IN_OUT = {
    "enc_lvl1_block1_conv": (1, FILTERS),
    "down_1to2_conv": (FILTERS, 2 * FILTERS),
    "enc_lvl2_block1_conv": (2 * FILTERS, 2 * FILTERS),
    "enc_lvl2_block2_conv": (2 * FILTERS, 2 * FILTERS),
    "down_2to3_conv": (2 * FILTERS, 4 * FILTERS),
    "enc_lvl3_block1_conv": (4 * FILTERS, 4 * FILTERS),
    "enc_lvl3_block2_conv": (4 * FILTERS, 4 * FILTERS),
    "enc_lvl3_block3_conv": (4 * FILTERS, 4 * FILTERS),
    "up_3to2_conv": (4 * FILTERS, 2 * FILTERS),
    "dec_lvl2_block1_conv": (2 * FILTERS, 2 * FILTERS),
    "dec_lvl2_block2_conv": (2 * FILTERS, 2 * FILTERS),
    "up_2to1_conv": (2 * FILTERS, FILTERS),
    "dec_lvl1_block1_conv": (FILTERS, FILTERS),
    "main_output": (FILTERS, CLASSES),
}


def arrays(seed: int = 0):
    """Kernels and biases with the axes of Keras."""
    rng = np.random.default_rng(seed)
    made = {}
    for layer, (inputs, outputs) in IN_OUT.items():
        side = SIDES.get(layer, 3)
        last = (outputs, inputs) if layer in TRANSPOSED else (inputs, outputs)
        made[layer] = (rng.normal(0, 0.3, (side, side, side, *last)), rng.normal(0, 0.1, outputs))
    return {layer: tuple(a.astype(np.float32) for a in pair) for layer, pair in made.items()}


def keras_file(path: Path, made, *, whole_model: bool = True) -> Path:
    with h5py.File(path, "w") as file:
        group = file.create_group("model_weights") if whole_model else file
        for layer, (kernel, bias) in made.items():
            group.create_dataset(f"{layer}/{layer}/kernel:0", data=kernel)
            group.create_dataset(f"{layer}/{layer}/bias:0", data=bias)
        if whole_model:
            file.create_dataset("optimizer_weights/Adam/iterations:0", data=7)
    return path


def same(image, kernel, bias, stride=1):
    """A convolution of Keras with padding "same" or exact strides, channels last, term by term."""
    side = kernel.shape[0]
    if stride == 1:
        image = np.pad(image, [(side // 2, side // 2)] * 3 + [(0, 0)])
    sides = [(n - side) // stride + 1 for n in image.shape[:3]]
    out = np.zeros((*sides, kernel.shape[4])) + bias
    for a, b, c in np.ndindex(side, side, side):
        ends = [slice(o, o + stride * n, stride) for o, n in zip((a, b, c), sides, strict=True)]
        out += image[tuple(ends)] @ kernel[a, b, c]
    return out


def up(image, kernel, bias):
    """A transposed convolution whose stride is its size: every voxel becomes a block."""
    side = kernel.shape[0]
    out = np.zeros((*(side * n for n in image.shape[:3]), kernel.shape[3]))
    for a, b, c in np.ndindex(side, side, side):
        out[a::side, b::side, c::side] = image @ kernel[a, b, c].T
    return out + bias


def forward(made, image):
    """CEREBRUM in numpy, as its authors' model definition has it; logits, channels last."""

    def step(layer, x, stride=1):
        return np.maximum(same(x, *made[layer], stride), 0)

    first = step("enc_lvl1_block1_conv", image)
    second = step("down_1to2_conv", first, 4)
    second = step("enc_lvl2_block2_conv", step("enc_lvl2_block1_conv", second))
    third = step("down_2to3_conv", second, 2)
    for number in (1, 2, 3):
        third = step(f"enc_lvl3_block{number}_conv", third)
    second = second + up(third, *made["up_3to2_conv"])
    second = step("dec_lvl2_block2_conv", step("dec_lvl2_block1_conv", second))
    first = first + up(second, *made["up_2to1_conv"])
    return same(step("dec_lvl1_block1_conv", first), *made["main_output"])


@pytest.mark.parametrize("whole_model", [True, False])
def test_a_converted_file_gives_what_numpy_computes_from_it(tmp_path: Path, whole_model: bool) -> None:
    made = arrays()
    file = keras_file(tmp_path / "model_trained.h5", made, whole_model=whole_model)
    network = CerebrumNetwork(Architecture(FILTERS, CLASSES)).eval()
    load_into(network, tensors(file), "cerebrum-7t")
    image = np.random.default_rng(1).normal(0, 1, (8, 16, 8))
    with torch.inference_mode():
        found = network(torch.from_numpy(image.astype(np.float32))[None, None])[0]
    wanted = np.moveaxis(forward(made, image[..., None]), -1, 0)
    assert np.abs(found.numpy() - wanted).max() < 1e-4 * np.abs(wanted).max()


def test_what_is_no_keras_file_is_named(tmp_path: Path) -> None:
    file = tmp_path / "model.h5"
    file.write_bytes(b"not HDF5")
    with pytest.raises(WeightsFaulty, match=r"model\.h5 is no HDF5"):
        tensors(file)


def test_an_array_of_another_kind_of_layer_is_named(tmp_path: Path) -> None:
    file = tmp_path / "model.h5"
    with h5py.File(file, "w") as opened:
        opened.create_dataset("model_weights/bn/bn/gamma:0", data=np.ones(3, np.float32))
    with pytest.raises(WeightsFaulty, match="bn/bn/gamma"):
        tensors(file)
