#!/bin/bash
# Guess: a process of a Procfile has the same PORT in each run: base + 100 for
# each line above it (so does Ruby's foreman).
# Seen: foreman 3.0.1 of npm ("nf") counts the words of the command line: "api",
# the second line, has 5100 in "nf start", 5000 in "nf start api=1" and in "nf
# start api=1,web=1", where web, the first line, has 5100. Two terminals with
# one process each meet on 5000.
# For a supervisor that imports a Procfile: do not take over computed ports; say
# each one in the file.
. "$(dirname "$0")/lib.bash"
pack foreman@3.0.1
cd "$T"
cat >show.js <<'A'
require('fs').appendFileSync('seen', `${process.argv[2]} ${process.env.PORT}\n`);
setInterval(() => {}, 1000);
A
printf '%s\n' 'web: node show.js web' 'api: node show.js api' >Procfile
ports() { # ports COUNT [FORMATION]: what the processes were given
	rm -f seen
	start env -u PORT node node_modules/foreman/nf.js start "${@:2}" >log 2>&1
	within 20 sh -c "test \$(cat seen 2>/dev/null | wc -l) = $1" ||
		changed "nf start ${*:2}: $(tail -n 2 log)"
	SEEN=$(sort seen | xargs)
	kill "$PID"
	within 20 sh -c "! kill -0 $PID 2>/dev/null" || changed "nf does not end"
}
ports 2
test "$SEEN" = 'api 5100 web 5000' || changed "nf start: $SEEN"
ports 1 api=1
test "$SEEN" = 'api 5000' || changed "nf start api=1: $SEEN"
ports 2 api=1,web=1
test "$SEEN" = 'api 5000 web 5100' || changed "nf start api=1,web=1: $SEEN"
seen "npm's foreman 3.0.1: api is 5100, or 5000 when it is asked for first"
