from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from node.inbound.studies import Completeness, CompleteStudy, Evidence

QUIET = 5.0
INTERRUPTED = 60.0


def test_a_study_is_due_after_quiet_time_with_the_evidence():
    completeness = Completeness(QUIET, INTERRUPTED)
    completeness.arrived("1", "a", 10.0)
    completeness.arrived("1", "b", 12.0)
    completeness.association_ended("a", whole=True)
    completeness.association_ended("b", whole=True)
    assert completeness.due(16.9) == ()
    evidence = Evidence(quiet_seconds=5.5, instances=2, associations=2, last_arrival=12.0, interrupted=False)
    assert completeness.due(17.5) == (CompleteStudy("1", evidence),)
    assert completeness.due(100.0) == ()


def test_an_open_association_that_brought_an_instance_holds_its_study_back():
    completeness = Completeness(QUIET, INTERRUPTED)
    completeness.arrived("1", "a", 0.0)
    completeness.arrived("2", "b", 0.0)
    completeness.association_ended("b", whole=True)
    assert [study.study_instance_uid for study in completeness.due(60.0)] == ["2"]
    completeness.association_ended("a", whole=True)
    assert [study.study_instance_uid for study in completeness.due(60.0)] == ["1"]


def test_an_association_that_brought_nothing_new_holds_nothing_back():
    completeness = Completeness(QUIET, INTERRUPTED)
    completeness.arrived("1", "a", 0.0)
    completeness.association_ended("a", whole=True)
    completeness.association_ended("one that only repeated instances", whole=True)
    assert len(completeness.due(5.0)) == 1


def test_a_late_instance_starts_a_round_of_its_own():
    completeness = Completeness(QUIET, INTERRUPTED)
    completeness.arrived("1", "a", 0.0)
    completeness.association_ended("a", whole=True)
    completeness.due(5.0)
    completeness.arrived("1", "late", 8.0)
    completeness.association_ended("late", whole=True)
    [again] = completeness.due(13.0)
    assert (again.evidence.instances, again.evidence.associations) == (1, 1)


def test_an_arrival_told_late_does_not_turn_the_clock_back():
    completeness = Completeness(QUIET, INTERRUPTED)
    completeness.restore("1", 3.0)
    completeness.restore("1", 1.0)
    assert completeness.due(62.0) == ()
    assert len(completeness.due(63.0)) == 1


def test_a_restored_study_is_due_without_another_arrival():
    completeness = Completeness(QUIET, INTERRUPTED)
    completeness.restore("1", -2.0)
    [study] = completeness.due(58.0)
    assert study.evidence == Evidence(
        quiet_seconds=60.0, instances=0, associations=0, last_arrival=-2.0, interrupted=True
    )


def test_a_study_whose_association_broke_off_waits_for_the_sender_to_try_again():
    completeness = Completeness(QUIET, INTERRUPTED)
    completeness.arrived("1", "a", 0.0)
    completeness.association_ended("a", whole=False)
    assert completeness.due(59.0) == ()
    completeness.arrived("1", "again", 59.0)
    completeness.association_ended("again", whole=True)
    [study] = completeness.due(64.0)
    assert (study.evidence.instances, study.evidence.interrupted) == (2, False)


def test_a_study_that_nobody_tries_again_is_due_in_the_end_and_says_so():
    completeness = Completeness(QUIET, INTERRUPTED)
    completeness.arrived("1", "a", 0.0)
    completeness.association_ended("a", whole=False)
    [study] = completeness.due(60.0)
    assert study.evidence.interrupted


def test_the_longest_quiet_study_comes_first():
    completeness = Completeness(QUIET, INTERRUPTED)
    for uid, at in (("1", 3.0), ("2", 1.0), ("3", 2.0)):
        completeness.restore(uid, at)
    assert [study.study_instance_uid for study in completeness.due(99.0)] == ["2", "3", "1"]


class Arrivals(RuleBasedStateMachine):
    """Against a plain account of what is outstanding: nothing lost, nothing early, nothing twice."""

    studies = st.sampled_from(["1", "2", "3"])
    associations = st.integers(0, 3)
    pauses = st.sampled_from([0.0, 0.5, QUIET - 0.5, QUIET, 2 * QUIET, INTERRUPTED])

    def __init__(self) -> None:
        super().__init__()
        self.completeness = Completeness(QUIET, INTERRUPTED)
        self.now = 0.0
        self.generation = dict.fromkeys(range(4), 0)
        self.outstanding: dict[str, list[tuple[float, str]]] = {}
        self.open: dict[str, set[str]] = {}
        self.interrupted: dict[str, bool] = {}

    def key(self, association: int) -> str:
        return f"{association}.{self.generation[association]}"

    @rule(study=studies, association=associations)
    def an_instance_arrives(self, study: str, association: int) -> None:
        key = self.key(association)
        self.completeness.arrived(study, key, self.now)
        self.outstanding.setdefault(study, []).append((self.now, key))
        self.open.setdefault(key, set()).add(study)

    @rule(association=associations, whole=st.booleans())
    def an_association_ends(self, association: int, whole: bool) -> None:
        self.completeness.association_ended(self.key(association), whole)
        for study in self.open.pop(self.key(association), ()):
            self.interrupted[study] = not whole
        self.generation[association] += 1

    @rule(seconds=pauses)
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @invariant()
    def exactly_the_quiet_and_closed_studies_are_due(self) -> None:
        carried = set().union(*self.open.values())
        expected = {
            study
            for study, arrivals in self.outstanding.items()
            if study not in carried
            and self.now - arrivals[-1][0] >= (INTERRUPTED if self.interrupted[study] else QUIET)
        }
        due = self.completeness.due(self.now)
        assert sorted(study.study_instance_uid for study in due) == sorted(expected)
        for study in due:
            arrivals = self.outstanding.pop(study.study_instance_uid)
            assert study.evidence == Evidence(
                quiet_seconds=self.now - arrivals[-1][0],
                instances=len(arrivals),
                associations=len({key for _, key in arrivals}),
                last_arrival=arrivals[-1][0],
                interrupted=self.interrupted.pop(study.study_instance_uid),
            )

    def teardown(self) -> None:
        for association in range(4):
            self.an_association_ends(association, whole=True)
        self.time_passes(INTERRUPTED)
        self.exactly_the_quiet_and_closed_studies_are_due()
        assert self.outstanding == {}


TestArrivals = Arrivals.TestCase
