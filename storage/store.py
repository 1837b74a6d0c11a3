"""Where the cold tier's files are: a folder, or an object store that speaks S3.

Named by a URL: `file:///folder`, `s3://bucket/prefix`. Whoever may use a bucket is told by the variables of
AWS (`AWS_ACCESS_KEY_ID`, `AWS_REGION`, `AWS_ENDPOINT` and so on), as to any other program. A file that is
there is never put in place of another. All of it blocks: call it from a thread.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar
from urllib.parse import unquote, urlsplit
from uuid import uuid4

if TYPE_CHECKING:
    from obstore.store import ObjectStore

    from contract.manifests import File

Given = TypeVar("Given")


class StoreFailed(Exception):
    """The store could not be read or written; the text says why."""


class StoreInvalid(Exception):
    """This names no store; the text says why."""


class Damaged(StoreFailed):
    """A file is not, or not any more, what its manifest says."""


class Store(Protocol):
    """All raise StoreFailed. `url` names it."""

    @property
    def url(self) -> str: ...

    def put(self, name: str, data: bytes) -> None:
        """Keep a file, whole or not at all; the same again changes nothing."""
        ...

    def get(self, name: str) -> bytes | None: ...

    def delete(self, name: str) -> None:
        """It is not there afterwards."""
        ...

    def names(self, prefix: str) -> list[str]:
        """Of the files below `prefix`, which ends with a slash."""
        ...

    def path(self, file: "File") -> Path:
        """A file of this machine with what is in that one. Damaged if it is not as its manifest says."""
        ...


def store(url: str, cache: Path) -> Store:
    """The store of this URL. `cache` is a folder for what has to be fetched to be read. StoreInvalid if
    it names none."""
    parts = urlsplit(url)
    if parts.scheme == "file" and parts.netloc in ("", "localhost") and len(parts.path) > 1:
        return Folder(Path(unquote(parts.path)))
    if parts.scheme == "s3" and parts.netloc:
        return Objects(url, cache)
    raise StoreInvalid(f"{url!r} names no store; one is file:///folder or s3://bucket/prefix")


def check(data: bytes, file: "File") -> None:
    """Damaged if this is not the file of the manifest."""
    if len(data) != file.size or sha256(data).hexdigest() != file.sha256:
        raise Damaged(f"{file.name} is not the file that its manifest says")


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder. It must be there: one that is not mounted does not look like one that is empty."""

    root: Path

    @property
    def url(self) -> str:
        return self.root.as_uri()

    def put(self, name: str, data: bytes) -> None:
        place = self._there() / name
        try:
            if place.exists():
                _same(name, place.read_bytes(), data)
                return
            place.parent.mkdir(parents=True, exist_ok=True)
            draft = place.with_name(f".{place.name}.{uuid4().hex}")
            with draft.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            draft.replace(place)
            _settle(place.parent)
        except OSError as error:
            raise StoreFailed(f"{place}: {error}") from None

    def get(self, name: str) -> bytes | None:
        try:
            return (self._there() / name).read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StoreFailed(f"{self.root / name}: {error}") from None

    def delete(self, name: str) -> None:
        try:
            (self._there() / name).unlink(missing_ok=True)
        except OSError as error:
            raise StoreFailed(f"{self.root / name}: {error}") from None

    def names(self, prefix: str) -> list[str]:
        folder = self._there() / prefix
        try:
            found = [path for path in folder.iterdir() if path.is_file()] if folder.exists() else []
        except OSError as error:
            raise StoreFailed(f"{folder}: {error}") from None
        return sorted(f"{prefix}{path.name}" for path in found)

    def path(self, file: "File") -> Path:
        """In place: its size is looked at, `check` its bytes to know more."""
        place = self._there() / file.name
        try:
            if place.stat().st_size != file.size:
                raise Damaged(f"{place} is not the file that its manifest says")
        except OSError as error:
            raise StoreFailed(f"{place}: {error}") from None
        return place

    def _there(self) -> Path:
        if not self.root.is_dir():
            raise StoreFailed(f"{self.root} is not there: make it, or mount it")
        return self.root


