/* What a supervisor asks the keeper for, and is done at once (keeper_share.h). For the
   room alone. */
#ifndef LINUX_KEEPER_KEEPER_ASKED_H
#define LINUX_KEEPER_KEEPER_ASKED_H

/* Its message to the supervisor above, if there is one. */
void keeper_asked_mail(void);

/* Its listen(2), if it waits for one. */
void keeper_asked_listen(void);

#endif
