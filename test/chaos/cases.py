"""test/chaos/cases.py - one break at a time, and exactly what has to come of it.

    cases.py split WAY                      a LAN of two falls apart and heals
    cases.py blink WAY                      ... and heals before anybody is gone
    cases.py stopped [SECONDS]              a node stands still, and wakes
    cases.py killed                         each node of three ends without a word, in turn
    cases.py oneway                         frames go one way only
    cases.py deadline [plain|secure]        every call ends by its deadline, whatever becomes of
                                            its node or another
    cases.py clock                          wall clocks jump; a node is started in the past

WAY is how nodes find each other: gossip, seeds, beacon; etcd, which both sides reach all the time;
or etcd-far, from which one of them is cut off as well. Ends with 0; 77 where it cannot be tried; 1 with what was wrong.
"""
import os
import shutil
import subprocess
import sys
import time

from cluster import BUILD, Cluster, Failure, die_with_parent, enter, wait_until

SMALL = ["--dram-capacity", "32MiB", "--dram-region", "32MiB", "--dram-page", "4KiB",
         "--index-keys", "200000", "--extkv-hashes", "10000"]
QUICK = SMALL + ["--cluster-heartbeat", "200ms", "--cluster-suspect", "2s", "--cluster-gone", "5s"]
#  Where nobody is to be blamed: not for a busy machine either
CALM = SMALL + ["--cluster-heartbeat", "200ms", "--cluster-suspect", "6s", "--cluster-gone", "10s"]
PATIENT = SMALL + ["--cluster-heartbeat", "200ms", "--cluster-suspect", "1s", "--cluster-gone",
                   "5m"]


def expect (right, what):
    if not right:
        raise Failure (what)
    print (f"ok: {what}", flush=True)


def put (node, label, count=40):
    """Blocks of all sizes through that node; their keys. Each was acknowledged."""
    keys = [f"{label}/{number}" for number in range (count)]
    put_keys (node, keys)
    return keys


def put_keys (node, keys):
    said = Cluster.ask_keys (node, keys, "--put")
    wrong = {key: status for key, status in said.items () if status != 0}
    if len (said) != len (keys) or wrong:
        raise Failure (f"put through {node.name}: {wrong or 'no answer'}")


def has_all (node, keys, *flags):
    said = Cluster.ask_keys (node, keys, *flags)
    wrong = {key: said.get (key) for key in keys if said.get (key) != 0}
    if wrong:
        print (f"{node.name}: {len (wrong)} of {len (keys)} blocks: {list (wrong.items ())[:5]}")
    return not wrong


def expect_all (node, keys, what, *flags):
    expect (has_all (node, keys, *flags), f"{node.name} has {len (keys)} blocks: {what}")


def sees (node, *others, state="alive"):
    """Exactly itself and these, in that state"""
    seen = node.sees ()
    return set (seen) == {node.name} | {other.name for other in others} \
        and all (seen[other.name][0] == state for other in others)


def cut (cluster, far):
    """The second of two nodes is cut off: from the other, and, if far, from etcd too"""
    first, second = cluster.nodes
    if cluster.etcd and not far:
        cluster.deafen (first.host, second.host)
        cluster.deafen (second.host, first.host)
    else:
        cluster.split ([second.host])


def mend (cluster, far):
    first, second = cluster.nodes
    if cluster.etcd and not far:
        cluster.undeafen (first.host, second.host)
        cluster.undeafen (second.host, first.host)
    else:
        cluster.join ([second.host])
    cluster.converge ()
    rings = [node.console ("ring") for node in cluster.nodes]
    expect (rings[0] == rings[1] and rings[0]["topo_epoch"], "both have the same ring")


def expect_in_etcd (cluster, *nodes):
    names = [node.name for node in nodes]
    wait_until (f"etcd knows {names}", 60, lambda: cluster.etcd.names () == names)
    expect (True, f"etcd knows {names}")


