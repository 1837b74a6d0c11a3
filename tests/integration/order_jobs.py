"""Functions of somebody's own, as docs/automatic-work.md describes them: what COUNTERSIGN_JOBS names in tests."""

from typing import Any

from activities.registry import Call, Refused, job

CHARGED: dict[str, Any] = {}


@job("validate_order")
async def validate_order(call: Call) -> dict[str, Any]:
    if call.inputs["amount"] <= 0:
        raise Refused("an order needs an amount above zero")
    call.log(f"order {call.inputs['order_id']} is good")
    return {"order_id": call.inputs["order_id"], "amount": call.inputs["amount"]}


@job("deduct_money")
def deduct_money(call: Call) -> dict[str, Any]:
    """Not async: it runs in a thread. The first attempt breaks after the money was taken."""
    charge = CHARGED.setdefault(call.idempotency_key, {"charge": f"ch-{len(CHARGED) + 1}"})
    if call.attempt == 1 and call.inputs.get("shaky"):
        raise ConnectionError("the bank hung up")
    return dict(charge)


@job("send_email")
async def send_email(call: Call) -> str:
    if "@" not in call.inputs["to"]:
        raise Refused(f"{call.inputs['to']} is no address")
    return f"sent to {call.inputs['to']}"


@job("create_account")
async def create_account(call: Call) -> dict[str, Any]:
    return {"account": call.inputs["name"].lower()}


@job("assign_role")
async def assign_role(call: Call) -> list[str]:
    return [call.inputs["account"], "member"]
