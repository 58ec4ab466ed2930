#!/bin/bash
# Guess: NOTIFY_SOCKET stays as long as the program that it was given to, and a
# word that nobody takes is harmless.
# Seen: dpkg's start-stop-daemon 1.21.22 --notify-await removes its socket once
# READY=1 came. Puma 5.6.5 (sd_notify gem 0.1.1) then raises ENOENT when it says
# STOPPING=1, *before* it waits for its requests: at SIGTERM a running request
# gets an empty reply (curl 52). Without NOTIFY_SOCKET it is finished.
# For a supervisor: keep a worker's notify socket until the worker's end, also
# when it is being replaced, or its graceful stop is none.
. "$(dirname "$0")/lib.bash"
dpkg-query -W dpkg | grep -q '1\.21\.22' ||
	{ echo "$NAME: start-stop-daemon is not 1.21.22" >&2; exit 2; }
deb puma=5.6.5-3+deb12u2 ruby-sd-notify=0.1.1-2 ruby-nio4r=2.5.8-3 \
	ruby-rack=2.2.22-0+deb12u2
cat >"$T/config.ru" <<'A'
run(lambda do |env|
  if env['PATH_INFO'] == '/slow'
    File.write(ENV['MARK'], 'x')
    sleep 2
  end
  [200, {}, ['served']]
end)
A
cat >"$T/run" <<'A'
echo $$ >"$1"
exec /usr/bin/ruby "$(command -v puma)" -b "tcp://127.0.0.1:$2" "$3/config.ru" \
	>>"$3/log" 2>&1
A
try() { # try COMMAND...: the curl status of a request that runs at SIGTERM
	export MARK=$T/mark
	rm -f "$MARK" "$T/pid"
	P=$(free_port)
	"$@" /bin/bash "$T/run" "$T/pid" "$P" "$T" >/dev/null 2>&1
	within 20 test -s "$T/pid"
	STRAYS=("$(cat "$T/pid")")
	within 20 answers "http://127.0.0.1:$P/" || changed "puma does not start"
	get "http://127.0.0.1:$P/slow" 10 >/dev/null & local c=$!
	within 10 test -e "$MARK"
	kill "$(cat "$T/pid")"
	STATUS=0
	wait "$c" || STATUS=$?
	within 20 sh -c "! kill -0 ${STRAYS[0]} 2>/dev/null" || changed "it stays"
	STRAYS=()
}
try start
test "$STATUS" = 0 || changed "the request is lost without it too ($STATUS)"
await() {
	setsid start-stop-daemon --start --background --notify-await \
	    --notify-timeout 20 --pidfile "$T/pid" --startas "$1" -- "${@:2}"
}
try await
test "$STATUS" = 52 || changed "the request ended otherwise (curl $STATUS)"
grep -q 'NotifyError' "$T/log" || changed "no NotifyError"
seen "dpkg 1.21.22, Puma 5.6.5: the running request is lost at SIGTERM"
