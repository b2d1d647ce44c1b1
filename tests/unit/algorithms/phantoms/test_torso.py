"""Synthetic bodies: each organ whole, in its place, of human size, and the same every time."""

import numpy as np
import pytest
from scipy import ndimage

from algorithms.phantoms import torso
from algorithms.phantoms.labels import LUNGS, NAMES, Label

SEEDS = (0, 1, 2, 5, 8)
COARSE_MM = 4.0
CORD = (Label.SPINAL_CORD, Label.CAUDA_EQUINA)


@pytest.fixture(scope="module", params=SEEDS)
def body(request):
    return torso(request.param, spacing_mm=COARSE_MM)


def mask(body, *labels):
    return np.isin(body.labels, labels)


def centre_mm(body, where):
    index = np.argwhere(where).mean(axis=0)
    return (body.affine_mm @ [*index, 1])[:3]


def slice_at(body, level):
    return round((body.levels_mm[level] - body.affine_mm[2, 3]) / COARSE_MM)


def test_the_same_seed_gives_the_same_body_and_another_seed_another():
    part = {"bottom_mm": 80.0, "top_mm": 140.0, "spacing_mm": 6.0}
    first, again, other = torso(3, **part), torso(3, **part), torso(4, **part)
    assert np.array_equal(first.hu, again.hu)
    assert np.array_equal(first.labels, again.labels)
    assert first.levels_mm == again.levels_mm
    assert not np.array_equal(first.labels, other.labels)


def test_a_part_shows_the_anatomy_of_the_whole():
    whole = torso(3, spacing_mm=6.0, bottom_mm=-60.0, top_mm=300.0)
    part = torso(3, spacing_mm=6.0, bottom_mm=60.0, top_mm=180.0)
    assert np.array_equal(whole.labels[20:41], part.labels)
    assert part.levels_mm["Th8"] == whole.levels_mm["Th8"]


def test_image_and_labels_are_on_one_grid(body):
    assert body.hu.shape == body.labels.shape
    assert (body.hu.dtype, body.labels.dtype) == (np.float32, np.uint8)
    assert np.allclose(np.linalg.norm(body.affine_mm[:3, :3], axis=0), COARSE_MM)
    assert set(np.unique(body.labels)) <= set(NAMES)


@pytest.mark.parametrize(
    "labels",
    [
        *((label,) for label in (*LUNGS, Label.AIRWAY, Label.HEART, Label.AORTA, Label.LIVER, Label.SPLEEN)),
        (Label.ESOPHAGUS,),
        (Label.INFERIOR_VENA_CAVA,),
        (Label.PULMONARY_ARTERY,),
        (Label.BRAIN,),
        CORD,
    ],
    ids=lambda labels: "+".join(label.name for label in labels),
)
def test_an_organ_is_one_piece(body, labels):
    pieces, _ = ndimage.label(mask(body, *labels), structure=np.ones((3, 3, 3)))
    sizes = np.bincount(pieces.ravel())[1:]
    assert sizes.max() >= 0.98 * sizes.sum()


@pytest.mark.parametrize(
    ("label", "low", "high"),
    [
        (Label.LEFT_LUNG, 700, 4000),
        (Label.RIGHT_LUNG, 700, 4500),
        (Label.AIRWAY, 14, 90),
        (Label.HEART, 350, 1200),
        (Label.AORTA, 80, 700),
        (Label.ESOPHAGUS, 14, 90),
        (Label.SPINAL_CORD, 35, 140),
        (Label.LIVER, 600, 2600),
        (Label.SPLEEN, 50, 450),
        (Label.KIDNEY, 130, 550),
        (Label.BRAIN, 800, 2100),
    ],
)
def test_an_organ_has_a_human_volume(body, label, low, high):
    assert low < np.count_nonzero(body.labels == label) * COARSE_MM**3 / 1000 < high


