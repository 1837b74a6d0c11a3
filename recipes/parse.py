"""Text -> `Recipe`. All that is wrong is found at once, each problem with its place and a fix.

Three passes: `source` reads YAML into a tree with positions; here the tree becomes a recipe, key by
key, whatever can be made of it; `check` judges the whole. A recipe with an error is never returned.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from hashlib import sha256

from recipes import check
from recipes.ballots import APPROVAL_KEYS, BRANCH_KEYS, read_ballot, read_quorum
from recipes.confidential import read_confidential
from recipes.draft import Draft, Placed
from recipes.fields import Fields
from recipes.model import (
    STEP_LIMIT,
    ActionStep,
    ApprovalStep,
    Ballot,
    DeadlineAction,
    Json,
    KeepApprovals,
    Kind,
    Quorum,
    Recipe,
    Resolve,
    Step,
    Verdict,
)
from recipes.parse_jobs import (
    CALLBACK_KEYS,
    NOTIFY_KEYS,
    TASK_KEYS,
    WAIT_KEYS,
    read_callbacks,
    read_job,
    read_notify,
    read_wait,
)
from recipes.parse_machine import read_machine
from recipes.parse_outcomes import read_on_reject
from recipes.problems import Problem, RecipeInvalid
from recipes.source import Book, Entries, Items, Node, below, plain, read
from recipes.starting import read_entity, read_start
from recipes.voting import VOTING_KEYS, read_groups, read_weights

__all__ = ["Parsed", "Problem", "RecipeInvalid", "parse"]

RECIPE_KEYS = (
    "workflow",
    "version",
    "title",
    "description",
    "owner",
    "inputs",
    "start",
    "entity",
    "deadline",
    "on_deadline",
    "resubmit_within",
    "keep_approvals",
    "calendar",
    "resolve",
    "confidential",
    "kind",
    "steps",
    *CALLBACK_KEYS,
)
_OF_STEPS = frozenset({"on_deadline", "resubmit_within", "keep_approvals", "resolve", "steps"})
"""Keys that a state machine does not have."""
MACHINE_KEYS = (
    *(key for key in RECIPE_KEYS if key not in _OF_STEPS),
    "states",
    "actions",
)
_COMMON = ("id", "name", "when", "type")
_STEP_KEYS: Mapping[str, tuple[str, ...]] = {
    "action": (*_COMMON, "action", "reason"),
    "approval": (*_COMMON, *APPROVAL_KEYS, "on_reject"),
    "parallel": (*_COMMON, "branches", *VOTING_KEYS, "on_reject"),
    "task": (*_COMMON, *TASK_KEYS),
    "wait": (*_COMMON, *WAIT_KEYS),
    "notify": (*_COMMON, *NOTIFY_KEYS),
}
_VERSIONS = range(1, 2**31)
_KINDS: Mapping[str, Kind] = {"approval": "approval", "state_machine": "state_machine"}
_ON_DEADLINE: Mapping[str, DeadlineAction] = {
    "expire": "expire",
    "approve": "approve",
    "reject": "reject",
}
_KEEP: Mapping[str, KeepApprovals] = {"none": "none", "unaffected": "unaffected"}
_RESOLVE: Mapping[str, Resolve] = {"at_step": "at_step", "at_submit": "at_submit"}


@dataclass(frozen=True, slots=True)
class Parsed:
    """A recipe that may be published; `sha256` is the hex digest of its bytes."""

    recipe: Recipe
    warnings: tuple[Problem, ...]
    sha256: str


def parse(
    text: str | bytes,
    file: str | None = None,
    roles: frozenset[str] | None = None,
    calendars: frozenset[str] | None = None,
    functions: frozenset[str] | None = None,
) -> Parsed:
    """The recipe that `text` spells. RecipeInvalid with all problems if it has any error.

    `roles` are the principals there are, `role:finance` and `user:alice`: names of nobody and names
    of two are warned of; `functions` those that tasks can run: others are warned of. `calendars` are
    those that are imported: another one is an error. None if nobody knows what there is.
    """
    root, book = read(text, file)
    if not isinstance(root, Entries):
        book.error("", "is no recipe", "write `workflow`, `version` and `steps`")
        raise RecipeInvalid(book.in_order())
    recipe = check.check(_draft(root, book), book, roles, calendars, functions)
    problems = book.in_order()
    if book.failed:
        raise RecipeInvalid(problems)
    raw = text.encode() if isinstance(text, str) else text
    return Parsed(recipe, problems, sha256(raw).hexdigest())


def _draft(root: Entries, book: Book) -> Draft:
    fields = Fields(root, "", book)
    kind = _kind_of(fields)
    if kind == "state_machine":
        fields.known(MACHINE_KEYS, "a state machine")
    else:
        fields.known(RECIPE_KEYS, "a recipe")
    recipe = Recipe(
        workflow=fields.identifier("workflow") or "",
        version=fields.whole_number("version", _VERSIONS) or 0,
        steps=(),
        title=fields.text("title"),
        description=fields.text("description"),
        owner=fields.text("owner"),
        inputs=_inputs(fields),
        deadline=fields.duration("deadline"),
        resolve=fields.choice("resolve", _RESOLVE) or "at_step",
        kind=kind,
        entity=read_entity(fields),
        start=read_start(fields),
        calendar=None if fields.node("calendar") is None else fields.identifier("calendar"),
        confidential=read_confidential(fields),
    )
    callbacks = read_callbacks(fields)
    if kind == "state_machine":
        return Draft(recipe, (), read_machine(fields), callbacks)
    steps = _steps(fields, book)
    recipe = replace(
        recipe,
        on_deadline=fields.choice("on_deadline", _ON_DEADLINE) or "expire",
        resubmit_within=fields.seconds("resubmit_within"),
        keep_approvals=fields.choice("keep_approvals", _KEEP) or "none",
    )
    recipe = replace(recipe, steps=tuple(placed.step for placed in steps))
    return Draft(recipe, steps, callbacks=callbacks)


def _kind_of(fields: Fields) -> Kind:
    """As stated, or what its keys look like."""
    looks: Kind = "approval"
    if fields.node("states") is not None and fields.node("steps") is None:
        looks = "state_machine"
        fields.required("kind", "add `kind: state_machine`")
    return fields.choice("kind", _KINDS) or looks


def _inputs(fields: Fields) -> dict[str, Json] | None:
    node = fields.node("inputs")
    if node is None:
        return None
    if not isinstance(node, Entries):
        fields.error("inputs", "must be a JSON Schema", "write `type: object` and `properties`")
        return None
    schema: dict[str, Json] = plain(node)
    return schema


def _steps(fields: Fields, book: Book) -> tuple[Placed, ...]:
    node = fields.required("steps", "write at least one step")
    if node is None:
        return ()
    if not isinstance(node, Items) or not node.items:
        fields.error("steps", "must be a list of steps", "begin each step with `- id: its_name`")
        return ()
    branches = sum(_size(step) for step in node.items)
    if branches > STEP_LIMIT:
        message = f"has {branches} steps and branches; {STEP_LIMIT} are the most"
        fields.error("steps", message, "split the recipe up")
    steps: list[Placed] = []
    for index, item in enumerate(node.items):
        path = below("steps", index)
        if isinstance(item, Entries):
            steps += _step(Fields(item, path, book))
        else:
            book.error(path, "must be a step", "write `id: its_name` and what it does")
    return tuple(steps)


def _size(step: Node) -> int:
    """A step counts as one, one with branches as these."""
    branches = step.entries.get("branches") if isinstance(step, Entries) else None
    return max(1, len(branches[1].items) if branches and isinstance(branches[1], Items) else 0)


def _step(fields: Fields) -> list[Placed]:
    kind = _kind(fields)
    step_id, name = fields.identifier("id") or "", fields.text("name")
    when = fields.expression("when")
    if kind is None:
        return []
    fields.known(_STEP_KEYS[kind], f"a step of type {kind}")
    match kind:
        case "action":
            step: Step = ActionStep(
                id=step_id,
                action=_action(fields),
                name=name,
                when=when,
                reason=fields.text("reason"),
            )
            return [Placed(fields.path, step, ())]
        case "approval":
            ballot = read_ballot(fields, step_id)
            quorum = read_quorum(fields)
            approval = ApprovalStep(
                step_id,
                (ballot,),
                quorum or Quorum("all"),
                name,
                when,
                on_reject=read_on_reject(fields),
            )
            return [Placed(fields.path, approval, (fields.path,))]
        case "task":
            return [Placed(fields.path, read_job(fields, step_id, name, when), ())]
        case "wait":
            return [Placed(fields.path, read_wait(fields, step_id, name, when), ())]
        case "notify":
            return [Placed(fields.path, read_notify(fields, step_id, name, when), ())]
        case _:
            return [_parallel(fields, step_id, name, when)]


def _kind(fields: Fields) -> str | None:
    """The step's type: as stated, or as its keys tell."""
    told = next(
        (
            kind
            for kind, keys in (
                ("action", ("action",)),
                ("parallel", ("branches",)),
                ("approval", ("approver", "candidates", "approvers")),
                ("task", ("run",)),
                ("notify", ("message",)),
                ("wait", ("for", "until")),
            )
            if any(fields.node(key) is not None for key in keys)
        ),
        None,
    )
    if fields.node("type") is None:
        if told is None:
            message = "does nothing: it has no `action`, `approver`, `branches`, `run` or the like"
            fields.error("", message, "add `approver: ...`, or `action: approve`")
        return told
    stated = fields.text("type")
    if stated is None or stated in _STEP_KEYS:
        return stated
    close = get_close_matches(stated, _STEP_KEYS, n=1)
    fix = f"did you mean `{close[0]}`?" if close else f"types are {', '.join(_STEP_KEYS)}"
    fields.error("type", f"unknown type `{stated}`", fix)
    return None


