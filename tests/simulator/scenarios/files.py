"""Files: by the FileManager, the browser, and over HTTP."""

from __future__ import annotations

import urllib.request
from typing import Any

from tests.simulator.stage import Stage, outcome, scenario
from tests.simulator.values import new

DIGITS = b"0123456789"


def make_directory(stage: Stage, name: str, **args: Any) -> None:
    stage.call("MakeDirectory", stage.content.fileManager, name=name, **args)


def filled(stage: Stage, *names: str) -> str:
    """Make a folder with files and return its name."""
    stage.client.mkdir(folder := stage.name())
    for name in names:
        stage.client.upload(f"{folder}/{name}", b"content")
    return folder


def uploaded(stage: Stage, data: bytes = b"x") -> str:
    stage.client.upload(name := stage.name(), data)
    return name


def listed(stage: Stage, folder: str, pattern: str = "*") -> list[str]:
    return [entry.name for entry in stage.client.entries(folder, pattern)]


@scenario()
def makes_a_folder(stage: Stage) -> Any:
    stage.client.mkdir(name := stage.name())
    return [entry.is_dir for entry in stage.client.entries("", name)] == [True]


@scenario()
def makes_a_folder_twice(stage: Stage) -> Any:
    stage.client.mkdir(name := stage.name())
    return outcome(stage.client.mkdir, name)


@scenario()
def makes_a_folder_in_a_missing_folder(stage: Stage) -> Any:
    return outcome(stage.client.mkdir, f"{stage.name()}/b")


@scenario()
def makes_a_folder_with_its_parents(stage: Stage) -> Any:
    stage.client.mkdir(path := f"{stage.name()}/b/c", parents=True)
    return stage.client.exists(path)


@scenario()
def names_an_unknown_datastore(stage: Stage) -> Any:
    return outcome(make_directory, stage, "[nowhere] a", datacenter=stage.datacenter)


@scenario()
def sends_a_malformed_path(stage: Stage) -> Any:
    return outcome(make_directory, stage, "a/b", datacenter=stage.datacenter)


@scenario()
def leaves_the_datacenter_out(stage: Stage) -> Any:
    return outcome(make_directory, stage, stage.path(stage.name()))


@scenario()
def moves_a_file(stage: Stage) -> Any:
    folder = filled(stage, "a")
    stage.client.move(f"{folder}/a", f"{folder}/b")
    return listed(stage, folder)


@scenario()
def moves_a_file_over_another(stage: Stage) -> Any:
    folder = filled(stage, "a", "b")
    return outcome(stage.client.move, f"{folder}/a", f"{folder}/b")


@scenario()
def copies_a_file(stage: Stage) -> Any:
    folder = filled(stage, "a")
    stage.client.copy(f"{folder}/a", f"{folder}/b")
    return [(entry.name, entry.size) for entry in stage.client.entries(folder)]


@scenario()
def copies_a_file_over_another(stage: Stage) -> Any:
    folder = filled(stage, "a", "b")
    return outcome(stage.client.copy, f"{folder}/a", f"{folder}/b")


@scenario()
def copies_a_missing_file(stage: Stage) -> Any:
    return outcome(stage.client.copy, "nobody", stage.name())


@scenario()
def deletes_a_folder_and_what_is_in_it(stage: Stage) -> Any:
    folder = filled(stage, "a", "b")
    stage.client.delete(folder)
    return stage.client.exists(folder)


@scenario()
def deletes_a_missing_file(stage: Stage) -> Any:
    return outcome(stage.client.delete, "nobody")


@scenario()
def lists_a_folder(stage: Stage) -> Any:
    folder = filled(stage, "a.iso", "b.img")
    stage.client.mkdir(f"{folder}/c")
    found = stage.client.entries(folder)
    return [(entry.name, entry.size) for entry in found if not entry.is_dir]


@scenario()
def sees_folders_in_a_list(stage: Stage) -> Any:
    stage.client.mkdir(f"{(folder := filled(stage))}/c")
    return [(entry.name, entry.is_dir) for entry in stage.client.entries(folder)]


@scenario()
def lists_by_a_pattern(stage: Stage) -> Any:
    return listed(stage, filled(stage, "a.iso", "b.img", "c.iso"), "*.iso")


@scenario()
def lists_a_missing_folder(stage: Stage) -> Any:
    return outcome(stage.client.entries, "nobody")


def search(stage: Stage, method: str, folder: str, **args: Any) -> Any:
    browser = stage.get(stage.client.store(), "browser")
    return stage.done(method, browser, datastorePath=stage.path(folder), **args)


@scenario()
def searches_without_a_pattern(stage: Stage) -> Any:
    spec = new("HostDatastoreBrowserSearchSpec")
    found = search(stage, "SearchDatastore_Task", filled(stage, "a"), searchSpec=spec)
    return [item.path for item in found.file or ()]


@scenario()
def searches_without_a_spec(stage: Stage) -> Any:
    found = search(stage, "SearchDatastore_Task", filled(stage, "a"))
    return [item.path for item in found.file or ()]


