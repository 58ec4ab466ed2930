"""Does check-rooms.py find what it looks for?

A small house is built in a temporary directory, in which all is well. Then
one thing after another is made wrong in a copy of it, and each time the check
has to say which, and where.

usage: check-rooms-test.py; the compiler is CC's
"""

import os
import shlex
import shutil
import subprocess
import sys
import tempfile

CHECK = os.path.join(os.path.dirname(os.path.abspath(__file__)),
                     "check-rooms.py")
CC = shlex.split(os.environ.get("CC", "cc"))

ROOMS = """\
ROOMS = cli daemon daemon/a daemon/b \\
	linux/l core/c \\
	core/d base

daemon	= daemon/a \\
	daemon/b
daemon/a = daemon/b
core/c	= core/d
"""


def header(name, *more):
    return "".join("%s\n" % line for line in
                   [*more, "int %s_do(void);" % name])


def source(name, *below, more=""):
    """name_do(), which calls what it includes."""
    calls = [os.path.basename(b) for b in below]
    return "".join(
        ['#include "%s.h"\n' % b for b in below] +
        ["int %s_do(void);\n" % name, more,
         "int %s_do(void)\n{\n\treturn 0" % name] +
        [" + %s_do()" % c for c in calls] + [";\n}\n"])


SUPERVISOR = "struct supervisor { int n; };\n"
HOUSE = {
    "src/rooms.mk": ROOMS,
    "src/cli/main.c": '#include "daemon/supervisor.h"\n'
                      "int main(void) { return supervisor_do(); }\n",
    "src/daemon/supervisor.h": header("supervisor"),
    "src/daemon/supervisor.c": source("supervisor", "daemon/a/a",
                                      "daemon/b/b", more=SUPERVISOR),
    "src/daemon/a/a.h": header("a"),
    "src/daemon/a/a.c": source("a", "daemon/a/a", "daemon/a/a2",
                               "daemon/b/b", "core/c/c").replace(
                                   " + a_do()", ""),
    "src/daemon/a/a2.h": header("a2"),
    "src/daemon/a/a2.c": source("a2"),
    "src/daemon/b/b.h": header("b"),
    "src/daemon/b/b_priv.h": header("b_hidden"),
    "src/daemon/b/b.c": '#include "daemon/b/b_priv.h"\n' +
                        source("b", "linux/l/l", "base/z"),
    "src/linux/l/l.h": header("l"),
    "src/linux/l/l.c": source("l"),
    "src/bpf/k.bpf.c": '#include "linux/l/l.h"\n',
    "src/core/c/c.h": header("c"),
    "src/core/c/c.c": source("c", "core/d/d"),
    "src/core/d/d.h": header("d"),
    "src/core/d/d.c": source("d", "base/z"),
    "src/base/z.h": header("z"),
    "src/base/z.c": source("z"),
}


def compile_file(root, path):
    to = path.replace("src/", "build/")[:-1] + "o"
    os.makedirs(os.path.dirname(os.path.join(root, to)), exist_ok=True)
    subprocess.run([*CC, "-c", "-iquote", "src", "-o", to, path], cwd=root,
                   check=True)


def write(root, files):
    for path, text in files.items():
        os.makedirs(os.path.dirname(os.path.join(root, path)), exist_ok=True)
        with open(os.path.join(root, path), "w", encoding="utf-8") as f:
            f.write(text)
    for path in files:
        if path.startswith("src/") and path.endswith(".c") and \
                not path.endswith(".bpf.c"):
            compile_file(root, path)


def check(root):
    done = subprocess.run([sys.executable, "-B", CHECK, root],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True)
    return done.returncode, done.stdout


A, B, C, D = (HOUSE[p] for p in ("src/daemon/a/a.c", "src/daemon/b/b.c",
                                 "src/core/c/c.c", "src/core/d/d.c"))
