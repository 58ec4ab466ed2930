#!/bin/bash
# Guess: "systemd-notify --ready" in a start script sends one word, from a
# process of its own.
# Seen: systemd-notify 252 sends two datagrams: READY=1, and BARRIER=1 with a
# descriptor, for whose closing it waits. As root the first one carries the
# *shell's* pid in its credentials (it may claim that) and the second one its
# own; as another user both carry its own pid, which is gone a moment later.
# For a supervisor that tells its workers apart by the sender's pid: the
# sender may be a dead child and two words of one call differ; use a socket for
# each worker, take descriptors and close them at once.
. "$(dirname "$0")/lib.bash"
test "$(id -u)" = 0 || { echo "$NAME: must be root" >&2; exit 2; }
deb systemd=252.39-1~deb12u2 libsystemd-shared=252.39-1~deb12u2
L=$LD_LIBRARY_PATH:$LD_LIBRARY_PATH/systemd
notified
chmod 755 "$T"
chmod 777 "$T/notify"
tell() { # tell USER N: the pid of the shell in SHELL_PID
	SHELL_PID=$(NOTIFY_SOCKET=$T/notify timeout 20 setpriv --reuid "$1" --clear-groups \
	    env LD_LIBRARY_PATH="$L" sh -c 'echo $$
	    "$0" --ready; true' "$ROOT/bin/systemd-notify")
	within 10 sh -c "test \$(grep -c BARRIER=1 $T/told) -ge $2" ||
		changed "no BARRIER=1"
	READY=$(grep READY=1 "$T/told" | tail -n 1 | cut -d' ' -f1)
	BARRIER=$(grep BARRIER=1 "$T/told" | tail -n 1 | cut -d' ' -f1)
}
tell root 1
test "$READY" = "$SHELL_PID" || changed "root: READY=1 is the child's"
test "$BARRIER" != "$SHELL_PID" || changed "root: BARRIER=1 is the shell's"
tell nobody 2
test "$READY" != "$SHELL_PID" || changed "nobody: READY=1 is the shell's"
test "$READY" = "$BARRIER" || changed "nobody: two pids"
! kill -0 "$READY" 2>/dev/null || changed "the sender lives on"
seen "systemd-notify 252.39: as root two senders, else one that is gone"
