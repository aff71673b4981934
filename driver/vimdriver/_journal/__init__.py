"""The journal: each piece of work is written down before it begins, and closed at its known end.

`entries` has the entries and their form as lines (no I/O), `memory` the protocol and a journal that
ends with its process, `file` one that survives it. Nothing in here depends on hosts:
`vimdriver._sweep` acts on the entries.

There are two records of one piece of work, on purpose. The host's own survives the loss of this
computer's disk: a half-made machine carries `vimlib.making` in its extraConfig, from the call that
creates it to the call that attaches its disk, and temporary files are named after their owner. It
costs no call of its own, and cannot be out of step with the work. The file adds facts that the host
does not have: that the process has ended, so that no age limit is needed, and which steps were still
to come. A journal on the datastore would cost a confirmed upload for each step, and would be out of
reach exactly when the host is.
"""

from vimdriver._journal.entries import (
    AddingPortGroup,
    Capturing,
    Changing,
    Destroying,
    Entry,
    LoggedIn,
    Recording,
    SeenFile,
    Spawning,
    Uploading,
)
from vimdriver._journal.file import FileJournal
from vimdriver._journal.memory import Journal, MemoryJournal, close, settled, written

__all__ = [
    "AddingPortGroup",
    "Capturing",
    "Changing",
    "Destroying",
    "Entry",
    "FileJournal",
    "Journal",
    "LoggedIn",
    "MemoryJournal",
    "Recording",
    "SeenFile",
    "Spawning",
    "Uploading",
    "close",
    "settled",
    "written",
]
