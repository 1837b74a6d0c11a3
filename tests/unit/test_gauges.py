"""Figures of things that come and go."""

from prometheus_client import CollectorRegistry, Gauge

from relay.gauges import show


def test_what_is_gone_is_told_no_more() -> None:
    registry = CollectorRegistry()
    gauge = Gauge("lag", "Of each.", ["consumer"], registry=registry)
    show(gauge, {"kafka": 3, "mail": 1})
    show(gauge, {"mail": 0, "slack": 2})
    told = {
        name: registry.get_sample_value("lag", {"consumer": name})
        for name in ("kafka", "mail", "slack")
    }
    assert told == {"kafka": None, "mail": 0, "slack": 2}
