"""Compare the schema with zeep's reading of the same WSDL: an independent second parser."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vimlib._distribution import missing_extra
from vimlib.codegen._schema import CodegenError

if TYPE_CHECKING:
    from pathlib import Path

    from vimlib.codegen._schema import Schema


def check_with_zeep(schema: Schema, path: Path) -> None:
    """Raise `CodegenError` unless zeep reads the same operations, messages and faults.

    Needs the extra `codegen`; without it, raises `MissingExtraError`.
    """
    try:
        import zeep
    except ImportError as error:
        raise missing_extra("codegen", package="zeep", extra="codegen") from error
    try:
        client = zeep.Client(str(path), settings=zeep.Settings(strict=True, forbid_entities=True))
    except Exception as error:  # zeep's exceptions have no common base class
        raise CodegenError(f"zeep cannot read the WSDL: {error}", where=path.name) from error
    seen: dict[str, Any] = {}
    for service in client.wsdl.services.values():
        for port in service.ports.values():
            seen.update(port.binding._operations)  # noqa: SLF001 - zeep has no public way to list them
    if missing := sorted(set(schema.operations) ^ set(seen)):
        raise CodegenError(
            f"operations differ from those that zeep reads: {', '.join(missing[:5])}",
            where=path.name,
        )
    for name, operation in schema.operations.items():
        theirs = seen[name]
        want = [p.name for p in operation.params]
        if operation.addressed:
            want.insert(0, "_this")
        got = [e for e, _ in theirs.input.body.type.elements]
        if want != got:
            raise CodegenError(f"parameters differ: zeep reads {got}, vimlib {want}", where=name)
        result = (
            [e for e, _ in theirs.output.body.type.elements]
            if theirs.output.body is not None
            else []
        )
        if result != ([operation.returns.name] if operation.returns else []):
            raise CodegenError(f"result differs: zeep reads {result}", where=name)
        faults = sorted(
            m.parts["fault"].element.type.name for m in theirs.abstract.fault_messages.values()
        )
        if faults != sorted(operation.faults):
            raise CodegenError(
                f"faults differ: zeep reads {faults}, vimlib {sorted(operation.faults)}", where=name
            )
