"""The scenarios that a client does not play, or not on every server, with the reason."""

from __future__ import annotations

from tests.simulator.outcomes import OUTCOMES
from tests.simulator.stage import SCENARIOS, ClientName
from tests.simulator.values import KINDS, Kind

_INJECTS = "it injects faults by the simulated host's control endpoint"
_COSTLY = "each login reads the whole WSDL again, which takes seconds"
_STATUS = "its file handle does not check the status of the answer"
_TEXT = "its SOAP library reads a fault without fields in a task as a text"
_EMPTY = "its SOAP library leaves an empty element out"
_DEEP = "vcsim's process ends at so deep a traversal"

HERE_ONLY: dict[ClientName, dict[str, str]] = {
    "vimlib": {},
    "pyvmomi": {},
    "oslo": {
        "walks_from_the_root_to_machines": _DEEP,
        "reads_page_by_page": _DEEP,
        "logs_in_with_a_wrong_password": _COSTLY,
        "logs_in_again_after_its_session_was_ended": _COSTLY,
        "takes_over_a_session_by_a_ticket": _COSTLY,
        "uses_a_clone_ticket_twice": _COSTLY,
        "logs_out": _COSTLY,
        "meets_another_task": _INJECTS,
        "meets_an_unknown_fault": _INJECTS,
        "meets_every_known_fault": _INJECTS,
        "reads_the_missing_permission": _INJECTS,
        "cancels_paging": _INJECTS,
        "logs_in_again_after_a_fault": _INJECTS,
        "logs_in_again_after_an_empty_reply": _INJECTS,
        "logs_in_again_after_a_missing_set": _INJECTS,
        "gets_a_page_instead_of_a_reply": _INJECTS,
    },
}
"""Scenarios that a client plays on the simulated host alone."""

CANNOT: dict[ClientName, dict[str, str]] = {
    "vimlib": {},
    "pyvmomi": {},
    "oslo": {
        **{name: _COSTLY for name, item in OUTCOMES.items() if item.alone},
        "uploads_into_a_missing_folder": _STATUS,
        "reads_a_missing_file": _STATUS,
        "uploads_files_of_odd_names": "its file handle does not escape a path",
        "sends_a_stale_change_version": _TEXT,
        "registers_a_missing_file": _TEXT,
        "reverts_without_a_snapshot": _TEXT,
        "clones_a_machine": _EMPTY,
        "creates_a_task_collector": _EMPTY,
        "searches_without_a_pattern": _EMPTY,
    },
}
"""Scenarios that are for all clients, but not for this one."""


def asked_of(client: ClientName) -> list[tuple[Kind, str]]:
    """Return the scenarios of a client and the servers on which it plays them."""
    return [
        (kind, name)
        for kind in KINDS
        for name, item in SCENARIOS.items()
        if client in item.clients and name not in CANNOT[client]
        if kind == "here" or name not in HERE_ONLY[client]
    ]
