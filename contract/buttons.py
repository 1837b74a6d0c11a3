"""What a button in a chat says when it is pressed: which decision on which task, as it was looked at."""

from dataclasses import dataclass
from uuid import UUID

from pydantic import TypeAdapter, ValidationError

PREFIX = "decide:"
"""Of the ids of such buttons; the outcome's own follows."""


@dataclass(frozen=True, slots=True)
class Pressed:
    """`digest` binds the decision to what the message showed."""

    task_id: UUID
    decision: str
    digest: str

    def text(self) -> str:
        return _PRESSED.dump_json(self).decode()


_PRESSED: TypeAdapter[Pressed] = TypeAdapter(Pressed)


def read(text: str) -> Pressed | None:
    """What `Pressed.text` gave; None if it is not that."""
    try:
        return _PRESSED.validate_json(text)
    except ValidationError:
        return None
