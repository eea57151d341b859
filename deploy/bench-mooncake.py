#!/usr/bin/env python3
"""Mooncake Store over tcp, for umbp-bench to compare with (bin/bench_mooncake.h).

    bench-mooncake.py FOLDER

Starts a master, and a process that lends memory, beside this one, which is the client: three
processes, as a node, its neighbour and an engine are with umbp. Then listens at FOLDER/mooncake.sock
for one connection, and for each line there

    put LANES CALLS BATCH SIZE      each lane puts so many batches of new objects
    get LANES CALLS BATCH SIZE      ... gets objects that the last such put left, into its memory

answers with one: seconds, and the CPU seconds of all three processes; or "error" and why. Needs the
package mooncake-transfer-engine-non-cuda. Ends with its connection.
"""
import ctypes
import mmap
import os
import random
import socket
import subprocess
import sys
import threading
import time

SEGMENT = 4 << 30
LOCAL = 64 << 20
HOST = "127.0.0.1"
#  Without these most of 64 lanes fail: as it comes a process queues too few transfers for them
TCP = {"MC_TCP_ENABLE_CONNECTION_POOL": "1", "MC_TCP_MAX_QUEUED_TRANSFERS_PER_PEER": "4096",
       "MC_TCP_MAX_PENDING_ADMISSIONS_PER_PEER": "4096",
       "MC_TCP_ADMISSION_TIMEOUT_MS": "30000"}


def free_port():
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return probe.getsockname()[1]


def connect(master, segment, port):
    from mooncake.store import MooncakeDistributedStore
    store = MooncakeDistributedStore()
    rc = store.setup(f"{HOST}:{port}", "P2PHANDSHAKE", segment, LOCAL, "tcp", "", master)
    if rc != 0:
        sys.exit(f"mooncake: setup: {rc}")
    return store


def lend(master, port):
    """The process that lends memory: until its parent closes the pipe"""
    store = connect(master, SEGMENT, port)
    print("ready", flush=True)
    sys.stdin.read()
    store.close()


def cpu_s(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii") as stat:
        words = stat.read().rsplit(")", 1)[1].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


def die_with_parent():
    ctypes.CDLL(None).prctl(1, 9)                   # PR_SET_PDEATHSIG, SIGKILL


class Bench:
    def __init__(self, folder):
        binary = os.path.join(os.path.dirname(sys.executable), "mooncake_master")
        port = free_port()
        self.log = open(os.path.join(folder, "mooncake.log"), "ab")
        self.master = subprocess.Popen(
            [binary, f"-rpc_port={port}", f"-metrics_port={free_port()}", "-enable_metric_reporting=false",
             "-default_kv_lease_ttl=60000"], stdout=self.log, stderr=self.log,
            preexec_fn=die_with_parent)
        self.wait_port(port)
        master = f"{HOST}:{port}"
        self.lender = subprocess.Popen(
            [sys.executable, __file__, "--lend", master, str(free_port())],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log,
            preexec_fn=die_with_parent)
        for line in self.lender.stdout:
            if b"ready" in line:
                break
        else:
            raise RuntimeError("the process that lends memory ended")
        self.store = connect(master, 0, free_port())
        self.memory = {}
        self.kept = {}
        self.serial = 0

    def wait_port(self, port):
        end = time.monotonic() + 20
        while time.monotonic() < end and self.master.poll() is None:
            try:
                socket.create_connection((HOST, port), 1).close()
                return
            except OSError:
                time.sleep(0.02)
        raise RuntimeError("mooncake_master does not listen")

    def room(self, lane, size):
        """Registered memory of a lane, the same one while it is large enough"""
        if lane not in self.memory or len(self.memory[lane][0]) < size:
            if lane in self.memory:
                self.store.unregister_buffer(self.memory[lane][1])
            memory = mmap.mmap(-1, size)
            memory.write(os.urandom(min(size, 1 << 20)) * (size // min(size, 1 << 20)))
            at = ctypes.addressof(ctypes.c_char.from_buffer(memory))
            if self.store.register_buffer(at, size) != 0:
                raise RuntimeError("register_buffer")
            self.memory[lane] = (memory, at)
        return self.memory[lane][1]

    def total_cpu(self):
        return sum(cpu_s(pid) for pid in (os.getpid(), self.master.pid, self.lender.pid))

    def run(self, operation, lanes, calls, batch, size):
        shape = (lanes, calls, batch, size)
        plans = []
        if operation == "put":
            if shape in self.kept:
                keys = [key for lane in self.kept[shape] for part in lane for key in part]
                time.sleep(0.05)                    # Leases of getters are over by then
                self.store.batch_remove(keys, True)
            self.serial += 1
            self.kept[shape] = [[[f"{self.serial}-{lane}-{call}-{item}".rjust(64, "0")
                                  for item in range(batch)] for call in range(calls)]
                                for lane in range(lanes)]
        for lane in range(lanes):
            at = self.room(lane, batch * size)
            parts = list(self.kept[shape][lane])
            random.shuffle(parts)
            plans.append((parts, [at + item * size for item in range(batch)], [size] * batch))
        failed = []
        start = threading.Barrier(lanes + 1)
        call_of = self.store.batch_put_from if operation == "put" else self.store.batch_get_into
        want = 0 if operation == "put" else size

        def work(parts, places, sizes):
            start.wait()
            for keys in parts:
                got = call_of(keys, places, sizes)
                if any(one != want for one in got):
                    failed.append([one for one in got if one != want][0])
                    return

        threads = [threading.Thread(target=work, args=plan) for plan in plans]
        for thread in threads:
            thread.start()
        used = self.total_cpu()
        start.wait()
        begun = time.monotonic()
        for thread in threads:
            thread.join()
        took = time.monotonic() - begun
        if failed:
            return f"error {operation}: {failed[0]}, {len(failed)} of {lanes} lanes"
        return f"{took:.6f} {self.total_cpu() - used:.3f}"

    def stop(self):
        self.store.close()
        self.lender.stdin.close()
        for process in (self.lender, self.master):
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()


def main():
    if sys.argv[1] == "--lend":
        lend(sys.argv[2], int(sys.argv[3]))
        return
    os.environ.update(TCP)
    bench = Bench(sys.argv[1])
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(os.path.join(sys.argv[1], "mooncake.sock"))
        listener.listen(1)
        client = listener.accept()[0].makefile("rw", encoding="ascii")
    for line in client:
        words = line.split()
        try:
            answer = bench.run(words[0], *map(int, words[1:]))
        except Exception as error:                  # pylint: disable=broad-except
            answer = f"error {error}".replace("\n", " ")
        client.write(answer + "\n")
        client.flush()
    bench.stop()


if __name__ == "__main__":
    main()
