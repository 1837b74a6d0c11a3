"""Looking for a text or a number in whatever the product wrote, in every spelling it may have taken."""

import struct
import zlib
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path

_PIECE = 64 * 2**20
_OVERLAP = 4096


class Search:
    """For words of ASCII letters and digits, and for whole numbers of 9 to 12 digits."""

    def __init__(self, words: tuple[str, ...], numbers: tuple[int, ...]) -> None:
        forms = {form for word in words for form in _of_word(word)}
        forms |= {form for number in numbers for form in _of_number(number)}
        self._forms = sorted(forms)

    def in_bytes(self, data: bytes) -> str | None:
        """What stands around a hit. One form after the other: five times as fast as one pattern of all."""
        for form in self._forms:
            at = data.find(form)
            if at >= 0:
                return repr(data[max(0, at - 120) : at + len(form) + 40])
        return None

    def in_text(self, text: str) -> str | None:
        return self.in_bytes(text.encode())

    def in_payload(self, data: bytes) -> str | None:
        """In bytes that may be compressed, from any of their first bytes on."""
        found = self.in_bytes(data)
        for begin in range(4):
            try:
                found = found or self.in_bytes(zlib.decompress(data[begin:]))
            except zlib.error:
                continue
        return found

    def in_folder(self, folder: Path) -> Iterator[tuple[Path, str]]:
        """Files with a hit. What goes away meanwhile had its time."""
        for path in sorted(folder.rglob("*")):
            if path.is_file() and not path.is_symlink():
                try:
                    hit = self._in_file(path)
                except FileNotFoundError:
                    continue
                if hit is not None:
                    yield path.relative_to(folder), hit

    def _in_file(self, path: Path) -> str | None:
        with path.open("rb") as file:
            before = b""
            while piece := file.read(_PIECE):
                hit = self.in_bytes(before + piece)
                if hit is not None:
                    return hit
                before = piece[-_OVERLAP:]
        return None


def _of_word(word: str) -> Iterator[bytes]:
    for text in (word, word.lower(), word.upper()):
        raw = text.encode()
        yield raw
        yield raw[::-1]
        yield raw.hex().encode()
        yield raw.hex().upper().encode()
        yield text.encode("utf-16-le")
        yield text.encode("utf-16-be")
        yield from _base64(raw)
        yield from _base64(text.encode("utf-16-le"))


def _of_number(number: int) -> Iterator[bytes]:
    yield from _of_word(str(number))
    yield f"{number:,}".encode()
    for layout in ("<q", ">q", "<d", ">d"):
        yield struct.pack(layout, number)
    # As Postgres keeps numbers in jsonb and numeric: digits to the base of 10,000.
    digits = []
    while number:
        number, digit = divmod(number, 10_000)
        digits.insert(0, digit)
    yield struct.pack(f"<{len(digits)}h", *digits)
    yield struct.pack(f">{len(digits)}h", *digits)


def _base64(raw: bytes) -> Iterator[bytes]:
    """What of it is the same wherever it stands in what was encoded."""
    for skip in range(3):
        encoded = b64encode(b"\0" * skip + raw).rstrip(b"=")
        yield encoded[(0, 2, 3)[skip] : len(encoded) - 1]
