"""`vimctl codegen`: a typed package out of a WSDL."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from vimdriver._cli.exitcodes import Exit
from vimdriver._cli.flags import Flag
from vimdriver._cli.output import OUTPUT, Output
from vimlib.errors import NotFoundError, printable

__all__ = ["codegen"]


def codegen(
    wsdl: Path,
    /,
    *,
    out: Annotated[Path, Parameter(name=("--out", "-o"))],
    sidecar: Path | None = None,
    check: Flag = False,
    output: Output = OUTPUT,
) -> int:
    """Make a typed package like vimlib.vim25 from a WSDL.

    Args:
        wsdl: The service's description; the schemas that it includes are found beside it.
        out: Folder of the package; made, or updated if this made it.
        sidecar: JSON with what a WSDL cannot say: managed types, versions. WSDL.json is taken unasked.
        check: Write nothing; exit 1 if something would change.
    """
    from vimlib.codegen import CodegenError, generate

    if not wsdl.is_file():
        raise NotFoundError(
            f"no file {printable(str(wsdl))!r}",
            kind="file",
            name=str(wsdl),
            outcome="not_sent",
            hint="Give the path of a WSDL.",
        )
    try:
        done = generate(wsdl, out, sidecar=sidecar, check=check)
    except CodegenError as error:
        if not error.where:
            raise
        text = f"{error.where}: {error.args[0]}"
        raise CodegenError(text, hint=error.hint, where=error.where) from error
    stale = bool(check and done.changed)
    verb = ("stale" if check else "changed") if done.changed else "up to date"
    output.document(
        {"package": str(done.package), "files": done.files, "changed": list(done.changed)},
        f"{done.package}: {done.files} files, {len(done.changed) or ''}{' ' * bool(done.changed)}{verb}",
    )
    return Exit.FAILED if stale else Exit.OK
