#!/bin/bash
# Guess: READY=1 means that the application answers, or at least imports.
# Seen: gunicorn 20.1.0 says "READY=1 STATUS=Gunicorn arbiter booted" before
# its first worker exists; here the application then fails to import, nothing
# was ever served, and the service manager has already been told "ready".
# For a supervisor that hands over sockets: READY=1 is no reason to retire the
# old worker; wait until somebody waits on the listener.
. "$(dirname "$0")/lib.bash"
deb gunicorn=20.1.0-6+deb12u1 python3-gunicorn=20.1.0-6+deb12u1
notified
echo 'import time; time.sleep(1); raise SystemError("no such release")' \
	>"$T/release.py"
cd "$T"
NOTIFY_SOCKET=$T/notify start /usr/bin/python3 -m gunicorn \
	-b "127.0.0.1:$(free_port)" release:app >"$T/log" 2>&1
G=$PID
within 30 grep -q 'Booting worker' "$T/log" || changed "no worker was started"
within 5 grep -q "$G READY=1" "$T/told" ||
	changed "READY=1 waits for the worker now"
within 30 grep -q 'Worker failed to boot' "$T/log" ||
	changed "the import was to fail"
seen "gunicorn 20.1.0: READY=1, then: Worker failed to boot"
