"""Where checkpoints are kept besides the database: whoever can change that must not reach these.

A witness is named by a URL: `file:///folder`, `git+file:///repository`, or `s3://bucket/prefix`. It keeps every
checkpoint it is given, by the name of the tree, and never puts another one in its place. All of it blocks:
call it from a thread.
"""

import os
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Protocol
from urllib.parse import quote, unquote, urlsplit
from uuid import uuid4

from contract import notes
from contract.notes import Checkpoint, NoteInvalid
from storage.store import Bucket, StoreFailed

_LATEST = "latest.note"


class WitnessFailed(Exception):
    """A witness could not be read or written; the text says why."""


class WitnessInvalid(Exception):
    """This names no witness; the text says why."""


class Witness(Protocol):
    """A place for checkpoints; `url` names it. All raise WitnessFailed."""

    @property
    def url(self) -> str: ...

    def latest(self, origin: str) -> str | None:
        """The note that was kept last of this tree."""
        ...

    def keep(self, checkpoint: Checkpoint, note: str) -> None:
        """Keep a note, which says `checkpoint`; the same again changes nothing."""
        ...

    def kept(self) -> Iterator[str]:
        """Every note there, of whichever tree, oldest first of each."""
        ...


def witness(url: str) -> Witness:
    """The witness of this URL. WitnessInvalid if it names none."""
    parts = urlsplit(url)
    if parts.netloc in ("", "localhost") and len(parts.path) > 1:
        path = Path(unquote(parts.path))
        if parts.scheme == "file":
            return Folder(path)
        if parts.scheme == "git+file":
            return Repository(path)
    if parts.scheme == "s3" and parts.netloc:
        return Objects(url)
    raise WitnessInvalid(
        f"{url!r} names no witness; one is file:///folder, git+file:///repository or s3://bucket/prefix"
    )


