"""What a recipe of `kind: state_machine` means: people fire actions, which lead from state to state.

The rules
---------
* A request begins in the one initial state and is in exactly one state at any moment: its `status`.
  Beside it the request is `pending`, until a final state makes it what that state's `outcome` says.
* An action may be fired where it is enabled, leads out of the state the request is in, and leads into
  a state that is enabled. Nothing leads out of a final state. Whatever does not fit is refused with the
  reason and changes nothing: `refusal` says it, here and to those who only want to know.
* One at a time. A command says after how many `moves` its actor saw the request; if it has moved
  since, it is refused, and told who moved it and when, whether or not the action would still fit. Two
  people who fire at once can't both win, nor can one who clicks twice.
* Who may fire an action (`who`) is asked of the directory by whoever takes the command: that is about
  today, and nothing here knows it. What does not depend on the directory is looked at here again:
  the requester does not fire what is `not_requester`, nor does anybody on the requester's behalf. Else
  requesters fire actions of their own requests: a machine moves a thing along, it approves nothing.
* A state's timers begin when the request comes into it and fire their actions by themselves, each
  once a stay; leaving the state ends them. An action that leads back to where the request is does not
  begin a new stay. (A recipe in which timers alone would lead in a circle is not published.)
* A timer that counts business days is asked for (`AskTimes`) when the request comes into the state, by
  the calendar as it is then; until the answer comes nothing else is applied.
* `cancel` and the recipe's deadline end a request in any state, as they do all others.
* A final state is final. What comes later, and what is done after the end, is for `progress`.

      created --> pending: draft --submit--> in_review --publish--> published = approved
                              ^---return_to_author---'

What is kept does not grow with the number of moves: a machine may run for years.
"""

from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import datetime

from recipes import migration as versions
from recipes import timers
from recipes.asks import Answer
from recipes.effects import Effect, Record, SettleCommand, Transition
from recipes.expressions import ExpressionError
from recipes.happenings import (
    ENGINE,
    Actor,
    Answered,
    Commanded,
    Happening,
    Migration,
    Started,
    Ticked,
)
from recipes.model import BusinessDays, Json, Machine, MachineAction, MachineState, Recipe
from recipes.questions import Questions
from recipes.references import once, reference
from recipes.state import FinalState, Move, State, Timer

COMMANDS_KEPT = 100
"""How many commands are remembered, so that one told twice counts once: signals are told again within
seconds. A `fire` that is older than that has seen too few moves, and is refused."""


def apply(
    recipe: Recipe, machine: Machine, state: State, happening: Happening, now: datetime
) -> Transition:
    """What follows from `happening` befalling `state`, which is not final, at `now`; `progress.apply` of
    a machine."""
    run = _Run(recipe, machine, state, now)
    if isinstance(happening, Answered):
        run.answered(happening.answers)
        return Transition(run.state, tuple(run.effects))
    if state.asks:
        raise ValueError("open asks must be answered first")
    run.befall(happening)
    if run.state != state:
        run.state = replace(run.state, seq=state.seq + 1)
    return Transition(run.state, tuple(run.effects), run.migration)


def refusal(machine: Machine, status: str | None, name: str) -> str | None:
    """Why the action `name` cannot be fired in the state `status`; None if it can."""
    action = machine.action(name)
    if action is None:
        return f"there is no action `{name}`"
    if status is None:
        return "the request has not begun yet"
    here = machine.state(status)
    if here.final:
        return f"`{status}` is a final state: nothing leads out of it"
    if not action.enabled:
        return f"action `{name}` is disabled"
    if status not in action.sources:
        fits = " or ".join(f"`{source}`" for source in action.sources)
        return f"action `{name}` leads out of {fits}; the request is in `{status}`"
    if not machine.state(action.to).enabled:
        return f"action `{name}` leads into `{action.to}`, which is disabled"
    return None


def barred(action: MachineAction, requester: str, actor: Actor) -> str | None:
    """Why `actor` does not fire it, as far as no directory is needed for that."""
    if action.not_requester and requester in (actor.user, actor.on_behalf_of):
        return f"action `{action.id}` is not for the requester, nor on their behalf"
    return None


def told(move: Move | None) -> str:
    """Who moved the request to where it is, and when; empty if nobody did."""
    if move is None:
        return ""
    behalf = f" on behalf of {move.actor.on_behalf_of}" if move.actor.on_behalf_of else ""
    at = move.at.strftime("%Y-%m-%dT%H:%M:%SZ")
    return f"; {move.actor.user}{behalf} moved it there by `{move.action}` at {at}"


def references(
    recipe: Recipe, state: State, action: MachineAction, employee: dict[str, Json] | None
) -> tuple[str, ...]:
    """Whom the action's `who` names as of now; `employee` is what its `employee_paths` gave.

    What names nobody, the manager of somebody who has none, is left out; if that is all there is,
    ExpressionError says why.
    """
    run = Questions(recipe, replace(state, employee=employee), state.submitted_at)
    scope = run.scope()
    found: list[str] = []
    failed: ExpressionError | None = None
    for template in action.who:
        try:
            found.append(reference(run.environment.render(template, scope)))
        except ExpressionError as error:
            failed = failed or error
    if failed is not None and not found:
        raise failed
    return tuple(once(found))


