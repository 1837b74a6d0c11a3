"""One request's workflow on the time-skipping server, over a ledger."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from uuid import uuid4

from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest
from temporalio.client import WorkflowHandle
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from contract.messages import Outcome, StartInput
from contract.names import ENGINE_VERSION, SEARCH_ATTRIBUTES, SIGNAL_TELL, TASK_QUEUE_JOBS
from recipes import parse, progress, timers
from recipes.effects import OpenTask
from recipes.happenings import Actor, Commanded, Decided, Migration, Rechecked, Together, Where
from recipes.state import Entity
from tests.workflow.clerk import Clerk
from tests.workflow.ledger import CALENDARS, Ledger
from worker.workflow import ApprovalWorkflow

LEAVE = """
workflow: leave_request
version: 1
inputs: {type: object, required: [days], properties: {days: {type: integer}}}
owner: role:hr
deadline: 30d
steps:
  - id: manager_approval
    approver: "{{ employee.manager }}"
    timeout: 48h
    on_timeout: escalate
    remind: [24h]
"""

BUSINESS = """
workflow: leave_request
version: 1
inputs: {type: object, required: [days], properties: {days: {type: integer}}}
owner: role:hr
calendar: work
deadline: 20bd
steps:
  - id: manager_approval
    approver: "{{ employee.manager }}"
    timeout: 2bd
    on_timeout: [escalate, {after: 1bd at 09:00 in assignee zone, action: escalate}, {after: 12h, action: escalate}]
    remind: [1bd before, 1bd at 08:00]
"""

BUSINESS_WAIT = """
workflow: cooling_off
version: 1
inputs: {type: object}
owner: role:hr
calendar: work
steps:
  - {id: cool_off, for: 3bd}
  - {id: manager_approval, approver: "{{ employee.manager }}"}
"""

BUSINESS_REVIEW = """
workflow: review
version: 1
inputs: {type: object}
owner: role:hr
calendar: work
kind: state_machine
states:
  - {id: draft, initial: true}
  - {id: in_review, timers: [{after: 2bd, fire: take_back}, {after: 30d, fire: publish}]}
  - {id: published, final: true}
actions:
  - {id: submit, from: draft, to: in_review}
  - {id: take_back, from: in_review, to: draft}
  - {id: publish, from: in_review, to: published}
"""

TWO_OF_THREE = """
workflow: contract
version: 1
inputs: {type: object}
owner: role:legal
steps:
  - id: board
    type: parallel
    quorum: 2
    branches: [{approver: "user:ann"}, {approver: "user:ben"}, {approver: "user:cy", timeout: 1h, on_timeout: reject}]
"""

WEIGHED = """
workflow: board
version: 1
inputs: {type: object}
owner: role:legal
steps:
  - id: board
    branches: [{id: chief, approver: "user:ann"}, {id: works, approver: "user:ben"}, {id: law, approver: "user:cy"}]
    weights: {chief: 2}
    veto: [law]
    quorum: 3
"""

TWO_PEOPLE = """
workflow: payment
version: 1
inputs: {type: object, required: [days], properties: {days: {type: integer}}}
owner: role:finance
steps:
  - {id: check, approver: "user:ann"}
  - id: release
    approver: "user:ben"
    not_same_as: [check]
    authority: {amount: days * 1000, currency: EUR}
    timeout: 1h
    on_timeout: escalate
"""

AT_SUBMIT = """
workflow: hiring
version: 1
inputs: {type: object}
owner: role:hr
resolve: at_submit
steps:
  - {id: manager, approver: "{{ employee.manager }}"}
  - {id: board, candidates: ["role:board", "role:hr"]}
"""

REVIEW = """
workflow: review
version: 1
owner: role:board
kind: state_machine
inputs: {type: object}
states:
  - {id: draft, initial: true}
  - {id: in_review, timers: [{after: 3d, fire: return}]}
  - {id: published, final: true}
actions:
  - {id: submit, from: draft, to: in_review}
  - {id: return, from: in_review, to: draft}
  - {id: publish, from: in_review, to: published, who: role:board}
