"""Is the house as its table says?

usage: check-rooms.py [ROOT [BUILD]]

src/rooms.mk has the rooms, which are the folders below src/, from the top
down, and for each the rooms of its own layer that it may know. Held against
that are the includes of every file and the symbols of every object, so that a
call upward is seen that no include announces. A module is X.c with X.h; those
of a room may not form a circle, by either.

tests/rooms-exceptions may list what is to go, one finding a line, in the words
in brackets at the end of its message. An exception that is needed no more is a
finding, too, so that the list can only shrink. It need not be there.
"""

import os
import re
import subprocess
import sys

TABLE = "src/rooms.mk"
EXCEPTIONS = "tests/rooms-exceptions"
# What the kernel runs is no room: it is compiled apart. It shares a header
# with linux/, beside which it is.
KERNEL = "bpf"
LAYERS = {"base": 0, "core": 1, "linux": 2, KERNEL: 2, "daemon": 3, "cli": 4,
          "web": 4}
# What a browser runs, which is in the program as bytes, is no room either.
PAGE = "web/page"
# A room that is built only where a library is.
OPTIONAL = "web"
# Data that a tool writes: a part of the module that includes it.
GENERATED = {"linux/bpf/steering_bytecode.h"}
# It is known to one file; the rooms have what they are given of it.
OWNER = "src/daemon/supervisor.c"
SUPERVISOR = re.compile(r"\bstruct\s+supervisor\b")
INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*"([^"]+)"')
SYSTEM = re.compile(r"^[ \t]*#[ \t]*include[ \t]*<[^>]+>")
ANY_INCLUDE = re.compile(r"^[ \t]*#[ \t]*(/\*.*\*/)?[ \t]*include(?!_next)\b")
# No source, but what makes one.
MAKER = {"src/bpf/bytecode.py"}
TESTS = "tests/unit"


def read_lines(path):
    with open(path, encoding="utf-8", errors="replace") as f:
        return f.read().splitlines()


def line_with(path, name):
    """The number of the first line that has the name; 0: none."""
    word = re.compile(r"\b%s\b" % re.escape(name))
    return next((n for n, line in enumerate(read_lines(path), 1)
                 if word.search(line)), 0)


def room_of(path):
    """src/core/conf/conf.h and core/conf/conf.h are core/conf's."""
    return os.path.dirname(path.removeprefix("src/"))


def module_of(path):
    """... and part of core/conf/conf."""
    return os.path.splitext(path.removeprefix("src/"))[0]


def layer_of(room):
    return LAYERS.get(room.split("/")[0])


