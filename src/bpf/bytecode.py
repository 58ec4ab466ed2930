#!/usr/bin/python3
"""Turn clang's BPF objects into a C header: instructions as data, and which of
them refer to which map.

    bytecode.py OBJECT ... >src/linux/bpf/steering_bytecode.h

A program is what is in a section program/NAME. A map is a symbol of section
`map` (instructions get its descriptor) or `map_value` (the address of its one
value). Anything else that would need a loader is an error. $BPF_CLANG says which compiler it was.
"""

import os
import struct
import subprocess
import sys

LOAD_IMM64 = 0x18
# What the kernel takes the number of an instruction for, by section.
PSEUDO = {"map": 1, "map_value": 2}
SHT_SYMTAB, SHT_REL = 2, 9
R_BPF_64_64 = 1


class Object:
    def __init__(self, path):
        self.path = path
        with open(path, "rb") as f:
            self.data = f.read()
        if (self.data[:6] != b"\x7fELF\x02\x01"
                or self.data[18:20] != b"\xf7\x00"):
            self.fail("not a little-endian BPF object")
        offset, = struct.unpack_from("<Q", self.data, 0x28)
        size, n, names = struct.unpack_from("<HHH", self.data, 0x3a)
        heads = [struct.unpack_from("<IIQQQQII", self.data, offset + i * size)
                 for i in range(n)]
        strings = self.body(heads[names])
        self.sections = [(self.string(strings, h[0]), h) for h in heads]
        self.symbols = []
        for _, head in self.sections:
            if head[1] == SHT_SYMTAB:
                self.read_symbols(head)

    def fail(self, why):
        sys.exit(f"{self.path}: {why}")

    def body(self, head):
        return self.data[head[4]:head[4] + head[5]]

    @staticmethod
    def string(table, at):
        return table[at:table.index(b"\0", at)].decode()

    def read_symbols(self, head):
        table = self.body(head)
        strings = self.body(self.sections[head[6]][1])
        for at in range(0, len(table), 24):
            name, _, _, section = struct.unpack_from("<IBBH", table, at)
            where = (self.sections[section][0]
                     if section < len(self.sections) else "")
            self.symbols.append((self.string(strings, name), where))

    def programs(self):
        """Yield (name, instructions, {index: map})."""
        for i, (name, head) in enumerate(self.sections):
            if not name.startswith("program/"):
                continue
            code = [list(struct.unpack_from("<BBhi", self.body(head), at))
                    for at in range(0, head[5], 8)]
            maps = {}
            for _, rel in self.sections:
                if rel[1] == SHT_REL and rel[7] == i:
                    self.relocate(self.body(rel), code, maps)
            yield name.split("/", 1)[1], code, maps

    def relocate(self, table, code, maps):
        for at in range(0, len(table), 16):
            offset, info = struct.unpack_from("<QQ", table, at)
            name, where = self.symbols[info >> 32]
            index = offset // 8
            if (info & 0xffffffff != R_BPF_64_64
                    or code[index][0] != LOAD_IMM64
                    or not name or where not in PSEUDO):
                self.fail(f"instruction {index} refers to {name or where}")
            is_value = where == "map_value"
            # The second half has the offset into the value, the first one
            # will have the descriptor.
            if not is_value and code[index][3] != 0:
                self.fail(f"instruction {index}: inside the map {name}")
            code[index + 1][3] = code[index][3] if is_value else 0
            code[index][3] = 0
            code[index][1] = code[index][1] & 0x0f | PSEUDO[where] << 4
            maps[index] = name


def print_program(name, code, maps):
    print(f"\nstatic const struct bpf_insn {name}_code[] = {{")
    for op, regs, off, imm in code:
        print(f"\t{{ 0x{op:02x}, {regs & 15}, {regs >> 4}, {off}, {imm} }},")
    print("};")
    print(f"\nstatic const struct bpf_reference {name}_references[] = {{")
    for index in sorted(maps):
        print(f"\t{{ {index}, STEERING_{maps[index].upper()} }},")
    print("};")


def main():
    programs = [p for path in sys.argv[1:] for p in Object(path).programs()]
    clang = subprocess.run([os.environ.get("BPF_CLANG", "clang"), "--version"],
                           check=True, stdout=subprocess.PIPE, text=True)
    print("/* Made by `make bpf` from src/bpf/; not to be edited. */")
    print(f"/* {clang.stdout.splitlines()[0]} */")
    print("#ifndef LINUX_BPF_STEERING_BYTECODE_H")
    print("#define LINUX_BPF_STEERING_BYTECODE_H")
    print("\n#include <linux/bpf.h>")
    print("\n#include \"linux/bpf/bpf_syscall.h\"")
    print("#include \"linux/bpf/steering_maps.h\"")
    for program in programs:
        print_program(*program)
    print("\n#endif")


if __name__ == "__main__":
    main()
