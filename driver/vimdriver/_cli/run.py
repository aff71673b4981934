"""Parse, run, report: one call of `vimctl` from its arguments to its exit code.

Only this module turns errors into text; commands let them propagate. An error is reported on stderr
as a sentence that ends with advice and, with `--json`, on stdout as
`{"error": {"type", "message", "retryable", "outcome"}}`.
"""

from __future__ import annotations

import asyncio
import inspect
import io
import json
import logging
import os
import signal
import sys
import traceback
from contextlib import contextmanager
from dataclasses import dataclass, fields, is_dataclass
from typing import TYPE_CHECKING, Any, TextIO

from cyclopts import CycloptsError, MissingArgumentError, ValidationError

from vimdriver._cli.connection import ConnectionOptions
from vimdriver._cli.exitcodes import Exit, exit_code, leaves, primary
from vimdriver._cli.flags import OutOfRange
from vimdriver._cli.output import Output
from vimdriver._cli.trust import certificate_text
from vimlib._text import printable
from vimlib.errors import CertificateError, UsageError, VimlibError
from vimlib.model import MethodFault, wire_fields
from vimlib.model._data import show

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator

# The Python in a hint of vimlib, and the option that does the same.
_OPTIONS = (
    ("TLS(legacy=True) or --tls-legacy", "--tls-legacy"),
    ("TLS(verify=False)", "--insecure"),
)


@dataclass(frozen=True, slots=True)
class _Call:
    """A parsed command with its arguments."""

    function: Callable[..., Any]
    bound: inspect.BoundArguments
    output: Output
    timeout: float | None


def run(tokens: list[str]) -> int:
    """Run the command in `tokens`; return the exit code. Raises nothing but `SystemExit`.

    SIGINT, SIGTERM and SIGHUP cancel the command, which then rolls back unfinished work.
    """
    # Until the arguments are parsed.
    output = Output(json="--json" in tokens, verbose=bool({"-v", "--verbose"} & set(tokens)))
    # Some daemons start programs with closed streams.
    sys.stdout = sys.stdout or _nowhere()
    sys.stderr = sys.stderr or _nowhere()
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors == "strict":
        # Like stderr: a name that the terminal's encoding lacks must not fail a completed command.
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        call = _parse(tokens)
        output = call.output
        with _logging(verbose=output.verbose):
            return _run(call)
    except CycloptsError as error:
        report(_usage_error(error), output)
        return Exit.USAGE
    except (Exception, BaseExceptionGroup, KeyboardInterrupt, asyncio.CancelledError) as error:  # noqa: BLE001
        if isinstance(primary(error), BrokenPipeError):
            return _deaf()
        # The only place that turns an error into text and an exit code.
        report(error, output)
        return exit_code(error)


def _nowhere() -> TextIO:
    return open(os.devnull, "w", encoding="utf-8")


def _deaf() -> Exit:
    """Exit quietly after the reader closed our output; the interpreter's last flush must not
    fail.
    """
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return Exit.FAILED


def _usage_error(error: CycloptsError) -> UsageError:
    hint = f"Try: {' '.join(['vimctl', *(error.command_chain or ())])} --help"
    text = str(error).strip()
    if isinstance(error, ValidationError) and isinstance(error.__cause__, OutOfRange):
        assert error.argument is not None
        name = error.argument.name
        text = f"{name if name.startswith('-') else name.upper()} {error.exception_message}"
    if isinstance(error, MissingArgumentError):
        text = _missing(error)
    if text.endswith("?"):
        return UsageError(f"{text} {hint}")
    return UsageError(text.removesuffix("."), hint=hint)


def _missing(error: MissingArgumentError) -> str:
    """Name every required option that is missing, or the argument."""
    from vimdriver._cli.app import app

    assert error.argument is not None
    name, given = error.argument.name, error.root_input_tokens or []
    if error.keyword:
        return f"{name} requires a value"
    if not name.startswith("-"):
        return f"{name.upper()} is required"
    command = app.parse_commands(given)[1][-1]
    written = {token.partition("=")[0] for token in given}
    names = [
        one.name
        for one in command.assemble_argument_collection()
        if one.required and one.name.startswith("-") and written.isdisjoint(one.names)
    ]
    *others, last = names or [name]
    return f"{', '.join(others)} and {last} are required" if others else f"{last} is required"


def _parse(tokens: list[str]) -> _Call:
    from vimdriver._cli.app import resolved

    function, bound, _ = resolved(tokens).parse_args(tokens, exit_on_error=False, print_error=False)
    bound.apply_defaults()
    output, timeout = Output(), None
    for name, value in bound.arguments.items():
        if isinstance(value, Output):
            output = value
        elif isinstance(value, ConnectionOptions):
            # Before the event loop starts: it may prompt, which blocks.
            bound.arguments[name] = value.prepared(os.environ)
            timeout = value.timeout
    return _Call(function, bound, output, timeout)


