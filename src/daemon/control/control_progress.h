/* What happens meanwhile, for those whose request waits for something that it
   concerns: as long as they read. */
#ifndef DAEMON_CONTROL_CONTROL_PROGRESS_H
#define DAEMON_CONTROL_CONTROL_PROGRESS_H

#include <stdint.h>

struct app;
struct control_client;
struct control_clients;
struct worker;
struct worker_step;

/* How the apps are that the request concerns. */
void control_progress_apps(struct control_client *client);

/* … of them those that this reload, or a later one, concerns. */
void control_progress_renewed(struct control_client *client, uint64_t reload);

/* Words for one that is to have them in any case. */
void control_progress_note(struct control_client *client, const char *text);

/* A worker has made a step. */
void control_progress_stepped(struct control_clients *clients,
    const struct worker *worker, const struct worker_step *step);

/* … its process has ended; `words`: how, and what comes of it. */
void control_progress_ended(struct control_clients *clients,
    const struct worker *worker, const struct worker_step *step,
    const char *words);

#endif
