"""Make a method of a function that returns a plan."""

from __future__ import annotations

import inspect
import math
from contextlib import contextmanager, nullcontext
from functools import cache
from types import SimpleNamespace
from typing import (
    TYPE_CHECKING,
    Concatenate,
    Generic,
    Literal,
    NamedTuple,
    ParamSpec,
    Protocol,
    Self,
    TypeVar,
    get_args,
    get_origin,
    get_type_hints,
    overload,
)

from vimdriver._verbs.execute import execute
from vimdriver._verbs.host import Host
from vimdriver.errors import HostReadOnlyError
from vimlib import vim25
from vimlib._secret import forgetting
from vimlib._text import printable
from vimlib._transport.budget import urgent
from vimlib.errors import UsageError, VimlibError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from vimdriver._verbs.plan import Plan
    from vimlib._client import Client

P = ParamSpec("P")
R = TypeVar("R")

_REF = "ref"
"""The parameter of a verb that names its machine."""


@contextmanager
def licensed(client: Client) -> Iterator[None]:
    """Translate the fault RestrictedVersion, with which a free licence answers writes.

    Raises:
        HostReadOnlyError: The block met it.
    """
    try:
        yield
    except vim25.RestrictedVersion as fault:
        raise HostReadOnlyError(host=client.host) from fault


@cache
def _words(function: Callable[..., object]) -> dict[str, tuple[str, ...]]:
    """Return the words of each parameter of a verb that takes one of a few (`Literal`)."""
    found = {}
    for name, text in function.__annotations__.items():
        try:
            holder = SimpleNamespace(__annotations__={name: text})
            hint = get_type_hints(holder, function.__globals__)[name]
        except NameError:
            continue  # known to type checkers only, so it is a class
        for one in (hint, *get_args(hint)):
            if get_origin(one) is Literal:
                found[name] = get_args(one)
    return found


def check_words(function: Callable[..., object], *args: object, **given: object) -> None:
    """Check the arguments of a verb that takes some of a few words.

    Raises:
        UsageError: One is another word.
    """
    words = _words(function)
    if not words:
        return
    bound = inspect.signature(function).bind_partial(None, *args, **given).arguments
    for name, known in words.items():
        value = bound.get(name)
        if value is not None and value not in known:
            raise UsageError(
                f"{name} must be one of {', '.join(known)}, got {printable(str(value), 80)!r}",
                field=name,
            )


class Within(NamedTuple):
    """Marks a verb's number (``Annotated[int, Within(0, 4094)]``): the command checks it first."""

    least: float
    most: float = math.inf


class _Driver(Protocol):
    def host(self, *, dry: bool = False) -> Host:
        """Return the argument of a verb's function, new for each call."""


class Verb(Generic[P, R]):
    """A verb as an attribute of the driver's class; ``driver.NAME`` is `Bound`."""

    def __init__(
        self,
        function: Callable[Concatenate[Host, P], Awaitable[Plan[R]]],
        *,
        is_urgent: bool = False,
        takes_turn: bool = True,
    ) -> None:
        self.__doc__ = function.__doc__
        self.function = function
        names = [*inspect.signature(function).parameters][1:]
        self._ref = names.index(_REF) if takes_turn and _REF in names else None
        self.is_urgent = is_urgent
        """Whether its calls go before those of other verbs where they wait for a connection."""

    async def run(self, host: Host, *args: P.args, **given: P.kwargs) -> R:
        """Gather, plan and run, after the verbs that hold the same machine.

        Cancelling lets the call that was sent end, then undoes all steps.
        """
        ref = self._machine(*args, **given)
        try:
            self.check(*args, **given)
            # An image's URL may hold a password or a signature.
            with forgetting(), urgent() if self.is_urgent else nullcontext(), licensed(host.client):
                if ref is None:
                    return await self._run(host, *args, **given)
                async with host.held(ref, first=self.is_urgent):
                    return await self._run(host, *args, **given)
        finally:
            del args, given

    async def _run(self, host: Host, *args: P.args, **given: P.kwargs) -> R:
        try:
            plan = await self.function(host, *args, **given)
            left: list[str] = []
            try:
                return await execute(host, plan, left=left)
            except VimlibError as error:
                # `ConcurrentAccess`: another process has changed the machine since it was read.
                stale = isinstance(error, vim25.ConcurrentAccess)
                if left or not (stale or (plan.stale is not None and plan.stale(error))):
                    raise
            return await execute(host, await self.function(host, *args, **given))
        finally:
            del args, given

    def check(self, *args: P.args, **given: P.kwargs) -> None:
        """Raise `UsageError` for an argument that is not one of the words that it may be."""
        check_words(self.function, *args, **given)

    def _machine(self, *args: P.args, **given: P.kwargs) -> str | None:
        """Return the argument that names a machine, if the verb has one."""
        if self._ref is None:
            return None
        found = given.get(_REF) if len(args) <= self._ref else args[self._ref]
        return found if isinstance(found, str) else None

    @overload
    def __get__(self, driver: None, owner: type) -> Self: ...
    @overload
    def __get__(self, driver: _Driver, owner: type) -> Bound[P, R]: ...
    def __get__(self, driver: _Driver | None, owner: type) -> Self | Bound[P, R]:
        return self if driver is None else Bound(self, driver)


