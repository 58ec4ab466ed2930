#!/bin/bash
# Guess: a file of NAME=value lines means the same to all that read it, or fails.
# Seen, of the same nine lines: "#" within a word begins a comment for node --env-file
# (20), dotenv 18.0.10, dotenv-cli 11.0.0 and env-cmd 11.0.0 (the password pass#word is
# "pass"), not for a shell. dotenv-cli replaces $HOME even between single quotes, as
# dotenv does not. env-cmd makes a newline of \n between single quotes, too, and has no
# NAME for "export NAME=1". None of them says a word.
# For a supervisor that reads such files: an application that is moved to it from its
# own reader gets other secrets; say which lines are read otherwise.
. "$(dirname "$0")/lib.bash"
pack dotenv@18.0.10 dotenv-cli@11.0.0 env-cmd@11.0.0
cd "$T"
cat >file.env <<'A'
SHARP=pass#word
SPACED=x # y
DOLLAR=pa$HOME
DOUBLE="pa$HOME"
SINGLE='pa$HOME'
ESCAPED="a\nb"
RAW='a\nb'
EQUAL=a=b
export NAME=1
A
cat >show.js <<'A'
const names = 'SHARP SPACED DOLLAR DOUBLE SINGLE ESCAPED RAW EQUAL NAME'.split(' ');
require('fs').appendFileSync('out', `${process.argv[2]} ${JSON.stringify(names.map((n) => process.env[n]))}\n`);
A
export HOME=/h
readers() {
	node --env-file=file.env show.js node
	node -e 'require("dotenv").config({path: "file.env"});
	    process.argv[2] = "dotenv"; require("./show.js")'
	node node_modules/dotenv-cli/cli.js -e file.env node show.js dotenv-cli
	node_modules/.bin/env-cmd -f file.env node show.js env-cmd
	sed -i '/SPACED/d' file.env	# a command to a shell
	sh -c 'set -a; . ./file.env; node show.js sh'
}
readers >log 2>&1 || changed "$(tail -n 3 log)"
printed <<'A'
node ["pass","x","pa$HOME","pa$HOME","pa$HOME","a\nb","a\\nb","a=b","1"]
dotenv ["pass","x","pa$HOME","pa$HOME","pa$HOME","a\nb","a\\nb","a=b","1"]
dotenv-cli ["pass","x","pa/h","pa/h","pa/h","a\nb","a\\nb","a=b","1"]
env-cmd ["pass","x","pa$HOME","pa$HOME","pa$HOME","a\nb","a\nb","a=b",null]
sh ["pass#word",null,"pa/h","pa/h","pa$HOME","a\\nb","a\\nb","a=b","1"]
A
seen "Node 20, dotenv 18.0.10, dotenv-cli 11.0.0, env-cmd 11.0.0: four readings, no word"
