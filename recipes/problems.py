"""What is wrong with a recipe, said so that its author can put it right."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with a recipe. `line` and `column` count from 1; `path` is a key path such as
    `steps[1].quorum`; `excerpt` is the line of an expression with a caret below the place."""

    file: str | None
    line: int
    column: int
    path: str
    message: str
    fix: str
    severity: Literal["error", "warning"] = "error"
    excerpt: str | None = None

    def __str__(self) -> str:
        where = f"{self.file or '<recipe>'}:{self.line}:{self.column}"
        path = f" {self.path}:" if self.path else ""
        return f"{where}: {self.severity}:{path} {self.message} ({self.fix})"


class RecipeInvalid(Exception):
    """The recipe can't be published: `problems` are all the errors, and the warnings beside them."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = tuple(problems)
