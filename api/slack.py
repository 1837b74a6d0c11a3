"""Slack's buttons: who presses one decides as the person they are, by the one function that all decisions go
through, on the task as it was shown.

Slack signs what it sends; what is older than five minutes, or signed by somebody else, is refused. It waits
three seconds for an answer, so whatever there is to say besides goes into a window that it opens.
"""

from typing import Any
from urllib.parse import parse_qs
from uuid import UUID

import structlog
from fastapi import APIRouter
from pydantic import TypeAdapter, ValidationError
from pydantic_core import from_json
from slack_sdk.signature import SignatureVerifier
from starlette.requests import Request
from starlette.responses import Response

from api import bodies, deciding, errors, slack_windows
from api.auth import Caller
from api.http import answer
from api.message_shapes import SlackUser
from api.services import Services, services
from contract import buttons
from contract.buttons import Pressed
from slack_client import Slack, SlackAway, SlackRefused
from storage import slack_people, tasks

router = APIRouter(tags=["notifications"])

_log = structlog.get_logger()

_USER: TypeAdapter[str] = TypeAdapter(SlackUser)
_PATIENCE = 2
"""Seconds for opening a window: Slack gives up after three."""


@router.post("/slack/interactivity", include_in_schema=False)
async def interact(request: Request) -> Response:
    """What somebody pressed or sent in Slack."""
    house = services(request)
    payload = _payload(house, dict(request.headers), await request.body())
    slack_user = _user(payload)
    person = slack_user and await slack_people.person_of(house.pool, slack_user)
    caller = Caller(person) if person else None
    match payload.get("type"):
        case "block_actions":
            return await _pressed(house, caller, payload)
        case "view_submission":
            return await _sent(house, caller, payload)
        case _:
            return Response()


def _payload(house: Services, headers: dict[str, str], body: bytes) -> dict[str, Any]:
    """What Slack says, if Slack says it. Problem 401 or 404; 400 if it is not what Slack sends."""
    secret = house.settings.slack_signing_secret
    if secret is None:
        raise errors.not_found("Slack app here (COUNTERSIGN_SLACK_SIGNING_SECRET)")
    verifier = SignatureVerifier(secret.get_secret_value())
    try:
        signed = verifier.is_valid_request(body, headers)
    except (ValueError, TypeError):
        signed = False
    if not signed:
        raise errors.Problem(401, "unauthenticated", "Slack did not sign this now")
    try:
        [text] = parse_qs(body.decode(), strict_parsing=True)["payload"]
        payload = from_json(text)
    except (ValueError, KeyError):
        payload = None
    if not isinstance(payload, dict):
        raise errors.Problem(400, "not_slack", "this is not what Slack sends")
    return payload


def _user(payload: dict[str, Any]) -> str | None:
    """Who it is in Slack; None if that is nobody."""
    try:
        return _USER.validate_python(payload["user"]["id"])
    except (KeyError, TypeError, ValidationError):
        return None


async def _pressed(house: Services, caller: Caller | None, payload: dict[str, Any]) -> Response:
    """A button: decide, or ask in a window for what the decision needs besides."""
    pressed = _button(payload)
    if pressed is None:
        return Response()  # a link, or a button of another age: it does nothing
    if caller is None:
        await _open(house, payload, slack_windows.told(_NOBODY))
        return Response()
    window = await _asks(house, caller, pressed)
    if window is None:
        verdict = await _decide(house, caller, pressed)
        if isinstance(verdict, errors.Problem):
            window = slack_windows.told(verdict.detail)
    if window is not None:
        await _open(house, payload, window)
    return Response()


_NOBODY = (
    "It is not known here who you are. An administrator can say so: countersign message slack PERSON"
    " USER, with the member ID of your profile."
)


def _button(payload: dict[str, Any]) -> Pressed | None:
    try:
        [action] = payload["actions"]
        ours = action["action_id"].startswith(buttons.PREFIX)
        return buttons.read(action["value"]) if ours else None
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


async def _asks(house: Services, caller: Caller, pressed: Pressed) -> dict[str, Any] | None:
    """The window that asks for what the decision needs; None if it needs nothing, or cannot be: then
    deciding says why."""
    row = await tasks.load(house.pool, pressed.task_id, caller.id)
    if row is None or row["state"] != "open":
        return None
    return slack_windows.asking(pressed, deciding.offer_of(row))


async def _sent(house: Services, caller: Caller | None, payload: dict[str, Any]) -> Response:
    """A window that was filled in: decide. What is missing is said at its field."""
    try:
        view = payload["view"]
        pressed = buttons.read(view["private_metadata"])
        said = slack_windows.said(view["state"]["values"])
    except (KeyError, TypeError, AttributeError):
        return Response()
    if pressed is None:
        return Response()
    if caller is None:
        return _shows(slack_windows.told(_NOBODY))
    verdict = await _decide(house, caller, pressed, **said)
    if not isinstance(verdict, errors.Problem):
        return answer({"response_action": "clear"})
    field = slack_windows.field_of(verdict)
    if field is not None:
        return answer({"response_action": "errors", "errors": {field: verdict.detail}})
    return _shows(slack_windows.told(verdict.detail))


def _shows(window: dict[str, Any]) -> Response:
    return answer({"response_action": "update", "view": window})


async def _decide(
    house: Services, caller: Caller, pressed: Pressed, **said: str | None
) -> deciding.Verdict:
    try:
        body = bodies.DecisionBody(decision=pressed.decision, digest=pressed.digest, **said)
    except ValueError:
        return errors.invalid("that cannot be a decision")
    [verdict] = await deciding.decide(
        house, caller, [deciding.Item(UUID(str(pressed.task_id)), body)]
    )
    return verdict


async def _open(house: Services, payload: dict[str, Any], window: dict[str, Any]) -> None:
    """Where that fails nothing is lost: the message still links to the page."""
    token = house.settings.slack_token
    assert token is not None
    slack = Slack(token.get_secret_value(), house.settings.slack_url, _PATIENCE)
    try:
        await slack.call("views.open", trigger_id=payload.get("trigger_id"), view=window)
    except (SlackAway, SlackRefused) as error:
        _log.warning("no window could be opened", why=str(error))
