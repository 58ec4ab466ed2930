"""What is handed out: built twice, in two places, into the same bytes; installed
in a bare Debian root, where it serves, is upgraded meanwhile, and taken away.

`make check-packages`; no part of `make check`, for it takes some minutes, Debian's
archive, and tools that nothing else takes. What is not at hand is said in the
reason of the skip."""

import filecmp
import glob
import http.client
import json
import os
import platform
import re
import shutil
import signal
import socket
import subprocess
import threading
import time
import urllib.request

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(
    __file__))))
MACHINE = platform.machine()
EPOCH = "1764547200"
LIMIT = 1800 * float(os.environ.get("CLUSTERD_TEST_SLOW", "1"))


def run(*command, cwd=ROOT, limit=LIMIT, **env):
    """Its output; a failure shows the end of it."""
    done = subprocess.run(
        [str(word) for word in command], cwd=cwd, timeout=limit, text=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, "SOURCE_DATE_EPOCH": EPOCH, **env})
    assert done.returncode == 0, \
        f"{' '.join(map(str, command))}:\n{done.stdout[-4000:]}"
    return done.stdout


def need(*programs):
    for program in programs:
        if not shutil.which(program, path=os.environ["PATH"] + ":/usr/sbin"):
            pytest.skip(f"needs {program}")


def wait_until(holds, seconds=30):
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "not within the time"
        time.sleep(0.05)


@pytest.fixture(scope="module")
def trees(tmp_path_factory):
    """The source in two places whose names differ in length, by `make dist`."""
    run("make", "dist")
    archive, = glob.glob(f"{ROOT}/build/packages/clusterd-*[0-9].tar.gz")
    places = []
    for name in ("a", "another-place"):
        place = tmp_path_factory.mktemp(name)
        run("tar", "-C", place, "--strip-components=1", "-xzf", archive)
        places.append(place)
    return places


def built_twice(trees, pattern, *command, **env):
    """The files that the command makes, which are the same in both places."""
    for tree in trees:
        run(*command, cwd=tree, **env)
    first, second = (sorted(
        os.path.relpath(path, tree)
        for path in glob.glob(str(tree / pattern))) for tree in trees)
    assert first == second and first, first
    for name in first:
        assert filecmp.cmp(trees[0] / name, trees[1] / name, shallow=False), \
            f"{name} is another the second time"
    return [trees[0] / name for name in first]


# ---- the source ----

def test_dist_builds_the_same_archive_again(trees):
    archive, = built_twice(trees, "build/packages/*.tar.gz", "make", "dist")
    mine, = glob.glob(f"{ROOT}/build/packages/clusterd-*[0-9].tar.gz")
    assert filecmp.cmp(archive, mine, shallow=False), \
        "an archive that was packed from an archive is another one"


def test_what_is_installed_knows_where_and_can_be_taken_away(trees, tmp_path):
    tree = trees[0]
    run("make", "-j2", "all", cwd=tree)
    places = (f"DESTDIR={tmp_path}", "PREFIX=/opt/clusterd")
    run("make", "install", *places, cwd=tree)
    units = glob.glob(f"{tmp_path}/opt/clusterd/lib/systemd/system/*.service")
    assert sorted(map(os.path.basename, units)) == \
        ["clusterd.service", "clusterd@.service"]
    for unit in units:
        text = open(unit).read()
        conf = "/etc/clusterd/%s.ini" % (
            "%i" if "@" in os.path.basename(unit) else "app")
        assert f"\nExecStart=/opt/clusterd/sbin/clusterd -c {conf}\n" in text
        assert f"\nExecReload=/opt/clusterd/bin/clusterctl -c {conf} " in text
        assert "/usr/local" not in text
    run("make", "uninstall", *places, cwd=tree)
    assert [names for _, _, names in os.walk(tmp_path) if names] == []


# ---- the static binary ----

