"""The part of systemd that clusterd talks to: a socket for sd_notify(3), of which
only the main process is believed, and a store of file descriptors that are handed
back at the next start (systemd.service(5), FileDescriptorStoreMax=)."""

import array
import os
import socket
import struct
import threading

from harness import LAUNCH, SLOW, wait_until

class Systemd:
    """A unit with Type=notify, NotifyAccess=main. `store`: FileDescriptorStoreMax=;
    None: a systemd that has none."""

    def __init__(self, box, store=64):
        self.box = box
        self.max = store
        self.store = []             # (name, descriptor), the latest first
        self.lines = []             # what was said, by whomever
        self.told = 0               # messages that were about the store
        self.main = None
        self.starts = threading.Lock()  # held until the main process is known
        self.syncs = 0
        self.path = box.path("notify")
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self.socket.bind(self.path)
        os.chmod(self.path, 0o666)
        self.reads = threading.Event()
        self.reads.set()
        self.parked = threading.Event()
        self.over = False
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.over = True
        self.reads.set()
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
            s.connect(self.path)
            s.send(b"END=1")
        self.thread.join()
        self.socket.close()
        self.empty()

    def stop_hearing(self):
        """Nothing more fits into its queue, until `reads` is set."""
        self.parked.clear()
        self.reads.clear()
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
            s.connect(self.path)
            # It may be about to read: that is this one.
            s.send(b"FILL=1")
            assert self.parked.wait(10 * SLOW)
            s.setblocking(False)
            try:
                while True:
                    s.send(b"FILL=1")
            except BlockingIOError:
                pass

    # what is kept

    def sync(self):
        """Until all is read that was sent so far, as systemd does before it sees to
        the end of a process."""
        self.syncs += 1
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
            s.connect(self.path)
            s.send(f"SYNC={self.syncs}".encode())
        wait_until(lambda: f"SYNC={self.syncs}" in self.lines, "it is read")

    def names(self):
        self.sync()
        return [name for name, _ in self.store]

    def empty(self):
        while self.store:
            os.close(self.store.pop()[1])

    def put(self, name, fd):
        """As if it had been told to."""
        self.store.insert(0, (name, os.dup(fd)))

    def _keep(self, name, fds):
        have = {os.fstat(fd).st_ino for _, fd in self.store}
        for fd in fds:
            if len(self.store) >= self.max or os.fstat(fd).st_ino in have:
                os.close(fd)
            else:
                self.store.insert(0, (name, fd))

    def _remove(self, name):
        for entry in [e for e in self.store if e[0] == name]:
            self.store.remove(entry)
            os.close(entry[1])

    def _run(self):
        while not self.over:
            if not self.reads.is_set():
                self.parked.set()
            self.reads.wait()
            text, extra, _, _ = self.socket.recvmsg(
                65536, socket.CMSG_SPACE(12) + socket.CMSG_SPACE(4 * 253))
            fds, pid = array.array("i"), None
            for _, kind, data in extra:
                if kind == socket.SCM_RIGHTS:
                    fds.frombytes(data[:len(data) - len(data) % 4])
                elif kind == socket.SCM_CREDENTIALS:
                    pid = struct.unpack("3i", data)[0]
            # What came from a process that has just been started is its own.
            with self.starts:
                main = self.main
            lines = text.decode().rstrip("\n").split("\n")
            said = dict(line.split("=", 1) for line in lines)
            self.lines += lines
            if {"FDSTORE", "FDSTOREREMOVE", "BARRIER"} & said.keys() or fds:
                self.told += 1
            if pid == main and self.max is not None:
                if "FDSTORE" in said:
                    self._keep(said["FDNAME"], fds)
                    continue
                if "FDSTOREREMOVE" in said:
                    self._remove(said["FDNAME"])
            for fd in fds:
                os.close(fd)

    # the unit

    def start(self, *arguments, first=(), env=None, ready=True, **popen):
        """`first`: descriptors that are none of the store, and come before them."""
        if self.reads.is_set():
            self.sync()
        entries = [("web.socket", fd) for fd in first] + self.store
        fds = [fd for _, fd in entries]
        environment = {"NOTIFY_SOCKET": self.path, **(env or {})}
        if self.max is not None:
            environment["FDSTORE"] = str(self.max)
        mark = len(self.lines)
        with self.starts:
            d = self.box.start(
                *arguments, pass_fds=fds, env=environment,
                launcher=["/usr/bin/python3", "-ISc", LAUNCH, str(len(fds)),
                          ":".join(name for name, _ in entries),
                          *map(str, fds)], **popen)
            self.main = d.keeper
        if ready:
            wait_until(lambda: "READY=1" in self.lines[mark:] or
                       d.process.poll() is not None,
                       lambda: f"READY=1, log:\n{d.log()}")
        return d

    def restart(self, d, **start):
        """systemctl restart."""
        d.stop()
        return self.start(**start)
