"""`python -m vimlib.codegen WSDL -o DIR`, or `--builtin` for this project's own vim25."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from vimlib.codegen import CodegenError, generate

_ROOT = Path(__file__).resolve().parents[2]


def main(argv: list[str] | None = None) -> int:
    """Generate or check; returns the exit code: 0 done, 1 stale or refused."""
    parser = argparse.ArgumentParser(prog="python -m vimlib.codegen", description=__doc__)
    parser.add_argument("wsdl", nargs="?", type=Path)
    parser.add_argument("-o", "--out", type=Path, help="folder of the package")
    parser.add_argument("--sidecar", type=Path, help="JSON with managed types and API versions")
    parser.add_argument(
        "--builtin", action="store_true", help="generate vimlib/vim25 from wsdl/vim25"
    )
    parser.add_argument(
        "--check", action="store_true", help="write nothing; exit 1 if files would change"
    )
    args = parser.parse_args(argv)
    if args.builtin:
        args.wsdl, args.out = _ROOT / "wsdl/vim25/vim25.wsdl", _ROOT / "vimlib/vim25"
    if args.wsdl is None or args.out is None:
        parser.error("give either a WSDL and -o DIR, or --builtin")
    source = str(args.wsdl.relative_to(_ROOT)) if args.builtin else args.wsdl.name
    try:
        done = generate(args.wsdl, args.out, sidecar=args.sidecar, check=args.check, source=source)
    except CodegenError as error:
        print(f"error: {error.where + ': ' if error.where else ''}{error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    for name in done.changed:
        print(("stale: " if args.check else "wrote ") + str(done.package / name))
    print(f"{done.files} files, {len(done.changed)} {'stale' if args.check else 'changed'}")
    return 1 if args.check and done.changed else 0


if __name__ == "__main__":
    sys.exit(main())
