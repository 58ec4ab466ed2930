"""hand.py PORTS PROTOCOL ADDRESS... -- COMMAND...

Bind and listen on each ADDRESS (127.0.0.1, ::, or a path), give the sockets
to COMMAND as descriptors 3 and on, announced by PROTOCOL, and become it. The
TCP ports are written to the file PORTS; {0}, {1} in COMMAND stand for them.
"""
import os
import socket
import sys

ports_file, protocol, *rest = sys.argv[1:]
cut = rest.index("--")
sockets = []
for address in rest[:cut]:
    if "/" in address:
        s = socket.socket(socket.AF_UNIX)
        s.bind(address)
    else:
        s = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
        if ":" in address:
            s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        s.bind((address, 0))
    s.listen(64)
    sockets.append(s)

ports = [s.getsockname()[1] if s.family != socket.AF_UNIX else "-"
         for s in sockets]
for i, s in enumerate(sockets):
    os.dup2(s.fileno(), 30 + i)
    s.close()
for i in range(len(sockets)):
    os.dup2(30 + i, 3 + i, inheritable=True)
    os.close(30 + i)

if protocol == "systemd":
    os.environ["LISTEN_FDS"] = str(len(sockets))
    os.environ["LISTEN_PID"] = str(os.getpid())
elif protocol == "nginx":
    os.environ["NGINX"] = "".join("%d;" % (3 + i) for i in range(len(sockets)))
elif protocol != "none":    # VARIABLE=text, {0} is the first port
    name, value = protocol.split("=", 1)
    os.environ[name] = value.format(*ports)
with open(ports_file + ".new", "w") as f:
    print(*ports, file=f)
os.rename(ports_file + ".new", ports_file)
command = [a.format(*ports) if "{0}" in a or "{1}" in a else a
           for a in rest[cut + 1:]]
os.execvp(command[0], command)
