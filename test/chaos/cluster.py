"""test/chaos/cluster.py - hosts, the cables between them, and the nodes that run on them.

A host is a network namespace (with UTS and mount namespaces, so that nodes of two hosts do not
share doors) held by a sleeping process; nothing has a name outside of this program, and all of it
ends with it. Cables are veths to a bridge in the namespace of this program, which enter() makes:
both ends are inside, and there is no route out. Where namespaces are not allowed, hosts are
loopback addresses, and what needs cables says so (Cluster.isolated is False).
"""
import ctypes
import fcntl
import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time

BUILD = os.path.abspath (os.environ.get ("UMBP_BUILD") or os.environ.get ("B") or "build")
INSIDE = "UMBP_CHAOS_INSIDE"
PORT, GOSSIP_PORT, GATEWAY_PORT, BEACON_PORT, ETCD_PORT = 7710, 7711, 7712, 5671, 2379
DISK_BYTES = 4 << 20
LIBC = ctypes.CDLL (None, use_errno=True)


class Failure (Exception):
    """What must never be, was"""


def die_with_parent ():
    LIBC.prctl (1, signal.SIGKILL)


def run (*command, timeout=30, fine=True, text=None, env=None):
    done = subprocess.run (command, capture_output=True, text=True, timeout=timeout, input=text,
                           check=False, env=env)
    if fine and done.returncode != 0:
        raise Failure (f"{' '.join (command)}: {done.stderr.strip ()}")
    return done


def leave (number, frame):
    sys.exit (f"ended by signal {number}")      # Through all that cleans up


def enter ():
    """Start this program anew in namespaces of its own; where that is not allowed, go on here"""
    signal.signal (signal.SIGTERM, leave)
    if os.environ.get (INSIDE) or os.environ.get ("UMBP_CHAOS_LOOPBACK"):
        return
    way = ["unshare", "--net", "--mount", "--"]
    try:
        script = ("ip link add b0 type bridge && mount -t tmpfs none /mnt"
                  f" && nsenter -t $$ -m -- test -x {BUILD}/bin/umbp-node")     # Not so in a chroot
        allowed = run (*way, "sh", "-c", script, fine=False).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        allowed = False
    if allowed:
        os.environ[INSIDE] = "1"
        os.execvp (way[0], way + [sys.executable] + sys.argv)
    print ("network namespaces cannot be made here: all hosts are loopback addresses")


def wait_until (what, seconds, check, every=0.1):
    """Until check () returns something true, which is returned"""
    end = time.monotonic () + seconds
    while True:
        value = check ()
        if value:
            return value
        if time.monotonic () > end:
            raise Failure (f"{what}: not within {seconds} s")
        time.sleep (every)


def without_offloads (name):
    """A frame is to be whole when it leaves: who carries it may not finish it"""
    sock = socket.socket (socket.AF_INET, socket.SOCK_DGRAM)
    for command in (0x17, 0x1f, 0x24, 0x2c):      # tx checksums, TSO, GSO, GRO
        value = ctypes.create_string_buffer (struct.pack ("II", command, 0))
        request = struct.pack ("16sP8x", name.encode (), ctypes.addressof (value))
        try:
            fcntl.ioctl (sock, 0x8946, request)
        except OSError as error:
            if command == 0x17:
                raise Failure (f"{name}: checksums cannot be turned on: {error}") from error
    sock.close ()


