#!/bin/bash
# Guess: HELP is a comment; where two files of the textfile collector differ in
# it, one text is shown, and a problem with a file sets node_textfile_scrape_error.
# Seen: prometheus-node-exporter 1.5.0: of two files with the same metric, other
# labels and another HELP text, the second one's series are left out of each
# scrape, with status 200 and node_textfile_scrape_error 0. Only
# promhttp_metric_handler_errors_total{cause="gathering"} and the log tell. The
# other metrics of the file are there. The same for a name of the exporter's
# own, process_resident_memory_bytes, unless the HELP is letter for letter its own.
# For a supervisor that writes such files, one for each of its processes: two
# versions side by side must have the same HELP, and names with a prefix.
. "$(dirname "$0")/lib.bash"
deb prometheus-node-exporter=1.5.0-1+b6
mkdir "$T/files"
P=$(free_port)
start prometheus-node-exporter --web.listen-address="127.0.0.1:$P" \
	--collector.disable-defaults --collector.textfile \
	--collector.textfile.directory="$T/files" >"$T/log" 2>&1
within 20 answers "http://127.0.0.1:$P/metrics" || changed "it does not start"
write() { # write FILE METRIC HELP LABEL
	printf '%s\n' "# HELP $2 $3" "# TYPE $2 gauge" "$2{app=\"$4\"} 1" \
	    "# TYPE only_in_$1 gauge" "only_in_$1 1" >"$T/new"
	mv "$T/new" "$T/files/$1.prom"
}
scrape() { get "http://127.0.0.1:$P/metrics" 10 >"$T/seen" || changed "no answer"; }
has() { grep -qxF "$1" "$T/seen" || changed "missing: $1"; }
hasnt() { ! grep -qxF "$1" "$T/seen" || changed "there: $1"; }
ERRORS='promhttp_metric_handler_errors_total{cause="gathering"}'
write one workers 'Number of workers.' web
write two workers 'Number of workers.' mail
scrape
has 'workers{app="web"} 1'
has 'workers{app="mail"} 1'
has "$ERRORS 0"
write two workers 'How many workers there are.' mail
scrape
has 'workers{app="web"} 1'
hasnt 'workers{app="mail"} 1'
has 'only_in_two 1'
has 'node_textfile_scrape_error 0'
grep -q 'error gathering metrics' "$T/log" || changed "the log does not tell"
scrape
has "$ERRORS 1"
write two process_resident_memory_bytes 'Memory.' mail
scrape
hasnt 'process_resident_memory_bytes{app="mail"} 1'
has 'node_textfile_scrape_error 0'
write two process_resident_memory_bytes 'Resident memory size in bytes.' mail
scrape
has 'process_resident_memory_bytes{app="mail"} 1'
seen "prometheus-node-exporter 1.5.0: another HELP text, and the series is left out"
