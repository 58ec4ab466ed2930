/* Names of files as their user has them: links in them stay links. */
#ifndef LINUX_FILE_PLACE_H
#define LINUX_FILE_PLACE_H

/*
 * The working directory as the shell has it, $PWD, if that is an absolute path
 * to it without "." and ".." (pwd(1), -L): it may lead through a link that
 * points elsewhere tomorrow. NULL: it is not, or no memory.
 */
char *place_shell_cwd(void);

/* The same, or else what the kernel says. NULL: errno. */
char *place_cwd(void);

/* `file`, absolute, by place_cwd(), which only a relative one needs. NULL:
   errno. */
char *place_absolute(const char *file);

/*
 * An absolute path without repeated slashes, "." and, unless what stands before
 * is a link at the moment, "..". NULL: no memory.
 */
char *place_plain(const char *path);

#endif