def split (cluster, far=False):
    """Each side goes on alone with what it has; afterwards both have all"""
    first, second = cluster.nodes
    if cluster.etcd:
        expect_in_etcd (cluster, first, second)
    before = [put (first, "first"), put (second, "second")]
    epochs = first.sees ()
    cut (cluster, far)
    for node in cluster.nodes:
        wait_until (f"{node.name} is alone", 60, lambda node=node: sees (node))
        expect (True, f"{node.name} is alone")
    if cluster.etcd:                    # It proposes, and decides nothing
        expect_in_etcd (cluster, *([first] if far else [first, second]))
    expect_all (first, before[0], "its own, nobody else in reach")
    expect_all (second, before[1], "its own, nobody else in reach")
    during = [put (first, "during-1"), put (second, "during-2")]
    both = [f"both/{number}" for number in range (20)]
    put_keys (first, both)
    put_keys (second, both)
    mend (cluster, far)
    expect (first.sees () == epochs, "after the healing both see both, in the same incarnation")
    if cluster.etcd:
        expect_in_etcd (cluster, first, second)
    for node in cluster.nodes:
        expect_all (node, sum (before + during, both), "all of both sides", "--tcp")
        expect (node.stat ("tier:dram")["conflicts"] == 0, f"{node.name}: no conflict")


def blink (cluster, far=False):
    """A suspect is not gone: nothing is erased, nothing is told again"""
    first, second = cluster.nodes
    keys = [put (first, "first"), put (second, "second")]
    before = [node.stat ("tier:dram") for node in cluster.nodes]
    entries = [node.stat ("index")["entries"] for node in cluster.nodes]
    cut (cluster, far)
    for node, other in ((first, second), (second, first)):
        wait_until ("a suspect", 60, lambda node=node, other=other: sees (node, other,
                                                                          state="suspect"))
    expect (True, "each suspects the other")
    expect_all (first, keys[0], "its own")
    expect_all (second, keys[1], "its own")
    expect ([node.stat ("index")["entries"] for node in cluster.nodes] == entries,
            "no index entry was erased")
    during = [put (first, "during-1"), put (second, "during-2")]
    mend (cluster, far)
    for node, was in zip (cluster.nodes, before):
        now = node.stat ("tier:dram")
        expect (now["accounts"] == was["accounts"], f"{node.name} gave no full account again")
        expect_all (node, sum (keys + during, []), "all of both sides", "--tcp")
        expect (node.stat ("registry")["members_gone"] == 0, f"{node.name} gave nobody up")


def stopped (cluster, seconds=16):
    """Whoever slept blames nobody for it; the others take it back, with all its blocks"""
    sleeper, *others = cluster.nodes
    keys = {node: put (node, node.name) for node in cluster.nodes}
    epochs = sleeper.sees ()
    sleeper.stop ()
    start = time.monotonic ()
    for node in others:
        wait_until (f"{node.name} gives {sleeper.name} up", 60,
                    lambda node=node: sees (node, *[x for x in others if x is not node]))
    for node in others:
        for owner in others:
            expect_all (node, keys[owner], f"those of {owner.name}, while {sleeper.name} stands")
    time.sleep (max (0.0, seconds - (time.monotonic () - start)))    # Sleeping is what is tested
    sleeper.resume ()
    cluster.converge ()
    expect (sleeper.sees () == epochs, "all are back, in the same incarnation")
    stat = sleeper.stat ("registry")
    expect (stat["members_gone"] == 0, f"{sleeper.name} gave nobody up")
    expect (stat["stalled_ms"] >= seconds * 800, f"{sleeper.name} knows that it stood still")
    with open (sleeper.log, encoding="utf8") as log:
        blamed = [line for line in log if "suspect node=" in line or "gone node=" in line]
    expect (not blamed, f"{sleeper.name} suspected nobody {blamed}")
    for node in cluster.nodes:
        expect_all (node, sum (keys.values (), []), "all of everybody", "--tcp")


def killed (cluster):
    """What the others have is found all the time; who comes back is empty, and welcome"""
    for victim in cluster.nodes:
        others = [node for node in cluster.nodes if node is not victim]
        keys = {node: put (node, f"{victim.name}-dies/{node.name}") for node in cluster.nodes}
        victim.kill ()
        for node in others:
            for owner in others:
                expect_all (node, keys[owner], f"those of {owner.name}, {victim.name} just died")
        for node in others:
            wait_until (f"{node.name} gives {victim.name} up", 60,
                        lambda node=node: sees (node, *[x for x in others if x is not node]))
            for owner in others:
                expect_all (node, keys[owner], f"those of {owner.name}, {victim.name} is gone")
        victim.start ()
        cluster.converge ()
        expect (victim.stat ("tier:dram")["blocks"] == 0, f"{victim.name} is back, empty")
        for node in cluster.nodes:
            said = Cluster.ask_keys (node, keys[victim])
            expect (set (said.values ()) == {-2}, f"{node.name}: its lost blocks are a miss")
            for owner in others:
                expect_all (node, keys[owner], f"those of {owner.name}, {victim.name} is back")
        put_keys (victim, keys[victim])
        for node in cluster.nodes:
            expect_all (node, keys[victim], "what was lost and put again", "--tcp")


