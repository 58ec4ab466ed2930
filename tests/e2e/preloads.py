"""Libraries that a test puts before clusterd's C library, by LD_PRELOAD."""

import shutil
import subprocess

import pytest

from harness import SANITIZED, SLOW, STATIC

WHY_NOT = "needs a compiler" if shutil.which("cc") is None else \
    "a sanitizer has to come first" if SANITIZED else \
    "nothing can be preloaded into a static clusterd" if STATIC else ""
# Of a test that preloads something into clusterd itself.
needed = pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT)

# One that makes a supervisor fail as soon as it is one.
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


# Between a child's end and what is done about it.
REAP = r"""
#include <sys/types.h>
pid_t waitpid(pid_t pid, int *status, int options)
{
	pid_t (*next)(pid_t, int *, int) = dlsym(RTLD_NEXT, "waitpid");
	pid_t dead = next(pid, status, options);

	while (dead > 0 && access("%s", F_OK) == 0)
		usleep(1000);
	return dead;
}
"""


# Behind a line of the log.
SAID = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <string.h>
#include <unistd.h>
ssize_t write(int fd, const void *bytes, size_t len)
{
	ssize_t (*next)(int, const void *, size_t) = dlsym(RTLD_NEXT, "write");
	ssize_t n = next(fd, bytes, len);

	while (memmem(bytes, len, "%s", strlen("%s")) != NULL)
		pause();
	return n;
}
"""


def of_source(box, library, text):
    source = box.write("preload.c", text)
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, source],
                   check=True, timeout=60 * SLOW)
    return library


def _of_deed(box, deed, more=""):
    library = box.path("preload.so")
    of_source(box, library + ".new", TEXT.replace("%s", deed) + more)
    return library


def hangs(box):
    """The path that it is to have: it is at that path with .new behind."""
    return _of_deed(box, "pause()")


def hangs_behind(box, words):
    """The library of one that does nothing any more once it has written these words,
    to a file that is its own."""
    return of_source(box, box.path("said.so"), SAID.replace("%s", words))


def exits(box, flag):
    """The same, of one that exits where the file `flag` is."""
    return _of_deed(box, f'if (access("{flag}", F_OK) == 0) _exit(78)')


def waits(box, begin, reaped):
    """A supervisor begins once the file `begin` is gone, and whoever has reaped a
    child goes on once `reaped` is. It is at that path with .new behind."""
    deed = f'while (access("{begin}", F_OK) == 0) usleep(1000)'
    return _of_deed(box, deed, REAP.replace("%s", reaped))
