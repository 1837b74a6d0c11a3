"""What a file really is: its name, its declared type and its first bytes have to agree."""

import unicodedata
from io import BytesIO
from zipfile import BadZipFile, ZipFile

from contract.files import MEDIA_TYPES

_MAGIC = {
    "application/pdf": b"%PDF-",
    "image/png": b"\x89PNG\r\n\x1a\n",
    "image/jpeg": b"\xff\xd8\xff",
}
_FOLDERS = {MEDIA_TYPES[".docx"]: "word/", MEDIA_TYPES[".xlsx"]: "xl/"}
_LONGEST_NAME = 200
_LARGEST_DIRECTORY = 1024 * 1024
"""Bytes of the list of what is in an office file: some thousand entries."""
_END, _END_SIZE, _LOCATOR = b"PK\x05\x06", 22, b"PK\x06\x07"


def name_problem(name: str) -> str | None:
    """What is wrong with a file's name: it is shown to people, and becomes one on their machines."""
    if not name.strip() or len(name) > _LONGEST_NAME:
        return f"has 1 to {_LONGEST_NAME} characters"
    if name != name.strip() or name.startswith("."):
        return "must not begin with a dot, nor begin or end with a blank"
    if any(char in '/\\:*?"<>|' or unicodedata.category(char)[0] == "C" for char in name):
        return 'must not hold any of / \\ : * ? " < > | nor characters that cannot be seen'
    if ending(name) not in MEDIA_TYPES:
        return f"must end with one of {' '.join(MEDIA_TYPES)}"
    return None


def type_problem(name: str, declared: str) -> str | None:
    """What is wrong with the `Content-Type` of a file of that name, a good one."""
    media_type, _, parameters = (part.strip().lower() for part in declared.partition(";"))
    expected = MEDIA_TYPES[ending(name)]
    if media_type != expected:
        return f"{name} is sent as {expected}, not as {media_type or 'nothing'}"
    if parameters and parameters.replace('"', "") not in ("charset=utf-8", "charset=us-ascii"):
        return f"{parameters}: texts are in UTF-8"
    return None


def content_problem(name: str, content: bytes) -> str | None:
    """What is wrong with the bytes of a file of that name, a good one."""
    if not content:
        return "the file is empty"
    media_type = MEDIA_TYPES[ending(name)]
    if _is(media_type, content):
        return None
    return f"what is in {name} is not {media_type}"


def _is(media_type: str, content: bytes) -> bool:
    if media_type in _MAGIC:
        return content.startswith(_MAGIC[media_type])
    if media_type == "image/webp":
        return content.startswith(b"RIFF") and content[8:12] == b"WEBP"
    if media_type in _FOLDERS:
        return _is_office(content, _FOLDERS[media_type])
    return _is_text(content)


def _is_text(content: bytes) -> bool:
    if b"\x00" in content:
        return False
    try:
        content.decode()
    except UnicodeDecodeError:
        return False
    return True


def _is_office(content: bytes, folder: str) -> bool:
    """A zip with the parts of such a document, and no macros. Nothing of it is unpacked."""
    end = content.rfind(_END, max(0, len(content) - _END_SIZE - 0xFFFF))
    if not content.startswith(b"PK\x03\x04") or end < 0:
        return False
    if int.from_bytes(content[end + 12 : end + 16], "little") > _LARGEST_DIRECTORY:
        return False
    if content[max(0, end - 20) : end].startswith(_LOCATOR):
        return False  # of more than 4 GiB, or made to look like it
    try:
        with ZipFile(BytesIO(content)) as archive:
            names = archive.namelist()
    except (BadZipFile, ValueError, NotImplementedError, EOFError, OSError):
        return False
    if any(name.lower().endswith("vbaproject.bin") for name in names):
        return False
    return "[Content_Types].xml" in names and any(name.startswith(folder) for name in names)


def ending(name: str) -> str:
    """`.pdf` of `Offer.PDF`."""
    dot = name.rfind(".")
    return name[dot:].lower() if dot > 0 else ""
