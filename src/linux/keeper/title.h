/* What ps(1) shows of us. */
#ifndef LINUX_KEEPER_TITLE_H
#define LINUX_KEEPER_TITLE_H

/*
 * `words`, and the arguments behind the program's name, in the place of those
 * that we were started with: what does not fit there is left out. argv is not to
 * be used any more, nor what was taken of it.
 */
void title_set(int argc, char **argv, const char *words);

#endif
