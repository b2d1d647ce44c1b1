from datetime import UTC, datetime, time, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.misc import is_dicom

from algorithms import CATALOGUE
from node.inbound import volumes
from node.jobs.routing import DEFAULT_ROUTES, SOFT_KERNEL, Route, explain, load, match, study_of

NOON = datetime(2026, 11, 3, 12, 0, tzinfo=UTC)
CT = {"series": "modality", "equals": "CT"}


def series(uid, slices=30, step=5.0, **attributes):
    """Headers of an axial CT series."""
    code, own = Dataset(), attributes.pop("own", False)
    code.CodeValue, code.CodingSchemeDesignator = "109102", "DCM"
    for number in range(slices):
        ds = Dataset()
        ordinary = {
            "StudyInstanceUID": "1.2.1",
            "SeriesInstanceUID": uid,
            "SOPInstanceUID": f"{uid}.{number + 1}",
            "InstanceNumber": number + 1,
            "Modality": "CT",
            "ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"],
            "ImagePositionPatient": [0, 0, number * step],
            "ImageOrientationPatient": [1, 0, 0, 0, 1, 0],
            "PixelSpacing": [1, 1],
            "SliceThickness": step,
            "Rows": 4,
            "Columns": 4,
        }
        for keyword, value in (ordinary | attributes).items():
            if value is not None:
                setattr(ds, keyword, value)
        if own:
            equipment = Dataset()
            equipment.Manufacturer, equipment.PurposeOfReferenceCodeSequence = "AI Node", [code]
            ds.ContributingEquipmentSequence = [equipment]
        yield ds


def study(*several):
    return study_of(header for one in several for header in one)


def route(**keys):
    return Route(**({"name": "r", "algorithm": "a", "when": [CT]} | keys))


def taken(studied, *routes, now=NOON):
    return [found.series_instance_uid for found in match(studied, routes, now)]


@pytest.fixture(scope="module")
def every():
    return {route.name: route for route in load(DEFAULT_ROUTES, CATALOGUE, ["pacs"])}


@pytest.fixture(scope="module")
def default(every):
    return [every["chest-ct"]]


@pytest.fixture(scope="module")
def head(every):
    return every["head-ct"]


@pytest.fixture(scope="module")
def similar(every):
    return every["similar"]


def test_a_match_names_all_that_a_workitem_needs(default):
    (found,) = match(study(series("1.2.2", slices=25)), default, NOON)
    assert (found.route, found.algorithm, found.priority) == ("chest-ct", "chest-ct-annotation", "routine")
    assert found.destinations == ("pacs",)
    assert found.sop_instance_uids == tuple(f"1.2.2.{n}" for n in range(1, 26))
    assert found.reason.startswith("route chest-ct: modality is CT; ")
    assert "slices is 25" in found.reason
    assert found.not_before is None


@pytest.mark.parametrize(
    ("attributes", "why"),
    [
        ({"Modality": "MR"}, "modality is MR (asked: CT)"),
        ({"slices": 19, "step": 10}, "slices is 19 (asked: 20 or more)"),
        ({"slices": 25, "step": 3}, "coverage_mm is 75 (asked: 100 or more)"),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}, "localizer is true (asked: false)"),
        ({"ImageType": ["DERIVED", "SECONDARY"]}, "derived is true (asked: false)"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.7"}, "derived is true (asked: false)"),
        ({"BodyPartExamined": "HEAD"}, "BodyPartExamined is HEAD"),
        ({"SeriesDescription": "CCT Head 5.0"}, "SeriesDescription is CCT Head 5.0"),
        ({"ImageOrientationPatient": [1, 0, 0, 0, 0, -1]}, "orientation is coronal (asked: axial)"),
        ({"own": True}, "own_result is true (asked: false)"),
    ],
)
def test_the_default_route_leaves_what_is_no_chest_ct_and_says_why(default, attributes, why):
    (verdict,) = explain(study(series("1.2.2", **attributes)), default, NOON)
    assert not verdict.taken
    assert why in verdict.reason


@pytest.mark.parametrize(
    "attributes",
    [{"BodyPartExamined": "CHEST"}, {"SeriesDescription": "Thorax overhead arms"}, {"ImageType": None}],
)
def test_the_default_route_takes_a_chest_ct_whatever_its_header_leaves_out(default, attributes):
    assert taken(study(series("1.2.2", **attributes)), *default) == ["1.2.2"]


