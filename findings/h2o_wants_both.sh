#!/bin/bash
# Guess: "listen: N" in h2o's file and start_server --port=N belong together.
# Seen: h2o 2.2.5 under start_server 0.35: "tcp socket:(null):N is not being
# bound to the server", exit 78, again and again. "listen: N" stands for two
# sockets, and both must be handed over by name: --port=0.0.0.0:N and
# --port=[::]:N. One of them is not enough, nor the bare --port=N.
# For a supervisor: one dual-stack socket cannot stand for what such a server
# asks for; give it two, IPv4 and IPv6 only, and name both.
# All addresses are those of a network of its own.
. "$(dirname "$0")/lib.bash"
deb h2o=2.2.5+dfsg2-7 libserver-starter-perl=0.35-2 libproc-wait3-perl=0.05-2+b1 \
	libscope-guard-perl=0.21-2 liblist-moreutils-perl=0.430-2 \
	liblist-moreutils-xs-perl=0.430-3+b1 libexporter-tiny-perl=1.006000-1
mkdir "$T/www"
echo served >"$T/www/index.html"
P=$(free_port)
printf '%s\n' "listen: $P" 'hosts: {default: {paths: {/: {file.dir: '"$T/www"'}}}}' \
	>"$T/conf"
serve() { # serve PORT...
	local ports=() p
	for p; do ports+=("--port=$p"); done
	start unshare -n sh -c 'ip link set lo up && exec "$@"' sh \
	    start_server "${ports[@]}" -- h2o -c "$T/conf" >"$T/log" 2>&1
}
in_there() { nsenter -t "$PID" -n curl -sS -m 3 -o "$T/body" "$1" 2>"$T/curl"; }
end() {
	kill "$PID"
	within 20 sh -c "! kill -0 $PID 2>/dev/null" || changed "it does not end"
}
for wrong in "$P" "0.0.0.0:$P" "[::]:$P"; do
	serve "$wrong"
	within 20 grep -q 'is not being bound to the server' "$T/log" ||
		changed "--port=$wrong is taken"
	within 20 grep -q 'exit status:19968' "$T/log" || changed "not exit 78"
	end
done
serve "0.0.0.0:$P" "[::]:$P"
within 20 in_there "http://127.0.0.1:$P/" || changed "both are refused"
in_there "http://[::1]:$P/" || changed "IPv6 is not served"
seen "h2o 2.2.5, Server::Starter 0.35: 0.0.0.0:N and [::]:N, both or none"
