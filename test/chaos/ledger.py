"""test/chaos/ledger.py - what clients were promised, as their logs say, and what may be missing.

An acknowledged block may be missed only if it was being removed, or if each node that had it ended
(kill -9, restart) after the put, or evicted blocks and says so in its counter.
"""
import os

DONE = (0, -6)                          # Stored, or there already
GRACE = 15.0                            # "There already" may be the word of an index whose node has
                                        # just died: so long until everybody knows


class Entry:
    def __init__ (self, begun, ended, already):
        self.begun, self.ended, self.already = begun, ended, already
        self.owners = None


class Ledger:
    def __init__ (self):
        self.logs = {}                  # Path -> how far it was read, the client
        self.acked = {}                 # Key -> Entry
        self.last = {}                  # The same by log: whose word on where it is belongs to it
        self.tried = set ()             # Keys of puts, whatever came of them
        self.removing = set ()
        self.removed = {}               # Key -> when that was acknowledged
        self.outages = []               # Rounds in which nodes did not reach each other
        self.faults = []                # What must never be
        self.calls, self.errors, self.puts, self.longest = {}, {}, 0, {}

    def watch (self, path):
        self.logs[path] = 0

    def read (self):
        """Take what is new in the logs"""
        for path, offset in self.logs.items ():
            if not os.path.exists (path):
                continue
            with open (path, "rb") as log:
                log.seek (offset)
                text = log.read ()
            whole = text.rfind (b"\n") + 1
            self.logs[path] = offset + whole
            for line in text[:whole].decode (errors="replace").splitlines ():
                self.take (path, line.split ())

    def take (self, path, words):
        kind = words[0]
        if kind == "P":
            self.take_put (path, float (words[1]) / 1000, float (words[2]) / 1000, int (words[3]),
                           words[4])
        elif kind == "W":
            entry = self.last.get ((path, words[1]))
            if entry:
                entry.owners = set (words[2].split (","))
        elif kind == "R":
            self.removing.add (words[2])
            self.acked.pop (words[2], None)
        elif kind == "D" and words[2] == "0":
            self.removed[words[3]] = float (words[1]) / 1000
        elif kind == "X":
            self.faults.append (f"{os.path.basename (path)}: {' '.join (words[2:])}")
        elif kind == "M":
            call = " ".join (words[2:])
            self.longest[call] = max (self.longest.get (call, 0), int (words[1]))
        elif kind == "N":
            self.calls[path], self.errors[path] = int (words[1]), int (words[2])

    def take_put (self, path, begun, ended, status, key):
        self.tried.add (key)
        if status in DONE and begun >= self.removed.get (key, begun + 1):
            self.removing.discard (key)
            del self.removed[key]       # It is there again
        entry = self.acked.get (key)
        if status in DONE:
            self.puts += 1
        if status in DONE:
            self.last[(path, key)] = Entry (begun, ended, status != 0)
            if not entry or ended > entry.ended:
                self.acked[key] = self.last[(path, key)]

    def moved (self, node, where):
        """That node was drained: its blocks are where the index says now"""
        for key, entry in self.acked.items ():
            if entry.owners is None or node in entry.owners:
                entry.owners = set (where.get (key, (0, []))[1]) or None

    def was_parted (self, moment):
        return any (began <= moment <= ended for began, ended in self.outages)

    def may_be_lost (self, entry, nodes, evictions=None):
        """By the end of a node, or where it was by evictions {node: when it was seen to evict last}:
        None if not, else why"""
        since = entry.begun - (GRACE if entry.already else 0)
        dead = {node.name for node in nodes if node.kills and node.kills[-1] >= since}
        if entry.owners is None:
            return f"it was at an unknown node, and {sorted (dead)} ended" if dead else None
        left = {name for name, when in (evictions or {}).items () if when >= since}
        if not entry.owners <= dead | left:
            return None
        return f"{sorted (entry.owners)} ended" + (" or evicted" if left else "")
