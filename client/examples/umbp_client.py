#!/usr/bin/env python3
"""A client of umbp with pyzmq and cbor2 alone, written from doc/protocol.md and proto/umbp.cddl.

    pool = Client("tcp://127.0.0.1:7710")
    pool.put({"prefix-17": b"bytes"})           # {"prefix-17": True}; False: it was there already
    pool.get(["prefix-17", "other"])            # {"prefix-17": b"bytes", "other": None}

A call is one message of at most 4096 keys and 64 KiB of blocks. With the xxhash package it sums
what it puts and compares what it gets; without, the node sums, and what comes is trusted. A call
ends within its timeout, and raises RuntimeError (status, ...) unless all outcomes are known.
"""
import itertools
import os
import struct
import sys
import time

import cbor2
import zmq

try:
    from xxhash import xxh3_64_intdigest as digest
except ImportError:
    digest = None

EPROTO, ENOENT, EAGAIN, EEXIST, ETIMEDOUT, EUNREACH, ECHECKSUM = -1, -2, -3, -6, -8, -9, -12
OK, PUT, GET, EXISTS, REMOVE, WHERE, KV_REPORT, KV_MATCH = 1, 30, 32, 34, 36, 38, 90, 94
U16S, U32S, U64S, CODES = 69, 70, 71, {64: "B", 69: "H", 70: "I", 71: "Q", 72: "b"}
INLINE_MAX, NO_REF, ENDPOINT = 65536, 65535, "tcp://127.0.0.1:7710"


def array(tag, values):
    return cbor2.CBORTag(tag, struct.pack(f"<{len(values)}{CODES[tag]}", *values))


def numbers(tagged):
    return [number for number, in struct.iter_unpack("<" + CODES[tagged.tag], tagged.value)]


def column(items):
    items = [item.encode() if isinstance(item, str) else item for item in items]
    return [b"".join(items), array(U16S, [len(item) for item in items])]


def cut(data, sizes):
    return [data[end - size:end] for end, size in zip(itertools.accumulate(sizes), sizes)]