def test_left_is_at_larger_x_and_the_heart_lies_to_the_left(body):
    left, right = (centre_mm(body, body.labels == label) for label in LUNGS)
    spine = centre_mm(body, mask(body, *CORD))[0]
    heart, liver = (centre_mm(body, body.labels == label) for label in (Label.HEART, Label.LIVER))
    assert right[0] < liver[0] < spine < heart[0] < left[0]


@pytest.mark.parametrize("level", ["Th3", "Th4"])
def test_trachea_esophagus_and_cord_follow_from_front_to_back(body, level):
    number = slice_at(body, level)
    rows = [
        np.argwhere(mask(body, *labels)[number])[:, 0].mean()
        for labels in ((Label.AIRWAY,), (Label.ESOPHAGUS,), (Label.VERTEBRA,), CORD)
    ]
    assert rows[0] < rows[1] < rows[3]
    assert rows[1] < rows[2]


@pytest.mark.parametrize("level", ["Th9", "Th12", "L2"])
def test_the_aorta_descends_before_the_spine_and_left_of_the_vena_cava(body, level):
    number = slice_at(body, level)
    cord = np.argwhere(mask(body, *CORD)[number]).mean(axis=0)
    aorta = np.argwhere(body.labels[number] == Label.AORTA).mean(axis=0)
    cava = np.argwhere(body.labels[number] == Label.INFERIOR_VENA_CAVA)
    assert aorta[0] < cord[0] - 25 / COARSE_MM
    if len(cava):
        assert cava[:, 1].mean() < aorta[1]


def test_the_arch_of_the_aorta_is_above_the_heart_and_left_of_the_trachea(body):
    arch = np.argwhere(body.labels == Label.AORTA)[:, 0].max() - 2
    assert arch > np.argwhere(body.labels == Label.HEART)[:, 0].max()
    trachea, aorta = (
        np.argwhere(body.labels[arch] == label)[:, 1].mean() for label in (Label.AIRWAY, Label.AORTA)
    )
    assert trachea < aorta


def test_organs_have_their_hounsfield_units(body):
    def median(label):
        return np.median(body.hu[body.labels == label])

    assert median(Label.AIRWAY) < -700
    assert all(-950 < median(label) < -600 for label in LUNGS)
    assert -130 < median(Label.FAT) < -70
    assert 30 < median(Label.MUSCLE) < 80
    assert 0 < median(Label.LIVER) < 180
    assert 20 < median(Label.HEART) < 500
    assert 20 < median(Label.AORTA) < 500
    assert -30 < median(Label.ESOPHAGUS) < 80
    assert 0 < median(Label.SPINAL_CORD) < 60
    assert median(Label.VERTEBRA) > 90
    assert median(Label.BONE) > 150


def test_levels_ascend_from_the_pelvis_to_the_head(body):
    order = ["femur_end", "L5", "L4", "L3", "L2", "L1", *(f"Th{n}" for n in range(12, 0, -1))]
    order += [f"C{n}" for n in range(7, 0, -1)]
    heights = [body.levels_mm[name] for name in order]
    assert heights == sorted(heights)
    assert body.levels_mm["L3"] < body.levels_mm["lung_start"] < body.levels_mm["Th10"]
    assert body.levels_mm["Th3"] < body.levels_mm["lung_end"] < body.levels_mm["C6"]


def test_a_vertebra_is_where_its_level_says(body):
    for level in ("L3", "Th8", "C5"):
        number = slice_at(body, level)
        assert np.count_nonzero(body.labels[number] == Label.VERTEBRA) > 10


def test_levels_beyond_the_grid_are_left_out():
    chest = torso(5, spacing_mm=6.0, bottom_mm=60.0, top_mm=200.0)
    assert "Th7" in chest.levels_mm
    assert not {"L3", "C5", "lung_start", "lung_end"} & set(chest.levels_mm)
    assert all(60 < z < 200 for z in chest.levels_mm.values())
