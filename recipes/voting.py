"""How the branches of a parallel step count: its `weights`, `veto` and `groups`, read and judged.

What they mean is `tally`.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches

from recipes.ballots import read_quorum
from recipes.draft import Placed
from recipes.fields import Fields
from recipes.model import ApprovalStep, Group, Quorum
from recipes.source import Book, Entries, Items, Scalar, below
from recipes.state import Seat
from recipes.tally import Bloc, blocs

VOTING_KEYS = ("quorum", "weights", "veto", "groups")

_WEIGHTS = range(1, 1001)


# --- reading --------------------------------------------------------------------------------------


def read_weights(fields: Fields) -> dict[str, int]:
    """`weights: {legal: 2}`, by the ids of branches."""
    node = fields.node("weights")
    if node is None:
        return {}
    if not isinstance(node, Entries) or not node.entries:
        fields.error("weights", "must say which branch counts how much", "write {its_id: 2}")
        return {}
    found: dict[str, int] = {}
    for branch, (_, item) in node.entries.items():
        value = item.value if isinstance(item, Scalar) else None
        if isinstance(value, int) and not isinstance(value, bool) and value in _WEIGHTS:
            found[branch] = value
        else:
            place = below(below(fields.path, "weights"), branch)
            message = f"must be a whole number from {_WEIGHTS[0]} to {_WEIGHTS[-1]}"
            fields.book.error(place, message, f"write {branch}: 2")
    return found


def read_groups(fields: Fields) -> tuple[Group, ...]:
    """`groups: [{id, branches, quorum}]`; a group's quorum is `all` unless it says otherwise."""
    node = fields.node("groups")
    if node is None:
        return ()
    if not isinstance(node, Items) or not node.items:
        fix = "begin each group with `- id: its_name`"
        fields.error("groups", "must be a list of groups", fix)
        return ()
    found: list[Group] = []
    for index, item in enumerate(node.items):
        path = below(below(fields.path, "groups"), index)
        if not isinstance(item, Entries):
            fields.book.error(path, "must be a group", "write `id`, `branches` and `quorum`")
            continue
        inner = Fields(item, path, fields.book)
        inner.known(("id", "branches", "quorum"), "a group")
        inner.required("branches", "list the ids of its branches")
        quorum = read_quorum(inner) or Quorum("all")
        found.append(Group(inner.identifier("id") or "", inner.texts("branches"), quorum))
    return tuple(found)


# --- judging --------------------------------------------------------------------------------------


def check_voting(placed: Placed, book: Book) -> None:
    """What names no branch, what can never be reached, and what makes no difference."""
    step = placed.step
    if not isinstance(step, ApprovalStep) or step.type != "parallel":
        return
    known = [ballot.id for ballot in step.ballots]
    named = [*_branches_named(placed, step, book)]
    for place, branch in named:
        if branch not in known:
            book.error(place, f"no branch is called `{branch}`", _meant(branch, known))
    distinct = _distinct_groups(placed, step, book)
    if not known or not distinct or any(branch not in known for _, branch in named):
        return
    parts = blocs(step, [Seat(branch, branch) for branch in known])
    impossible = [part for part in parts if part.needed > part.total]
    for part in impossible:
        _tell_impossible(placed, part, book)
    if not impossible:
        _effects(placed, step, parts, book)


def _branches_named(placed: Placed, step: ApprovalStep, book: Book) -> Iterable[tuple[str, str]]:
    """Where the step names a branch, and which."""
    weights = below(placed.path, "weights")
    yield from ((below(weights, branch), branch) for branch in step.weights)
    veto = below(placed.path, "veto")
    for index, branch in enumerate(step.veto):
        yield _item(veto, index, book), branch
    for number, group in enumerate(step.groups):
        branches = below(_group(placed, number), "branches")
        for index, branch in enumerate(group.branches):
            yield _item(branches, index, book), branch


def _meant(branch: str, known: Sequence[str]) -> str:
    close = get_close_matches(branch, known, n=1)
    listed = f"branches are {', '.join(known)}" if known else "there are no branches"
    return f"did you mean `{close[0]}`? {listed}" if close else listed


def _distinct_groups(placed: Placed, step: ApprovalStep, book: Book) -> bool:
    """Whether each group has an id of its own, and each branch one group."""
    distinct = True
    ids = Counter(group.id for group in step.groups)
    grouped: dict[str, str] = {}
    for number, group in enumerate(step.groups):
        if group.id and ids[group.id] > 1:
            place = below(_group(placed, number), "id")
            message = f"two groups are called `{group.id}`"
            book.error(place, message, "give each group an id of its own")
            distinct = False
        for index, branch in enumerate(group.branches):
            if branch in grouped:
                place = _item(below(_group(placed, number), "branches"), index, book)
                message = f"branch `{branch}` is in group `{grouped[branch]}` already"
                book.error(place, message, "name it once")
                distinct = False
            grouped.setdefault(branch, group.id)
    return distinct


def _tell_impossible(placed: Placed, part: Bloc, book: Book) -> None:
    message = f"{part.needed} of {part.total} branches can never approve"
    if part.total != len(part.seats):
        message = f"can never be reached: the branches weigh {part.total} altogether"
    fix = f"write a number up to {part.total}, any, or all"
    book.error(_quorum(placed, part), message, fix)


def _effects(placed: Placed, step: ApprovalStep, parts: Sequence[Bloc], book: Book) -> None:
    """Keys that could as well not be there: their author means something that will not happen."""
    unanimous = all(part.needed == part.total for part in parts)
    if step.groups and unanimous:
        fix = "give a group a quorum of its own, or delete `groups`"
        message = "has no effect: every branch has to approve anyway"
        book.error(below(placed.path, "groups"), message, fix)
    elif step.groups and len(parts) == 1:
        message = "has no effect: all branches are in one group"
        book.error(below(placed.path, "groups"), message, "write its `quorum` for the step")
    if all(part.group is not None for part in parts) and book.has(below(placed.path, "quorum")):
        message = "has no effect: every branch is in a group"
        book.error(below(placed.path, "quorum"), message, "delete it")
    part_of = {seat.ballot: part for part in parts for seat, _ in part.seats}
    _weights(placed, step, part_of, book)
    for index, branch in enumerate(step.veto):
        part = part_of[branch]
        if part.total - step.weights.get(branch, 1) < part.needed:
            place = _item(below(placed.path, "veto"), index, book)
            message = f"has no effect: without `{branch}` the quorum can't be reached anyway"
            book.error(place, message, "delete it, or write a lower quorum")


def _weights(placed: Placed, step: ApprovalStep, part_of: Mapping[str, Bloc], book: Book) -> None:
    for branch in step.weights:
        part = part_of[branch]
        if part.needed == part.total:
            message = "has no effect: all of them have to approve, whatever they weigh"
        elif part.quorum.kind == "any":
            message = "has no effect: any of them is enough, whatever it weighs"
        else:
            continue
        place = below(below(placed.path, "weights"), branch)
        book.error(place, message, "write a quorum that is a number or a percentage, or delete it")


# --- places ---------------------------------------------------------------------------------------


def _group(placed: Placed, number: int) -> str:
    return below(below(placed.path, "groups"), number)


def _quorum(placed: Placed, part: Bloc) -> str:
    assert isinstance(placed.step, ApprovalStep)
    ids = [group.id for group in placed.step.groups]
    path = placed.path if part.group is None else _group(placed, ids.index(part.group))
    return below(path, "quorum")


def _item(path: str, index: int, book: Book) -> str:
    """Of a list; or where its only item stands instead of one."""
    return below(path, index) if book.has(below(path, index)) else path