"""

ORDER = """
workflow: order
version: 1
owner: role:shop
inputs: {type: object, required: [days], properties: {days: {type: integer}}}
deadline: 30d
steps:
  - {id: validate, run: validate_order, with: {days: "{{ inputs.days }}"}}
  - {id: pause, for: 2d}
  - {id: charge, run: charge_card, with: {of: "{{ steps.validate.output }}"}, retry: 2, timeout: 5s}
  - {id: mail, to: "user:{{ request.requester }}", message: "charged {{ steps.charge.output }}"}
on_approved:
  - {id: book, run: book_sale, retry: {attempts: 3, first: 1m}}
  - {id: praise, run: praise, when: steps.book.output == 'booked'}
on_cancelled:
  - {id: refund, run: refund, when: steps.charge.outcome == 'done'}
  - {id: tell, to: role:shop, message: cancelled}
"""

SECRET_ORDER = ORDER.replace("charged {{ steps.charge.output }}", "charged").replace(
    "deadline: 30d", "deadline: 30d\nconfidential: {visible_to: role:shop, fields: days}"
)

ABOUT = """
workflow: cancellation
version: 1
inputs: {type: object}
owner: role:hr
entity: required
steps:
  - {id: units, when: "request.entity.type == 'unit'", action: reject}
  - {id: manager, when: "request.entity.id == '4711'", approver: "{{ employee.manager }}"}
"""


CHANGES = """
workflow: offer
version: 1
inputs: {type: object, required: [days], properties: {days: {type: integer}, text: {type: string}}}
owner: role:legal
keep_approvals: unaffected
resubmit_within: 14d
steps:
  - {id: text, approver: "user:ann", show: [text]}
  - id: board
    quorum: all
    branches: [{approver: "user:ben", show: [text], outcomes: [{id: fine, as: approve}]}, {approver: "user:cy"}]
    on_reject: rewind:text
