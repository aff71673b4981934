"""Generate a typed package like `vimlib.vim25` from a WSDL.

This package reads a WSDL and its schemas, assigns types to modules and writes source. Code that a
generated package needs at run time belongs to `vimlib.model`.

`generate(wsdl, out)` runs all steps: `read` (lxml) turns the files into `schema` values, `check`
compares them with zeep's reading of the same WSDL, `sidecar` adds the data that a WSDL cannot
express, `layout` assigns each type to a module, `emit` writes the modules.
"""

from vimlib.codegen._generate import Generated, generate
from vimlib.codegen._schema import CodegenError

__all__ = ["CodegenError", "Generated", "generate"]
