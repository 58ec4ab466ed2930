#!/bin/bash
# Guess: what "npm install" made and started, "npm ci" makes again from the lock file.
# Seen: dotenv 18.0.10 brings a command "dotenv", as dotenv-cli 11.0.0 has had. With
# dotenv-cli installed last, "dotenv -e FILE node ..." is dotenv-cli's; after npm ci with
# the lock file of that very install the name is dotenv's, which knows no -e: it prints
# its usage and ends with status 1. npm says nothing either time.
# For a supervisor: a start command by way of node_modules/.bin can be another program
# after a deployment; what ends at once with a usage is to be shown with its first line.
. "$(dirname "$0")/lib.bash"
pack dotenv@18.0.10
pack dotenv-cli@11.0.0
cd "$T"
echo A=here >file.env
echo 'console.log(process.env.A)' >show.js
says() { node_modules/.bin/dotenv -e file.env node show.js; }
test "$(says 2>&1)" = here || changed "at first: $(says 2>&1 | head -n 1)"
npm ci --ignore-scripts --no-audit --no-fund >log 2>&1 || changed "npm ci: $(tail -n 2 log)"
for name in dotenv dotenv-cli; do
	test -e "node_modules/$name/package.json" || changed "$name is gone"
done
! grep -i 'dotenv' npm.log log || changed "npm tells"
rc=0
says >out 2>&1 || rc=$?
test "$rc" = 1 || changed "after npm ci the status is $rc"
grep -q '^Usage: dotenv run ' out || changed "after npm ci: $(head -n 1 out)"
seen "dotenv 18.0.10, dotenv-cli 11.0.0: after npm ci \"dotenv\" is the other program"