@pytest.fixture(scope="module", params=["x86_64", "aarch64"])
def static(request, trees, tmp_path_factory):
    arch = request.param
    need("cc" if arch == MACHINE else f"{arch}-linux-gnu-gcc")
    deps = tmp_path_factory.mktemp("deps")
    done = subprocess.run(
        ["make", "static-deps", f"ARCH={arch}", f"STATIC_DEPS={deps}"],
        cwd=ROOT, timeout=LIMIT, text=True, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode != 0:
        pytest.skip(f"no musl for {arch}: {done.stdout[-300:]}")
    programs = built_twice(
        trees, f"build-static/{arch}/cluster*[dl]", "make", "-j2", "static",
        f"ARCH={arch}", f"STATIC_DEPS={deps}", "WERROR=1")
    return arch, {os.path.basename(path): path for path in programs}


def test_static_is_small_and_needs_nothing(static):
    arch, programs = static
    assert sorted(programs) == ["clusterctl", "clusterd"]
    for path in programs.values():
        assert os.path.getsize(path) < 1_500_000
        headers = run("readelf", "-lhd", path)
        assert "INTERP" not in headers and "NEEDED" not in headers
        assert "GNU_RELRO" in headers and "RWE" not in headers
    print(arch, {name: os.path.getsize(path)
                 for name, path in programs.items()})


def test_static_runs(static):
    arch, programs = static
    launcher = []
    if arch != MACHINE:
        launcher = [f"qemu-{arch}-static"]
        need(*launcher)
    assert run(*launcher, programs["clusterd"], "--version") == \
        run(*launcher, programs["clusterctl"], "--version").replace(
            "clusterctl", "clusterd")
    assert "configuration ok" in run(
        *launcher, programs["clusterd"], "-t", "-c", f"{ROOT}/conf/hello.ini")


def test_static_serves(static, tmp_path):
    """Of an emulator, which has no seccomp filters, with the socket handed over."""
    arch, programs = static
    launcher = []
    if arch != MACHINE:
        launcher = [f"qemu-{arch}-static"]
        need(*launcher)
    run("make", "examples/hello-server")
    port = free_port()
    conf = tmp_path / "app.ini"
    conf.write_text(f"[clusterd]\ncontrol = {tmp_path}/control\n"
                    f"[web]\ncommand = {ROOT}/examples/hello-server\n"
                    f"port = {port}\ninstances = 2\nhandoff = env\n"
                    "drain_timeout = 1s\n")
    steer = (*launcher, programs["clusterctl"], "-c", conf)
    with open(tmp_path / "log", "w") as log:
        daemon = subprocess.Popen([*launcher, programs["clusterd"], "-c", conf],
                                  stdin=subprocess.DEVNULL, stdout=log,
                                  stderr=log)
    try:
        assert run(*steer, "wait", "-t", "120s").endswith("ready\n")
        assert get(port).startswith(b"hello from instance ")
        assert run(*steer, "reload").endswith("reloaded\n")
        assert get(port).startswith(b"hello from instance ")
        assert run(*steer, "stop").endswith("stopped\n")
        assert daemon.wait(120) == 0
    finally:
        if daemon.poll() is None:
            print(open(tmp_path / "log").read())
            daemon.terminate()
            daemon.wait(120)


def test_static_passes_the_end_to_end_tests(static):
    """A part of them: `make check-static` has them all."""
    arch, programs = static
    if arch != MACHINE:
        pytest.skip(f"not on {MACHINE}: an emulator has no seccomp filters")
    run("make", "build/probe", "build/binder", "build/openloop")
    told = run(
        "/usr/bin/python3", "-B", "-m", "pytest", "-q", "-p",
        "no:cacheprovider", "life/test_start.py", "config/test_reload.py",
        "adopt/test_adopt.py", "output/test_output.py",
        cwd=f"{ROOT}/tests/e2e",
        CLUSTERD=str(programs["clusterd"]), PROBE=f"{ROOT}/build/probe",
        BINDER=f"{ROOT}/build/binder", OPENLOOP=f"{ROOT}/build/openloop")
    print(told.splitlines()[-1])


# ---- the container ----

CONTAINER = f"{ROOT}/examples/container"
# crun wants a unified hierarchy, and nothing of it.
ENTER = """mount -t cgroup2 none /sys/fs/cgroup
exec crun --root "$1" --cgroup-manager=disabled "$2" "$3" "$4" </dev/null"""


def laid_out(programs, bundle):
    """What Containerfile says, by hand: the image busybox is its program here.
    Gives the words of its instructions that do not copy."""
    text = open(f"{CONTAINER}/Containerfile").read()
    said = {}
    root = bundle / "rootfs"
    for name in ("bin", "proc", "dev", "sys", "run/clusterd"):
        (root / name).mkdir(parents=True)
    shutil.copy(shutil.which("busybox"), root / "bin/busybox")
    for line in re.sub(r"\\\n", " ", text).splitlines():
        word, _, rest = line.partition(" ")
        if word == "COPY" and not rest.startswith("--from"):
            source, to = rest.split()
            if "${ARCH}" in source:
                source = programs[os.path.basename(source)]
            (root / to[1:]).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(os.path.join(ROOT, source), root / to[1:])
        elif re.match("[A-Z]+$", word):
            said[word] = rest
    return said


def test_container_by_crun(static, tmp_path):
    """As the head of Containerfile runs it: an ordinary user, no capability, all
    read-only; ready, healthy, serving, reloaded, and stopped by STOPSIGNAL."""
    arch, programs = static
    if arch != MACHINE or os.getuid() != 0:
        pytest.skip("takes root, and is not emulated")
    need("crun", "busybox")
    said = laid_out(programs, tmp_path)
    user, group = map(int, said["USER"].split(":"))
    run("crun", "spec", cwd=tmp_path)
    with open(tmp_path / "config.json") as file:
        spec = json.load(file)
    spec["process"].update(
        terminal=False, user={"uid": user, "gid": group},
        args=json.loads(said["ENTRYPOINT"]), noNewPrivileges=True,
        env=["PATH=/usr/local/sbin:/usr/local/bin:/bin", said["ENV"]],
        capabilities={})
    spec["root"] = {"path": "rootfs", "readonly": True}
    spec["mounts"].append(
        {"destination": "/run/clusterd", "type": "tmpfs", "source": "tmpfs",
         "options": [f"uid={user}", f"gid={group}", "mode=0700"]})
    with open(tmp_path / "config.json", "w") as file:
        json.dump(spec, file)
    with open(tmp_path / "log", "w") as log:
        process = subprocess.Popen(
            ["unshare", "-m", "sh", "-c", ENTER, "sh", tmp_path / "state",
             "run", f"--bundle={tmp_path}", "it"],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def inside(*command):
        return run("crun", "--root", tmp_path / "state", "exec", "--user",
                   f"{user}:{group}", "it",
                   *command, limit=60)

    try:
        wait_until(lambda: process.poll() is not None
                   or "start complete" in open(tmp_path / "log").read())
        assert process.poll() is None, open(tmp_path / "log").read()
        health = said["HEALTHCHECK"].partition("CMD ")[2]
        inside(*json.loads(health))
        ask = ("/bin/busybox", "wget", "-qO-", "http://127.0.0.1:8080/")
        assert "hello from a container" in inside(*ask)
        inside("clusterctl", "reload")
        assert "hello from a container" in inside(*ask)
        run("crun", "--root", tmp_path / "state", "kill", "it",
            said["STOPSIGNAL"])
        assert process.wait(30) == 0
        text = open(tmp_path / "log").read()
        assert text.rstrip().endswith("stopped"), text
        assert "no control socket" not in text
    finally:
        subprocess.run(["crun", "--root", tmp_path / "state", "delete",
                        "--force", "it"], stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL, timeout=60)
        if process.poll() is None:
            process.kill()
        process.wait(30)


# ---- the package for Debian ----

@pytest.fixture(scope="module")
def debs(trees):
    need("dpkg-buildpackage", "dh")
    return built_twice(trees, "build/packages/*.deb", "make", "deb",
                       DEB_BUILD_OPTIONS="parallel=2")


def the_deb(debs, name="clusterd"):
    deb, = (path for path in debs if path.name.startswith(f"{name}_"))
    return deb


def files_of(deb):
    """What is not a directory."""
    return {line.split(None, 5)[5].split(" -> ")[0].removeprefix(".")
            for line in run("dpkg-deb", "-c", deb).splitlines()
            if not line.startswith("d")}


def test_debs_have_what_belongs_to_them(debs):
    files = files_of(the_deb(debs))
    for path in (
            "/etc/clusterd/app.ini", "/lib/systemd/system/clusterd.service",
            "/lib/systemd/system/clusterd@.service",
            "/usr/lib/sysusers.d/clusterd.conf",
            "/usr/libexec/clusterd/upgrade-running",
            "/usr/share/doc/clusterd/examples/clusterd.logrotate",
            "/usr/share/bash-completion/completions/clusterctl",
            "/usr/share/zsh/vendor-completions/_clusterctl",
            "/usr/sbin/clusterd", "/usr/bin/clusterctl"):
        assert path in files, path
    web = files_of(the_deb(debs, "clusterd-web"))
    for path in (
            "/usr/sbin/clusterd-web",
            "/usr/share/bash-completion/completions/clusterd-web",
            "/usr/share/zsh/vendor-completions/_clusterd-web"):
        assert path in web, path
    pages = {f"/usr/share/man/man{page[-1]}/{page}.gz"
             for page in os.listdir(f"{ROOT}/man") if page[-1] in "1578"}
    assert len(pages) >= 7 and pages == {
        path for path in files | web if path.startswith("/usr/share/man/")}
    assert "/usr/share/man/man8/clusterd-web.8.gz" in web
    assert not files & web


def test_lintian_has_nothing_to_say(debs, trees):
    need("lintian")
    changes, = (trees[0] / "build/packages").glob("*.changes")
    assert run("lintian", "--allow-root", "--fail-on", "error,warning",
               changes).strip() == ""


class Bare:
    """A Debian without anything, and without an init."""

    def __init__(self, path):
        self.path = path

    def run(self, *command, **env):
        return run("chroot", self.path, *command, LC_ALL="C",
                   DEBIAN_FRONTEND="noninteractive", **env)

    def has(self, path):
        return os.path.lexists(f"{self.path}{path}")


@pytest.fixture(scope="module")
def bare(tmp_path_factory):
    need("mmdebstrap", "chroot")
    if os.getuid() != 0:
        pytest.skip("needs root for the bare root")
    release = re.search(r"VERSION_CODENAME=(\w+)",
                        open("/etc/os-release").read())
    path = tmp_path_factory.mktemp("bare") / "root"
    done = subprocess.run(
        ["mmdebstrap", "--variant=essential", "--dpkgopt=force-unsafe-io",
         "--include=libinih1,libmicrohttpd12,systemd-standalone-sysusers",
         release.group(1), path],
        timeout=LIMIT, text=True, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode != 0:
        pytest.skip(f"no bare root: {done.stdout[-300:]}")
    run("mount", "-t", "proc", "proc", path / "proc")
    yield Bare(path)
    run("umount", path / "proc")


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def get(port):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=10) as a:
        return a.read()


def test_package_in_a_bare_root(debs, bare, trees):
    run("cp", the_deb(debs), f"{bare.path}/root/clusterd.deb")
    run("cp", the_deb(debs, "clusterd-web"), f"{bare.path}/root/web.deb")
    began = time.monotonic()
    told = bare.run("dpkg", "-i", "/root/clusterd.deb")
    print(f"installed in {time.monotonic() - began:.1f} s")
    assert "rror" not in told and "arning" not in told, told
    bare.run("dpkg", "-i", "/root/web.deb")
    assert bare.run("clusterd-web", "-V").split()[1] == \
        bare.run("clusterd", "-V").split()[1] == \
        bare.run("dpkg-query", "-W", "-f", "${Version}", "clusterd")
    assert "clusterd" in open(f"{bare.path}/etc/passwd").read()
    assert bare.run("dpkg-query", "-W", "-f", "${Conffiles}",
                    "clusterd").split()[0] == "/etc/clusterd/app.ini"
    assert not bare.has("/etc/systemd/system/multi-user.target.wants/"
                        "clusterd.service")

    # It is run as a newcomer would, and upgraded while it serves.
    run("make", "examples/hello-server", cwd=trees[0])
    run("cp", trees[0] / "examples/hello-server", f"{bare.path}/root/hello")
    port = free_port()
    with open(f"{bare.path}/etc/clusterd/app.ini", "a") as conf:
        conf.write(f"[clusterd]\ncontrol = /run/clusterd.sock\n"
                   f"[web]\ncommand = /root/hello\nport = {port}\n"
                   f"handoff = env\nready = notify\ninstances = 2\n")
    daemon = subprocess.Popen(
        ["chroot", bare.path, "clusterd", "-c", "/etc/clusterd/app.ini"],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL)
    failed, asked, over = [], [], threading.Event()

    def ask():
        while not over.is_set():
            try:
                asked.append(get(port))
            except OSError as error:
                failed.append(error)
            time.sleep(0.01)

    client = threading.Thread(target=ask)
    try:
        wait_until(lambda: bare_state(bare) == ("running", 2))
        client.start()
        wait_until(lambda: asked)
        before = bare_pids(bare)
        assert len(before) == 3 and before[0] == str(daemon.pid), before
        program = os.stat(f"/proc/{daemon.pid}/exe").st_ino
        with socket.create_connection(("127.0.0.1", port), 30) as kept:
            answer_on(kept)
            told = bare.run("dpkg", "-i", "--force-confold",
                            "/root/clusterd.deb")
            assert "rror" not in told, told
            assert "/etc/clusterd/app.ini: upgraded to clusterd" in told, told
            answer_on(kept)
        so_far = len(asked)
        wait_until(lambda: len(asked) > so_far + 10)
        assert not failed
        print(f"{len(asked)} requests meanwhile, none failed")
        assert bare_pids(bare) == before
        assert os.stat(f"/proc/{daemon.pid}/exe").st_ino != program
        assert os.readlink(f"/proc/{daemon.pid}/exe").endswith(
            "/usr/sbin/clusterd"), "it is the one that is there by now"
        assert daemon.poll() is None
        assert "[web]\ncommand = /root" in open(
            f"{bare.path}/etc/clusterd/app.ini").read(), "a conffile is kept"
    finally:
        over.set()
        if client.ident:
            client.join()
        daemon.send_signal(signal.SIGTERM)
        assert daemon.wait(30) == 0

    bare.run("dpkg", "-r", "clusterd-web", "clusterd")
    assert not bare.has("/usr/sbin/clusterd")
    assert bare.has("/etc/clusterd/app.ini")
    bare.run("dpkg", "-P", "clusterd", "clusterd-web")
    assert not bare.has("/etc/clusterd")
    left = run("find", bare.path, "-xdev", "-name", "*cluster*",
               "-not", "-path", f"{bare.path}/run/*",
               "-not", "-path", f"{bare.path}/root/*",
               "-not", "-path", f"{bare.path}/var/log/*")
    assert left == "", left


def answer_on(connection):
    connection.sendall(b"GET / HTTP/1.1\r\nHost: it\r\n\r\n")
    answer = http.client.HTTPResponse(connection)
    answer.begin()
    assert answer.status == 200 and answer.read()


def bare_status(bare):
    done = subprocess.run(
        ["chroot", bare.path, "clusterctl", "-c", "/etc/clusterd/app.ini",
         "status", "--json"], text=True, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=30)
    return done.stdout


def bare_state(bare):
    """Its state, and how many workers are ready; None as long as it is not
    there."""
    try:
        status = json.loads(bare_status(bare))
    except ValueError:
        return None
    return status["clusterd"]["state"], sum(
        app["ready"] for app in status["apps"])


def bare_pids(bare):
    """Of clusterd, and of each worker."""
    return re.findall(r'"pid":(\d+)', bare_status(bare))


# ---- the package for Fedora and its like ----

@pytest.fixture(scope="module")
def rpm(trees):
    need("rpmbuild", "rpm")
    package, = built_twice(trees, "build/packages/*.rpm", "make", "rpm")
    return package


def test_rpm_has_what_is_installed(rpm, trees, tmp_path):
    """And what is a package's alone; manuals may be compressed."""
    names = run("rpm", "-qlp", "--dump", rpm).splitlines()
    files = {re.sub(r"(/man/.*)\.gz$", r"\1", name.split()[0])
             for name in names if name.split()[4].startswith("010")}
    run("make", "install", f"DESTDIR={tmp_path}", "PREFIX=/usr",
        "MANDIR=/usr/share/man", "WEB=", cwd=trees[0])
    installed = {
        os.path.join(top, name)[len(str(tmp_path)):]
        for top, _, found in os.walk(tmp_path) for name in found}
    assert files == installed | {
        "/etc/clusterd/app.ini", "/usr/libexec/clusterd/upgrade-running"}
    assert run("rpm", "-qcp", rpm).split() == ["/etc/clusterd/app.ini"]


# systemd is running, as far as they can see, and writes down what it is asked.
SYSTEMCTL = """#!/bin/sh
echo "$@" >>"$0.log"
[ "$1" != list-unit-files ] || echo clusterd@web.service enabled enabled
"""
SCRIPTLET = """mount -t tmpfs none /run && mkdir -p /run/systemd/system &&
PATH=$1:$PATH && export PATH && exec sh -c "$2" sh "$3"
"""


def test_rpm_scriptlets(rpm, tmp_path):
    """An upgrade stops nothing, and tells those that run; a removal stops all, and
    takes from the boot what is in it."""
    if os.getuid() != 0:
        pytest.skip("needs root for a /run of its own")
    systemctl = tmp_path / "systemctl"
    systemctl.write_text(SYSTEMCTL)
    systemctl.chmod(0o755)
    log = tmp_path / "systemctl.log"

    def asked(tag, left):
        log.write_text("")
        text = run("rpm", "-qp", "--queryformat", f"%{{{tag}}}", rpm)
        run("unshare", "-m", "sh", "-ec", SCRIPTLET, "sh", tmp_path, text,
            left)
        return log.read_text().splitlines()

    assert asked("PREUN", 1) == []
    assert asked("PREUN", 0) == [
        "stop clusterd.service clusterd@*.service",
        "list-unit-files --state=enabled,enabled-runtime --no-legend --plain "
        "clusterd.service clusterd@*.service",
        "--no-reload disable clusterd@web.service"]
    assert asked("POSTUN", 0) == ["daemon-reload"]
    assert run("rpm", "-qp", "--queryformat", "%{POSTTRANS}", rpm).strip() == \
        "/usr/libexec/clusterd/upgrade-running"
    assert "useradd -r -g clusterd" in run(
        "rpm", "-qp", "--queryformat", "%{PREIN}", rpm)
