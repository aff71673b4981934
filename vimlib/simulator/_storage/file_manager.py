"""FileManager: files and folders of datastores."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

from vimlib import vim25
from vimlib.simulator._core.handlers import handles
from vimlib.simulator._core.messages import with_message
from vimlib.simulator._core.objects import SimObject
from vimlib.simulator._service.tasks import start_task
from vimlib.simulator._storage.datastore import (
    Datastore,
    already_exists,
    find_path,
    no_such_file,
    usage,
)

if TYPE_CHECKING:
    from pathlib import Path

    from vimlib.simulator._core.call import Call
    from vimlib.simulator._service.tasks import Task


class FileManager(SimObject):
    """Makes, moves, copies and deletes."""

    kind = "FileManager"


def _delete_tree(place: Path) -> None:
    """Delete a file or a folder with all in it. Raises `FileNotFoundError`."""
    if place.is_dir() and not place.is_symlink():
        shutil.rmtree(place)
    else:
        place.unlink()


@handles(FileManager, "MakeDirectory")
async def make_directory(manager: FileManager, call: Call) -> None:
    """Make a folder."""
    manager.registry.require_licence()
    store, path = find_path(manager.registry, call.args["name"])
    shown = store.shown(path)
    try:
        await store.work(_mkdir, store.local(path), bool(call.get("createParentDirectories")))
    except FileExistsError:
        raise already_exists(shown) from None
    except (FileNotFoundError, NotADirectoryError):
        raise no_such_file(shown) from None


def _mkdir(place: Path, parents: bool) -> None:
    place.mkdir(parents=parents)


@handles(FileManager, "DeleteDatastoreFile_Task")
def delete_file(manager: FileManager, call: Call) -> Any:
    """Delete a file, or a folder with all in it."""
    manager.registry.require_licence()
    store, path = find_path(manager.registry, call.args["name"])

    async def work(task: Task) -> None:
        await delete(store, path)

    return start_task(call, None, work)


async def delete(store: Datastore, path: str) -> None:
    """Delete a file or a folder with all in it, never the root of a datastore.

    Raises `CannotDeleteFile`, `FileLocked` or `FileNotFound`.
    """
    if not path:
        raise with_message(
            vim25.CannotDeleteFile(file=store.shown(path)),
            f"Cannot delete file {store.shown(path)}",
        )
    store.require_unlocked(path)
    try:
        await store.work(_delete_tree, store.local(path), touched=[path])
    except FileNotFoundError:
        raise no_such_file(store.shown(path)) from None


def _pair(call: Call) -> tuple[Datastore, str, Datastore, str]:
    registry = call.registry
    source, source_path = find_path(registry, call.args["sourceName"])
    target, target_path = find_path(registry, call.args["destinationName"])
    return source, source_path, target, target_path


def _check_pair(source: Path, target: Path, shown: tuple[str, str], force: bool) -> None:
    if not source.exists():
        raise no_such_file(shown[0])
    if not target.parent.is_dir():
        raise no_such_file(shown[1])
    if target.exists() and (not force or target.is_dir()):
        raise already_exists(shown[1])


@handles(FileManager, "MoveDatastoreFile_Task")
def move_file(manager: FileManager, call: Call) -> Any:
    """Move a file or folder."""
    manager.registry.require_licence()
    source, source_path, target, target_path = _pair(call)

    async def work(task: Task) -> None:
        source.require_unlocked(source_path)
        shown = source.shown(source_path), target.shown(target_path)
        if source is target:
            touched, other = [source_path, target_path], []
        else:
            touched, other = [source_path], [target_path]

        def move() -> None:
            here, there = source.local(source_path), target.local(target_path)
            _check_pair(here, there, shown, bool(call.get("force")))
            if here != there:
                if there.exists():
                    there.unlink()
                shutil.move(here, there)

        if other:
            await target.work(lambda: None)
        await source.work(move, touched=touched)
        if other:
            await target.recount()

    return start_task(call, None, work)


@handles(FileManager, "CopyDatastoreFile_Task")
def copy_file(manager: FileManager, call: Call) -> Any:
    """Copy a file or folder."""
    manager.registry.require_licence()
    source, source_path, target, target_path = _pair(call)

    async def work(task: Task) -> None:
        shown = source.shown(source_path), target.shown(target_path)
        here, there = source.local(source_path), target.local(target_path)
        target.require(await manager.registry.io(usage, here))

        def copy() -> None:
            _check_pair(here, there, shown, bool(call.get("force")))
            if here.is_dir():
                shutil.copytree(here, there)
            else:
                shutil.copyfile(here, there)

        await target.work(copy, touched=[target_path])

    return start_task(call, None, work)