@pytest.mark.parametrize(
    "attributes",
    [
        {"BodyPartExamined": "HEAD"},
        {"BodyPartExamined": "BRAIN", "ContrastBolusAgent": "NONE"},
        {"StudyDescription": "CT HEAD_W/O"},
        {"SeriesDescription": "Schädel nativ 4.0 J30s"},
        {"ProtocolName": "5.1 Routine head/Kopf"},
    ],
)
def test_a_head_without_contrast_is_triaged_at_once(head, attributes):
    (found,) = match(study(series("1.2.2", **attributes)), [head], NOON)
    assert (found.algorithm, found.priority) == ("head-ct-triage", "stat")
    assert (
        f"described is {' '.join(attributes[k] for k in attributes if k != 'ContrastBolusAgent')}"
        in found.reason
    )


@pytest.mark.parametrize(
    ("attributes", "why"),
    [
        ({}, "described is absent"),
        ({"BodyPartExamined": "CHEST"}, "described is CHEST"),
        ({"SeriesDescription": "overhead arms"}, "described is overhead arms"),
        ({"BodyPartExamined": "CHEST", "StudyDescription": "head, chest"}, "BodyPartExamined is CHEST"),
        ({"StudyDescription": "head, chest", "SeriesDescription": "Chest 5.0"}, "SeriesDescription is Chest"),
        ({"BodyPartExamined": "HEAD", "ContrastBolusAgent": "Iohexol"}, "ContrastBolusAgent is Iohexol"),
        ({"BodyPartExamined": "HEAD", "slices": 9, "step": 10}, "slices is 9 (asked: 10 or more)"),
        ({"BodyPartExamined": "HEAD", "slices": 100}, "coverage_mm is 500 (asked: between 80 and 400)"),
        ({"BodyPartExamined": "HEAD", "ImageType": ["DERIVED", "SECONDARY"]}, "derived is true"),
        ({"BodyPartExamined": "HEAD", "ImageOrientationPatient": [1, 0, 0, 0, 0, -1]}, "is coronal"),
    ],
)
def test_what_is_no_plain_head_is_not_triaged_and_says_why(head, attributes, why):
    (verdict,) = explain(study(series("1.2.2", **attributes)), [head], NOON)
    assert not verdict.taken
    assert why in verdict.reason


def test_of_several_heads_the_brain_kernel_counts_for_more_than_a_regular_volume(head):
    tilted = {"ImageOrientationPatient": [1, 0, 0, 0, 0.948, -0.318], "ConvolutionKernel": "STD+"}
    bone = {"ConvolutionKernel": "BONE", "step": 1, "slices": 140}
    both = study(
        series("1.2.2", BodyPartExamined="HEAD", **bone), series("1.2.3", BodyPartExamined="HEAD", **tilted)
    )
    assert taken(both, head) == ["1.2.3"]


def test_a_ct_of_more_than_50_slices_gets_its_place_among_the_others(similar):
    assert taken(study(series("1.2.2", slices=51)), similar) == ["1.2.2"]
    assert taken(study(series("1.2.2", slices=50)), similar) == []
    assert taken(study(series("1.2.2", slices=60, step=6)), similar) == []
    gap = [header for number, header in enumerate(series("1.2.2", slices=60)) if number != 11]
    assert taken(study(gap), similar) == []


def test_an_irregular_series_is_routed_so_that_its_workitem_can_say_why(default):
    gap = [header for number, header in enumerate(series("1.2.2")) if number != 11]
    (found,) = match(study(gap), default, NOON)
    assert found.reason.endswith("its slices form no regular volume")


def test_of_a_photograph_no_volume_is_expected():
    picture = series(
        "1.2.3", slices=1, Modality="XC", ImagePositionPatient=None, ImageOrientationPatient=None
    )
    photographs = route(when=[{"series": "modality", "equals": "XC"}])
    (found,) = match(study(picture), [photographs], NOON)
    assert "volume" not in found.reason


def test_our_own_results_are_never_routed_whatever_the_route_says():
    assert taken(study(series("1.2.2", own=True)), route()) == []


