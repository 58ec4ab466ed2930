"""The metrics in Prometheus: a real one scrapes them, and the alert rules and
the dashboard of the examples are of metrics that there are, and mean what they
say."""

import contextlib
import http.server
import json
import os
import re
import shutil
import subprocess
import threading
import urllib.parse
import urllib.request

import pytest

from harness import ROOT, SLOW, free_port, kill, wait_until

EXAMPLES = os.path.join(ROOT, "examples/prometheus")
RULES = f"{EXAMPLES}/clusterd.rules.yml"
DASHBOARD = f"{EXAMPLES}/clusterd-dashboard.json"

needs_promtool = pytest.mark.skipif(
    not shutil.which("promtool"), reason="needs promtool (prometheus)")
needs_prometheus = pytest.mark.skipif(
    not shutil.which("prometheus"), reason="needs prometheus")


def text_of(path):
    with open(path) as file:
        return file.read()


def promtool(*arguments):
    done = subprocess.run(["promtool", *arguments], capture_output=True,
                          text=True, timeout=60 * SLOW)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def expressions():
    """Of the dashboard, as a Prometheus gets them."""
    found = [target["expr"] for panel in json.loads(text_of(DASHBOARD))["panels"]
             for target in panel["targets"]]
    assert len(found) > 15
    return [e.replace("$__rate_interval", "1m").replace("$job", ".+")
            .replace("$app", ".+") for e in found]


# --- the examples

def test_they_are_of_metrics_that_there_are():
    source = text_of(f"{ROOT}/src/core/status/metrics_text.c")
    known = set(re.findall(r'"(clusterd_\w+)"', source))
    assert len(known) > 20
    for text in [text_of(RULES), *expressions()]:
        # `clusterd_` and a name, and none that is a label's value.
        used = set(re.findall(r"\bclusterd_\w+", text))
        assert used and used <= known, used - known


@needs_promtool
def test_promtool_takes_rules_and_dashboard(box):
    assert re.search(r"\b[89] rules found", promtool("check", "rules", RULES))
    path = box.write("dashboard.yml", json.dumps({"groups": [
        {"name": "dashboard", "rules": [
            {"record": f"panel:{n}", "expr": e}
            for n, e in enumerate(expressions())]}]}))
    assert "SUCCESS" in promtool("check", "rules", path)


def test_dashboard_is_whole():
    board = json.loads(text_of(DASHBOARD))
    ids = [panel["id"] for panel in board["panels"]]
    assert len(set(ids)) == len(ids)
    places = set()
    for panel in board["panels"]:
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= 24
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"])
                 for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & places, panel["title"]
        places |= cells
        refs = [target["refId"] for target in panel["targets"]]
        assert len(set(refs)) == len(refs)
    names = {v["name"] for v in board["templating"]["list"]}
    used = set(re.findall(r"\$\{?(\w+)", text_of(DASHBOARD)))
    assert used - {"__rate_interval", "__all"} == names


# What is told every 15 seconds for 20 minutes, and what is to fire at the end.
BUSY = 'app="web",instance="host:9100",worker="0"'
CASES = [
    ("ClusterdCrashLoop",
     {f'clusterd_instance_restarts_total{{{BUSY},reason="failure"}}':
      "0x40 0+1x40"}, True),
    # A crash now and then is none, nor are ends with a success code.
    ("ClusterdCrashLoop",
     {f'clusterd_instance_restarts_total{{{BUSY},reason="signal"}}':
      "0x70 1x10"}, False),
    ("ClusterdCrashLoop",
     {f'clusterd_instance_restarts_total{{{BUSY},reason="exit"}}':
      "0+1x80"}, False),
    ("ClusterdReloadAborted",
     {'clusterd_app_reloads_total{app="web",result="aborted"}':
      "0x60 1x20"}, True),
    ("ClusterdReloadAborted",
     {'clusterd_app_reloads_total{app="web",result="ok"}': "0x60 1x20"},
     False),
    ("ClusterdReloadRefused",
     {"clusterd_reloads_refused_total": "0x60 1x20"}, True),
    ("ClusterdQueueFull",
     {'clusterd_listener_waiting_connections{app="web",address="*:80"}':
      "0x70 4000x10",
      'clusterd_listener_backlog_connections{app="web",address="*:80"}':
      "4096x80"}, True),
    ("ClusterdQueueFull",
     {'clusterd_listener_waiting_connections{app="web",address="*:80"}':
      "0x79 3000x1",
      'clusterd_listener_backlog_connections{app="web",address="*:80"}':
      "4096x80"}, False),
    ("ClusterdPacketsDropped",
     {'clusterd_listener_dropped_packets_total{app="web",address="*:80"}':
      "0x60 0+1x20"}, True),
    ("ClusterdInstancesMissing",
     {'clusterd_app_ready_instances{app="web"}': "4x60 3x20",
      'clusterd_app_wanted_instances{app="web"}': "4x80"}, True),
    ("ClusterdInstancesMissing",
     {'clusterd_app_ready_instances{app="web"}': "4x76 3x4",
      'clusterd_app_wanted_instances{app="web"}': "4x80"}, False),
    ("ClusterdInstanceUnhealthy",
     {'clusterd_instance_healthy{app="web",worker="1"}': "1x60 0x20"}, True),
    ("ClusterdInstanceUnhealthy",
     {'clusterd_instance_healthy{app="web",worker="1"}': "1x76 0x4"}, False),
    ("ClusterdAppDown",
     {'clusterd_app_ready_instances{app="web"}': "4x70 0x10",
      'clusterd_app_wanted_instances{app="web"}': "4x80"}, True),
    # One that was stopped by request.
    ("ClusterdAppDown",
     {'clusterd_app_ready_instances{app="web"}': "4x70 0x10",
      'clusterd_app_wanted_instances{app="web"}': "4x70 0x10"}, False),
    ("ClusterdGone", {}, True),
    ("ClusterdGone", {'clusterd_uptime_seconds{clusterd="app"}': "0+15x80"},
     False),
]


