/* Records of logs and follow, clusterd-control(7), as lines for people and
   programs. */
#ifndef CLI_CTL_LOG_LINE_H
#define CLI_CTL_LOG_LINE_H

#include <stdbool.h>

struct answer_line;
struct strbuf;

struct ctl_log_style {
	bool json;
	bool terminal;	/* nothing of the text may steer it, but colours */
	bool colour;
};

/*
 * Append a `line` record: "web.2 | text", or an object. Into a file or a pipe
 * the text goes as the worker has written it; on a terminal its colours stay,
 * where there are to be any, and every other control byte becomes '?'.
 */
void ctl_log_line(struct strbuf *sb, const struct answer_line *line,
    const struct ctl_log_style *style);

/* The words of a `lost` and of an `elsewhere` record, without newline. */
void ctl_log_lost(struct strbuf *sb, const struct answer_line *line);
void ctl_log_elsewhere(struct strbuf *sb, const struct answer_line *line);

/* Nothing at all of that app passes through clusterd? */
bool ctl_log_all_elsewhere(const struct answer_line *line);

#endif
