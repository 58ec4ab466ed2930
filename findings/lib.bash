# shellcheck shell=bash
# Sourced by every finding: a temporary folder, pinned packages unpacked into
# it, processes that end with the script, waiting with a limit, the verdict.
set -euo pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
NAME=$(basename "$0" .sh)
T=$(mktemp -d)
ROOT=$T/root
STRAYS=()		# pids of what is nobody's child here

# tree PID...: these and all that descends from them.
tree() {
	local p
	for p; do
		echo "$p"
		# shellcheck disable=SC2046
		tree $(pgrep -P "$p")
	done
}

cleanup() {
	exec 2>/dev/null	# the shell's own "Killed"
	# Some start groups of their own, so a group's number is not enough.
	local running=()
	mapfile -t running < <(jobs -pr)
	mapfile -t running < <(tree "${running[@]}" "${STRAYS[@]}")
	kill -KILL "${running[@]}" || :
	wait || :
	rm -rf "$T"
}
trap cleanup EXIT

# deb NAME=VERSION...: download and unpack, nothing is installed.
deb() {
	mkdir -p "$T/deb" "$ROOT"
	(cd "$T/deb" && apt-get -qq -o APT::Sandbox::User=root download "$@") ||
		{ echo "$NAME: a package cannot be had: $*" >&2; exit 2; }
	local f
	for f in "$T"/deb/*.deb; do dpkg-deb -x "$f" "$ROOT"; done
	rm -r "$T/deb"
	local l=$ROOT/usr/lib/x86_64-linux-gnu r=rubygems-integration
	export PATH=$ROOT/usr/bin:$ROOT/usr/sbin:/usr/bin:/usr/sbin:/bin:/sbin:$PATH
	export LD_LIBRARY_PATH=$l PYTHONPATH=$ROOT/usr/lib/python3/dist-packages
	export PERL5LIB=$ROOT/usr/share/perl5:$l/perl5/5.36
	export RUBYLIB=$ROOT/usr/lib/ruby/vendor_ruby
	export GEM_PATH=$ROOT/usr/share/$r/all:$l/$r/3.1.0:/usr/share/$r/all
	export PYTHONDONTWRITEBYTECODE=1 PYTHONWARNINGS=ignore
}

# pack NAME@VERSION...: npm packages into $T, no scripts of theirs run.
pack() {
	npm install --prefix "$T" --silent --ignore-scripts --no-audit \
	    --no-fund "$@" >"$T/npm.log" 2>&1 ||
		{ echo "$NAME: a package cannot be had: $*" >&2; exit 2; }
}

# certificate: key.pem and cert.pem of localhost, here.
certificate() {
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes \
	    -keyout key.pem -out cert.pem -days 2 -subj /CN=localhost 2>openssl.log
}

# script SECONDS: run standard input with Node, here; what it prints is in out.
script() {
	cat >main.js
	HERE=$HERE timeout "$1" node main.js >out 2>err || changed "$(tail -n 3 err)"
}
# printed: out is what standard input says.
printed() { diff - out >differ || changed "$(cat differ)"; }

# start COMMAND...: in a session of its own; its pid is $PID.
# shellcheck disable=SC2034
start() { setsid "$@" & PID=$!; }

# within SECONDS COMMAND...: until it succeeds.
within() {
	local end=$((SECONDS + $1)); shift
	until "$@"; do ((SECONDS < end)) || return 1; sleep 0.1; done
}

free_port() {
	/usr/bin/python3 -c 'import socket; s = socket.socket()
s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

# hand PROTOCOL ADDRESS... -- COMMAND...: see hand.py; ports in $T/ports.
hand() { start /usr/bin/python3 "$HERE/hand.py" "$T/ports" "$@"; }
notified() { # what the program tells NOTIFY_SOCKET, into $T/told
	start /usr/bin/python3 "$HERE/notify.py" "$T/notify" "$T/told"
	within 20 test -S "$T/notify"
}

get() { curl -sS -m "${2:-3}" "$1" 2>"$T/curl"; }
answers() { get "$@" >/dev/null; }

changed() { echo "$NAME: no longer so: $*" >&2; exit 1; }
seen() { echo "$NAME: as seen with $*"; exit 0; }
