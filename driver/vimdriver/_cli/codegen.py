"""`vimctl codegen`: generate a typed package from a WSDL."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from vimdriver._cli.exitcodes import Exit
from vimdriver._cli.flags import Flag
from vimdriver._cli.output import OUTPUT, Output
from vimlib._text import printable
from vimlib.errors import NotFoundError


def codegen(
    wsdl: Path,
    /,
    *,
    out: Annotated[Path, Parameter(name=("--out", "-o"))],
    sidecar: Path | None = None,
    check: Flag = False,
    output: Output = OUTPUT,
) -> int:
    """Generate a typed Python package like vimlib.vim25 from a WSDL.

    Args:
        wsdl: WSDL file of the service, in one folder with the schemas that it includes.
        out: Folder of the package; created, or updated if codegen created it.
        sidecar: JSON file with the managed types and API versions, which a WSDL cannot express. The
            default is the .json file next to the WSDL, if it exists.
        check: Write nothing; exit with 1 if files would change.
    """
    from vimlib.codegen import CodegenError, generate

    if not wsdl.is_file():
        raise NotFoundError(
            f"file not found: {printable(str(wsdl))!r}",
            kind="file",
            name=str(wsdl),
            outcome="not_sent",
            hint="Give the path of a WSDL file.",
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
