#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "core/names/address.h"
#include "core/conf/conf.h"
#include "core/conf/conf_env.h"
#include "core/worker/fd_protocol.h"

static char unix_path[] = "/run/web.sock";

static const struct address any = {
	.kind = ADDRESS_TCP, .host = ADDRESS_HOST_ANY, .port = 80,
};
static const struct address any4 = {
	.kind = ADDRESS_TCP, .host = ADDRESS_HOST_IPV4, .port = 80,
};
static const struct address ipv4 = {
	.kind = ADDRESS_TCP, .host = ADDRESS_HOST_IPV4,
	.ip = { 127, 0, 0, 1 }, .port = 8080,
};
static const struct address ipv6 = {
	.kind = ADDRESS_TCP, .host = ADDRESS_HOST_IPV6,
	.ip = { [15] = 1 }, .port = 65535,
};
static const struct address local = {
	.kind = ADDRESS_UNIX, .path = unix_path,
};
static const struct address udp_any = {
	.kind = ADDRESS_UDP, .host = ADDRESS_HOST_ANY, .port = 5353,
};
static const struct address udp4 = {
	.kind = ADDRESS_UDP, .host = ADDRESS_HOST_IPV4,
	.ip = { 10, 0, 0, 9 }, .port = 53,
};
static const struct address udp6 = {
	.kind = ADDRESS_UDP, .host = ADDRESS_HOST_IPV6,
	.ip = { 0x20, 0x01, 0x0d, 0xb8, [15] = 0x42 }, .port = 53,
};

/*
 * Append the variables of `protocols` for `bound` and compare with those that
 * follow, up to NULL: these, in this order, and nothing else.
 */
static void __attribute__((sentinel))
expect(unsigned protocols, const struct address *bound, size_t n_bound, ...)
{
	const struct fd_protocol_args args = {
		.protocols = protocols, .app = "web",
		.bound = bound, .n_bound = n_bound, .master = 4711,
		.instance = 2, .instances = 5, .generation = 7,
	};
	struct strlist env = STRLIST_INIT;
	const char *expected;
	size_t n = 0;
	va_list ap;

	strlist_add(&env, "BEFORE=x");
	fd_protocol_append(&args, &env);
	assert_false(env.failed);
	assert_string_equal(env.v[n++], "BEFORE=x");
	va_start(ap, n_bound);
	while ((expected = va_arg(ap, const char *)) != NULL) {
		if (n >= env.n)
			fail_msg("%s is missing", expected);
		assert_string_equal(env.v[n++], expected);
	}
	va_end(ap);
	if (n < env.n)
		fail_msg("%s is too much", env.v[n]);
	strlist_free(&env);
}

static void
clusterd(void **state)
{
	const struct address three[] = { any, local, udp4 };

	(void)state;
	expect(CONF_FDP_CLUSTERD, NULL, 0,
	    "CLUSTERD_APP=web", "CLUSTERD_INSTANCE=2",
	    "CLUSTERD_INSTANCES=5", "CLUSTERD_GENERATION=7", NULL);
	expect(CONF_FDP_CLUSTERD, three, 1,
	    "CLUSTERD_APP=web", "CLUSTERD_INSTANCE=2",
	    "CLUSTERD_INSTANCES=5", "CLUSTERD_GENERATION=7",
	    "CLUSTERD_FD=3", NULL);
	expect(CONF_FDP_CLUSTERD, three, 3,
	    "CLUSTERD_APP=web", "CLUSTERD_INSTANCE=2",
	    "CLUSTERD_INSTANCES=5", "CLUSTERD_GENERATION=7",
	    "CLUSTERD_FD=3,4,5", NULL);
}

static void
systemd(void **state)
{
	const struct address three[] = { any, local, udp4 };

	(void)state;
	expect(CONF_FDP_SYSTEMD, NULL, 0, NULL);
	expect(CONF_FDP_SYSTEMD, three, 1,
	    "LISTEN_FDS=1", "LISTEN_PID=", "LISTEN_FDNAMES=web", NULL);
	expect(CONF_FDP_SYSTEMD, three, 3,
	    "LISTEN_FDS=3", "LISTEN_PID=", "LISTEN_FDNAMES=web:web:web",
	    NULL);
}

