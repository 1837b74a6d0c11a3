"""`countersign request attach`, `download`: files beside a request."""

from pathlib import Path
from typing import Annotated

import typer

from cli.caller import Caller, calling
from cli.options import AsJson
from cli.output import Exit, Failure, say, write_json
from cli.requests import RequestId, request_id
from contract.files import MEDIA_TYPES


@calling
def attach(
    request: RequestId,
    file: Annotated[Path, typer.Argument(help="The file.")],
    name: Annotated[str | None, typer.Option(help="Another name than the file's own.")] = None,
    *,
    caller: Caller,
    as_json: AsJson = False,
) -> None:
    """Add a file to a request: everybody who may see it can download it."""
    called = name or file.name
    media_type = MEDIA_TYPES.get(Path(called).suffix.lower())
    if media_type is None:
        known = " ".join(MEDIA_TYPES)
        raise Failure(f"{called}: not one of the files a request takes: {known}", code=Exit.USAGE)
    try:
        content = file.read_bytes()
    except OSError as error:
        raise Failure(f"{file} cannot be read: {error}", code=Exit.USAGE) from None
    api = caller.connect()
    path = f"/v1/requests/{request_id(api, request)}/attachments"
    made = api.post_file(path, content, media_type, called, {"name": called})
    if as_json:
        write_json(made)
    else:
        say(f"attached: {made['name']}, {made['size']} bytes")


@calling
def download(
    request: RequestId,
    attachment: Annotated[
        str, typer.Argument(metavar="ATTACHMENT", help="Its id, the beginning of one, or its name.")
    ],
    output: Annotated[
        Path | None, typer.Option(help="Where to; its own name in this folder if not said.")
    ] = None,
    *,
    caller: Caller,
) -> None:
    """Download a file of a request. No file that is there already is written over."""
    api = caller.connect()
    path = f"/v1/requests/{request_id(api, request)}"
    files = api.get(path)["attachments"]
    found = [it for it in files if it["id"].startswith(attachment) or it["name"] == attachment]
    if len(found) != 1:
        raise Failure(
            f"{len(found) or 'no'} files of the request are {attachment}",
            code=Exit.USAGE if found else Exit.NOT_FOUND,
            details=[f"{it['id']}  {it['name']}" for it in files],
        )
    [wanted] = found
    target = output or Path(Path(wanted["name"] or wanted["id"]).name)
    content = api.data(f"{path}/attachments/{wanted['id']}")
    try:
        with target.open("xb") as written:
            written.write(content)
    except OSError as error:
        raise Failure(f"{target} cannot be written: {error}", code=Exit.USAGE) from None
    say(f"downloaded: {target}, {len(content)} bytes")
