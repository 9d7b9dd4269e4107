"""How the trainer's exit code says how it ended, and the message that goes with it."""

import json
from enum import IntEnum
from typing import Annotated

from pydantic import StringConstraints, ValidationError

from bluetune_api.base import ApiModel

MESSAGE_BYTES = 3500
"""Kubernetes cuts a termination message at 4,096 bytes."""


class ExitCode(IntEnum):
    """What the container's exit code means."""

    OK = 0
    """result.json was written."""
    DATA_INVALID = 10
    """The batch or the catalogue is broken or too small."""
    PLAN_INVALID = 11
    """The plan or the settings cannot be used."""
    PLUGIN_FAILED = 12
    """The plugin raised, or returned what it should not."""
    STORE_UNREACHABLE = 13
    """The store did not answer, or refused, after retries: tried again for as long as that lasts."""
    GPU_NOT_VISIBLE = 14
    """The container asks for GPUs, and torch cannot use any."""
    STORE_DAMAGED = 15
    """The store answered, and what it holds is damaged, incomplete or another's."""
    STOPPED = 75
    """Stopped by SIGTERM; what is finished is saved."""


NOT_WORTH_RETRYING = (
    ExitCode.DATA_INVALID,
    ExitCode.PLAN_INVALID,
    ExitCode.PLUGIN_FAILED,
    ExitCode.GPU_NOT_VISIBLE,
)
"""Codes that the same Job would end with again."""
NOT_COUNTED = (ExitCode.STORE_UNREACHABLE, ExitCode.STOPPED)
"""Codes that say nothing against the run: they use up none of its retries."""


class Termination(ApiModel):
    """The container's termination message."""

    reason: Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=r"^[A-Za-z][A-Za-z0-9]*$")]
    """One word, such as DataInvalid."""
    message: Annotated[str, StringConstraints(max_length=4096)]
    """What went wrong and what to do."""

    def encode(self) -> str:
        """JSON that fits into a termination message."""
        message = self.message
        while (
            len(text := json.dumps({"reason": self.reason, "message": message}, ensure_ascii=False).encode())
            > MESSAGE_BYTES
        ):
            over = len(text) - MESSAGE_BYTES
            message = message[: max(len(message) - max(over // 4, 16), 0)] + "…"
        return text.decode()


def decode_termination(text: str | None) -> Termination | None:
    """Read a termination message written by anybody; what is not ours is None."""
    try:
        return Termination.model_validate_json(text or "", extra="ignore")
    except ValidationError:
        return None
