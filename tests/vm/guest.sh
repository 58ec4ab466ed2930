#!/bin/busybox sh
# What run.sh has the emulated machine do: its first process.
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mount -t cgroup2 cgroup2 /sys/fs/cgroup
ifconfig lo 127.0.0.1 up
dmesg -n 1
cd /tmp
G=/sys/fs/cgroup
failed=0

say() { echo "vm: $*"; }
fail() { say "FAILED: $*"; failed=1; }
is() { [ "$2" = "$3" ] && say "ok: $1" || fail "$1: \"$2\", not \"$3\""; }

# Until a command succeeds.
until_true() {
	what=$1; shift
	i=0
	while ! "$@" >/dev/null 2>&1; do
		i=$((i + 1))
		[ $i -lt 900 ] || { fail "never: $what"; return 1; }
		sleep 0.2
	done
	say "ok: $what"
}

# The supervisor of a keeper, which has workers of dead ones, too.
child_of() {
	cat /proc/[0-9]*/stat 2>/dev/null | sed -n "s/^\([0-9]*\) (clusterd.*) . $1 .*/\1/p" |
	    head -n 1
}

tenths() { sed 's/^\([0-9]*\)\.\([0-9]\).*/\1\2/' /proc/uptime; }

finish() {
	kill "$1"
	wait "$1"
	is "status" $? 0
}

# In a control group of its own, as a service is.
begin() {	# GROUP FILE
	mkdir -p "$G/$1" "$(dirname "/tmp/$1")"
	rm -f "/tmp/$1.log"
	sh -c "echo \$\$ >$G/$1/cgroup.procs && exec clusterd -c $2" \
	    >"/tmp/$1.log" 2>&1 &
	pid=$!
}

ctl() { clusterctl -c /tmp/app.ini "$@"; }
ready() { ctl wait --timeout 20s web; }
# As clusterd names its own, by its keeper's pid and start.
own_of() { echo "$G/$1/_clusterd.$2.$(cut -d' ' -f22 "/proc/$2/stat")"; }
groups_of() { find "$G/svc" -mindepth 1 -maxdepth 1 -type d -name "$1.*" | sort; }

for c in memory cpu pids; do echo +$c >$G/cgroup.subtree_control; done

cat >app.ini <<END
[web]
command = /bin/hello-server
port = 8080
instances = 2
memory_limit = 64M
cpu_limit = 50%
tasks_limit = 20
[leak]
command = /bin/leak 50
instances = 1
memory_limit = 16M
restart_delay = 3s
restart_delay_max = 3s
[stays]
command = /bin/sh -c "sleep 1000 & exec /bin/sleep 1001"
instances = 1
tasks_limit = 20
END

if [ "${LIMITS:-1}" = 1 ]; then

say "others are in the group"
mkdir -p $G/svc
sleep 1000 & other=$!
echo $other >$G/svc/cgroup.procs
begin svc app.ini
until_true "web is ready" ready
until_true "words" grep -q "memory_limit, cpu_limit, tasks_limit not in force, \
workers run without: process $other, which is not clusterd's, is in the same" svc.log
is "no groups" "$(find $G/svc -mindepth 1 -type d)" ""
is "no controllers" "$(cat $G/svc/cgroup.subtree_control)" ""
finish $pid
kill $other; wait $other 2>/dev/null

say "limits"
begin svc app.ini
until_true "web is ready" ready
first=$(groups_of web.0)
is "memory.max" "$(cat "$first/memory.max")" 67108864
is "cpu.max" "$(cat "$first/cpu.max")" "50000 100000"
is "pids.max" "$(cat "$first/pids.max")" 20
worker=$(cat "$first/cgroup.procs")
is "who is in it" "$(readlink "/proc/$worker/exe")" /bin/hello-server
until_true "clusterd's" sh -c "[ \$(cat $G/svc/_clusterd.$pid.*/cgroup.procs | wc -l) = 2 ]"
is "answers" "$(wget -qO- http://127.0.0.1:8080/ | wc -l | grep -c '[1-9]')" 1
grep "balance = auto" svc.log

say "the OOM killer"
until_true "it is told" grep -q \
    "leak\[0\] pid .*: killed by the OOM killer (memory_limit 16M) after" svc.log
until_true "it is counted" sh -c \
    "clusterctl -c /tmp/app.ini metrics | grep -q 'restarts_total{app=\"leak\".*reason=\"oom\"} [1-9]'"
kill -9 "$worker"
until_true "another death is none" grep -q \
    "web\[0\] pid $worker: killed by signal 9 (SIGKILL)" svc.log
until_true "web is ready" ready
until_true "its group is gone" test ! -d "$first"

say "somebody is left in it"
stays=$(groups_of stays.0)
worker=$(head -n 1 "$stays/cgroup.procs")
is "two are in it" "$(wc -l <"$stays/cgroup.procs")" 2
kill -9 "$worker"
until_true "the next worker" sh -c "[ \$(find $G/svc -name 'stays.0.*' | wc -l) = 2 ] ||
    [ ! -d $stays ]"
until_true "its group is gone" test ! -d "$stays"

