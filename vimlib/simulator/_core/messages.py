"""Faults with the messages that hosts send with them."""

from __future__ import annotations

from typing import Any

from vimlib import vim25

# By name, so that no area of the API is loaded for them; `0` is the fault.
_MESSAGES = {
    "AlreadyExists": "The specified key, name, or identifier '{0.name}' already exists.",
    "DuplicateName": "The name '{0.name}' already exists.",
    "FileAlreadyExists": "File {0.file} already exists",
    "FileLocked": "Unable to access file {0.file} since it is locked",
    "FileNotFound": "File {0.file} was not found",
    "InvalidDatastore": "Invalid datastore '{0.name}'.",
    "InvalidDatastorePath": "Invalid datastore path '{0.datastorePath}'.",
    "InvalidName": "The name '{0.name}' is not valid.",
    "InvalidState": "The operation is not allowed in the current state.",
    "InvalidVmConfig": "Invalid virtual machine configuration.",
    "NoDiskSpace": "Insufficient disk space on datastore '{0.datastore}'.",
    "NotAuthenticated": "The session is not authenticated.",
    "NotImplemented": "The requested operation is not implemented by the server.",
    "NotSupported": "The operation is not supported on the object.",
    "RequestCanceled": "The task was canceled by a user.",
    "ResourceInUse": "The resource '{0.name}' is in use.",
    "SystemError": "A general system error occurred",
}


def with_message(fault: Any, text: str | None = None) -> Any:
    """Return `fault` with `text`, or else with the usual message of its type.

    `_MESSAGES` has those types; any other needs a `text` (see also `invalid_argument`).
    """
    fault.localized_message = (
        _MESSAGES[type(fault).__name__].format(fault) if text is None else text
    )
    return fault


def localized(fault: Any) -> Any:
    """Return a fault as data."""
    # A copy has no traceback. The frames of one may hold this value, which the cycle collector does
    # not visit, so that they and the whole host would never be freed.
    return vim25.LocalizedMethodFault(
        fault=fault.copy(), localizedMessage=fault.localized_message or type(fault).__name__
    )


def not_found(ref: Any) -> Any:
    """Return the fault for an object that does not exist."""
    return with_message(
        vim25.ManagedObjectNotFound(obj=ref),
        "The object 'vim.{}:{}' has already been deleted or has not been completely created".format(
            *ref.moref
        ),
    )


def no_such_item(name: str) -> Any:
    """Return the fault `NotFound` for a name that the host does not have."""
    return with_message(
        vim25.NotFound(), f"The object or item referred to could not be found: {name}"
    )


def no_permission(ref: Any, privilege: str) -> Any:
    """Return the fault for a user without a privilege on an object."""
    return with_message(
        vim25.NoPermission(object=ref, privilegeId=privilege),
        "Permission to perform this operation was denied.",
    )


def invalid_argument(name: str, value: str | None = None) -> Any:
    """Return the fault for a wrong argument; the message quotes `value` if it is given."""
    text = f"A specified parameter was not correct: {name}"
    return with_message(
        vim25.InvalidArgument(invalidProperty=name), text if value is None else f"{text} ({value})"
    )


def invalid_state() -> Any:
    """Return the fault for a call that the object's state forbids."""
    return with_message(vim25.InvalidState())


def not_supported() -> Any:
    """Return the fault for a call that a host does not offer."""
    return with_message(vim25.NotSupported())
