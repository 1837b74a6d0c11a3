"""What `countersign doctor` looks at of erasures: that none was undone by a backup."""

from cli.finding import Finding
from storage import erasure
from storage.pool import Source


async def erased(source: Source) -> Finding:
    back = await erasure.undone(source)
    if not back:
        return Finding("erasures", "ok", "no key of an erased request is there")
    seen = f"{len(back)} erased requests can be read again, from a backup: {back[0]}"
    fix = f"erase each again: countersign request erase {back[0]} --reason 'after a restore'"
    return Finding("erasures", "problem", seen, fix)
