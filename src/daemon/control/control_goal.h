/* What a request waits for: when it is reached, and when it never will be. */
#ifndef DAEMON_CONTROL_CONTROL_GOAL_H
#define DAEMON_CONTROL_CONTROL_GOAL_H

#include <stdbool.h>

#include "daemon/control/control_op.h"

struct app;
struct control_client;
struct control_clients;
struct reload_result;
struct worker;
struct worker_step;

void control_goal_set(struct control_client *client,
    const struct control_goal *goal);

/* Does clusterd stop? Then that is the answer, with the reason if one is known. */
bool control_goal_fails_by_stop(struct control_client *client);

/* See struct control_verb: for all that have a goal. */
void control_goal_check(struct control_client *client);

/* A worker's process has ended: it may be one whose start is waited for. */
void control_goal_ended(struct control_clients *clients,
    const struct worker *worker, const struct worker_step *step,
    const char *words);

/* What is wrong with the configuration that is read; `final`: it is refused. */
void control_goal_refused(struct control_clients *clients, const char *words,
    bool final);

/* The reload of this app alone is refused. */
void control_goal_refused_app(struct control_clients *clients,
    const char *app, const char *words);

/* It is in force. */
void control_goal_applied(struct control_clients *clients,
    const struct reload_result *result);

/* Every instance has ended, and no rollout is about to change that. */
bool control_goal_has_ended(const struct app *app);

#endif