def _action(fields: Fields) -> Verdict:
    verdicts: dict[str, Verdict] = {"approve": "approve", "reject": "reject"}
    return fields.choice("action", verdicts, required=True) or "approve"


def _parallel(fields: Fields, step_id: str, name: str | None, when: str | None) -> Placed:
    ballots: list[Ballot] = []
    paths: list[str] = []
    node = fields.required("branches", "list the branches, each with its approver")
    if node is not None and (not isinstance(node, Items) or not node.items):
        fields.error("branches", "must be a list", "begin each branch with `- approver: ...`")
    for index, item in enumerate(node.items if isinstance(node, Items) else ()):
        path = below(below(fields.path, "branches"), index)
        if isinstance(item, Entries):
            branch = Fields(item, path, fields.book)
            branch.known(("id", "name", *BRANCH_KEYS), "a branch")
            given = branch.identifier("id") if branch.node("id") is not None else None
            ballots.append(read_ballot(branch, given or str(index + 1)))
            paths.append(path)
        else:
            fields.book.error(path, "must be a branch", "write `approver: ...`")
    quorum = read_quorum(fields) or Quorum("all")
    step = ApprovalStep(
        step_id,
        tuple(ballots),
        quorum,
        name,
        when,
        type="parallel",
        weights=read_weights(fields),
        veto=tuple(dict.fromkeys(fields.texts("veto"))),
        groups=read_groups(fields),
        on_reject=read_on_reject(fields),
    )
    return Placed(fields.path, step, tuple(paths))
