"""The decisions, one table."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vimlib import vim25
from vimlib._session.policy import (
    MOST_LOGINS,
    Action,
    Attempt,
    Backoff,
    Budget,
    RetryPolicy,
    decide,
)
from vimlib._session.readonly import READ_ONLY
from vimlib.errors import (
    ConnectError,
    ConnectionLostError,
    DeadlineError,
    HTTPStatusError,
    LimitError,
    Outcome,
    ProtocolError,
    RedirectError,
    UsageError,
    VimlibError,
)

POLICY = RetryPolicy()
READ, WRITE = "RetrievePropertiesEx", "CreateVM_Task"


def status(
    code: int, outcome: Outcome, retryable: bool, after: float | None = None
) -> HTTPStatusError:
    return HTTPStatusError(
        "x", status=code, outcome=outcome, retryable=retryable, retry_after=after
    )


LOST = ConnectionLostError("x", outcome="unknown")
UNSENT = ConnectionLostError("x", outcome="not_sent")
TABLE: list[tuple[VimlibError, Action, Action]] = [
    # the error, what becomes of a read, what becomes of a write
    (LOST, Action.RESEND, Action.RAISE_UNKNOWN),
    (UNSENT, Action.RESEND, Action.RESEND),
    (ConnectError("x"), Action.RESEND, Action.RESEND),
    (DeadlineError("x", outcome="unknown"), Action.RESEND, Action.RAISE_UNKNOWN),
    (DeadlineError("x", outcome="not_sent"), Action.RESEND, Action.RESEND),
    (status(503, "unknown", True), Action.RESEND, Action.RAISE_UNKNOWN),
    (status(429, "refused", True), Action.RESEND, Action.RAISE),
    (status(403, "refused", False), Action.RAISE, Action.RAISE),
    (status(401, "refused", False), Action.RELOGIN, Action.RELOGIN),
    (ProtocolError("x"), Action.RAISE, Action.RAISE_UNKNOWN),
    (LimitError("x"), Action.RAISE, Action.RAISE_UNKNOWN),
    (RedirectError("x"), Action.RAISE, Action.RAISE),
    (UsageError("x"), Action.RAISE, Action.RAISE),
    (vim25.NotAuthenticated(), Action.RELOGIN, Action.RELOGIN),
    (vim25.NoPermission(), Action.RELOGIN, Action.RELOGIN),
    (vim25.InvalidLogin(), Action.RAISE, Action.RAISE),
    # Faults that pass are the caller's: the host has answered.
    (vim25.TaskInProgress(task=vim25.Task("t")), Action.RAISE, Action.RAISE),
    (vim25.NotFound(), Action.RAISE, Action.RAISE),
]


@pytest.mark.parametrize(("error", "read", "write"), TABLE, ids=lambda value: repr(value)[:40])
def test_the_table(error: VimlibError, read: Action, write: Action) -> None:
    for method, action in ((READ, read), (WRITE, write)):
        decision = decide(error, Attempt(method), POLICY, Budget(POLICY), random.random)
        assert decision.action is action, method


@pytest.mark.parametrize("method", ["CreateContainerView", "ModifyListView", "DestroyView"])
@pytest.mark.parametrize(("error", "read", "write"), TABLE, ids=lambda value: repr(value)[:40])
def test_what_is_the_session_s_own_is_sent_again_as_a_read_is(
    error: VimlibError, read: Action, write: Action, method: str
) -> None:
    action = decide(error, Attempt(method), POLICY, Budget(POLICY), random.random).action
    # What is not repeated may have been done all the same, and that is said.
    assert action is (read if read is Action.RESEND else write)
    end = decide(LOST, Attempt(method, sends=3), POLICY, Budget(POLICY), random.random)
    assert end.action is Action.RAISE_UNKNOWN
    none = RetryPolicy(harmless=frozenset())
    assert decide(error, Attempt(method), none, Budget(none), random.random).action is write


def test_what_was_destroyed_is_gone_the_second_time() -> None:
    gone = vim25.ManagedObjectNotFound(obj=vim25.ListView("v"))
    for method, sends, action in (
        ("DestroyView", 2, Action.DONE),
        ("DestroyPropertyCollector", 3, Action.DONE),
        ("DestroyView", 1, Action.RAISE),  # nobody but somebody else can have done it
        ("CreateListView", 2, Action.RAISE),
        ("Destroy_Task", 2, Action.RAISE),
        (READ, 2, Action.RAISE),
    ):
        made = decide(gone, Attempt(method, sends=sends), POLICY, Budget(POLICY), random.random)
        assert made.action is action, method


def test_a_login_helps_once() -> None:
    for error in (vim25.NotAuthenticated(), status(401, "refused", False)):
        decision = decide(
            error, Attempt(WRITE, relogged=True), POLICY, Budget(POLICY), random.random
        )
        assert decision.action is Action.RAISE


def test_a_call_that_met_the_end_of_many_sessions_is_given_up() -> None:
    for logins, action in ((MOST_LOGINS - 1, Action.RELOGIN), (MOST_LOGINS, Action.RAISE_EXPIRED)):
        attempt = Attempt(WRITE, logins=logins)
        error = vim25.NotAuthenticated()
        made = decide(error, attempt, POLICY, Budget(POLICY), random.random)
        assert made.action is action


def test_sends_end_at_the_policy_s_number() -> None:
    for sends, action in ((1, Action.RESEND), (2, Action.RESEND), (3, Action.RAISE)):
        decision = decide(LOST, Attempt(READ, sends=sends), POLICY, Budget(POLICY), random.random)
        assert decision.action is action
    assert (
        decide(LOST, Attempt(WRITE, sends=1), POLICY, Budget(POLICY), random.random).action
        is Action.RAISE_UNKNOWN
    )
    once = RetryPolicy(attempts=1)
    assert decide(LOST, Attempt(READ), once, Budget(once), random.random).action is Action.RAISE


def test_the_budget_is_taken_and_refilled() -> None:
    policy = RetryPolicy(budget=2, refill=0.5)
    budget = Budget(policy)
    taken = [decide(LOST, Attempt(READ), policy, budget, random.random).action for _ in range(3)]
    assert taken == [Action.RESEND, Action.RESEND, Action.RAISE]
    budget.success()
    assert not budget.take()
    budget.success()
    assert budget.take()
    for _ in range(100):
        budget.success()
    assert budget.left == 2


def test_retry_after_is_a_least_wait() -> None:
    decision = decide(
        status(503, "unknown", True, 20), Attempt(READ), POLICY, Budget(POLICY), lambda: 0.5
    )
    assert decision.delay == 20


@given(st.integers(1, 50), st.floats(0, 1, exclude_max=True))
def test_pauses_grow_jitter_and_end(repeat: int, chance: float) -> None:
    backoff = Backoff()
    pause = backoff.delay(repeat, lambda: chance)
    ceiling = min(backoff.longest, backoff.first * backoff.factor ** (repeat - 1))
    assert ceiling * 0.1 <= pause <= ceiling


@pytest.mark.parametrize("bad", [{"first": 0}, {"factor": 0.5}, {"first": 3, "longest": 2}])
def test_a_backoff_that_cannot_be(bad: dict[str, float]) -> None:
    with pytest.raises(UsageError):
        Backoff(**bad)


@pytest.mark.parametrize("bad", [{"attempts": 0}, {"budget": -1}, {"refill": -1}])
def test_a_policy_that_cannot_be(bad: dict[str, int]) -> None:
    with pytest.raises(UsageError):
        RetryPolicy(**bad)  # type: ignore[arg-type]


# -- the list of read-only methods ----------------------------------------------------------------

BINDING = vim25.ServiceInstance._binding_
CHANGING = ("Create", "Add", "Remove", "Delete", "Destroy", "Set", "Update", "Reconfig", "Power", "Move",
            "Copy", "Rename", "Register", "Unregister", "Login", "Logout", "Enable", "Disable", "Start",
            "Stop", "Acquire", "Export", "Import", "Apply", "Reset", "Revert", "Attach", "Detach",
            "Generate", "Mount", "Unmount", "Post", "Assign", "Rewind", "Continue", "Open", "Terminate",
            "Read", "Validate", "Test", "Select", "Refresh", "Scan", "Rescan", "Clone", "Exit", "Enter")  # fmt: skip
# They read, by what the API says of them; each was looked at.
LOOKED_AT = {"ReadEnvironmentVariableInGuest"}


def test_every_name_is_a_method_of_the_api() -> None:
    assert set(BINDING.method_names()) >= READ_ONLY


def test_no_name_begins_with_a_verb_that_changes() -> None:
    assert {name for name in READ_ONLY if name.startswith(CHANGING)} <= LOOKED_AT


def test_tasks_are_searches_only() -> None:
    assert {name for name in READ_ONLY if name.endswith("_Task")} == {
        "SearchDatastore_Task",
        "SearchDatastoreSubFolders_Task",
    }


@pytest.mark.parametrize(
    "name",
    ["ReadNextEvents", "ReadPreviousEvents", "ReadNextTasks", "ContinueRetrievePropertiesEx", "QueryNext",
     "ExportVm", "Login", "Logout", "CreateFilter", "CreateContainerView", "AcquireGenericServiceTicket",
     "HttpNfcLeaseProgress", "AcquireMksTicket", "CreatePropertyCollector", "MarkAsTemplate"],
)  # fmt: skip
def test_traps_are_not_on_the_list(name: str) -> None:
    assert name in set(BINDING.method_names())
    assert name not in READ_ONLY


def test_none_of_them_returns_an_object_that_must_be_given_back() -> None:
    """A read that made a view, a filter or a lease would leave one behind when it is sent again."""
    temporary = {"HttpNfcLease", "PropertyFilter", "PropertyCollector", "ContainerView", "ListView",
                 "InventoryView", "EventHistoryCollector", "TaskHistoryCollector"}  # fmt: skip
    for name in READ_ONLY:
        method = BINDING.method(name)
        assert method is not None
        assert method.returns is None or method.returns.referent not in temporary, name


def test_a_document_is_read_whatever_its_name() -> None:
    attempt = Attempt("vimServiceVersions.xml", reads=True)
    decision = decide(LOST, attempt, POLICY, Budget(POLICY), lambda: 0.5)
    assert decision.action is Action.RESEND
