"""Hand-written bases of the generated binding: data objects, proxies, faults and methods.

May stand here: classes that generated code derives from or refers to, and the tables that they
carry. May not: I/O, asyncio, sessions, XML. Imports `vimlib.errors` and msgspec alone.

`DataObject`     a value that travels (a msgspec Struct), fields in wire order
`ManagedObject`  a proxy of an object on the server; its methods are awaited
`MethodFault`    an exception that the server sends, also found as data
`Method`         what class access to a method gives; with an instance it is the call
`Invoker`        whom a bound proxy asks to make the call
`Binding`        one generated package: its namespace, its names, where each lives
"""

from vimlib.model._data import DataObject, Enumeration, required, wire_fields
from vimlib.model._fault import MethodFault
from vimlib.model._managed import Binding, Invoker, ManagedObject, Method, operation
from vimlib.model._version import parse_version
from vimlib.model._wire import Field, parse_fields

__all__ = [
    "Binding",
    "DataObject",
    "Enumeration",
    "Field",
    "Invoker",
    "ManagedObject",
    "Method",
    "MethodFault",
    "operation",
    "parse_fields",
    "parse_version",
    "required",
    "wire_fields",
]
