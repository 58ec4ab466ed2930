# What may go wrong with groups, for guest.sh, whose functions it uses: each of $FAULTS.

# A service manager that starts a service anew where others have died.
give_back() {	# GROUP
	for c in memory cpu pids; do echo -$c >"$G/$1/cgroup.subtree_control"; done
}

members() { sort -n "$1/cgroup.procs" | tr '\n' ' '; }
switches() { sed -n 's/^voluntary_ctxt_switches:[^0-9]*//p' "/proc/$1/status"; }
new_supervisor() { [ -n "$(child_of $pid)" ] && [ "$(child_of $pid)" != "$1" ]; }

tiny() {
say "a limit that is too small to execute in"
cat >tiny.ini <<END
[tiny]
command = /bin/sleep 1000
instances = 1
memory_limit = 1M
restart_delay = 200ms
restart_delay_max = 200ms
END
# What it inherits is copied to the new program, and charged to its group.
big=$(head -c 100000 /dev/zero | tr '\0' x)
i=0
while [ $i -lt 12 ]; do export "BIG$i=$big"; i=$((i + 1)); done
begin tiny tiny.ini
i=0
while [ $i -lt 12 ]; do unset "BIG$i"; i=$((i + 1)); done
until_true "it starts" sh -c "grep -q 'tiny.0. pid .*killed by the OOM killer' tiny.log"
supervisor=$(child_of $pid)
until_true "three times" sh -c "[ \$(grep -c 'tiny.0. pid .*OOM killer' tiny.log) -ge 3 ]"
is "its supervisor" "$(child_of $pid)" "$supervisor"
is "no supervisor died" "$(grep -ci 'supervisor.*\(died\|killed\)' tiny.log)" 0
kill $pid
wait $pid
cut -c 1-150 tiny.log | head -n 12
}

few() {
say "groups cannot be made"
cat >few.ini <<END
[few]
command = /bin/sleep 1000
instances = 2
tasks_limit = 20
END
mkdir -p $G/few
echo 2 >$G/few/cgroup.max.descendants
begin few few.ini
until_true "it starts" grep -q "start complete" few.log
until_true "words" grep -q "few\[[01]\]: its limits are not in force, it runs without: \
cannot make the control group $G/few/few.* Resource temporarily unavailable" few.log
is "one group" "$(find $G/few -name 'few.*' | wc -l)" 1
is "nobody was started twice" "$(grep -c restarting few.log)" 0
finish $pid
is "nothing is left" "$(find $G/few -mindepth 1 -type d)" ""
}

twice() {
say "clusterd is killed, its workers live"
cat >twice.ini <<END
[free]
command = /bin/sleep 1000
instances = 1
[twice]
command = /bin/sleep 1001
instances = 1
memory_limit = 32M
END
begin twice twice.ini
until_true "it starts" grep -q "start complete" twice.log
first=$(find $G/twice -name 'twice.*')
dead=$(own_of twice $pid)
supervisor=$(child_of $pid)
kill -STOP $pid $supervisor
kill -9 $pid $supervisor
wait $pid
until_true "they are dead" test ! -d /proc/$supervisor
one=$(members "$first"); free=$(members "$dead")
[ -n "$one" ] && [ -n "$free" ] && say "ok: workers live" || fail "no workers live"
give_back twice
begin twice twice.ini
until_true "it starts" grep -q "start complete" twice.log
is "no words" "$(grep -c 'not in force' twice.log)" 0
is "two groups" "$(find $G/twice -name 'twice.*' | wc -l)" 2
is "whose it was" "$(members "$first")" "$one"
is "without a limit" "$(cat "$first/memory.max")" max
is "others with it" "$(cat $(find $G/twice -name 'twice.*' | grep -v "$first")/memory.max)" \
    33554432
is "those without limits" "$(members "$dead")" "$free"

say "the end, with somebody left"
finish $pid
is "what is left" "$(find $G/twice -mindepth 1 -type d | sort)" \
    "$(printf '%s\n%s\n' "$first" "$dead" | sort)"
is "no controllers" "$(cat $G/twice/cgroup.subtree_control)" ""
sh -c "echo \$\$ >$G/twice/cgroup.procs" && say "ok: who comes next may" ||
    fail "nobody can come next"
kill -9 $one $free
until_true "they die" grep -q "populated 0" $G/twice/cgroup.events
begin twice twice.ini
until_true "it starts" grep -q "start complete" twice.log
until_true "they are gone" test ! -d "$first" -a ! -d "$dead"
finish $pid
is "nothing is left" "$(find $G/twice -mindepth 1 -type d)" ""
}

