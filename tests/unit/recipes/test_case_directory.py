"""The directory of cases: whom it gives by which rules, and who may decide what it gave."""

from dataclasses import replace
from decimal import Decimal

import pytest

from recipes.asks import (
    Answer,
    Ask,
    AskApprover,
    AskCandidates,
    AskEmployee,
    AskHolders,
    AskManager,
    Assignment,
    Limit,
)
from recipes.case_directory import Delegation, Directory, Person
from recipes.happenings import Actor


def directory() -> Directory:
    people = {
        "alice": Person("alice", "Alice", "bob", {"department": "d"}),
        "bob": Person("bob", "Bob", "alice"),
        "carol": Person("carol", "Carol"),
    }
    return Directory(
        people, {"team": ("alice", "bob", "carol"), "me": ("alice",), "carol": ("bob",)}
    )


def test_the_directory_steps_over_the_requester() -> None:
    org = directory()

    def users(*asks: AskApprover | AskManager) -> list[str | None]:
        return [a.assignment.user if a.assignment else None for a in org.answer(asks, "alice")]

    assert users(AskApprover("s", "user:alice")) == ["bob"]
    assert users(AskManager("s", "bob")) == [None]
    assert users(AskManager("s", "carol")) == [None]
    assert users(AskApprover("s", "role:me"), AskApprover("s", "role:none")) == [None, None]
    assert users(AskApprover("s", "user:nobody"), AskApprover("s", "user:carol")) == [None, "carol"]
    assert users(AskApprover("s", "carol")) == ["bob"]
    assert users(*[AskApprover("s", "team")] * 3) == ["bob", "carol", "bob"]


def test_the_directory_knows_trees_and_candidates() -> None:
    org = directory()
    (tree,) = org.answer((AskEmployee(("manager.manager.manager.name",)),), "alice")
    assert tree.employee is not None
    assert tree.employee["manager"]["manager"]["manager"] == {"id": "bob", "name": "Bob"}
    (lone,) = org.answer((AskEmployee(("manager.name", "department")),), "carol")
    assert lone.employee == {"id": "carol", "name": "Carol"}
    asks = (AskCandidates("s", ("team", "user:carol", "team")), AskCandidates("s", ("role:me",)))
    shared, refused = org.answer(asks, "alice")
    assert shared.assignment is not None
    assert shared.assignment.candidates == ("role:team", "user:carol")
    assert refused.refusal is not None
    assert org.decider("carol", Assignment(candidates=("user:carol",)), "alice")
    assert not org.decider("carol", Assignment(candidates=("role:me", "role:none")), "alice")
    assert org.principals() >= {"role:carol", "user:carol"}


# --- the whole of it ------------------------------------------------------------------------------


def house(*delegations: tuple[str, ...], left: str = "") -> Directory:
    """req -> m -> boss -> top; a, b and c are the team and have nobody above; d to k are people."""
    above = {"req": "m", "m": "boss", "boss": "top"}
    limits = {"m": Decimal(100), "boss": Decimal(1000)}
    people = {
        name: Person(
            name,
            name,
            above.get(name),
            limits={"EUR": limits[name]} if name in limits else {},
            left=name in left.split(),
        )
        for name in ("req", "m", "boss", "top", *"abcdefghijk")
    }
    found = tuple(Delegation(*each) for each in delegations)
    return Directory(people, {"team": ("b", "a", "c"), "rest": ("req",)}, found)


def ask(org: Directory, question: Ask) -> Answer:
    (answer,) = org.answer((question,), "req", "leave")
    return answer


def given(org: Directory, question: Ask) -> Assignment:
    answer = ask(org, question)
    assert answer.assignment is not None, answer
    return answer.assignment


def refusal(org: Directory, question: Ask) -> tuple[str, str]:
    answer = ask(org, question)
    assert answer.refusal is not None, answer
    return answer.refusal.kind, answer.refusal.detail


def hops(assignment: Assignment) -> list[tuple[str, str | None]]:
    return [(hop.rule, hop.user) for hop in assignment.chain]


def test_who_has_left_is_stepped_over() -> None:
    org = house(left="m")
    found = given(org, AskApprover("s", "user:m"))
    assert (found.user, hops(found)) == ("boss", [("has_left", "m"), ("manager", "boss")])
    assert given(org, AskManager("s", "req")).user == "boss"
    org.leave("a")
    assert [given(org, AskApprover("s", "role:team")).user for _ in "ab"] == ["b", "c"]
    assert refusal(org, AskApprover("s", "user:a")) == (
        "NoApproverFound",
        "a has left and has no manager to ask",
    )
    org.come_back("a")
    assert given(org, AskApprover("s", "user:a")).user == "a"


