"""The form of one request: what stands in it, what it asks the API for, and what is wrong with it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import uuid4

from starlette.datastructures import FormData

from api.web import forms
from api.web.desk import Refused
from api.web.fields import Field, of_recipe
from api.web.forms import Draft, Line
from recipes.model import Json

INPUTS = "/inputs"
_ENTITY = {"type": "/entity/type", "id": "/entity/id"}
_KEY = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class RequestForm:
    """`recipe` is as the API shows it, `draft` what stands in the fields of its inputs, `zone` the time zone of
    whoever writes. `key` makes one request of however many clicks. `wrong` are messages by the names of fields,
    `amiss` those that belong to none. `focus` is where one goes on, as `forms.controls` names it."""

    recipe: Mapping[str, Any]
    zone: str
    draft: Draft
    entity: Mapping[str, str]
    comment: str
    key: str
    wrong: Mapping[str, str] = field(default_factory=dict)
    amiss: tuple[str, ...] = ()
    focus: str = ""

    @property
    def asked(self) -> Field:
        return of_recipe(self.recipe["inputs"], self.recipe["implied"])

    @property
    def line(self) -> Line:
        """All fields as they are shown."""
        return forms.laid_out(self.asked, self.draft, INPUTS, self.wrong)

    @property
    def problems(self) -> list[tuple[str, str, str]]:
        """The name, label and message of each field that is wrong."""
        labels = {
            "/entity/type": "Kind",
            "/entity/id": "Number",
            "/comment": "What did you change?",
        }
        labels |= {each.name: each.field.label or "This form" for each in self.line.each}
        return [(name, labels.get(name, name), text) for name, text in self.wrong.items()]

    @property
    def rule(self) -> Mapping[str, bool] | None:
        """Whether it is about an entity."""
        found: Mapping[str, bool] | None = self.recipe["entity"]
        return found

    def read(self) -> tuple[dict[str, Json], "RequestForm"]:
        """The inputs that it says, and the form with whatever cannot be read marked."""
        wrong: dict[str, str] = {}
        [inputs] = forms.read(self.asked, self.draft, INPUTS, self.zone, wrong)
        for part in self._entity_gaps():
            wrong[_ENTITY[part]] = "is needed"
        return inputs, replace(self, wrong=wrong)

    def _entity_gaps(self) -> list[str]:
        if self.rule is None:
            return []
        missing = [part for part, text in self.entity.items() if not text]
        return [] if len(missing) == 2 and not self.rule["required"] else missing

    def about(self) -> dict[str, Json]:
        """What it is about, as the API wants it beside the inputs; nothing where it is about nothing."""
        return {"entity": dict(self.entity)} if self.rule and all(self.entity.values()) else {}

    def refused(self, refusal: Refused) -> "RequestForm":
        """The form with what the API says at its fields."""
        messages = refusal.at()
        whole = Line(Field("", "text", ""), "", "")
        parts = [replace(whole, name=name) for name in (*_ENTITY.values(), "/comment")]
        spread = {
            _ENTITY["id"] if place == "/entity" else place: text for place, text in messages.items()
        }
        found, rest = forms.placed([self.line, *parts], spread)
        amiss = tuple(rest) if messages else (refusal.detail,)
        return replace(self, wrong=found, amiss=amiss)

    def altered(self, do: str) -> "RequestForm":
        """The form with a row more or less: `add NAME` of a list, `remove NAME` of a row."""
        act, _, name = do.partition(" ")
        if act == "add":
            draft = forms.with_row(self.asked, self.draft, INPUTS, name, self.zone)
        else:
            draft = forms.without_row(self.asked, self.draft, INPUTS, name)
            name = name.rpartition("/")[0]
        form = replace(self, draft=draft)
        return replace(form, focus=form._goes_on(name, act))

    def _goes_on(self, name: str, act: str) -> str:
        """Where one goes on after a row more or less in the list `name`: at the new row's first field, or where the
        next one is added."""
        found = [line for line in self.padded().line.each if line.name == name]
        rows = found[0].lines if found else ()
        if act == "add" and rows:
            return next(forms.controls(rows[-1]), "")
        return f"add {name}"

    def padded(self) -> "RequestForm":
        """The form with the rows that its lists need."""
        return replace(self, draft=forms.padded(self.asked, self.draft, self.zone))


def fresh(recipe: Mapping[str, Any], zone: str) -> RequestForm:
    """An empty form."""
    asked = of_recipe(recipe["inputs"], recipe["implied"])
    return RequestForm(
        recipe, zone, forms.blank(asked, zone), {"type": "", "id": ""}, "", new_key()
    )


def of_request(recipe: Mapping[str, Any], zone: str, request: Mapping[str, Any]) -> RequestForm:
    """The form with what a request says."""
    asked = of_recipe(recipe["inputs"], recipe["implied"])
    about = request["entity"] or {"type": "", "id": ""}
    return RequestForm(
        recipe, zone, forms.shown(asked, request["inputs"], zone), about, "", new_key()
    )


def sent(recipe: Mapping[str, Any], zone: str, form: FormData, *, tidy: bool) -> RequestForm:
    """The form as it was sent; `tidy` without rows that are blank."""
    given = {name: [str(value) for value in form.getlist(name)] for name in form}
    asked = of_recipe(recipe["inputs"], recipe["implied"])
    draft = forms.drafted(asked, INPUTS, given)
    entity = {part: _text(form, name) for part, name in _ENTITY.items()}
    key = _text(form, "key")
    return RequestForm(
        recipe,
        zone,
        forms.tidy(asked, draft) if tidy else draft,
        entity,
        _text(form, "comment"),
        key if _KEY.fullmatch(key) else new_key(),
    )


def new_key() -> str:
    return uuid4().hex


def _text(form: FormData, name: str) -> str:
    value = form.get(name)
    return value.strip() if isinstance(value, str) else ""
