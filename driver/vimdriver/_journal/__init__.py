"""What was begun, written down before it is begun.

`entries` says what a line can tell, `lines` turns entries into bytes and bytes into what is open (no
I/O), `memory` and `file` keep them. Nothing in here knows of hosts: `vimdriver._sweep` acts on what a
journal says.

Two records of one thing, on purpose. The host's own survives the loss of this machine's disk: a
machine that is being made says so itself (`vimlib.making` in its extraConfig, there from the call
that makes it to the call that gives it its disk), and temporary files are named after their owner.
It needs no call more than the work itself, and cannot be out of step with it. The file here adds what
the host cannot say: that whoever began is no more, so that nobody needs to wait for an age limit, and
what was still to come. A journal on the datastore would cost an upload, read back, for each step, and
would be out of reach exactly when the host is.
"""

from vimdriver._journal.base import Journal, close, settled, written
from vimdriver._journal.entries import AddingPortGroup, Destroying, Entry, Spawning, Uploading
from vimdriver._journal.file import FileJournal
from vimdriver._journal.memory import MemoryJournal

__all__ = [
    "AddingPortGroup",
    "Destroying",
    "Entry",
    "FileJournal",
    "Journal",
    "MemoryJournal",
    "Spawning",
    "Uploading",
    "close",
    "settled",
    "written",
]
