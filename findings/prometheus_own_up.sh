#!/bin/bash
# Guess: "up" is Prometheus's own series; a target's metric of that name is
# dropped or renamed (its labels job and instance are).
# Seen: Prometheus 2.42.0: a target that exports "up 0" (a supervisor that means
# "the worker is up") *replaces* the series: up{job,instance} is 0 while the
# target's health is "up"; the same for scrape_duration_seconds. An alert on
# up == 0 fires for a target that is scraped well.
# For a supervisor's metrics: every name has the program's prefix.
. "$(dirname "$0")/lib.bash"
deb prometheus=2.42.0+ds-5+deb12u1
cat >"$T/target.py" <<'A'
import http.server, sys
class Metrics(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.end_headers()
        self.wfile.write(b"up 0\nscrape_duration_seconds 77\nother 3\n")
    def log_message(self, *args):
        pass
server = http.server.HTTPServer(("127.0.0.1", 0), Metrics)
with open(sys.argv[1], "w") as f:
    f.write("%d\n" % server.server_port)
server.serve_forever()
A
start /usr/bin/python3 "$T/target.py" "$T/port"
within 20 test -s "$T/port"
printf '%s\n' 'global: {scrape_interval: 1s, scrape_timeout: 1s}' \
	"scrape_configs: [{job_name: j, static_configs: [{targets: ['127.0.0.1:$(cat \
	"$T/port")']}]}]" >"$T/conf"
P=$(free_port)
start prometheus --config.file="$T/conf" --storage.tsdb.path="$T/data" \
	--web.listen-address="127.0.0.1:$P" >"$T/log" 2>&1
value() {
	get "http://127.0.0.1:$P/api/v1/query?query=$1" | /usr/bin/python3 -c '
import json, sys
print(*[r["value"][1] for r in json.load(sys.stdin)["data"]["result"]])'
}
is() { test "$(value "$1" 2>/dev/null)" = "$2"; }
within 50 is other 3 || changed "nothing is scraped"
get "http://127.0.0.1:$P/api/v1/targets" | grep -q '"health":"up"' ||
	changed "the target is not well"
is up 0 || changed "up is $(value up)"
is scrape_duration_seconds 77 || changed "the duration is Prometheus's own"
seen "Prometheus 2.42.0: a target's own \"up 0\" replaces up"