/* FileDescriptorName= of systemd.socket(5). */
static void
systemd_names(void **state)
{
	static char https[] = "https", admin[] = "admin-1";
	const struct address three[] = { any, local, udp4 };
	char *names[] = { https, NULL, admin };
	const struct fd_protocol_args args = {
		.protocols = CONF_FDP_SYSTEMD, .app = "web",
		.bound = three, .names = names, .n_bound = 3,
	};
	struct strlist env = STRLIST_INIT;

	(void)state;
	fd_protocol_append(&args, &env);
	assert_false(env.failed);
	assert_int_equal(env.n, 3);
	assert_string_equal(env.v[2], "LISTEN_FDNAMES=https:web:admin-1");
	strlist_free(&env);
}

static void
server_starter(void **state)
{
	const struct address three[] = { any4, ipv4, local };
	const struct address datagrams[] = { udp4, udp6 };

	(void)state;
	expect(CONF_FDP_SERVER_STARTER, NULL, 0, NULL);
	expect(CONF_FDP_SERVER_STARTER, &any4, 1,
	    "SERVER_STARTER_PORT=0.0.0.0:80=3", "SERVER_STARTER_GENERATION=7",
	    NULL);
	expect(CONF_FDP_SERVER_STARTER, &ipv4, 1,
	    "SERVER_STARTER_PORT=127.0.0.1:8080=3",
	    "SERVER_STARTER_GENERATION=7", NULL);
	expect(CONF_FDP_SERVER_STARTER, &ipv6, 1,
	    "SERVER_STARTER_PORT=[::1]:65535=3",
	    "SERVER_STARTER_GENERATION=7", NULL);
	expect(CONF_FDP_SERVER_STARTER, &local, 1,
	    "SERVER_STARTER_PORT=/run/web.sock=3",
	    "SERVER_STARTER_GENERATION=7", NULL);
	expect(CONF_FDP_SERVER_STARTER, three, 3,
	    "SERVER_STARTER_PORT=0.0.0.0:80=3;127.0.0.1:8080=4;"
	    "/run/web.sock=5",
	    "SERVER_STARTER_GENERATION=7", NULL);
	expect(CONF_FDP_SERVER_STARTER, datagrams, 2,
	    "SERVER_STARTER_PORT=10.0.0.9:53=3;[2001:db8::42]:53=4",
	    "SERVER_STARTER_GENERATION=7", NULL);
}

static void
einhorn(void **state)
{
	const struct address three[] = { any, ipv6, local };

	(void)state;
	expect(CONF_FDP_EINHORN, NULL, 0, NULL);
	expect(CONF_FDP_EINHORN, &ipv4, 1,
	    "EINHORN_MASTER_PID=4711", "EINHORN_CHILD_INDEX=2",
	    "EINHORN_FD_COUNT=1", "EINHORN_FD_0=3",
	    "EINHORN_FD_FAMILY_0=AF_INET", NULL);
	expect(CONF_FDP_EINHORN, three, 3,
	    "EINHORN_MASTER_PID=4711", "EINHORN_CHILD_INDEX=2",
	    "EINHORN_FD_COUNT=3",
	    "EINHORN_FD_0=3", "EINHORN_FD_FAMILY_0=AF_INET6",
	    "EINHORN_FD_1=4", "EINHORN_FD_FAMILY_1=AF_INET6",
	    "EINHORN_FD_2=5", "EINHORN_FD_FAMILY_2=AF_UNIX", NULL);
}

static void
nginx(void **state)
{
	const struct address three[] = { any, ipv6, local };

	(void)state;
	expect(CONF_FDP_NGINX, NULL, 0, NULL);
	/* nginx ignores a number that nothing closes. */
	expect(CONF_FDP_NGINX, three, 1, "NGINX=3;", NULL);
	expect(CONF_FDP_NGINX, three, 3, "NGINX=3;4;5;", NULL);
}

static void
php_fpm(void **state)
{
	const struct address three[] = { ipv4, local, ipv6 };
	const struct address datagrams[] = { udp_any, udp4, udp6 };

	(void)state;
	expect(CONF_FDP_PHP_FPM, NULL, 0, NULL);
	expect(CONF_FDP_PHP_FPM, &any, 1, "FPM_SOCKETS=:::80=3", NULL);
	expect(CONF_FDP_PHP_FPM, &ipv4, 1, "FPM_SOCKETS=127.0.0.1:8080=3",
	    NULL);
	expect(CONF_FDP_PHP_FPM, &ipv6, 1, "FPM_SOCKETS=::1:65535=3", NULL);
	expect(CONF_FDP_PHP_FPM, &local, 1, "FPM_SOCKETS=/run/web.sock=3",
	    NULL);
	expect(CONF_FDP_PHP_FPM, three, 3, "FPM_SOCKETS=127.0.0.1:8080=3,"
	    "/run/web.sock=4,::1:65535=5", NULL);
	expect(CONF_FDP_PHP_FPM, datagrams, 3, "FPM_SOCKETS=:::5353=3,"
	    "10.0.0.9:53=4,2001:db8::42:53=5", NULL);
}

