/*
 * What stands of workers in the ledger (core/ledger), from which the next
 * supervisor takes them over. For daemon/life. Without a ledger nothing is done.
 *
 * A process is written down right after the fork, and as executed when that is
 * known: one that is in between, or that nobody has written down, is killed by the
 * next supervisor, and started again. A death is, with its status, before it is
 * reaped. Of what a step changes, all is written after it: whoever is killed in
 * between has taken the step, and the next one takes it again.
 */
#ifndef DAEMON_LIFE_LIFE_LEDGER_PRIV_H
#define DAEMON_LIFE_LIFE_LEDGER_PRIV_H

struct life;
struct worker;

/* As it is now; it is dead, as worker->status says, and not reaped; it is freed. */
void life_ledger_note(struct worker *worker);
void life_ledger_dead(struct worker *worker);
void life_ledger_drop(struct worker *worker);

/* What the workers have in common, such as how many there were. */
void life_ledger_program(const struct life *life);

#endif
