#!/bin/bash
# Guess: php-fpm closes inherited descriptors that no pool of its names.
# Seen: php-fpm 8.2.36, FPM_SOCKETS with the pool's TCP socket and the Unix
# socket of another service: it also *removes the other's socket file*, without
# a word beyond "using inherited socket". Clients of the other service get
# ENOENT though that service still listens.
# For a supervisor: name only what the program's own file names; a Unix lane
# handed to the wrong program disappears from the file system for everybody.
. "$(dirname "$0")/lib.bash"
deb php8.2-fpm=8.2.36-1~deb12u1
printf '%s\n' '[global]' "error_log = $T/log" 'daemonize = no' '[www]' \
	'user = nobody' 'listen = 127.0.0.1:@' 'pm = static' \
	'pm.max_children = 1' >"$T/conf.in"
hand "FPM_SOCKETS=127.0.0.1:{0}=3,$T/other=4" 127.0.0.1 "$T/other" -- sh -c \
	"sed 's/@/{0}/' $T/conf.in >$T/conf && test -S $T/other &&
	touch $T/was-there && exec php-fpm8.2 -n -R -y $T/conf" 2>/dev/null
within 20 grep -qs 'ready to handle' "$T/log" || changed "it does not start"
test -e "$T/was-there" || changed "the socket file was not there before"
grep -q "using inherited socket fd=4" "$T/log" || changed "fd 4 is not taken"
within 5 test ! -e "$T/other" || changed "the other's socket file stays"
seen "php-fpm 8.2.36: the socket file that no pool names is removed"
