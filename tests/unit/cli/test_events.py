from __future__ import annotations

from tests.unit.soap.cases import reply
from vimdriver._cli.events import event_text
from vimdriver._cli.jsonio import to_json
from vimlib import vim25
from vimlib.soap import decode_response


def test_an_event_of_an_unknown_kind_is_shown_under_its_own_name() -> None:
    body = reply(
        "ReadNextEvents",
        '<returnval xsi:type="VmDreamed&#9;Event"><key>1</key><chainId>1</chainId>'
        "<createdTime>2026-01-02T03:04:05Z</createdTime><userName>root</userName>"
        "<fullFormattedMessage>of sheep</fullFormattedMessage><sheep>7</sheep></returnval>",
    )
    (event,) = decode_response(vim25.EventHistoryCollector.ReadNextEvents, body)
    assert "  VmDreamed\\tEvent  " in event_text(event)
    document = to_json(event)
    assert (document["_typeName"], document["sheep"]) == ("VmDreamed\tEvent", "7")