def test_who_decided_before_is_treated_as_the_requester() -> None:
    org = house(("c", "b"))
    found = given(org, AskApprover("s", "user:m", without=("m", "boss")))
    assert hops(found) == [("decided_before", "m"), ("decided_before", "boss"), ("manager", "top")]
    assert given(org, AskManager("s", "req", without=("m",))).user == "boss"
    stepped = given(house(("m", "j")), AskApprover("s", "role:team", fixed="m", without=("j",)))
    assert (stepped.user, stepped.role) == ("boss", None)
    two = AskApprover("s", "role:team", without=("a", "b"))
    assert refusal(org, two) == ("NoApproverFound", "c has no manager to ask")
    three = AskApprover("s", "role:team", without=("a", "b", "c"))
    assert "and those who decided before" in refusal(org, three)[1]
    pool = AskCandidates("s", ("role:team",), without=("a", "b", "c"))
    assert "and those who decided before" in refusal(org, pool)[1]


def test_who_has_another_part_of_the_step_is_nobody_in_its_pool() -> None:
    org = house()
    pool = AskCandidates("s", ("role:team",), ("a",), seated=("b", "c"))
    said = refusal(org, pool)[1]
    assert said.endswith("those who decided before and those with another part of this step")
    assert given(org, replace(pool, seated=("b",))).candidates == ("role:team",)


def test_up_the_line_until_a_limit_covers_it() -> None:
    org = house(("boss", "d"))

    def upto(amount: str, currency: str = "EUR") -> AskApprover:
        return AskApprover("s", "user:m", limit=Limit(amount, currency))

    assert hops(given(org, upto("100.00"))) == [("person", "m")]
    found = given(org, upto("100.01"))
    assert (found.user, found.on_behalf_of) == ("d", "boss")
    assert hops(found)[:3] == [("person", "m"), ("below_limit", "m"), ("manager", "boss")]
    too_much = ("NoApproverFound", "nobody above m may approve that much in EUR")
    assert refusal(org, upto("1000.01")) == too_much
    assert refusal(org, upto("1", "USD"))[1] == "nobody above m may approve that much in USD"
    assert refusal(org, AskManager("s", "boss", limit=Limit("1", "EUR")))[1].startswith("nobody")
    assert (
        refusal(org, AskManager("s", "a", limit=Limit("1", "EUR")))[1] == "a has no manager to ask"
    )


def test_a_role_gives_those_who_are_there_and_again_who_had_it() -> None:
    org = house(("a", "d"), ("b", "e", "role:team"))
    assert [given(org, AskApprover("s", "team")).user for _ in "ab"] == ["c", "c"]
    kept = given(org, AskApprover("s", "team", keep="c"))
    assert [(hop.rule, hop.turn) for hop in kept.chain] == [("kept", None)]
    assert org.turns == {"team": 2}
    away = given(org, AskApprover("s", "team", keep="a"))
    assert (away.user, org.turns) == ("c", {"team": 3})
    org.leave("c")
    both = [given(org, AskApprover("s", "team")) for _ in "ab"]
    assert [(each.user, each.on_behalf_of) for each in both] == [("e", "b"), ("d", "a")]


def test_who_was_fixed_is_asked_instead() -> None:
    org = house(("a", "d"))
    fixed = given(org, AskApprover("s", "role:team", fixed="a"))
    assert (fixed.user, fixed.on_behalf_of, fixed.role) == ("d", "a", "team")
    assert hops(fixed)[0] == ("fixed", "a")
    assert given(org, AskApprover("s", "role:team", fixed="k")).user == "k"
    assert given(org, AskApprover("s", "role:team", ("k",), fixed="k")).user == "b"
    assert given(org, AskApprover("s", "user:b", fixed="req")).user == "b"
    assert given(org, AskHolders("s", ("user:a",), pool=False)).user == "a"
    assert given(org, AskHolders("s", ("team",), pool=False)).user == "c"
    pool = given(org, AskHolders("s", ("team", "user:req", "a", "user:k"), pool=True))
    assert pool.candidates == ("user:a", "user:b", "user:c", "user:k")
    assert refusal(org, AskHolders("s", ("role:rest",), pool=True)) == (
        "NoApproverFound",
        "none of role:rest can decide but the requester",
    )


def test_a_shared_task_names_nobody_unknown() -> None:
    unknown = AskCandidates("s", ("role:team", "role:ghosts", "ghost", "role:ghosts"))
    told = "the directory does not have role:ghosts, user:ghost"
    assert refusal(house(), unknown) == ("NoApproverFound", told)


def test_delegations_are_followed_five_deep() -> None:
    chain = [(one, two) for one, two in zip("abcdef", "bcdefg", strict=True)]
    far = given(house(*chain[:5]), AskApprover("s", "user:a"))
    assert (far.user, far.on_behalf_of, far.via) == ("f", "a", ("b", "c", "d", "e"))
    assert refusal(house(*chain), AskApprover("s", "user:a"))[0] == "DelegationTooDeep"
    circle = refusal(house(("a", "b"), ("b", "a")), AskApprover("s", "user:a"))
    assert circle == ("DelegationCycle", "delegations go in a circle: a -> b -> a")
    back = house(("m", "a"), ("a", "req"), ("boss", "a"))
    assert refusal(back, AskApprover("s", "user:m"))[0] == "DelegationCycle"


