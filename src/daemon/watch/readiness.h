/*
 * Readiness without a worker's help (ready = accept, auto): while workers start,
 * and only then, clusterd looks again and again whether they wait for
 * connections on their lanes (linux/waiting), and spends a small part of its
 * time on it, however many there are.
 */
#ifndef DAEMON_READINESS_H
#define DAEMON_READINESS_H

struct supervisor;
struct worker;

/* The worker's program runs: begin to look, if its app asks for that. */
void readiness_watch(struct worker *worker);

/* It listens now: look soon. */
void readiness_expect(struct worker *worker);

/* It is ready, or gone. */
void readiness_forget(struct worker *worker);

/* The timer sup->look is due. */
void readiness_look(struct supervisor *sup);

#endif
