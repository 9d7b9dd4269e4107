"""Read a plan and open its store."""

import logging
from pathlib import Path
from typing import Literal

from bluetune_api.reading import FormatTooNew, RecordInvalid, read_record, unknown_fields
from bluetune_api.records import Plan
from bluetune_trainer.errors import PlanInvalid, in_words

log = logging.getLogger(__name__)

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
        content = path.read_bytes()
        plan = read_record(Plan, content, "trainer")
    except OSError as error:
        raise PlanInvalid(f"the plan {path} cannot be read: {error.strerror}") from error
    except FormatTooNew as error:
        raise PlanInvalid(f"the plan {path} cannot be used: {error}", reason="FormatTooNew") from error
    except RecordInvalid as error:
        raise PlanInvalid(f"the plan {path} is not valid: {in_words(error.found)}") from error
    if passed_over := unknown_fields(Plan, content):
        log.warning("the plan is of a newer operator; fields that are passed over: %s", ", ".join(passed_over))
    if COMMANDS[plan.kind] != command:
        raise PlanInvalid(f"the plan {path} has kind {plan.kind}; it is for bluetune-trainer {COMMANDS[plan.kind]}")
    for name in REQUIRED[plan.kind]:
        if getattr(plan, name) is None:
            alias = Plan.model_fields[name].alias or name
            raise PlanInvalid(f"the plan {path} has no {alias}, which a plan of kind {plan.kind} needs")
    return plan
