"""Performance counters: ids, units and kinds are those of ESXi 6.5, 88 of its 340.

The id of a counter on a host is that of its group, a multiple of 65536, and a number within it. A host
shows no levels; those here are of ours, for QueryPerfCounterByLevel.
"""

from __future__ import annotations

from functools import cache
from typing import Any, Final, NamedTuple

from vimlib import vim25


class Counter(NamedTuple):
    """One counter."""

    key: int
    group: str
    name: str
    rollup: str
    stats: str
    unit: str
    level: int
    label: str

    def info(self) -> Any:
        """Return it as data."""
        return vim25.PerfCounterInfo(
            key=self.key,
            nameInfo=element(self.name, self.label),
            groupInfo=element(self.group, _GROUPS[self.group]),
            unitInfo=element(self.unit, _UNITS[self.unit]),
            rollupType=self.rollup,
            statsType=self.stats,
            level=self.level,
            perDeviceLevel=min(self.level + 2, 4),
        )


# Key, group, name, rollup, kind, unit, level, label.
_TABLE: Final = """\
1 cpu usage average rate percent 1 Usage
5 cpu usagemhz average rate megaHertz 1 Usage in MHz
9 cpu system summation delta millisecond 4 System
10 cpu wait summation delta millisecond 4 Wait
11 cpu ready summation delta millisecond 1 Ready
12 cpu used summation delta millisecond 3 Used
13 cpu idle summation delta millisecond 4 Idle
14 cpu swapwait summation delta millisecond 4 Swap wait
23 cpu totalCapacity average absolute megaHertz 4 Total capacity
24 cpu latency average rate percent 4 Latency
26 cpu demand average absolute megaHertz 4 Demand
27 cpu costop summation delta millisecond 4 Co-stop
28 cpu maxlimited summation delta millisecond 4 Max limited
29 cpu overlap summation delta millisecond 4 Overlap
30 cpu run summation delta millisecond 4 Run
32 cpu readiness average rate percent 4 Readiness
65537 mem usage average absolute percent 1 Host consumed %
65541 mem granted average absolute kiloBytes 2 Granted
65545 mem active average absolute kiloBytes 2 Active
65549 mem shared average absolute kiloBytes 4 Shared
65553 mem zero average absolute kiloBytes 4 Zero pages
65561 mem swapused average absolute kiloBytes 4 Swap consumed
65580 mem state latest absolute number 4 Free state
65582 mem vmmemctl average absolute kiloBytes 4 Ballooned memory
65586 mem overhead average absolute kiloBytes 1 Overhead consumed
65591 mem swapped average absolute kiloBytes 4 Swapped
65599 mem swapin average absolute kiloBytes 4 Swap in
65603 mem swapout average absolute kiloBytes 4 Swap out
65611 mem consumed average absolute kiloBytes 1 Consumed
65618 mem swapinRate average rate kiloBytesPerSecond 4 Swap in rate
65619 mem swapoutRate average rate kiloBytesPerSecond 4 Swap out rate
65621 mem compressed average absolute kiloBytes 4 Compressed
65625 mem totalCapacity average absolute megaBytes 4 Total reservation
65628 mem latency average absolute percent 4 Page-fault latency
131073 disk usage average rate kiloBytesPerSecond 1 Usage
131076 disk numberRead summation delta number 4 Read requests
131077 disk numberWrite summation delta number 4 Write requests
131078 disk read average rate kiloBytesPerSecond 2 Read rate
131079 disk write average rate kiloBytesPerSecond 2 Write rate
131080 disk commands summation delta number 4 Commands issued
131083 disk deviceReadLatency average absolute millisecond 4 Physical device read latency
131084 disk kernelReadLatency average absolute millisecond 4 Kernel read latency
131085 disk totalReadLatency average absolute millisecond 4 Read latency
131087 disk deviceWriteLatency average absolute millisecond 4 Physical device write latency
131088 disk kernelWriteLatency average absolute millisecond 4 Kernel write latency
131089 disk totalWriteLatency average absolute millisecond 4 Write latency
131095 disk maxTotalLatency latest absolute millisecond 4 Highest latency
131097 disk numberReadAveraged average rate number 4 Average read requests per second
131098 disk numberWriteAveraged average rate number 4 Average write requests per second
131099 disk commandsAveraged average rate number 4 Average commands issued per second
196609 net usage average rate kiloBytesPerSecond 1 Usage
196612 net packetsRx summation delta number 4 Packets received
196613 net packetsTx summation delta number 4 Packets transmitted
196614 net received average rate kiloBytesPerSecond 2 Data receive rate
196615 net transmitted average rate kiloBytesPerSecond 2 Data transmit rate
196616 net droppedRx summation delta number 4 Receive packets dropped
196617 net droppedTx summation delta number 4 Transmit packets dropped
196618 net bytesRx average rate kiloBytesPerSecond 4 Data receive rate
196619 net bytesTx average rate kiloBytesPerSecond 4 Data transmit rate
196620 net broadcastRx summation delta number 4 Broadcast receives
196621 net broadcastTx summation delta number 4 Broadcast transmits
196622 net multicastRx summation delta number 4 Multicast receives
196623 net multicastTx summation delta number 4 Multicast transmits
196624 net errorsRx summation delta number 4 Packet receive errors
196625 net errorsTx summation delta number 4 Packet transmit errors
262144 sys uptime latest absolute second 1 Uptime
262145 sys heartbeat latest absolute number 4 Heartbeat
262170 sys osUptime latest absolute second 4 OS Uptime
458752 storageAdapter commandsAveraged average rate number 4 Average commands issued per second
458753 storageAdapter numberReadAveraged average rate number 4 Average read requests per second
458754 storageAdapter numberWriteAveraged average rate number 4 Average write requests per second
458755 storageAdapter read average rate kiloBytesPerSecond 4 Read rate
458756 storageAdapter write average rate kiloBytesPerSecond 4 Write rate
589824 virtualDisk numberReadAveraged average rate number 4 Average read requests per second
589825 virtualDisk numberWriteAveraged average rate number 4 Average write requests per second
589826 virtualDisk read average rate kiloBytesPerSecond 4 Read rate
589827 virtualDisk write average rate kiloBytesPerSecond 4 Write rate
589828 virtualDisk totalReadLatency average absolute millisecond 4 Read latency
589829 virtualDisk totalWriteLatency average absolute millisecond 4 Write latency
655360 datastore numberReadAveraged average rate number 4 Average read requests per second
655361 datastore numberWriteAveraged average rate number 4 Average write requests per second
655362 datastore read average rate kiloBytesPerSecond 4 Read rate
655363 datastore write average rate kiloBytesPerSecond 4 Write rate
655364 datastore totalReadLatency average absolute millisecond 4 Read latency
655365 datastore totalWriteLatency average absolute millisecond 4 Write latency
720896 power power average rate watt 4 Usage
720897 power powerCap average absolute watt 4 Cap
720898 power energy summation delta joule 4 Energy usage
"""
_GROUPS: Final = {
    "cpu": "CPU",
    "mem": "Memory",
    "disk": "Disk",
    "net": "Network",
    "sys": "System",
    "storageAdapter": "Storage adapter",
    "virtualDisk": "Virtual disk",
    "datastore": "Datastore",
    "power": "Power",
}
_UNITS: Final = {
    "percent": "%",
    "megaHertz": "MHz",
    "millisecond": "ms",
    "kiloBytes": "KB",
    "megaBytes": "MB",
    "kiloBytesPerSecond": "KBps",
    "second": "s",
    "number": "num",
    "watt": "W",
    "joule": "J",
}


@cache
def counters() -> dict[int, Counter]:
    """Return the counters by key."""
    found = {}
    for line in _TABLE.splitlines():
        key, group, name, rollup, stats, unit, level, label = line.split(" ", 7)
        found[int(key)] = Counter(int(key), group, name, rollup, stats, unit, int(level), label)
    return found


def element(key: str, label: str) -> Any:
    """Return a word with its label."""
    return vim25.ElementDescription(label=label, summary=label, key=key)