@pytest.mark.parametrize(
    ("delegate", "rule"), [("req", "not_the_requester"), ("k", "has_left"), ("j", "decided_before")]
)
def test_a_delegate_who_cannot_be_asked_is_stepped_over(delegate: str, rule: str) -> None:
    found = given(house(("m", delegate), left="k"), AskApprover("s", "user:m", without=("j",)))
    assert hops(found) == [("person", "m"), (rule, delegate), ("manager", "boss")]


def test_a_manager_who_delegated_in_vain_is_not_asked_again() -> None:
    org = house(("m", "boss"), ("boss", "req"))
    found = given(org, AskApprover("s", "user:m"))
    assert found.user == "top"


def test_scopes_count_in_their_order() -> None:
    org = house(
        ("a", "d", "all"),
        ("a", "e", "workflow:leave"),
        ("a", "f", "role:team"),
        ("b", "g", "role:rest"),
    )
    assert given(org, AskApprover("s", "user:a")).user == "e"
    assert given(org, AskApprover("s", "user:b")).user == "b"
    (other,) = org.answer((AskApprover("s", "role:team", fixed="a"),), "req", "expense")
    assert other.assignment is not None
    assert other.assignment.user == "f"


def test_managers_in_a_circle() -> None:
    people = {"x": Person("x", "x", "y", left=True), "y": Person("y", "y", "x", left=True)}
    assert refusal(Directory(people, {}), AskManager("s", "x"))[1] == "x has no manager to ask"
    assert refusal(Directory(people, {}), AskManager("s", "z"))[1] == "z has no manager to ask"


# --- who may decide -------------------------------------------------------------------------------


def test_who_may_decide_a_shared_task() -> None:
    org = house(("a", "d"), ("d", "e", "role:team"), ("b", "c"), ("k", "req"), left="c")
    pool = Assignment(candidates=("role:team", "user:k", "user:nobody"))

    def decider(person: str, *without: str) -> Actor | None:
        return org.decider(person, pool, "req", "leave", without)

    assert decider("a") == Actor("a", "team")
    assert decider("d") is None
    assert decider("e") == Actor("e", "team", "a", ("d",))
    assert decider("k") == Actor("k")
    assert [decider(person) for person in ("c", "req", "f", "nobody")] == [None] * 4
    assert [decider("a", "a"), decider("e", "a"), decider("e", "d")] == [None] * 3
    assert decider("b") == Actor("b", "team")
    org.leave("d")
    assert decider("e") is None


def test_a_circle_of_delegations_ends() -> None:
    org = house(("a", "d"), ("d", "a"))
    pool = Assignment(candidates=("user:a",))
    assert [org.decider(person, pool, "req") for person in "de"] == [None, None]
    chain = list(zip("abcdef", "bcdefg", strict=True))
    five, six = house(*chain[:5]), house(*chain)
    assert five.decider("f", pool, "req") == Actor("f", None, "a", ("b", "c", "d", "e"))
    assert [six.decider(person, pool, "req") for person in "fg"] == [None, None]
    assert six.decider("a", pool, "req") == Actor("a")


def test_who_may_decide_what_was_given_to_one() -> None:
    org = house()
    mine = Assignment("d", (), "team", "a", ("b",))
    assert org.decider("d", mine, "req") == Actor("d", "team", "a", ("b",))
    assert org.decider("a", mine, "req") is None
    assert org.decider("d", mine, "req", "leave", ("d",)) is None


def test_a_pool_of_those_who_delegated() -> None:
    org = house(("req", "d", "all"), ("a", "d"))
    assert refusal(org, AskCandidates("s", ("role:rest",)))[0] == "NoApproverFound"
    assert given(org, AskCandidates("s", ("user:a",))).candidates == ("user:a",)


def test_what_changes() -> None:
    org = house(("a", "d"), ("a", "e", "role:team"), ("b", "c"))
    copy = org.fresh(Delegation("c", "k"))
    org.turns["team"] = 3
    copy.delegate(Delegation("a", "f"))
    assert copy.delegated("a", ("all",)) == "f"
    assert copy.delegated("c", ("all",)) == "k"
    copy.come_back("a")
    assert copy.delegated("a", ("all", "role:team")) is None
    assert copy.delegated("b", ("all",)) == "c"
    copy.leave("a")
    assert (copy.here("a"), org.here("a"), copy.turns) == (False, True, {})
    assert org.delegated("a", ("all",)) == "d"