static void
none_and_all(void **state)
{
	const unsigned all = CONF_FDP_CLUSTERD | CONF_FDP_SYSTEMD |
	    CONF_FDP_SERVER_STARTER | CONF_FDP_EINHORN | CONF_FDP_NGINX |
	    CONF_FDP_PHP_FPM;

	(void)state;
	expect(0, &any, 1, NULL);
	expect(CONF_FDP_CLUSTERD | CONF_FDP_NGINX, &any, 1,
	    "CLUSTERD_APP=web", "CLUSTERD_INSTANCE=2",
	    "CLUSTERD_INSTANCES=5", "CLUSTERD_GENERATION=7",
	    "CLUSTERD_FD=3", "NGINX=3;", NULL);
	expect(all, NULL, 0,
	    "CLUSTERD_APP=web", "CLUSTERD_INSTANCE=2",
	    "CLUSTERD_INSTANCES=5", "CLUSTERD_GENERATION=7", NULL);
	expect(all, &ipv4, 1,
	    "CLUSTERD_APP=web", "CLUSTERD_INSTANCE=2",
	    "CLUSTERD_INSTANCES=5", "CLUSTERD_GENERATION=7",
	    "CLUSTERD_FD=3",
	    "LISTEN_FDS=1", "LISTEN_PID=", "LISTEN_FDNAMES=web",
	    "SERVER_STARTER_PORT=127.0.0.1:8080=3",
	    "SERVER_STARTER_GENERATION=7",
	    "EINHORN_MASTER_PID=4711", "EINHORN_CHILD_INDEX=2",
	    "EINHORN_FD_COUNT=1", "EINHORN_FD_0=3",
	    "EINHORN_FD_FAMILY_0=AF_INET", "NGINX=3;",
	    "FPM_SOCKETS=127.0.0.1:8080=3", NULL);
}

/* The most that a file may ask for: two digits, and the last number. */
static void
as_many_as_allowed(void **state)
{
	struct address many[CONF_LISTENS_MAX];
	const struct fd_protocol_args args = {
		.protocols = CONF_FDP_CLUSTERD | CONF_FDP_NGINX |
		    CONF_FDP_EINHORN,
		.app = "a", .bound = many, .n_bound = CONF_LISTENS_MAX,
	};
	struct strlist env = STRLIST_INIT;

	(void)state;
	for (size_t i = 0; i < CONF_LISTENS_MAX; i++)
		many[i] = any;
	fd_protocol_append(&args, &env);
	assert_false(env.failed);
	assert_int_equal(env.n, 4 + 1 + 3 + 2 * CONF_LISTENS_MAX + 1);
	assert_string_equal(env.v[4] + strlen(env.v[4]) - 12, ",63,64,65,66");
	assert_string_equal(env.v[7], "EINHORN_FD_COUNT=64");
	assert_string_equal(env.v[6 + 2 * CONF_LISTENS_MAX],
	    "EINHORN_FD_63=66");
	assert_string_equal(env.v[8 + 2 * CONF_LISTENS_MAX] +
	    strlen(env.v[8 + 2 * CONF_LISTENS_MAX]) - 7, ";65;66;");
	strlist_free(&env);
}

static void
notify_socket(void **state)
{
	struct fd_protocol_args args = {
		.protocols = CONF_FDP_SYSTEMD, .app = "web",
		.notify_socket = "@clusterd/4711",
	};
	struct strlist env = STRLIST_INIT;

	(void)state;
	fd_protocol_append(&args, &env);
	assert_int_equal(env.n, 1);
	assert_string_equal(env.v[0], "NOTIFY_SOCKET=@clusterd/4711");
	strlist_free(&env);

	/* Whoever gives a socket has decided about it. */
	args.protocols = CONF_FDP_NGINX;
	args.bound = &any;
	args.n_bound = 1;
	fd_protocol_append(&args, &env);
	assert_int_equal(env.n, 2);
	assert_string_equal(env.v[0], "NGINX=3;");
	assert_string_equal(env.v[1], "NOTIFY_SOCKET=@clusterd/4711");
	strlist_free(&env);
}

