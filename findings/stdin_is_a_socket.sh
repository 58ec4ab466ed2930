#!/bin/bash
# Guess: "rsync --daemon --no-detach --port N" and "distccd --no-detach --port
# N" listen on N, whoever starts them.
# Seen: Node's child_process.spawn gives 'pipe' (its default) as a Unix socket
# pair. rsync 3.5.0 and distccd 3.4 look whether standard input is a socket and
# take it for a client that inetd accepted: rsync sends its greeting there and
# listens nowhere; distccd refuses the "client" and exits with 113. Started
# with /dev/null both listen. A supervisor written in Node does this by default.
# For a supervisor: standard input is /dev/null or a pipe, never a socket.
. "$(dirname "$0")/lib.bash"
deb rsync=3.5.0+ds1-0+deb12u1 distcc=3.4+really3.4-3 libpopt0=1.19+dfsg-1 \
	libxxhash0=0.8.1-1
printf 'use chroot = no\n[m]\npath = %s\n' "$T" >"$T/rsyncd.conf"
cat >"$T/spawn.js" <<'A'
const fs = require('fs'), T = process.env.T;
const child = require('child_process').spawn(process.argv[2],
  process.argv.slice(3), {stdio: ['pipe', 'inherit', 'inherit']});
child.on('exit', (code) => fs.writeFileSync(T + '/code', `${code}`));
fs.writeFileSync(T + '/stdin', fs.readlinkSync(`/proc/${child.pid}/fd/0`));
A
export T
listens() { ss -Hltn "sport = :$1" | grep -q .; }
daemons() { # daemons PORT PORT: the two commands, in R and D
	R=(rsync --daemon --no-detach --address=127.0.0.1 "--port=$1"
	    "--config=$T/rsyncd.conf")
	D=(distccd --no-detach --enable-tcp-insecure --log-stderr --port "$2"
	    --listen 127.0.0.1 --allow 127.0.0.1 --verbose)
}
P=$(free_port) Q=$(free_port)
daemons "$P" "$Q"
start "${R[@]}" </dev/null
start "${D[@]}" </dev/null 2>"$T/log"
within 20 listens "$P" || changed "rsync does not listen with /dev/null"
within 20 listens "$Q" || changed "distccd does not listen with /dev/null"
P=$(free_port) Q=$(free_port)
daemons "$P" "$Q"
start node "$T/spawn.js" "${D[@]}" 2>"$T/log"
within 20 test -s "$T/code" || changed "distccd stays"
grep -q socket: "$T/stdin" || changed "Node's pipe is none: $(cat "$T/stdin")"
test "$(cat "$T/code")" = 113 || changed "distccd: exit $(cat "$T/code")"
grep -q 'stdin is socket; assuming --inetd mode' "$T/log" || changed "words"
rm "$T/code"
start node "$T/spawn.js" "${R[@]}"
! within 3 listens "$P" || changed "rsync listens"
test ! -e "$T/code" || changed "rsync ends: exit $(cat "$T/code")"
seen "rsync 3.5.0 and distccd 3.4 under Node $(node -p process.version): inetd"
