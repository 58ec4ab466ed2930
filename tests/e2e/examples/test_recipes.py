"""The recipes of clusterd-recipes(7), as they stand there: each with the real
program, but for its port, which is a free one."""

import contextlib
import os
import re
import shutil
import socket
import struct
import subprocess
import threading

import pytest

from harness import ROOT, SLOW, _connect, free_port, kill, wait_until
from programs import script

PAGE = os.path.join(ROOT, "man", "clusterd-recipes.7")
# Not a python3 of the user's own, which has none of Debian's packages.
PATH = os.pathsep.join(["/usr/bin", "/bin", "/usr/sbin",
                        os.environ.get("PATH", os.defpath)])


def recipes():
    """Title → the files shown there: the INI, then what belongs to it."""
    with open(PAGE) as f:
        text = f.read()
    found = {}
    for part in text.split("\n.Ss ")[1:]:
        title, _, rest = part.partition("\n")
        files = re.findall(r"^\.Bd -literal.*?\n(.*?)^\.Ed$", rest,
                           re.M | re.S)
        found[title] = [text.replace("\\e", "\\") for text in files]
    return found


RECIPES = recipes()


# --- clients

def read_all(s):
    reply = b""
    while part := s.recv(65536):
        reply += part
    return reply


def ask_http(port):
    with _connect(port, 20 * SLOW) as s:
        s.sendall(b"GET / HTTP/1.0\r\nHost: x\r\n\r\n")
        reply = read_all(s)
    if not re.match(rb"HTTP/1\.[01] 200\b", reply):
        raise ConnectionError(repr(reply))
    return reply.partition(b"\r\n\r\n")[2]


def ask_fastcgi(port, path):
    """One request for the script at `path`."""
    def record(kind, body):
        return struct.pack(">BBHHBx", 1, kind, 1, len(body), 0) + body

    def pair(name, value):
        return struct.pack(">BB", len(name), len(value)) + name + value

    values = {b"REQUEST_METHOD": b"GET", b"SCRIPT_FILENAME": path.encode(),
              b"QUERY_STRING": b""}
    with _connect(port, 20 * SLOW) as s:
        s.sendall(record(1, struct.pack(">HB5x", 1, 0)) +
                  record(4, b"".join(pair(*v) for v in values.items())) +
                  record(4, b"") + record(5, b""))
        reply = read_all(s)
    if b"pid " not in reply:
        raise ConnectionError(repr(reply))
    return reply


def ask_udp(port):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.settimeout(0.5 * SLOW)
        s.connect(("127.0.0.1", port))
        for _ in range(20):
            s.send(b"hello")
            with contextlib.suppress(socket.timeout, ConnectionError):
                return s.recv(65536)
    raise socket.timeout("no datagram was answered")


class Load:
    """Four clients that ask all the time; none may fail."""

    def __init__(self, ask):
        self.ask = ask
        self.answered = 0
        self.failures = []
        self.over = threading.Event()
        self.threads = [threading.Thread(target=self.run) for _ in range(4)]

    def run(self):
        while not self.over.wait(0.01):
            try:
                self.ask()
                self.answered += 1
            except (OSError, AssertionError) as e:
                self.failures.append(repr(e))

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        wait_until(lambda: self.answered > 10 or self.failures,
                   "a stream of answers", 30)
        return self

    def __exit__(self, *exception):
        self.over.set()
        for thread in self.threads:
            thread.join()
        if exception[0] is None:
            assert not self.failures, (f"{len(self.failures)} failed, "
                                       f"{self.answered} answered; "
                                       f"{self.failures[:5]}")


# --- what each serves

WSGI = '''
import os

def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"pid %d\\n" % os.getpid()]
'''

ASGI = '''
import os

async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    await send({"type": "http.response.start", "status": 200,
                "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body",
                "body": b"pid %d\\n" % os.getpid()})
'''

RACK = '''
run lambda { |_| [200, {"Content-Type" => "text/plain"},
                  ["pid #{Process.pid}\\n"]] }
'''

