"""What `produce` does beside the algorithm: stability, similar series, radiomics where voxels are boxes."""

from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread

from algorithms.catalogue import CatalogueEntry
from algorithms.protocol import Embedding, Findings, Segment, Similar, Unsuitable, silent
from algorithms.terminology import ANATOMICAL_STRUCTURE, LUNG
from algorithms.weights import BUNDLED, Store, WeightsMissing
from node.errors import IrregularGeometry, NotCovered, ResourceInadequate, UnsuitableImage
from node.inbound import volumes
from node.jobs.production import Means, Stopwatch, nobody, produce, provenance_of
from tests.synthetic_study import write

EMPTY = Store(())
HIT = Similar("1.2.9", "1.2.9.1", "1.2.840.10008.5.1.4.1.1.2", "1.2.9.1.4", 0.93)


class Dark:
    """Everything below a value is one segment."""

    name = "dark"
    version = "1"

    def run(self, image, progress):
        if image.voxels.min() > -500:
            raise Unsuitable("it is bright everywhere")
        mask = image.voxels < -500
        segment = Segment.from_mask(
            mask, label="Dark", category=ANATOMICAL_STRUCTURE, type=LUNG, rgb=(9, 9, 9)
        )
        return Findings((segment,))


class Placed:
    """Nothing but a place among others."""

    name = "placed"
    version = "1"

    def run(self, image, progress):
        return Findings(embedding=Embedding(np.full(4, 0.5, dtype=np.float32), "corner"))


def entry(load, *, any_stack=False):
    return CatalogueEntry(
        name="dark",
        version="1",
        summary="",
        modalities=frozenset({"CT"}),
        input="",
        outputs=(),
        load=lambda _options, _device, _store: load(),
        needs=lambda _options: (),
        any_stack=any_stack,
    )


@pytest.fixture
def even(tmp_path: Path) -> list[Path]:
    """The files of a small CT with a dark block."""
    voxels = np.full((9, 16, 16), 40, dtype=np.float32)
    voxels[1:8, 4:12, 4:12] = -900
    return write(tmp_path, voxels, (5.0, 1.0, 1.0), seed=1)


@pytest.fixture
def uneven(even) -> list[Path]:
    """The same with a tilted gantry, and a longer step from the sixth slice on."""
    for path in even:
        dataset = dcmread(path)
        x, y, z = (float(p) for p in dataset.ImagePositionPatient)
        place = z + max(0.0, z - 25) * 0.4
        dataset.ImagePositionPatient = [x, y + 0.3 * place, place]
        dataset.SliceThickness = 7
        dataset.save_as(path)
    return even


def made(entry, paths, options=None, nearest=nobody, store=EMPTY):
    uids = [str(dcmread(path, stop_before_pixels=True).SOPInstanceUID) for path in paths]
    provenance = provenance_of(entry, options or {}, uids, store)
    return produce(entry, paths, provenance, Means(store, "cpu", nearest), progress=silent, watch=Stopwatch())


def names(produced):
    return {measurement.name for measurement in produced.findings.measurements}


def test_segments_of_an_even_stack_get_radiomics(even):
    assert "MeshVolume" in names(made(entry(Dark), even))


def test_segments_of_an_uneven_stack_get_none_and_their_masks_lie_on_its_slices(uneven):
    produced = made(entry(Dark, any_stack=True), uneven, {"radiomics": "all", "rtstruct": "true"})
    assert names(produced) == set()
    assert produced.image.slice_places is not None
    assert produced.image.volume_ml(produced.findings.segments[0]) > 0
    assert {item.role for item in produced.objects} == {"seg", "rtstruct"}


def test_an_uneven_stack_is_refused_for_an_algorithm_that_does_not_say_it_takes_one(uneven):
    with pytest.raises(IrregularGeometry, match="tilted"):
        made(entry(Dark), uneven)


def test_a_real_tilted_head_is_seen_to_cover_the_head_and_nothing_else(shared_data):
    paths = sorted((shared_data / "ct-head" / "ge-hispeed-tilted").glob("*"))
    paths = [path for path in paths if volumes.is_dicom(path)]
    bundled = Store((BUNDLED,))
    produced = made(entry(Dark, any_stack=True), paths, {"covers": "head"}, store=bundled)
    assert len(produced.image.voxels) == 28
    with pytest.raises(NotCovered, match="does not cover chest"):
        made(entry(Dark, any_stack=True), paths, {"covers": "chest"}, store=bundled)


def test_stability_is_measured_where_it_is_ordered_and_only_there(even):
    assert "DiceStability" not in names(made(entry(Dark), even))
    produced = made(entry(Dark), even, {"stability": "true", "radiomics": "none"})
    (figure,) = produced.findings.measurements
    assert (figure.segment, figure.name) == ("Dark", "DiceStability")
    assert 0.9 < figure.value <= 1
    assert "stability" in produced.document["seconds"]


def test_an_image_that_is_unsuitable_is_said_in_the_words_of_the_algorithm(even):
    with pytest.raises(UnsuitableImage, match="bright everywhere"):
        made(entry(Dark), even[:1])


def test_weights_that_are_missing_come_with_the_command_that_gets_them(even):
    def load():
        raise WeightsMissing("ct-fm-wholebody")

    with pytest.raises(ResourceInadequate, match="ainode weights pull ct-fm-wholebody"):
        made(entry(load), even)


def test_the_neighbours_of_an_embedding_are_asked_for_without_its_own_study(even):
    asked = []

    def nearest(embedding, study):
        asked.append((embedding.space, study))
        return (HIT,)

    produced = made(entry(Placed), even, nearest=nearest)
    assert produced.findings.similar == (HIT,)
    assert asked == [("corner", str(dcmread(even[0]).StudyInstanceUID))]
