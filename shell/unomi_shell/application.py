"""
The application that `--app MODULE:NAME` names: its scheduler, or a failure that says what to type or to put right.
"""

from __future__ import annotations

import importlib
import sys
import traceback
from pathlib import Path
from types import ModuleType, TracebackType
from typing import TYPE_CHECKING

from .failures import Exit, Failure

if TYPE_CHECKING:
    from unomi_scheduler import Scheduler

_DEFAULT_NAME = "scheduler"
_EXPECTED = "expected MODULE:NAME, such as myapp:scheduler for the name scheduler in myapp.py"


def load_scheduler(app: str) -> Scheduler:
    """
    Return the scheduler of an application; its module is looked for in this folder first.

    Raises:
        Failure: with exit code 2, when there is no such module or scheduler, or the module raises: then what it raised
            is printed to standard error first.
        ConfigurationError, StoreUnavailable: the module raised it; a setting or the store is to be looked after.
    """
    from unomi_scheduler import Scheduler  # noqa: PLC0415 - slow to load

    module_name, _, name = app.partition(":")
    _check_form(app, module_name)
    found_module = _import(app, module_name)
    found = getattr(found_module, name or _DEFAULT_NAME, None)
    if isinstance(found, Scheduler):
        return found
    there = ", ".join(
        f"{module_name}:{one}" for one, value in vars(found_module).items() if isinstance(value, Scheduler)
    )
    came = "nothing of that name" if found is None else type(found).__name__
    raise Failure(
        f"--app {app}: expected MODULE:NAME of a Scheduler, found {came} in {_place(found_module)}; "
        + (f"there is {there}" if there else "make one there: scheduler = Scheduler()"),
        Exit.USAGE,
    )


def _check_form(app: str, module: str) -> None:
    is_path = "/" in module or module.endswith(".py")
    if all(module.split(".")) and not is_path:
        return
    _, _, name = app.partition(":")
    meant = module.removeprefix("./").removesuffix(".py").strip("/").replace("/", ".")
    hint = f"; a module is no path: did you mean {meant}:{name or _DEFAULT_NAME}?" if is_path and meant else ""
    raise Failure(f"--app {app or repr(app)}: {_EXPECTED}{hint}", Exit.USAGE)


def _import(app: str, module: str) -> ModuleType:
    from unomi_scheduler import ConfigurationError, StoreUnavailable  # noqa: PLC0415 - slow to load

    folder = str(Path.cwd())
    if sys.path[0] != folder:
        sys.path.insert(0, folder)
    try:
        return importlib.import_module(module)
    except (ConfigurationError, StoreUnavailable):
        raise
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module}.".startswith(f"{error.name}."):
            raise _raised(app, error) from error
        raise Failure(
            f"--app {app}: {error}; it is looked for in this folder ({folder}) and among what is installed", Exit.USAGE
        ) from error
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        # SystemExit too: a module that ends its process is no application.
        raise _raised(app, error) from error


def _raised(app: str, error: BaseException) -> Failure:
    traceback.print_exception(type(error), error, _of_the_app(error.__traceback__))
    return Failure(
        f"--app {app}: the module raised {type(error).__name__} when it was imported (see above); put it right there",
        Exit.USAGE,
    )


def _of_the_app(trace: TracebackType | None) -> TracebackType | None:
    # What stands before the module's own first line is ours and the import system's.
    while trace is not None and _is_ours(trace.tb_frame.f_code.co_filename):
        trace = trace.tb_next
    return trace


def _is_ours(file: str) -> bool:
    return file in {__file__, importlib.__file__} or file.startswith("<frozen importlib")


def _place(module: ModuleType) -> str:
    return getattr(module, "__file__", None) or module.__name__
