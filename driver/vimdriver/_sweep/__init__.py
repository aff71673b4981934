"""Finish or remove the leftovers of ended processes on a host.

`scan` reads, `decide` decides and has the report (no I/O), `work` acts, `networks` on port groups,
`sessions` on sessions.
The rules:

- A sweep touches only objects with the owner's mark or an entry in the owner's journal, and reads
  again, right before it acts, whether that still holds.
- It never removes a whole machine, nor one that runs or has been given a disk by somebody.
- An object that another process may be making is left until it is `older_than` seconds old by both
  the host's clock and this computer's: `vimdriver._verbs.host.Moment`. An entry in the journal's
  file shows that its process has ended, and needs no age.
- Sweeping twice, at the same time too, is as sweeping once.
"""

from vimdriver._sweep.decide import SweepReport, Swept
from vimdriver._sweep.work import DAY, sweep

__all__ = ["DAY", "SweepReport", "Swept", "sweep"]
