"""The networks of CT-FM have the published keys, and are found in files whatever their prefix."""

import json
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from algorithms.ct_fm.network import PREFIXES, Architecture, canonical, embed, scaled
from algorithms.weights import shapes_of

SMALL = Architecture(init_filters=4, blocks_down=(1, 2, 1), out_channels=3, dsdepth=2)

ARCHITECTURES = st.builds(
    Architecture,
    init_filters=st.integers(1, 6),
    blocks_down=st.lists(st.integers(1, 3), min_size=3, max_size=4).map(tuple),
    out_channels=st.integers(2, 5),
    dsdepth=st.integers(1, 2),
)


@pytest.mark.parametrize(
    ("table", "architecture"),
    [
        ("segresencoder", Architecture()),
        ("segresnetds_118", Architecture(out_channels=118, dsdepth=4)),
    ],
)
def test_keys_and_shapes_are_the_published_ones(
    shared_data: Path, table: str, architecture: Architecture
) -> None:
    file = shared_data.parent / "reference" / "codes" / f"statedict_ctfm_{table}.json"
    published = {key: tuple(shape) for key, shape in json.loads(file.read_text())["keys"].items()}
    build = architecture.segmenter if architecture.out_channels else architecture.encoder
    assert shapes_of(build) == published
    assert Architecture.of_tensors(published) == architecture


@given(ARCHITECTURES, st.sampled_from(PREFIXES))
def test_the_shapes_of_a_segmenter_tell_its_architecture(architecture: Architecture, prefix: str) -> None:
    shapes = {prefix + key: shape for key, shape in shapes_of(architecture.segmenter).items()}
    assert Architecture.of_tensors(shapes) == architecture


def test_shapes_that_tell_nothing_leave_what_is_published() -> None:
    assert Architecture.of_tensors({"weight": (3, 2), "conv_init.weight": ()}) == Architecture()


@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize("part", ["encoder", "segmenter"])
def test_every_prefix_is_stripped_and_what_stands_beside_is_left_out(prefix: str, part: str) -> None:
    wanted = shapes_of(getattr(SMALL, part)).keys()
    beside = ["projection.0.weight"] if prefix else []
    found = canonical([*(prefix + key for key in wanted), *beside], wanted)
    assert found == {prefix + key: key for key in wanted}


@pytest.mark.parametrize("prefix", PREFIXES)
def test_the_encoder_is_found_in_a_whole_segmenter(prefix: str) -> None:
    whole, wanted = shapes_of(SMALL.segmenter), shapes_of(SMALL.encoder).keys()
    found = canonical([prefix + key for key in whole], wanted)
    assert found == {f"{prefix}encoder.{key}": key for key in wanted}


@pytest.mark.parametrize("prefix", PREFIXES)
def test_one_renamed_key_hides_nothing(prefix: str) -> None:
    wanted = list(shapes_of(SMALL.encoder))
    for gone in wanted:
        given_keys = [prefix + (f"{key}_" if key == gone else key) for key in wanted]
        assert set(canonical(given_keys, wanted).values()) == {*wanted, f"{gone}_"} - {gone}


def test_foreign_keys_stay_as_they_are() -> None:
    assert canonical(["a.weight"], ["conv_init.weight"]) == {"a.weight": "a.weight"}


def test_an_embedding_is_the_mean_of_the_coarsest_level() -> None:
    encoder = SMALL.encoder().eval()
    patches = torch.rand(2, 1, 8, 16, 16, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        embeddings = embed(encoder, patches)
        coarsest = encoder(patches)[-1]
    assert embeddings.shape == (2, SMALL.features)
    assert torch.equal(embeddings, coarsest.mean(dim=(2, 3, 4)))


def test_hounsfield_units_are_scaled_and_clipped() -> None:
    hu = torch.tensor([-3000.0, -1024.0, 512.0, 2048.0, 9000.0])
    assert scaled(hu).tolist() == [0.0, 0.0, 0.5, 1.0, 1.0]
