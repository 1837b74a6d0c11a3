"""What `countersign doctor` looks at of messages: that mail and Slack are on, and that all got through."""

from cli.finding import Finding
from settings import Settings
from storage import messages
from storage.pool import Source

_LATE_SECONDS = 900


async def told(source: Source, loaded: Settings) -> list[Finding]:
    ways = {
        "mail": ("COUNTERSIGN_SMTP_URL", loaded.smtp_url),
        "slack": ("COUNTERSIGN_SLACK_TOKEN", loaded.slack_token),
    }
    waiting = await messages.waiting(source)
    found: list[Finding] = []
    for channel, (setting, value) in ways.items():
        if value is None:
            # By choice: many have one of the two, and in development neither.
            seen = f"off: nobody is told anything that way ({setting} is not set)"
            found.append(Finding(channel, "ok", seen))
            continue
        count, seconds = waiting.get(channel, (0, 0.0))
        seen = f"{count} messages are due, the oldest for {seconds:.0f} s"
        if seconds > _LATE_SECONDS:
            fix = "run countersign relay; its log says what keeps them"
            found.append(Finding(channel, "problem", seen, fix))
        else:
            found.append(Finding(channel, "ok", seen))
    given_up = await messages.given_up(source)
    if given_up:
        fix = "countersign message dead says why; countersign message resend --all tries them again"
        found.append(Finding("messages", "warning", f"{given_up} were given up", fix))
    return found
