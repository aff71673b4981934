"""Generate a typed package like `vimlib.vim25` from a WSDL.

May stand here: reading a WSDL and its schemas, laying types out in modules, writing source.
May not: anything a generated package needs at run time; that is `vimlib.model`.

`generate(wsdl, out)` does it all: `read` (lxml) makes `schema` values out of the files,
`check` has zeep load the same WSDL and compares, `sidecar` adds the facts that a WSDL cannot express,
`layout` decides which module a type lives in, `emit` writes the modules.
"""

from vimlib.codegen._generate import Generated, generate
from vimlib.codegen._schema import CodegenError

__all__ = ["CodegenError", "Generated", "generate"]
