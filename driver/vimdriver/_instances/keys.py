"""Keystrokes into a machine's console (`PutUsbScanCodes`, API 6.5), for a guest without tools."""

from __future__ import annotations

from typing import Any, Final

from vimdriver._instances.machine import claim
from vimdriver._verbs import Host, Plan, Run, Step, verb
from vimdriver.errors import InstanceStateError
from vimlib import vim25
from vimlib._text import printable
from vimlib.errors import HostStateError, UsageError, VersionError
from vimlib.model import parse_version

_SINCE: Final = "6.5"
# Codes of the HID usage page 7, keyboard; the layout of the guest must be US.
_PLAIN: Final = {
    **{chr(ord("a") + n): 0x04 + n for n in range(26)},
    **{"1234567890"[n]: 0x1E + n for n in range(10)},
    "\n": 0x28, "\t": 0x2B, " ": 0x2C, "-": 0x2D, "=": 0x2E, "[": 0x2F, "]": 0x30, "\\": 0x31,
    ";": 0x33, "'": 0x34, "`": 0x35, ",": 0x36, ".": 0x37, "/": 0x38,
}  # fmt: skip
_SHIFTED: Final = {
    **{chr(ord("A") + n): 0x04 + n for n in range(26)},
    **{"!@#$%^&*()"[n]: 0x1E + n for n in range(10)},
    "_": 0x2D, "+": 0x2E, "{": 0x2F, "}": 0x30, "|": 0x31, ":": 0x33, '"': 0x34, "~": 0x35,
    "<": 0x36, ">": 0x37, "?": 0x38,
}  # fmt: skip
_NAMED: Final = {
    "enter": 0x28, "esc": 0x29, "backspace": 0x2A, "tab": 0x2B, "space": 0x2C, "capslock": 0x39,
    **{f"f{n}": 0x39 + n for n in range(1, 13)},
    "insert": 0x49, "home": 0x4A, "pageup": 0x4B, "delete": 0x4C, "end": 0x4D, "pagedown": 0x4E,
    "right": 0x4F, "left": 0x50, "down": 0x51, "up": 0x52,
}  # fmt: skip
_MODIFIERS: Final = {
    "ctrl": "leftControl",
    "shift": "leftShift",
    "alt": "leftAlt",
    "win": "leftGui",
}


def text_events(text: str) -> list[vim25.UsbScanCodeSpecKeyEvent]:
    """Return the key events of a text on a US keyboard. No I/O. Raises `UsageError`."""
    found = []
    for character in text:
        if character in _PLAIN:
            found.append(_event(_PLAIN[character]))
        elif character in _SHIFTED:
            found.append(_event(_SHIFTED[character], "leftShift"))
        else:
            raise UsageError(
                f"text must have characters of a US keyboard only, got {printable(character)!r}",
                field="text",
            )
    return found


def key_event(name: str) -> vim25.UsbScanCodeSpecKeyEvent:
    """Return the event of a key by name, as `ctrl+alt+delete`. No I/O. Raises `UsageError`."""
    *modifiers, key = name.casefold().split("+")
    code = _NAMED.get(key) or _PLAIN.get(key)
    unknown = [one for one in modifiers if one not in _MODIFIERS]
    if code is None or unknown:
        raise UsageError(
            f"keys must be names such as enter or ctrl+alt+delete, got {printable(name, 80)!r}",
            hint=f"Keys: {', '.join(_NAMED)}, letters and digits. Modifiers: {', '.join(_MODIFIERS)}.",
            field="keys",
        )
    return _event(code, *(_MODIFIERS[one] for one in modifiers))


def _event(code: int, *modifiers: str) -> vim25.UsbScanCodeSpecKeyEvent:
    held: dict[str, Any] = dict.fromkeys(modifiers, True)
    return vim25.UsbScanCodeSpecKeyEvent(
        usbHidCode=code << 16 | 7,
        modifiers=vim25.UsbScanCodeSpecModifierType(**held) if held else None,
    )


class KeysSent(int):
    """The number of keys that the host took."""

    def to_json(self) -> dict[str, int]:
        """Return what `vimctl instance keys --json` prints."""
        return {"keys": int(self)}


@verb
async def send_keys(
    host: Host, ref: str, text: str = "", *, keys: tuple[str, ...] = (), foreign: bool = False
) -> Plan[KeysSent]:
    """Type a text into a machine's console, then press keys (`PutUsbScanCodes`).

    The guest must have a US keyboard. If the answer is lost, it is not known whether they were
    typed. Cancelling waits for the call.

    Args:
        ref: uuid, name or moref's value.
        text: Characters of a US keyboard; a line feed is Enter.
        keys: Names such as enter, f2 or ctrl+alt+delete; may be repeated.
        foreign: Act on a machine of another owner too.

    Raises:
        UsageError: Neither text nor keys, or one that the keyboard does not have.
        VersionError: The host is older than API 6.5.
        NotFoundError: The machine does not exist.
        ForeignInstanceError: Another made the machine, and `foreign` is false.
        InstanceStateError: It is not running.
        HostStateError: The host took only a part of them.
    """
    events = [*text_events(text), *map(key_event, keys)]
    if not events:
        raise UsageError("text or keys must be given, got neither", field="text")
    if parse_version(host.client.api_version) < parse_version(_SINCE):
        raise VersionError(
            f"keystrokes need API {_SINCE}, {host.client.host} has {host.client.api_version}",
            hint="Use the console instead.",
            item="PutUsbScanCodes",
            needs=_SINCE,
            speaks=host.client.api_version,
        )
    vm = (await claim(host, ref, foreign=foreign)).obj

    def refused(run: Run, fault: vim25.MethodFault) -> int:
        if not isinstance(fault, vim25.InvalidPowerState):
            raise fault
        raise InstanceStateError(
            name=ref, state=str(fault.existingState), needed="poweredOn"
        ) from None

    typed = Step[int](
        title=f"press {len(events)} keys (PutUsbScanCodes)",
        call=lambda run: vm.PutUsbScanCodes(vim25.UsbScanCodeSpec(keyEvents=events)),
        refused=refused,
    )

    async def result(run: Run) -> KeysSent:
        if run[typed] != len(events):
            raise HostStateError(
                f"the host took {run[typed]} of {len(events)} keys",
                state="busy",
                outcome="applied",
                hint="Check the console, then send the rest.",
            )
        return KeysSent(run[typed])

    return Plan(f"type into {ref}", (typed,), result)
