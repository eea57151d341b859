"""test/chaos/faults.py - what breaks. A fault draws what it needs from the dice it is given, takes
hosts for itself (.hosts; others wait for another round), begins, and ends so that all is well
again. str () says what it does."""
import errno
import glob
import os
import signal
import subprocess
import sys

from cluster import BEACON_PORT, BUILD, GATEWAY_PORT, GOSSIP_PORT, PORT, Failure


class Fault:
    cables = False                      # Needs hosts that are isolated
    weight = 2
    seconds = (1, 8)                    # How long it lasts
    parts = False                       # Some node cannot be reached by some other

    def __init__ (self, chaos, dice, hosts):
        self.chaos, self.dice, self.cluster = chaos, dice, chaos.cluster
        self.host = dice.choice (hosts)
        self.hosts = [self.host]
        self.lasts = dice.uniform (*self.seconds)
        self.draw (hosts)

    def draw (self, hosts):
        """What else it needs; may raise IndexError if there are not hosts enough"""

    def expect (self, right, what):
        """Of the fault itself: one that is none tests nothing"""
        if not right:
            raise Failure (f"{self}: {what}")

    def __str__ (self):
        return f"{self.__doc__.format (self=self)}"

    @property
    def node (self):
        return self.host.node


class Kill (Fault):
    """kill -9 {self.node.name}"""
    weight = 4

    def begin (self):
        self.node.kill ()

    def end (self):
        self.node.start ()


class Restart (Fault):
    """SIGTERM {self.node.name}"""
    weight = 1

    def begin (self):
        self.node.terminate ()

    def end (self):
        self.node.start ()


class Stop (Fault):
    """SIGSTOP {self.node.name}"""
    parts = True
    weight = 4
    seconds = (1, 12)

    def begin (self):
        self.node.stop ()

    def end (self):
        with open (f"/proc/{self.node.process.pid}/stat", encoding="utf8") as stat:
            self.expect (stat.read ().rsplit (")", 1)[1].split ()[0] == "T", "it did not stop")
        self.node.resume ()


