#!/bin/bash
# Guess: with IDLE_TIMEOUT a SvelteKit server that was handed its socket ends when no
# request has been in work for so many seconds, as its documentation has it.
# Seen: adapter-node 5.5.7 (kit 2.70.4, Node 20) counts a request as done when Node "closes"
# what came in, and that is as soon as a body has been read: a POST in work is idleness.
# With IDLE_TIMEOUT=1 and SHUTDOWN_TIMEOUT=1 a POST of five seconds is cut off after two
# (curl 52), the server ends with 0, and so nobody is told. A GET of the same five seconds,
# whose body nobody reads, is answered. Without LISTEN_FDS IDLE_TIMEOUT means nothing.
# For a supervisor that hands over sockets: LISTEN_FDS may switch on an end of the worker's
# own choice, from an environment that was meant for another way to start; leave
# IDLE_TIMEOUT out where something else decides how many workers there are.
. "$(dirname "$0")/lib.bash"
pack @sveltejs/adapter-node@5.5.7 @sveltejs/kit@2.70.4 vite@7.3.8 svelte@5.57.3 \
	@sveltejs/vite-plugin-svelte@6.2.4
cd "$T"
mkdir -p src/routes/work
node -e 'const p = require("./package.json"); p.type = "module";
require("fs").writeFileSync("package.json", JSON.stringify(p))'
cat >svelte.config.js <<'A'
import adapter from '@sveltejs/adapter-node';
export default { kit: { adapter: adapter() } };
A
cat >vite.config.js <<'A'
import { sveltekit } from '@sveltejs/kit/vite';
export default { plugins: [sveltekit()] };
A
echo '<html><head>%sveltekit.head%</head><body>%sveltekit.body%</body></html>' >src/app.html
cat >src/routes/work/+server.js <<'A'
const work = () => new Promise((yes) => setTimeout(yes, 5000, new Response('done')));
export const GET = work;
export const POST = ({ request }) => request.json().then(work);
A
timeout 200 node node_modules/vite/bin/vite.js build >build.log 2>&1 ||
	changed "the build: $(tail -n 2 build.log)"
handed() { hand systemd 127.0.0.1 -- node build >log 2>&1; }
bound() { start env HOST=127.0.0.1 "PORT=$(free_port)" node build >log 2>&1; }
export IDLE_TIMEOUT=1 SHUTDOWN_TIMEOUT=1
try() { # try HOW CURL_ARGUMENT...: GOT is how the request ends
	local rc=0
	: >answer
	"$1"
	within 30 grep -q Listening log || changed "$(tail -n 2 log)"
	PORT=$(grep -o '127.0.0.1:[0-9]*' log || echo "127.0.0.1:$(cat ports)")
	curl -sS -m 20 -o answer "${@:2}" "http://$PORT/work" 2>curl || rc=$?
	GOT="$(cat answer) $rc"
}
json=(-H 'Content-Type: application/json' -d '{}')
try handed
test "$GOT" = 'done 0' || changed "GET: $GOT"
try handed "${json[@]}"
test "$GOT" = ' 52' || changed "POST: $GOT"
wait "$PID" || changed "its exit status is $?"
try bound "${json[@]}"
test "$GOT" = 'done 0' || changed "POST, without LISTEN_FDS: $GOT"
seen "SvelteKit's adapter-node 5.5.7: a POST in work is idleness, and cut off"
