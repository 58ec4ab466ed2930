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
		[ $i -lt 300 ] || { fail "never: $what"; return 1; }
		sleep 0.2
	done
	say "ok: $what"
}

# In a control group of its own, as a service is.
begin() {	# GROUP FILE
	mkdir -p "$G/$1"
	rm -f "/tmp/$1.log"
	sh -c "echo \$\$ >$G/$1/cgroup.procs && exec clusterd -c $2" \
	    >"/tmp/$1.log" 2>&1 &
	pid=$!
}

ctl() { clusterctl -c /tmp/app.ini "$@"; }
ready() { ctl wait --timeout 20s web; }
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
END

say "others are in the group"
mkdir -p $G/svc
sleep 1000 & other=$!
echo $other >$G/svc/cgroup.procs
begin svc app.ini
wait $pid
is "status" $? 69
grep -q "process $other, which is not clusterd's, is in the same control group" \
    svc.log && say "ok: words" || { fail "words"; cat svc.log; }
is "nothing is left" "$(find $G/svc -mindepth 1 -type d)" ""
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
is "clusterd's" "$(wc -l <$G/svc/_clusterd/cgroup.procs)" 2
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

say "the supervisor is killed"
before=$(groups_of web)
n=$(grep -c "OOM killer" svc.log)
supervisor=$(pgrep -P $pid | head -n 1)
kill -9 "$supervisor"
until_true "the next one" grep -q "of the supervisor before serve" svc.log
is "another one" "$(pgrep -P $pid | grep -cx "$supervisor")" 0
is "its groups" "$(groups_of web)" "$before"
until_true "it tells, too" sh -c "[ \$(grep -c 'OOM killer' /tmp/svc.log) -gt $((n + 1)) ]"

say "a reload"
ctl reload web >/dev/null
is "two groups" "$(groups_of web | wc -l)" 2
[ "$(groups_of web)" != "$before" ] && say "ok: other ones" || fail "the same groups"

say "the end"
kill $pid
wait $pid
is "status" $? 0
is "nothing is left" "$(find $G/svc -mindepth 1 -type d)" ""
is "no controllers" "$(cat $G/svc/cgroup.subtree_control)" ""

say "not delegated"
cat >nobody.ini <<END
[web]
command = /bin/hello-server
port = 8081
memory_limit = 64M
END
mkdir -p $G/not
echo 'echo $$ >/sys/fs/cgroup/not/cgroup.procs; exec su -s /bin/sh -c "exec clusterd -c /tmp/nobody.ini" nobody' >not.sh
sh not.sh >not.log 2>&1
is "status" $? 69
grep -q "is not delegated to clusterd (systemd: Delegate=yes)" not.log &&
    say "ok: words" || { fail "words"; cat not.log; }

say "a limit from outside"
cat >plain.ini <<END
[leak]
command = /bin/leak 50
instances = 1
END
mkdir -p $G/outer
echo 64M >$G/outer/memory.max
begin outer plain.ini
until_true "it is told" grep -q "leak\[0\] pid .*: killed by the OOM killer after" \
    outer.log
kill $pid
wait $pid

for log in svc outer; do say "--- $log"; head -n 12 $log.log; done
[ $failed = 0 ] && say "all is well"
sync
poweroff -f
