"""Whose fault an exception is: the user's code gets its own text and line, never a stack trace."""

import contextlib
import inspect
import re
import sys
import traceback
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

from bluetune_trainer.errors import PluginFailed, TrainerError, files_of, plugin_failure

WRONG_CALL = re.compile(r"(?P<callee>[\w.<>]+)\(\) (missing|takes|got|argument)")
"""How Python says that a function was called with other arguments than it takes."""
OURS = __file__.rpartition("/plugin/")[0] + "/"
"""Where this package lies."""


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
        failure = plugin_failure(error, name, user_files(*user_objects)) or _of_the_call(error, name, user_objects)
        if failure is None:
            raise
        raise failure from error


def made(cls: Callable[[], Any], name: str) -> Any:
    """An object of a class of the user's, without arguments.

    Args:
        cls: the class.
        name: what names it, for the message.

    Raises:
        PluginFailed: it cannot be called so, or leaves a method of its base class undefined. What its own code raises
            comes out as it is.
    """
    try:
        return cls()
    except TypeError as error:
        if error.__traceback__ is None or error.__traceback__.tb_next is not None:
            raise
        raise PluginFailed(
            f"{name} cannot be made: {error}; it must take no arguments and define every abstract method"
        ) from error


def line(where: Callable[..., Any]) -> str:
    """` (in name, file:line)` of a function of the user's."""
    function = inspect.unwrap(where)
    code = getattr(getattr(function, "__func__", function), "__code__", None)
    return f" (in {code.co_name}, {code.co_filename}:{code.co_firstlineno})" if code else ""


def _of_the_call(error: Exception, name: str, user_objects: tuple[Any, ...]) -> PluginFailed | None:
    """The failure of a call that never came as far as the user's code: it is not defined, or takes other arguments."""
    frames = traceback.extract_tb(error.__traceback__)
    undefined = isinstance(error, NotImplementedError) and frames
    if undefined and (frames[-1].filename.startswith(OURS) or frames[-1].name == "_forward_unimplemented"):
        hook = "forward" if frames[-1].name == "_forward_unimplemented" else frames[-1].name
        return PluginFailed(f"{name} does not define {hook}, which this run asks for; define it")
    called = WRONG_CALL.match(str(error)) if isinstance(error, TypeError) else None
    if called is None:
        return None
    outermost = called["callee"].split(".")[0]
    for module in _own_modules(*user_objects):
        defined = vars(module).get(outermost)
        if getattr(defined, "__module__", None) == module.__name__:
            return PluginFailed(f"{name} cannot be called as a run calls it: {error} (in {module.__file__})")
    return None


NOT_THE_USERS = {"bluetune_trainer", "torch", "transformers", *sys.stdlib_module_names}
"""Packages whose objects a plugin may hand over (a torch module as the ranker) without their code being the user's."""


def user_files(*objects: Any) -> tuple[str, ...]:
    """Where the code of a user's objects lies; nothing for ours."""
    return tuple(sorted(files_of(module) for module in _own_modules(*objects)))


def _own_modules(*objects: Any) -> list[ModuleType]:
    names = {getattr(o, "__module__", None) or type(o).__module__ for o in objects}
    own = [sys.modules[name] for name in names if name in sys.modules and name.split(".")[0] not in NOT_THE_USERS]
    return [module for module in own if module.__file__]
