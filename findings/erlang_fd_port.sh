#!/bin/bash
# Guess: gen_tcp:listen(Port, [{fd, N}]) takes the inherited listening socket N
# as it is, whatever Port says, of either family.
# Seen: Erlang/OTP 25 (erts 13.1.5) with a port other than 0 fails inside its
# own library ({badmatch, Port} in inet:open_fd); an IPv6 or dual-stack socket
# needs the option inet6 beside it, or it is {error, einval}; and where it works
# the socket's backlog of 64 becomes 5, gen_tcp's default.
# For a supervisor: listen(2) on the inherited socket sets the queue for all who
# share it; and a program that passes its usual port along never starts.
. "$(dirname "$0")/lib.bash"
deb erlang-base=1:25.2.3+dfsg-1+deb12u4
export ERL_ROOTDIR=$ROOT/usr/lib/erlang HOME=$T
cat >"$T/try.sh" <<'A'
# try.sh PORT-TO-NAME OPTIONS: what listen says, then the socket's backlog
erl -noshell -eval "
	io:format(\"~0p~n\", [case catch gen_tcp:listen($1, [{fd, 3}$2]) of
		{ok, _} -> taken;
		{'EXIT', {{badmatch, What}, _}} -> {badmatch, What};
		{error, Why} -> Why end])." -eval "
	io:format(\"~s\", [os:cmd(\"ss -Hltn sport = :$3 | tr -s ' ' | cut -d' ' -f3\")]),
	halt()."
A
try() { # ADDRESS PORT OPTIONS
	rm -f "$T/ports"
	hand none "$1" -- bash "$T/try.sh" "$2" "$3" '{0}' >"$T/out" 2>"$T/err"
	wait "$PID" || changed "$(tail -n 3 "$T/err")"
	tr '\n' ' ' <"$T/out"
}
is() { test "$1" = "$2" || changed "$3: $1"; }
is "$(try 127.0.0.1 0 '')" 'taken 5 ' "IPv4, port 0"
is "$(try 127.0.0.1 0 ', {backlog, 64}')" 'taken 64 ' "with a backlog"
is "$(try 127.0.0.1 8080 '')" '{badmatch,8080} 64 ' "IPv4, a port"
is "$(try :: 0 '')" 'einval 64 ' "dual-stack, no inet6"
is "$(try :: 0 ', inet6')" 'taken 5 ' "dual-stack, inet6"
seen "Erlang/OTP 25: a port beside {fd, 3} is a badmatch, the backlog becomes 5"
