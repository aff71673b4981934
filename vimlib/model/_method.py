"""Methods of managed objects: a description on the class, an awaitable call on an instance."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar, overload

from vimlib.model._managed import ManagedObject, invoker_of
from vimlib.model._wire import Field, parse_fields

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping
    from typing import Concatenate

    from vimlib.model._binding import Binding

__all__ = ["Method", "operation"]

P = ParamSpec("P")
R = TypeVar("R")


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
            return invoker_of(instance, self.name).invoke(
                self, instance, self.arguments(args, kwargs)
            )

        return call

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

    `params` is a `_wire_` line; `returns` and `task` are what stands behind the colon of one:
    the result on the wire and, for a task, the result in the end. The result's element is
    `returnval` unless `returns` names another. `faults` are names. `addressed` is false for
    services whose requests carry no `_this`.
    """

    def wrap(function: Callable[Concatenate[Any, P], Coroutine[Any, Any, R]]) -> Method[P, R]:
        return Method(function, params, returns, task, since, faults, addressed)

    return wrap
