"""Take away, or finish, what a process that is no more has left on a host.

`report` says what a sweep did, `decide` what is to be done (no I/O), `work` does it. The laws:

- It touches only what carries the owner's mark or stands in the owner's journal, and looks again,
  right before it acts, whether that still holds.
- It never removes a whole machine, nor one that runs or that somebody has given a disk.
- What another process may be making is left until it is `older_than` seconds old, by the host's
  clock. What the journal's own file says was begun by a process that is no more need not wait.
- Doing it twice, at the same time too, is as doing it once.
"""

from vimdriver._sweep.report import SweepReport, Swept
from vimdriver._sweep.work import DAY, sweep

__all__ = ["DAY", "SweepReport", "Swept", "sweep"]
