"""The organisation and the recipes that benchmarks work with."""

import asyncpg

from bench.client import Client

LEAVE = """\
workflow: leave_request
version: 3

steps:
  - id: auto_approve_short
    when: days < 3
    action: approve

  - id: manager_approval
    type: approval
    approver: "{{ employee.manager }}"
    timeout: 48h
    on_timeout: escalate

  - id: hr_and_grandboss
    when: days > 14
    type: parallel
    branches:
      - approver: "{{ employee.manager.manager }}"
      - approver: "hr-leave-admin"
    quorum: all
"""
"""The recipe of DESIGN section 3. With 5 days: one manager decides."""

TWO_IN_TURN = """\
workflow: two_in_turn
version: 1
steps:
  - id: first
    approver: "{{ employee.manager }}"
    timeout: 48h
    on_timeout: escalate
  - id: second
    approver: "{{ employee.manager.manager }}"
    timeout: 48h
    on_timeout: escalate
"""
"""The manager, then the manager's manager."""

# Everybody's manager is one level up, the last level's is the director.
_PEOPLE = """
INSERT INTO people (id, name, email, employed)
SELECT 'p' || n, 'Person ' || n, 'p' || n || '@example.org', '{[2020-01-01Z,)}'::tstzmultirange
  FROM generate_series(1, $1::int) n
"""
_LINES = """
INSERT INTO manager_lines (person, manager, valid)
SELECT 'p' || n, 'p' || (n + $2::int), tstzrange(now(), NULL) FROM generate_series(1, $1::int - $2::int) n
"""
_ROLES = """
INSERT INTO roles (name) VALUES ('hr-leave-admin');
"""
_MEMBER = """
INSERT INTO role_members (role, person, valid)
VALUES ('hr-leave-admin', $1, tstzrange(now(), NULL))
"""


async def hire(url: str, *, people: int, apart: int) -> None:
    """`people` persons p1, p2 ...; the manager of p<n> is p<n + apart>. The last one does leave."""
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(_PEOPLE, people)
        await connection.execute(_LINES, people, apart)
        await connection.execute(_ROLES)
        await connection.execute(_MEMBER, f"p{people}")
        await connection.execute("ANALYZE people, manager_lines, roles, role_members")
    finally:
        await connection.close()


async def publish(admin: Client, *recipes: str) -> None:
    for recipe in recipes:
        answer = await admin.post("/v1/recipes", recipe)
        answer.expect(201)


async def copy_recipes(source_url: str, target_url: str) -> None:
    """The published recipes of one database in another, whose requests refer to them."""
    source = await asyncpg.connect(source_url)
    target = await asyncpg.connect(target_url)
    try:
        for row in await source.fetch("SELECT * FROM recipes"):
            await target.execute("INSERT INTO recipes VALUES ($1, $2, $3, $4, $5, $6, $7)", *row)
    finally:
        await source.close()
        await target.close()