# As the server.js of a standalone Next.js: PORT and HOSTNAME, and its default.
NEXT = '''
require('node:http').createServer((request, response) => {
	response.end(`pid ${process.pid}\\n`);
}).listen(parseInt(process.env.PORT, 10) || 3000,
	process.env.HOSTNAME || '0.0.0.0');
'''

NGINX = '''
events {
}
http {
	access_log access.log;
	client_body_temp_path temp.body;
	proxy_temp_path temp.proxy;
	fastcgi_temp_path temp.fastcgi;
	uwsgi_temp_path temp.uwsgi;
	scgi_temp_path temp.scgi;
	server {
		listen %d;
		return 200 "pid $pid";
	}
}
'''


class Recipe:
    """A box with the files of a recipe, at a free port for the one shown."""

    def __init__(self, box, title, shown, kind=socket.SOCK_STREAM):
        self.box = box
        self.port = free_port(kind)
        ini, *self.more = [self.moved(text, shown)
                           for text in RECIPES[title]]
        self.ini = ini
        self.d = None

    def moved(self, text, shown):
        """The same with our port."""
        return re.sub(rf"\b{shown}\b", str(self.port), text)

    def start(self, env=None):
        self.box.write("app.ini", self.ini)
        self.d = self.box.start(env={"PATH": PATH, **(env or {})})
        self.app = re.search(r"^\[(.*)\]$", self.ini, re.M)[1]
        wanted = re.search(r"^instances = (.*)$", self.ini, re.M)[1]
        if wanted == "auto":
            self.d.wait_log(r"starting \d+ instance", limit=20)
            wanted = self.d.find(r"starting (\d+) instance")[0][1]
        self.wanted = int(wanted)
        self.d.wait_ready(self.wanted, limit=60)
        return self.d


def needs(*programs):
    for program in programs:
        if not shutil.which(program, path=PATH):
            pytest.skip(f"needs {program}")


def holds(recipe, ask, lossy=False):
    """It serves, also over a reload, after a crash, and is gone at the end."""
    d = recipe.d
    ask()
    old = d.ready_pids()
    with contextlib.ExitStack() as stack:
        if not lossy:
            stack.enter_context(Load(ask))
        done = recipe.box.ctl("-c", "app.ini", "reload", limit=90,
                              env={"RUNTIME_DIRECTORY": recipe.box.dir})
        assert done.returncode == 0, done.stderr + d.log()
    d.wait_replaced(old, recipe.wanted, limit=60)
    victim = d.ready_pids()[0]
    kill(victim)
    d.wait_replaced([victim], recipe.wanted, limit=60)
    ask()
    d.stop(limit=60)


def holds_http(recipe):
    holds(recipe, lambda: ask_http(recipe.port))


# --- the recipes

def gunicorn(box, title):
    needs("gunicorn")
    box.write("app.py", WSGI)
    recipe = Recipe(box, title, 8000)
    recipe.start()
    holds_http(recipe)


def uvicorn(box, title):
    needs("uvicorn")
    box.write("app.py", ASGI)
    recipe = Recipe(box, title, 8000)
    recipe.start()
    holds_http(recipe)


def celery(box, title):
    """A task that is at work when its worker is told to go is finished."""
    needs("celery")
    box.write("tasks.py", f'''
import os, time
from celery import Celery

app = Celery("tasks", broker="filesystem://")
app.conf.update(
    broker_transport_options={{"data_folder_in": "queue",
                              "data_folder_out": "queue",
                              "processed_folder": "queue"}},
    worker_prefetch_multiplier=1, task_acks_late=True)

@app.task
def note(name, go):
    open(name + ".begun", "w").close()
    while not os.path.exists(go):
        time.sleep(0.02)
    open(name + ".done", "w").close()
''')
    os.mkdir(box.path("queue"))
    recipe = Recipe(box, title, "-")
    d = recipe.start()
    box.write("send.py", "import sys, tasks\n"
              "tasks.note.delay(sys.argv[1], 'go')\n")
    for i in range(recipe.wanted):
        subprocess.run(["/usr/bin/python3", "send.py", f"task{i}"],
                       cwd=box.dir, check=True, timeout=60 * SLOW,
                       env={"PATH": PATH})
    wait_until(lambda: os.path.exists(box.path("task0.begun")),
               lambda: f"a task begins:\n{d.log()}", 60)
    begun = [i for i in range(recipe.wanted)
             if os.path.exists(box.path(f"task{i}.begun"))]
    d.send(15)
    d.wait_log(r"stopping", limit=20)
    box.touch("go")
    d.wait_end(0, limit=60)
    for i in begun:
        assert os.path.exists(box.path(f"task{i}.done")), d.log()


