"""Random state machines that `parse` accepts, as YAML text, over one typed input `n`."""

from typing import Any

import yaml
from hypothesis import strategies as st

WHO = ("role:finance", "user:bob", "{{ n > 2 ? 'bob' : 'carol' }}", "{{ employee.manager }}")


@st.composite
def machines(draw: st.DrawFn) -> str:
    """Timers lead to states further down the list alone, so that they make no circle by themselves."""
    count = draw(st.integers(2, 5))
    names = [f"s{n}" for n in range(count)]
    finals = {name for name in names[1:] if draw(st.booleans())}
    disabled = {name for name in names[1:] if draw(st.integers(0, 4)) == 0}
    open_states = [name for name in names if name not in finals]
    actions: list[dict[str, Any]] = []
    for number in range(draw(st.integers(1, 8))):
        chosen = st.lists(st.sampled_from(open_states), min_size=1, max_size=3, unique=True)
        action: dict[str, Any] = {"id": f"a{number}", "from": draw(chosen)}
        action["to"] = draw(st.sampled_from(names))
        action["enabled"] = draw(st.integers(0, 4)) > 0
        action["not_requester"] = draw(st.booleans())
        action["require_comment"] = draw(st.integers(0, 3)) == 0
        if draw(st.booleans()):
            action["who"] = draw(st.lists(st.sampled_from(WHO), min_size=1, max_size=2))
        actions.append(action)
    states: list[dict[str, Any]] = [
        {
            "id": name,
            "initial": name == names[0],
            "final": name in finals,
            "enabled": name not in disabled,
            **(
                {"outcome": draw(st.sampled_from(("approved", "rejected")))}
                if name in finals
                else {}
            ),
        }
        for name in names
    ]
    for place, state in enumerate(states):
        fit = [
            action["id"]
            for action in actions
            if action["enabled"] and state["id"] in action["from"] and action["to"] not in disabled
            and names.index(action["to"]) >= place
        ]  # fmt: skip
        if fit and not state["final"] and draw(st.booleans()):
            after = st.sampled_from(("1h", "4h", "24h", "96h", "1bd", "2bd at 10:00"))
            fires = draw(st.lists(st.sampled_from(fit), min_size=1, max_size=3))
            state["timers"] = [{"after": draw(after), "fire": name} for name in fires]
    recipe: dict[str, Any] = {
        "workflow": "random",
        "version": 1,
        "owner": "admins",
        "kind": "state_machine",
        "inputs": {
            "type": "object",
            "required": ["n"],
            "properties": {"n": {"type": "integer"}},
        },
        "calendar": "work",
        "states": states,
        "actions": actions,
    }
    if draw(st.booleans()):
        recipe["deadline"] = draw(st.sampled_from(("20d", "15bd")))
    if draw(st.integers(0, 3)) == 0:
        rule = st.sampled_from(({"visible_to": "hr"}, {"visible_to": ["hr"], "fields": ["n"]}))
        recipe["confidential"] = draw(rule)
        # Who is entitled is for the database to say: it judges no conditions.
        for action in actions:
            if "who" in action:
                action["who"] = ["role:finance" if "?" in who else who for who in action["who"]]
    return yaml.safe_dump(recipe, sort_keys=False)
