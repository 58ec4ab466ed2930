"""Runs a program as a unit of systemd's would be run, without systemd.

  python3 unit_sandbox.py UNIT RUNTIME_DIRECTORY PROGRAM [ARGUMENT ...]

What the unit's [Service] section says of capabilities, system calls, address
families, namespaces, open files and read-only mounts comes true, by the same
means: the bounding set, libseccomp with the filter sets that systemd-analyze
prints, and a mount namespace. A directive that is neither understood nor known
to change nothing here is an error, so that none is forgotten.
"""

import ctypes
import errno
import os
import re
import resource
import socket
import subprocess
import sys

libc = ctypes.CDLL(None, use_errno=True)
seccomp = ctypes.CDLL("libseccomp.so.2", use_errno=True)
seccomp.seccomp_init.restype = ctypes.c_void_p

ALLOW = 0x7fff0000
EQ, MASKED_EQ = 4, 7

PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS = 24, 38
CLONE_NEWNS = 0x20000
NAMESPACES = (0x20000, 0x80, 0x2000000, 0x4000000, 0x8000000, 0x10000000,
              0x20000000, 0x40000000)
MS_RDONLY, MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE = 1, 32, 4096, 16384, 1 << 18
KEPT = {"nosuid": 2, "nodev": 4, "noexec": 8, "noatime": 1024,
        "nodiratime": 2048, "relatime": 1 << 21}

CAPS = """CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID
    SETPCAP LINUX_IMMUTABLE NET_BIND_SERVICE NET_BROADCAST NET_ADMIN NET_RAW
    IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT
    SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE
    AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM
    BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE""".split()

# What is not for the process, has no effect on what clusterd and servers do
# here, or (PrivateTmp, ProtectHome, PrivateDevices) would hide the test itself.
IGNORED = set("""Type NotifyAccess ExecStart ExecReload KillMode Restart
    RestartSec RestartPreventExitStatus TimeoutStartSec TimeoutStopSec OOMPolicy
    RuntimeDirectory RuntimeDirectoryPreserve FileDescriptorStoreMax
    SystemCallArchitectures
    RestrictRealtime RestrictSUIDSGID LockPersonality PrivateTmp ProtectHome
    PrivateDevices ProtectKernelModules ProtectKernelLogs ProtectClock
    ProtectHostname""".split())


class Cmp(ctypes.Structure):
    _fields_ = [("arg", ctypes.c_uint), ("op", ctypes.c_int),
                ("a", ctypes.c_uint64), ("b", ctypes.c_uint64)]


def check(result, what):
    if result < 0:
        sys.exit(f"unit_sandbox: {what}: "
                 f"{os.strerror(ctypes.get_errno() or -result)}")


def settings(path):
    """The [Service] section; what is said twice adds up."""
    found, section = {}, None
    for line in open(path):
        line = line.strip()
        if line.startswith("["):
            section = line
        elif section == "[Service]" and line and line[0] not in "#;":
            key, value = line.split("=", 1)
            found[key] = f"{found.get(key, '')} {value}".strip()
    return found


def calls_of(name):
    if not name.startswith("@"):
        return {name}
    said = subprocess.run(["systemd-analyze", "syscall-filter", name],
                          capture_output=True, text=True, check=True).stdout
    members = [line.strip() for line in said.splitlines()[1:]]
    return set().union(*(calls_of(m) for m in members
                         if m and not m.startswith("#")))


class Filter:
    def __init__(self, default):
        self.ctx = ctypes.c_void_p(seccomp.seccomp_init(default))
        # As no_new_privs is a directive of its own.
        seccomp.seccomp_attr_set(self.ctx, 3, 0)

    def add(self, action, call, *compare):
        number = seccomp.seccomp_syscall_resolve_name(call.encode())
        if number < 0:  # of another architecture
            return
        seccomp.seccomp_rule_add_array(self.ctx, action, number, len(compare),
                                       (Cmp * len(compare))(*compare))

    def load(self):
        check(seccomp.seccomp_load(self.ctx), "seccomp_load")


