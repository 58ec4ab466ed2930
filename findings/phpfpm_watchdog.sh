#!/bin/bash
# Guess: php-fpm says WATCHDOG=1 twice within WATCHDOG_USEC, as sd_notify asks,
# or says that it cannot; and it stops when no worker can answer any more.
# Seen: with WatchdogSec=2 or less php-fpm 8.2.36 never sends WATCHDOG=1: half of
# it is no interval to it, and all that the log says is "systemd monitor interval
# set to 10000ms", as without a watchdog; so the manager kills it for ever. With
# 3 s it reports each 1.5 s. That is the master, with READY=1 each time: both go
# on, and STATUS says "idle: 2", while both workers stand still.
# For a supervisor with a watchdog: more than two seconds, and for php-fpm a check
# that asks a worker.
. "$(dirname "$0")/lib.bash"
V=8.2.36-1~deb12u1
deb php8.2-fpm=$V php8.2-common=$V libapparmor1 libargon2-1 libpcre2-8-0 \
	libsodium23 libonig5 libxml2 libicu72
cd "$T"
notified
cat >fpm.conf <<END
[global]
error_log = $T/log
daemonize = no
[www]
listen = 127.0.0.1:$(free_port)
user = nobody
pm = static
pm.max_children = 2
END
fpm() { # fpm MICROSECONDS: its pid in $PID
	: >log
	NOTIFY_SOCKET=$T/notify WATCHDOG_USEC=$1 \
	    start php-fpm8.2 -n -y fpm.conf -F -R 2>>err
	within 20 grep -q 'monitor interval set' log || changed "$(tail -n 3 log)"
}
beats() { test "$(grep -c "$PID READY=1 WATCHDOG=1" told)" -ge "$1"; }

fpm 2000000
grep -q 'set to 10000ms' log || changed "$(cat log)"
sleep 4
! beats 1 || changed "WATCHDOG=1 with two seconds"
kill -TERM "$PID"
wait "$PID" || :

fpm 3000000
grep -q 'set to 1500ms' log || changed "$(cat log)"
within 10 beats 2 || changed "no WATCHDOG=1 with three seconds"
pkill -STOP -P "$PID"
N=$(grep -c "$PID READY=1 WATCHDOG=1" told)
within 10 beats $((N + 3)) || changed "no WATCHDOG=1 for workers that stand still"
tail -n 1 told | grep -q 'active: 0, idle: 2' || changed "$(tail -n 1 told)"
seen "php-fpm $V: 2 s: none in 4 s; 3 s: each 1.5 s, workers stopped too"