def _without_host(function: Callable[..., object]) -> inspect.Signature:
    found = inspect.signature(function)
    return found.replace(parameters=[*found.parameters.values()][1:])


class Bound(Generic[P, R]):
    """A verb of one driver."""

    def __init__(self, verb: Verb[P, R], driver: _Driver) -> None:
        self.__doc__ = verb.__doc__
        self._verb = verb
        self._driver = driver

    @property
    def __signature__(self) -> inspect.Signature:
        """The verb's parameters, as `inspect.signature` and `help` show them."""
        return _without_host(self._verb.function)

    async def __call__(self, *args: P.args, **given: P.kwargs) -> R:
        """Gather, plan and run; see `Verb.run`."""
        try:
            return await self._verb.run(self._driver.host(), *args, **given)
        finally:
            del args, given

    async def plan(self, *args: P.args, **given: P.kwargs) -> Plan[R]:
        """Gather and plan, and change nothing: ``print(await driver.destroy.plan("web"))``."""
        self._verb.check(*args, **given)
        return await self._verb.function(self._driver.host(dry=True), *args, **given)


def verb(function: Callable[Concatenate[Host, P], Awaitable[Plan[R]]]) -> Verb[P, R]:
    """Make a verb of a coroutine function that gathers and returns its plan."""
    return Verb(function)


def urgent_verb(function: Callable[Concatenate[Host, P], Awaitable[Plan[R]]]) -> Verb[P, R]:
    """Make a verb as `verb` does, whose calls go first: it gives back what others wait for."""
    return Verb(function, is_urgent=True)


def unblocking_verb(function: Callable[Concatenate[Host, P], Awaitable[Plan[R]]]) -> Verb[P, R]:
    """Make an urgent verb that takes no turn at its machine: those that have one may wait for it."""
    return Verb(function, is_urgent=True, takes_turn=False)


class Query(Generic[P, R]):
    """A verb that only reads, as an attribute of the driver's class; ``driver.NAME`` is `BoundQuery`."""

    def __init__(self, function: Callable[Concatenate[Host, P], Awaitable[R]]) -> None:
        self.__doc__ = function.__doc__
        self.function = function

    @overload
    def __get__(self, driver: None, owner: type) -> Self: ...
    @overload
    def __get__(self, driver: _Driver, owner: type) -> BoundQuery[P, R]: ...
    def __get__(self, driver: _Driver | None, owner: type) -> Self | BoundQuery[P, R]:
        return self if driver is None else BoundQuery(self, driver)


class BoundQuery(Generic[P, R]):
    """A verb that only reads, of one driver."""

    def __init__(self, query: Query[P, R], driver: _Driver) -> None:
        self.__doc__ = query.__doc__
        self._query = query
        self._driver = driver

    @property
    def __signature__(self) -> inspect.Signature:
        """The verb's parameters, as `inspect.signature` and `help` show them."""
        return _without_host(self._query.function)

    async def __call__(self, *args: P.args, **given: P.kwargs) -> R:
        """Read, and return the result. Cancelling loses nothing."""
        try:
            check_words(self._query.function, *args, **given)
            with forgetting():
                return await self._query.function(self._driver.host(), *args, **given)
        finally:
            del args, given


def query(function: Callable[Concatenate[Host, P], Awaitable[R]]) -> Query[P, R]:
    """Make a verb of a coroutine function that only reads: it has no plan, and takes no turn."""
    return Query(function)