class Client:
    def __init__(self, endpoint=ENDPOINT, timeout=5.0):
        self.timeout, self.id = timeout, int.from_bytes(os.urandom(4), "little")
        self.socket = zmq.Context.instance().socket(zmq.DEALER)
        self.socket.linger, self.socket.sndtimeo = 0, int(timeout * 1000)
        self.socket.connect(endpoint)

    def ask(self, actor, kind, fields, payload=b"", timeout=None):
        """One question. Returns status, fields and payload of the answer."""
        timeout, self.id = timeout or self.timeout, self.id + 1
        message = cbor2.dumps({0: kind, 1: self.id, 2: int(timeout * 1000) or 1, **fields})
        self.socket.send_multipart([actor.encode(), b"", message] + [payload] * bool(payload))
        end = time.monotonic() + timeout + 0.25          # A moment for the way
        while self.socket.poll(max(0, int((end - time.monotonic()) * 1000))):
            frames = self.socket.recv_multipart()
            answer = cbor2.loads(frames[2])
            if answer[1] == self.id:                     # Else it is too late for its question
                status = 0 if answer[0] in (OK, kind + 1) else EPROTO
                return answer.get(3, status), answer, b"".join(frames[3:])
        return ETIMEDOUT, {}, b""

    def _each(self, kind, keys, fine, fields, payload=lambda keys: b"", judge=None):
        """{key: value}, True for a status of fine[0]. What may pass is tried until time is over."""
        judge = judge or (lambda answer, _: [(it, it == fine[0]) for it in numbers(answer[4])])
        found, todo, end, pause = {}, list(keys), time.monotonic() + self.timeout, 0.005
        while todo and (left := end - time.monotonic()) > 0:
            status, answer, data = self.ask("router", kind, fields(todo), payload(todo), left)
            said = [(status, answer.get(4))] * len(todo) if status else judge(answer, data)
            found.update(zip(todo, said))
            todo = [key for key in todo if found[key][0] in (EAGAIN, EUNREACH)]
            time.sleep((pause := pause * 2) if todo else 0)
        for key, (status, why) in found.items():
            if status not in fine:
                raise RuntimeError(status, key, why)
        return {key: value for key, (_, value) in found.items()}

    def put(self, blocks):
        def fields(keys):
            data = [blocks[key] for key in keys]
            sums = {7: array(U64S, [digest(block) for block in data])} if digest else {}
            return {5: column(keys), 6: array(U32S, [len(block) for block in data]), **sums}
        return self._each(PUT, blocks, (0, EEXIST), fields,
                          lambda keys: b"".join(blocks[key] for key in keys))

    def get(self, keys):
        def judge(answer, data):
            statuses, refs, sizes, sums = (numbers(answer[field]) for field in (4, 5, 6, 7))
            blocks = cut(data, [size if ref == NO_REF else 0 for ref, size in zip(refs, sizes)])
            for status, size, total, block in zip(statuses, sizes, sums, blocks):
                if not status and (len(block) != size or digest and digest(block) != total):
                    status = ECHECKSUM
                yield status, None if status else block
        return self._each(GET, keys, (0, ENOENT), lambda keys: {5: column(keys), 6: INLINE_MAX},
                          judge=judge)

    def exists(self, keys):
        return self._each(EXISTS, keys, (1, 0), lambda keys: {4: column(keys)})

    def remove(self, keys):
        return self._each(REMOVE, keys, (0, ENOENT), lambda keys: {4: column(keys)})

    def advise(self, keys, cold=False):
        """They will be read soon, or never again. {key: whether some node has it}"""
        return self._each(WHERE, keys, (0, ENOENT),
                          lambda keys: {4: column(keys), 5: 2 if cold else 1})

    def report(self, engine, tier, hashes):
        if status := self.ask("extkv", KV_REPORT, {4: engine, 6: tier, 7: column(hashes)})[0]:
            raise RuntimeError(status, engine)

    def match(self, hashes):
        """[(engine, tier, [hash])], and how many nodes did not answer in time"""
        status, answer, _ = self.ask("extkv", KV_MATCH, {4: column(hashes)})
        if status:
            raise RuntimeError(status, answer.get(4))
        engines = cut(answer[4][0], numbers(answer[4][1]))
        refs, tiers, counts, matches = (numbers(answer[field]) for field in (6, 7, 8, 9))
        return [(engines[ref].decode(), tier, [hashes[number] for number in held])
                for ref, tier, held in zip(refs, tiers, cut(matches, counts))], answer[11]


def main(command="", *words):
    pool = Client(os.environ.get("UMBP_ENDPOINTS", ENDPOINT).split(",")[0])
    if command == "put" and len(words) == 2:
        print("stored" if pool.put({words[0]: words[1].encode()})[words[0]] else "was there")
    elif command == "get" and len(words) == 1:
        return sys.stdout.buffer.write(pool.get(words)[words[0]] or b"") == 0
    elif command in ("exists", "remove", "need", "cold") and words:
        found = (pool.advise(words, command == "cold") if command in ("need", "cold")
                 else getattr(pool, command)(words))
        print(*(f"{key} {'yes' if value else 'no'}" for key, value in found.items()), sep="\n")
        return not all(found.values())
    elif command == "report" and len(words) > 2:
        pool.report(words[0], int(words[1]), words[2:])
    elif command == "match" and words:
        for engine, tier, held in pool.match(words)[0]:
            print(f"{engine} tier {tier}: {' '.join(held)}")
    else:
        return ("put KEY TEXT | get KEY | (exists|remove|need|cold|match) KEY... | "
                "report ENGINE TIER KEY...")


if __name__ == "__main__":
    try:
        sys.exit(main(*sys.argv[1:]))                    # 1: it is not there
    except RuntimeError as error:
        print("umbp error:", *error.args, file=sys.stderr)
        sys.exit(2)
