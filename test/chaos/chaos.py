"""test/chaos/chaos.py - real nodes under load while things break, and whether what was promised is
kept: no wrong byte, no acknowledged block of a live node lost (but by eviction, which says so), no
call past its deadline, nothing leaked, and all nodes agree again.

    chaos.py [--seed N] [--seconds S] [--hosts N] [--discovery WAY] [--secure | --plain]
             [--only KIND,...] [--disks]

--disks: nodes have little memory, and a tier on disk which outlives them. Then blocks may come back with
a node; those of which a remove was answered while all nodes ran may not.

A round: some faults, drawn from the seed, overlap for some seconds; all of them end; the nodes
agree again within a deadline; then each block that was acknowledged is asked of every node. The
load goes on all the time. After the last round the clients end, and the books of every tier must
balance to the byte. The same seed draws the same faults; when they hit is up to the machine.
Ends with 0, or with 1 after saying what was wrong, the seed, and where the logs are.
"""
import argparse
from collections import Counter
import os
import random
import shutil
import signal
import sys
import time

import faults
from cases import SMALL
from cluster import BUILD, Cluster, Failure, enter, wait_until
from ledger import Ledger

FLAGS = SMALL + ["--cluster-heartbeat", "250ms", "--cluster-suspect", "1500ms", "--cluster-gone",
                 "5s", "--blocks-lease-ttl", "5s", "--blocks-slot-ttl", "8s"]
CAPACITY, PAGE = 32 << 20, 4096
DISKS = ["--dram-capacity", "4MiB", "--dram-region", "4MiB", "--nvme-capacity", "64MiB", "--nvme-segment",
         "4MiB", "--nvme-staging", "8MiB"]
DISK_WAYS = [["--nvme-write", write, "--nvme-durability", durability, "--nvme-engine", engine]
             for write in ("back", "through") for durability in ("relaxed", "strict")
             for engine in ("auto", "posix")]
DISK_LIVE = 40                          # Own blocks of a client: removes come often
PLACES_MAX = 4                          # Of a block, as a router tells them
TIERS = {"tier:dram": 2, "tier:nvme": 3}
CONVERGE_S = 90
DECIDED_S = 15                          # Which of two contents stays
MISS = -2
HELD_MAX = 10                           # Slots or leases of a client at once
SHARED = ("shared/", "dual/")           # Keys that many clients put


class Client:
    """chaos-load on a host. Each incarnation has keys of its own"""

    def __init__ (self, chaos, host, number, seed, *flags):
        self.chaos, self.host, self.number, self.seed = chaos, host, number, seed
        self.flags, self.generation, self.process = flags, 0, None
        self.start ()

    def start (self):
        self.generation += 1
        self.name = f"c{self.number}g{self.generation}"
        self.log = os.path.join (self.chaos.cluster.room, f"{self.name}.load")
        self.chaos.ledger.watch (self.log)
        self.process = self.host.popen (
            [f"{BUILD}/test/chaos-load", "--endpoint", self.host.endpoint, "--name", self.name,
             "--seed", str (self.seed + self.generation), "--log", self.log, *self.flags],
            os.path.join (self.chaos.cluster.room, "load.log"))

    def kill (self):
        self.process.kill ()
        self.process.wait ()
        self.process = None

    def check (self):
        status = self.process.poll () if self.process else None
        if status is not None:
            with open (self.log, encoding="utf8") as log:
                last = [line for line in log if line.startswith ("B ")][-1:]
            why = "a call did not end" if status == -signal.SIGALRM else f"status {status}"
            raise Failure (f"client {self.name} has ended: {why}; its last call: {last}")

    def finish (self):
        """The call under way ends by its deadline"""
        self.process.send_signal (signal.SIGTERM)
        status = self.process.wait (120)
        self.process = None
        if status != 0:
            raise Failure (f"client {self.name} ended with {status}: a call did not end?")


