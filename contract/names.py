"""Names that live in Temporal histories: changing one orphans running requests."""

WORKFLOW_TYPE = "approval"
SIGNAL_TELL = "tell"
ACTIVITY_COMMIT = "commit"
TASK_QUEUE = "countersign"

ENGINE_VERSION = 1
"""Behaviour versions of the interpreter, newest last.

1: the first.
"""

SEARCH_STATE = "CountersignState"
SEARCH_WORKFLOW = "CountersignWorkflow"
SEARCH_STEP = "CountersignStep"
SEARCH_INCIDENT = "CountersignIncident"
