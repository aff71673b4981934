"""The upstream archives of Debian's source packages: downloaded with apt, which verifies them; never
committed.
"""

from __future__ import annotations

import platform
import re
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.integration.peers import cache
from tests.integration.peers.process import PeerError

_SECONDS = 300
# Where this machine gets its packages from: the same places have the sources.
_TARGETS = (
    *("apt-get", "indextargets", "--format", "deb-src $(REPO_URI) $(RELEASE) $(COMPONENT)"),
    *("Created-By: Packages", "Origin: Debian"),
)


def files_of(
    package: str,
    keep: Callable[[str], bool],
    *,
    folders: bool = False,
    label: str = "files",
    release: str | None = None,
) -> Path:
    """Return a folder with those files of a package's upstream archive whose path `keep` accepts.

    Paths are relative to the archive's top folder; of each file its last name is kept, or its whole
    path with `folders`. Calls that keep other files of the same package give another `label`. A
    `release` is the one of Debian that has the sources, by its code name; the default is this
    machine's.

    Raises:
        PeerError: apt cannot download the archive, or no file is accepted.
    """

    def build(folder: Path) -> None:
        with TemporaryDirectory() as scratch:
            archive = _download(package, Path(scratch), release)
            with tarfile.open(archive) as members:
                for member in members:
                    _, _, name = member.name.partition("/")
                    if member.isfile() and keep(name) and (file := members.extractfile(member)):
                        place = folder / (name if folders else Path(name).name)
                        place.parent.mkdir(parents=True, exist_ok=True)
                        place.write_bytes(file.read())
                        place.chmod(member.mode)
        if not any(folder.iterdir()):
            raise PeerError(f"the sources of {package} have none of the wanted files")

    inputs: list[str | bytes] = [package, release or "", Path(__file__).read_bytes()]
    return cache.built(f"{package}-{label}", inputs, build)


def _download(package: str, folder: Path, release: str | None) -> Path:
    """Download the archive with lists of its own: the machine's may have no sources."""
    lists = folder / "lists"
    lists.mkdir()
    sources = folder / "sources.list"
    targets = "\n".join(sorted(set(_run(*_TARGETS).splitlines()))) + "\n"
    if release is not None:
        own = platform.freedesktop_os_release()["VERSION_CODENAME"]
        # The suites of updates and security are named after the release too.
        targets = re.sub(rf" {own}\b", f" {release}", targets)
    sources.write_text(targets)
    options = (f"Dir::State::Lists={lists}", f"Dir::Etc::SourceList={sources}")
    quiet = ("Dir::Etc::SourceParts=/dev/null", "APT::Sandbox::User=root")
    words = [word for option in (*options, *quiet) for word in ("-o", option)]
    _run("apt-get", *words, "update", folder=folder)
    _run("apt-get", *words, "source", "--download-only", "--tar-only", package, folder=folder)
    return next(folder.glob("*.orig.tar.*[!c]"))


def _run(*words: str, folder: Path | None = None) -> str:
    try:
        done = subprocess.run(
            words, cwd=folder, check=True, capture_output=True, text=True, timeout=_SECONDS
        )
    except FileNotFoundError:
        raise PeerError(f"{words[0]} is missing: this needs Debian") from None
    except subprocess.TimeoutExpired:
        raise PeerError(f"{words[0]} did not end within {_SECONDS} s") from None
    except subprocess.CalledProcessError as error:
        raise PeerError(f"{' '.join(words)}: {error.stderr.strip()[-500:]}") from None
    return done.stdout
