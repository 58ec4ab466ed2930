/* What is changed over the web: POST /action. */
#ifndef WEB_ACTIONS_H
#define WEB_ACTIONS_H

struct exchange;

/* Before the body is there: may it be? An answer is there otherwise. */
void action_check(struct exchange *e);

/* With the body. */
void action_begin(struct exchange *e);

#endif