class Chaos:
    def __init__ (self, options):
        self.dice = random.Random (options.seed)
        self.options, self.ledger = options, Ledger ()
        discovery = options.discovery or self.dice.choice (["seeds", "gossip", "beacon"])
        if discovery == "beacon" and not os.environ.get ("UMBP_CHAOS_INSIDE"):
            discovery = "seeds"
        secure = self.dice.random () < 0.4 if options.secure is None else options.secure
        disks = DISKS + self.dice.choice (DISK_WAYS) if options.disks else []
        self.cluster = Cluster (options.hosts, *FLAGS, *disks, discovery=discovery, secure=secure,
                                disks=options.disks)
        self.counts = Counter ()
        self.clients, self.fillers, self.numbers = [], [], 0
        self.evicted, self.after, self.evictions, self.parted = {}, {}, {}, False
        self.present = {}               # Key of two contents -> when it was found last
        self.half_drained = []          # Nodes whose drain was taken back: some blocks have left them
        self.begun = time.monotonic ()

    def say (self, text):
        print (f"{time.monotonic () - self.begun:7.1f} s  {text}", flush=True)

    def count (self, what):
        self.counts[what] += 1

    #  Clients

    def new_client (self, host, seed, *flags):
        self.numbers += 1
        return Client (self, host, self.numbers, seed, *flags)

    def add_client (self, host, hold=0, tcp=False):
        flags = ["--pause", "25", "--hold", str (hold)] + (["--tcp"] if tcp else [])
        flags += ["--live", str (DISK_LIVE)] if self.cluster.disks else []
        client = self.new_client (host, self.dice.getrandbits (50), *flags)
        self.clients.append (client)
        return client

    def end_client (self, client):
        self.clients.remove (client)
        client.finish ()

    def clients_of (self, host):
        return [client for client in self.clients if client.host is host]

    def fill (self, host, seed):
        size = CAPACITY * len (self.cluster.hosts) * 3 // 2
        filler = self.new_client (host, seed, "--fill", str (size), "--timeout", "3000")
        self.fillers.append (filler)
        return filler

    #  Rounds

    def check (self):
        for node in self.cluster.nodes:
            node.check ()
        for client in self.clients:
            client.check ()

    def sleep (self, until):
        while time.monotonic () < until:
            self.check ()
            time.sleep (0.05)

    def break_things (self):
        """All faults of a round, each with its own beginning and end"""
        drawn = faults.draw (self, self.dice)
        events, start = [], time.monotonic ()
        for fault in drawn:
            begins = self.dice.uniform (0, 2)
            events += [(begins, 0, fault), (begins + fault.lasts, 1, fault)]
        for when, ends, fault in sorted (events, key=lambda event: event[:2]):
            self.sleep (start + when)
            self.say (f"{'end of' if ends else 'now'}: {fault}")
            fault.end () if ends else fault.begin ()
            self.parted |= fault.parts
            if ends:
                self.count (type (fault).__name__)

    def note_moved (self, node, through=None):
        """It was drained, or in part: what it had is where the index says now"""
        self.ledger.read ()
        keys = [key for key, entry in self.ledger.acked.items ()
                if entry.owners is None or node.name in entry.owners]
        self.ledger.moved (node.name, self.cluster.ask_keys (through or node, keys, "--where"))

    def note_half_drained (self):
        """Once more, now that everybody knows where everything is"""
        while self.half_drained:
            self.note_moved (self.half_drained.pop (), self.cluster.nodes[0])

    def count_evicted (self):
        """How many blocks each node evicted since this was asked last, or since it was started"""
        fresh = {}
        for node in self.cluster.nodes:
            count, ends = self.evicted_of (node), node.starts
            before, former = self.evicted.get (node.name, (0, 0))
            fresh[node.name] = count - (before if ends == former else 0)
            self.evicted[node.name] = (count, ends)
            if fresh[node.name] > 0:
                self.evictions[node.name] = time.monotonic ()
        return fresh

    @staticmethod
    def evicted_of (node):
        """Blocks that left it for want of room; not those that went to its disk"""
        if "tier:nvme" not in node.tiers:
            return node.stat ("tier:dram")["evicted"]
        dram = node.stat ("tier:dram")
        return dram["evicted_without_copy"] + dram["not_admitted"] + node.stat ("tier:nvme")["evicted"]

    def round (self, number):
        self.say (f"round {number}")
        began, self.parted = time.monotonic (), False
        self.break_things ()
        start = time.monotonic ()
        self.cluster.converge (CONVERGE_S)
        self.note_half_drained ()
        self.note_reach (began)
        took = time.monotonic () - start
        self.verify ()
        self.check_held ()
        self.say (f"round {number} is fine: {len (self.ledger.acked)} blocks through each node, "
                  f"agreed after {took:.1f} s")

    def note_reach (self, began):
        """Who cannot be reached brings along what was removed meanwhile: see umbp_remove"""
        if self.parted:
            self.ledger.outages.append ((began, time.monotonic ()))
        if self.cluster.disks:          # So does who is down. What was answered before, holds
            self.ledger.outages += [(down, time.monotonic ()) for node in self.cluster.nodes
                                    for down in node.downs if down >= began]

    #  What was promised

    def tell_faults (self):
        """What clients saw themselves"""
        if self.ledger.faults:
            raise Failure ("; ".join (self.ledger.faults[:5]))

    def ask_all (self, keys):
        """key -> what each node says of it"""
        said = {key: [] for key in keys}
        for node in self.cluster.nodes:
            flags = ["--tcp"] if self.dice.random () < 0.5 else []
            answers = self.cluster.ask_keys (node, keys, *flags)
            for key in keys:
                said[key].append (answers.get (key, "no answer"))
        return said

    def verify (self):
        self.ledger.read ()
        self.tell_faults ()
        before = self.count_evicted ()
        entries = dict (self.ledger.acked)
        removed = [key for key in self.ledger.removed if key not in entries][-200:]
        said = self.ask_all (list (entries) + removed)
        self.ask_again (said)
        #  What left after it was found in the last round counts for this one
        since = self.count_evicted ()
        evicted = {name: before[name] + since[name] + self.after.get (name, 0) for name in since}
        self.after = since
        self.ledger.read ()
        missing = self.judge (entries, said)
        self.judge_missing (missing, evicted)
        for key in removed:
            if set (said[key]) != {MISS} and self.ledger.was_parted (self.ledger.removed[key]):
                self.count ("(removed while a node was out of reach, and back with it)")
            elif set (said[key]) != {MISS}:
                raise Failure (f"{key} was removed, and is there: {said[key]}: {self.where (key)}, "
                               f"{time.monotonic () - self.ledger.removed[key]:.1f} s ago")
        self.tell_faults ()

    def ask_again (self, said):
        """Of keys on which nodes differ. Shared keys are put again at any time, and which of two
        contents stays is decided then; any block may have left between two answers"""
        for turn in range (DECIDED_S):
            odd = [key for key, words in said.items ()
                   if len (set (words)) > 1 and (turn == 0 or key.startswith ("dual/"))]
            if turn > 0 and odd:
                time.sleep (1)
            for key, words in self.ask_all (odd).items ():
                if key.startswith (SHARED) or set (words) == {MISS}:
                    said[key] = words

    def judge (self, entries, said):
        """Keys that nobody has"""
        missing, now = [], time.monotonic ()
        for key, entry in entries.items ():
            words = set (said[key])
            if key in self.ledger.removing or self.ledger.acked.get (key) is not entry:
                words.discard (MISS)                # Removed, or put again, meanwhile
            if words <= {0} or words == {"content 1"}:
                self.present[key] = now
                continue
            if words != {MISS}:
                raise Failure (f"{key}, put at {sorted (entry.owners or [])}: not the same through "
                               f"each node, or no answer: {said[key]}: {self.where (key)}")
            missing.append (key)
        return missing

    def where (self, key):
        return [self.cluster.ask_keys (node, [key], "--where").get (key)
                for node in self.cluster.nodes]

    def judge_missing (self, missing, evicted):
        """Each copy has to have ended with its node, or to have been evicted, now or before"""
        left, dead, apart = 0, 0, 0
        nodes = self.cluster.nodes + [host.node for host in self.cluster.gone]
        for key in missing:
            entry = self.ledger.acked.pop (key)
            if key.startswith ("dual/"):            # The content that stayed may be at another node
                entry.owners, entry.begun = None, max (entry.begun, self.present.get (key, 0))
            if self.ledger.may_be_lost (entry, nodes):
                dead += 1
            elif sum (evicted[name] for name in entry.owners or evicted if name in evicted) > 0:
                left += 1
            elif self.ledger.may_be_lost (entry, nodes, self.evictions):
                apart += 1
            else:
                raise Failure (f"{key} is lost. It was put {time.monotonic () - entry.ended:.1f} s "
                               f"ago at {sorted (entry.owners or ['?'])}, which lives; evicted "
                               f"since: {evicted}")
        if left > sum (evicted.values ()):
            raise Failure (f"{left} blocks are missing, and only {evicted} were evicted")
        if missing:
            self.say (f"{dead} blocks ended with their nodes, {left} were evicted ({evicted}), "
                      f"{apart} lost their copies one after the other")

    def check_held (self):
        """What clients hold is what they use just now: none has more than a batch under way"""
        most = HELD_MAX * (len (self.clients) + 1)
        for node in self.cluster.nodes:
            wait_until (f"{node.name} has at most {most} slots and leases", 60, lambda node=node: all (
                node.stat (tier)[held] <= most for held in ("slots", "leases") for tier in node.tiers))

    #  The end

    def accounts (self):
        """Clients are gone: nothing is held, and what is used is what is there"""
        for client in list (self.clients):
            self.end_client (client)
        self.cluster.converge (CONVERGE_S)
        self.verify ()
        held = ("slots", "leases", "doomed_blocks", "doors_open")
        for node in self.cluster.nodes:
            for tier in node.tiers:
                wait_until (f"{node.name}: {tier} is let go of {held}", 60, lambda node=node, tier=tier:
                            not any (map (node.stat (tier).get, held)))
        self.balance ()
        self.cluster.nodes[0].console ("clear", "--everywhere", "--yes", timeout="30s")
        for node in self.cluster.nodes:
            wait_until (f"{node.name} is empty", 60, lambda node=node: self.is_empty (node))
        self.say ("all is cleared: no page, slot, lease or index entry is left")

    @staticmethod
    def is_empty (node):
        tiers, index = [node.stat (tier) for tier in node.tiers], node.stat ("index")
        return not any (tier["used_bytes"] or tier["blocks"] for tier in tiers) \
            and index["entries"] == 0

    def balance (self):
        """Each tier against what the index knows of all keys that anybody ever put"""
        keys = set (self.ledger.tried)
        keys |= {f"shared/{number}" for number in range (120)}
        keys |= {f"dual/{number}" for number in range (24)}
        for path in self.ledger.logs:               # Of a put whose client died under it
            name = os.path.basename (path).removesuffix (".load")
            for kind in (name, "fill-" + name):
                numbers = [int (key.split ("/")[1]) for key in keys if key.startswith (kind + "/")]
                last = max (numbers, default=-1)
                keys |= {f"{kind}/{last + 1 + more}" for more in range (8)}
        self.wait_for_copies ()
        where = self.cluster.ask_keys (self.cluster.nodes[0], sorted (keys), "--where", "--tiers")
        for node in self.cluster.nodes:
            for tier in node.tiers:
                self.balance_tier (node, tier, where)
        self.say ("the books balance")

    def wait_for_copies (self):
        """What was read last may still be on its way between tiers"""
        def moves ():
            return [node.stat (tier)["puts"] for node in self.cluster.nodes for tier in node.tiers]
        before = None
        while self.cluster.disks and before != (before := moves ()):
            time.sleep (1)

    @staticmethod
    def balance_tier (node, name, where):
        tier = node.stat (name)
        here = f"{node.name}/{TIERS[name]}"
        sizes = [size for size, names in where.values () if here in names]
        used = sum ((size + PAGE - 1) // PAGE * PAGE + (PAGE if name == "tier:nvme" else 0)
                    for size in sizes)
        #  Of a block with so many copies more may be
        unsure = sum (len (names) >= PLACES_MAX and here not in names for _, names in where.values ())
        few, many = len (sizes), len (sizes) + unsure
        if not few <= tier["blocks"] <= many or (few == many and tier["used_bytes"] != used):
            raise Failure (f"{node.name}: {name}: {tier['blocks']} blocks in {tier['used_bytes']} "
                           f"bytes, but the index knows {len (sizes)} in {used}")
        if tier["puts"] + tier.get ("disk_recovered", 0) \
                != tier["blocks"] + tier["evicted"] + tier["dropped"] + tier["moved_blocks"]:
            raise Failure (f"{node.name}: {name}: blocks came and went uncounted: {tier}")

    def run (self):
        self.say (f"seed {self.options.seed}: {len (self.cluster.hosts)} nodes on "
                  f"{'hosts' if self.cluster.isolated else 'loopback'}, found by "
                  f"{self.cluster.discovery}{', with certificates' if self.cluster.certs else ''}"
                  f"{', with disks: ' + ' '.join (self.cluster.flags[-6:]) if self.cluster.disks else ''}")
        self.cluster.start ()
        for host in self.cluster.hosts:
            self.add_client (host)
        for host in self.cluster.hosts[:2]:
            self.add_client (host, tcp=True)
        self.sleep (time.monotonic () + 1)
        number = 0
        while number == 0 or time.monotonic () < self.begun + self.options.seconds:
            number += 1
            self.round (number)
        self.accounts ()
        self.cluster.finish ()
        calls, errors = (sum (each.values ()) for each in (self.ledger.calls, self.ledger.errors))
        self.say ("faults: " + ", ".join (f"{name} {count}" for name, count
                                          in sorted (self.counts.items ())))
        self.say ("longest calls, ms: " + ", ".join (
            f"{call} {took}" for call, took in sorted (self.ledger.longest.items ())))
        self.say (f"done: {number} rounds, {calls} calls of which {errors} blocks met an error, "
                  f"{self.ledger.puts} puts acknowledged")

    def destroy (self):
        for client in self.clients + self.fillers:
            if client.process:
                client.process.kill ()
                client.process.wait ()
        self.cluster.destroy ()


