#!/bin/bash
# Guess: SIGHUP reads the file again and keeps the socket that LISTEN_FDS gave.
# Seen: unicorn 6.0.0 that is told of no "listen" serves the inherited socket, and
# at SIGHUP closes it: "done reloading", a new worker is "ready", nobody
# listens and clients are refused. At SIGUSR2 after that the new master listens
# on 0.0.0.0:8080 (here of a network of its own). With the socket's address as "listen" in the file it stays;
# so it does at SIGUSR2 without a SIGHUP before.
# For a supervisor: a worker that lives and says that it is ready may have
# closed what it was given; after a signal that reloads, look at the socket.
. "$(dirname "$0")/lib.bash"
deb unicorn=6.0.0-2+b4 ruby-kgio=2.11.2-2+b5 ruby-raindrops=0.20.0-1+b2 \
	ruby-rack=2.2.22-0+deb12u2
echo 'run lambda { |env| [200, {}, ["served"]] }' >"$T/config.ru"
cd "$T"
serve() { # serve [LISTEN]: until it serves
	rm -f ports log
	printf '%s\n' 'worker_processes 1' 'preload_app false' >unicorn.in
	test -z "${1:-}" || echo "listen '$1'" >>unicorn.in
	start unshare -n sh -c 'ip link set lo up && exec "$@"' sh /usr/bin/python3 \
	    "$HERE/hand.py" ports systemd 127.0.0.1 -- sh -c "sed 's/@/{0}/' unicorn.in \
	    >unicorn.rb && exec /usr/bin/ruby $(command -v unicorn) -c unicorn.rb" \
	    >log 2>&1
	within 30 is_ready 1 || changed "no worker: $(tail -n 2 log)"
	grep -q 'inherited addr=127.0.0.1' log || changed "not inherited"
	within 10 status 0 || changed "not served: curl $RC"
}
is_ready() { test "$(grep -c 'worker=0 ready' log)" -ge "$1"; }
status() { # status N: curl's exit status there is N
	RC=0
	nsenter -t "$PID" -n curl -sS -m 3 -o body "http://127.0.0.1:$(cat ports)/" \
	    2>curl || RC=$?
	test "$RC" = "$1"
}
hup() {
	kill -HUP "$PID"
	within 30 is_ready 2 || changed "no new worker: $(tail -n 2 log)"
	grep -q 'done reloading' log || changed "other words at SIGHUP"
}
end() {
	kill -KILL $(tree "$PID")
	wait "$PID" 2>/dev/null || :
}
serve
hup
within 10 status 7 || changed "after SIGHUP curl $RC"
kill -0 "$PID" || changed "the master is gone"
! grep -qE 'WARN|ERROR|clos' log || changed "it says so: $(cat log)"
kill -USR2 "$PID"
within 30 grep -q 'listening on addr=0.0.0.0:8080' log ||
	changed "after SIGUSR2: $(tail -n 3 log)"
end
serve '127.0.0.1:@'
hup
status 0 || changed "with listen: curl $RC"
end
serve
kill -USR2 "$PID"
within 30 is_ready 2 || changed "SIGUSR2: $(tail -n 2 log)"
test "$(grep -c 'inherited addr=127.0.0.1' log)" = 2 && status 0 || changed "SIGUSR2 alone: curl $RC"
seen "unicorn 6.0.0: SIGHUP closes the inherited socket, SIGUSR2 then takes 8080"
