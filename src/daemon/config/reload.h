/*
 * HUP: the configuration is read again, checked, and put in force, without
 * ever waiting for anything: user names are looked up by a child, and the
 * workers roll over event by event.
 */
#ifndef DAEMON_CONFIG_RELOAD_H
#define DAEMON_CONFIG_RELOAD_H

#include <stdbool.h>
#include <stdint.h>

struct adopt;
struct apps;
struct balancing;
struct conf_origin;
struct config;
struct loop;
struct reload;
struct reload_result;
struct sd_notify;

/* Whoever wants to hear of reloads; set once. */
struct reload_watch {
	/* Why it was; `final`: these are the last words. */
	void (*refused)(void *ctx, const char *words, bool final);
	/* Of this app alone; what else was asked for goes on. */
	void (*refused_app)(void *ctx, const char *app, const char *words);
	void (*applying)(void *ctx);	/* the whole file, now */
	/* It is in force, and rollouts have begun. */
	void (*applied)(void *ctx, const struct reload_result *result);
};

/* The configuration in force, and how it becomes another. */
struct reloads {
	/* Given to reload_init(). */
	struct loop *loop;
	struct apps *apps;
	struct adopt *adopt;
	struct balancing *balancing;
	struct sd_notify *up;		/* the supervisor above us */
	const struct conf_origin *origin;	/* where to read again */
	const struct reload_watch *watch;
	void *watch_ctx;
	int log_level;		/* of the command line; -1: the file's */

	struct config *config;	/* in force; a reference */
	struct reload *under_way;
	uint64_t refused;
	char *refusal;		/* why the latest was … */
	int refusal_errno;	/* … and as a number; 0: it was not */
	bool reloading;		/* asked for, and not reload_told() since */
};

struct reload_setup {
	struct apps *apps;
	struct adopt *adopt;
	struct balancing *balancing;
	struct sd_notify *up;
	const struct conf_origin *origin;
	const struct reload_watch *watch;
	void *watch_ctx;
	int log_level;
	struct config *config;		/* a reference is taken */
};

/* Before anything else; _open before the first request. Undone by _fini. */
void reload_init(struct reloads *rs, const struct reload_setup *setup);
void reload_open(struct reloads *rs, struct loop *loop);
void reload_fini(struct reloads *rs);

enum reload_scope {
	RELOAD_ALL,		/* every app gets new workers */
	RELOAD_CHANGED,		/* those whose section has changed */
	RELOAD_APP,		/* the one of that name, new or not */
};

/*
 * Begin; one that is at the look-up is begun again, with both wishes. `app` is
 * NULL but for RELOAD_APP. watch->refused() tells a refusal, ->applied() what
 * it comes to; the rollouts of the apps tell the rest.
 */
void reload_request(struct reloads *rs, enum reload_scope scope,
    const char *app);

/* Every app has come to the end of its rollout, and whoever waits for that has
   been told. */
void reload_told(struct reloads *rs);

/* Drop a look-up that is under way: the program stops. */
void reload_cancel(struct reloads *rs);

#endif
