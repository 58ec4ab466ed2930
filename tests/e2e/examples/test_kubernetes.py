"""examples/kubernetes: that its files fit each other, and the life of a pod of them."""

import os
import re
import shutil
import signal
import time
import urllib.error
import urllib.request

import pytest

from harness import ROOT, SLOW, free_port, kill, probe, wait_until
from loads import Load
from webs import needs_web

yaml = pytest.importorskip("yaml", reason="needs python3-yaml")

EXAMPLE = os.path.join(ROOT, "examples/kubernetes")


def read(name):
    with open(os.path.join(EXAMPLE, name)) as f:
        return yaml.safe_load(f)


@pytest.fixture(scope="module")
def pod():
    return read("deployment.yaml")["spec"]["template"]


@pytest.fixture(scope="module")
def container(pod):
    (container,) = pod["spec"]["containers"]
    return container


def seconds(text, key):
    return int(re.search(rf"^{key} = (\d+)s$", text, re.M)[1])


def test_files_fit(pod, container):
    deployment, service = read("deployment.yaml"), read("service.yaml")
    monitor, config = read("podmonitor.yaml"), read("configmap.yaml")
    assert [f["kind"] for f in (deployment, service, monitor, config)] == [
        "Deployment", "Service", "PodMonitor", "ConfigMap"]
    labels = pod["metadata"]["labels"].items()
    for selector in (deployment["spec"]["selector"]["matchLabels"],
                     monitor["spec"]["selector"]["matchLabels"],
                     service["spec"]["selector"]):
        assert selector.items() <= labels
    ini = config["data"]["app.ini"]
    ports = {p["name"]: p["containerPort"] for p in container["ports"]}
    assert f"port = {ports['http']}\n" in ini
    assert f"web = 0.0.0.0:{ports['clusterd']}\n" in ini
    assert service["spec"]["ports"][0]["targetPort"] in ports
    assert monitor["spec"]["podMetricsEndpoints"][0]["port"] in ports
    volumes = {v["name"]: v for v in pod["spec"]["volumes"]}
    assert volumes["config"]["configMap"]["name"] == config["metadata"]["name"]
    mounts = {m["name"]: m["mountPath"] for m in container["volumeMounts"]}
    assert not any("subPath" in m for m in container["volumeMounts"])
    assert mounts.keys() == volumes.keys()
    assert f"directory = {mounts['config']}\n" in ini
    assert {"name": "RUNTIME_DIRECTORY", "value": mounts["run"] + "/own"} in \
        container["env"]
    assert f"-c {mounts['config']}/app.ini" in container["args"][0]
    # A stop is over before kubelet kills.
    assert seconds(ini, "stop_delay") + seconds(ini, "drain_timeout") + \
        seconds(ini, "stop_timeout") < \
        pod["spec"]["terminationGracePeriodSeconds"]
    # Readiness is looked at more often than stop_delay is long.
    assert container["readinessProbe"]["periodSeconds"] * \
        container["readinessProbe"]["failureThreshold"] < \
        seconds(ini, "stop_delay")


class Kubelet:
    """What kubelet does for a pod: a ConfigMap's files, and probes."""

    def __init__(self, box, container, port):
        self.box, self.container, self.port = box, container, port
        self.versions = 0

    def switch(self, files):
        """A new directory, and then ..data points there; files are links."""
        self.versions += 1
        name = f"..{self.versions}"
        os.mkdir(self.box.path(name))
        for file, text in files.items():
            self.box.write(f"{name}/{file}", text)
            if not os.path.islink(self.box.path(file)):
                os.symlink(f"..data/{file}", self.box.path(file))
        os.symlink(name, self.box.path("..data_tmp"))
        os.rename(self.box.path("..data_tmp"), self.box.path("..data"))

    def probe(self, kind):
        """Its status; 0: nobody is there. Kubelet names the pod by address."""
        path = self.container[kind]["httpGet"]["path"]
        try:
            with urllib.request.urlopen(
                    f"http://127.0.0.1:{self.port}{path}",
                    timeout=10 * SLOW) as r:
                return r.status
        except urllib.error.HTTPError as e:
            return e.code
        except OSError:
            return 0


@needs_web
def test_life_of_a_pod(box, container):
    """Start, ready, another ConfigMap, TERM while endpoints still name the pod, and
    the end. The endpoint lags by a tenth of what it may; stop_delay has room for
    a busy machine."""
    web_port, port, lag = free_port(), free_port(), 0.3
    files = read("configmap.yaml")["data"]
    for old, new in (("web = 0.0.0.0:9080", f"web = 127.0.0.1:{web_port}"),
                     ("port = 8080", f"listen = 127.0.0.1:{port}"),
                     ("stop_delay = 5s", f"stop_delay = {2000 * SLOW:g}ms"),
                     ("command = node server.js", "command = " + probe()),
                     ("directory = /srv/app", "canary = 0"),
                     ("directory = /etc/clusterd", f"directory = {box.dir}"),
                     ("instances = auto", "instances = 2")):
        assert old in files["app.ini"], old
        files["app.ini"] = files["app.ini"].replace(old, new)
    kubelet = Kubelet(box, container, web_port)
    kubelet.switch(files)
    # An emptyDir, which is everybody's; with fsGroup it has that group.
    os.mkdir(box.path("run"))
    os.chmod(box.path("run"), 0o2777)
    start = container["args"][0].replace("/etc/clusterd", box.dir)
    bin_dir = os.path.dirname(os.path.abspath(
        os.environ.get("CLUSTERD", "build/clusterd")))
    d = box.start("-c", start, program=shutil.which("sh"), env={
        "RUNTIME_DIRECTORY": box.path("run/own"), "FOLLOW_EVERY": "0.05",
        "PATH": bin_dir + ":" + os.environ["PATH"]})
    assert kubelet.probe("startupProbe") in (0, 503, 200)
    wait_until(lambda: kubelet.probe("startupProbe") == 200, d.log)
    assert kubelet.probe("livenessProbe") == 200
    d.wait_ready(4)
    old, mark = d.ready_pids("web"), d.mark()
    with Load(("127.0.0.1", port)) as load:
        wait_until(lambda: len(load.served) > 20, "answers")
        # What is wrong changes nothing. It comes while nobody follows.
        kill(d.ready_pids("follow")[0])
        kubelet.switch({**files, "app.ini": files["app.ini"] + "\nfoo = 1\n"})
        d.wait_log("foo", start=mark)
        assert d.ready_pids("web") == old
        # What is right is in force, for the app that it is about.
        (follow,) = d.wait_ready(1, app="follow")
        kubelet.switch({**files, "app.ini": files["app.ini"].replace(
            "canary = 0", "canary = 0\nenv = COLOUR=green")})
        d.wait_replaced(old, 2, app="web")
        assert kubelet.probe("readinessProbe") == 200
        assert d.ready_pids("follow") == [follow]
        # Deleted: TERM now, and the endpoint goes when all have heard of it.
        served = len(load.served)
        d.send(signal.SIGTERM)
        wait_until(lambda: kubelet.probe("readinessProbe") == 503, d.log)
        assert kubelet.probe("livenessProbe") == 200
        gone = time.monotonic() + lag * SLOW
        wait_until(lambda: time.monotonic() > gone, "the endpoint's removal")
        assert len(load.served) > served
    d.wait_end(0)
    print(f"\nfailed: {len(load.failed)}, of {len(load.served)}")
    assert not load.failed, load.failed