def fail_with(number):
    return 0x00050000 | number


def allowed_calls(value, number):
    f = Filter(fail_with(number))
    for name in set().union(*map(calls_of, value.split())):
        f.add(ALLOW, name)
    return f


def families(value):
    f = Filter(ALLOW)
    kept = {getattr(socket, name) for name in value.split()}
    for family in set(range(64)) - kept:
        f.add(fail_with(errno.EAFNOSUPPORT), "socket",
              Cmp(0, EQ, family, 0))
    return f


def no_namespaces():
    f = Filter(ALLOW)
    f.add(fail_with(errno.ENOSYS), "clone3")
    f.add(fail_with(errno.EPERM), "setns")
    for flag in NAMESPACES:
        for call in "clone", "unshare":
            f.add(fail_with(errno.EPERM), call,
                  Cmp(0, MASKED_EQ, flag, flag))
    return f


def mount(source, target, kind, flags, data=None):
    encode = [x and x.encode() for x in (source, target, kind, data)]
    return libc.mount(*encode[:3], ctypes.c_ulong(flags), encode[3])


def read_only(where, options=""):
    kept = sum(KEPT[o] for o in options.split(",") if o in KEPT)
    return mount(None, where, None, MS_REMOUNT | MS_BIND | MS_RDONLY | kept)


def mounts(unit, runtime):
    check(libc.unshare(CLONE_NEWNS), "unshare")
    check(mount(None, "/", None, MS_REC | MS_PRIVATE), "mount /")
    check(mount(runtime, runtime, None, MS_BIND), runtime)
    if unit.pop("ProtectProc") != "invisible":
        sys.exit("unit_sandbox: ProtectProc")
    check(mount("proc", "/proc", "proc", 14, "hidepid=invisible"), "proc")
    if unit.pop("ProtectKernelTunables") == "yes":
        check(mount("/proc/sys", "/proc/sys", None, MS_BIND), "/proc/sys")
        check(read_only("/proc/sys", "nosuid,nodev,noexec"), "/proc/sys")
    if (unit.pop("ProtectSystem"), unit.pop("ProtectControlGroups")) != \
            ("strict", "yes"):
        sys.exit("unit_sandbox: ProtectSystem, ProtectControlGroups")
    for line in open("/proc/self/mountinfo").read().splitlines():
        where, options = line.split()[4:6]
        if not re.match(r"/(dev|proc)(/|$)", where) and where != runtime:
            # One that another mount covers cannot be reached.
            read_only(where, options)


def main():
    path, runtime, *command = sys.argv[1:]
    unit = settings(path)
    mounts(unit, runtime)
    soft, hard = map(int, unit.pop("LimitNOFILE").split(":"))
    may = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if may != resource.RLIM_INFINITY:
        hard = min(hard, may)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    number = getattr(errno, unit.pop("SystemCallErrorNumber"))
    filters = [families(unit.pop("RestrictAddressFamilies"))]
    if unit.pop("RestrictNamespaces") == "yes":
        filters.append(no_namespaces())
    # The last one, as it may forbid seccomp(2).
    filters.append(allowed_calls(unit.pop("SystemCallFilter"), number))
    kept = {c.replace("CAP_", "")
            for c in unit.pop("CapabilityBoundingSet").split()}
    if kept - set(CAPS):
        sys.exit(f"unit_sandbox: what is {kept - set(CAPS)}?")
    new_privs = unit.pop("NoNewPrivileges") == "yes"
    if set(unit) - IGNORED:
        sys.exit(f"unit_sandbox: what is {set(unit) - IGNORED}?")
    last = int(open("/proc/sys/kernel/cap_last_cap").read())
    for f in filters:
        f.load()
    for cap in range(last + 1):
        if cap >= len(CAPS) or CAPS[cap] not in kept:
            check(libc.prctl(PR_CAPBSET_DROP, cap, 0, 0, 0), "bounding set")
    if new_privs:
        check(libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs")
    os.environ["RUNTIME_DIRECTORY"] = runtime
    os.execv(command[0], command)


main()
