"""clusterd-web: what other programs ask."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import time

import pytest

from harness import (HAS_KEEPER, IS_ROOT, SLOW, descriptors, kill, kinds,
                     probe, wait_until)
from webs import CLUSTERD_WEB, needs_web

pytestmark = needs_web

try:
    from prometheus_client import parser
    from prometheus_client.openmetrics import parser as openmetrics
except ImportError:
    parser = None

CSP = ("default-src 'none'; script-src 'self'; style-src 'self'; "
       "img-src 'self'; connect-src 'self'; base-uri 'none'; "
       "form-action 'none'; frame-ancestors 'none'")


@pytest.fixture
def served(box, webs):
    box.web()
    d = box.start()
    d.wait_ready(2)
    return d, webs()


def test_page(served):
    """Its files are in the program, under a policy that allows nothing else."""
    _, web = served
    total = 0
    for path, kind in (("/", "text/html"), ("/app.js", "text/javascript"),
                       ("/style.css", "text/css"),
                       ("/icon.svg", "image/svg+xml")):
        status, headers, text = web.get(path)
        assert status == 200 and headers["Content-Type"].startswith(kind)
        assert headers["Content-Security-Policy"] == CSP
        assert headers["X-Content-Type-Options"] == "nosniff"
        total += len(text)
        # No foreign host, and nothing that the policy would refuse.
        for address in re.findall(r"https?://[^\s\"'<>]+", text):
            assert address.startswith("http://www.w3.org/"), address
        assert not re.search(r"\son\w+=|style=\"|innerHTML|outerHTML|"
                             r"insertAdjacentHTML|document\.write|eval\(",
                             text), path
    assert total < 60 * 1024
    assert web.request("HEAD", "/")[0] == 200
    assert web.request("HEAD", "/")[2] == ""


def test_status(served):
    d, web = served
    found = web.json()
    assert found["clusterd"]["pid"] == d.keeper
    assert [(a["name"], a["ready"]) for a in found["apps"]] == [("web", 2)]
    assert [i["state"] for i in found["apps"][0]["instances"]] == \
        ["ready", "ready"]


def test_live_and_ready(box, webs):
    """/readyz is about each app that is to run; /livez about clusterd."""
    gate = box.path("gate")
    box.config(web={"command": probe(), "listen": "127.0.0.1:0",
                    "instances": 2},
               slow={"command": probe("--ready", "file:" + gate),
                     "listen": "127.0.0.1:0", "instances": 1,
                     "ready": "notify"})
    d = box.start()
    d.wait_ready(2, app="web")
    web = webs()
    assert web.get("/livez")[::2] == (200, "clusterd answers\n")
    assert web.get("/readyz")[::2] == (503, "slow: 0 ready, 1 needed\n")
    assert web.get("/readyz?app=web")[0] == 200
    assert web.get("/readyz?app=web&min=2")[0] == 200
    # An app cannot have more than it is to have.
    assert web.get("/readyz?app=web&min=9")[0] == 200
    assert web.get("/readyz?app=slow")[0] == 503
    assert web.get("/readyz?app=none")[::2] == \
        (404, 'there is no app "none"\n')
    for bad in ("min=0", "min=x", "min=", "min=5000", "app=a%2Fb", "app="):
        assert web.get("/readyz?" + bad)[0] == 400, bad
    box.touch("gate")
    wait_until(lambda: web.get("/readyz")[0] == 200, "all are ready")
    assert box.ctl("-c", box.path("app.ini"), "stop", "slow", env={
        "RUNTIME_DIRECTORY": box.dir}).returncode == 0
    # It was asked to stop, and serves nobody: of no account, unless named.
    wait_until(lambda: web.get("/readyz?app=slow")[0] == 503, "it was stopped")
    assert web.get("/readyz")[0] == 200


def test_going_down(box, webs):
    """While stop_delay runs, the host is not to be sent clients."""
    box.web(clusterd={"stop_delay": "30s"})
    d = box.start()
    d.wait_ready(2)
    web = webs()
    assert web.get("/readyz")[0] == 200
    d.send(signal.SIGTERM)
    d.wait_log("going down|stop_delay")
    began = time.monotonic()
    wait_until(lambda: web.get("/readyz")[::2] ==
               (503, "clusterd is going down\n"), "it says so")
    assert web.get("/livez")[0] == 200
    # The second one ends the delay; within 100 ms it is an echo of the first.
    wait_until(lambda: time.monotonic() > began + 0.11, "it is no echo")
    d.send(signal.SIGTERM)
    assert d.wait() == 0
    assert web.get("/livez")[0] == 503
    assert "no clusterd runs" in web.get("/readyz")[2] or \
        "not running" in web.get("/readyz")[2]


@pytest.mark.parametrize("accept,kind", [
    (None, "text/plain; version=0.0.4"),
    ("*/*", "text/plain; version=0.0.4"),
    ("application/json", "text/plain; version=0.0.4"),
    ("text/plain;version=0.0.4;q=0.5,application/openmetrics-text;q=0.4",
     "text/plain; version=0.0.4"),
    # Prometheus 2.42
    ("application/openmetrics-text;version=1.0.0,application/"
     "openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,"
     "*/*;q=0.1", "application/openmetrics-text; version=1.0.0"),
])
def test_metrics(served, accept, kind):
    _, web = served
    status, headers, text = web.get("/metrics", **(
        {"Accept": accept} if accept else {}))
    assert status == 200
    assert headers["Content-Type"].startswith(kind)
    is_open = kind.startswith("application")
    assert text.endswith("# EOF\n") == is_open
    assert 'clusterd_app_ready_instances{app="web"} 2' in text
    if parser is not None:
        judge = openmetrics if is_open else parser
        assert len(list(judge.text_string_to_metric_families(text))) > 20
    if not is_open and shutil.which("promtool"):
        done = subprocess.run(["promtool", "check", "metrics"], text=True,
                              input=text, capture_output=True)
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.skipif(shutil.which("prometheus") is None,
                    reason="no prometheus here")
def test_prometheus(box, served):
    """The real one scrapes it, as OpenMetrics."""
    _, web = served
    from harness import free_port
    port = free_port()
    box.write("prometheus.yml", "scrape_configs:\n- job_name: clusterd\n"
              "  scrape_interval: 1s\n  static_configs:\n"
              f"  - targets: ['{web.name}']\n")
    with open(box.path("prometheus.log"), "wb") as f:
        p = subprocess.Popen(
            ["prometheus", "--config.file", box.path("prometheus.yml"),
             "--storage.tsdb.path", box.path("tsdb"),
             "--web.listen-address", f"127.0.0.1:{port}"],
            stdout=f, stderr=f, env=box.environment())
    try:
        def ask(query):
            import urllib.request
            try:
                with urllib.request.urlopen(
                        f"http://127.0.0.1:{port}/api/v1/query?query={query}",
                        timeout=5) as r:
                    found = json.load(r)["data"]["result"]
            except OSError:
                return None
            return [r["value"][1] for r in found]
        wait_until(lambda: ask("up") == ["1"], "a scrape", 30)
        wait_until(lambda: ask("count(clusterd_info)") == ["1"],
                   "what it is of", 30)
    finally:
        p.kill()
        p.wait()


def test_not_there(box, webs):
    """Without a clusterd it says so, and finds one that comes."""
    box.web()
    web = webs()
    status, _, text = web.get("/status.json")
    assert status == 503 and "no clusterd runs" in text
    assert web.get("/metrics")[0] == web.get("/livez")[0] == 503
    assert web.get("/")[0] == 200
    d = box.start()
    d.wait_ready(2)
    assert web.json()["apps"][0]["ready"] == 2


@pytest.mark.skipif(not HAS_KEEPER, reason="no keeper here")
def test_supervisor_killed(served):
    d, web = served
    assert web.get("/livez")[0] == 200
    os.kill(d.find_supervisor(), signal.SIGKILL)

    def is_told():
        status, _, text = web.get("/status.json")
        return status == 200 and \
            json.loads(text)["clusterd"]["supervisor_restarts"] == 1
    wait_until(is_told, "the next one answers")


def test_unix(box, webs):
    box.web()
    d = box.start()
    d.wait_ready(2)
    path = box.path("web.sock")
    web = webs(listen="unix:" + path)
    assert web.json()["apps"][0]["ready"] == 2
    web.stop()
    assert not os.path.exists(path) and not os.path.exists(path + ".lane")


def test_halves(box, webs, as_root):
    """Who serves is nobody, and holds no way to the control socket."""
    box.web()
    d = box.start()
    d.wait_ready(2)
    web = webs("--user", "nobody")
    assert web.json()["apps"]
    serving, broker = web.pids()
    with open(f"/proc/{serving}/status") as f:
        status = f.read()
    nobody = __import__("pwd").getpwnam("nobody")
    assert f"Uid:\t{nobody.pw_uid}\t{nobody.pw_uid}\t{nobody.pw_uid}" in status
    assert re.search(r"^Groups:\s*$", status, re.M)
    assert "CapEff:\t0000000000000000" in status
    assert "NoNewPrivs:\t1" in status
    # The other half has none of the listeners, nor for long what it hands over.
    wait_until(lambda: kinds(broker).count("socket") == 1,
               lambda: descriptors(broker))
    # One without the other is of no use.
    kill(broker)
    wait_until(lambda: web.process.poll() is not None, "its end")
    assert web.process.returncode == 1
    assert "the half that talks to clusterd has ended" in web.log()


def run_web(box, *options):
    return subprocess.run([CLUSTERD_WEB, *options], capture_output=True,
                          text=True, env=box.environment(), cwd=box.dir,
                          timeout=20 * SLOW)


def test_options(box):
    done = run_web(box, "--help")
    assert done.returncode == 0 and "usage:" in done.stdout
    assert run_web(box, "-V").stdout == \
        box.ctl("-V").stdout.replace("clusterctl", "clusterd-web")
    for options, words in (
            ((), "there is nothing to serve at"),
            (("-c", "a", "-s", "b"), "two clusterds"),
            (("extra",), "not expected"),
            (("--nope",), "unrecognized"),
            (("-l", "udp:9"), "served by TCP"),
            (("-l", "x:y"), "x:y"),
            (("--host", "a/b"), "no name of a host")):
        done = run_web(box, *options)
        assert done.returncode == 64, (options, done)
        assert words in done.stderr, (options, done.stderr)
    token = box.write("token", "short\n", mode=0o600)
    for text, mode, words in (("short", 0o600, "16 to 256"),
                              ("x" * 20, 0o644, "chmod o="),
                              ("x" * 10 + " " + "x" * 10, 0o600, "blanks")):
        token = box.write("token", text, mode=mode)
        done = run_web(box, "-l", "127.0.0.1:0", "--token-file", token)
        assert done.returncode != 0 and words in done.stderr, done.stderr
    if IS_ROOT:
        done = run_web(box, "-l", "127.0.0.1:0", "--user", "no-such-user")
        assert 'no user "no-such-user"' in done.stderr


def test_given_sockets(box):
    """LISTEN_FDS, as another supervisor would start it."""
    box.web()
    d = box.start()
    d.wait_ready(2)
    with socket.create_server(("127.0.0.1", 0)) as s:
        pid = os.fork()
        if pid == 0:
            os.dup2(s.fileno(), 3)
            os.environ["LISTEN_FDS"] = "1"
            os.environ["LISTEN_PID"] = str(os.getpid())
            os.environ["RUNTIME_DIRECTORY"] = box.dir
            os.execv(CLUSTERD_WEB, [CLUSTERD_WEB, "-c", box.path("app.ini")] +
                     (["--user", "root"] if "-asan" in CLUSTERD_WEB else []))
        import http.client
        c = http.client.HTTPConnection(*s.getsockname(), timeout=20 * SLOW)
        c.request("GET", "/livez")
        assert c.getresponse().status == 200
        c.close()
        kill(pid, signal.SIGTERM)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
