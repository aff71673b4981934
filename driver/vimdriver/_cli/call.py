"""`vimctl call`: any method of the API."""

from __future__ import annotations

import sys
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from vimdriver._cli.connection import CONNECTION, ConnectionOptions
from vimdriver._cli.flags import DASH, Flag
from vimdriver._cli.output import OUTPUT, Output
from vimlib._text import printable
from vimlib.errors import UsageError

if TYPE_CHECKING:
    from vimlib.model import ManagedObject, Method


async def call(
    target: str,
    method: str,
    arguments: Annotated[str | None, DASH] = None,
    /,
    *,
    wait: Flag = False,
    connection: ConnectionOptions = CONNECTION,
    output: Output = OUTPUT,
) -> None:
    """Call an API method and print its result as JSON.

    Args:
        target: The object as TYPE:ID, for example `VirtualMachine:12` or `HostSystem:ha-host`.
        method: Name of the API method, for example `PowerOnVM_Task`.
        arguments: JSON object of the parameters by name; data objects have a `_typeName`.
            `-` reads it from stdin, `@FILE` from a file.
        wait: Wait for the task that the method returns, and print the task's result.
    """
    from vimdriver._cli.jsonio import arguments as read_arguments
    from vimdriver._cli.jsonio import parse_json, parse_reference, to_json
    from vimlib import vim25

    proxy = parse_reference(target, vim25.BINDING)
    found = find_method(proxy, method)
    text = _text_of(arguments)
    values = read_arguments(found, None if text is None else parse_json(text, "the arguments"))
    if wait and not method.endswith("_Task"):
        raise UsageError(
            f"--wait requires a method that returns a task, got {method}", hint="Omit --wait."
        )
    async with connection.client() as client:
        result: Any = await client.invoke(found, client.bind(proxy), values)
        if wait:
            output.say(f"waiting for {result!r}")
            result = await client.wait(result)
    if output.json or result is not None:
        output.line(to_json(result))


def find_method(proxy: ManagedObject, name: str) -> Method[..., Any]:
    """Return the method `name` of the object's type.

    Raises:
        UsageError: The type has no such method.
    """
    from vimlib import vim25

    method = vim25.BINDING.method(name)
    if method is None or not isinstance(proxy, method.owner):
        kind = proxy.moref[0]
        own = [other for other in vim25.BINDING.method_names() if hasattr(type(proxy), other)]
        near = get_close_matches(name, own, n=3, cutoff=0.5)
        hint = (
            f"Did you mean {' or '.join(near)}?"
            if near
            else "Use the name in the API reference, for example PowerOnVM_Task."
        )
        raise UsageError(f"{kind} has no method {printable(name, 80)!r}", hint=hint)
    return method


def _text_of(arguments: str | None) -> str | None:
    if arguments == "-":
        return sys.stdin.read()
    if arguments is not None and arguments.startswith("@"):
        path = arguments[1:]
        try:
            return Path(path).read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
            raise UsageError(
                f"cannot read {printable(path)!r}: {reason}",
                hint="Check the path and its permissions.",
            ) from None
    return arguments