def _run(call: _Call) -> int:
    try:
        result = call.function(*call.bound.args, **call.bound.kwargs)
        if inspect.iscoroutine(result):
            result = asyncio.run(_supervised(result, call.timeout))
    except UsageError as error:
        text = str(error.args[0])
        if text.startswith(f"{error.field} ") and error.field in _options(call):
            option = "--" + error.field.replace("_", "-")
            error.args = (text.replace(error.field, option, 1),)
        raise
    sys.stdout.flush()
    return result if isinstance(result, int) else Exit.OK


def _options(call: _Call) -> set[str]:
    """Return the parameters that are options, including those of option groups."""
    found = set()
    for name, value in call.bound.arguments.items():
        if is_dataclass(value):
            found |= {field.name for field in fields(value)}
        elif call.bound.signature.parameters[name].kind is inspect.Parameter.KEYWORD_ONLY:
            found.add(name)
    return found


async def _supervised(command: Coroutine[Any, Any, Any], seconds: float | None) -> Any:
    loop = asyncio.get_running_loop()
    task = asyncio.current_task()
    assert task is not None
    # asyncio.run handles SIGINT likewise. A closing terminal ends the command too, except under
    # nohup.
    ends = [n for n in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(n) != signal.SIG_IGN]
    for number in ends:
        loop.add_signal_handler(number, task.cancel)
    try:
        async with asyncio.timeout(seconds) as deadline:
            return await command
    except TimeoutError:
        if not deadline.expired():
            raise
        raise TimeoutError(
            f"the command did not finish within {seconds:g} s. Raise --timeout."
        ) from None
    finally:
        for number in ends:
            loop.remove_signal_handler(number)


@contextmanager
def _logging(*, verbose: bool) -> Iterator[None]:
    """Send our loggers to stderr: warnings only, or everything."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
    loggers = [logging.getLogger(name) for name in ("vimlib", "vimdriver")]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.addHandler(handler)
        logger.setLevel(logging.DEBUG if verbose else logging.WARNING)
    try:
        yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.removeHandler(handler)
            logger.setLevel(level)


def error_document(error: BaseException) -> dict[str, Any]:
    """Return `{"type", "message", "retryable", "outcome"}` of an error, for JSON."""
    error = primary(error)
    retryable, outcome = False, "unknown"
    if isinstance(error, VimlibError):
        retryable, outcome = error.retryable, error.outcome
    return {
        "type": type(error).__name__,
        "message": _message(error),
        "retryable": retryable,
        "outcome": outcome,
    }


def _message(error: BaseException) -> str:
    if isinstance(error, (KeyboardInterrupt, asyncio.CancelledError)):
        return "interrupted"
    if isinstance(error, CertificateError):
        return certificate_text(error)
    text = (
        fault_text(error) if isinstance(error, MethodFault) else str(error) or type(error).__name__
    )
    for python, option in _OPTIONS:
        text = text.replace(python, option)
    return text


def fault_text(fault: MethodFault) -> str:
    """Return a fault of the host as a sentence: its name, the rule and the value, and the host's words."""
    from vimlib import vim25  # a fault exists, so its module is loaded already

    if isinstance(fault, vim25.InvalidPowerState) and fault.existingState:
        to = f" to {fault.requestedState}" if fault.requestedState else ""
        rule = f"the power state must allow a change{to}, got {fault.existingState}"
    else:
        shown = (
            (item.name, getattr(fault, item.attribute))
            for item in wire_fields(type(fault))
            if not item.secret and item.name not in ("faultCause", "faultMessage")
        )
        rule = ", ".join(f"{name} is {show(value)}" for name, value in shown if value)
    words = fault.localized_message
    told = "; ".join(filter(None, (rule, f"the host says: {words}" if words else "")))
    name = printable(fault.fault_name, 80)
    text = f"the host answered with the fault {name}{': ' if told else ''}{told}"
    return f"{text.rstrip('.')}. {fault.hint}" if fault.hint else text


def report(error: BaseException, output: Output) -> None:
    """Print an error on stderr and, with `--json`, as one document on stdout."""
    if output.json:
        document = json.dumps({"error": error_document(error)})
        try:
            print(document, flush=True)
        except OSError:
            _deaf()  # stderr and the exit code still report it
    first = primary(error)
    told = [first] + [leaf for leaf in leaves(error) if leaf is not first]
    for leaf in told:
        if isinstance(leaf, asyncio.CancelledError) and leaf is not first:
            continue
        known = isinstance(leaf, (VimlibError, OSError, KeyboardInterrupt, asyncio.CancelledError))
        if output.verbose or not known:
            traceback.print_exception(leaf, file=sys.stderr)
        name = "" if known else f"{type(leaf).__name__}: "
        print(f"vimctl: {name}{printable(_message(leaf), 2000)}", file=sys.stderr)
        for note in getattr(leaf, "__notes__", ()):
            print(f"  {printable(note, 2000)}", file=sys.stderr)
        if not known:
            print(
                "  This is a bug in vimctl. Please report it with the lines above.",
                file=sys.stderr,
            )
    sys.stderr.flush()
