#!/bin/bash
# Guess: an application's name in an ecosystem file is a label.
# Seen: PM2 7.0.4 puts each application's name into its environment, with the
# value "{}", over what the file's own "env" says: an application named PORT
# with env PORT=8123 is started with PORT={} (and "online"). And "instances":
# "3%" is 3, not a share of the processors: the number in front counts.
# For a supervisor that reads such files: names and environment are two spaces;
# a percentage is refused or understood, never cut.
. "$(dirname "$0")/lib.bash"
pack pm2@7.0.4
cat >"$T/show.js" <<'A'
require('fs').appendFileSync(process.env.OUT + process.env.name,
  `${process.env.PORT}\n`);
setInterval(() => {}, 1000);
A
cat >"$T/ecosystem.json" <<'A'
{"apps": [
  {"name": "PORT", "script": "./show.js", "env": {"PORT": "8123"},
   "exec_mode": "fork", "autorestart": false},
  {"name": "share", "script": "./show.js", "env": {"PORT": "8124"},
   "instances": "3%", "autorestart": false}]}
A
cd "$T"
export PM2_HOME=$T/pm2 OUT=$T/out-
stop() {
	timeout 30 "$T/node_modules/.bin/pm2" kill >/dev/null 2>&1 || :
	cleanup
}
trap stop EXIT
timeout 60 node_modules/.bin/pm2 start ecosystem.json >log 2>&1 ||
	changed "$(tail -n 3 log)"
lines() { test "$(cat "$1" 2>/dev/null | wc -l)" -ge "$2"; }
within 20 lines out-PORT 1 || changed "the application PORT does not run"
within 20 lines out-share 3 || changed "no three instances"
test "$(cat out-PORT)" = '{}' || changed "PORT is $(cat out-PORT)"
timeout 30 node_modules/.bin/pm2 jlist 2>/dev/null | tail -n 1 >list
test "$(node -p 'JSON.parse(fs.readFileSync("list")).filter(
	(a) => a.name === "share").length')" = 3 || changed "not 3 instances"
test "$(sort -u out-share)" = 8124 || changed "share has another PORT"
seen 'PM2 7.0.4: an application named PORT has PORT={}, "3%" is 3'
