"""Plots as SVG: drawn here, styled by our own sheet, and each with the table that it shows beside it.

A plot is a picture of a table that stands on the same page; it says nothing that the table does not.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

_WIDTH, _HEIGHT, _FOOT, _TOP = 640, 180, 22, 16
_WIDEST = 56


@dataclass(frozen=True, slots=True)
class Bar:
    """What stands under a bar, how high it is, and what is said of it. `marker` is a second value above it."""

    label: str
    value: float | None
    said: str
    marker: float | None = None


def bars(title: str, items: Sequence[Bar]) -> Markup:
    """Bars side by side, all from zero, with a dash where a bar has a marker. Nothing for nothing."""
    highest = max((max(item.value or 0, item.marker or 0) for item in items), default=0)
    if highest <= 0:
        return Markup("")
    step = _WIDTH / len(items)
    drawn = [
        Markup('<svg class="plot" role="img" viewBox="0 0 {} {}" aria-label="{}">').format(
            _WIDTH, _HEIGHT, title
        )
    ]
    room = _HEIGHT - _FOOT - _TOP
    every = -(
        -len(items) // 12
    )  # labels that would run into each other are left out, never the last
    for number, item in enumerate(items):
        wide = min(step * 0.7, _WIDEST)
        left = number * step + (step - wide) / 2
        high = room * (item.value or 0) / highest
        top = _TOP + room - high
        drawn.append(Markup("<g><title>{}</title>").format(item.said))
        drawn.append(
            Markup(
                '<rect class="bar" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}"/>'
            ).format(left, top, wide, high)
        )
        if item.marker is not None:
            at = _TOP + room - room * item.marker / highest
            drawn.append(
                Markup('<path class="marker" d="M{:.1f} {:.1f}h{:.1f}"/>').format(left, at, wide)
            )
        if (len(items) - 1 - number) % every == 0:
            drawn.append(
                Markup('<text class="tick" x="{:.1f}" y="{}">{}</text>').format(
                    left + wide / 2, _HEIGHT - 6, item.label
                )
            )
        drawn.append(Markup("</g>"))
    drawn.append(Markup('<path class="axis" d="M0 {}h{}"/></svg>').format(_HEIGHT - _FOOT, _WIDTH))
    return Markup("").join(drawn)