class Host:
    def __init__ (self, cluster, number):
        self.cluster, self.number = cluster, number
        self.name = f"node-{number}"
        self.disk = os.path.join (cluster.room, self.name)
        os.mkdir (self.disk)
        self.drive = os.path.join (cluster.room, f"drive-{number}")
        self.prefix, self.holder, self.node = [], None, None
        self.clock = os.path.join (cluster.room, f"clock-{number}")
        self.jump (0)
        if cluster.isolated:
            self.address = f"10.77.0.{number}"
            self.make_namespace ()
        else:
            pid = os.getpid ()
            self.address = f"127.{64 | number}.{pid >> 8 & 255}.{pid & 255}"
        self.endpoint = f"tcp://{self.address}:{PORT}"

    def make_namespace (self):
        run ("mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "none", self.disk)
        holder = ["unshare", "--net", "--uts", "--mount", "sleep", "infinity"]
        self.holder = subprocess.Popen (holder, preexec_fn=die_with_parent)
        pid, port = str (self.holder.pid), f"port{self.number}"
        mine = os.readlink ("/proc/self/ns/uts")
        wait_until ("a namespace", 20, lambda: os.readlink (f"/proc/{pid}/ns/uts") != mine
                    and os.readlink (f"/proc/{pid}/ns/mnt") != os.readlink ("/proc/self/ns/mnt"))
        self.prefix = ["nsenter", "-t", pid, "-n", "-u", "-m", "--"]
        run ("ip", "link", "add", port, "type", "veth", "peer", "name", "eth0")
        without_offloads (port)
        without_offloads ("eth0")
        run ("ip", "link", "set", port, "master", "lan1", "up")
        run ("ip", "link", "set", "eth0", "netns", pid)
        self.run ("ip", "link", "set", "lo", "up")
        self.run ("ip", "address", "add", f"{self.address}/24", "broadcast", "10.77.0.255", "dev",
                  "eth0")
        self.run ("ip", "link", "set", "eth0", "up")

    def run (self, *command, **more):
        return run (*self.prefix, *command, env={**os.environ, **self.cluster.env}, **more)

    def popen (self, command, log, env=None):
        with open (log, "ab") as out:
            return subprocess.Popen (self.prefix + command, stdout=out, stderr=out,
                                     stdin=subprocess.DEVNULL, preexec_fn=die_with_parent,
                                     env={**os.environ, **self.cluster.env, **(env or {})})

    def reaches (self, other):
        """Whether a connection to that host's node can be made, in half a second"""
        return self.run ("timeout", "0.5", "bash", "-c", f"</dev/tcp/{other.address}/{PORT}",
                         fine=False).returncode == 0

    def jump (self, seconds):
        """The wall clock of this host's node from now on"""
        with open (self.clock, "r+b" if os.path.exists (self.clock) else "wb") as out:
            out.write (struct.pack ("q", int (seconds * 1e9)))

    def destroy (self):
        if self.holder:
            self.holder.kill ()
            self.holder.wait ()


class Node:
    """umbp-node on a host. kills: when incarnations of it ended, in time.monotonic (); downs: when that
    was begun, drained or not"""

    def __init__ (self, host, flags):
        self.host, self.flags, self.kills, self.downs = host, flags, [], []
        self.tiers = ["tier:dram"] + (["tier:nvme"] if host.cluster.disks else [])
        self.name, self.endpoint = host.name, host.endpoint
        self.log = os.path.join (host.disk, "log")
        self.process, self.stopped, self.starts = None, False, 0

    def security (self):
        certs = self.host.cluster.certs
        if not certs:
            return ["--security-insecure=yes"]
        return ["--security-certificate", f"{certs}/{self.name}", "--security-nodes",
                f"{certs}/nodes", "--security-clients", f"{certs}/clients"]

    def start (self, wait=True):
        self.starts += 1
        gateway = f"tcp://{self.host.address}:{GATEWAY_PORT}"
        command = [f"{BUILD}/bin/umbp-node", "--gateway-listen", gateway, "--gateway-open=yes", "--node-id", self.name, "--node-run-dir",
                   self.host.disk, "--network-listen", self.endpoint, *self.security (),
                   *self.flags]
        env = {"UMBP_CHAOS_CLOCK": self.host.clock, "LD_PRELOAD": f"{BUILD}/test/chaos-clock.so"}
        self.process = self.host.popen (command, self.log, env)
        if wait:
            wait_until (f"{self.name} answers", 60, self.answers)

    def answers (self):
        self.check ()
        return self.console ("ping", "registry", fine=False) is not None

    def check (self):
        """Has it ended by itself?"""
        status = self.process.poll () if self.process else None
        if status is not None:
            raise Failure (f"{self.name} has ended by itself, status {status}")

    def kill (self):
        self.downs.append (time.monotonic ())
        self.process.kill ()
        self.process.wait ()
        self.process, self.stopped = None, False
        self.kills.append (time.monotonic ())

    def terminate (self, seconds=30, drained=False):
        """Drained: nobody loses anything by it"""
        self.downs.append (time.monotonic ())
        self.process.terminate ()
        try:
            status = self.process.wait (seconds)
        except subprocess.TimeoutExpired as error:
            raise Failure (f"{self.name} does not stop within {seconds} s") from error
        self.process = None
        if not drained:
            self.kills.append (time.monotonic ())
        if status != 0:
            raise Failure (f"{self.name} exited with {status} after SIGTERM")

    def stop (self):
        self.process.send_signal (signal.SIGSTOP)
        self.stopped = True

    def resume (self):
        self.process.send_signal (signal.SIGCONT)
        self.stopped = False

    def console (self, *words, fine=True, timeout="10s"):
        """The JSON of umbp-console, asked on this host; None if it failed and that is fine"""
        done = self.host.run (f"{BUILD}/bin/umbp-console", "--endpoint", self.endpoint, "--json",
                              "--timeout", timeout, *words, timeout=120, fine=fine)
        return json.loads (done.stdout) if done.returncode == 0 else None

    def stat (self, actor):
        return self.console ("stat", actor)["counters"]

    def sees (self):
        """name -> (state, in ring, epoch) of all members, as this node sees them; {} on failure"""
        seen = self.console ("nodes", fine=False, timeout="3s")
        rows = seen["nodes"] if seen else []
        return {row["node"]: (row["state"], row["in_ring"], row["epoch"]) for row in rows}


class Etcd:
    """A real etcd on a host of its own"""

    def __init__ (self, host):
        self.host, self.process = host, None
        self.url = f"http://{host.address}:{ETCD_PORT}"
        self.log = os.path.join (host.cluster.room, "etcd.log")

    def start (self):
        peers = f"http://{self.host.address}:{ETCD_PORT + 1}"
        self.process = self.host.popen (
            ["etcd", "--name", "one", "--data-dir", os.path.join (self.host.cluster.room, "etcd"),
             "--logger", "zap", "--log-outputs", "stderr", "--listen-client-urls", self.url,
             "--advertise-client-urls", self.url, "--listen-peer-urls", peers,
             "--initial-advertise-peer-urls", peers, "--initial-cluster", f"one={peers}"], self.log)

    def names (self):
        """Nodes that have a key there; None if etcd does not answer"""
        done = self.host.run ("env", "ETCDCTL_API=3", "etcdctl", "--endpoints", self.url,
                              "--command-timeout", "3s", "get", "--prefix", "--keys-only",
                              f"/umbp/{self.host.cluster.name}/", fine=False)
        return sorted (line.rsplit ("/", 1)[1] for line in done.stdout.split ()) \
            if done.returncode == 0 else None

    def destroy (self):
        if self.process:
            self.process.kill ()
            self.process.wait ()
        self.host.destroy ()


class Cluster:
    def __init__ (self, count, *flags, discovery="seeds", secure=False, disks=False):
        self.room = tempfile.mkdtemp (prefix="umbp-c-", dir="/tmp")
        self.isolated = bool (os.environ.get (INSIDE))
        self.hosts, self.gone, self.discovery = [], [], discovery
        self.certs, self.env = None, {}
        self.apart = set ()             # Hosts on the other LAN
        self.disks = disks              # Each node has a tier on disk, which outlives it
        if secure:
            self.make_certificates ()
        self.etcd = None
        self.name = f"chaos-{os.getpid ()}"
        self.flags = ["--cluster-name", self.name, "--node-log",
                      "info", *flags]
        if self.isolated:
            run ("ip", "link", "set", "lo", "up")
            for lan in ("lan1", "lan2"):
                run ("ip", "link", "add", lan, "type", "bridge", "forward_delay", "0")
                run ("ip", "link", "set", lan, "up")
        for number in range (1, count + 1):
            self.hosts.append (Host (self, number))
        if discovery == "etcd":
            self.etcd = Etcd (Host (self, count + 1))
        for host in self.hosts:
            self.equip (host)

    def equip (self, host):
        """A node for this host, and a certificate"""
        drive = ["--nvme-directories", host.drive] if self.disks else []
        host.node = Node (host, self.flags + self.ways (host) + drive)
        if self.certs:
            self.keygen (host.name, "--node", host.name, "--at", f"tcp://{host.address}:*")
            shutil.copy (f"{self.certs}/{host.name}", f"{self.certs}/nodes")

    def add_host (self):
        host = Host (self, len (self.hosts) + len (self.gone) + 1)
        self.hosts.append (host)
        self.equip (host)
        return host

    def remove_host (self, host):
        """Its node has ended"""
        self.hosts.remove (host)
        self.gone.append (host)

    def keygen (self, name, *words):
        run (f"{BUILD}/bin/umbp-console", "keygen", "--out", f"{self.certs}/{name}", *words)

    def make_certificates (self):
        """Who may speak: nodes, each with its own, and one client"""
        self.certs = os.path.join (self.room, "certs")
        for folder in ("", "nodes", "clients"):
            os.mkdir (os.path.join (self.certs, folder))
        self.keygen ("client", "--name", "client")
        shutil.copy (f"{self.certs}/client", f"{self.certs}/clients")
        self.env = {"UMBP_CERTIFICATE": f"{self.certs}/client",
                    "UMBP_SERVER_CERTIFICATE": f"{self.certs}/nodes"}

    def ways (self, host):
        """Flags by which a node finds the others"""
        others = [other for other in self.hosts if other is not host]
        if self.discovery == "seeds":
            return ["--cluster-seeds", ",".join (other.endpoint for other in others)]
        if self.discovery == "gossip":
            return ["--gossip-bind", f"tcp://{host.address}:{GOSSIP_PORT}", "--gossip-connect",
                    ",".join (f"tcp://{other.address}:{GOSSIP_PORT}" for other in others)]
        if self.discovery == "etcd":
            return ["--etcd-endpoints", self.etcd.url, "--etcd-ttl", "2s"]
        return ["--beacon-port", str (BEACON_PORT), "--beacon-interface", "eth0"]

    @property
    def nodes (self):
        return [host.node for host in self.hosts]

    def start (self):
        if self.etcd:
            self.etcd.start ()
        for node in self.nodes:
            node.start (wait=False)
        for node in self.nodes:
            wait_until (f"{node.name} answers", 60, node.answers)
        self.converge ()

    def is_settled (self):
        """All see all, alive, in the same incarnation, and all index shards know all blocks"""
        self.unsettled = []
        views = [node.sees () for node in self.nodes]
        if any (view != views[0] for view in views) or len (views[0]) != len (self.nodes) \
                or any (row[:2] != ("alive", True) for row in views[0].values ()):
            self.unsettled = views
            return False
        for node in self.nodes:
            for tier in node.tiers:
                told = node.console ("stat", tier, fine=False, timeout="3s")
                if not told or told["counters"]["rings_told"] != 1 \
                        or told["counters"]["announce_waiting"] != 0:
                    self.unsettled = told
                    return False
        return True

    def converge (self, seconds=90):
        for node in self.nodes:
            node.check ()
        try:
            wait_until ("all nodes see the same", seconds, self.is_settled)
        except Failure as error:
            raise Failure (f"{error}: {self.unsettled}") from error

    #  Cables. A group is a list of hosts.

    def split (self, group):
        """Another LAN for these hosts: neither side hears a frame of the other"""
        for host in group:
            run ("ip", "link", "set", f"port{host.number}", "master", "lan2")
            self.apart.add (host)

    def join (self, group):
        for host in group:
            self.apart.discard (host)
            run ("ip", "link", "set", f"port{host.number}", "master", "lan1")

    @staticmethod
    def deafen (sender, receiver):
        """Frames from sender to receiver go to an address that nobody has"""
        sender.run ("ip", "neighbour", "replace", receiver.address, "lladdr", "02:00:00:00:99:99",
                    "nud", "permanent", "dev", "eth0")

    @staticmethod
    def undeafen (sender, receiver):
        sender.run ("ip", "neighbour", "del", receiver.address, "dev", "eth0")

    def wire (self, host, seed, delay, jitter, loss):
        """A bad cable for this host; unwire takes the process that this returns"""
        port, near, far = f"port{host.number}", f"near{host.number}", f"far{host.number}"
        run ("ip", "link", "set", port, "nomaster")
        run ("ip", "link", "add", near, "type", "veth", "peer", "name", far)
        run ("ip", "link", "set", near, "up")
        run ("ip", "link", "set", far, "master", "lan1", "up")
        with open (os.path.join (self.room, "wire.log"), "ab") as out:
            return subprocess.Popen ([f"{BUILD}/test/chaos-wire", port, near, "--seed", str (seed),
                                      "--delay", str (delay), "--jitter", str (jitter), "--loss",
                                      str (loss)], stderr=out, preexec_fn=die_with_parent)

    @staticmethod
    def unwire (host, process):
        broke = process.poll ()
        process.kill ()
        process.wait ()
        run ("ip", "link", "del", f"near{host.number}")
        run ("ip", "link", "set", f"port{host.number}", "master", "lan1")
        if broke is not None:
            raise Failure (f"chaos-wire ended by itself, status {broke}")

    #  Blocks

    @staticmethod
    def ask_keys (node, keys, *flags):
        """What chaos-verify says through this node: {key: status, or "WRONG", or (size, nodes)}.
        The status of a key that is there in its second content is a text"""
        if not keys:
            return {}
        done = node.host.run (f"{BUILD}/test/chaos-verify", "--endpoint", node.endpoint, *flags,
                              timeout=320, text="".join (key + "\n" for key in keys))
        said = {}
        for line in done.stdout.splitlines ():
            words = line.split ()
            if words[0] == "S":
                said[words[2]] = int (words[1])
                if len (words) > 3 and words[3] != "0":
                    said[words[2]] = f"content {words[3]}"
            elif words[0] == "X":
                said[words[1]] = "WRONG"
            else:
                names = [] if words[3] == "-" else words[3].split (",")
                said[words[1]] = (int (words[2]), names)
        return said

    def tell_logs (self):
        for name, path in [(node.name, node.log) for node in self.nodes] \
                + ([("etcd", self.etcd.log)] if self.etcd else []):
            print (f"--- {name}, the end of its log")
            try:
                with open (path, errors="replace", encoding="utf8") as log:
                    print ("".join (log.readlines ()[-30:]), end="")
            except OSError as error:
                print (error)

    def finish (self):
        for node in self.nodes:
            node.terminate ()

    def destroy (self):
        """Whatever happened: no process and no file is left"""
        for node in self.nodes + [host.node for host in self.gone]:
            if node and node.process:
                node.process.kill ()
                node.process.wait ()
        if self.etcd:
            self.etcd.destroy ()
        for host in self.hosts + self.gone + ([self.etcd.host] if self.etcd else []):
            host.destroy ()
            if self.isolated:
                run ("umount", "-l", host.disk, fine=False)
        shutil.rmtree (self.room, ignore_errors=True)
