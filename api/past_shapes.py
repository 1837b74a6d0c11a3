"""What the API answers about the past: imports of it. See `schemas`."""

from datetime import datetime
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from api.schemas import FileWarning
from recipes.model import Json


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


def _example(**values: Json) -> ConfigDict:
    return ConfigDict(extra="forbid", frozen=True, json_schema_extra={"examples": [values]})


_IMPORT: dict[str, Json] = {
    "id": "0d7b0f7e-9f0f-4d8e-8f52-6f3a7a4a5c11",
    "source": "hr-portal",
    "sha256": "4e7c1c0a0f2fd1a9e3d1a3a9f7c0b1d2e3f4a5b6c7d8e9f0a1b2c3d4e5f60718",
    "imported_by": "oscar",
    "imported_at": "2026-11-27T20:00:00Z",
    "requests": 5000,
    "decisions": 6120,
    "already": 0,
    "warnings": [{"message": "not in the directory: zoe"}],
    "dry_run": False,
    "again": False,
}


class HistoryImport(_Strict):
    """What was imported of a file, or with `dry_run` would be. `already` were there by another file;
    `again`: this file was imported before, and nothing is different now. The first 100 `warnings`."""

    model_config = _example(**_IMPORT)
    id: UUID | None
    source: str
    sha256: str
    imported_by: str
    imported_at: datetime | None
    requests: int
    decisions: int
    already: int
    warnings: list[FileWarning]
    dry_run: bool
    again: bool


class HistoryImportPage(_Strict):
    model_config = _example(items=[_IMPORT], next_cursor=None)
    items: list[HistoryImport]
    next_cursor: str | None
