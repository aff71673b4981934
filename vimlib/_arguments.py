"""Checks the arguments of public callables against their annotations, which are the rule.

`typed` goes around a function, or a class and then around its public methods. What is passed that the
annotation does not allow ends in `ArgumentError`, before anything else happens. Only certain errors
are refused: of a class that is not one of this project's own an annotation cannot show whether it
implements a protocol, so objects of such classes pass.
"""

from __future__ import annotations

import ast
import functools
import inspect
import sys
from collections.abc import AsyncIterable, Awaitable, Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeVar

from vimlib.errors import ArgumentError

if TYPE_CHECKING:
    from collections.abc import Callable

    Check = Callable[[Any], bool]

F = TypeVar("F")

_CONTAINERS: Final[dict[str, type[Any]]] = {
    "AsyncIterable": AsyncIterable,
    "AsyncIterator": AsyncIterable,
    "Awaitable": Awaitable,
    "Collection": Collection,
    "Iterable": Iterable,
    "Mapping": Mapping,
    "Sequence": Sequence,
    "dict": dict,
    "frozenset": frozenset,
    "list": list,
    "tuple": tuple,
}
_TEXT: Final = frozenset({"Collection", "Iterable", "Sequence"})
"""Containers that a text is, and is not meant to be."""
# Names that stand for other annotations. Of the last ones the module that has them checks more.
_ALIASES: Final = {
    "EventKind": "str",
    "Form": "str",
    "M": "ManagedObject",
    "Middleware": "Callable",
    "NICModel": "str",
    "Progress": "Callable",
    "TaskProgress": "Callable",
    **dict.fromkeys(("Answer", "P", "R", "S", "Shape", "Source", "T", "TokenSource"), "Any"),
}
_SECRET: Final = frozenset({"password", "token", "cookie", "secret"})
_FOREIGN: Final = ("builtins", "datetime", "pathlib", "collections")
"""Modules whose classes implement no protocol of ours."""


def typed(item: F) -> F:
    """Check the arguments of a function, or of the constructor and the public methods of a class.

    Raises, when called:
        ArgumentError: An argument is not of its annotated type.
    """
    if not isinstance(item, type):
        return _around(item)  # type: ignore[arg-type,return-value]
    for name, value in list(vars(item).items()):
        if name.startswith("_") and name not in ("__init__", "__new__"):
            continue
        if isinstance(value, classmethod | staticmethod):
            setattr(item, name, type(value)(_around(value.__func__)))
        elif inspect.isfunction(value):
            setattr(item, name, _around(value))
    return item


def check_argument(
    name: str, value: Any, allowed: tuple[type[Any], ...], wanted: str, hint: str = ""
) -> None:
    """Check one argument whose annotation does not have the rule. Raises `ArgumentError`."""
    if not isinstance(value, allowed):
        raise _refusal("", name, value, wanted, hint)


def check_call(function: Callable[..., Any], args: tuple[Any, ...], given: dict[str, Any]) -> None:
    """Check the arguments of a call. Raises `ArgumentError`."""
    names, checks = _rules(function)
    for name, value in zip(names, args, strict=False):
        found = checks.get(name)
        if found is not None and not found[0](value):
            raise _refusal(function.__qualname__, name, value, found[1])
    for name, value in given.items():
        found = checks.get(name)
        if found is not None and not found[0](value):
            raise _refusal(function.__qualname__, name, value, found[1])


