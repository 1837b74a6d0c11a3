"""What people wrote, inside audit payloads: sealed before a row is chained, opened for whoever may read it.

A payload of a request that has keys keeps in the clear what happened: ids, steps, decisions, outcomes,
times. What people wrote is in its member `sealed`, a list of

    {"box": base64, "names": ["comment"], "scope": "shared", "sha256": hex}

`names` tells which members are inside. The plain text is canonical JSON of those members and a random
`salt`; `sha256` is its hash. So whoever is shown the plain text can hold it against the body without any
key, and once the keys are destroyed nobody can try what it may have been.
"""

import secrets
from base64 import b64decode, b64encode
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic_core import from_json, to_json

from contract import boxes
from contract.boxes import CannotOpen, Keys, Scope
from contract.canonical import canonical
from recipes.model import Json

SEALED = "sealed"
CONTENT = frozenset(
    [
        "title",
        "inputs",
        "comment",
        "text",
        "reason",
        "message",
        "detail",
        "failure",
        "name",
        "sha256",
        "inputs_sha256",
        "output_sha256",
    ]
)
"""Members of payloads that hold what people wrote, or what can be guessed from it."""
_OF_JOBS = frozenset(["failure", "inputs_sha256", "output_sha256"])
"""What a job was given, gave and said may quote any input: as secret as the most secret of them."""
_TOGETHER = ("inputs",)
"""Of these some parts are confidential and others are not."""


def sealed(payload: Mapping[str, Json], keys: Keys) -> dict[str, Json]:
    """The payload as its row is to have it."""
    clear = {name: value for name, value in payload.items() if name not in CONTENT}
    written = {
        name: value for name, value in payload.items() if name in CONTENT and value is not None
    }
    clear |= {name: None for name in payload if name in CONTENT and payload[name] is None}
    parts = [_box(keys, scope, part) for scope, part in split(written, keys) if part]
    return {**clear, SEALED: parts} if parts else clear


def split(written: Mapping[str, Json], keys: Keys) -> Iterator[tuple[Scope, dict[str, Json]]]:
    """What people wrote, by the key it goes under."""
    if not keys.private or keys.fields is None:
        yield keys.widest, dict(written)
        return
    shared = {name: value for name, value in written.items() if name not in _OF_JOBS}
    confidential = {name: value for name, value in written.items() if name in _OF_JOBS}
    inputs = written.get("inputs")
    if isinstance(inputs, Mapping):
        kept = {name: inputs[name] for name in inputs if name in keys.fields}
        shared["inputs"] = {name: inputs[name] for name in inputs if name not in keys.fields}
        if kept:
            confidential["inputs"] = kept
    yield "shared", shared
    yield "confidential", confidential


@dataclass(frozen=True, slots=True)
class Opened:
    """A payload as it was, as far as somebody's keys open it: without the members that are `withheld`.
    `disclosed` are the plain texts of what was opened, each to be held against the hash in the body."""

    payload: dict[str, Json]
    withheld: tuple[str, ...] = ()
    disclosed: tuple[str, ...] = ()


def opened(payload: Mapping[str, Json], keys: Keys | None) -> Opened:
    """What a row's payload says to a holder of these keys; None where they are not there any more, or
    never were. CannotOpen if a box is damaged."""
    parts: Any = payload.get(SEALED)
    if not isinstance(parts, list):
        return Opened(dict(payload))
    found = {name: value for name, value in payload.items() if name != SEALED}
    withheld: dict[str, None] = {}
    texts: list[str] = []
    for part in parts:
        if keys is None or not keys.holds(part["scope"]):
            withheld |= dict.fromkeys(part["names"])
            continue
        plain = _plain(part, keys)
        texts.append(plain.decode())
        members: dict[str, Json] = from_json(plain)
        del members["salt"]
        for name, value in members.items():
            before = found.get(name)
            both = name in _TOGETHER and isinstance(before, dict) and isinstance(value, dict)
            found[name] = {**before, **value} if both else value
    return Opened(found, tuple(withheld), tuple(texts))


def _plain(part: Mapping[str, Any], keys: Keys) -> bytes:
    """The plain text of a part of `sealed`, of which the body has the hash. CannotOpen."""
    try:
        plain = boxes.open_box(keys, part["scope"], b64decode(part["box"], validate=True))
    except (KeyError, TypeError, ValueError):
        raise CannotOpen("this is no sealed part of a payload") from None
    if boxes.commitment(plain) != part.get("sha256"):
        raise CannotOpen("what is sealed is not what its hash says")
    return plain


