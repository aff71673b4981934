"""Managed objects: proxies, their methods, and the generated package that both belong to.

One module, since the types refer to each other: a method belongs to a proxy class, a proxy class
to a package, and a package finds methods by name.
"""

from __future__ import annotations

from functools import lru_cache
from importlib import import_module
from typing import (
    TYPE_CHECKING,
    Any,
    ClassVar,
    Generic,
    ParamSpec,
    Protocol,
    TypeVar,
    overload,
)

from vimlib._repr import robust
from vimlib._secret import forget_locals
from vimlib._text import printable
from vimlib.errors import NoSuchMethodError, UnboundError
from vimlib.model._wire import Field, parse_fields

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator, Mapping
    from typing import Concatenate

P = ParamSpec("P")
R = TypeVar("R")


class Binding:
    """The names of a generated package, resolved on first use.

    A codec asks it for the class of a type name; importing one area of the API loads that area
    and the areas of its base classes, nothing else.
    """

    def __init__(
        self,
        package: str,
        namespace: str,
        *,
        areas: Mapping[str, str],
        methods: Mapping[str, str],
        versions: tuple[str, ...] = (),
        fault_elements: Mapping[str, str] | None = None,
    ) -> None:
        self.package = package
        """Dotted name of the generated package."""
        self.namespace = namespace
        """XML namespace of its types, as `urn:vim25`."""
        self.versions = versions
        """API versions that it knows, oldest first."""
        self.fault_elements: Mapping[str, str] = fault_elements or {}
        """Element to type of the faults that do not travel as `NAME` or `NAMEFault`."""
        self._areas = areas
        self._owners = methods
        self._where: dict[str, str] = {}
        self._methods: dict[str, str] = {}
        self._classes: dict[str, type[Any] | None] = {}
        # Compiled codec tables; filled by vimlib.soap, kept here since they live as long as the binding.
        self.codec: dict[Any, Any] = {}

    @property
    def where(self) -> dict[str, str]:
        """Type name to the module of the package that defines it."""
        if not self._where:
            for area, names in self._areas.items():
                for name in names.split():
                    self._where[name] = area
        return self._where

    def find(self, name: str) -> type[Any] | None:
        """Return the class of that name (data object, fault, enumeration or managed type), or None."""
        try:
            return self._classes[name]
        except KeyError:
            pass
        area = self.where.get(name)
        if area is None:
            return None  # not remembered: names from the wire are unbounded
        found: type[Any] = getattr(import_module(f"{self.package}.{area}"), name)
        self._classes[name] = found
        return found

    def method(self, name: str) -> Method[..., Any] | None:
        """Return the method of that wire name, or None."""
        if not self._methods:
            for owner, names in self._owners.items():
                for method in names.split():
                    self._methods[method] = owner
        owned_by = self._methods.get(name)
        if owned_by is None:
            return None
        cls = self.find(owned_by)
        found: Method[..., Any] = vars(cls)[name]
        return found

    def names(self) -> Iterator[str]:
        """Yield the names of all types."""
        return iter(self.where)

    def method_names(self) -> Iterator[str]:
        """Yield the wire names of all methods."""
        for names in self._owners.values():
            yield from names.split()

    @robust
    def __repr__(self) -> str:
        return f"<Binding {self.package} of {self.namespace}>"


class Invoker(Protocol):
    """Makes the calls of bound proxies; implemented by a client."""

    @property
    def host(self) -> str:
        """`host:port` of the server, which distinguishes equal ids on two servers."""
        ...

    async def invoke(
        self, method: Method[..., Any], this: ManagedObject, args: Mapping[str, Any]
    ) -> Any:
        """Make the call and return its decoded result. `args` maps wire names to values."""
        ...


