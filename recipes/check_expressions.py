"""Judges every expression of a draft: names, members and types, each problem with line and caret.

An untyped recipe has no `inputs`: what its expressions leave undeclared become required inputs. A
name that is nearly one of the four that every expression has is taken for a slip, not for an input.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from difflib import get_close_matches
from typing import Any

from recipes.draft import Draft, Placed, PlacedMachine, Template, formulas, templates, values
from recipes.expressions import Environment, ExpressionError, Want
from recipes.findings import Finding, employee_paths, short
from recipes.inputs import schema_problems
from recipes.mentions import Mention, mentions
from recipes.model import ApprovalStep, JobStep, Machine, Recipe, Step
from recipes.parse_machine import who
from recipes.schema import RESERVED, Schema, properties, variables
from recipes.source import Book, Scalar, below
from recipes.templates import Part, TemplateError, split

_REFERENCE = re.compile(r"(?:(?:role|user):)?[A-Za-z0-9][A-Za-z0-9_.@+-]{0,127}", re.ASCII)
_BARE_ACTION = re.compile(r"\s*(?:==|!=|in\b)")
_BARE_BEFORE = re.compile(r"(?:==|!=)\s*$")


class Expressions:
    """The expressions of one draft, with the environment that its inputs make."""

    def __init__(self, draft: Draft, book: Book, schema: Schema | None) -> None:
        self.draft = draft
        self.book = book
        self.typed = draft.recipe.inputs is not None
        self.schema = schema
        self.implied = () if schema is not None else self._implied()
        self.environment = Environment(schema, self.implied)
        optional = variables(schema) if schema is not None else ()
        self.optional = {variable.name for variable in optional if variable.optional}
        self.results: list[str] = []
        """The steps that an expression may read the results of, by id."""
        self.outputs: dict[str, Schema | None] = {}
        """Those of them that have an output, each with its schema, if there is one."""

    def complete(self) -> Recipe:
        """Tell the book what is wrong, and give the recipe with what its expressions tell."""
        self._title()
        steps = self._course(self.draft.steps)
        results, outputs = list(self.results), dict(self.outputs)
        callbacks: dict[str, Any] = {}
        for key, placed in self.draft.callbacks.items():
            self.results, self.outputs = list(results), dict(outputs)
            callbacks[key] = self._course(placed)
        if not self.typed and self.implied:
            names = ", ".join(self.implied)
            message = f"there is no `inputs`: requests must bring {names}, of any type"
            self.book.warning("", message, "declare `inputs` as a JSON Schema")
        implied = () if self.typed else self.implied
        machine = None if self.draft.machine is None else self._machine(self.draft.machine)
        return replace(
            self.draft.recipe, steps=steps, implied=implied, machine=machine, **callbacks
        )

    def _course(self, course: Iterable[Placed]) -> tuple[Step, ...]:
        """Look at steps, of which each may read the results of those before it."""
        steps: list[Step] = []
        for placed in course:
            steps.append(self._step(placed))
            if placed.step.id:
                self.results.append(placed.step.id)
            if isinstance(placed.step, JobStep):
                schema = placed.step.output
                sound = schema is not None and not schema_problems(schema)
                self.outputs[placed.step.id] = schema if sound else None
        return tuple(steps)

    def constant(self, source: str) -> bool | None:
        """What a condition that reads nothing always is; None if it depends, or has no value."""
        if mentions(source):
            return None
        try:
            return self.environment.condition(source, {})
        except ExpressionError:
            return None

    # --- places ---

    def _title(self) -> None:
        title = self.draft.recipe.title
        if title is None:
            return
        for part in self._parts(Template("title", title, "text"), 0):
            if not part.expression:
                continue
            self._source("title", part.text, part.offset, "text")
            for mention in mentions(part.text):
                managed = mention.root == "employee" and mention.path[:1] == ("manager",)
                if mention.root == "steps" or managed:
                    name = "steps" if mention.root == "steps" else "employee.manager"
                    self.book.within(
                        "title",
                        part.offset + mention.offsets[0],
                        f"`{name}` is not known when a request is submitted",
                        "use the inputs, `request`, or the employee's own name and department",
                    )

    def _step(self, placed: Placed) -> Step:
        sources: list[str] = []
        if placed.step.when is not None:
            sources.append(placed.step.when)
            self._source(below(placed.path, "when"), placed.step.when, 0, "condition")
        sources += self._references(templates(placed))
        for formula in formulas(placed):
            sources.append(formula.text)
            self._formula(formula)
        for value in values(placed):
            sources += self._value(value)
        if self.draft.recipe.resolve == "at_submit" and isinstance(placed.step, ApprovalStep):
            self._known_at_submission(placed)
        return replace(placed.step, employee_paths=_paths(sources))

    def _machine(self, placed: PlacedMachine) -> Machine:
        actions = (
            replace(action, employee_paths=_paths(self._references(who(action, path))))
            for action, path in placed.actions
        )
        return Machine(tuple(state for state, _ in placed.states), tuple(actions))

    def _value(self, template: Template) -> list[str]:
        """Look at a text that gives a value; the sources of its expressions."""
        parts = [part for part in self._parts(template, 0) if part.expression]
        for part in parts:
            self._source(template.path, part.text, part.offset, "text")
        return [part.text for part in parts]

    def _references(self, read: Iterable[Template]) -> list[str]:
        """Look at templates that name people; the sources of their expressions."""
        sources: list[str] = []
        for place in read:
            template, lead = located(place, self.book)
            parts = self._parts(template, lead)
            self._reference(template, parts)
            whole = len(parts) == 1
            for part in parts:
                if part.expression:
                    want = template.want if whole else "text"
                    sources.append(part.text)
                    self._source(template.path, part.text, lead + part.offset, want)
        return sources

    def _formula(self, formula: Template) -> None:
        """An amount, a currency or a moment; the currency may be one that nobody wrote, an input."""
        if not formula.path.endswith(".currency") or self.book.has(formula.path):
            place, lead = located(formula, self.book)
            self._source(place.path, formula.text, lead, formula.want)
            return
        path = formula.path.removesuffix(".currency")
        if self.schema is not None and formula.text not in properties(self.schema):
            message = f"says no currency, and there is no input `{formula.text}`"
            fix = "write `authority: {amount: ..., currency: EUR}`, or declare the input"
            self.book.error(path, message, fix)
        elif self.environment.check(formula.text, formula.want, self.results, self.outputs):
            message = f"the input `{formula.text}` is no text, so it can't be a currency"
            self.book.error(path, message, "make it a string, or say the `currency` here")
        elif formula.text in self.optional:
            message = f"the input `{formula.text}` may be absent, and then this fails"
            self.book.warning(path, message, "make it required, or say the `currency` here")

    def _known_at_submission(self, placed: Placed) -> None:
        """With `resolve: at_submit` nothing that says who is asked may wait for earlier decisions."""
        asked = [template for template in templates(placed) if ".on_timeout" not in template.path]
        for template in (*asked, *formulas(placed)):
            for part in expressions_of(template):
                for mention in mentions(part.text):
                    if mention.root == "steps":
                        place, lead = located(template, self.book)
                        self.book.within(
                            place.path,
                            lead + part.offset + mention.offsets[0],
                            "`steps` is not known yet: `resolve: at_submit` asks at submission",
                            "leave `resolve` out, or use the inputs, `request` and `employee`",
                        )

    def _parts(self, template: Template, lead: int) -> tuple[Part, ...]:
        try:
            return split(template.text)
        except TemplateError as error:
            self.book.within(template.path, lead + error.offset, str(error), error.fix)
            return ()

    def _reference(self, template: Template, parts: tuple[Part, ...]) -> None:
        """A text without expressions must name somebody, and a list must be an expression."""
        if not parts or any(part.expression for part in parts):
            if template.want == "people" and len(parts) > 1:
                fix = "write one {{ expression }} and nothing around it"
                self.book.error(template.path, "must give a list", fix)
            return
        if template.want == "people":
            fix = "write an expression that gives a list, or `approver: ...` for one person"
            self.book.error(template.path, "must give a list", fix)
        elif not _REFERENCE.fullmatch(template.text.strip()):
            fix = "write role:name, user:name, a name, or {{ expression }}"
            self.book.error(template.path, f"`{template.text}` names nobody", fix)

    def _source(self, path: str, source: str, offset: int, want: Want) -> None:
        for finding in self.environment.check(source, want, self.results, self.outputs):
            place = offset + _offset(source, finding)
            self.book.within(path, place, f"`{short(source)}`: {finding.message}", finding.fix)
        for mention in mentions(source):
            # Alone it is the requester, and that is all there is to it; else it may be read in a way
            # that tells nobody what to ask the directory for.
            if mention.root == "employee" and not mention.path and source.strip() != "employee":
                self.book.within(
                    path,
                    offset + mention.offsets[0],
                    "what is read from `employee` here can't be told: managers will be missing",
                    "write the whole path, as in `employee.manager.id`",
                    "warning",
                )
        self._entity(path, source, offset, want)
        if want != "text":
            for mention in self._unguarded(source):
                name = ".".join((mention.root, *mention.path))
                self.book.within(
                    path,
                    offset + mention.offsets[0],
                    f"`{name}` may be absent, and then this fails",
                    f"ask `has(inputs.{name.removeprefix('inputs.')})` first, or make it required",
                    "warning",
                )

    def _entity(self, path: str, source: str, offset: int, want: Want) -> None:
        """`request.entity` where requests have none, or may have none."""
        rule = self.draft.recipe.entity
        for mention in mentions(source):
            if mention.root != "request" or mention.path[:1] != ("entity",):
                continue
            place = offset + mention.offsets[0]
            if rule is None:
                message = "`request.entity` is never there: requests are about no entity"
                self.book.within(path, place, message, "add `entity: required` to the recipe")
            elif not rule.required and "null" not in source and want != "text":
                message = "`request.entity` may be absent, and then this fails"
                fix = "ask `request.entity != null` first, or write `entity: required`"
                self.book.within(path, place, message, fix, "warning")

    def _unguarded(self, source: str) -> Iterator[Mention]:
        """Optional inputs that are used as if they were always there."""
        found = mentions(source)
        asked = {_input_name(mention) for mention in found if mention.guarded}
        for mention in found:
            name = _input_name(mention)
            last = mention.path[-1] if mention.path else mention.root
            end = mention.offsets[-1] + len(last)
            harmless = _BARE_ACTION.match(source, end) or _BARE_BEFORE.search(
                source[: mention.offsets[0]]
            )
            if (
                name in self.optional
                and name not in asked
                and not harmless
                and "null" not in source
            ):
                yield mention

    # --- untyped recipes ---

    def _implied(self) -> tuple[str, ...]:
        nobody = Environment(None, ())
        names: dict[str, None] = {}
        for source in self._all_sources():
            found = mentions(source)
            guarded = {mention.path[0] for mention in found if mention.guarded and mention.path}
            undeclared = nobody.undeclared(source)
            for mention in found:
                if mention.root in undeclared and not get_close_matches(
                    mention.root, RESERVED, n=1, cutoff=0.8
                ):
                    names[mention.root] = None
                elif mention.root == "inputs" and mention.path and mention.path[0] not in guarded:
                    names[mention.path[0]] = None
        return tuple(names)

    def _all_sources(self) -> Iterator[str]:
        title = Template("title", self.draft.recipe.title or "", "text")
        yield from (part.text for part in expressions_of(title))
        for placed in self.draft.every_step:
            if placed.step.when is not None:
                yield placed.step.when
            for template in (*templates(placed), *formulas(placed), *values(placed)):
                yield from (part.text for part in expressions_of(template))
        for action, path in self.draft.machine.actions if self.draft.machine is not None else ():
            for template in who(action, path):
                yield from (part.text for part in expressions_of(template))


def located(template: Template, book: Book) -> tuple[Template, int]:
    """A template with the path of its scalar, and how much stands there before it (`reassign:`)."""
    bare = template.path[: template.path.rfind("[")] if template.path[-1] == "]" else ""
    outer = template.path[: template.path.rfind(".")]
    places = (template.path, below(template.path, "action"), bare, outer)
    nodes = [(path, book.nodes.get(path)) for path in places]
    texts = [(path, node.text) for path, node in nodes if isinstance(node, Scalar)]
    path, text = texts[0]
    return replace(template, path=path), max(text.find(template.text), 0)


def expressions_of(template: Template) -> Iterator[Part]:
    """The expressions of a template; none of one that cannot be split."""
    if template.want in {"amount", "currency", "moment"}:
        yield Part(template.text, 0, True)
        return
    try:
        yield from (part for part in split(template.text) if part.expression)
    except TemplateError:
        return


def _paths(sources: Iterable[str]) -> tuple[str, ...]:
    """What of `employee` they read, each path once."""
    return tuple(dict.fromkeys(path for source in sources for path in employee_paths(source)))


def _offset(source: str, finding: Finding) -> int:
    """Characters from the beginning of `source` to the finding."""
    lines = source.split("\n")[: finding.line - 1]
    return min(sum(len(line) + 1 for line in lines) + finding.column - 1, len(source))


def _input_name(mention: Mention) -> str:
    parts = mention.path if mention.root == "inputs" else (mention.root, *mention.path)
    return ".".join(parts)
