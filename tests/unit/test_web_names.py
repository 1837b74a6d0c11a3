"""Whom a page must know by name, from what the API answered."""

from api.web.names import ids_in


def test_people_are_found_wherever_answers_name_them() -> None:
    task = {
        "id": "t1",
        "title": "Laptop",
        "requester": "alice",
        "claimed_by": None,
        "candidates": ["user:bob", "role:legal"],
        "decision": {"user": "carol", "decision": "approve", "via": ["dave"]},
        "notes": [{"by": "system:import"}, {"by": "erin", "text": "by"}],
    }
    assert ids_in([task], None, {"added_by": "frank"}) == {
        "alice",
        "bob",
        "carol",
        "dave",
        "erin",
        "frank",
    }


def test_nobody_is_looked_for_in_what_people_wrote() -> None:
    assert ids_in({"inputs": {"requester": "mallory"}, "payload": [{"by": "mallory"}]}) == set()
