"""What must not take the rest of the relay with it, whatever goes wrong there."""

from collections.abc import Awaitable, Callable

import structlog
from prometheus_client import Counter

from storage.errors import FAILED, StorageError, plain

_log = structlog.get_logger()

mistakes = Counter(
    "countersign_mistakes_total",
    "Times that a mistake of ours kept something from being done.",
)


def outlived(what: str, work: Callable[[], Awaitable[bool]]) -> Callable[[], Awaitable[bool]]:
    """That work, which is done again later whatever it raises. What any loop outlives is the loop's to say."""

    async def guarded() -> bool:
        try:
            return await work()
        except (StorageError, *FAILED):
            raise
        except Exception as error:  # noqa: BLE001 - see above
            mistaken(what, error)
            return False

    return guarded


def mistaken(what: str, error: BaseException, **more: str) -> None:
    """Say that there is a mistake of ours."""
    mistakes.inc()
    why = f"{type(error).__name__}: {plain(error)}"
    _log.error("a mistake of ours keeps something from being done", what=what, error=why, **more)
