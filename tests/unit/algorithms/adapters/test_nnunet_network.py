"""The network has the published tensors, and computes what two other implementations compute."""

import json
from pathlib import Path

import pytest
import torch
from monai.networks.nets import DynUNet

from algorithms.adapters.nnunet_network import UNet

POOLING = [(1, 2, 2), (2, 2, 2), (2, 2, 2)]
KERNELS = [(1, 3, 3), (3, 3, 3), (3, 3, 3), (3, 3, 3)]


def as_monai(ours: UNet) -> DynUNet:
    """MONAI's implementation with the same weights: its convolutions have no bias, its output has one."""
    depth = len(POOLING)
    theirs = DynUNet(
        spatial_dims=3,
        in_channels=1,
        out_channels=3,
        kernel_size=KERNELS,
        strides=[(1, 1, 1), *POOLING],
        upsample_kernel_size=POOLING,
        filters=[8, 16, 32, 64],
        norm_name=("INSTANCE", {"affine": True}),
    )
    state = ours.state_dict()
    stages = {f"conv_blocks_context.{s}.blocks.{b}": ("input_block" if s == 0 else f"downsamples.{s - 1}", b)
              for s in range(depth) for b in (0, 1)}  # fmt: skip
    stages |= {f"conv_blocks_context.{depth}.{b}.blocks.0": ("bottleneck", b) for b in (0, 1)}
    stages |= {f"conv_blocks_localization.{u}.{b}.blocks.0": (f"upsamples.{u}.conv_block", b)
               for u in range(depth) for b in (0, 1)}  # fmt: skip
    mapped = {}
    for key, (block, number) in stages.items():
        mapped[f"{block}.conv{number + 1}.conv.weight"] = state[f"{key}.conv.weight"]
        for name in ("weight", "bias"):
            mapped[f"{block}.norm{number + 1}.{name}"] = state[f"{key}.instnorm.{name}"]
    for u in range(depth):
        mapped[f"upsamples.{u}.transp_conv.conv.weight"] = state[f"tu.{u}.weight"]
    mapped["output_block.conv.conv.weight"] = state[f"seg_outputs.{depth - 1}.weight"]
    mapped["output_block.conv.conv.bias"] = torch.zeros(3)
    missing = theirs.load_state_dict(mapped, strict=False)
    assert all(key.startswith("skip_layers") for key in missing.missing_keys)  # the same modules again
    assert missing.unexpected_keys == []
    return theirs.eval()


@pytest.fixture(scope="module")
def ours() -> UNet:
    torch.manual_seed(0)
    network = UNet(1, 3, 8, POOLING, KERNELS).eval()
    for parameter in network.parameters():  # norms and biases too, which start as ones and zeros
        torch.nn.init.normal_(parameter, std=0.5)
    return network


def test_the_published_tensors_are_ours_and_no_others(shared_data: Path) -> None:
    table = shared_data.parent / "reference" / "codes" / "statedict_nnunet_v1_task055_3d_fullres.json"
    published = json.loads(table.read_text())
    with torch.device("meta"):
        network = UNet(1, 5, 32, published["pool_op_kernel_sizes"], published["conv_kernel_sizes"])
    shapes = {key: list(tensor.shape) for key, tensor in network.state_dict().items()}
    assert shapes == published["keys"]
    assert len(shapes) == 98
    assert sum(p.numel() for p in network.parameters()) == published["params"] == 31_169_984


def test_logits_equal_those_of_monai_with_the_same_weights(ours: UNet) -> None:
    image = torch.randn(2, 1, 16, 32, 24)
    with torch.no_grad():
        found, expected = ours(image), as_monai(ours)(image)
    assert expected.std() > 0.1
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_a_cascade_takes_the_stage_before_as_further_channels() -> None:
    network = UNet(5, 5, 8, POOLING, KERNELS)
    assert network.state_dict()["conv_blocks_context.0.blocks.0.conv.weight"].shape == (8, 5, 1, 3, 3)
    assert network(torch.zeros(1, 5, 8, 16, 16)).shape == (1, 5, 8, 16, 16)
