"""The place of a CT among others, by the bundled encoder."""

import numpy as np
import pytest

from algorithms.ct_fm.retrieval import Retrieval
from algorithms.perturbations import cropped, noisy, other_kernel, shifted
from algorithms.phantoms import torso
from algorithms.protocol import Unsuitable, Volume, silent
from algorithms.weights import BUNDLED, Store

STORE = Store((BUNDLED,))


def body(seed, bottom_mm=-60.0, top_mm=260.0):
    phantom = torso(seed, spacing_mm=5.0, bottom_mm=bottom_mm, top_mm=top_mm)
    uids = tuple(map(str, range(len(phantom.hu))))
    return Volume(np.asarray(phantom.hu), phantom.affine_mm, "HU", "CT", uids)


@pytest.fixture(scope="module")
def retrieval():
    return Retrieval.from_options({}, "cpu", STORE)


@pytest.fixture(scope="module")
def gallery(retrieval):
    bodies = [*(body(3000 + seed) for seed in range(4)), body(3004, -300.0, 40.0)]
    return bodies, np.stack([retrieval.run(each, silent).embedding.vector for each in bodies])


def test_an_embedding_has_unit_length_and_names_its_space(retrieval, gallery):
    embedding = retrieval.run(gallery[0][0], silent).embedding
    assert np.linalg.norm(embedding.vector) == pytest.approx(1.0, abs=1e-6)
    assert embedding.vector.dtype == np.float32
    weights = STORE.get("ct-fm-encoder-bundled").weights
    assert embedding.space == f"ct-fm-encoder-bundled/{weights.sha256[:16]}/minimum"


def test_the_pooling_makes_another_space(gallery):
    mean = Retrieval.from_options({"pooling": "mean"}, "cpu", STORE).run(gallery[0][0], silent).embedding
    assert mean.space.endswith("/mean")
    assert not np.allclose(mean.vector, gallery[1][0], atol=1e-3)


@pytest.mark.parametrize(
    "change",
    [
        lambda v: noisy(v, 25.0, 1),
        lambda v: shifted(v, (0.4, -1.0, 2.0)),
        lambda v: cropped(v, 3, 3),
        lambda v: other_kernel(v, -2.0),
    ],
    ids=["noise", "shift", "crop", "kernel"],
)
def test_a_changed_copy_is_nearest_to_what_it_was_made_from(retrieval, gallery, change):
    bodies, points = gallery
    for place, each in enumerate(bodies):
        query = retrieval.run(change(each), silent).embedding.vector
        assert int(np.argmax(points @ query)) == place


def test_the_order_of_the_slices_does_not_matter(retrieval, gallery):
    volume = gallery[0][0]
    affine = volume.affine_mm.copy()
    affine[:3, 3] += (len(volume.voxels) - 1) * affine[:3, 0]
    affine[:3, 0] *= -1
    turned = Volume(volume.voxels[::-1], affine, "HU", "CT", volume.sop_instance_uids[::-1])
    assert retrieval.run(turned, silent).embedding.vector == pytest.approx(gallery[1][0], abs=1e-5)


def test_values_without_a_scale_are_refused(retrieval):
    volume = Volume(
        np.zeros((20, 20, 20), np.float32), np.diag([8.0, 8, 8, 1]), "arbitrary", "CT", ("1",) * 20
    )
    with pytest.raises(Unsuitable, match="Hounsfield"):
        retrieval.run(volume, silent)


def test_an_option_that_there_is_not_is_named():
    with pytest.raises(ValueError, match="pooling is 'median'"):
        Retrieval.from_options({"pooling": "median"}, "cpu", STORE)
