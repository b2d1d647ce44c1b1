"""Three published ways to name the tensors of one network give one network."""

import re

import pytest
import torch
from torch import nn
from torch.nn import functional

from algorithms.fahr_face.network import Architecture, FaceTransformer
from algorithms.fahr_face.published_keys import fitted, shapes
from algorithms.weights import WeightsFaulty, load_into

SMALL = Architecture(dimension=32, depth=2, hidden=48, patch=16, grid=7, outputs=1, heads=4)

V4 = (
    ("blocks", "vit.encoder.layer"),
    ("query", "attention.attention.query"),
    ("key", "attention.attention.key"),
    ("value", "attention.attention.value"),
    ("projection", "attention.output.dense"),
    ("hidden", "intermediate.dense"),
    ("output", "output.dense"),
)
V5 = (
    ("blocks", "vit.layers"),
    ("query", "attention.q_proj"),
    ("key", "attention.k_proj"),
    ("value", "attention.v_proj"),
    ("projection", "attention.o_proj"),
    ("hidden", "mlp.fc1"),
    ("output", "mlp.fc2"),
)
HUGGING_BESIDE = {
    "class_token": "vit.embeddings.cls_token",
    "position": "vit.embeddings.position_embeddings",
    "patch": "vit.embeddings.patch_embeddings.projection",
    "norm": "vit.layernorm",
    "head": "regressor",
}
TIMM_BESIDE = {"class_token": "cls_token", "position": "pos_embed", "patch": "patch_embed.proj"}
TIMM = (("qkv", "attn.qkv"), ("projection", "attn.proj"), ("hidden", "mlp.fc1"), ("output", "mlp.fc2"))


def network(architecture: Architecture = SMALL) -> FaceTransformer:
    torch.manual_seed(3)
    built = FaceTransformer(architecture).eval()
    for tensor in built.state_dict().values():
        tensor.add_(0.1 * torch.randn(tensor.shape))
    return built


def hugging(tensors: dict[str, torch.Tensor], layer: tuple[tuple[str, str], ...]) -> dict[str, torch.Tensor]:
    """The tensors as transformers names them."""
    names, renamed = dict(layer), {}
    for key, tensor in tensors.items():
        if not (found := re.fullmatch(r"blocks\.(\d+)\.(\w+)\.(\w+)", key)):
            stem, _, kind = key.partition(".")
            renamed[".".join(filter(None, (HUGGING_BESIDE[stem], kind)))] = tensor
            continue
        at, part, kind = found.groups()
        if part == "qkv":
            for name, third in zip(("query", "key", "value"), tensor.chunk(3), strict=True):
                renamed[f"{names['blocks']}.{at}.{names[name]}.{kind}"] = third
        else:
            part = {"norm1": "layernorm_before", "norm2": "layernorm_after"}.get(part, names.get(part, part))
            renamed[f"{names['blocks']}.{at}.{part}.{kind}"] = tensor
    return renamed


