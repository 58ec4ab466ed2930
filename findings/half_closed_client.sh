#!/bin/bash
# Guess: a client that has sent its request and shuts down its sending half (nc -N,
# many a probe) is answered all the same; that is what half-closed is for.
# Seen, with a request of half a second: Node 20's http, uvicorn 0.17.6 and tornado
# 6.2.0 close without a byte of an answer, and so do nginx 1.22.1 and
# systemd-socket-proxyd 252 before gunicorn 20.1.0. That one itself, hypercorn 0.13.2
# and lighttpd 1.4.69 (mod_proxy) answer.
# For a supervisor: a probe that half-closes takes a busy worker for a dead one.
. "$(dirname "$0")/lib.bash"
deb python3-uvicorn=0.17.6-1 python3-hypercorn=0.13.2-3 python3-h11=0.14.0-1.1~deb12u1 \
	python3-click=8.1.3-2 python3-h2=4.1.0-4 python3-hpack=4.0.0-2 python3-toml=0.10.2-1 \
	python3-hyperframe=6.0.0-1 python3-priority=2.0.0-1 python3-wsproto=1.2.0-1 \
	python3-asgiref=3.6.0-1 gunicorn=20.1.0-6+deb12u1 python3-gunicorn=20.1.0-6+deb12u1 \
	python3-tornado=6.2.0-3+deb12u4 lighttpd=1.4.69-1 nginx=1.22.1-9+deb12u11 \
	systemd=252.39-1~deb12u2 libsystemd-shared=252.39-1~deb12u2
export LD_LIBRARY_PATH=$LD_LIBRARY_PATH:$ROOT/usr/lib/x86_64-linux-gnu/systemd
cat >"$T/app.py" <<'A'
import asyncio, sys, time
def wsgi(environ, start_response):
    time.sleep(0.5)
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]
async def asgi(scope, receive, send):
    if scope["type"] == "http":
        await asyncio.sleep(0.5)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"ok"})
if __name__ == "__main__":
    from tornado import ioloop, web
    class Work(web.RequestHandler):
        async def get(self):
            await asyncio.sleep(0.5)
    web.Application([("/", Work)]).listen(int(sys.argv[1]), "127.0.0.1")
    ioloop.IOLoop.current().start()
A
cd "$T"
half() { /usr/bin/python3 -c 'import socket; s = socket.create_connection(("127.0.0.1", '"$1"'))
s.sendall(b"GET / HTTP/1.0\r\n\r\n"); s.shutdown(socket.SHUT_WR); s.settimeout(9)
print(s.recv(99)[9:12].decode() or "none")' 2>&1 | tail -n 1; }
try() { # try WHO WANTED COMMAND...: to a half-closed client, on the port P
	start "${@:3}" >"$1.log" 2>&1
	within 30 answers "http://127.0.0.1:$P/" || changed "$1: $(tail -n 2 "$1.log")"
	got=$(half "$P") && test "$got" = "$2" || changed "$1: $got"
	P=$(free_port)
}
B=$(free_port) P=$B py="/usr/bin/python3 -m"
try gunicorn 200 $py gunicorn --threads 4 -b "127.0.0.1:$P" app:wsgi
try hypercorn 200 $py hypercorn -b "127.0.0.1:$P" app:asgi
try uvicorn none $py uvicorn --no-use-colors --port "$P" app:asgi
try tornado none /usr/bin/python3 app.py "$P"
try node none node -e "require('http').createServer((_, r) =>
	setTimeout(() => r.end('ok'), 500)).listen($P, '127.0.0.1')"
echo "events {} http { server { listen 127.0.0.1:$P; location / { proxy_pass http://127.0.0.1:$B; } } }" >n.conf
try nginx none nginx -p "$T" -c n.conf -e "$T/e" -g "daemon off; pid $T/pid;"
printf '%s\n' 'server.bind = "127.0.0.1"' "server.port = $P" "server.document-root = \"$T\"" 'server.modules = ("mod_proxy")' \
    "proxy.server = (\"\" => ((\"host\" => \"127.0.0.1\", \"port\" => $B)))" >l.conf
try lighttpd 200 lighttpd -D -m "$ROOT/usr/lib/lighttpd" -f l.conf
try proxyd none systemd-socket-activate -l "127.0.0.1:$P" "$ROOT/lib/systemd/systemd-socket-proxyd" "127.0.0.1:$B"
seen "Node 20, uvicorn 0.17.6, tornado 6.2.0, nginx 1.22.1, systemd-socket-proxyd 252: no answer"