def _around(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def call(*args: Any, **given: Any) -> Any:
        try:
            check_call(function, args, given)
        except ArgumentError as error:
            failure = error.with_traceback(None)
        else:
            return function(*args, **given)
        del args, given  # tracebacks keep frames, and a password may be among them
        raise failure

    # `function` makes the coroutine, so nothing stands between its frames and the caller's.
    if inspect.iscoroutinefunction(function) and sys.version_info >= (3, 12):
        inspect.markcoroutinefunction(call)
    return call


def _refusal(function: str, name: str, value: Any, wanted: str, hint: str = "") -> ArgumentError:
    if inspect.iscoroutine(value):
        value.close()  # nobody else will await it
        hint = hint or "Pass the function itself, not a coroutine: leave out the parentheses."
    elif value is None:
        hint = hint or "Check that the variable it comes from is set."
    shown = type(value).__name__
    if isinstance(value, str | int | float) and name not in _SECRET:
        shown = f"{shown} {value!r:.80}"
    where = f"{function}: " if function else ""
    return ArgumentError(
        f"{where}{name} must be {wanted}, got {shown}",
        hint=hint or "The docstring describes the arguments.",
        field=name,
        wanted=wanted,
    )


# -- annotations -----------------------------------------------------------------------------------


@functools.cache
def _rules(
    function: Callable[..., Any],
) -> tuple[tuple[str, ...], dict[str, tuple[Check, str]]]:
    """Return the names of positional parameters, and by name the check and the rule in words."""
    positional, checks = [], {}
    for item in inspect.signature(function).parameters.values():
        if item.kind in (item.VAR_POSITIONAL, item.VAR_KEYWORD):
            continue
        if item.kind is not item.KEYWORD_ONLY:
            positional.append(item.name)
        annotation = item.annotation
        if isinstance(annotation, str):
            check = _check(ast.parse(annotation, mode="eval").body)
            if check is not None:
                checks[item.name] = check, annotation.replace("vim25.", "")
    return tuple(positional), checks


def _check(node: ast.expr) -> Check | None:
    """Return the check of an annotation; None if anything goes."""
    match node:
        case ast.BinOp(left=left, op=ast.BitOr(), right=right):
            one, other = _check(left), _check(right)
            if one is None or other is None:
                return None
            return lambda value: one(value) or other(value)
        case ast.Constant(value=None):
            return lambda value: value is None
        case ast.Constant(value=str(text)):
            return _check(ast.parse(text, mode="eval").body)
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return _named(name)
        case ast.Subscript(value=ast.Name(id="Literal"), slice=inner):
            kinds = tuple(
                {type(item.value) for item in ast.walk(inner) if isinstance(item, ast.Constant)}
            )
            return lambda value: isinstance(value, kinds)
        case ast.Subscript(value=ast.Name(id="Annotated"), slice=ast.Tuple(elts=[first, *_])):
            return _check(first)
        case ast.Subscript(value=ast.Name(id="type")):
            return lambda value: isinstance(value, type)
        case ast.Subscript(value=ast.Name(id=name), slice=inner) if name in _CONTAINERS:
            return _container(name, inner)
        case ast.Subscript(value=outer):
            return _check(outer)
    return None


def _container(name: str, inner: ast.expr) -> Check:
    kind, item = _CONTAINERS[name], None
    if name not in ("Awaitable", "Mapping", "dict", "AsyncIterable", "AsyncIterator"):
        inner = inner.elts[0] if isinstance(inner, ast.Tuple) and name != "tuple" else inner
        if isinstance(
            inner, ast.Tuple
        ):  # tuple[X, ...]; one of several types is checked by its user
            same = isinstance(inner.elts[-1], ast.Constant) and inner.elts[-1].value is ...
            item = _check(inner.elts[0]) if same else None
        else:
            item = _check(inner)

    def check(value: Any) -> bool:
        if not isinstance(value, kind) or (name in _TEXT and isinstance(value, str | bytes)):
            return False
        # Others may be exhausted by looking.
        return item is None or not isinstance(value, Collection) or all(map(item, value))

    return check


def _named(name: str) -> Check | None:
    name = _ALIASES.get(name, name)
    if name in ("Any", "object"):
        return None
    if name == "Callable":
        return callable
    if name in _CONTAINERS:
        return lambda value: isinstance(value, _CONTAINERS[name])
    plain = {
        "str": (str,),
        "bytes": (bytes,),
        "int": (int,),
        "float": (float, int),
        "bool": (bool,),
    }
    if name in plain:
        kinds = plain[name]
        loose = name == "bool"
        return lambda value: isinstance(value, kinds) and (loose or not isinstance(value, bool))
    return lambda value: _may_be(type(value), name)  # type: ignore[arg-type]


@functools.lru_cache(maxsize=4096)
def _may_be(kind: type[Any], name: str) -> bool:
    """Return whether an object of a class may stand where the class `name` is annotated."""
    if any(base.__name__ == name for base in kind.__mro__):
        return True
    module = kind.__module__
    return not (module.startswith(("vimlib.vim25", "vimlib.model")) or module in _FOREIGN)