class ManagedObject:
    """A reference to an object on the server, with the API's methods to await.

    No attribute does I/O. The only public attribute besides the API's methods is `moref`.
    Two proxies are equal if type, id and host are.
    """

    __slots__ = ("_guid", "_id", "_invoker", "_kind")

    _binding_: ClassVar[Binding]
    _properties_: ClassVar[str] = ""
    _since_: ClassVar[str] = ""

    def __init__(
        self, value: str, *, invoker: Invoker | None = None, kind: str = "", guid: str | None = None
    ) -> None:
        self._id = value
        # The type's name on the wire: differs from the class where the host knows a newer type.
        self._kind = kind or type(self).__name__
        self._guid = guid
        self._invoker = invoker

    @property
    def moref(self) -> tuple[str, str]:
        """`(type, value)` of the reference, as `("VirtualMachine", "vm-12")`."""
        return self._kind, self._id

    def _identity(self) -> tuple[str, str, str | None]:
        return self._kind, self._id, None if self._invoker is None else self._invoker.host

    def __eq__(self, other: object) -> bool:
        return (
            self._identity() == other._identity()
            if isinstance(other, ManagedObject)
            else NotImplemented
        )

    def __hash__(self) -> int:
        return hash((self._kind, self._id))

    if not TYPE_CHECKING:  # to a type checker an unknown attribute is an error

        def __getattr__(self, name: str) -> Any:
            message = f"{type(self).__name__!r} object has no attribute {name!r}"
            if name.startswith("_"):
                raise AttributeError(message, name=name, obj=self)
            raise NoSuchMethodError(
                message, hint=f"Read a property: await client.get(obj, {name!r})."
            )

    @robust
    def __repr__(self) -> str:
        return f"<{printable(str(self._kind), 80)} {printable(str(self._id), 120)}>"

    def __reduce__(self) -> tuple[Any, ...]:
        # Pickled or copied, a proxy keeps its reference and loses its client.
        return _restore, (type(self), self._id, self._kind, self._guid)


def _restore(cls: type[ManagedObject], value: str, kind: str, guid: str | None) -> ManagedObject:
    return cls(value, kind=kind, guid=guid)


def invoker_of(proxy: ManagedObject, method: str) -> Invoker:
    """Return whom `proxy` is bound to. Raises `UnboundError` if it belongs to no client."""
    if proxy._invoker is None:
        raise UnboundError(
            f"cannot call {method}: {proxy!r} belongs to no client",
            hint="Bind it first: client.bind(proxy).",
        )
    return proxy._invoker


def rebind(proxy: ManagedObject, invoker: Invoker | None) -> ManagedObject:
    """Return a proxy of the same object that calls through `invoker`."""
    return type(proxy)(proxy._id, invoker=invoker, kind=proxy._kind, guid=proxy._guid)


@lru_cache(maxsize=8192)
def _secrets(params: str) -> tuple[str, ...]:
    return tuple(item.name for item in parse_fields(params) if item.secret)