CIRCLE = {
    "src/daemon/b/b2.h": '#include "daemon/b/b.h"\n' + header("b2"),
    "src/daemon/b/b.h": '#include "daemon/b/b2.h"\n' + header("b"),
}
# What is wrong: the files that make it so, and how the lines that have to be
# said begin and, after "...", end. No others may be.
PLANTED = {
    "an include of a room above": (
        {"src/daemon/b/b.c": B + '#include "daemon/a/a.h"\n'},
        ["src/daemon/b/b.c:9: includes daemon/a/a.h, which is above "
         "daemon/b"]),
    "an include of a layer above": (
        {"src/core/d/d.c": '#include "linux/l/l.h"\n' + D},
        ["src/core/d/d.c:1: includes linux/l/l.h, which is a layer above"]),
    "an include below that no row permits": (
        {"src/core/c/c.h": header("c"),
         "src/rooms.mk": ROOMS.replace("core/c	= core/d\n", "")},
        ["src/core/c/c.c:1: includes core/d/d.h, which is not in the row of "
         "core/c", "src/core/c/c.c:5: uses d_do of src/core/d/d.c"]),
    "an include that names no room": (
        {"src/core/d/d.c": '#include "d.h"\n' + D},
        ["src/core/d/d.c:1: includes d.h, which is no file of a room by that "
         "name"]),
    "a call of a room above, without an include": (
        {"src/daemon/b/b.c": B + "int a_do(void);\nint b3_do(void);\n"
         "int b3_do(void) { return a_do(); }\n"},
        ["src/daemon/b/b.c:9: uses a_do of src/daemon/a/a.c, which is above "
         "daemon/b"]),
    "a call of a layer above, without an include": (
        {"src/core/d/d.c": D + "extern int a_do(void);\n"
         "int (*d_calls)(void) = a_do;\n"},
        ["src/core/d/d.c:7: uses a_do of src/daemon/a/a.c, which is a layer "
         "above"]),
    "a call of main's file": (
        {"src/cli/main.c": HOUSE["src/cli/main.c"] + "int cli_n;\n",
         "src/daemon/a/a2.c": source("a2", more="extern int cli_n;\n"
                                     "int *a2_n = &cli_n;\n")},
        ["src/daemon/a/a2.c:2: uses cli_n of src/cli/main.c, which is a "
         "layer above"]),
    "a permission that nobody uses": (
        {"src/daemon/a/a.c": source("a", "core/c/c", "daemon/a/a2")},
        ["src/rooms.mk:7: daemon/a may know daemon/b and does not: take it "
         "from the row [unused daemon/a daemon/b]"]),
    "a permission that points up": (
        {"src/rooms.mk": ROOMS + "daemon/b = daemon/a\n"},
        ["src/rooms.mk:9: daemon/b may know daemon/a, which is not below "
         "it"]),
    "a permission for another layer": (
        {"src/rooms.mk": ROOMS + "daemon/b = core/c\n"},
        ["src/rooms.mk:9: daemon/b may know core/c, which is of another "
         "layer"]),
    "a permission for a room that is not there": (
        {"src/rooms.mk": ROOMS + "daemon/b = daemon/q\n"},
        ["src/rooms.mk:9: daemon/b may know daemon/q, which is not in "
         "ROOMS"]),
    "a row of a room that is not there": (
        {"src/rooms.mk": ROOMS + "daemon/q = daemon/b\n"},
        ["src/rooms.mk:9: a row for daemon/q, which is not in ROOMS"]),
    "a circle of two headers": (
        CIRCLE,
        ["src/daemon/b/b.h:1: a circle of files: b uses b2, b2 uses b..."
         "[circle daemon/b: b b2]"]),
    "a circle of two files that call each other": (
        {"src/daemon/a/a2.c": source("a2", more="int a_do(void);\n"
                                     "int (*a2_calls)(void) = a_do;\n")},
        ["src/daemon/a/a.c:2: a circle of files: a uses a2, a2 uses a..."
         "[circle daemon/a: a a2]"]),
    "what is private to another room": (
        {"src/daemon/a/a.c": '#include "daemon/b/b_priv.h"\n' + A},
        ["src/daemon/a/a.c:1: includes daemon/b/b_priv.h, which is for "
         "daemon/b alone"]),
    "what is private to another room, declared by hand": (
        {"src/daemon/b/b_priv.h": header("b_hidden"),
         "src/daemon/b/b.c": B + "int b_hidden_do(void)\n{\n\treturn 0;\n}\n",
         "src/daemon/a/a2.c": source("a2", more="int b_hidden_do(void);\n"
                                     "int (*a2_c)(void) = b_hidden_do;\n")},
        ["src/daemon/a/a2.c:2: uses b_hidden_do of src/daemon/b/b.c, which "
         "is private to it"]),
    "a detour": (
        {"src/daemon/b/b.h": '#include "core/../daemon/a/a.h"\n' +
         header("b")},
        ["src/daemon/b/b.h:1: includes core/../daemon/a/a.h, which is no file "
         "of a room by that name"]),
    "a file of another kind": (
        {"src/daemon/b/b.inc": header("inc")},
        ["src/daemon/b/b.inc: is neither .c nor .h"]),
    "an include that hides its name": (
        {"src/daemon/b/b.h": "#define B \"daemon/a/a.h\"\n#include B\n" +
         header("b")},
        ["src/daemon/b/b.h:2: write #include"]),
    "a test that is never run": (
        {"tests/unit/daemon/q/test_q.c": "int q;\n"},
        ["tests/unit/daemon/q/test_q.c: is in no room's folder"]),
    "the supervisor in a room": (
        {"src/daemon/a/a.h": header("a", "struct supervisor;")},
        ["src/daemon/a/a.h:1: struct supervisor is known to "
         "src/daemon/supervisor.c alone"]),
    "a folder that is no room": (
        {"src/daemon/new/new.h": header("new")},
        ["src/daemon/new: is no room: add it to ROOMS"]),
    "a folder in a room that is no room": (
        {"src/base/new/new.h": header("new")},
        ["src/base/new: is no room"]),
    "a file between the rooms": (
        {"src/core/new.h": header("new")},
        ["src/core: is no room"]),
    "a room that is not there": (
        {"src/rooms.mk": ROOMS.replace("cli daemon", "cli daemon daemon/q")},
        ["src/rooms.mk:1: daemon/q is in ROOMS, and src/daemon/q is not "
         "there"]),
    "an exception that is needed no more": (
        {"tests/rooms-exceptions": "# Old.\ncircle daemon/b: b b2\n"},
        ["tests/rooms-exceptions:2: this is so no more"]),
    "an exception for less than there is": (
        dict(CIRCLE, **{"tests/rooms-exceptions": "circle daemon/b: b b3\n"}),
        ["...[circle daemon/b: b b2]", "tests/rooms-exceptions:1"]),
    "an object that is not there": (
        {"src/daemon/a/new.c": None},
        ["build/daemon/a/new.o: not there; make objects"]),
}