/* One bit is one protocol, and every bit is one. */
static void
bits_are_distinct(void **state)
{
	static const struct {
		unsigned bit;
		const char *first;
	} rows[] = {
		{ CONF_FDP_CLUSTERD, "CLUSTERD_" },
		{ CONF_FDP_SYSTEMD, "LISTEN_" },
		{ CONF_FDP_SERVER_STARTER, "SERVER_STARTER_" },
		{ CONF_FDP_EINHORN, "EINHORN_" },
		{ CONF_FDP_NGINX, "NGINX=" },
		{ CONF_FDP_PHP_FPM, "FPM_SOCKETS=" },
	};
	unsigned seen = 0;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		const struct fd_protocol_args args = {
			.protocols = rows[i].bit, .app = "web",
			.bound = &any, .n_bound = 1,
		};
		struct strlist env = STRLIST_INIT;

		assert_int_equal(seen & rows[i].bit, 0);
		seen |= rows[i].bit;
		fd_protocol_append(&args, &env);
		assert_true(env.n > 0);
		for (size_t k = 0; k < env.n; k++) {
			assert_true(str_starts(env.v[k], rows[i].first));
			/* What a worker gets is scrubbed from our own. */
			assert_true(conf_env_scrubs(env.v[k]));
		}
		strlist_free(&env);
	}
}

static void
scrubbed(void **state)
{
	static const char *const go[] = {
		"CLUSTERD_FD", "CLUSTERD_APP", "CLUSTERD_INSTANCE",
		"CLUSTERD_INSTANCES", "CLUSTERD_GENERATION",
		"CLUSTERD_WORKER_ID", "CLUSTERD_", "CLUSTERD_ANYTHING",
		"LISTEN_FDS", "LISTEN_PID", "LISTEN_PIDFDID",
		"LISTEN_FDNAMES",
		"NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC", "MAINPID",
		"FDSTORE",
		"SERVER_STARTER_PORT", "SERVER_STARTER_GENERATION",
		"EINHORN_FD_COUNT", "EINHORN_FD_0", "EINHORN_MASTER_PID",
		"EINHORN_SOCK_PATH", "NGINX", "FPM_SOCKETS",
		"NODE_CHANNEL_FD", "NODE_CHANNEL_SERIALIZATION_MODE",
		"NODE_UNIQUE_ID",
	};
	static const char *const stay[] = {
		"NGINXFOO", "NGINX_VERSION", "NGIN", "XNGINX",
		"LISTEN_FDSX", "LISTEN_FD", "LISTEN_", "LISTEN",
		"LISTEN_ADDRESS", "MY_LISTEN_FDS", "listen_fds",
		"CLUSTERD", "CLUSTERDX", "XCLUSTERD_FD", "clusterd_fd",
		"SERVER_STARTER", "SERVER", "SERVER_STARTERX",
		"EINHORN", "EINHORNX",
		"NOTIFY_SOCKETS", "NOTIFY", "WATCHDOG", "WATCHDOG_", "MAINPIDS",
		"FDSTORES", "FPM_SOCKETS_", "FPM_SOCKET",
		"NODE_CHANNEL_FDS", "NODE_ENV", "NODE_UNIQUE_IDS",
		"PATH", "HOME", "PORT", "*", "",
	};
	char entry[80];

	(void)state;
	for (size_t i = 0; i < sizeof(go) / sizeof(*go); i++) {
		if (!conf_env_scrubs(go[i]))
			fail_msg("%s stays", go[i]);
		snprintf(entry, sizeof(entry), "%s=", go[i]);
		assert_true(conf_env_scrubs(entry));
		snprintf(entry, sizeof(entry), "%s=3=x", go[i]);
		assert_true(conf_env_scrubs(entry));
	}
	for (size_t i = 0; i < sizeof(stay) / sizeof(*stay); i++) {
		if (conf_env_scrubs(stay[i]))
			fail_msg("%s goes", stay[i]);
		snprintf(entry, sizeof(entry), "%s=3", stay[i]);
		assert_false(conf_env_scrubs(entry));
		/* It is about the name, not about the value. */
		snprintf(entry, sizeof(entry), "%s=LISTEN_FDS=3", stay[i]);
		assert_false(conf_env_scrubs(entry));
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(clusterd),
		cmocka_unit_test(systemd),
		cmocka_unit_test(systemd_names),
		cmocka_unit_test(server_starter),
		cmocka_unit_test(einhorn),
		cmocka_unit_test(nginx),
		cmocka_unit_test(php_fpm),
		cmocka_unit_test(none_and_all),
		cmocka_unit_test(as_many_as_allowed),
		cmocka_unit_test(notify_socket),
		cmocka_unit_test(bits_are_distinct),
		cmocka_unit_test(scrubbed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