def _box(keys: Keys, scope: Scope, members: Mapping[str, Json]) -> dict[str, Json]:
    plain = canonical({**members, "salt": secrets.token_hex(16)}).encode()
    return {
        "box": b64encode(boxes.seal(keys, scope, plain)).decode(),
        "names": sorted(members),
        "scope": scope,
        "sha256": boxes.commitment(plain),
    }


# --- whole values ---

_BOX = "box"


def boxed(value: Json, keys: Keys | None) -> Json:
    """The value in a box that its request's strictest key opens: {"kind": "box", "box": base64}. As it
    is where a request has no keys."""
    if keys is None:
        return value
    plain = to_json(value)
    return {
        "kind": _BOX,
        _BOX: b64encode(boxes.seal(keys, keys.strictest, plain)).decode(),
    }


def unboxed(value: Json, keys: Keys | None) -> Any:
    """What `boxed` made a box of. CannotOpen, also where the keys are not there any more."""
    if not is_boxed(value):
        return value
    assert isinstance(value, dict)
    if keys is None:
        raise CannotOpen("its keys are destroyed, or never were")
    return from_json(boxes.open_box(keys, keys.strictest, b64decode(str(value[_BOX]))))


def is_boxed(value: Json) -> bool:
    return isinstance(value, dict) and value.get("kind") == _BOX


# --- columns ---


@dataclass(frozen=True, slots=True)
class Subject:
    """What a request is about, as its row has it: `box` has what is confidential of title and inputs."""

    title: str
    inputs: dict[str, Json]
    box: bytes | None = None


def plain_title(workflow: str) -> str:
    """What a request is called where its own title is not known, or not for everybody."""
    return workflow.replace("_", " ").capitalize()


def kept_subject(
    title: str, inputs: Mapping[str, Json], workflow: str, keys: Keys | None
) -> Subject:
    """A request's title and inputs, as its row is to have them."""
    if keys is None or not keys.private:
        return Subject(title, dict(inputs))
    parts = dict(split({"title": title, "inputs": dict(inputs)}, keys))
    clear, secret = parts.get("shared", {}), parts["confidential"]
    # As JSON as it came: numbers keep their kind, which canonical JSON would make texts of.
    box = boxes.seal(keys, "confidential", to_json(secret)) if secret else None
    told: Any = clear.get("title", plain_title(workflow))
    left: Any = clear.get("inputs", {})
    return Subject(told, left, box)


def opened_subject(kept: Subject, keys: Keys | None) -> Subject:
    """As it was, for a holder of all of its request's keys. CannotOpen."""
    if kept.box is None or keys is None:
        return kept
    secret = from_json(boxes.open_box(keys, "confidential", kept.box))
    return Subject(secret.get("title", kept.title), {**kept.inputs, **secret["inputs"]})


def kept_text(text: str | None, keys: Keys | None) -> str | None:
    """What somebody wrote, as its column is to have it: a box (base64) where all of its request is
    confidential."""
    return _kept(text, keys) if keys is not None and keys.whole else text


def shown_text(text: str | None, keys: Keys | None) -> str | None:
    """What `kept_text` kept; None where these keys do not open it. CannotOpen if it is damaged."""
    return _shown(text, keys) if keys is not None and keys.whole else text


def kept_said(text: str | None, keys: Keys | None) -> str | None:
    """What a job said, as its column is to have it: it may quote any input, so it is a box where anything
    of its request is confidential."""
    return _kept(text, keys) if keys is not None and keys.private else text


def shown_said(text: str | None, keys: Keys | None) -> str | None:
    """What `kept_said` kept; None where these keys do not open it. CannotOpen if it is damaged."""
    return _shown(text, keys) if keys is not None and keys.private else text


def _kept(text: str | None, keys: Keys) -> str | None:
    if text is None:
        return None
    return b64encode(boxes.seal(keys, "confidential", text.encode())).decode()


def _shown(text: str | None, keys: Keys) -> str | None:
    if text is None or not keys.holds("confidential"):
        return None
    return boxes.open_box(keys, "confidential", b64decode(text)).decode()
