"""A sweep under way, for the modules that act on one kind of object each."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from vimdriver._journal import close
from vimdriver._sweep.decide import Kind, Swept, Verdict
from vimlib._shield import finish
from vimlib.errors import NotFoundError, VimlibError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Coroutine

    from vimdriver._journal import Entry
    from vimdriver._verbs import Host
    from vimdriver._verbs.host import Moment
    from vimlib._datastore import DatastorePath


class _GoneForGood(Exception):
    """The object of an entry was on a datastore that will never come back."""


@dataclass(kw_only=True)
class Sweeping:
    """A sweep under way: its settings, its findings so far, and its action on one object."""

    host: Host
    now: Moment
    older_than: float
    dry_run: bool
    forget: Collection[str]
    items: list[Swept] = field(default_factory=list)
    gone: set[str] = field(default_factory=set)
    """Tokens of machines that are removed; in a dry run, that would be."""

    @property
    def running(self) -> set[str]:
        """Tokens of the entries that this process works on."""
        return {entry.token for entry in self.host.journal.running}

    async def do(
        self,
        kind: Kind,
        name: str,
        verdict: Verdict,
        work: Callable[[], Coroutine[Any, Any, Verdict | None]] | None = None,
        entry: Entry | None = None,
    ) -> None:
        """Do `work`, which may return another verdict, to its end; then close the entry.

        The entry stays open if another sweep of this process works on it. In a dry run `work` only
        reads.
        """
        item = Swept(kind=kind, name=name, action=verdict.action, reason=verdict.reason)
        if work is not None:
            try:
                other = await finish(work(), what=f"sweeping {kind} {name}")
                if other is not None:
                    item = replace(item, action=other.action, reason=other.reason)
            except _GoneForGood:
                item = replace(item, action="kept", reason="its datastore is gone permanently")
            except VimlibError as error:
                item = replace(item, action="failed", reason=str(error), error=error)
        ended = item.action != "failed" and not self.dry_run
        if entry is not None and ended and entry.token not in self.running:
            await close(self.host.journal, entry.token)
        self.items.append(item)

    def failed(self, kind: Kind, name: str, reason: str, error: VimlibError) -> None:
        item = Swept(kind=kind, name=name, action="failed", reason=reason, error=error)
        self.items.append(item)

    async def reach(self, path: DatastorePath) -> None:
        """Raise unless a path's datastore is there: a missing one does not show that a file is gone."""
        try:
            await self.host.datastore(path.datastore).place()
        except NotFoundError:
            if path.datastore in self.forget:
                raise _GoneForGood from None
            raise

    async def exists(self, path: DatastorePath) -> bool:
        """Return whether there is such a file or folder. Cancelling loses nothing."""
        await self.reach(path)
        return await self.host.exists(path)

    async def remove_file(self, path: DatastorePath, gone: str) -> Verdict | None:
        """Remove a file; return another verdict if there is none (for the reason `gone`) or it stays.

        A folder of its name is somebody else's, and hosts delete a folder with its contents.
        Cancelling leaves a task running: shield it.
        """
        await self.reach(path)
        try:
            found = await self.host.datastore(path.datastore).stat(path)
        except NotFoundError:
            return Verdict("kept", gone)
        if found.is_dir:
            return Verdict("left", "it is a folder, which this driver did not make")
        if not self.dry_run:
            await self.host.delete(path)
        return None

    def is_old(self, began: Moment) -> bool:
        """Return whether no other process may be working on what began then."""
        age = self.now.seconds_since(began)
        return age is not None and age >= self.older_than
