"""Conditions of a route: what they ask of a series, and what they found there.

A condition asks for a DICOM attribute of the first instance by its keyword, or for a fact of the
series. An attribute with several values satisfies a test when one of them does; an attribute that
is absent satisfies none. `negate` turns the answer round, so a negated test holds where the
attribute is absent. Text is compared without regard to case.
"""

import re
from dataclasses import dataclass
from math import isinf
from typing import Annotated, Final, Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator
from pydicom.datadict import dictionary_VR, tag_for_keyword

from node.inbound.volumes import Orientation
from node.jobs.series import Series, Value, attribute

Kind = Literal["text", "number", "truth", "sequence"]

FACTS: Final[dict[str, Kind]] = {
    "modality": "text",
    "slices": "number",
    "spacing_mm": "number",
    "coverage_mm": "number",
    "orientation": "text",
    "regular": "truth",
    "localizer": "truth",
    "derived": "truth",
    "own_result": "truth",
    "described": "text",
}

TESTS: Final = ("equals", "one_of", "matches", "between", "exists")

_ASKED: Final[dict[Kind, tuple[frozenset[str], tuple[type, ...]]]] = {
    "text": (frozenset({"equals", "one_of", "matches", "exists"}), (str,)),
    "number": (frozenset({"equals", "one_of", "between", "exists"}), (int, float)),
    "truth": (frozenset({"equals"}), (bool,)),
    "sequence": (frozenset({"exists"}), ()),
}
"""Which tests may be asked of each kind, and the types of value they compare with."""

_NUMBERS: Final = frozenset({"DS", "IS", "FD", "FL", "US", "SS", "UL", "SL", "UV", "SV", "AS"})
_PATIENT_GROUP: Final = 0x0010
_HARMLESS: Final = frozenset({"PatientAge", "PatientSex", "PatientSize", "PatientWeight"})