class _Run:
    """One application in progress."""

    def __init__(self, recipe: Recipe, machine: Machine, state: State, now: datetime) -> None:
        self.recipe = recipe
        self.machine = machine
        self.state = state
        self.now = now
        self.effects: list[Effect] = []
        self.migration: Migration | None = None

    def befall(self, happening: Happening) -> None:
        """There are no tasks: what is about one changes nothing."""
        match happening:
            case Commanded():
                self.commanded(happening)
            case Started():
                self.state = replace(self.state, state="pending")
                self.come_into(self.machine.initial)
            case Ticked():
                self.ticked()
            case _:
                pass

    def commanded(self, command: Commanded) -> None:
        if command.command_id in self.state.commands_seen:
            return
        seen = (*self.state.commands_seen, command.command_id)[-COMMANDS_KEPT:]
        self.state = replace(self.state, commands_seen=seen)
        if command.command == "cancel":
            self.settle(command, done="cancelled")
            self.finalize("cancelled", "cancelled", command.comment, command.actor)
        elif command.command == "fire":
            self.asked_to_fire(command)
        elif command.command == "migrate":
            self.migrate(command)
        elif command.command == "retry":
            self.settle(command, "the request has no incident to retry")
        else:
            self.settle(command, f"a state machine has nothing to {command.command}")

    def migrate(self, command: Commanded) -> None:
        """Go on with another version in the state where the request is: `migration` says when."""
        wanted = command.migration
        refused = versions.why_not(self.recipe, self.state, wanted, self.now)
        if refused is not None or wanted is None or wanted.recipe.machine is None:
            self.settle(command, refused)
            return
        self.settle(command, done=f"moved to version {wanted.recipe.version}")
        self.effects.append(versions.migrated(self.recipe, wanted, command))
        kept = versions.moved(self.recipe, self.state, wanted)
        if versions.timers_differ(self.machine, wanted.recipe.machine, self.state):
            here = wanted.recipe.machine.state(self.state.status or "")
            begun, asks = timers.begin(wanted.recipe, here, self.now)
            kept = replace(kept, timers=begun, asks=asks)
        self.state = kept
        self.migration = wanted

    def asked_to_fire(self, command: Commanded) -> None:
        name = command.action or ""
        why_not = refusal(self.machine, self.state.status, name)
        action = self.machine.action(name)
        if why_not is None and command.moves not in (None, self.state.moves):
            why_not = f"it has moved since you saw it, and is in `{self.state.status}`"
        if why_not is not None or action is None:
            self.settle(command, f"{why_not}{told(self.state.moved)}")
        elif action.require_comment and not (command.comment or "").strip():
            self.settle(command, f"action `{name}` needs a comment")
        elif (not_them := barred(action, self.state.requester, command.actor)) is not None:
            self.settle(command, not_them)
        else:
            self.settle(command, done=f"moved to {action.to}")
            self.fire(action, command.actor, command.comment)

    def fire(self, action: MachineAction, actor: Actor, comment: str | None = None) -> None:
        source = self.state.status or ""
        move = Move(action.id, source, action.to, actor, self.now)
        self.state = replace(self.state, moves=self.state.moves + 1, moved=move)
        payload: dict[str, Json] = {
            "action": action.id,
            "from": source,
            "to": action.to,
            "comment": comment,
            "moves": self.state.moves,
        }
        self.effects.append(Record("action.fired", payload, actor))
        if action.to != source:
            self.come_into(self.machine.state(action.to))

    def come_into(self, here: MachineState) -> None:
        begun, asks = timers.begin(self.recipe, here, self.now)
        self.state = replace(self.state, status=here.id, timers=begun, asks=asks)
        if here.final:
            self.finalize(here.outcome, f"final state {here.id}", None)

    def answered(self, answers: tuple[Answer, ...]) -> None:
        """The timers of the state it came into that count business days, beside the others."""
        here = self.machine.state(self.state.status or "")
        counting = [timer for timer in here.timers if isinstance(timer.after, BusinessDays)]
        running = list(self.state.timers)
        for timer, answer in zip(counting, answers, strict=True):
            assert answer.times is not None
            assert answer.times.due_at is not None
            at, by = answer.times.due_at, answer.times.by
            running.append(Timer(at, timer.fire, by))
            payload: dict[str, Json] = {"status": here.id, "fire": timer.fire, "due_at": at}
            self.effects.append(Record("timer.set", {**payload, "due_by": asdict(by)}))
        self.state = replace(self.state, timers=timers.in_order(running), asks=())

    def ticked(self) -> None:
        deadline = self.state.deadline_at
        if deadline is not None and deadline <= self.now:
            self.finalize("expired", "expired", "the deadline has passed")
            return
        while self.state.timers and self.state.timers[0].at <= self.now:
            due, *rest = self.state.timers
            self.state = replace(self.state, timers=tuple(rest))
            action = self.machine.action(due.fire)
            assert action is not None, "timers fire actions that there are: `parse_machine`"
            self.fire(action, ENGINE)

    def finalize(self, to: FinalState, why: str, reason: str | None, actor: Actor = ENGINE) -> None:
        self.state = replace(self.state, state=to, reason=reason or why, timers=(), asks=())
        payload: dict[str, Json] = {"state": to, "why": why, "reason": reason}
        self.effects.append(Record("request.finalized", payload, actor))

    def settle(self, command: Commanded, refused: str | None = None, done: str = "") -> None:
        effect = SettleCommand(
            command.command_id, command.command, refused is None, refused or done
        )
        self.effects.append(effect)


def doors(machine: Machine, status: str | None) -> Sequence[MachineAction]:
    """The actions that can be fired in the state `status`."""
    return [action for action in machine.actions if refusal(machine, status, action.id) is None]
