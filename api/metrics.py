"""Figures for Prometheus: requests by route and status, decisions, and how far the outbox is behind."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from storage.stats import Outbox

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_BUCKETS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)


class Metrics:
    """One process's figures, in a registry of their own so that two apps don't share them."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._answers = Counter(
            "countersign_http_requests_total",
            "Answers by method, route template and status.",
            ("method", "route", "status"),
            registry=self.registry,
        )
        self._seconds = Histogram(
            "countersign_http_request_seconds",
            "Time to the last byte of the answer, by method and route template.",
            ("method", "route"),
            buckets=_BUCKETS,
            registry=self.registry,
        )
        self._decisions = Counter(
            "countersign_decisions_total",
            "Decisions of people that were the first, by workflow and what they count as.",
            ("workflow", "counts_as"),
            registry=self.registry,
        )
        self._depth = Gauge(
            "countersign_outbox_rows",
            "Rows that Temporal must still hear.",
            registry=self.registry,
        )
        self._age = Gauge(
            "countersign_outbox_oldest_seconds",
            "Age of the oldest row that Temporal must still hear.",
            registry=self.registry,
        )

    def answered(self, method: str, route: str, status: int, seconds: float) -> None:
        self._answers.labels(method, route, str(status)).inc()
        self._seconds.labels(method, route).observe(seconds)

    def decided(self, workflow: str, counts_as: str) -> None:
        self._decisions.labels(workflow, counts_as).inc()

    def text(self, outbox: Outbox | None) -> bytes:
        """The exposition; without `outbox` (Postgres is away) its two figures say NaN."""
        self._depth.set(float("nan") if outbox is None else outbox.rows)
        self._age.set(float("nan") if outbox is None else outbox.oldest_seconds)
        return generate_latest(self.registry)