class Condition(BaseModel):
    """One `[[routes.when]]`: a subject (`keyword` or `series`), one test, perhaps negated.

    Attributes:
        keyword: keyword of a DICOM attribute (PS3.6).
        series: name of a fact of the series.
        equals: the value, without regard to case.
        one_of: one of these values.
        matches: a regular expression that covers the whole value.
        between: a number from the first to the second, both included; ages are in years.
        exists: present with a value, or not.
        negate: the opposite of the test.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    keyword: str | None = None
    series: str | None = None
    equals: Value | None = None
    one_of: Annotated[tuple[Value, ...], Field(min_length=1)] | None = None
    matches: str | None = None
    between: tuple[float, float] | None = None
    exists: bool | None = None
    negate: bool = False

    @field_validator("keyword")
    @classmethod
    def _is_in_the_dictionary(cls, keyword: str) -> str:
        if tag_for_keyword(keyword) is None:
            raise ValueError(f"{keyword!r} is no DICOM keyword")
        return keyword

    @field_validator("series")
    @classmethod
    def _is_a_fact(cls, name: str) -> str:
        if name not in FACTS:
            raise ValueError(f"{name!r} is no fact of a series; there are {', '.join(FACTS)}")
        return name

    @field_validator("matches")
    @classmethod
    def _is_a_regular_expression(cls, pattern: str) -> str:
        try:
            re.compile(pattern, re.IGNORECASE)
        except re.error as error:
            raise ValueError(f"{pattern!r} is no regular expression: {error}") from None
        return pattern

    @field_validator("between")
    @classmethod
    def _goes_up(cls, between: tuple[float, float]) -> tuple[float, float]:
        if not between[0] <= between[1]:
            raise ValueError(f"{between[0]:g} to {between[1]:g} is no range; the smaller number comes first")
        return between

    @model_validator(mode="after")
    def _is_one_question(self) -> Self:
        if (self.keyword is None) == (self.series is None):
            raise ValueError("a condition asks for either keyword or series")
        given = [test for test in TESTS if getattr(self, test) is not None]
        if len(given) != 1:
            raise ValueError(
                f"a condition has one of {', '.join(TESTS)}, not {' and '.join(given) or 'none'}"
            )
        self._can_be_answered()
        return self

    def _can_be_answered(self) -> None:
        tests, types = _ASKED[self._kind]
        if self.test not in tests:
            raise ValueError(f"{self.subject} is a {self._kind}, so {self.test} cannot be asked of it")
        for value in self._wanted:
            if type(value) not in types:
                raise ValueError(f"{self.subject} is a {self._kind}, and {value!r} is not")
            if self.series == "orientation" and value not in get_args(Orientation):
                raise ValueError(f"orientation is {', '.join(get_args(Orientation))}, but never {value}")

    @property
    def subject(self) -> str:
        """What is asked for: the keyword or the fact."""
        return self.keyword or self.series or ""

    @property
    def test(self) -> str:
        """The test that is asked, one of TESTS."""
        return next(test for test in TESTS if getattr(self, test) is not None)

    @property
    def _kind(self) -> Kind:
        if self.keyword is None:
            return FACTS[self.subject]
        vr = dictionary_VR(self.keyword)
        if vr == "SQ":
            return "sequence"
        return "number" if _NUMBERS.intersection(vr.split(" or ")) else "text"

    @property
    def _wanted(self) -> tuple[Value, ...]:
        if self.one_of is not None:
            return self.one_of
        return () if self.equals is None else (self.equals,)

    def check(self, series: Series) -> "Check":
        """Ask this of a series."""
        values = self._values(series)
        return Check(self, values, self.holds(values))

    def holds(self, values: tuple[Value, ...]) -> bool:
        """Whether the condition holds for the values found; none means absent."""
        if self.exists is not None:
            return (bool(values) == self.exists) != self.negate
        return any(self._fits(value) for value in values) != self.negate

    def _values(self, series: Series) -> tuple[Value, ...]:
        if self.keyword is not None:
            return attribute(series.representative, self.keyword)
        value: Value | tuple[Value, ...] | None = getattr(series.facts, self.subject)
        if isinstance(value, tuple):
            return value
        return () if value is None else (value,)

    def _fits(self, value: Value) -> bool:
        if self.between is not None:
            return not isinstance(value, str) and self.between[0] <= value <= self.between[1]
        if self.matches is not None:
            return re.fullmatch(self.matches, str(value), re.IGNORECASE) is not None
        return any(_folded(value) == _folded(wanted) for wanted in self._wanted)

    def __str__(self) -> str:
        if self.exists is not None:
            return "present" if self.exists != self.negate else "absent"
        return f"not {self._wish}" if self.negate else self._wish

    @property
    def _wish(self) -> str:
        if self.matches is not None:
            return f"like {self.matches}"
        if self.between is not None:
            low, high = self.between
            if isinf(high):
                return f"{low:g} or more"
            return f"{high:g} or less" if isinf(low) else f"between {low:g} and {high:g}"
        one_of = "one of " if len(self._wanted) > 1 else ""
        return f"{one_of}{', '.join(map(_shown, self._wanted))}"


@dataclass(frozen=True)
class Check:
    """A condition, the values it met in a series, and whether it held."""

    condition: Condition
    values: tuple[Value, ...]
    held: bool

    def __str__(self) -> str:
        found = f"{self.condition.subject} is {self.found}"
        return found if self.held else f"{found} (asked: {self.condition})"

    @property
    def found(self) -> str:
        """The values for people; those that tell who the patient is are left out of logs and pages."""
        if not self.values:
            return "absent"
        if self.condition.keyword and _tells_who(self.condition.keyword):
            return "present"
        return " \\ ".join(map(_shown, self.values))


def _tells_who(keyword: str) -> bool:
    in_group = (tag_for_keyword(keyword) or 0) >> 16 == _PATIENT_GROUP
    return (in_group and keyword not in _HARMLESS) or dictionary_VR(keyword) == "PN"


def _folded(value: Value) -> Value:
    return value.strip().casefold() if isinstance(value, str) else value


def _shown(value: Value) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:g}" if isinstance(value, float) else str(value)
