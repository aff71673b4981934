"""Nova's errors in place of ours, and nova's numbers for power states."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from nova import exception
from nova.compute import power_state

from vimdriver.errors import ImageNotFoundError
from vimdriver.nova._map import meaning
from vimlib.errors import VimlibError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def state_number(name: str) -> int:
    """Return nova's number for its name of a power state."""
    numbers = {known: number for number, known in power_state.STATE_MAP.items()}
    return int(numbers[name])


@contextmanager
def translated(instance: Any, *, states: Callable[..., Exception] | None = None) -> Iterator[None]:
    """Raise nova's errors in place of ours, for an operation on a machine.

    `states` makes the error for a power state that does not allow the operation.

    Raises:
        InstanceNotFound: The machine does not exist.
        ImageNotFound: The image does not exist, or the request's token may not see it.
        NovaException: Anything else of ours.
    """
    try:
        yield
    except VimlibError as error:
        found = meaning(error)
        if found.kind == "missing":
            raise exception.InstanceNotFound(instance_id=instance.uuid) from error
        if isinstance(error, ImageNotFoundError):
            raise exception.ImageNotFound(image_id=error.image) from error
        if found.kind == "state" and states is not None:
            raise states(reason=found.reason) from error
        raise exception.NovaException(found.reason) from error


@contextmanager
def translated_host() -> Iterator[None]:
    """Raise nova's errors in place of ours, for what concerns a host and no machine.

    Raises:
        VirtDriverNotReady: The host is away: nova's periodic tasks try again.
        NovaException: Anything else of ours.
    """
    try:
        yield
    except VimlibError as error:
        found = meaning(error)
        kind = exception.VirtDriverNotReady if found.kind == "host" else exception.NovaException
        raise kind(found.reason) from error


@contextmanager
def translated_build(instance: Any, image: str) -> Iterator[None]:
    """Raise nova's errors in place of ours, for a build.

    Raises:
        ImageNotFound: The image does not exist, or the request's token may not see it.
        BuildAbortException: No other host would do better.
        NovaException: This host failed; nova tries another.
    """
    try:
        yield
    except VimlibError as error:
        found = meaning(error)
        if found.kind == "image":
            raise exception.ImageNotFound(image_id=image) from error
        if found.kind == "host":
            raise exception.NovaException(found.reason) from error
        raise _abort(instance, found.reason) from error
    except NotImplementedError as error:
        raise _abort(instance, str(error)) from error


def _abort(instance: Any, reason: str) -> Exception:
    failed: Exception = exception.BuildAbortException(instance_uuid=instance.uuid, reason=reason)
    return failed