keeps() {
say "somebody left by a worker"
cat >keeps.ini <<END
[keeps]
command = /bin/sh -c "sleep 1002 & exec /bin/sleep 1003"
instances = 1
orphans = keep
tasks_limit = 20
END
begin keeps keeps.ini
until_true "it starts" grep -q "start complete" keeps.log
first=$(find $G/keeps -name 'keeps.*')
until_true "two are in it" sh -c "[ \$(wc -l <$first/cgroup.procs) = 2 ]"
finish $pid
is "what is left" "$(find $G/keeps -mindepth 1 -type d)" "$first"
is "no controllers" "$(cat $G/keeps/cgroup.subtree_control)" ""
echo 1 >"$first/cgroup.kill"
}

torn() {
say "a supervisor that is killed while it moves"
cat >torn.ini <<END
[torn]
command = /bin/hello-server
port = 8084
instances = 3
END
cp torn.ini torn-none.ini
rm -f torn.log
begin torn torn.ini
until_true "it starts" grep -q "start complete" torn.log
own=$(own_of torn $pid)
supervisor=$(child_of $pid)
workers=$(grep -v -e "^$pid\$" -e "^$supervisor\$" $G/torn/cgroup.procs)
for moved in "$pid" "$(echo "$workers" | head -n 1)"; do
	supervisor=$(child_of $pid)
	mkdir "$own"
	echo $moved >"$own/cgroup.procs"
	kill -9 $supervisor
	until_true "the next one" new_supervisor $supervisor
	until_true "it is undone" test ! -d "$own"
	until_true "all are there" sh -c "[ \$(wc -l <$G/torn/cgroup.procs) = 5 ]"
done
mkdir "$own"
echo $(echo "$workers" | head -n 1) >"$own/cgroup.procs"
supervisor=$(child_of $pid)
sed -i '/instances/a memory_limit = 32M' torn.ini

say "a reload that is refused"
cp torn.ini torn-limits.ini
nc -l -p 8086 >/dev/null & taken=$!
until_true "a port is taken" sh -c "netstat -ltn | grep -q ':8086 '"
cat >>torn.ini <<END
[no]
command = /bin/hello-server
port = 127.0.0.1:8086
END
clusterctl -c /tmp/torn.ini reload >torn.refused 2>&1 && fail "it was not refused"
until_true "words" grep -q "reload refused" torn.log
is "no controllers" "$(cat $G/torn/cgroup.subtree_control)" ""
is "nobody was moved" "$(wc -l <$G/torn/cgroup.procs)" 4
kill $taken
cp torn-limits.ini torn.ini

say "a reload that is not"
clusterctl -c /tmp/torn.ini reload >/dev/null
is "all are in" "$(cat $G/torn/cgroup.procs)" ""
is "three groups" "$(find $G/torn -name 'torn.*' | wc -l)" 3
is "the limit" "$(cat $G/torn/torn.*/memory.max | sort -u)" 33554432

# Of a worker that nobody can be steered to otherwise.
counted() {
	clusterctl -c /tmp/torn.ini status --json |
	    grep -q '"connections": *[1-9]'
}
supervisor=$(child_of $pid)
sleep 1000 | nc 127.0.0.1 8084 >/dev/null & client=$!
until_true "connections are counted" counted
kill $client
kill -9 $supervisor
until_true "the next one" grep -q "3 workers of the supervisor before serve" torn.log
sleep 1000 | nc 127.0.0.1 8084 >/dev/null & client=$!
until_true "and by the next one" counted
kill $client
finish $pid
is "nothing is left" "$(find $G/torn -mindepth 1 -type d)" ""
is "no controllers" "$(cat $G/torn/cgroup.subtree_control)" ""
}

quiet() {
say "others come to their limit in a group that is not of our making"
cat >quiet.ini <<END
[quiet]
command = /bin/sleep 1000
instances = 1
END
mkdir -p $G/quiet
echo 64M >$G/quiet/memory.max
begin quiet quiet.ini
until_true "it starts" grep -q "start complete" quiet.log
supervisor=$(child_of $pid)
i=0
while n=$(switches $supervisor); sleep 2; [ "$n" != "$(switches $supervisor)" ]; do
	i=$((i + 1))
	[ $i -lt 30 ] || { fail "it is never idle"; break; }
done
sh -c "echo \$\$ >$G/quiet/cgroup.procs && exec /bin/leak 50"
is "a stranger was killed" "$(sed -n 's/^oom_kill //p' $G/quiet/memory.events)" 1
sleep 1
is "which wakes nobody" "$(switches $supervisor)" "$n"
finish $pid
}

for fault in $(echo "$FAULTS" | tr , " "); do
	$fault
done