class House:
    def __init__(self, root, build):
        os.chdir(root)
        self.build = build
        self.findings = []      # (message, key)
        self.rooms = []
        self.rows = {}          # room: {room that it may know: line}
        self.used = set()       # (room, room)
        # module: {module of the same room: (file, line or symbol)}
        self.edges = {}
        self.files = []
        self.words = {}         # (room, private): what its headers name
        self.includes = 0
        self.symbols = 0

    def wrong(self, path, line, what, key):
        where = "%s:%d" % (path, line) if line else path
        self.findings.append(("%s: %s" % (where, what), key))

    # ---- the table ----

    def read_table(self):
        """Make's own form: NAME = words, where a \\ goes on."""
        self.line_of = {}
        words, name, start = {}, None, 0
        more = False
        for n, line in enumerate(read_lines(TABLE), 1):
            text = line.split("#")[0]
            if not more:
                head = re.match(r"\s*([^\s=]+)\s*=(.*)$", text)
                if head is None:
                    continue
                name, text, start = head.group(1), head.group(2), n
                self.line_of[name] = start
                words[name] = []
            more = text.endswith("\\")
            words[name] += [(w, n) for w in text.rstrip("\\").split()]
        self.rooms = [w for w, _ in words.pop("ROOMS", [])]
        for room, row in words.items():
            self.rows[room] = dict(row)
            self.check_row(room)

    def check_row(self, room):
        if room not in self.rooms:
            self.wrong(TABLE, self.line_of[room], "a row for %s, which is "
                       "not in ROOMS: add it there, or take the row away"
                       % room, "row %s" % room)
            del self.rows[room]
            return
        for to, line in list(self.rows[room].items()):
            key = "row %s %s" % (room, to)
            if to not in self.rooms:
                what = "which is not in ROOMS: add it there, or take it " \
                    "from the row"
            elif layer_of(to) != layer_of(room):
                what = "which is of another layer: those below need no " \
                    "permission, those above get none"
            elif self.rooms.index(to) <= self.rooms.index(room):
                what = "which is not below it in ROOMS: turn the arrow"
            else:
                continue
            self.wrong(TABLE, line, "%s may know %s, %s" % (room, to, what),
                       key)
            del self.rows[room][to]

    def check_unused(self):
        for room, row in self.rows.items():
            for to, line in row.items():
                if (room, to) not in self.used:
                    self.wrong(TABLE, line, "%s may know %s and does not: "
                               "take it from the row" % (room, to),
                               "unused %s %s" % (room, to))

    def may_know(self, room, to):
        if room == to:
            return True
        if None in (layer_of(room), layer_of(to)):
            return False
        if layer_of(room) != layer_of(to):
            return layer_of(room) > layer_of(to)
        if KERNEL in (room, to):
            return True
        return to in self.rows.get(room, {})

    def refused(self, room, to):
        """Why, and what to do."""
        if layer_of(to) is None:
            return "which is in no layer: a name begins below src/"
        if layer_of(room) != layer_of(to):
            return "which is a layer above: hand down what is needed, as a " \
                "value or a function pointer"
        if to in self.rooms and room in self.rooms and \
                self.rooms.index(to) < self.rooms.index(room):
            return "which is above %s: hand down what is needed, as a value " \
                "or a function pointer" % room
        return "which is not in the row of %s in %s: add it there if it " \
            "should be" % (room, TABLE)

    # ---- the files ----

    def find_files(self):
        parents = {os.path.dirname(r) for r in self.rooms}
        for folder, folders, names in os.walk("src"):
            folders[:] = sorted(f for f in folders if f != "__pycache__")
            room = folder.removeprefix("src").lstrip("/")
            if room == PAGE:
                continue
            sources = sorted(n for n in names if n.endswith((".c", ".h")))
            if room in self.rooms or room == KERNEL:
                self.files += [os.path.join(folder, n) for n in sources]
                for path in (os.path.join(folder, n) for n in sorted(
                        set(names) - set(sources))):
                    if path not in MAKER:
                        self.wrong(path, 0, "is neither .c nor .h: nobody "
                                   "would see what it includes", "file " + path)
            elif sources or room not in parents | {""}:
                self.wrong(folder, 0, "is no room: add it to ROOMS in %s, or "
                           "move what is in it" % TABLE, "folder %s" % room)
        for room in self.rooms:
            if layer_of(room) is None:
                self.wrong(TABLE, self.line_of["ROOMS"], "%s is in no layer: "
                           "the layers are %s" % (room, ", ".join(LAYERS)),
                           "layer %s" % room)
            if not os.path.isdir("src/" + room):
                self.wrong(TABLE, self.line_of["ROOMS"], "%s is in ROOMS, "
                           "and src/%s is not there" % (room, room),
                           "folder %s" % room)

    def find_tests(self):
        """The Makefile looks for them in the folders of the rooms alone."""
        for folder, _, names in os.walk(TESTS):
            room = folder.removeprefix(TESTS).lstrip("/")
            for name in sorted(names):
                if re.fullmatch(r"test_.*\.c", name) and \
                        room not in self.rooms:
                    path = os.path.join(folder, name)
                    self.wrong(path, 0, "is in no room's folder, and so it is "
                               "never run: move it", "test " + path)

    def link(self, path, to_path, where):
        """One module uses another: of another room, or of the same."""
        room, to = room_of(path), room_of(to_path)
        module, to_module = module_of(path), module_of(to_path)
        if room != to:
            self.used.add((room, to))
        elif module != to_module and room != KERNEL:
            arrows = self.edges.setdefault(module, {})
            arrows.setdefault(to_module, (path, where))

    def check_file(self, path):
        room = room_of(path)
        for n, line in enumerate(read_lines(path), 1):
            if path != OWNER and SUPERVISOR.search(line):
                self.wrong(path, n, "struct supervisor is known to %s alone: "
                           "hand down what is needed of it" % OWNER,
                           "supervisor %s" % path)
            found = INCLUDE.match(line)
            if found is None:
                if ANY_INCLUDE.match(line) and not SYSTEM.match(line):
                    self.wrong(path, n, 'write #include "..." or <...>, or '
                               "nobody sees what it is",
                               "form %s" % path)
                continue
            name, to = found.group(1), room_of(found.group(1))
            self.includes += 1
            if "src/" + name not in self.files:
                self.wrong(path, n, "includes %s, which is no file of a room "
                           "by that name: write its path below src/" % name,
                           "name %s %s" % (path, name))
            elif not self.may_know(room, to):
                self.wrong(path, n, "includes %s, %s" % (
                    name, self.refused(room, to)),
                    "include %s %s" % (path, name))
            elif name.endswith("_priv.h") and room != to:
                self.wrong(path, n, "includes %s, which is for %s alone: use "
                           "what its other headers declare" % (name, to),
                           "priv %s %s" % (path, name))
            elif path.removeprefix("src/") not in GENERATED and \
                    name not in GENERATED:
                self.link(path, name, n)

    # ---- the objects ----

    def read_objects(self):
        """Of each object what it defines and what it asks for."""
        objects = {}
        for path in self.files:
            if path.endswith(".c") and room_of(path) != KERNEL:
                module = module_of(path)
                objects["%s/%s.o" % (self.build, module)] = path
        optional = [o for o, path in objects.items()
                    if room_of(path) == OPTIONAL]
        if not any(map(os.path.exists, optional)):
            for o in optional:
                del objects[o]
        missing = [o for o in objects if not os.path.exists(o)]
        if missing:
            sys.exit("%s: not there; make objects" % missing[0])
        if not objects:
            sys.exit("no source was found: is this the tree?")
        defined, asked = {}, {}
        done = subprocess.run(["nm", "-A", "--format=posix", *objects],
                              check=True, stdout=subprocess.PIPE, text=True)
        for line in done.stdout.splitlines():
            where, name, kind = line.split()[:3]
            path = objects[where.rstrip(":")]
            if kind in "Uwv":
                asked.setdefault(path, []).append(name)
            elif kind.isupper():
                defined.setdefault(name, []).append(path)
        return defined, asked

    def check_objects(self):
        defined, asked = self.read_objects()
        for path, names in sorted(asked.items()):
            for name in names:
                homes = defined.get(name)
                if homes is None:       # libc's, mostly
                    continue
                self.symbols += 1
                good = [h for h in homes
                        if self.may_know(room_of(path), room_of(h))]
                if good and self.is_private(path, good[0], name):
                    self.wrong(path, line_with(path, name), "uses %s of %s, "
                               "which is private to it: use what its other "
                               "headers declare" % (name, good[0]),
                               "private %s %s" % (path, name))
                elif good:
                    self.link(path, good[0], name)
                else:
                    self.refuse_symbol(path, name, homes[0])

    def words_of(self, room, private):
        """What is named in its headers, the private ones or the others."""
        key = (room, private)
        if key not in self.words:
            self.words[key] = {
                word for p in self.files if room_of(p) == room and
                p.endswith(".h") and p.endswith("_priv.h") == private
                for word in re.findall(r"\w+", "\n".join(read_lines(p)))}
        return self.words[key]

    def is_private(self, path, home, name):
        """Only a header for the other room alone declares it."""
        to = room_of(home)
        return room_of(path) != to and name in self.words_of(to, True) and \
            name not in self.words_of(to, False)

    def refuse_symbol(self, path, name, home):
        self.wrong(path, line_with(path, name), "uses %s of %s, %s" % (
            name, home, self.refused(room_of(path), room_of(home))),
            "symbol %s %s" % (path, name))

    # ---- circles ----

    def circles(self):
        """Modules that reach each other, by Tarjan's algorithm."""
        index, low, stack, found = {}, {}, [], []

        def visit(module):
            index[module] = low[module] = len(index)
            stack.append(module)
            for to in sorted(self.edges.get(module, ())):
                if to not in index:
                    visit(to)
                    low[module] = min(low[module], low[to])
                elif to in stack:
                    low[module] = min(low[module], index[to])
            if low[module] == index[module]:
                at = stack.index(module)
                if len(stack) - at > 1:
                    found.append(sorted(stack[at:]))
                del stack[at:]

        for module in sorted(self.edges):
            if module not in index:
                visit(module)
        return found

    def check_circles(self):
        for modules in self.circles():
            names = [os.path.basename(m) for m in modules]
            arrows = [(m, to) for m in modules
                      for to in sorted(self.edges[m]) if to in modules]
            path, line = self.edges[arrows[0][0]][arrows[0][1]]
            if isinstance(line, str):
                line = line_with(path, line)
            self.wrong(path, line, "a circle of files: %s: turn an arrow, or "
                       "move what both need to a file of its own" % ", ".join(
                           "%s uses %s" % tuple(map(os.path.basename, a))
                           for a in arrows),
                       "circle %s: %s" % (room_of(modules[0]),
                                          " ".join(names)))

    # ---- exceptions ----

    def apart_from_exceptions(self):
        if not os.path.exists(EXCEPTIONS):
            return self.findings, 0
        listed = {}
        for n, line in enumerate(read_lines(EXCEPTIONS), 1):
            text = line.split("#")[0].strip()
            if text:
                listed[text] = n
        left = [f for f in self.findings if f[1] not in listed]
        keys = {key for _, key in self.findings}
        left += [("%s:%d: this is so no more: take the line away" %
                  (EXCEPTIONS, n), key)
                 for key, n in listed.items() if key not in keys]
        return left, len(listed)


def main(root=".", build="build"):
    house = House(root, build)
    house.read_table()
    house.find_files()
    house.find_tests()
    for path in house.files:
        house.check_file(path)
    house.check_objects()
    house.check_unused()
    house.check_circles()
    left, excepted = house.apart_from_exceptions()
    if left:
        for message, key in left:
            print("%s [%s]" % (message, key))
        sys.exit(1)
    print("rooms: %d, with %d includes and %d symbols, all as %s says%s" % (
        len(house.rooms), house.includes, house.symbols, TABLE,
        ", but for %d exceptions" % excepted if excepted else ""))


main(*sys.argv[1:])
