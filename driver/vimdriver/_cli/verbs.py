"""Commands generated from the driver's verbs: ``verbs:power_on`` is `ESXDriver.power_on` as a command.

Arguments, options and help come from the verb's own signature and docstring, the JSON from its
result: an object with `to_json` is a document, a sequence of them a table. ``--dry-run`` prints the plan
of a verb that writes instead. A verb whose command differs from its method is implemented in another
module.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, get_args, get_type_hints

from cyclopts import Parameter

from vimdriver._cli.connection import CONNECTION, ConnectionOptions
from vimdriver._cli.each import each
from vimdriver._cli.flags import ABOVE_0, MEMORY, Flag, Parallel, Strings, within
from vimdriver._cli.instance import Ref, opened
from vimdriver._cli.output import OUTPUT, Output
from vimdriver._cli.ownership import OWNERSHIP, Ownership
from vimdriver._verbs import Verb, Within
from vimlib._text import printable
from vimlib.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

# Maps a verb's parameter to its name and type in the command, where they differ.
_RENAMED: dict[str, tuple[str, Any]] = {
    "ref": ("instance", Ref),
    # `--timeout` is the deadline of the command.
    "timeout": (
        "grace",
        Annotated[float, ABOVE_0, Parameter(help="Seconds to wait for the guest, above 0.")],
    ),
    "memory_mb": (
        "memory_mb",
        Annotated[int | None, MEMORY, Parameter(help="Memory in MiB, a multiple of 4.")],
    ),
    "soft": ("hard", Annotated[Flag, Parameter(help="Reset the machine; do not ask the guest.")]),
}
# Types of parameters to those of options.
_OPTIONS: dict[Any, Any] = {bool: Flag, tuple[str, ...]: Strings}
# Parameters whose option has the opposite sense.
_INVERTED = frozenset({"soft"})
_DryRun = Annotated[Flag, Parameter(help="Print the steps and change nothing.")]


def _parameters(function: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """Return the command's parameters by the verb's names, without the host."""
    hints = get_type_hints(function, include_extras=True)
    found = {}
    for name, given in list(inspect.signature(function).parameters.items())[1:]:
        shown, kind = _RENAMED.get(name, (name, hints[name]))
        for limits in getattr(kind, "__metadata__", ()):
            if isinstance(limits, Within):
                kind = Annotated[kind.__origin__, within(*limits)]
        positional = given.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD
        found[name] = given.replace(
            name=shown,
            default=not given.default if name in _INVERTED else given.default,
            annotation=_OPTIONS.get(kind, kind),
            kind=inspect.Parameter.POSITIONAL_ONLY if positional else given.kind,
        )
    return found


def _help(function: Callable[..., Any], names: list[str]) -> str:
    """Return the first paragraph of a docstring, and its arguments other than the host."""
    text = inspect.getdoc(function) or ""
    summary = text.partition("\n\n")[0]
    _, _, rest = text.partition("\nArgs:\n")
    lines = rest.partition("\n\n")[0].splitlines()
    told = [line for line in lines if line.strip().partition(":")[0] in names]
    return "\n".join([summary, "", "Args:", *told]) if told else summary


def _command(method: str) -> Callable[..., Awaitable[int]]:
    from vimdriver._driver import ESXDriver

    registered = getattr(ESXDriver, method)
    function = registered.function
    writes = isinstance(registered, Verb)
    parameters = _parameters(function)
    places = [n for n, one in parameters.items() if one.kind is inspect.Parameter.POSITIONAL_ONLY]
    # A verb whose only place names its machine takes any number of them.
    many = writes and places == ["ref"]

    async def command(
        *arguments: Any,
        dry_run: bool = False,
        parallel: int = 1,
        ownership: Ownership = OWNERSHIP,
        connection: ConnectionOptions = CONNECTION,
        output: Output = OUTPUT,
        **options: Any,
    ) -> int:
        given = {name: options[one.name] for name, one in parameters.items() if one.name in options}
        given |= {name: not given[name] for name in _INVERTED & given.keys()}
        async with opened(connection, ownership) as driver:
            verb = getattr(driver, method)
            if many and not arguments:
                raise UsageError(
                    "at least one machine is required", hint="List machines: vimctl instance list"
                )
            if dry_run:
                for refs in [(ref,) for ref in arguments] if many else [arguments]:
                    plan = await verb.plan(*refs, **given)
                    output.document(plan.to_json(), str(plan))
                return 0
            if many and len(arguments) > 1:

                async def act(ref: str) -> Mapping[str, Any]:
                    result = await verb(ref, **given)
                    return {} if result is None else dict(result.to_json())

                return await each(
                    arguments, act, noun="instance", done="done", output=output, parallel=parallel
                )
            found = await verb(*arguments, **given)
        if found is not None:
            _show(found, function, output)
            return 0
        # A verb without a result removes what its arguments name.
        names = [one.name for one in parameters.values()]
        named = dict(zip(names, arguments, strict=False))
        output.document(named | {"removed": True}, f"{printable(arguments[-1])}: removed")
        return 0

    every: list[inspect.Parameter] = list(parameters.values())
    if many:
        every[0] = every[0].replace(name="instances", kind=inspect.Parameter.VAR_POSITIONAL)
        every.append(
            inspect.Parameter(
                "parallel", inspect.Parameter.KEYWORD_ONLY, default=1, annotation=Parallel
            )
        )
    for name, kind, default in (
        ("dry_run", _DryRun, False),
        ("ownership", Ownership, OWNERSHIP),
        ("connection", ConnectionOptions, CONNECTION),
        ("output", Output, OUTPUT),
    )[0 if writes else 2 :]:
        every.append(
            inspect.Parameter(
                name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=kind
            )
        )
    command.__name__ = command.__qualname__ = method
    command.__doc__ = _help(function, list(parameters))
    command.__signature__ = inspect.Signature(every)  # type: ignore[attr-defined]
    command.__annotations__ = {one.name: one.annotation for one in every}
    return command


def _columns(function: Callable[..., Any]) -> list[str]:
    """Return the fields of the class of which a function returns a list."""
    return [name for one in get_args(get_type_hints(function)["return"]) for name in one.__slots__]


def _show(found: Any, function: Callable[..., Any], output: Output) -> None:
    if isinstance(found, str):
        output.document(found)
    elif isinstance(found, Sequence):
        rows = [one.to_json() for one in found]
        columns = list(dict.fromkeys(key for row in rows for key in row)) or _columns(function)
        output.table(columns, rows)
    else:
        output.record(found.to_json())


def __getattr__(name: str) -> Callable[..., Awaitable[int]]:
    if name.startswith("_"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = globals()[name] = _command(name)
    return found
