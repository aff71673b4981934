"""A DHCP server (RFC 2131) of one lease, for the far end of a guest's NIC: `dhcpd.py NIC`."""

import socket
import struct
import sys

OFFER, ACK, DISCOVER, REQUEST = 2, 5, 1, 3
SERVER = socket.inet_aton("10.5.0.1")
LEASE = socket.inet_aton("10.5.0.77")
MASK = socket.inet_aton("255.255.255.0")
COOKIE = b"\x63\x82\x53\x63"


def kind_of(packet: bytes) -> int:
    """The message type of a client's packet, 0 where it has none."""
    options, at = packet[240:], 0
    while at + 2 < len(options) and options[at] != 255:
        if options[at] == 0:
            at += 1
        elif options[at] == 53:
            return options[at + 2]
        else:
            at += 2 + options[at + 1]
    return 0


def answer(packet: bytes, kind: int) -> bytes:
    """What the server says to it."""
    head = struct.pack("!BBBB", 2, 1, 6, 0) + packet[4:8] + struct.pack("!HH", 0, 0x8000)
    head += bytes(4) + LEASE + SERVER + bytes(4) + packet[28:44] + bytes(192)
    options = [(53, bytes([kind])), (54, SERVER), (51, struct.pack("!I", 3600)), (1, MASK)]
    options.append((3, SERVER))
    body = b"".join(bytes([code, len(value)]) + value for code, value in options)
    return head + COOKIE + body + b"\xff"


def main(nic: str) -> None:
    """Answer for ever."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        server.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, nic.encode() + b"\0")
        server.bind(("", 67))
        while True:
            packet = server.recv(4096)
            kind = {DISCOVER: OFFER, REQUEST: ACK}.get(kind_of(packet))
            if kind is not None:
                server.sendto(answer(packet, kind), ("255.255.255.255", 68))


if __name__ == "__main__":
    main(sys.argv[1])
