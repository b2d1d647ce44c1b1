"""Which studies answer a query: attribute matching of PS3.4 C.2.2.2 on what the ledger knows of them."""

from collections.abc import Callable, Collection, Mapping
from typing import Final

from sqlalchemy import ColumnElement, Engine, and_, exists, or_, select

from node.errors import Rejected
from node.jobs.schema import instances, reading, studies

_DATE_LENGTH: Final = 8
_ESCAPE: Final = "\\"


class BadQuery(Rejected):
    """A key or a parameter has a value that no study can have."""


class Matching:
    """Queries of the studies in the ledger."""

    def __init__(self, engine: Engine) -> None:
        self._queries = reading(engine)

    def studies(
        self, keys: Mapping[str, str], limit: int, offset: int = 0, *, among: Collection[str] | None = None
    ) -> list[str]:
        """UIDs of the studies that match all keys, the latest arrival first.

        Args:
            keys: value by keyword, for those of `KEYS`. `*` and `?` are wild cards in text, an empty value
                matches all, a UID may be a list, a date or time a range; upper and lower case are the same
                in names.
            limit: how many UIDs at most.
            offset: how many to leave out first.
            among: UIDs of the studies that may match; without it, all.

        Raises:
            BadQuery: a date or time is none.
        """
        conditions = [KEYS[keyword](keyword, value) for keyword, value in keys.items() if value]
        if among is not None:
            conditions.append(studies.c.study_instance_uid.in_(among))
        query = select(studies.c.study_instance_uid).where(and_(True, *conditions))
        query = query.order_by(studies.c.last_arrival_at.desc(), studies.c.study_instance_uid)
        with self._queries.connect() as connection:
            return list(connection.scalars(query.limit(limit).offset(offset)))


def _attribute(keyword: str) -> ColumnElement[str]:
    text: ColumnElement[str] = studies.c.attributes[keyword].as_string()
    return text


def _uids(_keyword: str, value: str) -> ColumnElement[bool]:
    """List of UID matching, C.2.2.2.2; PS3.18 separates by comma."""
    return studies.c.study_instance_uid.in_(value.replace("\\", ",").split(","))


def _text(keyword: str, value: str) -> ColumnElement[bool]:
    """Single value and wild card matching, C.2.2.2.1 and C.2.2.2.4."""
    attribute = _attribute(keyword)
    return attribute.like(_pattern(value), escape=_ESCAPE) if _is_wild(value) else attribute == value


def _name(keyword: str, value: str) -> ColumnElement[bool]:
    """As text, whatever the case, in any of the component groups."""
    attribute, pattern = _attribute(keyword), _pattern(value)
    ways = (pattern, f"{pattern}=%", f"%={pattern}", f"%={pattern}=%")
    return or_(*(attribute.ilike(way, escape=_ESCAPE) for way in ways))


def _range(keyword: str, value: str) -> ColumnElement[bool]:
    """Range matching, C.2.2.2.5; times of different precision are compared as far as they go."""
    first, dash, last = value.partition("-")
    for end in (first, last):
        if end and not end.replace(".", "", 1).isdigit():
            raise BadQuery(f"{keyword}={value} is neither a value nor a range such as 20260101-20261231")
    if keyword == "StudyDate" and any(len(end) not in {0, _DATE_LENGTH} for end in (first, last)):
        raise BadQuery(f"{keyword}={value}: a date is written as YYYYMMDD")
    attribute = _attribute(keyword)
    if not dash:
        return attribute.startswith(first)
    ends = [attribute >= first, attribute != ""] if first else [attribute != ""]
    return and_(*ends, attribute <= f"{last}~") if last else and_(*ends)


def _modalities(_keyword: str, value: str) -> ColumnElement[bool]:
    """A study matches when one of its series has one of these modalities (C.3.4, Modalities in Study)."""
    return exists().where(
        instances.c.study_instance_uid == studies.c.study_instance_uid,
        instances.c.modality.in_(value.replace("\\", ",").split(",")),
    )


def _is_wild(value: str) -> bool:
    return "*" in value or "?" in value


def _pattern(value: str) -> str:
    """A pattern of SQL's LIKE."""
    for special in (_ESCAPE, "%", "_"):
        value = value.replace(special, _ESCAPE + special)
    return value.replace("*", "%").replace("?", "_")


KEYS: Final[Mapping[str, Callable[[str, str], ColumnElement[bool]]]] = {
    "StudyInstanceUID": _uids,
    "PatientID": _text,
    "PatientName": _name,
    "PatientBirthDate": _range,
    "PatientSex": _text,
    "StudyDate": _range,
    "StudyTime": _range,
    "StudyDescription": _text,
    "AccessionNumber": _text,
    "ModalitiesInStudy": _modalities,
}
"""How each attribute that the ledger knows is matched."""
