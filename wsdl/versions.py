"""The chain of vim25's API versions, and where each version tag of the tables stands in it."""

import itertools
import re

from wsdl.typeinfo import TypeInfoError, Version, VmodlTables

# Only tags with such an id are releases; 9.1.1.0's tables have one more, "m5CA1EF4D", tagging nothing.
_RELEASE_ID = re.compile(r"\d+\.\d+[0-9a-z.]*")

# The release in which the namespace urn:vim25 begins. Older items count as part of it.
FIRST = "2.5"

# VMODL's root version. The tables give it no place below vim.version.version1, but it is older.
_ROOT = "vmodl.version.version0"


class Versions:
    """The releases, oldest first, each including all before it."""

    def __init__(self, tables: VmodlTables) -> None:
        """Order the releases of `tables` and place every version tag.

        Raises:
            TypeInfoError: The releases do not form a chain.
        """
        releases = [
            version
            for version in tables.versions.values()
            if version.name.startswith("vim.version.") and _RELEASE_ID.fullmatch(version.id)
        ]
        releases.sort(key=lambda version: len(tables.parents[version.name]))
        for older, newer in itertools.pairwise(releases):
            if not tables.parents[older.name] < tables.parents[newer.name]:
                raise TypeInfoError(f"{newer.name} does not include all of {older.name}")
        self.releases: tuple[Version, ...] = tuple(releases)
        self._rank_of_id = {version.id: rank for rank, version in enumerate(releases)}
        if FIRST not in self._rank_of_id or len(self._rank_of_id) != len(releases):
            raise TypeInfoError(f"{FIRST} is not a release, or two releases share an id")
        self._rank_of_tag = {}
        for tag in tables.versions:
            ranks = [r for r, v in enumerate(releases) if tag in tables.parents[v.name]]
            if ranks:
                self._rank_of_tag[tag] = ranks[0]
        self._rank_of_tag[_ROOT] = 0

    def since(self, tag: str) -> str:
        """The id of the first release that includes `tag`.

        Raises:
            TypeInfoError: No release includes it.
        """
        return self.releases[self._rank(tag)].id

    def includes(self, release: str, tag: str) -> bool:
        """Whether the release with id `release` knows items tagged `tag`."""
        return self._rank(tag) <= self._rank_of_id[release]

    def younger(self, tag: str, than: str) -> bool:
        """Whether `tag` came after both the tag `than` and the first release of urn:vim25."""
        return self._rank(tag) > max(self._rank(than), self._rank_of_id[FIRST])

    def _rank(self, tag: str) -> int:
        try:
            return self._rank_of_tag[tag]
        except KeyError:
            raise TypeInfoError(f"no release includes the version tag {tag}") from None
