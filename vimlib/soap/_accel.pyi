from collections.abc import Callable
from typing import Any, Final

from vimlib.soap._rules import Rules
from vimlib.soap._tables import Item, Shape

REVISION: Final[int]

class Reader:
    def __init__(
        self,
        machine: Rules,
        shape: Shape,
        done: Callable[[Any], None],
        place: Item,
        message: bytes,
    ) -> None: ...
    def read(self, data: bytes) -> bytes | None: ...
    def check_rest(self) -> None: ...
    def path(self) -> str: ...
    def elements(self) -> int: ...
    def frame_depth(self) -> int: ...
