"""test/chaos/garbage.py - says nonsense to whatever listens: random bytes, broken and hostile
beginnings of ZeroMQ's protocol, whole connections whose messages are no messages, datagrams.

    garbage.py SEED SECONDS tcp:HOST:PORT|udp:HOST:PORT|door:PATH...
"""
import random
import socket
import struct
import sys
import time

GREETING = b"\xff" + bytes (8) + b"\x7f\x03\x00" + b"NULL".ljust (20, b"\0") + bytes (32)


def frame (body, more=False):
    if len (body) < 256:
        return bytes ([more, len (body)]) + body
    return bytes ([more | 2]) + struct.pack (">Q", len (body)) + body


def ready (kind):
    body = b"\x05READY\x0bSocket-Type" + struct.pack (">I", len (kind)) + kind \
        + b"\x08Identity" + bytes (4)
    return bytes ([4, len (body)]) + body


#  Whoever reaches a port may remove blocks. Nonsense must not by chance be one of these requests,
#  some of which have no fields: remove, clear, and what is said to tier managers
MEANINGFUL = {36, 40} | set (range (60, 90))
HARMLESS = [number for number in range (24, 120) if number not in MEANINGFUL]


def cbor (dice):
    """Something that begins like a message"""
    head = bytes ([0xa0 | dice.randrange (24), 0, 0x18, dice.choice (HARMLESS), 1])
    return head + dice.choice ([b"\x1b", b"\x5b", b"\x9b", b"\xbb", b"\xdb"]) + dice.randbytes (
        dice.choice ([0, 7, 8, 40, 4000]))


def nonsense (dice):
    whole = GREETING + ready (dice.choice ([b"DEALER", b"ROUTER", b"PUB", b"X" * 40]))
    actors = [b"", b"router", b"index", b"registry", b"tier:dram", b"x" * 300]
    address = frame (dice.choice (actors), True)
    return dice.choice ([
        lambda: dice.randbytes (dice.randrange (1, 5000)),
        lambda: b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        lambda: GREETING[:dice.randrange (1, 64)],
        lambda: GREETING + dice.randbytes (100),
        lambda: whole + bytes ([2]) + struct.pack (">Q", 1 << dice.randrange (20, 63)) + bytes (99),
        lambda: whole + b"".join (frame (dice.randbytes (dice.randrange (300)), dice.random () < .7)
                                  for _ in range (20)),
        lambda: whole + b"".join (address + frame (b"", True) + frame (cbor (dice))
                                  for _ in range (20)),
        lambda: whole + b"".join (address + frame (cbor (dice)) for _ in range (20)),
    ]) ()


def speak (dice, target, kept):
    kind, where = target.split (":", 1)
    if kind == "door":
        with socket.socket (socket.AF_UNIX, socket.SOCK_SEQPACKET) as sock:
            sock.settimeout (0.5)
            sock.connect (where)
            for _ in range (dice.randrange (1, 20)):
                sock.send (dice.choice ([cbor (dice), dice.randbytes (dice.randrange (1, 60000))]))
        return
    host, port = where.rsplit (":", 1)
    if kind == "udp":
        with socket.socket (socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.setsockopt (socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
            sock.sendto (dice.choice ([b"UMBP\x01", b""]) + dice.randbytes (dice.randrange (300)),
                         (host, int (port)))
        return
    sock = socket.create_connection ((host, int (port)), 0.5)
    sock.settimeout (0.5)
    sock.sendall (nonsense (dice))
    if dice.random () < 0.3:
        kept.append (sock)              # Says no more, and stays
    else:
        sock.close ()
    del kept[:-40]


def main ():
    dice, end, kept, said = random.Random (int (sys.argv[1])), float (sys.argv[2]), [], 0
    end += time.monotonic ()
    while time.monotonic () < end:
        try:
            speak (dice, dice.choice (sys.argv[3:]), kept)
            said += 1
        except OSError:
            pass                        # It closed the connection, and rightly so
        time.sleep (0.005)
    print (f"{said} times nonsense")


main ()
