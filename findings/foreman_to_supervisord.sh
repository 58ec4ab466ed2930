#!/bin/bash
# Guess: "foreman export supervisord" writes what supervisord reads: a variable
# has the value that it has under "foreman start".
# Seen: Ruby's foreman 0.87.2 writes values in double quotes *and* with a shell's
# backslashes; supervisord 4.2.5 takes the backslashes for text. GREETING="two
# words" in .env is "two words" under foreman start and "two\ words" as a service,
# pa$s is pa\$s. A value of 50% makes supervisord refuse its whole file, and a
# command's "date +%s" starts with its whole table of variables in place of
# the %s.
# For a supervisor that reads such files: no shell's quoting inside supervisord's
# quotes, and a lone % is an error there, not text.
. "$(dirname "$0")/lib.bash"
deb ruby-foreman=0.87.2-2 supervisor=4.2.5-1 python3-pkg-resources=66.1.1-1+deb12u2
cd "$T"
mkdir export log
printf '%s\n' 'import os, sys, time' \
	'with open("new", "w") as f:' \
	'    print(os.environ["GREETING"], os.environ["WORD"], sep="|", file=f)' \
	'os.rename("new", sys.argv[1])' 'time.sleep(600)' >show.py
printf '%s\n' '[supervisord]' 'nodaemon = true' "logfile = $T/log/all" \
	"pidfile = $T/pid" '[include]' "files = $T/export/*.conf" >supervisord.conf
foreman=(/usr/bin/ruby "$ROOT/usr/bin/foreman")
export_as() { # export_as COMMAND ENTRY...: Procfile and .env, for supervisord
	echo "web: $1" >Procfile
	printf '%s\n' "${@:2}" >.env
	rm -f export/*
	"${foreman[@]}" export supervisord export -a app -u root -l "$T/log" >foreman.log 2>&1 ||
		changed "no export: $(tail -n 2 foreman.log)"
	start /usr/bin/python3 "$ROOT/usr/bin/supervisord" -c supervisord.conf \
	    >supervisord.log 2>&1
}
end() {
	kill "$PID"
	within 20 sh -c "! kill -0 $PID 2>/dev/null" || changed "it does not end"
}
refused() { # refused WORDS: supervisord has ended, and says so
	within 20 sh -c "! kill -0 $PID 2>/dev/null" || changed "it runs: $1"
	grep -q "$1" supervisord.log || changed "$(head -n 1 supervisord.log)"
}
show='/usr/bin/python3 show.py'
values=('GREETING="two words"' "WORD='pa\$s'")
export_as "$show service" "${values[@]}"
within 20 test -e service || changed "$(tail -n 2 supervisord.log)"
end
echo "web: $show foreground" >Procfile
start "${foreman[@]}" start >foreman.log 2>&1
within 20 test -e foreground || changed "$(tail -n 2 foreman.log)"
end
test "$(cat foreground)" = 'two words|pa$s' || changed "start: $(cat foreground)"
test "$(cat service)" = 'two\ words|pa\$s' || changed "service: $(cat service)"
export_as "$show service" "${values[@]}" 'SHARE=50%'
refused 'is badly formatted'
printf '%s\n' 'import os, sys, time' 'with open("new", "w") as f:' \
	'    print(*sys.argv[2:], file=f)' 'os.rename("new", sys.argv[1])' \
	'time.sleep(600)' >arg.py
export_as '/usr/bin/python3 arg.py arg +%s' 'WORD=x'
within 20 test -e arg || changed "$(tail -n 2 supervisord.log)"
grep -q '^+{.*program_name: app-web-1.*}$' arg || changed "%s is $(cat arg)"
end
seen 'foreman 0.87.2, supervisord 4.2.5: "two words" is two\ words'
