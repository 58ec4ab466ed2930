/*
 * HUP: the configuration is read again, checked, and put in force, without
 * ever waiting for anything: user names are looked up by a child, and the
 * workers roll over event by event.
 */
#ifndef DAEMON_RELOAD_H
#define DAEMON_RELOAD_H

struct supervisor;

/*
 * Begin, or begin again if one is at the look-up: of every app, or of the one
 * of that name, which runs. control_reload_refused() tells a refusal; the
 * rollouts of the apps tell the rest.
 */
void reload_request(struct supervisor *sup, const char *app);

/* Drop a look-up that is under way: the program stops. */
void reload_cancel(struct supervisor *sup);

#endif
