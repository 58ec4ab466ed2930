"""Libraries, for LD_PRELOAD, that make a supervisor fail as soon as it is one."""

import shutil
import subprocess

import pytest

from harness import SANITIZED, SLOW

needed = pytest.mark.skipif(shutil.which("cc") is None or SANITIZED,
                            reason="needs a compiler, and to come first")

TEXT = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <string.h>
#include <stdarg.h>
#include <unistd.h>
int prctl(int what, ...)
{
	int (*next)(int, ...) = dlsym(RTLD_NEXT, "prctl");
	unsigned long a[4];
	va_list ap;

	va_start(ap, what);
	for (int i = 0; i < 4; i++)
		a[i] = va_arg(ap, unsigned long);
	va_end(ap);
	if (what == 15 && strcmp((char *)a[0], "clusterd-super") == 0)
		%s;
	return next(what, a[0], a[1], a[2], a[3]);
}
"""


def _compile(box, deed):
    library = box.path("preload.so")
    source = box.write("preload.c", TEXT.replace("%s", deed))
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library + ".new", source],
                   check=True, timeout=60 * SLOW)
    return library


def hangs(box):
    """The path that it is to have: it is at that path with .new behind."""
    return _compile(box, "pause()")


def exits(box, flag):
    """The same, of one that exits where the file `flag` is."""
    return _compile(box, f'if (access("{flag}", F_OK) == 0) _exit(78)')
