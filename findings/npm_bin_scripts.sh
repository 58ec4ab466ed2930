#!/bin/bash
# Guess: node_modules/.bin/NAME of a server that is a binary in an npm package is that
# server: the same after "npm ci" and after "npm ci --ignore-scripts".
# Seen: with workerd 1.20261123.1 and Deno 2.9.6 the package's install script puts the
# binary there. Where no such scripts run (--ignore-scripts, or a package manager that asks
# first) a Node script stays in its place, which waits for the binary in execFileSync() or
# spawnSync(). It hands on descriptors 0 to 2 alone: "File descriptor is not open" for
# workerd's --socket-fd, EINVAL in Deno. SIGTERM is the script's death, and the server never
# hears of it: it serves on, as an orphan. After "npm rebuild" of the same tree all is well.
# For a supervisor: how a server was installed decides whether it can take a socket and be
# stopped; start the binary itself, or have what descends from the worker ended with it.
. "$(dirname "$0")/lib.bash"
pack workerd@1.20261123.1 deno@2.9.6
cd "$T"
export DENO_DIR=$T/deno DENO_NO_UPDATE_CHECK=1
echo 'export default { fetch: () => new Response("served") };' >app.js
echo '{"name": "app", "main": "app.js", "no_bundle": true, "compatibility_date": "2026-11-01"}' \
    >wrangler.json
cat >serve.js <<'A'
import http from 'node:http';
const [host, port] = Deno.args[0].split(':');
http.createServer((request, response) => response.end('served'))
    .listen(port ? { host, port } : { fd: +host });
A
workerd() { "${@:3}" node_modules/.bin/workerd serve wrangler.json "$1" "http=$2"; }
deno() { "${@:3}" node_modules/.bin/deno run -A serve.js "$2"; }
bound() { # bound NAME: it serves at a port of its own, and has had SIGTERM
	PORT=$(free_port)
	"$1" -s "127.0.0.1:$PORT" start >log 2>&1
	within 30 answers "http://127.0.0.1:$PORT/" || changed "$1: $(tail -n 2 log)"
	mapfile -t STRAYS < <(tree "$PID")
	kill "$PID"
	wait "$PID" 2>>log || :
}
handed() { # handed NAME: on descriptor 3
	rm -f ports
	"$1" -S 3 hand none 127.0.0.1 -- >log 2>&1
	within 10 test -e ports
}
for name in workerd deno; do
	bound "$name"
	for _ in 1 2 3 4; do
		sleep 0.4
		answers "http://127.0.0.1:$PORT/" || changed "$name, after SIGTERM: $(cat curl)"
	done
	kill -KILL "${STRAYS[@]}" 2>>log || :
	handed "$name"
	within 30 grep -qE 'not open|EINVAL' log || changed "$name, handed: $(tail -n 2 log)"
done
npm rebuild --silent >npm.log 2>&1 || { echo "$NAME: npm rebuild: $(cat npm.log)" >&2; exit 2; }
for name in workerd deno; do
	bound "$name"
	! answers "http://127.0.0.1:$PORT/" && grep -q '(7)' curl ||
		changed "$name, rebuilt, after SIGTERM: $(cat curl)"
	handed "$name"
	PORT=$(cat ports)
	within 30 answers "http://127.0.0.1:$PORT/" || changed "$name, rebuilt: $(tail -n 2 log)"
done
seen "workerd 1.20261123.1, Deno 2.9.6: without npm's install scripts neither socket nor SIGTERM"