"""


@dataclass
class Running:
    """One started request, its ledger and the client that signals it."""

    env: WorkflowEnvironment
    ledger: Ledger
    handle: WorkflowHandle[ApprovalWorkflow, Outcome]

    @property
    def id(self) -> str:
        return self.handle.id

    async def begun(self) -> None:
        """Wait until the first transition is written."""
        await self.written(1)

    async def written(self, commits: int) -> None:
        """Let time pass, a second at a time, until so many transitions are written."""
        while len(self.ledger.commits.get(self.id, ())) < commits:
            await self.env.sleep(1)

    def task(self, assignee: str) -> str:
        return next(
            opened.task.id
            for opened in self.ledger.open_tasks(self.id)
            if opened.task.assignment.user == assignee
        )

    async def decide(self, who: str, decision: str = "approve") -> Decided:
        now = await self.env.get_current_time()
        made = self.ledger.decide(self.task(who), who, decision, now)
        await self.handle.signal(SIGNAL_TELL, made)
        return made

    async def decide_all(self, *who: str) -> Together:
        """All of these approve at once, and one signal tells of it."""
        now = await self.env.get_current_time()
        made = [self.ledger.decide(self.task(one), one, "approve", now) for one in who]
        together = Together(tuple(made))
        await self.handle.signal(SIGNAL_TELL, together)
        return together

    async def command(self, command: str) -> Commanded:
        now = await self.env.get_current_time()
        kind = "cancel" if command == "cancel" else "retry"
        asked = Commanded(str(uuid4()), kind, Actor("alice"), now)
        await self.handle.signal(SIGNAL_TELL, asked)
        return asked

    async def request_changes(self, who: str, to: str | None = None) -> Decided:
        """They stand in storage, and the workflow is told."""
        now = await self.env.get_current_time()
        made = self.ledger.decide(self.task(who), who, "request_changes", now, to)
        await self.handle.signal(SIGNAL_TELL, made)
        return made

    async def resubmit(self, days: int) -> Commanded:
        now = await self.env.get_current_time()
        said = {"inputs": {"days": days, "text": "the same"}, "digest": f"d{days}"}
        asked = Commanded(str(uuid4()), "resubmit", Actor("alice"), now, title="again", **said)
        await self.handle.signal(SIGNAL_TELL, asked)
        return asked

    async def fire(self, action: str) -> Commanded:
        now = await self.env.get_current_time()
        asked = Commanded(str(uuid4()), "fire", Actor("alice"), now, action=action)
        await self.handle.signal(SIGNAL_TELL, asked)
        return asked

    async def reassign(self, seat: str, to: str) -> Commanded:
        now = await self.env.get_current_time()
        asked = Commanded(str(uuid4()), "reassign", Actor("root"), now, "on leave", seat, to)
        await self.handle.signal(SIGNAL_TELL, asked)
        return asked

    async def migrate(self, text: str) -> Commanded:
        """Move it to the version that `text` spells."""
        now, parsed = await self.env.get_current_time(), parse.parse(text)
        seen = self.ledger.state(self.id).digest
        digest = f"d{parsed.recipe.version}"
        wanted = Migration(parsed.recipe, parsed.sha256, digest, seen)
        asked = Commanded(str(uuid4()), "migrate", Actor("root"), now, "better", migration=wanted)
        await self.handle.signal(SIGNAL_TELL, asked)
        return asked

    async def add(self, seat: str, to: str, where: Where) -> Commanded:
        now = await self.env.get_current_time()
        asked = Commanded(
            str(uuid4()), "add_approver", Actor("root"), now, "an expert", seat, to, where=where
        )
        await self.handle.signal(SIGNAL_TELL, asked)
        return asked

    async def recheck(self) -> Rechecked:
        """Tell that the directory has changed under all open tasks."""
        tasks = tuple(opened.task.id for opened in self.ledger.open_tasks(self.id))
        told = Rechecked(tasks, await self.env.get_current_time())
        await self.handle.signal(SIGNAL_TELL, told)
        return told

    def seen(self) -> list[tuple[str, str]]:
        """Who was asked, and how each task stands now."""
        effects = self.ledger.effects(self.id)
        names = {
            e.task.id: e.task.assignment.user or "" for e in effects if isinstance(e, OpenTask)
        }
        return [(names[task], _standing(self.ledger, task)) for task in names]


def _standing(ledger: Ledger, task: str) -> str:
    if task in ledger.decided:
        return ledger.decided[task].decision
    return "closed" if task in ledger.closed else "open"


@asynccontextmanager
async def running(
    env: WorkflowEnvironment, text: str, ledger: Ledger | None = None, clerk: Clerk | None = None
) -> AsyncIterator[Running]:
    """With a `clerk`, somebody does the jobs."""
    parsed = parse.parse(text)
    ledger = ledger or Ledger(parsed.recipe)
    queue = f"test-{uuid4()}"
    client = env.client
    now = await env.get_current_time()
    timing = timers.deadline_timing(parsed.recipe, now)
    state = progress.initial(
        parsed.recipe,
        request_id=str(uuid4()),
        requester="alice",
        inputs={"days": 5},
        submitted_at=now,
        digest="d",
        entity=Entity("booking", "4711") if parsed.recipe.entity else None,
        deadline=None if timing is None else CALENDARS.times(timing),
    )
    await client.operator_service.add_search_attributes(
        AddSearchAttributesRequest(
            namespace=client.namespace,
            search_attributes=dict.fromkeys(
                SEARCH_ATTRIBUTES, IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD
            ),
        )
    )
    async with AsyncExitStack() as workers:
        await workers.enter_async_context(
            Worker(
                client,
                task_queue=queue,
                workflows=[ApprovalWorkflow],
                activities=[ledger.commit],
                workflow_runner=UnsandboxedWorkflowRunner(),
            )
        )
        if clerk is not None:
            jobs = Worker(
                client,
                task_queue=TASK_QUEUE_JOBS,
                activities=[clerk.run],
                max_heartbeat_throttle_interval=timedelta(seconds=1),
            )
            await workers.enter_async_context(jobs)
        handle = await client.start_workflow(
            ApprovalWorkflow.run,
            StartInput(ENGINE_VERSION, parsed.recipe, parsed.sha256, state),
            id=state.request_id,
            task_queue=queue,
        )
        yield Running(env, ledger, handle)