def main ():
    parser = argparse.ArgumentParser (description=__doc__.split ("\n")[0])
    parser.add_argument ("--seed", type=int, default=random.SystemRandom ().getrandbits (32))
    parser.add_argument ("--seconds", type=float, default=60)
    parser.add_argument ("--hosts", type=int, default=4)
    parser.add_argument ("--discovery", choices=["seeds", "gossip", "beacon"])
    parser.add_argument ("--secure", dest="secure", action="store_true", default=None,
                         help="with certificates; else the dice say")
    parser.add_argument ("--plain", dest="secure", action="store_false")
    parser.add_argument ("--disks", action="store_true", help="little memory, and a tier on disk")
    parser.add_argument ("--only", help="kinds of faults, like Kill,Split")
    options = parser.parse_args ()
    if "--seed" not in " ".join (sys.argv):
        sys.argv += ["--seed", str (options.seed)]
    enter ()
    if options.only:
        faults.ALL[:] = [kind for kind in faults.ALL if kind.__name__ in options.only.split (",")]
    chaos = Chaos (options)
    try:
        chaos.run ()
    except (Failure, OSError) as failure:
        chaos.cluster.tell_logs ()
        kept = f"/tmp/umbp-chaos-{options.seed}"
        shutil.rmtree (kept, ignore_errors=True)
        shutil.copytree (chaos.cluster.room, kept, ignore=shutil.ignore_patterns ("*.sock", "full", "umbp.log"))
        chaos.say (f"FAILED: {failure}")
        print (f"the same again: make chaos SEED={options.seed}; logs: {kept}")
        return 1
    finally:
        chaos.destroy ()
    return 0


if __name__ == "__main__":
    sys.exit (main ())
