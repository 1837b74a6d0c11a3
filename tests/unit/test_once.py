"""How calls under an `Idempotency-Key` are carried out: said of calls that there are, and of each once."""

from api import once
from api.app import create_app
from settings import Settings


def test_the_ways_are_of_calls_that_there_are() -> None:
    paths = create_app(Settings()).openapi()["paths"]
    there = {f"{verb.upper()} {path}" for path, verbs in paths.items() for verb in verbs}
    assert once.WAY_OF.keys() <= there
    said = [call for calls in once.WAYS.values() for call in calls.splitlines() if call.strip()]
    assert len(said) == len(once.WAY_OF)


def test_what_changes_nothing_takes_no_key() -> None:
    assert once.way_of("GET /v1/requests") == "nothing"
    assert once.way_of("POST /slack/interactivity") == "nothing"
    assert once.way_of("POST /v1/decisions/preview") == "nothing"
    assert once.way_of("POST /v1/requests/{request_id}/cancel") == "together"
