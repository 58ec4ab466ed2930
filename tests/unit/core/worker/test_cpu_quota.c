#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "core/worker/cpu_quota.h"
#include "lib/alloc_fail.h"

static void
v2_rounds_up(void **state)
{
	(void)state;
	assert_int_equal(cpu_quota_v2("100000 100000\n"), 1);
	assert_int_equal(cpu_quota_v2("100001 100000\n"), 2);
	assert_int_equal(cpu_quota_v2("150000 100000\n"), 2);
	assert_int_equal(cpu_quota_v2("200000 100000\n"), 2);
	assert_int_equal(cpu_quota_v2("1000 100000\n"), 1);
	assert_int_equal(cpu_quota_v2("1 1000000\n"), 1);
	assert_int_equal(cpu_quota_v2("800000 50000"), 16);
	assert_int_equal(cpu_quota_v2("  400000\t100000 "), 4);
}

static void
v2_without_a_limit(void **state)
{
	(void)state;
	assert_int_equal(cpu_quota_v2("max 100000\n"), 0);
	assert_int_equal(cpu_quota_v2("max\n"), 0);
	assert_int_equal(cpu_quota_v2("maximum 100000\n"), 0);
}

static void
v2_makes_no_sense(void **state)
{
	(void)state;
	assert_int_equal(cpu_quota_v2(""), 0);
	assert_int_equal(cpu_quota_v2("\n"), 0);
	assert_int_equal(cpu_quota_v2("100000"), 0);
	assert_int_equal(cpu_quota_v2("100000\n"), 0);
	assert_int_equal(cpu_quota_v2("100000 max\n"), 0);
	assert_int_equal(cpu_quota_v2("0 100000\n"), 0);
	assert_int_equal(cpu_quota_v2("100000 0\n"), 0);
	assert_int_equal(cpu_quota_v2("-1 100000\n"), 0);
	assert_int_equal(cpu_quota_v2("+1 100000\n"), 0);
	assert_int_equal(cpu_quota_v2("1e5 100000\n"), 0);
	assert_int_equal(cpu_quota_v2("100000 100000x\n"), 0);
	assert_int_equal(cpu_quota_v2("0x10 100000\n"), 0);
	assert_int_equal(cpu_quota_v2("\xff\xfe"), 0);
}