say "the supervisor is killed"
before=$(groups_of web)
workers=$(cat $G/svc/web.*/cgroup.procs)
n=$(grep -c "OOM killer" svc.log)
supervisor=$(child_of $pid)
kill -9 "$supervisor"
until_true "the next one" grep -q "of the supervisor before serve" svc.log
[ "$(child_of $pid)" != "$supervisor" ] && say "ok: another one" ||
    fail "no other supervisor"
is "its groups" "$(groups_of web)" "$before"
is "its workers" "$(cat $G/svc/web.*/cgroup.procs)" "$workers"
until_true "it tells, too" sh -c "[ \$(grep -c 'OOM killer' /tmp/svc.log) -gt $((n + 1)) ]"

say "an upgrade"
n=$(grep -c "of the supervisor before serve" svc.log)
ctl upgrade
until_true "the next one" sh -c \
    "[ \$(grep -c 'of the supervisor before serve' /tmp/svc.log) -gt $n ]"
is "its groups" "$(groups_of web)" "$before"
is "its workers" "$(cat $G/svc/web.*/cgroup.procs)" "$workers"

say "a reload"
sed -i s/64M/48M/ app.ini
ctl reload web >/dev/null
is "two groups" "$(groups_of web | wc -l)" 2
[ "$(groups_of web)" != "$before" ] && say "ok: other ones" || fail "the same groups"
is "the new limit" "$(cat $G/svc/web.*/memory.max | sort -u)" 50331648

say "all are killed"
echo 1 >$G/svc/cgroup.kill
wait $pid
until_true "nobody is left" grep -q "populated 0" $G/svc/cgroup.events
[ "$(find $G/svc -mindepth 1 -type d | wc -l)" -gt 3 ] && say "ok: groups are left"
for c in memory cpu pids; do echo -$c >$G/svc/cgroup.subtree_control; done
begin svc app.ini
until_true "web is ready" ready
is "clusterd's" "$(find $G/svc -mindepth 1 -type d -name '_clusterd.*')" \
    "$(own_of svc $pid)"
until_true "two groups" sh -c "[ \$(find $G/svc -name 'web.*' | wc -l) = 2 ]"

say "the end"
finish $pid
is "nothing is left" "$(find $G/svc -mindepth 1 -type d)" ""
is "no controllers" "$(cat $G/svc/cgroup.subtree_control)" ""

say "not delegated"
cat >nobody.ini <<END
[clusterd]
control = /tmp/nobody.sock
[web]
command = /bin/hello-server
port = 8081
memory_limit = 64M
END
mkdir -p $G/not
cat >not.sh <<END
echo \$\$ >$G/not/cgroup.procs
exec su -s /bin/busybox nobody -- sh -c "exec clusterd -c /tmp/nobody.ini"
END
sh not.sh >not.log 2>&1 &
pid=$!
until_true "it starts" grep -q "start complete" not.log
until_true "words" grep -q "memory_limit not in force, workers run without: .* is \
not delegated to clusterd (systemd: Delegate=yes)" not.log
finish $pid

say "one controller of two"
cat >part.ini <<END
[web]
command = /bin/hello-server
port = 8082
memory_limit = 64M
cpu_limit = 2
END
mkdir -p $G/mid
echo +memory >$G/mid/cgroup.subtree_control
begin mid/part part.ini
until_true "it starts" grep -q "start complete" mid/part.log
until_true "words" grep -q "cpu_limit not in force, workers run without: the \
controller cpu is not in" mid/part.log
is "memory.max" "$(cat $G/mid/part/web.0.*/memory.max)" 67108864
finish $pid
is "nothing is left" "$(find $G/mid/part -mindepth 1 -type d)" ""

say "a limit from outside"
cat >plain.ini <<END
[leak]
command = /bin/leak 50
instances = 1
END
mkdir -p $G/outer
echo 64M >$G/outer/memory.max
begin outer plain.ini
until_true "it is told" grep -q "leak\[0\] pid .*: killed by signal 9 (SIGKILL).*; \
the OOM killer has killed 1 of clusterd's control group within the last " outer.log
kill $pid
wait $pid

for log in svc outer; do say "--- $log"; head -n 12 $log.log; done

fi
. /faults.sh

if [ "${MANY:-0}" -gt 0 ]; then
	for limit in none 64M; do
		say "$MANY workers, memory_limit = $limit"
		cat >many.ini <<-END
		[web]
		command = /bin/hello-server
		port = 8083
		instances = $MANY
		handoff = env
		memory_limit = $limit
		END
		start=$(tenths)
		begin many many.ini
		until_true "they start" grep -q "start complete" many.log
		say "start: $(($(tenths) - start)) tenths of a second"
		say "groups: $(find $G/many -mindepth 1 -type d | wc -l)"
		start=$(tenths)
		kill -9 "$(child_of $pid)"
		until_true "the next one" grep -q \
		    "$MANY workers of the supervisor before serve" many.log
		say "taken over: $(($(tenths) - start)) tenths of a second"
		start=$(tenths)
		finish $pid
		say "stop: $(($(tenths) - start)) tenths of a second"
		is "nothing is left" "$(find $G/many -mindepth 1 -type d)" ""
		grep -E "warning|error" many.log | head -n 5
	done
fi

[ $failed = 0 ] && say "all is well"
sync
poweroff -f
