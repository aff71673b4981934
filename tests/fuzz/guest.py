"""Mutated records for the guest helper: `python -m tests.fuzz.guest [--records N] [--seed S]`.

Each record is parsed and rendered for every back end. It must end in a configuration or in one of
the declared errors; every line of a file must be one that its back end may have; and in nova's form
a NIC with a good record keeps it, whatever the other records hold.
"""

from __future__ import annotations

import argparse
import base64
import gzip
import json
import random
import re
import sys
import time
from collections import Counter

from guest import vimguest
from tests.guest.test_records import BAD_DOCUMENTS, GRAMMAR, record, words_of
from tests.guest.tree import FULL, NOVA2

GOOD = "00:50:56:00:00:99;172.16.0.2;255.255.255.0;172.16.0.1;172.16.0.255;172.16.0.53#"
# For a record without a MAC address.
SOLE = "00:50:56:aa:bb:01"
TOKENS = [
    *";#&=:,/%\n\0\x1b {}[]\"'$`|\\",
    *"00:50:56:aa:bb:01 10.0.0.2 10.0.0.255 10.0.0.0 255.255.255.0 0.0.0.0 None ::1 fe80::1".split(),
    *"2001:db8::2/64 10.0.0.2/33 1e9 -1 null true v1: v2: base64: ip= mac= computerName= #####".split(),
    "\u0660", "\ud800", "post-up reboot", "x" * 300, "9" * 400,
]  # fmt: skip
PATTERNS = {name: re.compile(grammar) for name, grammar in GRAMMAR.items()}


def corpus(rng: random.Random) -> str:
    """A record to mutate."""
    kind = rng.randrange(8)
    if kind < 3:
        octet = rng.randrange(256)
        fields = {"ip": f"10.0.{octet}.2", "gateway": f"10.0.{octet}.{rng.randrange(256)}"}
        rows = [
            record(mac=f"00:50:56:00:00:{at:02x}", **fields) for at in range(rng.randrange(1, 5))
        ]
        return "".join(rows)
    if kind == 3:
        return NOVA2
    if kind == 4:
        return (
            "ip=10.0.0.2&netmask=255.255.255.0&gateway=10.0.0.1&dns1=10.0.0.53&computerName=web-1"
        )
    document = FULL[3:] if rng.random() < 0.7 else json.dumps(rng.choice(BAD_DOCUMENTS))
    if kind == 5:
        return "v1:" + document
    raw = mutated(rng, document).encode("utf-8", "replace")
    if kind == 6:
        return "v1:base64:" + base64.b64encode(raw).decode()
    return "v1:gzip+base64:" + base64.b64encode(gzip.compress(raw, 1)).decode()


def mutated(rng: random.Random, text: str) -> str:
    """The text with a few changes."""
    for _ in range(rng.choice((0, 1, 1, 1, 2, 3, 8))):
        at = rng.randrange(len(text) + 1)
        change = rng.randrange(5)
        if change == 0:
            text = text[:at] + rng.choice(TOKENS) + text[at:]
        elif change == 1:
            text = text[:at] + text[at + rng.randrange(1, 9) :]
        elif change == 2:
            text = text[:at] + chr(rng.randrange(256)) + text[at + 1 :]
        elif change == 3:
            end = min(len(text), at + rng.randrange(1, 40))
            text = text[:end] + text[at:end] + text[end:]
        else:
            text = text[:at] + rng.choice(TOKENS) + text[at + rng.randrange(1, 20) :]
    return text


def check(rng: random.Random, text: str) -> str:
    """Parse and render one record; the name of its result."""
    try:
        form, config = vimguest.parse(text)
    except vimguest.RefusedError as error:
        if not str(error).isprintable():
            raise AssertionError(ascii(str(error))) from error
        return type(error).__name__
    assert all(note.isprintable() for note in config.notes)
    nics, _ = vimguest.place_dns(config.nics)
    if rng.random() < 0.1:
        kept = vimguest.State(tuple(nic._replace(mac=nic.mac or SOLE) for nic in nics), {})
        # The next run reads it back.
        assert vimguest.State.unpack(kept.pack().data).nics == kept.nics
    bound = [
        vimguest.Bound(f"eth{at}", nic._replace(mac=nic.mac or SOLE))
        for at, nic in enumerate(nics)
        if not nic.silent
    ]
    for backend, pattern in PATTERNS.items() if bound else ():
        for name, file in vimguest.RENDER[backend](bound).items():
            assert vimguest.is_owned(name), name
            for line in file.data.decode("ascii").split("\n"):
                assert pattern.fullmatch(line), line
    if bound:
        (netplan,) = vimguest.RENDER["netplan"](bound).values()
        for word in words_of(json.loads(netplan.data)):
            assert re.fullmatch(r"[0-9A-Za-z.:/-]+", word), word
    if form == "nova" and rng.random() < 0.5 and len(nics) < vimguest.MAX_NICS - 1:
        both = vimguest.parse(GOOD + text)[1].nics
        assert both[0] == vimguest.parse(GOOD)[1].nics[0]
    return form


def main() -> int:
    """Run it; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=19)
    args = parser.parse_args()
    rng = random.Random(args.seed)
    found: Counter[str] = Counter()
    started = time.monotonic()
    for at in range(args.records):
        text = mutated(rng, corpus(rng))
        try:
            found[check(rng, text)] += 1
        except Exception:
            print(f"record {at} of seed {args.seed}: {text!a}", file=sys.stderr)
            raise
    seconds = time.monotonic() - started
    print(f"{args.records} records of seed {args.seed} in {seconds:.0f} s: {dict(found)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