def php_fpm(box, title):
    fpm = [p for p in ("php-fpm", "php-fpm8.2", "php-fpm8.3", "php-fpm8.4")
           if shutil.which(p, path=PATH)]
    if not fpm:
        pytest.skip("needs php-fpm")
    recipe = Recipe(box, title, 9000)
    conf = recipe.more[0]
    if os.geteuid() == 0:
        conf += "user = nobody\ngroup = nogroup\n"
    box.write("fpm.conf", conf)
    path = box.write("pid.php", "pid <?php echo getmypid();\n")
    # Debian has the version in its name.
    recipe.ini = recipe.ini.replace("= php-fpm ", f"= {fpm[0]} ")
    recipe.start()
    holds(recipe, lambda: ask_fastcgi(recipe.port, path))


def nginx(box, title):
    needs("nginx")
    recipe = Recipe(box, title, 8080)
    box.write("nginx.conf", recipe.more[0] + NGINX % recipe.port)
    recipe.start()
    holds_http(recipe)


def puma(box, title):
    needs("puma")
    box.write("config.ru", RACK)
    recipe = Recipe(box, title, 3000)
    recipe.start()
    holds_http(recipe)


def node(box, title):
    needs("node")
    box.write("server.js", NEXT)
    recipe = Recipe(box, title, 3000)
    recipe.start()
    holds_http(recipe)


def java(box, title):
    needs("java", "javac", "jar")
    for command in (["javac", "-d", box.dir, script("Http.java")],
                    ["jar", "cfe", "app.jar", "Http", "-C", box.dir, "."]):
        subprocess.run(command, cwd=box.dir, check=True, timeout=120 * SLOW,
                       env={"PATH": PATH})
    recipe = Recipe(box, title, 8080)
    recipe.ini = recipe.ini.replace("app.jar", f"app.jar {recipe.port}")
    recipe.start()
    holds_http(recipe)


def static(box, title):
    needs("go")
    env = {"PATH": PATH, "CGO_ENABLED": "0", "GO111MODULE": "off",
           "GOPROXY": "off", "GOTOOLCHAIN": "local", "HOME": box.dir,
           "GOCACHE": box.path("cache"), "GOPATH": box.path("path")}
    subprocess.run(["go", "build", "-o", box.path("http-go"),
                    script("http.go")], cwd=box.dir, env=env, check=True,
                   timeout=300 * SLOW)
    recipe = Recipe(box, title, 8080)
    recipe.start()
    holds_http(recipe)


def udp(box, title):
    with open(script("udp.py")) as f:
        box.write("udp.py", f.read())
    recipe = Recipe(box, title, 5353, socket.SOCK_DGRAM)
    recipe.start()
    holds(recipe, lambda: ask_udp(recipe.port))


def wrapper(box, title):
    recipe = Recipe(box, title, 8080)
    recipe.start()
    holds_http(recipe)


RUN = {
    "gunicorn": gunicorn,
    "uvicorn": uvicorn,
    "Celery": celery,
    "php-fpm": php_fpm,
    "nginx": nginx,
    "Puma and Rails": puma,
    "Node.js and Next.js": node,
    "Java": java,
    "A static binary": static,
    "A UDP server": udp,
    "Wrappers": wrapper,
}


def test_every_recipe_is_run():
    assert list(RECIPES) == list(RUN)


@pytest.mark.parametrize("title", RUN)
def test_recipe(box, title):
    RUN[title](box, title)