class Bucket:
    """Files in an object store. A request that takes longer than `patience` fails, and is not tried again."""

    def __init__(self, url: str, patience: timedelta) -> None:
        self.url = url
        self._patience = patience
        self._store: ObjectStore | None = None

    def put(self, name: str, data: bytes) -> None:
        """Keep a file, whole or not at all; the same again changes nothing. Who is first of two is so by
        the store itself."""
        from obstore.exceptions import AlreadyExistsError

        def write(bucket: "ObjectStore") -> bytes:
            try:
                _obstore().put(bucket, name, data, mode="create", use_multipart=False)
            except AlreadyExistsError:
                return bytes(_obstore().get(bucket, name).bytes())
            return data

        _same(name, self._do(write), data)

    def get(self, name: str) -> bytes | None:
        def read(bucket: "ObjectStore") -> bytes | None:
            try:
                return bytes(_obstore().get(bucket, name).bytes())
            except FileNotFoundError:
                return None

        return self._do(read)

    def delete(self, name: str) -> None:
        if self.get(name) is not None:
            self._do(lambda bucket: _obstore().delete(bucket, name))

    def names(self, prefix: str, after: str | None = None) -> list[str]:
        """Of all files below `prefix`, which ends with a slash; with `after` those alone that are greater."""
        return self._do(
            lambda bucket: sorted(
                item["path"]
                for page in _obstore().list(bucket, prefix.rstrip("/"), offset=after)
                for item in page
            )
        )

    def folders(self, prefix: str) -> list[str]:
        """What is right below `prefix` and has files below it."""
        found = self._do(lambda bucket: _obstore().list_with_delimiter(bucket, prefix.rstrip("/")))
        return sorted(found["common_prefixes"])

    def _do(self, work: Callable[["ObjectStore"], Given]) -> Given:
        from obstore.exceptions import BaseError

        try:
            if self._store is None:
                self._store = self._opened()
            return work(self._store)
        except (BaseError, OSError, ValueError) as error:
            first = str(error).partition("\n")[0]
            raise StoreFailed(f"{self.url}: {first}") from None

    def _opened(self) -> "ObjectStore":
        from obstore.store import from_url

        return from_url(
            self.url,
            # They take the place of those of the environment, of which plain HTTP is the one in use.
            client_options={"timeout": self._patience, "allow_http": _plain_http()},
            retry_config={"retry_timeout": self._patience},
        )


class Objects(Bucket):
    """A bucket for the cold tier. What is read with DuckDB is fetched once into a folder, and checked."""

    def __init__(self, url: str, cache: Path) -> None:
        super().__init__(url, timedelta(minutes=3))
        self._cache = cache

    def path(self, file: "File") -> Path:
        place = self._cache / f"{file.sha256}.parquet"
        try:
            if place.exists() and place.stat().st_size == file.size:
                return place
            data = self.get(file.name)
            if data is None:
                raise Damaged(f"{self.url}/{file.name} is not there")
            check(data, file)
            place.parent.mkdir(parents=True, exist_ok=True)
            draft = place.with_name(f".{place.name}.{uuid4().hex}")
            draft.write_bytes(data)
            draft.replace(place)
        except OSError as error:
            raise StoreFailed(f"{place}: {error}") from None
        return place


def _plain_http() -> bool:
    return os.environ.get("AWS_ALLOW_HTTP", "").lower() in ("1", "true")


def _obstore() -> Any:
    import obstore

    return obstore


def _same(name: str, found: bytes, data: bytes) -> None:
    if found != data:
        raise StoreFailed(f"{name} is there with something else in it: it is left as it is")


def _settle(folder: Path) -> None:
    """A new name in a folder is safe on disk when the folder is."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