static void
huge_numbers(void **state)
{
	char text[200];

	(void)state;
	/* A million CPUs is the most that is believed. */
	assert_int_equal(cpu_quota_v2("1000000 1"), 1000000);
	assert_int_equal(cpu_quota_v2("1000001 1"), 0);
	assert_int_equal(cpu_quota_v2("4611686018427387903 "
	    "4611686018427387903"), 1);
	assert_int_equal(cpu_quota_v2("4611686018427387903 1"), 0);
	assert_int_equal(cpu_quota_v2("9223372036854775807 100000"), 0);
	assert_int_equal(cpu_quota_v2("18446744073709551615 "
	    "18446744073709551615"), 0);
	assert_int_equal(cpu_quota_v2("18446744073709551617 100000"), 0);
	/* Longer than any number, and still not read beyond its end. */
	memset(text, '1', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	assert_int_equal(cpu_quota_v2(text), 0);
	memcpy(text, "100000 ", 7);
	assert_int_equal(cpu_quota_v2(text), 0);
	/* 31 bytes with zeros in front still are a number; 32 are refused. */
	assert_int_equal(cpu_quota_v2("0000000000000000000000000200000 "
	    "100000"), 2);
	assert_int_equal(cpu_quota_v2("00000000000000000000000000200000 "
	    "100000"), 0);
	assert_int_equal(cpu_quota_v2("200000 "
	    "00000000000000000000000000100000"), 0);
	assert_int_equal(cpu_quota_v1("00000000000000000000000000200000",
	    "100000"), 0);
	assert_int_equal(cpu_quota_v1("200000",
	    "00000000000000000000000000100000"), 0);
}

static void
v1_quotas(void **state)
{
	(void)state;
	assert_int_equal(cpu_quota_v1("150000\n", "100000\n"), 2);
	assert_int_equal(cpu_quota_v1("50000\n", "100000\n"), 1);
	assert_int_equal(cpu_quota_v1("100000", "100000"), 1);
	assert_int_equal(cpu_quota_v1("300001\n", "100000\n"), 4);
	assert_int_equal(cpu_quota_v1("-1\n", "100000\n"), 0);
	assert_int_equal(cpu_quota_v1("0\n", "100000\n"), 0);
	assert_int_equal(cpu_quota_v1("100000\n", "0\n"), 0);
	assert_int_equal(cpu_quota_v1("100000\n", "-1\n"), 0);
	assert_int_equal(cpu_quota_v1("", "100000\n"), 0);
	assert_int_equal(cpu_quota_v1("100000\n", ""), 0);
	assert_int_equal(cpu_quota_v1("max\n", "100000\n"), 0);
	assert_int_equal(cpu_quota_v1("99999999999999999999\n", "1\n"), 0);
}

/* ---- /proc/self/cgroup ---- */

static void
expect_path(const char *text, const char *controller, const char *expected)
{
	/* On the heap, where a sanitizer sees what is read behind it. */
	char *copy = strdup(text);
	char *path = cpu_quota_own_path(copy, controller);

	if (expected == NULL) {
		assert_null(path);
	} else {
		assert_non_null(path);
		assert_string_equal(path, expected);
	}
	free(path);
	free(copy);
}

static const char v1_cgroup[] =
    "12:pids:/docker/aaa\n"
    "11:cpuset:/docker/set\n"
    "10:cpuacct,cpu:/docker/bbb\n"
    "9:name=cpu:/trap\n"
    "1:name=systemd:/docker/ccc\n";

static const char hybrid_cgroup[] =
    "5:memory:/user.slice\n"
    "4:cpu,cpuacct:/user.slice/a:b\n"
    "1:name=systemd:/user.slice/session-1.scope\n"
    "0::/user.slice/unified\n";

static void
own_path_v1(void **state)
{
	(void)state;
	expect_path(v1_cgroup, "cpu", "/docker/bbb");
	expect_path(v1_cgroup, "cpuacct", "/docker/bbb");
	expect_path(v1_cgroup, "cpuset", "/docker/set");
	expect_path(v1_cgroup, "pids", "/docker/aaa");
	expect_path(v1_cgroup, "name=systemd", "/docker/ccc");
	/* Whole names only. */
	expect_path(v1_cgroup, "cpus", NULL);
	expect_path(v1_cgroup, "cp", NULL);
	expect_path(v1_cgroup, "acct", NULL);
	expect_path(v1_cgroup, "cpuacct,cpu", NULL);
	expect_path(v1_cgroup, NULL, NULL);
}

static void
own_path_v2(void **state)
{
	(void)state;
	expect_path("0::/\n", NULL, "/");
	expect_path("0::/system.slice/x.service\n", NULL,
	    "/system.slice/x.service");
	expect_path("0::/no-newline", NULL, "/no-newline");
	expect_path("0::/a b\\x2d:c\n", NULL, "/a b\\x2d:c");
	expect_path("0::/../../outside\n", NULL, "/../../outside");
	expect_path("0::/gone (deleted)\n", NULL, "/gone (deleted)");
	expect_path("0::\n", NULL, "");
	expect_path("0::/x\n", "cpu", NULL);
	/* The first that fits. */
	expect_path("0::/one\n0::/two\n", NULL, "/one");
}

static void
own_path_hybrid(void **state)
{
	(void)state;
	expect_path(hybrid_cgroup, NULL, "/user.slice/unified");
	expect_path(hybrid_cgroup, "cpu", "/user.slice/a:b");
	expect_path(hybrid_cgroup, "cpuacct", "/user.slice/a:b");
}

static void
own_path_garbage(void **state)
{
	(void)state;
	expect_path("", NULL, NULL);
	expect_path("", "cpu", NULL);
	expect_path("\n\n\n", NULL, NULL);
	expect_path("nonsense\n", NULL, NULL);
	expect_path("0:\n", NULL, NULL);
	expect_path("0:cpu\n", "cpu", NULL);
	/* A line's colons do not come from the next one. */
	expect_path("0:\n:/x\n", NULL, NULL);
	expect_path("0\n::/x\n", NULL, "/x");
	expect_path("garbage\n:\n3:cpu:/found\n", "cpu", "/found");
	expect_path("3:,cpu,:/commas\n", "cpu", "/commas");
	expect_path("3:,:/commas\n", "cpu", NULL);
	expect_path("3:a,b:/letters\n", "b", "/letters");
	expect_path("3:cpu", "cpu", NULL);
}

/* ---- /proc/self/mountinfo ---- */

static void
expect_mount(const char *mountinfo, const char *controller, const char *point,
    const char *root)
{
	struct cpu_quota_mount mount = { .point = NULL };

	if (point == NULL) {
		assert_false(cpu_quota_find_mount(mountinfo, controller,
		    &mount));
		assert_null(mount.point);
		assert_null(mount.root);
		return;
	}
	assert_true(cpu_quota_find_mount(mountinfo, controller, &mount));
	assert_string_equal(mount.point, point);
	assert_string_equal(mount.root, root);
	cpu_quota_mount_free(&mount);
	assert_null(mount.point);
	assert_null(mount.root);
	cpu_quota_mount_free(&mount);
}

static const char v2_mounts[] =
    "22 28 0:20 / /sys rw,nosuid shared:7 - sysfs sysfs rw\n"
    "24 28 0:22 / /proc rw,nosuid shared:13 - proc proc rw\n"
    "30 22 0:26 / /sys/fs/cgroup rw,nosuid,nodev shared:9 - cgroup2 cgroup2 "
    "rw,nsdelegate\n";

static const char v1_mounts[] =
    "30 22 0:26 / /sys/fs/cgroup ro - tmpfs tmpfs ro,mode=755\n"
    "31 30 0:27 / /sys/fs/cgroup/unified rw shared:10 - cgroup2 cgroup2 rw\n"
    "32 30 0:28 / /sys/fs/cgroup/systemd rw shared:11 - cgroup cgroup "
    "rw,xattr,name=systemd\n"
    "33 30 0:29 / /sys/fs/cgroup/cpuset rw shared:14 - cgroup cgroup "
    "rw,cpuset\n"
    "34 30 0:30 /docker/abc /sys/fs/cgroup/cpu,cpuacct ro shared:15 - "
    "cgroup cgroup rw,cpu,cpuacct\n";

static void
mounts(void **state)
{
	(void)state;
	expect_mount(v2_mounts, NULL, "/sys/fs/cgroup", "/");
	expect_mount(v2_mounts, "cpu", NULL, NULL);
	expect_mount(v1_mounts, NULL, "/sys/fs/cgroup/unified", "/");
	expect_mount(v1_mounts, "cpu", "/sys/fs/cgroup/cpu,cpuacct",
	    "/docker/abc");
	expect_mount(v1_mounts, "cpuacct", "/sys/fs/cgroup/cpu,cpuacct",
	    "/docker/abc");
	expect_mount(v1_mounts, "cpuset", "/sys/fs/cgroup/cpuset", "/");
	expect_mount(v1_mounts, "name=systemd", "/sys/fs/cgroup/systemd", "/");
	expect_mount(v1_mounts, "memory", NULL, NULL);
	expect_mount("", NULL, NULL, NULL);
	expect_mount("", "cpu", NULL, NULL);
}

static void
optional_fields(void **state)
{
	(void)state;
	expect_mount("30 22 0:26 / /cg rw - cgroup2 none rw", NULL, "/cg",
	    "/");
	expect_mount("30 22 0:26 / /cg rw shared:1 - cgroup2 none rw\n", NULL,
	    "/cg", "/");
	expect_mount("30 22 0:26 / /cg rw shared:1 master:2 propagate_from:3 "
	    "unbindable - cgroup2 none rw\n", NULL, "/cg", "/");
	/* The type stands behind the dash, not elsewhere. */
	expect_mount("30 22 0:26 / /cg rw cgroup2 - tmpfs cgroup2 cgroup2\n",
	    NULL, NULL, NULL);
	expect_mount("30 22 0:26 / /cg rw - cgroup2 none r", NULL, "/cg", "/");
	expect_mount("30 22 0:26 / - rw shared:1 - cgroup2 none rw\n", NULL,
	    "-", "/");
}

static void
broken_mount_lines(void **state)
{
	(void)state;
	expect_mount("30 22 0:26 / /cg rw cgroup2 none rw\n", NULL, NULL,
	    NULL);
	expect_mount("30 22 0:26 / /cg - cgroup2 none rw\n", NULL, NULL, NULL);
	expect_mount("30 22 0:26 / /cg rw - cgroup2 none\n", NULL, NULL, NULL);
	expect_mount("30 22 0:26 / /cg rw - cgroup2\n", NULL, NULL, NULL);
	expect_mount("30 22 0:26 / /cg rw -\n", NULL, NULL, NULL);
	expect_mount("- - - - - - - - - -\n", NULL, NULL, NULL);
	expect_mount("\n\n \n  \n", NULL, NULL, NULL);
	/* What is broken is passed over. */
	expect_mount("30 22 0:26 / /bad rw - cgroup2\n"
	    "\n"
	    "31 22 0:26 / /good rw - cgroup2 none rw", NULL, "/good", "/");
}

static void
too_many_fields(void **state)
{
	char line[1000] = "30 22 0:26 / /cg rw";

	(void)state;
	for (int i = 0; i < 100; i++)
		strcat(line, " shared:1");
	strcat(line, " - cgroup2 none rw\n");
	expect_mount(line, NULL, NULL, NULL);
	strcat(line, "31 22 0:26 / /good rw - cgroup2 none rw\n");
	expect_mount(line, NULL, "/good", "/");
}

static void
escapes(void **state)
{
	(void)state;
	expect_mount("30 22 0:26 /a\\040b /c\\011d\\012e\\134f\\043 rw - "
	    "cgroup2 none rw\n", NULL, "/c\td\ne\\f#", "/a b");
	/* A \ that came out of an escape starts none. */
	expect_mount("30 22 0:26 / /x\\134040 rw - cgroup2 none rw\n", NULL,
	    "/x\\040", "/");
	/* Three octal digits or nothing; never a NUL. */
	expect_mount("30 22 0:26 /\\04 /\\0 rw - cgroup2 none rw\n", NULL,
	    "/\\0", "/\\04");
	expect_mount("30 22 0:26 /\\ /\\048\\400 rw - cgroup2 none rw\n",
	    NULL, "/\\048\\400", "/\\");
	expect_mount("30 22 0:26 /\\377 /\\000x rw - cgroup2 none rw\n", NULL,
	    "/\\000x", "/\xff");
	/* Digits alone are no escape. */
	expect_mount("30 22 0:26 /040 /a101b rw - cgroup2 none rw\n", NULL,
	    "/a101b", "/040");
	/* The digits end with the field. */
	expect_mount("30 22 0:26 /x\\04 0 rw - cgroup2 none rw\n", NULL,
	    "0", "/x\\04");
}

static void
controllers_are_whole_words(void **state)
{
	(void)state;
	expect_mount("34 30 0:30 / /a rw - cgroup cgroup rw,cpuset\n"
	    "35 30 0:31 / /b rw - cgroup cgroup rw,cpuacct,cpu\n", "cpu",
	    "/b", "/");
	/* A cgroup2 has no controllers in its options, a tmpfs no cgroups. */
	expect_mount("34 30 0:30 / /a rw - cgroup2 cgroup rw,cpu\n", "cpu",
	    NULL, NULL);
	expect_mount("34 30 0:30 / /a rw - tmpfs cgroup rw,cpu\n", "cpu",
	    NULL, NULL);
	/* The mount's own options are another field. */
	expect_mount("34 30 0:30 / /a rw,cpu - cgroup cgroup rw,memory\n",
	    "cpu", NULL, NULL);
	expect_mount("34 30 0:30 / /a rw - cgroup cgroup rw\n", NULL, NULL,
	    NULL);
}

/* ---- the directory ---- */

static void
expect_dir(const char *point, const char *root, const char *path,
    const char *expected)
{
	char *point_copy = strdup(point), *root_copy = strdup(root);
	const struct cpu_quota_mount mount = {
		.point = point_copy, .root = root_copy,
	};
	char *dir = cpu_quota_dir(&mount, path);

	assert_non_null(dir);
	assert_string_equal(dir, expected);
	free(dir);
	free(point_copy);
	free(root_copy);
}

static void
dir_under_the_whole_hierarchy(void **state)
{
	(void)state;
	expect_dir("/sys/fs/cgroup", "/", "/", "/sys/fs/cgroup");
	expect_dir("/sys/fs/cgroup", "/", "/a", "/sys/fs/cgroup/a");
	expect_dir("/sys/fs/cgroup", "/", "/a/b c", "/sys/fs/cgroup/a/b c");
	expect_dir("/sys/fs/cgroup", "/", "", "/sys/fs/cgroup");
}

/* A container: its own subtree is bound over the mount point. */
static void
dir_under_a_subtree(void **state)
{
	(void)state;
	expect_dir("/cg", "/docker/abc", "/docker/abc", "/cg");
	expect_dir("/cg", "/docker/abc", "/docker/abc/", "/cg");
	expect_dir("/cg", "/docker/abc", "/docker/abc/x/y", "/cg/x/y");
	expect_dir("/cg", "/docker/abc", "/docker/abcdef", "/cg");
	expect_dir("/cg", "/docker/abc", "/docker/abcdef/x", "/cg");
	expect_dir("/cg", "/docker/abc", "/docker/ab", "/cg");
	expect_dir("/cg", "/docker/abc", "/docker", "/cg");
	expect_dir("/cg", "/docker/abc", "/", "/cg");
	expect_dir("/cg", "/docker/abc", "/other/x", "/cg");
	expect_dir("/cg", "/docker/abc", "", "/cg");
}

/* Nothing leads out of the mount, nor to a path that is not one. */
static void
dir_never_leaves_the_mount(void **state)
{
	(void)state;
	expect_dir("/cg", "/", "/../x", "/cg");
	expect_dir("/cg", "/", "/..", "/cg");
	expect_dir("/cg", "/", "/a/../../etc", "/cg");
	expect_dir("/cg", "/a", "/a/../../etc", "/cg");
	expect_dir("/cg", "/", "relative", "/cg");
	expect_dir("/cg", "/..", "/", "/cg");
	expect_dir("/cg", "/../other", "/../other/x", "/cg");
}

/* ---- no memory ---- */

static void
no_memory_finds_nothing(void **state)
{
	struct cpu_quota_mount mount = { .point = NULL };
	char point[] = "/cg", root[] = "/";
	const struct cpu_quota_mount whole = { .point = point, .root = root };
	unsigned n = 0;
	char *dir;

	(void)state;
	for (;;) {
		alloc_fail(++n, 1);
		if (cpu_quota_find_mount(v2_mounts, NULL, &mount))
			break;
		assert_int_equal(alloc_count(), 2);
		assert_null(mount.point);
		assert_null(mount.root);
	}
	assert_int_equal(n, 3);
	cpu_quota_mount_free(&mount);

	alloc_fail(1, 1);
	assert_null(cpu_quota_own_path("0::/x\n", NULL));
	assert_int_equal(alloc_count(), 1);
	alloc_fail(1, 1);
	assert_null(cpu_quota_dir(&whole, "/x"));
	assert_int_equal(alloc_count(), 1);

	/* The text is there, and has to grow. */
	alloc_fail(2, 1);
	dir = cpu_quota_dir(&whole, "/0123456789012345678901234567890123456789"
	    "0123456789012345678901234567890123456789");
	assert_null(dir);
	assert_int_equal(alloc_count(), 2);
	alloc_works();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(v2_rounds_up),
		cmocka_unit_test(v2_without_a_limit),
		cmocka_unit_test(v2_makes_no_sense),
		cmocka_unit_test(huge_numbers),
		cmocka_unit_test(v1_quotas),
		cmocka_unit_test(own_path_v1),
		cmocka_unit_test(own_path_v2),
		cmocka_unit_test(own_path_hybrid),
		cmocka_unit_test(own_path_garbage),
		cmocka_unit_test(mounts),
		cmocka_unit_test(optional_fields),
		cmocka_unit_test(broken_mount_lines),
		cmocka_unit_test(too_many_fields),
		cmocka_unit_test(escapes),
		cmocka_unit_test(controllers_are_whole_words),
		cmocka_unit_test(dir_under_the_whole_hierarchy),
		cmocka_unit_test(dir_under_a_subtree),
		cmocka_unit_test(dir_never_leaves_the_mount),
		cmocka_unit_test(no_memory_finds_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
