"""What an assignment rests on, read from the chain that led to it."""

from recipes.asks import Assignment, Hop

TURN = Hop("round_robin", "bob", "hr", turn=3)
FIRST = Hop("delegation", "carol", delegation="d1")
SECOND = Hop("delegation", "dave", delegation="d2")


def test_the_delegations_that_end_the_chain_are_those_it_rests_on() -> None:
    passed_by = Hop("has_left", "erin", delegation="d0")
    assert Assignment("dave", chain=(TURN, FIRST, SECOND)).delegations == ("d1", "d2")
    assert Assignment("frank", chain=(passed_by, Hop("manager", "frank"))).delegations == ()
    assert Assignment("dave", chain=(FIRST, passed_by, SECOND)).delegations == ("d2",)
    assert Assignment("dave", chain=(FIRST, SECOND)).delegations == ("d1", "d2")


def test_the_same_people_for_another_reason_are_another_assignment() -> None:
    person = Hop("person", "dave")
    assert Assignment("dave", chain=(person,)).same(Assignment("dave", chain=(person, person)))
    assert not Assignment("dave", chain=(TURN,)).same(Assignment("dave", chain=(person,)))
    assert not Assignment("dave", chain=(FIRST,)).same(Assignment("dave", chain=(SECOND,)))
    assert not Assignment("dave").same(Assignment("erin"))
