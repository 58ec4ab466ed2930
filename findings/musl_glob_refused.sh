#!/bin/bash
# Guess: glob() whose error function says "stop" at a directory that cannot be opened
# returns GLOB_ABORTED, as glob(3) and POSIX have it, with every C library.
# Seen: with glibc it does. With musl 1.2.3 the search ends, and the answer is
# GLOB_NOMATCH, as if nothing were there.
# For a supervisor with "include = conf.d/*.ini" that is built for both: a directory that
# may not be read is an error in one build, and in the other a start without these
# programs; what the function was told has to be kept beside the answer.
. "$(dirname "$0")/lib.bash"
deb musl-dev=1.2.3-1
cd "$T"
cat >look.c <<'A'
#include <errno.h>
#include <glob.h>
#include <stdio.h>
static int refused(const char *path, int code)
{
	(void)path;
	return code != ENOENT;
}
int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		glob_t g = { 0 };
		int r = glob(argv[i], 0, refused, &g);
		printf("%s: %s\n", argv[i], r == 0 ? "found" : r == GLOB_NOMATCH ?
		    "GLOB_NOMATCH" : r == GLOB_ABORTED ? "GLOB_ABORTED" : "?");
	}
	return 0;
}
A
L=$ROOT/usr/lib/x86_64-linux-musl
gcc -o of-glibc look.c
gcc -nostdinc -isystem "$ROOT/usr/include/x86_64-linux-musl" -fno-pie -no-pie -static \
    -nostdlib -o of-musl "$L/crt1.o" look.c "$L/libc.a" -lgcc
mkdir -p in/a
ln -s loop in/loop		# whoever opens it gets ELOOP, root too
touch in/a/1.ini
for program in ./of-glibc ./of-musl; do
	"$program" 'in/a/*.ini' 'in/gone/*.ini' 'in/loop/*.ini'
done >out
printed <<'A'
in/a/*.ini: found
in/gone/*.ini: GLOB_NOMATCH
in/loop/*.ini: GLOB_ABORTED
in/a/*.ini: found
in/gone/*.ini: GLOB_NOMATCH
in/loop/*.ini: GLOB_NOMATCH
A
seen "musl 1.2.3: a refused glob() is one without a match"
