"""Every figure that dashboard and alarms name is one that the parts give."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
PARTS = ("api", "relay", "worker", "activities", "storage")
DASHBOARD: dict[str, Any] = json.loads((ROOT / "deploy/grafana/countersign.json").read_text())
ALERTS: dict[str, Any] = yaml.safe_load((ROOT / "deploy/alerts.yaml").read_text())
_MADE = re.compile(r'(?:Counter|Gauge|Histogram)\(\s*"(countersign_[a-z_]+)"')
_NAMED = re.compile(r"\b(countersign_[a-z_]+)")


def ours() -> set[str]:
    """The names of all figures that the parts give."""
    texts = [path.read_text() for part in PARTS for path in (ROOT / part).rglob("*.py")]
    return {name for text in texts for name in _MADE.findall(text)}


def _panels() -> Iterator[dict[str, Any]]:
    return (panel for panel in DASHBOARD["panels"] if panel["type"] != "row")


def _asked() -> dict[str, str]:
    """Each expression by where it stands."""
    alerts = {rule["alert"]: rule["expr"] for group in ALERTS["groups"] for rule in group["rules"]}
    shown = {
        f"{panel['title']} {target['refId']}": target["expr"]
        for panel in _panels()
        for target in panel["targets"]
    }
    return alerts | shown


@pytest.mark.parametrize(("where", "expression"), _asked().items())
def test_what_is_asked_for_is_there(where: str, expression: str) -> None:
    found = {name.removesuffix("_bucket") for name in _NAMED.findall(expression)}
    assert found <= ours(), where
    assert found or re.search(r"\b(up|temporal_[a-z_]+)\b", expression), where


def test_panels_do_not_cover_each_other() -> None:
    taken = set[tuple[int, int]]()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        assert place["x"] + place["w"] <= 24
        taken |= cells
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(ids) == len(set(ids))
