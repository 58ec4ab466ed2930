#!/bin/bash
# Guess: a socket that a supervisor holds is the same for each program that gets it: what
# the last one did with it ended with that program.
# Seen: Node 20 (as whatever has an event loop) sets O_NONBLOCK on an inherited listener.
# That belongs to the socket: it stays when Node is gone, unless the socket was its
# standard input, too, whose flags Node puts back. The next program that waits in
# accept() gets EAGAIN and takes it in its own way: fcgiwrap 1.1.0 ends at once with exit
# status 0 and no word; php-fpm 8.2.36 stays, and each of its workers ends with code 0
# and is started again without a pause; Starlet 0.31 answers, and takes a whole CPU while
# there is nothing to do.
# For a supervisor: clear O_NONBLOCK on what it hands over before each start, and do not
# let programs of different kinds share a socket: the flag is common to all.
. "$(dirname "$0")/lib.bash"
deb fcgiwrap=1.1.0-14+deb12u1 libfcgi0ldbl=2.4.2-2+deb12u1 \
	libfcgi-bin=2.4.2-2+deb12u1 php8.2-fpm=8.2.36-1~deb12u1 \
	starlet=0.31-2 libserver-starter-perl=0.35-2 libplack-perl=1.0050-1 \
	libparallel-prefork-perl=0.18-1 libproc-wait3-perl=0.05-2+b1 \
	libapache-logformat-compiler-perl=0.36-3 libclass-accessor-lite-perl=0.08-3 \
	libdevel-stacktrace-perl=2.0400-2 libdevel-stacktrace-ashtml-perl=0.15-2 \
	libhttp-date-perl=6.05-2 libhttp-message-perl=6.44-1 liburi-perl=5.17-1 \
	libhttp-parser-xs-perl=0.17-2+b2 libposix-strftime-compiler-perl=0.44-3 \
	libstream-buffered-perl=0.03-3 libtry-tiny-perl=0.31-2 \
	libhash-multivalue-perl=0.16-3 libfilesys-notify-simple-perl=0.14-3 \
	libwww-form-urlencoded-perl=0.26-2 libhttp-headers-fast-perl=0.22-3 \
	libhttp-entity-parser-perl=0.25-2 libcookie-baker-perl=0.11-3 \
	libscope-guard-perl=0.21-2 libsignal-mask-perl=0.008-3 \
	libhttp-multipartparser-perl=0.02-3 libjson-maybexs-perl=1.004004-1
cd "$T"
# hold.py COMMAND...: one listener, and each COMMAND after the other with it as its
# descriptors 0 and 3; says in "held" when one begins, and its end.
cat >hold.py <<'A'
import os, socket, subprocess, sys
s = socket.create_server(("127.0.0.1", 0))
os.environ["PORT"] = str(s.getsockname()[1])
os.dup2(s.fileno(), 3, inheritable=True)
for n, command in enumerate(sys.argv[1:], 1):
    child = subprocess.Popen(["sh", "-c", command], stdin=3, pass_fds=[3])
    print(n, "is", child.pid, os.environ["PORT"], flush=True)
    print(n, "ended", child.wait(), flush=True)
A
cat >node.js <<'A'
require('http').createServer((request, response) => response.end('node')).listen({ fd: 3 });
process.on('SIGTERM', () => process.exit());
A
chmod 755 . && printf '%s\n' '#!/bin/sh' 'printf "Content-Type: text/plain\n\nserved"' >cgi
chmod 755 cgi && echo '<?php echo "served";' >page.php
echo 'sub { [200, [], ["served"]] }' >app.psgi
printf '%s\n' '[global]' "error_log = $T/fpm.log" 'daemonize = no' '[www]' \
	'user = nobody' 'listen = 127.0.0.1:@' 'pm = static' 'pm.max_children = 1' >fpm.in
turn() { # turn N: the Nth has begun; its pid is P, the socket's port PORT
	within 20 grep -q "^$1 is" held || changed "the ${1}th does not begin: $(cat held)"
	read -r _ _ P PORT <<<"$(grep "^$1 is" held)"
}
alone() { # alone COMMAND CHECK: COMMAND passes CHECK, and Node after it sets its flag
	rm -f held fpm.log
	start /usr/bin/python3 hold.py "$1" "$NODE" "$1" >held 2>log
	turn 1
	within 20 "$2" || changed "$1 on a new socket: $(tail -n 2 log)"
	kill "$P"
	turn 2
	within 20 answers "http://127.0.0.1:$PORT/" || changed "Node: $(tail -n 2 log)"
	grep -q '^flags:.*4...$' "/proc/$P/fdinfo/3" || changed "Node sets no O_NONBLOCK"
	kill "$P"
	turn 3
}
fastcgi() {
	SCRIPT_FILENAME=$T/$1 REQUEST_METHOD=GET timeout 5 \
	    cgi-fcgi -bind -connect "127.0.0.1:$PORT" 2>/dev/null | grep -q served
}
by_wrap() { fastcgi cgi; }
by_fpm() { fastcgi page.php; }
by_starlet() { answers "http://127.0.0.1:$PORT/"; }
ends() { grep -c 'exited with code 0' fpm.log; }
many_ends() { test "$(ends)" -ge 50; }
cpu() { # hundredths of a second that P and its children have used
	awk '{ sum += $14 + $15 } END { print sum }' $(tree "$P" | sed 's|.*|/proc/&/stat|')
}
busy() { test "$(cpu)" -ge $((BEFORE + 150)); }

NODE='exec node node.js'		# descriptor 0 is the socket, too
alone 'exec fcgiwrap' by_wrap
within 20 by_wrap || changed "Node leaves the flag at descriptor 0: $(cat held)"
kill "$P"
NODE="$NODE </dev/null"
alone 'exec fcgiwrap' by_wrap
within 10 grep -qx '3 ended 0' held || changed "fcgiwrap stays"
test ! -s log || changed "fcgiwrap says $(cat log)"

alone 'sed "s/@/$PORT/" fpm.in >fpm.conf
FPM_SOCKETS=127.0.0.1:$PORT=3 exec php-fpm8.2 -n -R -y fpm.conf 2>/dev/null' by_fpm
test "$(grep -c ready fpm.log)" = 2 || within 20 grep -q ready fpm.log
within 20 many_ends || changed "php-fpm: $(ends) workers have ended"
! grep -q 'WARN\|ERROR' fpm.log || changed "php-fpm: $(grep 'WARN\|ERROR' fpm.log)"
kill -0 "$P" || changed "php-fpm ends"
kill "$P"

alone 'SERVER_STARTER_PORT=127.0.0.1:$PORT=3 exec plackup -s Starlet --max-workers=1 app.psgi' \
	by_starlet
within 20 by_starlet || changed "Starlet: $(tail -n 2 log)"
BEFORE=$(cpu)
within 20 busy || changed "Starlet is idle"
by_starlet || changed "Starlet no longer answers"
kill "$P"
seen "Node 20, fcgiwrap 1.1.0, php-fpm 8.2.36, Starlet 0.31: O_NONBLOCK outlives who set it"
