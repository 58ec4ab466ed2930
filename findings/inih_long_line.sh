#!/bin/bash
# Guess: a line of an INI file that is longer than the reader's buffer is an
# error with its number, or is cut off.
# Seen: inih r55 as Debian builds it reads 199 bytes and takes the rest of the
# line for the *next line*. Where that has a "=" it becomes a key of its own, and
# ini_parse() returns 0: one `command = java -Dname=value …` of 400 bytes are three
# keys, two of which nobody wrote, one without a name. Only a rest without "=" or
# ":" is an error, with a line's number. Python's configparser reads one key.
# For a program that reads its configuration with it: have lines read by an
# ini_reader of one's own that knows where a line ends.
. "$(dirname "$0")/lib.bash"
deb libinih1=55-1 libinih-dev=55-1
cd "$T"
cat >read.c <<'END'
#include <ini.h>
#include <stdio.h>
#include <string.h>

static int
take(void *user, const char *section, const char *name, const char *value)
{
	(void)user;
	return printf("%s.%s %zu\n", section, name, strlen(value)) > 0;
}

int
main(void)
{
	return printf("returns %d\n", ini_parse("app.ini", take, NULL)) < 0;
}
END
gcc -I"$ROOT/usr/include" read.c -o read "$LD_LIBRARY_PATH/libinih.so.1"
write() { printf '[app]\ncommand = java%s\nport = 80\n' "$1" >app.ini; }

write "$(printf ' -Dname=value%.0s' {1..30})"
./read >out
printed <<'END'
app.command 189
app.name 194
app. 5
app.port 2
returns 0
END
/usr/bin/python3 -c 'import configparser
c = configparser.RawConfigParser()
c.read("app.ini")
print([(name, len(value)) for name, value in c["app"].items()])' >out
printed <<'END'
[('command', 394), ('port', 2)]
END

write "$(printf ' --verbose%.0s' {1..30})"
./read >out
printed <<'END'
app.command 189
app.port 2
returns 3
END
seen "libinih1 55-1: one line of 404 bytes is three keys, and no error"
