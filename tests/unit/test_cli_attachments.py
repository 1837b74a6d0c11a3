"""Files beside a request, at a terminal."""

from pathlib import Path

import httpx
import pytest

from cli import main
from cli.output import Exit
from tests.unit.fake_api import OTHER, REQUEST, FakeApi, answer_json, request

FILE = {
    "id": OTHER,
    "name": "offer.pdf",
    "size": 4,
    "added_at": "2026-11-21T02:55:00Z",
    "added_by": "bob",
    "sha256": "ab",
}
PATH = f"/v1/requests/{REQUEST}/attachments"


def test_attach(api: FakeApi, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "scan.pdf").write_bytes(b"%PDF")
    api.answers[f"POST {PATH}"] = answer_json(201, FILE)
    scan = str(tmp_path / "scan.pdf")
    assert main.run(["request", "attach", REQUEST, scan, "--name", "offer.pdf"]) == Exit.OK
    sent = api.asked[-1]
    assert (sent.content, sent.url.params["name"]) == (b"%PDF", "offer.pdf")
    assert sent.headers["Content-Type"] == "application/pdf"
    assert main.run(["request", "attach", REQUEST, scan, "--json"]) == Exit.OK
    assert main.run(["request", "attach", REQUEST, scan, "--name", "x.exe"]) == Exit.USAGE
    assert main.run(["request", "attach", REQUEST, str(tmp_path / "no.pdf")]) == Exit.USAGE
    assert "attached: offer.pdf, 4 bytes" in capsys.readouterr().err


def test_download(
    api: FakeApi,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    shown = request("pending") | {"attachments": [FILE]}
    api.answers[f"GET /v1/requests/{REQUEST}"] = answer_json(200, shown)
    api.answers[f"GET {PATH}/{OTHER}"] = httpx.Response(200, content=b"%PDF")
    assert main.run(["request", "download", REQUEST, OTHER[:8]]) == Exit.OK
    assert (tmp_path / "offer.pdf").read_bytes() == b"%PDF"
    # Nothing is written over.
    assert main.run(["request", "download", REQUEST, "offer.pdf"]) == Exit.USAGE
    assert main.run(["request", "download", REQUEST, "offer.pdf", "--output", "two.pdf"]) == Exit.OK
    assert main.run(["request", "download", REQUEST, "other.pdf"]) == Exit.NOT_FOUND
    assert main.run(["request", "show", REQUEST]) == Exit.OK
    assert "offer.pdf" in capsys.readouterr().out
