"""test/chaos/check_ledger.py - whether those who judge a chaos run see what must never be: each case is
a client's log, what the nodes say afterwards, and what has to be said of it."""
import os
import sys
import tempfile
import time

import chaos
from cluster import Failure
from ledger import Ledger

MISS = chaos.MISS
chaos.DECIDED_S = 1


class Node:
    def __init__ (self, name, kills=()):
        self.name, self.kills = name, list (kills)


class Cluster:
    gone = []

    def __init__ (self, kills):
        self.nodes = [Node (name, kills.get (name, [])) for name in ("a", "b")]


class Judge (chaos.Chaos):
    """A run without hosts, whose nodes say what they are told to"""

    def __init__ (self, lines, said, evicted=0, kills=None, outages=()):
        self.ledger, self.cluster, self.said = Ledger (), Cluster (kills or {}), said
        self.counts, self.after, self.evictions, self.present = chaos.Counter (), {}, {}, {}
        self.left, self.begun = {"a": evicted, "b": 0}, time.monotonic ()
        with tempfile.NamedTemporaryFile ("w", suffix=".load", delete=False) as log:
            log.write ("".join (line + "\n" for line in lines))
        self.ledger.watch (log.name)
        self.ledger.outages += outages

    def count_evicted (self):
        now, self.left = self.left, {"a": 0, "b": 0}
        if now["a"]:
            self.evictions["a"] = time.monotonic ()
        return now

    def ask_all (self, keys):
        return {key: [self.said.get (key, MISS)] * 2 if not isinstance (self.said.get (key), list)
                else self.said[key] for key in keys}

    def where (self, key):
        return []

    def say (self, text):
        pass


def put (key, *owners, when=1000.0, status=0):
    ms = int (when * 1000)
    return [f"P {ms} {ms + 1} {status} {key}"] + ([f"W {key} {','.join (owners)}"] if owners else [])


GONE = ["R 1001000 k", "D 1001001 0 k"]
#  What, log, what nodes say, evicted at a, when nodes ended, what is wrong
#  The same with disks: who was down from when until when, and brought it along
RETURNS = [
    ("removed, then its node ended, and has it again", put ("k", "a") + GONE, {"k": 0},
     [(1001.5, 1009.0)], "was removed"),
    ("removed while a node was down, which has it again", put ("k", "a") + GONE, {"k": 0},
     [(1000.5, 1009.0)], None),
]
CASES = [
    ("it is there", put ("k", "a"), {"k": 0}, 0, {}, None),
    ("lost", put ("k", "a"), {}, 0, {}, "is lost"),
    ("lost, nobody knows where it was", put ("k"), {}, 0, {}, "is lost"),
    ("lost, there already", put ("k", "a", status=-6), {}, 0, {}, "is lost"),
    ("never acknowledged", put ("k", status=-7), {}, 0, {}, None),
    ("its node ended", put ("k", "a"), {}, 0, {"a": [1001.0]}, None),
    ("its node ended before", put ("k", "a"), {}, 0, {"a": [900.0]}, "is lost"),
    ("another node ended", put ("k", "a"), {}, 0, {"b": [1001.0]}, "is lost"),
    ("one of two ended", put ("k", "a", "b"), {}, 0, {"b": [1001.0]}, "is lost"),
    ("both ended", put ("k", "a", "b"), {}, 0, {"a": [1001.0], "b": [1001.0]}, None),
    ("evicted", put ("k", "a"), {}, 1, {}, None),
    ("evicted elsewhere", put ("k", "b"), {}, 1, {}, "is lost"),
    ("more than were evicted", put ("k", "a") + put ("l", "a"), {}, 1, {}, "only"),
    ("one node does not know it", put ("k", "a"), {"k": [0, MISS]}, 0, {}, "not the same"),
    ("wrong bytes", put ("k", "a"), {"k": "WRONG"}, 0, {}, "not the same"),
    ("no answer", put ("k", "a"), {"k": -8}, 0, {}, "not the same"),
    ("two contents", put ("dual/1", "a"), {"dual/1": [0, "content 1"]}, 0, {}, "not the same"),
    ("the second content", put ("dual/1", "a"), {"dual/1": "content 1"}, 0, {}, None),
    ("both contents lost", put ("dual/1", "a"), {}, 0, {"b": [900.0]}, "is lost"),
    ("both contents lost, a node ended", put ("dual/1", "a"), {}, 0, {"b": [1001.0]}, None),
    ("removed", put ("k", "a") + GONE, {}, 0, {}, None),
    ("removed, and there", put ("k", "a") + GONE, {"k": 0}, 0, {}, "was removed"),
    ("removed, and put again", put ("k", "a") + GONE + put ("k", "a", when=1002.0), {}, 0, {},
     "is lost"),
    ("a client saw wrong bytes", put ("k", "a") + ["X 1002000 WRONG get:k"], {"k": 0}, 0, {},
     "WRONG"),
    ("a client waited", put ("k", "a") + ["X 1002000 LATE get:9000ms"], {"k": 0}, 0, {}, "LATE"),
]


def main ():
    wrong = 0
    cases = [case + ((),) for case in CASES]
    cases += [case[:3] + (0, {}, case[4], case[3]) for case in RETURNS]
    for what, lines, said, evicted, kills, expected, outages in cases:
        judge = Judge (lines, said, evicted, kills, outages)
        try:
            judge.verify ()
            found = None
        except Failure as failure:
            found = str (failure)
        finally:
            for path in judge.ledger.logs:
                os.unlink (path)
        right = found is None if expected is None else found is not None and expected in found
        print (f"{'ok' if right else 'FAILED'}: {what}: {found}")
        wrong += not right
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit (main ())