def oneway (cluster):
    """A node whose frames one other does not hear. Every call ends, nobody's block is erased"""
    first, second, third = cluster.nodes
    keys = {node: put (node, node.name) for node in cluster.nodes}
    epochs = {node: node.sees () for node in cluster.nodes}
    for mute, deaf in ((first, second), (second, first)):
        cluster.deafen (mute.host, deaf.host)
        wait_until (f"{deaf.name} misses {mute.name}", 90,
                    lambda mute=mute, deaf=deaf: mute.name not in deaf.sees ())
        expect (True, f"{deaf.name} misses {mute.name}, which it cannot hear")
        expect_all (third, keys[third], "its own")
        for node in cluster.nodes:
            expect_all (node, keys[node], f"its own, {mute.name} is not heard by {deaf.name}")
            start = time.monotonic ()
            Cluster.ask_keys (node, keys[first] + keys[second], "--timeout", "4000", "--once")
            took = time.monotonic () - start
            expect (took < 60, f"{node.name} answers all the same ({took:.1f} s)")
        new = {node: put (node, f"{mute.name}-mute/{node.name}") for node in cluster.nodes}
        cluster.undeafen (mute.host, deaf.host)
        cluster.converge ()
        for node in cluster.nodes:
            expect (node.sees () == epochs[node], f"{node.name} sees all, as before")
            expect_all (node, sum (keys.values (), []) + sum (new.values (), []), "all", "--tcp")


def clock (cluster):
    """Wall clocks jump by hours: nobody is blamed, no block is lost, writers and readers go on.
    And who is started in the past of its former self is let in all the same."""
    first, second, third = cluster.nodes
    keys = sum ([put (node, node.name) for node in cluster.nodes], [])
    epochs = first.sees ()
    for jump in (3600, -86400, 10 * 365 * 86400, -7200):
        first.host.jump (jump)
        second.host.jump (-jump)
        time.sleep (1)                  # Some heartbeats under the new time
        more = sum ([put (node, f"{jump}/{node.name}", 10) for node in cluster.nodes], [])
        for node in cluster.nodes:
            expect_all (node, keys + more, f"all, after a jump by {jump} s", "--tcp")
        keys += more
    for node in cluster.nodes:
        stat = node.stat ("registry")
        expect (stat["members_gone"] == 0 and stat["stalled_ms"] < 3600000,
                f"{node.name} gave nobody up, and has not slept for hours")
        expect (node.sees () == epochs, f"{node.name} sees all, as before")
    for way, end, past in (("kill -9", third.kill, -3600), ("SIGTERM", third.terminate, -7200)):
        before = first.sees ()[third.name][2]
        third.host.jump (past)
        end ()
        third.start ()
        cluster.converge (60)
        if way == "kill -9":            # It knows its former number; after SIGTERM it is forgotten
            expect (first.sees ()[third.name][2] == before + 1
                    and first.stat ("registry")["refused_stale"] == 0,
                    "after kill -9 its incarnation is the next one, and nobody refused it")
        more = put (third, f"past{past}")
        for node in (first, second):
            expect_all (node, more, f"those of a node started in the past, after {way}", "--tcp")


CALL_MS, LATE_MS = 1000, 6000           # LATE_MS: chaos/watch.h
#  What a dead node cannot do, and who sees a block needs no node
NEEDS_NODE = ("put small", "put large", "put_v", "exists", "remove", "connect", "kv_report",
              "kv_match", "clear")
NEEDS_NONE = ("register", "stats", "view hold")


