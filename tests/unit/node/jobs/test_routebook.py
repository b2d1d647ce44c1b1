import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from algorithms import CATALOGUE
from node.errors import ConfigurationError
from node.jobs.routebook import DEFAULT_ROUTES, RouteBook, load

ALGORITHMS = frozenset({"chest-ct-annotation"})
GOOD = """\
# a comment
[[routes]]
name = "chest-ct"
algorithm = "chest-ct-annotation"
priority = "routine"
destinations = ["pacs"]
off_peak = "19:00-06:00"
options = { kernel = "soft" }

[[routes.when]]
keyword = "BodyPartExamined"
one_of = [
    "CHEST",
    "LUNG",
]

[[routes.when]]
series = "slices"
between = [20, 2000]

[routes.select]
prefer = ["thinnest"]

[[routes]]
name = "other"
algorithm = "chest-ct-annotation"
when = [{ keyword = "Modality", equals = "CT" }]
"""


def write(tmp_path, text):
    file = tmp_path / "routes.toml"
    file.write_text(text)
    return file


def refusal(tmp_path, text):
    file = write(tmp_path, text)
    with pytest.raises(ConfigurationError) as caught:
        load(file, ALGORITHMS, ["pacs", "archive"])
    message = str(caught.value)
    assert message.startswith(str(file))
    return message


def test_the_built_in_routes_are_valid_with_no_destination_at_all():
    routes = load(None, CATALOGUE, [])
    assert [route.name for route in routes] == ["chest-ct", "head-ct", "similar", "brain-t1"]
    assert {route.destinations for route in routes} == {()}


def test_the_routes_that_are_only_shown_are_valid_too(tmp_path):
    blocks = DEFAULT_ROUTES.read_text(encoding="utf-8").split("# [[routes]]\n")[1:]
    shown = []
    for block in blocks:
        lines = [line for line in block.split("\n\n")[0].splitlines() if line.startswith("#")]
        text = "[[routes]]\n" + "\n".join(line.removeprefix("#").strip() for line in lines)
        shown += load(write(tmp_path, text), CATALOGUE, [])
    assert [(route.algorithm, route.options) for route in shown] == [
        ("ct-wholebody", {"stability": "true"}),
        ("face-age", {}),
    ]


def test_a_good_file_is_read_whole(tmp_path):
    first, second = load(write(tmp_path, GOOD), ALGORITHMS, ["pacs", "archive"])
    assert first.destinations == ("pacs",)
    assert first.options == {"kernel": "soft"}
    assert first.when[0].one_of == ("CHEST", "LUNG")
    assert first.select.take == "best"
    assert second.destinations == ("pacs", "archive")
    assert second.select.take == "all"


@pytest.mark.parametrize(
    ("old", "new", "line", "words"),
    [
        ('name = "chest-ct"', 'name = ""', 3, "name"),
        ('name = "chest-ct"', 'nmae = "chest-ct"', 3, "there is no key 'nmae'"),
        ('name = "chest-ct"\n', "", 2, "name is missing"),
        ('algorithm = "chest-ct-annotation"\np', 'algorithm = "chest"\np', 4, "no algorithm 'chest'"),
        ('"routine"', '"urgent"', 5, "'routine' or 'stat'"),
        ('["pacs"]', '["pacs", "moon"]', 6, "no destination 'moon'; there are pacs, archive"),
        ('["pacs"]', '["pacs", "pacs"]', 6, "twice"),
        ('"19:00-06:00"', '"7pm-6am"', 7, "no time window"),
        ('"19:00-06:00"', '"19:00-19:00"', 7, "begins when it ends"),
        ('{ kernel = "soft" }', "{ kernel = 1 }", 8, "valid string"),
        ('{ kernel = "soft" }', '{ radiomics = "shapes" }', 8, "there is no 'shapes'"),
        ('{ kernel = "soft" }', '{ covers = "chest" }', 8, "covers is a key of the route"),
        ('{ kernel = "soft" }', '{}\ncovers = ["thorax"]', 9, "'chest'"),
        ('"BodyPartExamined"', '"BodyPartExamind"', 11, "no DICOM keyword"),
        ('    "CHEST",\n', '    "CHEST", 7,\n', 10, "7 is not"),
        ('series = "slices"', 'series = "slice"', 18, "no fact of a series"),
        ("[20, 2000]", "[2000, 20]", 19, "no range"),
        ("[20, 2000]", '["many", 20]', 19, "valid number"),
        ("between = [20, 2000]\n", "", 17, "not none"),
        ("between = [20, 2000]\n", 'between = [1, 2]\nlike = "x"\n', 20, "no key 'like'"),
        ('["thinnest"]', '["slimmest"]', 22, "'thinnest'"),
        ('["thinnest"]', '["thinnest", "thinnest"]', 21, "twice"),
        ('prefer = ["thinnest"]', "", 21, "goes with prefer"),
        ('name = "other"', 'name = "chest-ct"', 25, "another route 'chest-ct'"),
        ('equals = "CT"', 'matches = "C("', 27, "no regular expression"),
        ('"other"\n', '"other"\npriority = "stat"\noff_peak = "19:00-06:00"\n', 24, "has no off_peak"),
    ],
)
def test_a_fault_is_named_with_its_line(tmp_path, old, new, line, words):
    assert GOOD.count(old) == 1
    message = refusal(tmp_path, GOOD.replace(old, new))
    assert f" line {line}: " in message
    assert words in message


