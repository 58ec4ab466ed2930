#!/bin/bash
# Guess: a server sets TCP_NODELAY on its connections, or it does not; who
# bound the listener plays no part.
# Seen (Python 3.11): uvicorn 0.17.6 sets it with --port and not with --fd 3.
# hypercorn 0.13.2 is the other way round: set with fd://3, not with
# 127.0.0.1:PORT. asyncio sets it only if the listening socket's *Python
# object* says AF_INET and IPPROTO_TCP, and each makes that object its own way.
# For a supervisor: handing over the socket may change latency (Nagle against
# delayed acknowledgements); set TCP_NODELAY on the listener, it is inherited.
. "$(dirname "$0")/lib.bash"
deb python3-uvicorn=0.17.6-1 python3-hypercorn=0.13.2-3 python3-h11=0.14.0-1.1~deb12u1 \
	python3-click=8.1.3-2 python3-h2=4.1.0-4 python3-hpack=4.0.0-2 \
	python3-hyperframe=6.0.0-1 python3-priority=2.0.0-1 \
	python3-wsproto=1.2.0-1 python3-asgiref=3.6.0-1 python3-toml=0.10.2-1 \
	python3-colorama=0.4.6-2 python3-typing-extensions=4.4.0-1
cat >"$T/app.py" <<'A'
import os, socket
def nodelay():
    for name in os.listdir("/proc/self/fd"):
        try:
            s = socket.socket(fileno=os.dup(int(name)))
            if s.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) == 0:
                s.getpeername()
                if s.getsockopt(socket.SOL_SOCKET, socket.SO_PROTOCOL) == 6:
                    return s.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        except OSError:
            pass
async def app(scope, receive, send):
    if scope["type"] != "http":
        raise NotImplementedError(scope["type"])
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body",
                "body": str(nodelay()).encode()})
A
cd "$T"
is() { # is WANTED PORT WHAT
	within 30 answers "http://127.0.0.1:$2/" || changed "$3: no answer"
	local got
	got=$(get "http://127.0.0.1:$2/")
	test "$got" = "$1" || changed "$3: TCP_NODELAY is $got"
}
by_fd() {
	rm -f "$T/ports"
	hand none 127.0.0.1 -- /usr/bin/python3 -m "$@" >"$T/log" 2>&1
	within 20 test -s "$T/ports"
}
by_port() { start /usr/bin/python3 -m "$@" >"$T/log" 2>&1; }
P=$(free_port) Q=$(free_port)
by_port uvicorn --port "$P" app:app; is 1 "$P" 'uvicorn --port'
by_fd uvicorn --fd 3 app:app; is 0 "$(cat ports)" 'uvicorn --fd'
by_port hypercorn --bind "127.0.0.1:$Q" app:app; is 0 "$Q" 'hypercorn PORT'
by_fd hypercorn --bind fd://3 app:app; is 1 "$(cat ports)" 'hypercorn fd://'
seen "uvicorn 0.17.6 (--fd: off), hypercorn 0.13.2 (fd://: on)"
