#!/usr/bin/python3
"""What clients with kept connections lose at a reload and at a stop.

    /usr/bin/python3 tests/bench/keepalive.py [--reloads N] [--stops N]
        [--server abrupt,node] [--way direct,nginx,haproxy]
        [--balance NAME,...] [--clients N] [--pause MS] [KEY=VALUE...]

needs a built tree (`make`; CLUSTERD names another program), and nginx and haproxy for their ways. Each client
has one connection, on which it POSTs every --pause ms, and takes a new one only
when the last was closed with nothing under way. Lost is a request that was sent
and not answered with 200: one that was cut, or a 502 of the proxy in front. That
a client could try again is not counted in favour of anybody. At a stop a proxy
has nobody to turn to, so stops are for clients without one.

KEY=VALUE go into the app's section. There are two
instances, and drain_timeout is 4s, which a reload takes then.
"""

import argparse
import os
import shutil
import socket
import subprocess
import tempfile
import threading
import time

from figures import ENV, ROOT, Trouble, children, end, free_port

ABRUPT = os.path.join(ROOT, "tests/e2e/servers/abrupt.py")

NODE = """\
'use strict';
const server = require('node:http').createServer((request, response) => {
	request.on('end', () => response.end('hello'));
	request.resume();
});
server.listen(process.argv[2], '127.0.0.1');
process.on('SIGTERM', () => {
	server.close(() => process.exit(0));
	server.closeIdleConnections();
});
"""

NGINX = """\
daemon off; master_process off; error_log stderr crit; pid {dir}/nginx.pid;
events {{ worker_connections 256; }}
http {{
	access_log off;
	client_body_temp_path {dir}/body; proxy_temp_path {dir}/proxy;
	fastcgi_temp_path {dir}/f; uwsgi_temp_path {dir}/u;
	scgi_temp_path {dir}/s;
	keepalive_requests 1000000;
	upstream app {{ server 127.0.0.1:{app}; keepalive 16;
		keepalive_requests 1000000; }}
	server {{
		listen 127.0.0.1:{front};
		location / {{
			proxy_pass http://app; proxy_http_version 1.1;
			proxy_set_header Connection "";
		}}
	}}
}}
"""

HAPROXY = """\
defaults
	mode http
	timeout connect 5s
	timeout client 60s
	timeout server 60s
	option http-keep-alive
	http-reuse always
	retries 0
frontend front
	bind 127.0.0.1:{front}
	default_backend app
backend app
	server app 127.0.0.1:{app}
"""


class Clients:
    """So many, as long as the block lasts."""

    def __init__(self, port, count, pause_ms):
        self.port, self.pause = port, pause_ms / 1000
        self.over = False
        self.answered = self.refused = 0
        self.lost = []
        self.lock = threading.Lock()
        self.threads = [threading.Thread(target=self._run, args=(n / count,))
                        for n in range(count)]

    def _ask(self, s):
        """True: the connection goes on. Something that was closed before the
        request could be sent is no loss."""
        s.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
        got = b""
        while b"\r\n\r\n" not in got:
            part = s.recv(65536)
            if not part:
                raise ConnectionError("closed")
            got += part
        head, _, body = got.partition(b"\r\n\r\n")
        if b" 200 " not in head.split(b"\r\n")[0] + b" ":
            raise ConnectionError(head.split(b"\r\n")[0].decode())
        if b"chunked" in head.lower():
            while not body.endswith(b"0\r\n\r\n"):
                body += s.recv(65536) or b"0\r\n\r\n"
        else:
            length = int(head.lower().split(b"content-length: ")[1].split(
                b"\r\n")[0])
            while len(body) < length:
                part = s.recv(65536)
                if not part:
                    raise ConnectionError("cut")
                body += part
        with self.lock:
            self.answered += 1
        return b"connection: close" not in head.lower()

    @staticmethod
    def _is_closed(s):
        s.setblocking(False)
        try:
            return s.recv(1) == b""
        except BlockingIOError:
            return False
        except OSError:
            return True
        finally:
            s.settimeout(30)

    def _run(self, offset):
        time.sleep(self.pause * offset)
        s = None
        while not self.over:
            try:
                if s is not None and self._is_closed(s):
                    s.close()
                    s = None
                if s is None:
                    try:
                        s = socket.create_connection(
                            ("127.0.0.1", self.port), timeout=30)
                    except ConnectionRefusedError:
                        self.refused += 1
                        time.sleep(self.pause)
                        continue
                if not self._ask(s):
                    s.close()
                    s = None
            except OSError as e:
                with self.lock:
                    self.lost.append(str(e))
                s.close()
                s = None
            time.sleep(self.pause)
        if s is not None:
            s.close()

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.over = True
        for thread in self.threads:
            thread.join()


def until(condition, what, limit=60):
    deadline = time.monotonic() + limit
    while not condition():
        if time.monotonic() > deadline:
            raise Trouble(f"{what} does not come")
        time.sleep(0.02)


