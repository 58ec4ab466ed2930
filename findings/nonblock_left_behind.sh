#!/bin/bash
# Guess: a socket that a supervisor holds is the same for each program that gets it: what
# the last one did with it ended with that program.
# Seen: Node 20 (as whatever has an event loop) sets O_NONBLOCK on an inherited listener.
# That belongs to the socket: it stays when Node is gone, unless the socket was its
# standard input, too, whose flags Node puts back. The next program that waits in
# accept() gets EAGAIN: fcgiwrap 1.1.0 ends at once with exit status 0 and no word.
# For a supervisor: clear O_NONBLOCK on what it hands over before each start, and do not
# let programs of different kinds share a socket: the flag is common to all.
. "$(dirname "$0")/lib.bash"
deb fcgiwrap=1.1.0-14+deb12u1 libfcgi0ldbl=2.4.2-2+deb12u1 \
	libfcgi-bin=2.4.2-2+deb12u1
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
chmod 755 cgi
turn() { # turn N: the Nth has begun; its pid is P, the socket's port PORT
	within 20 grep -q "^$1 is" held || changed "the ${1}th does not begin: $(cat held)"
	read -r _ _ P PORT <<<"$(grep "^$1 is" held)"
}
alone() { # alone COMMAND CHECK: COMMAND passes CHECK, and Node after it sets its flag
	rm -f held
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
by_wrap() {
	SCRIPT_FILENAME=$T/cgi REQUEST_METHOD=GET timeout 5 \
	    cgi-fcgi -bind -connect "127.0.0.1:$PORT" 2>/dev/null | grep -q served
}
NODE='exec node node.js'		# descriptor 0 is the socket, too
alone 'exec fcgiwrap' by_wrap
within 20 by_wrap || changed "Node leaves the flag at descriptor 0: $(cat held)"
kill "$P"
NODE="$NODE </dev/null"
alone 'exec fcgiwrap' by_wrap
within 10 grep -qx '3 ended 0' held || changed "fcgiwrap stays"
test ! -s log || changed "fcgiwrap says $(cat log)"
seen "Node 20, fcgiwrap 1.1.0: O_NONBLOCK outlives who set it"