def timm(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The tensors as MAE and timm name them."""
    renamed = {}
    for key, tensor in tensors.items():
        new = key
        for ours, theirs in (*TIMM_BESIDE.items(), *TIMM):
            new = re.sub(rf"(^|\.){ours}(?=\.|$)", rf"\1{theirs}", new)
        renamed[new] = tensor
    return renamed


def layouts() -> dict[str, dict[str, torch.Tensor]]:
    tensors = network().state_dict()
    return {"v4": hugging(tensors, V4), "v5": hugging(tensors, V5), "timm": timm(tensors)}


@pytest.mark.parametrize("prefix", ["", "module.", "model.", "module.model."])
@pytest.mark.parametrize("layout", ["v4", "v5", "timm"])
def test_each_layout_behind_each_prefix_gives_the_same_answers(layout: str, prefix: str) -> None:
    pictures = torch.randn(2, 3, 112, 112)
    tensors = {prefix + key: tensor for key, tensor in layouts()[layout].items()}
    ours, config = fitted(tensors, {"heads": 4})
    read = FaceTransformer(Architecture.of({**config, "epsilon": 1e-6})).eval()
    load_into(read, ours, layout)
    torch.testing.assert_close(read(pictures), network()(pictures))
    assert {key: tuple(tensor.shape) for key, tensor in ours.items()} == shapes(config)


@pytest.mark.parametrize(("layout", "epsilon"), [("v4", 1e-12), ("v5", 1e-12), ("timm", 1e-6)])
def test_each_layout_has_the_epsilon_of_its_library(layout: str, epsilon: float) -> None:
    assert fitted(layouts()[layout], {"heads": 4})[1]["epsilon"] == epsilon


def test_what_stands_beside_the_network_is_left_out() -> None:
    beside = {
        "mask_token": torch.zeros(1, 1, 32),
        "decoder_pos_embed": torch.zeros(1, 50, 16),
        "decoder_blocks.0.attn.qkv.weight": torch.zeros(48, 16),
        "decoder.decoder_layers.0.layernorm_before.weight": torch.zeros(16),
    }
    assert fitted(layouts()["timm"] | beside, {"heads": 4})[0].keys() == network().state_dict().keys()


def test_the_network_is_that_of_torch_itself() -> None:
    """One block of torch's own layers with the same numbers is the reference."""
    ours = network()
    tokens = torch.randn(2, 50, 32)
    for block in ours.blocks:
        layer = nn.TransformerEncoderLayer(
            32,
            4,
            48,
            dropout=0,
            activation=functional.gelu,
            layer_norm_eps=1e-6,
            batch_first=True,
            norm_first=True,
        ).train()
        own = block.state_dict()
        layer.load_state_dict(
            {
                "self_attn.in_proj_weight": own["qkv.weight"],
                "self_attn.in_proj_bias": own["qkv.bias"],
                **{f"self_attn.out_proj.{k}": own[f"projection.{k}"] for k in ("weight", "bias")},
                **{f"linear1.{k}": own[f"hidden.{k}"] for k in ("weight", "bias")},
                **{f"linear2.{k}": own[f"output.{k}"] for k in ("weight", "bias")},
                **{f"norm{n}.{k}": own[f"norm{n}.{k}"] for n in (1, 2) for k in ("weight", "bias")},
            }
        )
        torch.testing.assert_close(block(tokens), layer(tokens))


@pytest.mark.parametrize(("patch", "grid"), [(16, 7), (8, 14)])
@pytest.mark.parametrize("outputs", [1, 101])
def test_the_size_is_in_the_shapes(patch: int, grid: int, outputs: int) -> None:
    whole = Architecture(dimension=128, depth=1, hidden=64, patch=patch, grid=grid, outputs=outputs, heads=2)
    _, config = fitted(timm(network(whole).state_dict()), {})
    assert Architecture.of(config) == whole


def test_the_age_of_101_outputs_is_their_expectation() -> None:
    built = network(Architecture(32, 1, 48, 16, 7, 101, 4))
    with torch.no_grad():
        built.head.weight.zero_()
        built.head.bias.fill_(-1e4)
        built.head.bias[[30, 40]] = 0.0
    assert built(torch.randn(1, 3, 112, 112)).item() == pytest.approx(35)


def test_global_pooling_is_known_by_its_norm() -> None:
    tensors = {
        key.replace("norm.", "fc_norm.") if key.startswith("norm.") else key: tensor
        for key, tensor in timm(network().state_dict()).items()
    }
    _, config = fitted(tensors, {"heads": 4})
    assert config["pooling"] == "mean"


def test_a_missing_third_is_named() -> None:
    tensors = layouts()["v5"]
    del tensors["vit.layers.1.attention.k_proj.bias"]
    with pytest.raises(WeightsFaulty, match=r"blocks\.1\.key\.bias is missing"):
        fitted(tensors, {"heads": 4})


def test_a_wrong_shape_is_named() -> None:
    tensors = layouts()["v4"]
    tensors["vit.encoder.layer.1.output.dense.weight"] = torch.zeros(32, 7)
    ours, config = fitted(tensors, {"heads": 4})
    with pytest.raises(WeightsFaulty, match=r"blocks\.1\.output\.weight has the shape \(32, 7\)"):
        load_into(FaceTransformer(Architecture.of(config)), ours, "given")


def test_an_unknown_tensor_is_named() -> None:
    ours, config = fitted(layouts()["v4"] | {"vit.adapter.gate": torch.zeros(2)}, {"heads": 4})
    with pytest.raises(WeightsFaulty, match=r"adapter\.gate belongs to another network"):
        load_into(FaceTransformer(Architecture.of(config)), ours, "given")


def test_two_heads_are_named() -> None:
    with pytest.raises(WeightsFaulty, match="there is head, risk_head"):
        fitted(layouts()["timm"] | {"risk_head.weight": torch.zeros(1, 32)}, {"heads": 4})


def test_patches_that_form_no_square_are_named() -> None:
    tensors = layouts()["timm"] | {"pos_embed": torch.zeros(1, 49, 32)}
    with pytest.raises(WeightsFaulty, match="form no square"):
        fitted(tensors, {"heads": 4})


@pytest.mark.parametrize(
    ("config", "named"),
    [
        ({"heads": 3}, "3 heads"),
        ({"depth": 0}, "depth"),
        ({"pooling": "max"}, "pooling"),
        ({"outputs": 7}, "outputs"),
    ],
)
def test_a_configuration_that_describes_no_network_is_named(config: dict[str, object], named: str) -> None:
    with pytest.raises(WeightsFaulty, match=named):
        fitted(layouts()["timm"], {"heads": 4} | config)
