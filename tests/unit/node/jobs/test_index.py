import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from node.errors import ConfigurationError
from node.inbound.instances import Outcome
from node.jobs import schema
from tests.unit.node.jobs.arrivals import arrival


def test_the_migrations_make_the_tables_of_the_schema(engine):
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), schema.metadata) == []


def test_migrating_twice_changes_nothing(engine):
    schema.migrate(engine)


def test_a_ledger_that_cannot_be_opened_is_named(tmp_path):
    engine = schema.connect(f"sqlite:///{tmp_path / 'no' / 'folder' / 'x.sqlite'}")
    with pytest.raises(ConfigurationError, match=r"x\.sqlite"):
        schema.migrate(engine)


def test_arrivals_are_counted_once(index):
    index.record([arrival(1), arrival(2)])
    assert index.record([arrival(2), arrival(2, outcome=Outcome.DUPLICATE)]) == set()
    study = index.study("1.2")
    assert (study.instances, study.series, study.state, study.revision) == (2, 1, "RECEIVING", 1)
    assert study.modalities == ("CT",)
    assert index.known("1.2/1.2.3/1.2.3.1.dcm")
    assert not index.known("1.2/1.2.3/1.2.3.9.dcm")


def test_a_conflict_is_counted_and_does_not_replace_the_first(index):
    index.record([arrival(1)])
    index.record([arrival(1, outcome=Outcome.CONFLICT)])
    study = index.study("1.2")
    assert (study.instances, study.conflicts) == (1, 1)


def test_own_results_do_not_reopen_a_study(index, scheduled):
    scheduled()
    index.record([arrival(50, series="1.2.9", own=True)])
    assert index.study("1.2").state == "COMPLETE"
    assert index.unfinished() == {}


def test_paths_are_those_of_the_instances_named(index):
    index.record([arrival(1), arrival(2), arrival(3)])
    assert index.paths("1.2", ["1.2.3.2"]) == ["1.2/1.2.3/1.2.3.2.dcm"]
    assert len(index.paths("1.2")) == 3


def test_a_duplicate_that_the_ledger_missed_is_recorded_and_named(index):
    assert index.record([arrival(1, outcome=Outcome.DUPLICATE)]) == {"1.2"}
    assert index.study("1.2").instances == 1
