#include <sys/wait.h>

#include <stdio.h>

#include "core/names/signal_name.h"
#include "linux/keeper/keeper_words.h"

void
keeper_words_cause(int status, char *words, size_t size)
{
	const char *name;

	if (WIFEXITED(status)) {
		snprintf(words, size, "exited with code %d",
		    WEXITSTATUS(status));
		return;
	}
	name = signal_name(WTERMSIG(status));
	snprintf(words, size, "killed by signal %d%s%s%s%s", WTERMSIG(status),
	    name != NULL ? " (SIG" : "", name != NULL ? name : "",
	    name != NULL ? ")" : "",
	    WCOREDUMP(status) ? ", core dumped" : "");
}

void
keeper_words_duration(long long ms, char *words, size_t size)
{
	long long s = ms / 1000;

	if (s < 60)
		snprintf(words, size, "%lld.%llds", s, ms % 1000 / 100);
	else if (s < 3600)
		snprintf(words, size, "%lldm%02llds", s / 60, s % 60);
	else if (s < 86400)
		snprintf(words, size, "%lldh%02lldm", s / 3600, s / 60 % 60);
	else
		snprintf(words, size, "%lldd%02lldh", s / 86400, s / 3600 % 24);
}
