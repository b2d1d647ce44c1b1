import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.jobs.order import RADIOMICS, Order


def test_without_orders_shape_and_first_order_are_measured():
    order, rest = Order.of({})
    usual = frozenset({"shape", "firstorder"})
    assert order == Order(usual, rtstruct=False, covers=frozenset(), stability=False)
    assert rest == {}


def test_what_is_no_order_is_left_for_the_algorithm():
    orders = {"rtstruct": "true", "radiomics": "none", "covers": "chest+head", "stability": "true"}
    order, rest = Order.of({"folds": "0", **orders})
    assert rest == {"folds": "0"}
    assert order == Order(frozenset(), rtstruct=True, covers=frozenset({"chest", "head"}), stability=True)


@given(st.sets(st.sampled_from(RADIOMICS), min_size=1))
def test_classes_are_joined_in_any_order(classes):
    assert Order.of({"radiomics": "+".join(classes)})[0].radiomics == classes


def test_all_is_every_class():
    assert Order.of({"radiomics": "all"})[0].radiomics == set(RADIOMICS)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            {"radiomics": "shapes"},
            "radiomics: there is no 'shapes'; there is shape, firstorder, texture, all, none",
        ),
        ({"radiomics": "shape+"}, "there is no ''"),
        ({"rtstruct": "yes"}, "rtstruct is 'yes'; it is true or false"),
        ({"stability": "1"}, "stability is '1'; it is true or false"),
        ({"covers": "thorax"}, "covers: there is no 'thorax'"),
    ],
)
def test_an_order_that_cannot_be_filled_is_named(options, said):
    with pytest.raises(ValueError, match=said.replace("+", r"\+")):
        Order.of(options)


@given(
    st.sets(st.sampled_from(RADIOMICS)),
    st.booleans(),
    st.sets(st.sampled_from(["chest", "head", "pelvis"])),
    st.booleans(),
)
def test_an_order_has_one_way_of_writing(radiomics, rtstruct, covers, stability):
    order = Order(frozenset(radiomics), rtstruct, frozenset(covers), stability)
    assert Order.of(order.as_options()) == (order, {})


def test_what_is_usual_is_not_written():
    assert Order.of({"radiomics": "shape+firstorder", "rtstruct": "false"})[0].as_options() == {}
    assert Order.of({"radiomics": "all"})[0].as_options() == {"radiomics": "firstorder+shape+texture"}