@scenario()
def searches_folders_below(stage: Stage) -> Any:
    folder = filled(stage, "a.iso")
    stage.client.mkdir(f"{folder}/deep")
    stage.client.upload(f"{folder}/deep/b.iso", b"content")
    spec = new("HostDatastoreBrowserSearchSpec", matchPattern=["*.iso"])
    found = search(stage, "SearchDatastoreSubFolders_Task", folder, searchSpec=spec)
    return sorted(item.path for each in found for item in each.file or ())


@scenario()
def finds_the_files_of_a_machine(stage: Stage) -> Any:
    stage.create(name := stage.name())
    return f"{name}.vmx" in listed(stage, name)


@scenario()
def refreshes_a_datastore(stage: Stage) -> Any:
    return outcome(stage.call, "RefreshDatastore", stage.client.store())


@scenario()
def uploads_and_reads_back(stage: Stage) -> Any:
    data = bytes(range(256)) * 1000
    return stage.client.download(uploaded(stage, data)) == data


@scenario()
def uploads_over_another(stage: Stage) -> Any:
    name = uploaded(stage, b"longer than it")
    stage.client.upload(name, b"short")
    return stage.client.download(name).decode()


@scenario()
def uploads_into_a_missing_folder(stage: Stage) -> Any:
    return outcome(stage.client.upload, f"{stage.name()}/such/file", b"x")


@scenario()
def uploads_an_empty_file(stage: Stage) -> Any:
    return len(stage.client.download(uploaded(stage, b"")))


@scenario()
def uploads_files_of_odd_names(stage: Stage) -> Any:
    names = ["a b", "100%", "a+b", "it's", "größe", "a&b=c#d", "x;y"]
    return sorted(names) == listed(stage, filled(stage, *names))


@scenario()
def reads_part_of_a_file(stage: Stage) -> Any:
    return stage.client.download(uploaded(stage, DIGITS), (2, 5)).decode()


@scenario()
def reads_beyond_the_end_of_a_file(stage: Stage) -> Any:
    return outcome(stage.client.download, uploaded(stage, DIGITS), (20, 30))


@scenario()
def reads_a_missing_file(stage: Stage) -> Any:
    return outcome(stage.client.download, "nobody")


# Plain HTTP requests, which no library makes: with the cookie of one client.


@scenario("pyvmomi")
def puts_a_new_file(stage: Stage) -> Any:
    return stage.client.status("PUT", stage.name(), data=b"x")


@scenario("pyvmomi")
def puts_over_a_file(stage: Stage) -> Any:
    return stage.client.status("PUT", uploaded(stage), data=b"y")


@scenario("pyvmomi")
def posts_over_a_file(stage: Stage) -> Any:
    return stage.client.status("POST", uploaded(stage), data=b"y")


@scenario("pyvmomi")
def puts_without_a_session(stage: Stage) -> Any:
    return stage.client.status("PUT", stage.name(), cookie=False, data=b"x")


@scenario("pyvmomi")
def gets_without_a_session(stage: Stage) -> Any:
    return stage.client.status("GET", uploaded(stage), cookie=False)


@scenario("pyvmomi")
def asks_for_the_size_over_http(stage: Stage) -> Any:
    answer = stage.client.request("HEAD", uploaded(stage, DIGITS))
    return answer.status_code, int(answer.headers["Content-Length"])


@scenario("pyvmomi")
def asks_for_a_range_over_http(stage: Stage) -> Any:
    name = uploaded(stage, DIGITS)
    answer = stage.client.request("GET", name, headers={"Range": "bytes=2-4"})
    return answer.status_code, answer.headers["Content-Range"]


@scenario("pyvmomi")
def deletes_over_http(stage: Stage) -> Any:
    stage.client.status("DELETE", name := uploaded(stage))
    return stage.client.status("HEAD", name)


@scenario("pyvmomi")
def asks_for_the_status_of_a_deletion_over_http(stage: Stage) -> Any:
    return stage.client.status("DELETE", uploaded(stage))


@scenario("pyvmomi")
def lists_over_http(stage: Stage) -> Any:
    answer = stage.client.request("GET", f"{filled(stage, 'a.iso')}/")
    return answer.status_code, "a.iso" in answer.text


@scenario("pyvmomi")
def names_the_datacenter_by_its_path_over_http(stage: Stage) -> Any:
    return stage.client.status(
        "GET", uploaded(stage), params={"dcPath": f"/{stage.server.datacenter}"}
    )


@scenario("pyvmomi")
def names_an_unknown_datastore_over_http(stage: Stage) -> Any:
    return stage.client.status("GET", "x", params={"dsName": "nowhere"})


@scenario("pyvmomi")
def names_an_unknown_datacenter_over_http(stage: Stage) -> Any:
    return stage.client.status("GET", "x", params={"dcPath": "nowhere"})


@scenario("oslo")
def puts_a_new_file_by_a_ticket(stage: Stage) -> Any:
    from oslo_vmware.objects import datastore

    server = stage.server
    url = datastore.DatastoreURL(
        "https", f"127.0.0.1:{server.port}", stage.name(), server.datacenter, server.datastore
    )
    ticket = url.get_transfer_ticket(stage.client.session, "PUT")
    request = urllib.request.Request(
        str(url), data=b"by ticket", headers={"Cookie": ticket}, method="PUT"
    )
    with urllib.request.urlopen(request, context=stage.client.trust) as answer:
        return answer.status
