"""Checkpoints as signed notes: as C2SP has them, and refused when anything about them is not right."""

from base64 import b64decode, b64encode
from datetime import UTC, datetime

import pytest

from contract import notes
from contract.notes import Checkpoint, KeyInvalid, NoteInvalid, PrivateKey

TIME = datetime(2026, 11, 27, 19, 0, tzinfo=UTC)
OLD = PrivateKey("example.org/audit", bytes(range(32)))
NEW = PrivateKey("example.org/audit", bytes(range(1, 33)))
HERE = Checkpoint("example.org/audit", 7, bytes(range(32)), TIME)


def test_the_examples_of_the_specification() -> None:
    """A key and a signature of a program that is not ours (C2SP signed-note; Go's sumdb/note)."""
    key = notes.public_key("PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW")
    text = (
        "If you think cryptography is the answer to your problem,\n"
        "then you don't know what your problem is.\n"
    )
    signature = b64decode(
        "x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM="
    )
    assert signature[:4] == key.id
    assert key.signed(text, signature[4:])
    assert not key.signed(text + " ", signature[4:])


def test_a_checkpoint_is_signed_and_opened() -> None:
    note = notes.signed(HERE, [OLD])
    lines = note.split("\n")
    assert lines[:4] == [
        "example.org/audit",
        "7",
        b64encode(HERE.root).decode(),
        "time 2026-11-27T19:00:00.000000Z",
    ]
    assert lines[4] == ""
    assert lines[5].startswith("— example.org/audit ")
    assert lines[6:] == [""]
    assert notes.opened(note, [NEW.public, OLD.public]) == HERE


def test_a_new_key_is_announced_by_the_old_one() -> None:
    both = Checkpoint(HERE.origin, 8, HERE.root, TIME, (NEW.public,))
    note = notes.signed(both, [OLD, NEW])
    assert notes.announced([OLD.public], note) == (OLD.public, NEW.public)
    assert notes.opened(note, [NEW.public]).keys == (NEW.public,)
    with pytest.raises(NoteInvalid, match="none of the trusted keys"):
        notes.announced([PrivateKey("example.org/audit", bytes(32)).public], note)


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("\n7\n", "\n8\n", "not of this text"),
        ("time 2026", "time 2027", "not of this text"),
        ("— example.org/audit ", "— example.org/other ", "none of the trusted"),
        ("\n\n", "\n", "no signature"),
        ("— ", "- ", "no signature"),
    ],
)
def test_a_note_that_was_changed_is_refused(old: str, new: str, why: str) -> None:
    note = notes.signed(HERE, [OLD])
    assert old in note
    with pytest.raises(NoteInvalid, match=why):
        notes.opened(note.replace(old, new, 1), [OLD.public])


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("\n7\n", "\n07\n", "a line each"),
        ("\n7\n", "\nx\n", "a line each"),
        ("time 2026", "tome 2026", "does not say its time"),
        ("time 2026-11-27T19:00:00.000000Z", "time yesterday", "Invalid isoformat"),
        ("time 2026-11-27T19:00:00.000000Z", "time 2026-11-27T19:00:00", "does not say its time"),
        ("time", "key x\ntime", "NAME"),
    ],
)
def test_what_is_no_checkpoint_is_refused_although_signed(old: str, new: str, why: str) -> None:
    text = HERE.text().replace(old, new, 1)
    line = b64encode(OLD.public.id + OLD.sign(text)).decode()
    with pytest.raises(NoteInvalid, match=why):
        notes.opened(f"{text}\n— {OLD.name} {line}\n", [OLD.public])


def test_keys_survive_their_text_forms() -> None:
    assert notes.public_key(str(OLD.public)) == OLD.public
    assert notes.private_key(OLD.written()) == OLD
    page = f"# of 2026\n{OLD.written()}\n\n{NEW.written()}\n"
    assert notes.keys_of(page) == [OLD, NEW]
    assert notes.public_keys_of(f"{OLD.public}\n{NEW.public}\n") == [OLD.public, NEW.public]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "no key"),
        ("x", "does not begin"),
        ("PRIVATE+KEY+x", "NAME"),
        (OLD.written()[:-4], "no Ed25519"),
        (OLD.written().replace("audit", "budit"), "cut or changed"),
        (OLD.written().replace("audit", "au dit"), "is no name"),
        (OLD.written().replace("+AQ", "+Ag"), "no Ed25519"),
        (OLD.written()[:-1] + "!", "NAME"),
        (f"{OLD.written()}\n{PrivateKey('b', bytes(32)).written()}", "different trees"),
    ],
)
def test_bad_keys_are_refused_without_their_secret(text: str, why: str) -> None:
    with pytest.raises(KeyInvalid, match=why) as refused:
        notes.keys_of(text)
    assert OLD.written()[-20:-4] not in str(refused.value)


def test_a_public_key_with_another_id_is_refused() -> None:
    with pytest.raises(KeyInvalid, match="cut or changed"):
        notes.public_key(str(OLD.public).replace("audit+", "audit2+"))
