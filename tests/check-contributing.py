"""Is what CONTRIBUTING.md names there?

Each file, folder, struct, enum and target of make in backquotes must be, and a
function must be defined in a file that is named beside it: in the same row of a
table, or in the same paragraph. Below a heading that is a folder, names are
looked for in that folder first, and functions there where no file is named.
Every room has a heading, and every target of the Makefile a line in `make
help`.
"""

import os
import re
import subprocess
import sys

TEXT = "CONTRIBUTING.md"
FILE = re.compile(r"^[\w./-]+\.(c|h|py|sh|mk|md|ini|[1-8])$")
FOLDER = re.compile(r"^[\w./-]+/$")
FUNCTION = re.compile(r"^(\w+)\(\)$")
TYPE = re.compile(r"^(?:struct|enum) \w+$")
TARGET = re.compile(r"^make ([\w-]+)")
# X stands for a name, as in test_X.py; .c and .h for all of their kind.
PLACEHOLDER = re.compile(r"(^|[^A-Za-z])X([^A-Za-z]|$)|^\.|\*")

wrong = []
looked_at = 0


def units(text):
    """Rows of tables, headings, list items and paragraphs, with the number of
    their first line."""
    unit, start = [], 0
    for n, line in enumerate(text.splitlines(), 1):
        if not line.strip() or re.match(r"[|#]|\d+\. |\* ", line):
            if unit:
                yield start, " ".join(unit)
            unit, start = [], n
        if line.strip():
            unit.append(line.strip())
            start = start or n
    if unit:
        yield start, " ".join(unit)


def read(path):
    with open(path, encoding="utf-8", errors="replace") as f:
        return f.read()


def find(name, folder):
    """The file or folder, or None."""
    for place in (folder, "."):
        path = os.path.normpath(os.path.join(place, name))
        if os.path.exists(path):
            return path
    if "/" not in name:
        return next((p for p in files if os.path.basename(p) == name), None)
    # What a build makes.
    return name if name.startswith("build/") else None


def is_defined(function, paths):
    head = re.compile(r"^(?:#define |def |\w[\w *]*[ *])?%s\(" % function,
                      re.MULTILINE)
    return any(head.search(read(p)) for p in paths)


def check(number, unit, folder):
    global looked_at
    tokens = [t for t in re.findall(r"`([^`]+)`", unit)
              if not PLACEHOLDER.search(t)]
    sources = []
    for token in tokens:
        target = TARGET.match(token)
        if target and target.group(1) not in targets:
            wrong.append("%s:%d: make has no target %s" %
                         (TEXT, number, target.group(1)))
        looked_at += target is not None
        if FILE.match(token) or FOLDER.match(token):
            looked_at += 1
            path = find(token, folder)
            if path is None:
                wrong.append("%s:%d: %s is not there" % (TEXT, number, token))
            elif path.endswith((".c", ".h", ".py")) and os.path.exists(path):
                sources.append(path)
        if TYPE.match(token):
            looked_at += 1
            if not any(token + " {" in read(p) for p in files
                       if p.endswith((".c", ".h"))):
                wrong.append("%s:%d: %s is not there" % (TEXT, number, token))
    if not sources and folder != ".":
        sources = [p for p in files if os.path.dirname(p) == folder]
    for token in tokens:
        function = FUNCTION.match(token)
        if function is None or not sources:
            continue
        looked_at += 1
        if not is_defined(function.group(1), sources):
            wrong.append("%s:%d: %s is not in %s" % (
                TEXT, number, token, ", ".join(sources)))


def make_variable(name):
    done = subprocess.run(
        ["make", "-s", "--no-print-directory", "-f", "-", "print"],
        input="include src/rooms.mk\nprint:\n\t@echo $(%s)\n" % name,
        stdout=subprocess.PIPE, text=True, check=True,
        env=dict(os.environ, MAKEFLAGS=""))
    return done.stdout.split()


files = sorted(os.path.join(d, n)[2:] for top in ("./src", "./tests", "./man")
               for d, _, names in os.walk(top) for n in names)
makefile = read("Makefile") + read("conf/packaging/packages.mk")
targets = set(re.findall(r"^## ([a-z0-9-]+): ", makefile, re.MULTILINE))
phony = re.findall(r"^\.PHONY:((?:.*\\\n)*.*)$", makefile, re.MULTILINE)
for target in re.findall(r"(?<!\S)[a-z][a-z0-9-]*(?!\S)", " ".join(phony)):
    if target not in targets:
        wrong.append("Makefile: %s has no line `## %s: ...`, which `make "
                     "help` shows" % (target, target))
missing = set(make_variable("ROOMS"))
folder = "."
for number, unit in units(read(TEXT)):
    if unit.startswith("#"):
        named = re.match(r"#+ `([\w/]+)/`", unit)
        folder = named.group(1) if named else "."
        missing.discard(folder.removeprefix("src/"))
    check(number, unit, folder)
wrong += ["%s: no heading for src/%s" % (TEXT, room)
          for room in sorted(missing)]
if looked_at == 0:
    wrong.append("%s: nothing in it was looked at" % TEXT)
for line in wrong:
    print(line)
if wrong:
    sys.exit(1)
print("%s: %d names, all are there" % (TEXT, looked_at))
