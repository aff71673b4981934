from typing import Any, Final

from vimlib.soap._context import MessageContext
from vimlib.soap._tables import FieldInfo, TypeInfo

REVISION: Final[int]

class Reader:
    result: Any
    rest: bytes
    def __init__(
        self,
        context: MessageContext,
        shape: TypeInfo,
        place: FieldInfo,
        message: bytes,
        counted: int,
    ) -> None: ...
    def locate(self, line: int, column: int, before: bytes, behind: bytes) -> None: ...
    def reached(self) -> tuple[int, int]: ...
    def read(self, data: bytes) -> bytes | None: ...
    def prefix(self) -> bytes: ...
    def path(self) -> str: ...
    def elements(self) -> int: ...