def fails_as_it_should(house, root, files, words):
    shutil.copytree(house, root)
    write(root, {p: t for p, t in files.items() if t is not None})
    for path in (p for p, t in files.items() if t is None):
        open(os.path.join(root, path), "w").close()
    code, said = check(root)
    lines = said.splitlines()
    good = code != 0 and len(lines) == len(words)
    for line, word in zip(lines, words):
        head, _, tail = word.partition("...")
        good = good and line.startswith(head) and line.endswith(tail)
    return good, "exit code %d, and it says:\n%s" % (code, said)


def main():
    failed = 0
    with tempfile.TemporaryDirectory() as top:
        house = os.path.join(top, "house")
        write(house, HOUSE)
        code, said = check(house)
        if code != 0 or not said.startswith("rooms: 8, with 13 includes"):
            print("a house where all is well: %d, %s" % (code, said))
            failed += 1
        write(house, CIRCLE)
        write(house, {"tests/rooms-exceptions": "circle daemon/b: b b2\n"})
        code, said = check(house)
        if code != 0 or "but for 1 exception" not in said:
            print("a house with an exception: %d, %s" % (code, said))
            failed += 1
        shutil.rmtree(house)
        write(house, HOUSE)
        for n, (what, (files, words)) in enumerate(PLANTED.items()):
            good, told = fails_as_it_should(
                house, os.path.join(top, str(n)), files, words)
            if not good:
                print("%s: %s" % (what, told))
                failed += 1
    passed = len(PLANTED) + 2 - failed
    print("check-rooms-test: %d passed, %d failed, 0 skipped" %
          (passed, failed))
    sys.exit(failed != 0)


main()