@needs_promtool
@pytest.mark.parametrize("alert, series, fires", CASES)
def test_alerts_fire_when_they_should(box, alert, series, fires):
    """By an expression, not by the texts, which are for people."""
    path = box.write("test.yml", json.dumps({
        "rule_files": [RULES], "evaluation_interval": "15s",
        "tests": [{
            "interval": "15s",
            "input_series": [{"series": s, "values": v}
                             for s, v in series.items()],
            "promql_expr_test": [{
                "expr": f'count(ALERTS{{alertname="{alert}",'
                        'alertstate="firing"}) or vector(0)',
                "eval_time": "20m",
                "exp_samples": [{"labels": "{}", "value": int(fires)}]}],
        }]}))
    promtool("test", "rules", path)


# --- a real one

TYPES = {"text": "text/plain; version=0.0.4; charset=utf-8",
         "openmetrics": "application/openmetrics-text; version=1.0.0; "
                        "charset=utf-8"}


@contextlib.contextmanager
def served(box):
    """What clusterctl prints, at /text and /openmetrics."""
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            kind = self.path.strip("/")
            done = box.ctl("-c", "app.ini", "metrics",
                           *["--openmetrics"] * (kind == "openmetrics"),
                           env={"RUNTIME_DIRECTORY": box.dir})
            self.send_response(200 if done.returncode == 0 else 500)
            self.send_header("Content-Type", TYPES[kind])
            self.end_headers()
            self.wfile.write(done.stdout.encode())

        def log_message(self, *_):
            pass
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextlib.contextmanager
def prometheus(box, metrics_port):
    port = free_port()
    config = box.write("prometheus.yml", json.dumps({
        "rule_files": [RULES],
        "global": {"scrape_interval": "1s", "scrape_timeout": "1s",
                   "evaluation_interval": "1s"},
        "scrape_configs": [
            {"job_name": kind, "metrics_path": f"/{kind}", "static_configs": [
                {"targets": [f"127.0.0.1:{metrics_port}"]}]}
            for kind in TYPES]}))
    with open(box.path("prometheus.log"), "w") as log:
        p = subprocess.Popen(
            ["prometheus", f"--config.file={config}",
             f"--storage.tsdb.path={box.path('tsdb')}",
             f"--web.listen-address=127.0.0.1:{port}"],
            cwd=box.dir, env=box.environment(), stdout=log, stderr=log)

    def ask(path, **query):
        url = f"http://127.0.0.1:{port}/api/v1/{path}?" + \
            urllib.parse.urlencode(query)
        try:
            with urllib.request.urlopen(url, timeout=20 * SLOW) as answer:
                return json.load(answer)["data"]
        except OSError:
            assert p.poll() is None, text_of(box.path("prometheus.log"))
            return None
    try:
        yield ask
    finally:
        p.kill()
        p.wait()


@needs_prometheus
def test_a_real_one_scrapes_both_formats(box):
    box.web(instances=2, restart_delay="20ms")
    d = box.start()
    kill(d.wait_ready(2)[0])
    with served(box) as port, prometheus(box, port) as ask:
        def values(expr):
            data = ask("query", query=expr)
            return {r["metric"].get("job"): float(r["value"][1])
                    for r in data["result"]} if data else {}

        def looks(expr):
            return lambda: values(expr) == {kind: 1 for kind in TYPES}
        wait_until(looks("up"), lambda: f"{values('up')}, "
                   f"{ask('targets')}", 60)
        wait_until(looks('sum by (job) (clusterd_instance_restarts_total'
                         '{app="web",reason="signal"})'), "the restart", 20)
        # Of each scrape: a busy machine misses one, and then all of it is gone.
        wait_until(looks('clusterd_info{version!=""}'), "the version", 20)
        types = {(t["target"]["job"], t["metric"]): t["type"]
                 for t in wait_until(lambda: ask("targets/metadata"),
                                     "metadata")}
        name = "clusterd_instance_restarts"
        assert types["text", f"{name}_total"] == "counter"
        assert types["openmetrics", name] == "counter"
        assert types["text", "clusterd_info"] == "gauge"
        assert types["openmetrics", "clusterd"] == "info"
        assert "unknown" not in types.values(), types

        def healths():
            told = ask("rules") or {"groups": [{"rules": []}]}
            return [r["health"] for r in told["groups"][0]["rules"]]
        wait_until(lambda: healths() == ["ok"] * 9, lambda: str(ask("rules")),
                   20)
    d.stop()
