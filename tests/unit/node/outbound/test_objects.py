from algorithms.protocol import Findings, Region
from node.outbound import objects
from node.outbound.equipment import ROLES
from tests.synthetic_findings import CHEST, embedding, findings
from tests.synthetic_series import provenance, series


def test_everything_found_is_encoded_in_the_order_of_sending() -> None:
    volume, sources = series()
    made = objects.encode_all(findings(volume), volume, sources, provenance(volume), rtstruct=True)
    assert tuple(item.role for item in made) == ROLES


def test_structures_are_made_only_where_they_are_asked_for() -> None:
    volume, sources = series()
    made = objects.encode_all(findings(volume), volume, sources, provenance(volume), rtstruct=False)
    assert "rtstruct" not in {item.role for item in made}


def test_what_was_not_found_is_not_encoded() -> None:
    volume, sources = series()
    nowhere = Findings(regions=(Region("chest", CHEST, ()),), embedding=embedding())
    assert objects.encode_all(nowhere, volume, sources, provenance(volume), rtstruct=True) == []
