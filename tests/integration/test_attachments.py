"""Attachments: what a request takes, how it is kept, and how it is given back."""

import asyncio
from hashlib import sha256
from io import BytesIO
from uuid import uuid4
from zipfile import ZipFile

import httpx
import pytest

from api import people_shapes, schemas
from contract.files import LARGEST_FILE, MEDIA_TYPES
from storage import attachments
from tests.integration.house import House

PDF = b"%PDF-1.7\n%nothing more"
DOCX, XLSX = MEDIA_TYPES[".docx"], MEDIA_TYPES[".xlsx"]


def office(*names: str) -> bytes:
    made = BytesIO()
    with ZipFile(made, "w") as archive:
        for name in names:
            archive.writestr(name, "<x/>")
    return made.getvalue()


WORD = office("[Content_Types].xml", "word/document.xml")


async def attach(
    house: House,
    request: str,
    who: str = "alice",
    name: str = "offer.pdf",
    content: bytes = PDF,
    *,
    media_type: str = "application/pdf",
) -> httpx.Response:
    return await house.post(
        f"/v1/requests/{request}/attachments",
        who,
        params={"name": name},
        content=content,
        headers={"Content-Type": media_type},
    )


async def _request(house: House) -> str:
    return (await house.begun()).state.request_id


async def test_a_file_comes_back_as_it_was(house: House) -> None:
    request = await _request(house)
    made = await attach(house, request, name="Ängebot 1.pdf")
    assert made.status_code == 201, made.text
    shown = people_shapes.Attachment.model_validate(made.json())
    assert (shown.size, shown.sha256) == (len(PDF), sha256(PDF).hexdigest())
    place = made.headers["location"]
    assert place == f"/v1/requests/{request}/attachments/{shown.id}"
    found = await house.get(place, "bob")
    assert found.content == PDF
    assert found.headers["content-type"] == "application/pdf"
    assert found.headers["content-disposition"] == (
        "attachment; filename=\"_ngebot 1.pdf\"; filename*=UTF-8''%C3%84ngebot%201.pdf"
    )
    assert found.headers["x-content-type-options"] == "nosniff"
    assert found.headers["content-security-policy"] == "sandbox; default-src 'none'"
    whole = schemas.Request.model_validate(
        (await house.get(f"/v1/requests/{request}", "bob")).json()
    )
    assert whole.attachments == [shown]
    event = (await house.get(f"/v1/requests/{request}/events", "bob")).json()["items"][-1]
    assert (event["type"], event["actor"]["user"]) == ("attachment.added", "alice")
    assert event["payload"] == {
        "attachment_id": str(shown.id),
        "name": "Ängebot 1.pdf",
        "media_type": "application/pdf",
        "size": len(PDF),
        "sha256": shown.sha256,
    }
    assert house.delivery.signals == []


async def test_nobody_else_adds_or_reads(house: House) -> None:
    request, other = await _request(house), await _request(house)
    made = (await attach(house, request)).json()
    path = f"/v1/requests/{request}/attachments/{made['id']}"
    assert (await attach(house, request, "erin")).status_code == 404
    assert (await house.get(path, "erin")).status_code == 404
    # Of that request alone, whatever else the caller may see.
    elsewhere = await house.get(f"/v1/requests/{other}/attachments/{made['id']}", "alice")
    missing = await house.get(f"/v1/requests/{request}/attachments/{uuid4()}", "alice")
    for response in (elsewhere, missing):
        assert response.json()["detail"] == "there is no such attachment"


async def test_what_is_in_them_is_kept_once(house: House) -> None:
    request, other = await _request(house), await _request(house)
    first = await attach(house, request)
    again = await attach(house, request, "bob")
    assert (again.status_code, again.json()) == (200, first.json())
    assert (await attach(house, request, name="other.pdf")).status_code == 201
    assert (await attach(house, request, name="")).status_code == 422
    assert (await attach(house, other)).status_code == 201
    together = await asyncio.gather(
        *(attach(house, request, name="many.pdf", content=PDF + b"2") for _ in range(6))
    )
    assert sorted(response.status_code for response in together) == [200] * 5 + [201]
    assert await house.pool.fetchval("SELECT count(*) FROM blobs") == 2
    assert await house.pool.fetchval("SELECT count(*) FROM attachments") == 4


