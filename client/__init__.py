"""A thin typed client of Countersign's HTTP API.

    from client import Client, calls

    with Client("https://countersign.example.org", key) as countersign:
        made = countersign.send(calls.submit("leave_request", {"days": 5}))
        for task in countersign.each(calls.tasks()):
            countersign.send(calls.decide(task["id"], "approve", digest=task["digest"]))

`calls` says what can be asked; a `Client` sends it and waits, an `AsyncClient` does so beside other things.
Answers are the API's own JSON, typed (`client.shapes`); refusals are exceptions (`client.problems`).
It needs httpx, and nothing else of Countersign's.
"""

from client import calls, problems, shapes
from client.sending import AsyncClient, Client

__all__ = ["AsyncClient", "Client", "calls", "problems", "shapes"]