@pytest.mark.parametrize(
    ("preference", "better", "worse"),
    [
        ("original", {}, {"ImageType": ["DERIVED", "SECONDARY"]}),
        ("axial", {}, {"ImageOrientationPatient": [1, 0, 0, 0, 0, -1], "slices": 1}),
        ("soft-kernel", {"ConvolutionKernel": "STANDARD"}, {"ConvolutionKernel": "LUNG"}),
        ("soft-kernel", {"ConvolutionKernel": ["Br40d", "3"]}, {}),
        ("thinnest", {"step": 1}, {"step": 5}),
        ("thickest", {"step": 5}, {"step": 1}),
        ("most-slices", {"slices": 30, "step": 1}, {"slices": 20}),
        ("longest", {"slices": 20}, {"slices": 30, "step": 1}),
        ("regular", {}, {"PixelSpacing": None}),
    ],
)
def test_each_preference_picks_the_better_series_and_says_so(preference, better, worse):
    chosen = route(select={"prefer": [preference]})
    studied = study(series("1.2.9", **better), series("1.2.2", **worse))
    assert taken(studied, chosen) == ["1.2.9"]
    (loser,) = [v for v in explain(studied, [chosen], NOON) if not v.taken]
    assert loser.reason == f"series 1.2.9 is preferred: {preference}"


def test_preferences_decide_in_their_order_and_then_the_uid():
    thin, thick = series("1.2.5", step=1, slices=100), series("1.2.4", step=5)
    twin = series("1.2.6", step=1, slices=100)
    studied = study(thin, thick, twin)
    assert taken(studied, route(select={"prefer": ["longest", "thinnest"]})) == ["1.2.4"]
    assert taken(studied, route(select={"prefer": ["thinnest", "longest"]})) == ["1.2.5"]


def test_without_a_selection_every_series_is_taken():
    studied = study(series("1.2.2"), series("1.2.3"))
    assert taken(studied, route()) == ["1.2.2", "1.2.3"]
    assert taken(studied, route(select={"take": "all"})) == ["1.2.2", "1.2.3"]


@pytest.mark.parametrize(
    "kernel", ["STANDARD", "SOFT", "STD+", "J30s", "B30f", "Br40f", "I31f\\3", "A", "B", "YA", "FC08"]
)
def test_soft_kernels_of_the_large_vendors_are_known(kernel):
    assert SOFT_KERNEL.fullmatch(kernel)


@pytest.mark.parametrize("kernel", ["LUNG", "BONE", "BONEPLUS", "B70f", "Br64d", "L", "D", "FC51", "FC86"])
def test_hard_kernels_are_not_taken_for_soft_ones(kernel):
    assert not SOFT_KERNEL.fullmatch(kernel)


clocks = st.times().map(lambda t: t.replace(second=0, microsecond=0))


@given(start=clocks, end=clocks, now=st.times())
def test_off_peak_starts_within_the_window_and_never_waits_longer_than_a_day(start, end, now):
    if start == end:
        return
    window = f"{start:%H:%M}-{end:%H:%M}"
    moment = datetime.combine(NOON.date(), now, UTC)
    (found,) = match(study(series("1.2.2", slices=1)), [route(off_peak=window)], moment)
    begin = found.not_before or moment
    clock = begin.time()
    assert (start <= clock < end) if start < end else (clock >= start or clock < end)
    assert timedelta(0) <= begin - moment <= timedelta(days=1)
    if found.not_before:
        assert begin.time() == start


@pytest.mark.parametrize(
    ("now", "begin"),
    [
        ("12:00", "19:00"),
        ("18:59", "19:00"),
        ("19:00", None),
        ("23:59", None),
        ("00:00", None),
        ("05:59", None),
        ("06:00", "19:00"),
    ],
)
def test_an_off_peak_window_goes_past_midnight(now, begin):
    moment = datetime.combine(NOON.date(), time.fromisoformat(now), UTC)
    (found,) = match(study(series("1.2.2", slices=1)), [route(off_peak="19:00-06:00")], moment)
    expected = begin and datetime.combine(NOON.date(), time.fromisoformat(begin), UTC)
    assert found.not_before == expected