@pytest.mark.parametrize(
    ("name", "media_type", "content"),
    [
        ("a.PDF", "application/pdf", PDF),
        ("a.png", "image/png", b"\x89PNG\r\n\x1a\n.."),
        ("a.jpeg", "image/jpeg", b"\xff\xd8\xff\xe0"),
        ("a.webp", "image/webp", b"RIFF\x00\x00\x00\x00WEBPVP8 "),
        ("a.txt", "text/plain; charset=utf-8", "naïve".encode()),
        ("a.csv", 'Text/CSV; charset="UTF-8"', b"a,b\n"),
        ("a.docx", DOCX, WORD),
        ("a.xlsx", XLSX, office("[Content_Types].xml", "xl/workbook.xml")),
    ],
)
async def test_what_a_request_takes(
    house: House, name: str, media_type: str, content: bytes
) -> None:
    made = await attach(house, await _request(house), "bob", name, content, media_type=media_type)
    assert made.status_code == 201, made.text
    found = await house.get(made.headers["location"], "alice")
    assert found.content == content
    assert found.headers["content-disposition"].startswith("attachment; ")
    if name.endswith((".txt", ".csv")):
        assert found.headers["content-type"].endswith("; charset=utf-8")


@pytest.mark.parametrize(
    ("name", "media_type", "content", "status"),
    [
        ("a.html", "text/html", b"<script>", 422),
        ("a.svg", "image/svg+xml", b"<svg/>", 422),
        ("a.pdf.exe", "application/pdf", PDF, 422),
        ("../a.pdf", "application/pdf", PDF, 422),
        ("a\\b.pdf", "application/pdf", PDF, 422),
        (".pdf", "application/pdf", PDF, 422),
        (" a.pdf", "application/pdf", PDF, 422),
        ("a\u202efdp.pdf", "application/pdf", PDF, 422),  # reads backwards
        ("a\r\nX: y.pdf", "application/pdf", PDF, 422),
        ("a" * 197 + ".pdf", "application/pdf", PDF, 422),
        ("pdf", "application/pdf", PDF, 422),
        ("a.pdf", "application/pdf", b"", 422),
        ("a.pdf", "application/pdf", b"<html>", 422),
        ("a.png", "image/png", PDF, 422),
        ("a.txt", "text/plain", b"\xff\xfe", 422),
        ("a.txt", "text/plain", b"a\x00b", 422),
        ("a.webp", "image/webp", b"RIFF\x00\x00\x00\x00WAVE", 422),
        ("a.docx", DOCX, office("[Content_Types].xml", "xl/workbook.xml"), 422),
        ("a.docx", DOCX, office("word/document.xml"), 422),
        (
            "a.docx",
            DOCX,
            office("[Content_Types].xml", "word/document.xml", "word/vbaProject.bin"),
            422,
        ),
        ("a.docx", DOCX, b"PK\x03\x04 and nothing", 422),
        ("a.docx", DOCX, b"PK\x03\x04" + b"PK\x05\x06" + b"\xff" * 18, 422),
        (
            "a.docx",
            DOCX,
            b"PK\x03\x04" + b"PK\x06\x07" + bytes(16) + b"PK\x05\x06" + bytes(18),
            422,
        ),
        ("a.docx", DOCX, b"PK\x03\x04" + b"PK\x05\x06" + bytes(8) + b"\x09" + bytes(9), 422),
        ("a.pdf", "text/html", PDF, 415),
        ("a.pdf", "", PDF, 415),
        ("a.txt", "text/plain; charset=utf-16", b"a", 415),
        ("a.pdf", "application/pdf", PDF + bytes(LARGEST_FILE), 413),
    ],
)
async def test_what_a_request_does_not_take(
    house: House, name: str, media_type: str, content: bytes, status: int
) -> None:
    refused = await attach(
        house, await _request(house), "alice", name, content, media_type=media_type
    )
    assert refused.status_code == status, refused.text
    assert refused.headers["content-type"] == "application/problem+json"
    assert await house.pool.fetchval("SELECT count(*) FROM blobs") == 0


async def test_how_much_a_request_takes(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    request = await _request(house)
    largest = PDF + bytes(LARGEST_FILE - len(PDF))
    assert (await attach(house, request, content=largest)).status_code == 201
    monkeypatch.setattr(attachments, "LARGEST_TOTAL", LARGEST_FILE + 2 * len(PDF))
    together = await asyncio.gather(*(attach(house, request, name=f"{n}.pdf") for n in range(5)))
    assert sorted(response.status_code for response in together) == [201, 201, 409, 409, 409]
    assert (await attach(house, request, content=largest)).status_code == 200
    # Elsewhere a body is no longer than it was.
    long = await house.post(
        f"/v1/requests/{request}/comments", "alice", content=b" " * (1024 * 1024 + 1)
    )
    assert long.status_code == 413
