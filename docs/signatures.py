"""An extension of Griffe, which reads the code for the reference pages."""

from __future__ import annotations

from typing import Any

import griffe


class VerbSignatures(griffe.Extension):
    """Shows a verb as it is called: ``driver.destroy(ref)``, without the host that the driver passes."""

    def on_function(self, *, func: griffe.Function, **_: Any) -> None:
        """Take the first parameter away from functions decorated with `verb`."""
        if any(str(item.value) in ("verb", "urgent_verb") for item in func.decorators):
            del func.parameters[0]