class Split (Fault):
    """split off {self.names}"""
    parts = True
    cables = True
    seconds = (2, 12)
    weight = 3

    def draw (self, hosts):
        self.hosts = self.dice.sample (hosts, self.dice.randint (1, max (1, len (hosts) // 2)))
        self.host = self.hosts[0]
        self.names = ", ".join (host.name for host in self.hosts)

    def begin (self):
        self.cluster.split (self.hosts)
        for other in [host for host in self.cluster.hosts if host not in self.cluster.apart][:1]:
            self.expect (not self.host.reaches (other), f"it reaches {other.name}")

    def end (self):
        self.cluster.join (self.hosts)


class OneWay (Fault):
    """no frames from {self.host.name} to {self.other.name}"""
    parts = True
    cables = True
    seconds = (2, 12)

    def draw (self, hosts):
        self.other = self.dice.choice ([host for host in hosts if host is not self.host])
        self.hosts.append (self.other)

    def begin (self):
        self.cluster.deafen (self.host, self.other)
        self.expect (not self.host.reaches (self.other), "it is heard")

    def end (self):
        self.cluster.undeafen (self.host, self.other)


class BadWire (Fault):
    """a bad cable at {self.host.name}: {self.delay} to {self.most} ms late, {self.loss} % lost"""
    parts = True
    cables = True
    seconds = (3, 10)

    def draw (self, hosts):
        self.delay = self.dice.choice ([0, 1, 20, 80])
        self.jitter = self.dice.choice ([0, 5, 50])
        self.loss = self.dice.choice ([0, 1, 5, 20])
        self.most = self.delay + self.jitter

    def begin (self):
        self.process = self.cluster.wire (self.host, self.dice.getrandbits (60), self.delay,
                                          self.jitter, self.loss)

    def end (self):
        self.cluster.unwire (self.host, self.process)


class Full (Fault):
    """the pool is filled, and more, from {self.host.name}"""
    weight = 1
    seconds = (5, 10)

    def begin (self):
        self.filler = self.chaos.fill (self.host, self.dice.getrandbits (60))

    def end (self):
        self.filler.finish ()


class DiskFull (Fault):
    """the disk of {self.host.name} is full"""
    cables = True                       # Its own disk comes with its own namespace
    weight = 1

    def begin (self):
        self.path = os.path.join (self.host.disk, "full")
        try:
            with open (self.path, "wb", buffering=0) as out:
                while out.write (bytes (65536)):
                    pass
        except OSError as error:
            self.expect (error.errno == errno.ENOSPC, f"{error}")

    def end (self):
        os.unlink (self.path)


class DiskFullKill (DiskFull):
    """kill -9 {self.host.name}, and start it on a full disk"""

    def begin (self):
        super ().begin ()
        self.node.kill ()
        self.node.start ()


class ClockJump (Fault):
    """the wall clock of {self.host.name} jumps by {self.jump} s"""

    def draw (self, hosts):
        self.jump = self.dice.choice ([-86400 * 400, -3600, -5, 5, 3600, 86400 * 400])

    def begin (self):
        self.host.jump (self.jump)

    def end (self):
        self.host.jump (0)


class ClockKill (ClockJump):
    """{self.host.name} is killed and started {self.jump} s off, and once more in time"""
    weight = 1

    def begin (self):
        super ().begin ()
        self.node.kill ()
        self.node.start ()

    def end (self):
        self.node.kill ()
        super ().end ()
        self.node.start ()


class SlowClient (Fault):
    """a client at {self.host.name} holds what it reads for 2 s"""

    def begin (self):
        self.client = self.chaos.add_client (self.host, hold=2000)

    def end (self):
        self.chaos.end_client (self.client)


class ClientKilled (Fault):
    """kill -9 a client of {self.host.name}"""

    def begin (self):
        self.client = self.dice.choice (self.chaos.clients_of (self.host))
        self.client.kill ()

    def end (self):
        self.client.start ()


class ClientDies (Fault):
    """a client of {self.host.name} kills itself {self.when}"""
    weight = 4
    WHEN = {"commit": "between reserve and commit", "committed": "between commit and its answer",
            "lease": "under a lease"}

    def draw (self, hosts):
        self.die, self.when = self.dice.choice (list (self.WHEN.items ()))
        self.tcp = self.dice.random () < 0.5

    def begin (self):
        flags = ["--pause", "5", "--die", self.die] + (["--tcp"] if self.tcp else [])
        self.client = self.chaos.new_client (self.host, self.dice.getrandbits (50), *flags)

    def end (self):
        """It cannot while nobody answers it: then it goes on, and is ended"""
        status = self.client.process.poll ()
        if status is None:
            self.client.kill ()
            self.chaos.count ("ClientDies: never came so far")
        self.expect (status in (None, -signal.SIGKILL), f"it ended with {status}")


class Drain (Fault):
    """{self.node.name} is drained, ends, and is started again"""
    seconds = (4, 9)

    def begin (self):
        self.asked = self.host.popen (
            [f"{BUILD}/bin/umbp-console", "--endpoint", self.node.endpoint, "--timeout", "20s",
             "drain", self.node.name], os.path.join (self.cluster.room, "drain.log"))

    def drained (self):
        """Whether it is empty, and nobody relies on it. Else it is not drained any more"""
        try:
            status = self.asked.wait (40)
        except subprocess.TimeoutExpired:
            self.asked.kill ()
            status = self.asked.wait ()
        if status == 0:
            self.chaos.note_moved (self.node)
            self.node.terminate (drained=True)
            return True
        self.chaos.count (f"{type (self).__name__}: not drained in time")
        self.node.console ("drain", self.node.name, "--cancel", fine=False)
        self.chaos.note_moved (self.node)
        self.chaos.half_drained.append (self.node)
        return False

    def end (self):
        if self.drained ():
            self.node.start ()


class Join (Drain):
    """a new node, {self.name}, joins, and leaves{self.how}"""

    def draw (self, hosts):
        self.hosts, self.drains = [], self.dice.random () < 0.7
        self.name, self.how = "on a host of its own", " drained" if self.drains else " with its blocks"

    def begin (self):
        self.host = self.cluster.add_host ()
        self.name = self.host.name
        self.node.start ()
        self.client = self.chaos.add_client (self.host)

    def end (self):
        self.chaos.end_client (self.client)
        if self.drains:
            super ().begin ()
        if not self.drains or not self.drained ():
            self.node.terminate ()
        self.cluster.remove_host (self.host)


class ClientStopped (Fault):
    """SIGSTOP a client of {self.host.name}"""
    seconds = (2, 14)

    def begin (self):
        self.client = self.dice.choice (self.chaos.clients_of (self.host))
        self.client.process.send_signal (signal.SIGSTOP)

    def end (self):
        self.client.process.send_signal (signal.SIGCONT)


class Garbage (Fault):
    """nonsense for all ports of {self.host.name}"""

    def begin (self):
        seen = self.node.console ("nodes", fine=False)
        bulk = [row["bulk"] for row in seen["nodes"] if row["node"] == self.node.name] \
            if seen else []
        targets = [f"tcp:{self.host.address}:{PORT}"] + [f"tcp:{where}" for where in bulk]
        targets += [f"door:{path}" for path in glob.glob (f"{self.host.disk}/*/*.sock")]
        targets.append (f"tcp:{self.host.address}:{GATEWAY_PORT}")
        if self.cluster.discovery == "gossip":
            targets.append (f"tcp:{self.host.address}:{GOSSIP_PORT}")
        if self.cluster.discovery == "beacon":
            targets.append (f"udp:10.77.0.255:{BEACON_PORT}")
        script = os.path.join (os.path.dirname (__file__), "garbage.py")
        self.process = self.host.popen (
            [sys.executable, os.path.abspath (script), str (self.dice.getrandbits (60)),
             str (self.lasts), *targets], os.path.join (self.cluster.room, "garbage.log"))

    def end (self):
        self.expect (self.process.wait (60) == 0, "garbage.py failed")


ALL = [Kill, Restart, Stop, Split, OneWay, BadWire, Full, DiskFull, DiskFullKill, ClockJump,
       ClockKill, SlowClient, ClientKilled, ClientStopped, ClientDies, Drain, Join, Garbage]


def draw (chaos, dice):
    """One to three at once, none of which touches a host of another"""
    kinds = [kind for kind in ALL if chaos.cluster.isolated or not kind.cables]
    hosts, faults = list (chaos.cluster.hosts), []
    for _ in range (dice.choice ([1, 1, 2, 2, 3])):
        kind = dice.choices (kinds, [kind.weight for kind in kinds])[0]
        try:
            fault = kind (chaos, dice, hosts)
        except IndexError:
            continue
        hosts = [host for host in hosts if host not in fault.hosts]
        faults.append (fault)
    return faults
