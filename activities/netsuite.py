"""`netsuite_purchase_order`: a purchase order in NetSuite, or what speaks like it, made exactly once.

    - id: order
      run: netsuite_purchase_order
      with:
        connection: netsuite
        record:                                  # its fields, as NetSuite names them
          entity: {id: "{{ vendor }}"}
          memo: "{{ request.id }}"
          item: {items: [{item: {id: "{{ item }}"}, quantity: 1, rate: "{{ amount }}"}]}

The output is `{id, url}`. The order's `externalId` is the job's key, the same however often it is tried:

* Where an attempt was made before, the order is looked up by it, and only made if it is not there. What
  became of a call that was not answered, broke off or got a 5xx is so known before the next.
* A refusal may come because the order is there by now: made by a call that was given up and still went
  through, or asked for twice by what lies between. NetSuite takes an external id once. So after a refusal it is
  looked up, too, and only then is the refusal told, in NetSuite's words.
* An answer that does not say which order it made is no answer: it is looked up.

It is not put at `eid:...` (an upsert), which would write over what people have changed over there since.
"""

import re

from activities.registry import Call, Later, Refused, job
from activities.systems import System
from activities.transport import Answer
from recipes.model import Json

_PATH = "/record/v1/purchaseOrder"
_MADE = re.compile(rf"{_PATH}/([0-9]+)/?")
_KEYS = ("connection", "record")


@job("netsuite_purchase_order")
async def purchase_order(call: Call) -> Json:
    """`{id, url}` of the order. Refused in NetSuite's own words where it takes no such order."""
    connection, record = _asked(call.inputs)
    external_id = call.idempotency_key.replace(
        ":", "-"
    )  # letters, digits, _ and - are all it may have
    async with call.system(connection) as netsuite:
        if call.again:
            found = await _looked_up(netsuite, external_id)
            if found is not None:
                call.log(f"order {found} had been made before")
                return _output(netsuite, found)
        answer = await netsuite.send("POST", _PATH, body={**record, "externalId": external_id})
        made = _made(answer) or await _looked_up(netsuite, external_id)
        if made is not None:
            call.log(f"order {made} is made")
            return _output(netsuite, made)
        if answer.status >= 400:
            raise Refused(_words(netsuite, answer))
        raise Later(f"answers {answer.status}, but has made no order")


def _asked(inputs: dict[str, Json]) -> tuple[str, dict[str, Json]]:
    """The connection's name and the record. Refused if they are not that."""
    unknown = [name for name in inputs if name not in _KEYS]
    if unknown:
        raise Refused(f"it takes {' and '.join(_KEYS)}, not {', '.join(unknown)}")
    connection, record = inputs.get("connection"), inputs.get("record")
    if not isinstance(connection, str):
        raise Refused("`connection` must be the name of one in COUNTERSIGN_CONNECTIONS")
    if not isinstance(record, dict) or not record:
        raise Refused("`record` must be the order's fields, such as `entity: {id: ...}`")
    if "externalId" in record:
        raise Refused("`record` must not set externalId: the order is found by ours")
    return connection, record


async def _looked_up(netsuite: System, external_id: str) -> str | None:
    """The id of the order that has this external id; None if NetSuite says that there is none.

    Anything less certain must not lead to a second order: Later, or Refused.
    """
    answer = await netsuite.send("GET", f"{_PATH}/eid:{external_id}")
    body = answer.body if isinstance(answer.body, dict) else {}
    if answer.status == 404 and "o:errorDetails" in body:
        return None
    if answer.status in (401, 403):
        raise Refused(_words(netsuite, answer))
    found = str(body.get("id", ""))
    ours = body.get("externalId") in (None, external_id)
    if answer.status != 200 or not found.isdecimal() or not ours:
        raise Later(
            f"answers {answer.status} to the look-up, and neither has the order nor has not"
        )
    return found


def _made(answer: Answer) -> str | None:
    """The id of the order, where the answer says it: in its Location."""
    where = _MADE.search(answer.headers.get("location", "")) if answer.status < 300 else None
    return None if where is None else where[1]


def _output(netsuite: System, order: str) -> dict[str, Json]:
    return {"id": order, "url": netsuite.url(f"{_PATH}/{order}")}


def _words(netsuite: System, answer: Answer) -> str:
    """What NetSuite says is wrong: each detail with where it is, else what there is."""
    body = answer.body if isinstance(answer.body, dict) else {}
    details = body.get("o:errorDetails")
    told = [
        f"{detail['detail']} ({where})"
        if (where := detail.get("o:errorPath") or detail.get("o:errorCode"))
        else str(detail["detail"])
        for detail in (details if isinstance(details, list) else [])
        if isinstance(detail, dict) and detail.get("detail")
    ]
    return netsuite.told("; ".join(told) or f"answers {answer.status}: {answer.body}")
