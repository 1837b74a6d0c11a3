"""Figures of things that come and go, each told by its name."""

from collections.abc import Mapping

from prometheus_client import Gauge


def show(gauge: Gauge, figures: Mapping[str, float]) -> None:
    """What the gauge, which has one label, tells from now on. It is never empty on the way there: whoever reads it
    does so in a thread of their own."""
    for name, figure in figures.items():
        gauge.labels(name).set(figure)
    told = {name for it in gauge.collect() for each in it.samples for name in each.labels.values()}
    for name in told - figures.keys():
        gauge.remove(name)
