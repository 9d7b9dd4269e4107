"""Read a plan and open its store."""

from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from bluetune_api.records import Plan
from bluetune_trainer.errors import PlanInvalid, in_words

REQUIRED = {
    "Import": ("base_uri",),
    "Check": ("batch_id",),
    "Train": ("batch_id", "start_version"),
    "Index": ("index",),
    "Load": ("index",),
}
"""Fields that a plan of a kind must have."""


Command = Literal["import", "check", "run", "index", "load"]
COMMANDS: dict[str, Command] = {"Import": "import", "Check": "check", "Train": "run", "Index": "index", "Load": "load"}


def read_plan(path: Path, command: Command) -> Plan:
    """The plan in a file, for a command.

    Raises:
        PlanInvalid: it cannot be read, is for another command, or lacks a field.
    """
    try:
        plan = Plan.model_validate_json(path.read_bytes())
    except OSError as error:
        raise PlanInvalid(f"the plan {path} cannot be read: {error.strerror}") from error
    except ValidationError as error:
        raise PlanInvalid(f"the plan {path} is not valid: {in_words(error)}") from error
    if COMMANDS[plan.kind] != command:
        raise PlanInvalid(f"the plan {path} has kind {plan.kind}; it is for bluetune-trainer {COMMANDS[plan.kind]}")
    for name in REQUIRED[plan.kind]:
        if getattr(plan, name) is None:
            alias = Plan.model_fields[name].alias or name
            raise PlanInvalid(f"the plan {path} has no {alias}, which a plan of kind {plan.kind} needs")
    return plan