def connects(port):
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
        return True
    except OSError:
        return False


def start(command):
    return subprocess.Popen(command, env=ENV, stdin=subprocess.DEVNULL)


class Site:
    """clusterd with a server, and whatever is in front of it."""

    def __init__(self, directory, args, server, way, balance):
        self.dir = directory
        self.app = self.front = free_port()
        self.log = os.path.join(self.dir, "log")
        command = {
            "abrupt": f"/usr/bin/python3 -IS {ABRUPT} {self.dir}/events",
            "node": f"{shutil.which('node')} {self.dir}/node.js {self.app}",
        }[server]
        with open(f"{self.dir}/node.js", "w", encoding="utf-8") as f:
            f.write(NODE)
        keys = {"command": command, "listen": f"127.0.0.1:{self.app}",
                "instances": "2", "balance": balance, "drain_timeout": "4s",
                "max_surge": "2",
                "handoff": "env" if server == "abrupt" else "adopt",
                **dict(word.split("=", 1) for word in args.keys)}
        with open(f"{self.dir}/app.ini", "w", encoding="utf-8") as f:
            f.write(f"[clusterd]\nlog = {self.log}\ncontrol = none\n[web]\n")
            f.writelines(f"{k} = {v}\n" for k, v in keys.items())
        self.start()
        self.proxy = None
        if way != "direct":
            self.front = free_port()
            self.proxy = self.start_proxy(way)
            until(lambda: connects(self.front), way)

    def start_proxy(self, way):
        path = f"{self.dir}/{way}.conf"
        text = {"nginx": NGINX, "haproxy": HAPROXY}[way].format(
            dir=self.dir, app=self.app, front=self.front)
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
        return start(
            [shutil.which("nginx", path="/usr/sbin:/usr/bin"), "-c", path]
            if way == "nginx" else
            [shutil.which("haproxy", path="/usr/sbin:/usr/bin"), "-db", "-f",
             path])

    def start(self):
        self.clusterd = start(
            [os.path.join(ROOT, os.environ.get("CLUSTERD", "build/clusterd")),
             "-c", f"{self.dir}/app.ini"])
        self.wait_log("start complete", self.count("start complete") + 1)

    def count(self, what):
        try:
            with open(self.log, encoding="utf-8") as f:
                return f.read().count(what)
        except FileNotFoundError:
            return 0

    def wait_log(self, what, count):
        until(lambda: self.count(what) >= count, what)

    def reload(self):
        done = self.count("reload complete")
        old = children(self.clusterd.pid)
        self.clusterd.send_signal(1)
        self.wait_log("reload complete", done + 1)
        until(lambda: not set(old) & set(children(self.clusterd.pid)),
              "the end of the old workers")

    def stop(self):
        begun = time.monotonic()
        self.clusterd.terminate()
        self.clusterd.wait(60)
        return time.monotonic() - begun

    def close(self):
        for process in (self.proxy, self.clusterd):
            if process is not None:
                end(process)


def measure(directory, args, server, way, balance):
    site = Site(directory, args, server, way, balance)
    stops = args.stops if way == "direct" else 0
    lost = {"reloads": [], "stops": []}
    took = []
    try:
        with Clients(site.front, args.clients, args.pause) as clients:
            time.sleep(0.5)
            for _ in range(args.reloads):
                site.reload()
                time.sleep(0.1)
        lost["reloads"] = clients.lost
        for _ in range(stops):
            with Clients(site.front, args.clients, args.pause) as clients:
                time.sleep(0.5)
                took.append(site.stop())
            lost["stops"] += clients.lost
            site.start()
    finally:
        site.close()
    stopped = f"{len(lost['stops']):5} in {stops} stops of " \
        f"{sorted(took)[stops // 2]:.2f} s" if stops else ""
    print(f"{server:8}{way:9}{balance:18}{len(lost['reloads']):5} lost in "
          f"{args.reloads} reloads  {stopped}", flush=True)
    if args.why:
        print("   ", {kind: sorted(set(what)) for kind, what in lost.items()})


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--reloads", type=int, default=10)
    p.add_argument("--stops", type=int, default=5)
    p.add_argument("--server", default="abrupt,node")
    p.add_argument("--way", default="direct,nginx,haproxy")
    p.add_argument("--balance", default="random")
    p.add_argument("--clients", type=int, default=8)
    p.add_argument("--pause", type=float, default=40)
    p.add_argument("--why", action="store_true")
    p.add_argument("keys", nargs="*")
    args = p.parse_args()
    for server in args.server.split(","):
        for way in args.way.split(","):
            for balance in args.balance.split(","):
                if way != "direct" and not shutil.which(
                        way, path="/usr/sbin:/usr/bin"):
                    print(f"{way} is not there")
                    continue
                with tempfile.TemporaryDirectory(prefix="cld-keep-") as d:
                    os.chmod(d, 0o777)
                    measure(d, args, server, way, balance)


if __name__ == "__main__":
    main()
