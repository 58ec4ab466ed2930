#!/bin/bash
# Guess: what keeps N copies of a program running starts one again that has ended well, and
# when it gives up it ends with a failure.
# Seen: multiwatch 1.0.0 takes each end for a failure, exit status 0 too: a copy that ends
# four times within -t (10 s) of its starts is not started again, and when none is left
# multiwatch itself ends, with status 0. php-cgi 8.2.36 ends after PHP_FCGI_MAX_REQUESTS (500
# unless set), and is to be started again then: the more requests there are the sooner four
# such ends are within the time, and the service is gone. systemd's Restart=on-failure
# leaves it at that.
# For a supervisor: an end that the worker has chosen is no failure to be counted; and
# that all have failed is one, for whoever looks at the exit status.
. "$(dirname "$0")/lib.bash"
deb multiwatch=1.0.0-rc1+really1.0.0-1+b1 libev4=1:4.33-1 php8.2-cgi=8.2.36-1~deb12u1 \
	libfcgi-bin=2.4.2-2+deb12u1 libfcgi0ldbl=2.4.2-2+deb12u1
cd "$T"
printf '%s\n' '#!/bin/sh' 'exec php-cgi8.2 -n' >copy
chmod 755 copy
echo '<?php echo "served";' >page.php
try() { # try REQUESTS: php-cgi ends after so many; the socket is its descriptor 0
	rm -f ports log
	hand none 127.0.0.1 -- env "PHP_FCGI_MAX_REQUESTS=$1" \
	    sh -c 'exec multiwatch -f 1 ./copy <&3 3<&-' >log 2>&1
	within 20 test -s ports
	PORT=$(cat ports)
}
request() {
	SCRIPT_FILENAME=$T/page.php REQUEST_METHOD=GET timeout 5 \
	    cgi-fcgi -bind -connect "127.0.0.1:$PORT" 2>/dev/null | grep -q served
}
try 1000
within 20 request || changed "no answer: $(tail -n 2 log)"
for n in {1..60}; do request || changed "request $n of 60: $(tail -n 2 log)"; done
kill -0 "$PID" || changed "it ends where no copy does"
test ! -s log || changed "it says $(cat log)"
kill "$PID"

try 10
within 20 request || changed "no answer: $(tail -n 2 log)"
SERVED=1
for n in {1..59}; do ! request || SERVED=$((SERVED + 1)); done
test "$SERVED" = 40 || changed "$SERVED of 60 requests are served: $(tail -n 2 log)"
gone() { ! kill -0 "$PID" 2>/dev/null; }
within 10 gone || changed "it lives on"
status=0
wait "$PID" || status=$?
test "$status" = 0 || changed "its status is $status"
grep -q 'not forking again' log || changed "it says $(cat log)"
seen "multiwatch 1.0.0, php-cgi 8.2.36: the fourth good end is the service's, with status 0"
