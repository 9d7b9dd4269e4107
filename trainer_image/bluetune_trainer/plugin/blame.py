"""Whose fault an exception is: the user's code gets its own text and line, never a stack trace."""

import contextlib
import sys
from collections.abc import Iterator
from typing import Any

from bluetune_trainer.errors import TrainerError, files_of, plugin_failure


@contextlib.contextmanager
def blaming(name: str, *user_objects: Any) -> Iterator[None]:
    """Turn what comes out of the user's own code into a PluginFailed with its line.

    Args:
        name: of the plugin, for the message.
        user_objects: the plugin, and whatever else of the user's is called.
    """
    try:
        yield
    except TrainerError:
        raise
    except Exception as error:
        failure = plugin_failure(error, name, user_files(*user_objects))
        if failure is None:
            raise
        raise failure from error


NOT_THE_USERS = {"bluetune_trainer", "torch", "transformers", *sys.stdlib_module_names}
"""Packages whose objects a plugin may hand over (a torch module as the ranker) without their code being the user's."""


def user_files(*objects: Any) -> tuple[str, ...]:
    """Where the code of a user's objects lies; nothing for ours."""
    modules = {getattr(o, "__module__", None) or type(o).__module__ for o in objects}
    own = [sys.modules[m] for m in modules if m in sys.modules and m.split(".")[0] not in NOT_THE_USERS]
    return tuple(sorted(files_of(module) for module in own if module.__file__))