def test_several_faults_are_named_at_once(tmp_path):
    message = refusal(tmp_path, GOOD.replace('"routine"', '"urgent"').replace('"slices"', '"slice"'))
    assert "line 5: " in message
    assert "line 18: " in message


@given(blank=st.lists(st.sampled_from(["\n", "# [[routes]]\n", "   \n"]), max_size=5))
def test_the_line_counts_comments_and_blank_lines(tmp_path_factory, blank):
    text = "".join(blank) + GOOD.replace('"routine"', '"urgent"')
    assert f"line {5 + len(blank)}: " in refusal(tmp_path_factory.mktemp("routes"), text)


def test_text_that_looks_like_a_table_does_not_mislead_the_line(tmp_path):
    decoy = 'options = { kernel = """\n[[routes]]\npriority = "routine"\n""" }'
    text = GOOD.replace('options = { kernel = "soft" }', decoy).replace('"slices"', '"slice"')
    assert "line 21: " in refusal(tmp_path, text)


def test_a_file_that_is_not_toml_is_named_with_its_line(tmp_path):
    assert "line 5" in refusal(tmp_path, GOOD.replace('"routine"', "routine"))


@pytest.mark.parametrize("text", ["", "# nothing\n", "routes = []\n", "[other]\n"])
def test_a_file_without_routes_is_refused_because_it_may_be_half_written(tmp_path, text):
    assert "routes" in refusal(tmp_path, text)


def test_a_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(ConfigurationError, match=r"cannot read the routes in .*gone\.toml"):
        load(tmp_path / "gone.toml", ALGORITHMS, [])


def test_a_changed_file_comes_into_force(tmp_path):
    file = write(tmp_path, GOOD)
    book = RouteBook(file, ALGORITHMS, ["pacs"])
    assert [route.name for route in book.routes] == ["chest-ct", "other"]
    file.write_text(GOOD.replace('"other"', '"renamed"'))
    assert [route.name for route in book.routes] == ["chest-ct", "renamed"]


@pytest.mark.parametrize("damage", ["[[routes", "", None])
def test_the_last_good_routes_stay_while_the_file_is_wrong(tmp_path, damage):
    file = write(tmp_path, GOOD)
    book = RouteBook(file, ALGORITHMS, ["pacs"])
    good = book.routes
    assert book.error is None
    if damage is None:
        file.unlink()
    else:
        file.write_text(damage)
    assert book.routes == good
    assert str(file) in book.error
    file.write_text(GOOD)
    os.utime(file, ns=(1, 1))
    assert book.routes == good
    assert book.error is None


def test_a_file_that_is_wrong_from_the_start_is_refused(tmp_path):
    with pytest.raises(ConfigurationError, match="line 5"):
        RouteBook(write(tmp_path, GOOD.replace('"routine"', '"urgent"')), ALGORITHMS, ["pacs"])


def test_the_built_in_file_travels_with_the_package():
    assert DEFAULT_ROUTES.is_file()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ('{ organs = "nonsense" }', "organs is 'nonsense'"),
        ('{ radiomcs = "shape" }', "no option 'radiomcs'"),
    ],
)
def test_options_are_checked_against_the_catalogue(tmp_path, options, words):
    text = GOOD.replace('{ kernel = "soft" }', options)
    with pytest.raises(ConfigurationError, match=words):
        load(write(tmp_path, text), CATALOGUE, ["pacs", "archive"])


@pytest.mark.parametrize(
    "key", ['options = { rtstruct = "true" }', 'options = { stability = "true" }', 'covers = ["chest"]']
)
def test_what_only_a_volume_can_give_is_not_ordered_of_a_photograph(tmp_path, key):
    text = f"""
[[routes]]
name = "faces"
algorithm = "face-age"
{key}
when = [{{ keyword = "Modality", equals = "XC" }}]
"""
    with pytest.raises(ConfigurationError, match="are for volumes, and this is for photographs"):
        load(write(tmp_path, text), CATALOGUE, [])