class Calls:
    """chaos-calls on a host, which speaks to a node"""

    def __init__ (self, cluster, host, node, *flags):
        self.name = f"{host.name} to {node.name}"
        self.process = subprocess.Popen (
            host.prefix + [f"{BUILD}/test/chaos-calls", "--endpoint", node.endpoint, "--name",
                           f"{host.number}-{node.name}", "--timeout", str (CALL_MS), *flags],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1,
            env={**os.environ, **cluster.env}, preexec_fn=die_with_parent)

    def hear (self, word):
        if self.process.stdout.readline ().strip () != word:
            raise Failure (f"calls from {self.name}: a call does not end")

    def mark (self):
        self.process.stdin.write ("mark\n")

    def finish (self):
        """{(call, way): (longest_ms, status)}"""
        out, _ = self.process.communicate (timeout=120)
        if self.process.returncode != 0:
            raise Failure (f"calls from {self.name}: a call does not end, or {out}")
        rows = [line.split () for line in out.splitlines ()]
        return {(" ".join (row[1:-3]), row[-3]): (int (row[-2]), int (row[-1])) for row in rows}


def judge_calls (what, calls, dead):
    said = calls.finish ()
    late = {call: row for call, row in said.items () if row[0] > CALL_MS + LATE_MS}
    longest = max (said.items (), key=lambda item: item[1][0])
    expect (not late, f"{what}: {len (said)} calls from {calls.name} ended in time, the longest "
            f"was {longest[0]} with {longest[1][0]} ms {late}")
    for (call, way), (_, status) in said.items ():
        shown = (what, call, way) == ("it stands still", "exists", "shm")   # On its board
        if dead and call in NEEDS_NODE and status >= 0 and not shown:
            raise Failure (f"{what}: {call} over {way} from {calls.name}: {status}")
        if call in NEEDS_NONE and status < 0 and not (call == "view hold" and way == "tcp"):
            raise Failure (f"{what}: {call} over {way} from {calls.name}: {status}")


def deadline (cluster, *_):
    """A node stops, ends, or cannot be reached: who speaks to it gets an error in time, also with
    calls that are under way; who speaks to another is served, or told in time"""
    victim, other, _ = cluster.nodes
    ways = [("it stands still", victim.stop, victim.resume),
            ("it is killed", victim.kill, victim.start)]
    if cluster.isolated:
        ways.append (("it is cut off", lambda: cluster.split ([victim.host]),
                      lambda: cluster.join ([victim.host])))
    for what, begin, end in ways:
        cut = what == "it is cut off"
        #  On its own host; from another one, where hosts have cables; who speaks to another node
        near = Calls (cluster, victim.host, victim)
        far = Calls (cluster, other.host, victim, "--tcp-only")
        third = Calls (cluster, other.host, other)
        for calls in (near, far, third):
            calls.hear ("ready")
        begin ()
        for calls in (near, far, third):
            calls.mark ()
        for calls in (near, far, third):
            calls.hear ("marked")
        judge_calls (what, near, not cut)
        judge_calls (what, far, True)
        judge_calls (what, third, False)
        end ()
        cluster.converge ()


CASES = {"split": (split, 2, QUICK), "blink": (blink, 2, PATIENT), "stopped": (stopped, 3, CALM),
         "killed": (killed, 3, QUICK), "oneway": (oneway, 3, QUICK), "clock": (clock, 3, CALM),
         "deadline": (deadline, 3, CALM)}
WITHOUT_CABLES = ("stopped", "killed", "clock", "deadline")


def main ():
    if len (sys.argv) < 2 or sys.argv[1] not in CASES:
        print (__doc__)
        return 2
    enter ()
    case, count, flags = CASES[sys.argv[1]]
    discovery = sys.argv[2] if case in (split, blink) and len (sys.argv) > 2 else "seeds"
    arguments = [int (word) for word in sys.argv[2:] if word.isdigit ()]
    if discovery.startswith ("etcd"):
        if not (shutil.which ("etcd") and shutil.which ("etcdctl")):
            print ("no etcd here: apt-get install etcd-server etcd-client")
            return 77
        arguments, discovery = [discovery == "etcd-far"], "etcd"
    cluster = Cluster (count, *flags, discovery=discovery, secure="secure" in sys.argv)
    try:
        if not cluster.isolated and sys.argv[1] not in WITHOUT_CABLES:
            print ("cables that can be cut need network namespaces, which cannot be made here")
            return 77
        cluster.start ()
        case (cluster, *arguments)
        cluster.finish ()
    except Failure as failure:
        cluster.tell_logs ()
        print (f"FAILED: {failure}")
        return 1
    finally:
        cluster.destroy ()
    return 0


if __name__ == "__main__":
    sys.exit (main ())
