"""Names that live in Temporal histories: changing one orphans running requests."""

WORKFLOW_TYPE = "approval"
SIGNAL_TELL = "tell"
QUERY_STANDING = "standing"
ACTIVITY_COMMIT = "commit"
TASK_QUEUE = "countersign"
TASK_QUEUE_CHORES = "countersign-chores"
"""Slow or periodic work that no request waits for."""
TASK_QUEUE_JOBS = "countersign-jobs"
"""Work of `type: task`: whatever other people's functions do, for as long as they take."""
ACTIVITY_JOB = "job"
WORKFLOW_SWEEP = "sweep"
ACTIVITY_SWEEP = "sweep"
WORKFLOW_MOVE_MONTHS = "move-audit-months"
ACTIVITY_MOVE_MONTHS = "move_audit_months"
WORKFLOW_MIRROR = "mirror-directory"
ACTIVITY_MIRROR = "mirror_directory"
MIRROR_BY_HAND = "mirror-directory-by-hand"
"""The workflow id of a reading that somebody asked for: one at a time."""

ENGINE_VERSION = 1
"""Behaviour versions of the interpreter, newest last.

1: the first.
"""

SEARCH_STATE = "CountersignState"
SEARCH_RECIPE = "CountersignRecipe"
"""Workflow and version as one keyword, `leave_request.v3`: a server keeps few attributes fast."""
SEARCH_STEP = "CountersignStep"
SEARCH_INCIDENT = "CountersignIncident"
SEARCH_ATTRIBUTES = (SEARCH_STATE, SEARCH_RECIPE, SEARCH_STEP, SEARCH_INCIDENT)
"""All of them keywords, none of them personal. What ops filter by in the Temporal Web UI."""