class Method(Generic[P, R]):
    """One operation of the API.

    Class access gives this description, with which a codec encodes requests and decodes
    replies; access through a proxy gives the call: ``await vm.PowerOnVM_Task()``.
    """

    __slots__ = (
        "_faults",
        "_params",
        "_returns",
        "_task",
        "addressed",
        "function",
        "name",
        "owner",
        "since",
    )

    def __init__(
        self,
        function: Callable[..., Any],
        params: str,
        returns: str,
        task: str,
        since: str,
        faults: str,
        addressed: bool,
    ) -> None:
        self.function = function
        self.name = function.__name__
        """Wire name, as `PowerOnVM_Task`."""
        self.owner: type[ManagedObject] = ManagedObject
        """The managed type that declares the method."""
        self.since = since
        """API version that brought it."""
        self.addressed = addressed
        """True where the request names the object it goes to in `_this`, as vSphere does."""
        self._params, self._returns, self._task, self._faults = params, returns, task, faults

    def __set_name__(self, owner: type[ManagedObject], name: str) -> None:
        self.owner = owner
        self.name = name

    @property
    def binding(self) -> Binding:
        """The generated package that the method belongs to."""
        return self.owner._binding_

    @property
    def params(self) -> tuple[Field, ...]:
        """Parameters in wire order, without `_this`."""
        return parse_fields(self._params)

    @property
    def secrets(self) -> tuple[str, ...]:
        """Wire names of the parameters that are secret, as passwords are."""
        return _secrets(self._params)

    @property
    def returns(self) -> Field | None:
        """The result on the wire; None for a void method."""
        if not self._returns:
            return None
        return parse_fields(
            self._returns if ":" in self._returns else f"returnval:{self._returns}"
        )[0]

    @property
    def task_result(self) -> Field | None:
        """For a method that returns a Task: what `TaskInfo.result` holds in the end; None for nothing."""
        return parse_fields(f"result:{self._task}")[0] if self._task else None

    @property
    def faults(self) -> tuple[str, ...]:
        """Names of the faults that the API declares for it; `RuntimeFault` may come always."""
        return tuple(self._faults.split())

    def arguments(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """Map call arguments to wire names, as Python would.

        Positional up to the first optional parameter. Raises `TypeError` for an unknown, a
        repeated or a missing argument. None stands for "not given".
        """
        params = self.params
        if not (params or args or kwargs):
            return {}
        wire: dict[str, Any] = {}
        leading = 0
        while leading < len(params) and params[leading].required:
            leading += 1
        if len(args) > leading:
            raise TypeError(f"{self} takes {leading} positional arguments, got {len(args)}")
        for item, value in zip(params, args, strict=False):
            wire[item.name] = value
        known = {item.attribute: item for item in params}
        for key, value in kwargs.items():
            found = known.get(key)
            if found is None:
                raise TypeError(
                    f"{self} has no parameter {key!r}; it has: {', '.join(known) or 'none'}"
                )
            if found.name in wire:
                raise TypeError(f"{self} got two values for {key!r}")
            wire[found.name] = value
        for item in params:
            if item.required and wire.get(item.name) is None:
                raise TypeError(f"{self} requires the argument {item.attribute!r}")
        return wire

    @overload
    def __get__(self, instance: None, owner: type[Any]) -> Method[P, R]: ...
    @overload
    def __get__(
        self, instance: ManagedObject, owner: type[Any]
    ) -> Callable[P, Coroutine[Any, Any, R]]: ...
    @overload
    def __get__(self, instance: object, owner: type[Any]) -> Method[P, R]: ...
    def __get__(self, instance: object, owner: type[Any]) -> Any:
        # A description that somebody keeps as an attribute of their own stays one.
        if instance is None or not isinstance(instance, ManagedObject):
            return self

        def call(*args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, R]:
            try:
                return invoker_of(instance, self.name).invoke(
                    self, instance, self.arguments(args, kwargs)
                )
            except BaseException as error:
                if self.secrets:
                    forget_locals(error)
                raise
            finally:
                del args, kwargs  # they may hold a password, and tracebacks keep frames

        return call

    @robust
    def __repr__(self) -> str:
        return f"{self.owner.__name__}.{self.name}"


def operation(
    params: str = "",
    returns: str = "",
    *,
    task: str = "",
    since: str = "",
    faults: str = "",
    addressed: bool = True,
) -> Callable[[Callable[Concatenate[Any, P], Coroutine[Any, Any, R]]], Method[P, R]]:
    """Turn an annotated signature into a `Method`.

    `params` is a `_wire_` line; `returns` and `task` have the syntax after its colon:
    the result on the wire and, for a task, the result in the end. The result's element is
    `returnval` unless `returns` names another. `faults` are names. `addressed` is false for
    services whose requests carry no `_this`.
    """

    def wrap(function: Callable[Concatenate[Any, P], Coroutine[Any, Any, R]]) -> Method[P, R]:
        return Method(function, params, returns, task, since, faults, addressed)

    return wrap