conditions = st.sampled_from(
    [
        CT,
        {"series": "slices", "between": (10, 20)},
        {"series": "regular", "equals": True},
        {"keyword": "BodyPartExamined", "equals": "HEAD", "negate": True},
        {"keyword": "SeriesDescription", "exists": False},
    ]
)
selections = st.sampled_from(
    [{"take": "all"}, {"prefer": ["thinnest"]}, {"prefer": ["most-slices", "regular"]}]
)
shapes = st.fixed_dictionaries(
    {"slices": st.integers(1, 22), "step": st.sampled_from([1.0, 5.0])},
    optional={
        "Modality": st.sampled_from(["CT", "MR"]),
        "BodyPartExamined": st.just("HEAD"),
        "SeriesDescription": st.just("x"),
        "own": st.booleans(),
    },
)


@given(
    several=st.lists(shapes, min_size=1, max_size=3),
    routes=st.lists(
        st.builds(lambda w, s: route(when=w, select=s), st.lists(conditions, min_size=1), selections),
        max_size=3,
    ),
)
def test_explain_and_match_never_disagree(several, routes):
    studied = study(*(series(f"1.2.{n + 2}", **shape) for n, shape in enumerate(several)))
    verdicts, matches = explain(studied, routes, NOON), match(studied, routes, NOON)
    assert len(verdicts) == len(routes) * len(several)
    assert [m.series_instance_uid for m in matches] == [
        v.series.series_instance_uid for v in verdicts if v.taken
    ]
    for verdict in verdicts:
        assert verdict.reason
        if verdict.taken:
            assert all(check.held for check in verdict.checks)
            assert not verdict.series.facts.own_result
    for index, one in enumerate(routes):
        mine = verdicts[index * len(several) : (index + 1) * len(several)]
        fitting = [v for v in mine if all(check.held for check in v.checks)]
        expected = len(fitting) if one.select.take == "all" else min(1, len(fitting))
        assert sum(v.taken for v in mine) == expected


def read(folder: Path):
    return study_of(volumes.headers(p for p in folder.rglob("*") if p.is_file() and is_dicom(p)))


def test_a_real_chest_ct_without_a_body_part_is_taken(shared_data, default):
    (found,) = match(read(shared_data / "ct-thorax-lungdx"), default, NOON)
    assert len(found.sop_instance_uids) == 64
    assert "BodyPartExamined is absent" in found.reason


@pytest.mark.parametrize(
    ("folder", "why"),
    [
        ("mr-t1-brain-dicom", "modality is MR (asked: CT)"),
        ("ct-head/ge-hispeed-tilted", "BodyPartExamined is HEAD"),
        ("ct-head/philips-headphantom-study/S1000-localizer", "localizer is true"),
        ("ct-head/philips-headphantom-study/S4010-exam-summary", "derived is true"),
        ("ct-pet-mr-rtstruct-sts/STS_002/dicom/PET/image", "modality is PT"),
        ("ct-pet-mr-rtstruct-sts/STS_002/dicom/CT/mask", "modality is RTSTRUCT"),
    ],
)
def test_real_series_that_are_no_chest_ct_are_left_with_the_reason(shared_data, default, folder, why):
    (verdict,) = explain(read(shared_data / folder), default, NOON)
    assert not verdict.taken
    assert why in verdict.reason
    assert str(verdict).startswith("route chest-ct does not take series ")


def test_a_real_tilted_head_is_triaged(shared_data, every):
    (found,) = match(read(shared_data / "ct-head" / "ge-hispeed-tilted"), every.values(), NOON)
    assert (found.route, found.priority, len(found.sop_instance_uids)) == ("head-ct", "stat", 28)
    assert found.reason.endswith("its slices form no regular volume")


def test_a_real_chest_ct_is_annotated_and_embedded_but_not_triaged(shared_data, every):
    found = match(read(shared_data / "ct-thorax-lungdx"), every.values(), NOON)
    assert [one.route for one in found] == ["chest-ct", "similar"]


def test_a_real_head_study_of_localizer_and_summary_page_makes_no_workitem(shared_data, every):
    studied = read(shared_data / "ct-head" / "philips-headphantom-study")
    assert len(studied.series) == 2
    assert match(studied, every.values(), NOON) == ()
    for verdict in explain(studied, [every["head-ct"]], NOON):
        assert "localizer is true" in verdict.reason or "derived is true" in verdict.reason


def test_parts_to_cover_go_to_the_worker_as_an_option():
    one = study(series("1.2.3"))
    (found,) = match(one, [route(covers=["chest"], options={"rtstruct": "true"})], NOON)
    assert found.options == {"rtstruct": "true", "covers": "chest"}
    assert "the worker will look whether it shows chest" in found.reason
