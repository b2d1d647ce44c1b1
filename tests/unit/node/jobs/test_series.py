import pydicom
import pytest
from pydicom.dataset import Dataset

from node.errors import ConfigurationError
from node.jobs.series import attribute, study_of


def header(uid="1.2.2", z=0.0, **attributes):
    ds = Dataset()
    ordinary = {
        "StudyInstanceUID": "1.2.1",
        "SeriesInstanceUID": uid,
        "SOPInstanceUID": f"{uid}.{int(z * 10)}",
        "Modality": "CT",
        "ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"],
        "ImagePositionPatient": [0, 0, z],
        "ImageOrientationPatient": [1, 0, 0, 0, 1, 0],
        "PixelSpacing": [1, 1],
        "Rows": 4,
        "Columns": 4,
    }
    for keyword, value in (ordinary | attributes).items():
        if value is not None:
            setattr(ds, keyword, value)
    ds.filename = f"/spool/{uid}/{z}.dcm"
    return ds


def facts(*headers):
    (series,) = study_of(headers).series
    return series.facts


def equipment(manufacturer, purpose="109102"):
    code, item = Dataset(), Dataset()
    code.CodeValue, code.CodingSchemeDesignator = purpose, "DCM"
    item.Manufacturer, item.PurposeOfReferenceCodeSequence = manufacturer, [code]
    return [item]


def test_headers_are_grouped_by_series_and_sorted_by_their_numbers():
    study = study_of(
        [
            header("1.2.2", z=1, SeriesNumber=7, InstanceNumber=2),
            header("1.2.3", SeriesNumber=3),
            header("1.2.2", z=2, SeriesNumber=7, InstanceNumber=1),
        ]
    )
    assert study.study_instance_uid == "1.2.1"
    assert [s.series_instance_uid for s in study.series] == ["1.2.3", "1.2.2"]
    assert study.series[1].sop_instance_uids == ("1.2.2.20", "1.2.2.10")
    assert [p.name for p in study.series[1].paths] == ["2.dcm", "1.dcm"]


def test_headers_of_two_studies_are_refused():
    with pytest.raises(ConfigurationError, match="2 studies"):
        study_of([header(), header(StudyInstanceUID="9.9")])


def test_facts_of_a_regular_series():
    found = facts(*[header(z=2.5 * k) for k in range(8)])
    assert (found.modality, found.slices, found.spacing_mm, found.coverage_mm) == ("CT", 8, 2.5, 20)
    assert (found.orientation, found.regular, found.irregularity) == ("axial", True, None)
    assert not (found.localizer or found.derived or found.own_result)


@pytest.mark.parametrize(
    ("odd", "words"),
    [
        ({"Rows": 5}, "rows and columns"),
        ({"ImageOrientationPatient": [0, 1, 0, 0, 0, -1]}, "orientation"),
        ({"PixelSpacing": None}, "PixelSpacing"),
        ({"ImagePositionPatient": None}, "ImagePositionPatient"),
        ({"NumberOfFrames": 3}, "several frames"),
    ],
)
def test_an_irregular_series_has_facts_and_the_reason(odd, words):
    found = facts(*[header(z=5 * k) for k in range(7)], header(z=35, **odd))
    assert (found.modality, found.slices, found.regular) == ("CT", 8, False)
    assert words in found.irregularity


def test_a_report_has_facts_too():
    report = Dataset()
    report.StudyInstanceUID, report.SeriesInstanceUID, report.Modality = "1.2.1", "1.2.9", "SR"
    found = facts(report)
    assert (found.modality, found.spacing_mm, found.orientation) == ("SR", None, None)
    assert found.derived


def test_localizer_and_derived_come_from_the_image_type():
    assert facts(header(ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"], SliceThickness=1)).localizer
    assert facts(header(ImageType=["DERIVED", "SECONDARY", "REFORMATTED"], SliceThickness=1)).derived
    assert facts(header(SOPClassUID=pydicom.uid.SecondaryCaptureImageStorage)).derived
    assert facts(header(SOPClassUID=pydicom.uid.MultiFrameTrueColorSecondaryCaptureImageStorage)).derived
    assert not facts(header(ImageType=None)).derived


def test_one_scout_among_the_slices_does_not_make_the_series_a_localizer():
    scout = header(z=99, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])
    assert not facts(header(), header(z=1), scout).localizer


def test_a_scout_that_comes_first_does_not_give_the_series_its_orientation():
    scout = header(InstanceNumber=1, ImageOrientationPatient=[0, 1, 0, 0, 0, -1])
    found = facts(scout, *[header(z=5 * k, InstanceNumber=k + 2) for k in range(5)])
    assert (found.orientation, found.regular) == ("axial", False)


def test_our_own_results_are_known_by_their_processing_equipment():
    assert facts(header(ContributingEquipmentSequence=equipment("AI Node"))).own_result
    assert not facts(header(ContributingEquipmentSequence=equipment("Another"))).own_result
    assert not facts(header(ContributingEquipmentSequence=equipment("AI Node", "109101"))).own_result


def test_attributes_come_as_plain_values():
    ds = header(PatientAge="018M", SliceThickness="2.50", BodyPartExamined=" CHEST ", KVP="")
    assert attribute(ds, "PatientAge") == (1.5,)
    assert attribute(ds, "SliceThickness") == (2.5,)
    assert attribute(ds, "BodyPartExamined") == ("CHEST",)
    assert attribute(ds, "ImageType") == ("ORIGINAL", "PRIMARY", "AXIAL")
    assert attribute(ds, "KVP") == ()
    assert attribute(ds, "SeriesDescription") == ()


def damaged(keyword, raw):
    ds = header()
    tag = pydicom.tag.Tag(keyword)
    vr = pydicom.datadict.dictionary_VR(keyword)
    ds._dict[tag] = pydicom.dataelem.RawDataElement(tag, vr, len(raw), raw, 0, False, True)
    return ds


@pytest.mark.filterwarnings("ignore:.*Invalid value for VR")
@pytest.mark.filterwarnings("ignore:Expected explicit VR")
@pytest.mark.parametrize(
    ("keyword", "raw"),
    [
        ("InstanceNumber", b"first "),
        ("NumberOfFrames", b"many"),
        ("Rows", b"\1"),
        ("SliceThickness", b"1e400"),
        ("ImagePositionPatient", b"0\\zero\\0"),
        ("PixelSpacing", b"1"),
        ("ImageOrientationPatient", b"1\\0\\0"),
    ],
)
def test_damaged_values_never_stop_the_facts_from_being_found(keyword, raw):
    ds = damaged(keyword, raw)
    assert facts(ds).slices == 1
    assert facts(header(z=5), header(z=10), ds).slices == 3
