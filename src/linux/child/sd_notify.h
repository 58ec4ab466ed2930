/*
 * What clusterd says to the supervisor above it (sd_notify(3)), if there is
 * one: NOTIFY_SOCKET of our own environment.
 */
#ifndef LINUX_CHILD_SD_NOTIFY_H
#define LINUX_CHILD_SD_NOTIFY_H

struct sd_notify {
	int fd;		/* -1: nobody listens */
	char *name;
};

#define SD_NOTIFY_INIT { .fd = -1 }

/* Look for NOTIFY_SOCKET. 0: *ret_notify is the caller's to close; untouched
   where there is none. -errno: it is there, but of no use. */
int sd_notify_open(struct sd_notify *ret_notify);
void sd_notify_close(struct sd_notify *notify);

/* Send NAME=value lines; never blocks; a lost message is nobody's loss. */
void sd_notify_send(const struct sd_notify *notify, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

#endif
