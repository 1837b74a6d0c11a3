"""A small office with one recipe, and its requests carried along by commits. For tests of storage."""

from datetime import UTC, datetime
from uuid import uuid4

from activities.commit import Activities
from contract.messages import CommitInput, CommitResult
from recipes import model, progress
from recipes.happenings import Happening
from recipes.model import ApprovalStep, Ballot, Level, Quorum, Recipe, Reminder
from recipes.state import State
from storage.pool import Pool

NOW = datetime(2026, 6, 1, 9, tzinfo=UTC)
RECIPE = Recipe(
    workflow="laptop",
    version=1,
    steps=(
        ApprovalStep(
            id="both",
            type="parallel",
            quorum=Quorum("any"),
            employee_paths=("manager",),
            ballots=(
                Ballot(
                    "boss",
                    approver="{{ employee.manager }}",
                    levels=(Level(3600, "escalate"),),
                    remind=(Reminder(1800),),
                ),
                Ballot("money", candidates=("role:finance", "user:frank")),
            ),
        ),
    ),
)
SHA = "a" * 64


async def furnish(pool: Pool, admin_pool: Pool, recipe: Recipe = RECIPE) -> None:
    """alice reports to bob, bob to grace; fay holds finance; the recipe is published."""
    await admin_pool.execute("INSERT INTO roles (name) VALUES ('finance')")
    # So long ago that only a directory without its triggers can be told of it now.
    await admin_pool.execute("""
        BEGIN;
        SET LOCAL session_replication_role = replica;
        INSERT INTO people (id, name, employed) SELECT id, id, '{[2020-01-01,)}'
          FROM unnest('{alice,bob,grace,frank,fay}'::text[]) id;
        INSERT INTO manager_lines VALUES
          ('alice','bob','[2020-01-01,)'),('bob','grace','[2020-01-01,)');
        INSERT INTO role_members VALUES ('finance','fay','[2020-01-01,)');
        COMMIT
    """)
    await pool.execute(
        "INSERT INTO recipes (workflow, version, sha256, source, recipe, published_by) "
        "VALUES ('laptop', 1, $1, '', $2, 'admin')",
        SHA,
        model.dump(recipe),
    )


async def submitted(pool: Pool) -> State:
    """The state of a request that alice just submitted."""
    request_id = uuid4()
    await pool.execute(
        "INSERT INTO requests (id, workflow, version, requester, title, inputs, digest, created_at)"
        " VALUES ($1, 'laptop', 1, 'alice', 'Laptop', '{}', 'd', $2)",
        request_id,
        NOW,
    )
    return progress.initial(
        RECIPE,
        request_id=str(request_id),
        requester="alice",
        inputs={},
        submitted_at=NOW,
        digest="d",
    )


async def commit(
    pool: Pool, state: State, happening: Happening, now: datetime = NOW
) -> tuple[CommitResult, State]:
    """Commit a transition; the result, and the state as the workflow would have it after."""
    asked = CommitInput("laptop", 1, state, happening, now)
    result = await Activities(pool).commit(asked)
    if result.lost:
        return result, state
    stands = result.earlier
    happening, now = (stands.happening, stands.now) if stands else (happening, now)
    transition = progress.apply(RECIPE, state, happening, now)
    for answers in stands.answers if stands else result.answers:
        transition = progress.then(RECIPE, transition, answers, now)
    return result, transition.state