def witnesses(urls: str) -> list[Witness]:
    """Those of a list with commas. WitnessInvalid if one of them is none."""
    return [witness(url.strip()) for url in urls.split(",") if url.strip()]


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder, best of another machine, or one that nobody here may delete from. Each tree has one
    below it, with a file for each checkpoint, by day, size and time; `latest.note` is the newest."""

    path: Path

    @property
    def url(self) -> str:
        return self.path.as_uri()

    def latest(self, origin: str) -> str | None:
        try:
            self._there()
            return (self._tree(origin) / _LATEST).read_text()
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError) as error:
            raise WitnessFailed(f"{self.path}: {error}") from None

    def keep(self, checkpoint: Checkpoint, note: str) -> None:
        tree = self._tree(checkpoint.origin)
        place = tree / _name(checkpoint)
        try:
            self._there()
            place.parent.mkdir(parents=True, exist_ok=True)
            if not _made(place, note) and place.read_text() != note:
                raise WitnessFailed(f"{place} says something else: it is left as it is")
            latest = tree / _LATEST
            if not _newer(latest, checkpoint):
                _draft(latest, note).replace(latest)
        except (OSError, UnicodeDecodeError) as error:
            raise WitnessFailed(f"{self.path}: {error}") from None

    def kept(self) -> Iterator[str]:
        try:
            self._there()
            for place in sorted(self.path.glob("*/*/*.note")):
                yield place.read_text()
        except (OSError, UnicodeDecodeError) as error:
            raise WitnessFailed(f"{self.path}: {error}") from None

    def _tree(self, origin: str) -> Path:
        return self.path / quote(origin, safe="")

    def _there(self) -> None:
        """A folder that is not mounted must not look like one that is empty."""
        if not self.path.is_dir():
            raise WitnessFailed(f"{self.path} is not there: make it, or mount it")


def _name(checkpoint: Checkpoint) -> str:
    """By day, size and time: as names are in order, so are checkpoints."""
    day = f"{checkpoint.time:%Y-%m-%d}"
    return f"{day}/{checkpoint.size:015d}-{checkpoint.time:%H%M%S.%f}.note"


def _made(place: Path, text: str) -> bool:
    """Write a file that is not there, whole or not at all; False if it is there."""
    draft = _draft(place, text)
    try:
        os.link(draft, place)
    except FileExistsError:
        return False
    finally:
        draft.unlink()
    return True


def _draft(place: Path, text: str) -> Path:
    """The text in a file beside `place`, safe on disk."""
    draft = place.with_name(f".{place.name}.{uuid4().hex}")
    with draft.open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    return draft


def _newer(latest: Path, than: Checkpoint) -> bool:
    """Whether another sealer has kept a later checkpoint meanwhile."""
    try:
        return _later(latest.read_text(), than)
    except FileNotFoundError:
        return False


def _later(note: str, than: Checkpoint) -> bool:
    try:
        return notes.parsed(notes.text_of(note)).time > than.time
    except NoteInvalid:
        return False


_GIT_SECONDS = 15
_BRANCH = "refs/heads/checkpoints/"


@dataclass(frozen=True, slots=True)
class Repository:
    """A git repository, with or without a working tree, which is left alone. Each tree has a branch,
    `checkpoints/NAME`, with a commit for each checkpoint: the file `checkpoint` is the note."""

    path: Path

    @property
    def url(self) -> str:
        return f"git+{self.path.as_uri()}"

    def latest(self, origin: str) -> str | None:
        if self._tip(origin) is None:
            return None
        return self._git("show", f"{_branch(origin)}:checkpoint")

    def keep(self, checkpoint: Checkpoint, note: str) -> None:
        tip, branch = self._tip(checkpoint.origin), _branch(checkpoint.origin)
        if tip is not None:
            there = self._git("show", f"{tip}:checkpoint")
            if there == note or _later(there, checkpoint):
                return
        blob = self._git("hash-object", "-w", "--stdin", said=note).strip()
        tree = self._git("mktree", said=f"100644 blob {blob}\tcheckpoint\n").strip()
        title = f"{checkpoint.size} rows, {checkpoint.time:%Y-%m-%dT%H:%M:%SZ}"
        parent = [] if tip is None else ["-p", tip]
        commit = self._git("commit-tree", tree, *parent, "-m", title).strip()
        # Refused if somebody else was first: then it is tried again the next time.
        self._git("update-ref", branch, commit, tip or "0" * len(commit))

    def kept(self) -> Iterator[str]:
        for branch in self._git("for-each-ref", "--format=%(refname)", _BRANCH).split():
            for commit in self._git("rev-list", "--reverse", branch).split():
                yield self._git("show", f"{commit}:checkpoint")

    def _tip(self, origin: str) -> str | None:
        return self._git("for-each-ref", "--format=%(objectname)", _branch(origin)).strip() or None

    def _git(self, *arguments: str, said: str = "") -> str:
        """What git answers. Our own name is on the commits, and no hook or setting of others is asked."""
        if not self.path.is_dir():
            raise WitnessFailed(f"{self.path} is not there: make it (git init --bare), or mount it")
        try:
            done = subprocess.run(
                ["git", "-C", str(self.path), *arguments],
                input=said.encode(),
                capture_output=True,
                check=True,
                timeout=_GIT_SECONDS,
                env={**os.environ, **_WHO},
            )
            return done.stdout.decode()
        except subprocess.CalledProcessError as error:
            why = error.stderr.decode(errors="replace").strip()
            raise WitnessFailed(f"{self.path}: git {arguments[0]}: {why}") from None
        except (OSError, subprocess.TimeoutExpired, UnicodeDecodeError) as error:
            raise WitnessFailed(f"{self.path}: git {arguments[0]}: {error}") from None


_WHO = {
    f"GIT_{role}_{what}": value
    for role in ("AUTHOR", "COMMITTER")
    for what, value in (("NAME", "Countersign"), ("EMAIL", "countersign@localhost"))
} | {"GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull, "GIT_TERMINAL_PROMPT": "0"}


def _branch(origin: str) -> str:
    """The name of a tree as that of a branch, which must not hold `..` or `//` or end with `.lock`."""
    return _BRANCH + quote(origin, safe="").replace(".", "%2E").replace("%", "=")


S3_PATIENCE = timedelta(seconds=4)
_AT_ONCE = 16


class Objects:
    """A bucket, best with a lock on its objects, of an account that may not delete. Each tree has a folder, and
    below it a file for each checkpoint, as in `Folder`. None is ever written twice: the newest is found by
    its name. Whoever may use the bucket is told by the variables of AWS."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        self._bucket = Bucket(url, S3_PATIENCE)
        self._newest: dict[str, str] = {}
        """The newest file of each tree that was seen."""

    def latest(self, origin: str) -> str | None:
        tree = _folder(origin)
        try:
            seen = self._newest.get(tree)
            after = seen or max(self._bucket.folders(f"{tree}/"), default=None)
            if after is None:
                return None
            newest = max(self._bucket.names(f"{tree}/", after), default=seen)
            if newest is None:
                return None
            self._newest[tree] = newest
            return self._read(newest)
        except StoreFailed as error:
            raise WitnessFailed(str(error)) from None

    def keep(self, checkpoint: Checkpoint, note: str) -> None:
        tree = _folder(checkpoint.origin)
        name = f"{tree}/{_name(checkpoint)}"
        try:
            self._bucket.put(name, note.encode())
            if self._read(name) != note:
                raise WitnessFailed(f"{self.url}/{name} is not what was written")
            self._newest[tree] = max(name, self._newest.get(tree, ""))
        except StoreFailed as error:
            raise WitnessFailed(str(error)) from None

    def kept(self) -> Iterator[str]:
        try:
            with ThreadPoolExecutor(_AT_ONCE) as threads:
                names = [name for name in self._bucket.names("") if name.endswith(".note")]
                yield from threads.map(self._read, names)
        except StoreFailed as error:
            raise WitnessFailed(str(error)) from None

    def _read(self, name: str) -> str:
        found = self._bucket.get(name)
        if found is None:
            raise WitnessFailed(f"{self.url}/{name} was there and is gone")
        try:
            return found.decode()
        except UnicodeDecodeError as error:
            raise WitnessFailed(f"{self.url}/{name}: {error}") from None


def _folder(origin: str) -> str:
    """The name of a tree as that of a folder in any bucket."""
    return quote(origin, safe="").replace("%", "=")
