#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "core/conf/conf.h"
#include "core/conf/conf_error.h"
#include "core/conf/conf_read.h"
#include "core/conf/conf_source.h"

/* What conf_read() made of a text. */
struct result {
	struct conf_source source;
	struct conf_errors errors;
};

static struct result
read_bytes(const char *text, size_t len)
{
	struct result res = { .errors = { .file = "app.ini" } };
	/* A copy of the exact size, so that ASan sees a read beyond. */
	char *copy = malloc(len > 0 ? len : 1);

	assert_non_null(copy);
	if (len > 0)
		memcpy(copy, text, len);
	assert_int_equal(conf_read(copy, len, &res.source, &res.errors), 0);
	free(copy);
	conf_errors_sort(&res.errors);
	return res;
}

static void
result_free(struct result *res)
{
	conf_source_free(&res->source);
	conf_errors_free(&res->errors);
}

/* All that was read, in one line: `[web]@1 port@2=80 ` with | between lines. */
static char *
describe(const struct conf_source *source)
{
	struct strbuf sb = STRBUF_INIT;
	size_t e = 0;

	for (size_t i = 0; i < source->n_sections; i++) {
		strbuf_printf(&sb, "[%s]@%u ", source->sections[i].name,
		    source->sections[i].line);
		for (; e < source->n_entries; e++) {
			const struct conf_entry *entry = &source->entries[e];

			if (entry->section != i)
				break;
			assert_int_equal(entry->line, entry->numbers[0]);
			strbuf_puts(&sb, entry->key);
			for (size_t j = 0; j < entry->lines.n; j++)
				strbuf_printf(&sb, "%s@%u=%s",
				    j > 0 ? "|" : "", entry->numbers[j],
				    entry->lines.v[j]);
			strbuf_putc(&sb, ' ');
		}
	}
	assert_int_equal(e, source->n_entries);
	return strbuf_take(&sb);
}

static void
expect_errors(const struct conf_errors *errors, const char *expected)
{
	struct strbuf sb = STRBUF_INIT;

	for (size_t i = 0; i < errors->n; i++)
		strbuf_printf(&sb, "%s\n", errors->v[i].text);
	strbuf_puts(&sb, "");
	assert_string_equal(sb.text, expected);
	assert_int_equal(errors->dropped, 0);
	strbuf_free(&sb);
}

/* `errors` has a line for each, "" for none. */
static void
expect_bytes(const char *text, size_t len, const char *described,
    const char *errors)
{
	struct result res = read_bytes(text, len);
	char *s = describe(&res.source);

	expect_errors(&res.errors, errors);
	assert_string_equal(s, described);
	free(s);
	result_free(&res);
}

static void
expect(const char *text, const char *described, const char *errors)
{
	expect_bytes(text, strlen(text), described, errors);
}

#define EXPECT_BYTES(text, described, errors) \
	expect_bytes(text, sizeof(text) - 1, described, errors)

/* ---- what inih alone would do wrong, see DESIGN.md ---- */

static void
inih_trap_line_over_198_bytes(void **state)
{
	struct strbuf text = STRBUF_INIT, wanted = STRBUF_INIT;

	(void)state;
	/* Cut at 198 bytes, the tail would be a key of its own. */
	strbuf_printf(&text, "[web]\ncommand = %0300d port = 80 %0300d\n"
	    "x = 1\n", 0, 0);
	strbuf_printf(&wanted, "[web]@1 command@2=%0300d port = 80 %0300d "
	    "x@3=1 ", 0, 0);
	expect(text.text, wanted.text, "");
	strbuf_free(&text);
	strbuf_free(&wanted);

	/* Every length around the buffer's. */
	for (int n = 150; n < 250; n++) {
		strbuf_printf(&text, "[web]\nenv = %0*d\n\t%0*d\nx = 1\n", n, 0,
		    n, 0);
		strbuf_printf(&wanted, "[web]@1 env@2=%0*d|@3=%0*d x@4=1 ", n,
		    0, n, 0);
		expect(text.text, wanted.text, "");
		strbuf_free(&text);
		strbuf_free(&wanted);
	}
}

static void
inih_trap_long_comment_and_long_blank_line(void **state)
{
	struct strbuf text = STRBUF_INIT;

	(void)state;
	strbuf_printf(&text, "[web]\n# %0300d port = 80\n%300s\nx = 1\n", 0,
	    "");
	expect(text.text, "[web]@1 x@4=1 ", "");
	strbuf_free(&text);
}

static void
inih_trap_semicolon_in_a_value(void **state)
{
	(void)state;
	expect("[web]\ncommand = sh -c \"a ; b\"\n\texec c ; d\n;x = 1\n",
	    "[web]@1 command@2=sh -c \"a ; b\"|@3=exec c ; d ", "");
	expect("[web]\nenv = A=#1 # 2 ;3\n", "[web]@1 env@2=A=#1 # 2 ;3 ", "");
	expect("[web]\nx = ; y\n", "[web]@1 x@2=; y ", "");
}

static void
inih_trap_indented_port_is_no_second_port(void **state)
{
	/* It is a second line of command, and conf_check() tells. */
	(void)state;
	expect("[web]\ncommand = ./x\n  port = 80\n",
	    "[web]@1 command@2=./x|@3=port = 80 ", "");
	expect("[web]\n  port = 80\nx = 1\n", "[web]@1 x@3=1 ",
	    "app.ini:2: \"port = 80\" is indented and continues a value, but "
	    "no key stands above it in its section; a key or [NAME] starts "
	    "its line\n");
}

static void
inih_trap_nul(void **state)
{
	(void)state;
	EXPECT_BYTES("[web]\nport = 80\0" "81\nx = 1\n", "[web]@1 x@3=1 ",
	    "app.ini:2: port: the line holds a NUL byte, text and tabs are "
	    "allowed\n");
	EXPECT_BYTES("\0", "", "app.ini:1: the line holds a NUL byte, text "
	    "and tabs are allowed\n");
	/* In a comment and in a header too. */
	EXPECT_BYTES("# \0\n[w\0eb]\nx = 1\n", "[]@2 x@3=1 ",
	    "app.ini:1: the line holds a NUL byte, text and tabs are "
	    "allowed\n"
	    "app.ini:2: the line holds a NUL byte, text and tabs are "
	    "allowed\n");
}

static void
inih_trap_long_section_names(void **state)
{
	(void)state;
	/* Cut at 49 bytes, these two would be one. */
	expect("[a23456789-123456789-123456789-12]\nx = 1\n"
	       "[a23456789-123456789-123456789-123]\nx = 2\n"
	       "[a23456789-123456789-123456789-123456789-123456789-1]\nx = 3\n"
	       "[a23456789-123456789-123456789-123456789-123456789-2]\n"
	       "x = 4\n",
	    "[a23456789-123456789-123456789-12]@1 x@2=1 "
	    "[a23456789-123456789-123456789-123]@3 x@4=2 "
	    "[a23456789-123456789-123456789-123456789-123456789-1]@5 x@6=3 "
	    "[a23456789-123456789-123456789-123456789-123456789-2]@7 x@8=4 ",
	    "app.ini:3: [a23456789-123456789-123456789-123] is not a section "
	    "name, up to 32 of a-z, 0-9, _ and - are allowed, a letter or "
	    "digit first\n"
	    "app.ini:5: [a23456789-123456789-123456789-123456789-123456789-1] "
	    "is not a section name, up to 32 of a-z, 0-9, _ and - are "
	    "allowed, a letter or digit first\n"
	    "app.ini:7: [a23456789-123456789-123456789-123456789-123456789-2] "
	    "is not a section name, up to 32 of a-z, 0-9, _ and - are "
	    "allowed, a letter or digit first\n");
}

static void
inih_trap_empty_sections_are_seen(void **state)
{
	(void)state;
	expect("[a]\n[b]\n\n[c]\nx = 1\n[d]", "[a]@1 [b]@2 [c]@4 x@5=1 [d]@6 ",
	    "");
}

static void
inih_trap_duplicate_sections_are_seen(void **state)
{
	(void)state;
	expect("[a]\nx = 1\n[b]\n[a]\ny = 2\n[a]\n",
	    "[a]@1 x@2=1 [b]@3 [a]@4 y@5=2 [a]@6 ",
	    "app.ini:4: [a] is a duplicate section, the first is on line 1\n"
	    "app.ini:6: [a] is a duplicate section, the first is on line 1\n");
}

static void
inih_trap_line_numbers(void **state)
{
	struct strbuf text = STRBUF_INIT;

	(void)state;
	strbuf_printf(&text, "\n# c\n[web]\nx = %0999d\n\t%0999d\n\n  # c\n"
	    "bad\r\ny = 1\n", 0, 0);
	struct result res = read_bytes(text.text, text.len);

	expect_errors(&res.errors,
	    "app.ini:8: \"bad\" has no =, KEY = VALUE is needed\n");
	assert_int_equal(res.source.n_entries, 2);
	assert_int_equal(res.source.entries[0].line, 4);
	assert_int_equal(res.source.entries[0].numbers[1], 5);
	assert_int_equal(res.source.entries[1].line, 9);
	result_free(&res);
	strbuf_free(&text);
}

static void
inih_trap_long_key(void **state)
{
	(void)state;
	expect("[a]\nk23456789-123456789-123456789-123456789-12345678 = 1\n",
	    "[a]@1 k23456789-123456789-123456789-123456789-12345678@2=1 ",
	    "");
	expect("[a]\nk23456789-123456789-123456789-123456789-123456789=1\n"
	       "\tmore\n", "[a]@1 ",
	    "app.ini:2: \"k23456789-123456789-123456789-123456789-123456789\" "
	    "is too long for a key, 48 bytes are allowed\n");
}

/* ---- the rest of the syntax ---- */

static void
an_empty_file_holds_nothing(void **state)
{
	(void)state;
	expect("", "", "");
	expect("\n\n \t\n# c\n; c\n   # c", "", "");
}

static void
separators_and_blanks(void **state)
{
	(void)state;
	expect("[a]\nk=1\nl =  2 \t\nm:3\nn : a=b\no = a:b\np==\nq =\nr:",
	    "[a]@1 k@2=1 l@3=2 m@4=3 n@5=a=b o@6=a:b p@7== q@8= r@9= ", "");
	/* Tabs within a value are its own. */
	expect("[a]\nk = a\tb  c\n", "[a]@1 k@2=a\tb  c ", "");
}

static void
crlf_and_bom(void **state)
{
	(void)state;
	expect("\xef\xbb\xbf[a]\r\nk = 1\r\n\r\n\tx\r\nl = 2\r",
	    "[a]@1 k@2=1|@4=x l@5=2 ", "");
	expect("\xef\xbb\xbf", "", "");
	/* Only at the start, and a CR only before the LF. */
	expect("[a]\n\xef\xbb\xbfk = 1\nl = 1\r2\n", "[a]@1 ",
	    "app.ini:2: \"\xef\xbb\xbfk\" is not a key, KEY = VALUE is "
	    "needed\n"
	    "app.ini:3: l: the line holds the control byte 0x0d, text and "
	    "tabs are allowed\n");
}

static void
values_are_verbatim(void **state)
{
	(void)state;
	expect("[a]\nk = gr\xc3\xbc\xdf \xff\xfe\n",
	    "[a]@1 k@2=gr\xc3\xbc\xdf \xff\xfe ", "");
	expect("[a]\nk = \"quoted\"\nl = 'x\nm = [b]\nn = \\\no = 2\n",
	    "[a]@1 k@2=\"quoted\" l@3='x m@4=[b] n@5=\\ o@6=2 ", "");
}

static void
control_bytes_are_errors(void **state)
{
	struct strbuf text = STRBUF_INIT;
	struct result res;
	unsigned n = 0;

	(void)state;
	strbuf_puts(&text, "[a]\n");
	for (char c = 1; c < ' '; c++) {
		if (c == '\t' || c == '\n')
			continue;
		strbuf_printf(&text, "k = a%cb\n", c);
		n++;
	}
	strbuf_puts(&text, "k = \x7f\n");
	n++;
	res = read_bytes(text.text, text.len);
	assert_int_equal(res.errors.n, n);
	assert_int_equal(res.source.n_entries, 0);
	assert_string_equal(res.errors.v[n - 1].text, "app.ini:31: k: the line "
	    "holds the control byte 0x7f, text and tabs are allowed");
	result_free(&res);
	strbuf_free(&text);
}

static void
errors_of_a_value_carry_its_key(void **state)
{
	static const char words[] = "the line holds the control byte 0x01, "
	    "text and tabs are allowed\n";
	struct strbuf expected = STRBUF_INIT, text = STRBUF_INIT;
	struct result res;

	(void)state;
	strbuf_printf(&expected, "app.ini:1: %s", words);
	strbuf_printf(&expected, "app.ini:3: k: %s", words);
	strbuf_printf(&expected, "app.ini:5: l: %s", words);
	strbuf_printf(&expected, "app.ini:6: %s", words);
	strbuf_printf(&expected, "app.ini:7: %s", words);
	strbuf_printf(&expected, "app.ini:8: %s", words);
	strbuf_printf(&expected, "app.ini:9: %s", words);
	strbuf_printf(&expected, "app.ini:10: %s", words);
	strbuf_printf(&expected, "app.ini:11: %s", words);
	expect("# k = \x01\n[a]\nk : \x01\nl = 1\n\t\x01\n  # \x01\n"
	       "m\x01 = 1\nm\x01\n"
	       "k23456789-123456789-123456789-123456789-123456789 = \x01\n"
	       "\t\x01\n[b\x01]\n", "[a]@2 l@4=1 []@11 ", expected.text);
	strbuf_free(&expected);

	strbuf_printf(&text, "[a]\nk = %0*d\nl = 1\n\t%0*d\n",
	    CONF_VALUE_MAX + 1, 0, CONF_VALUE_MAX, 0);
	res = read_bytes(text.text, text.len);
	expect_errors(&res.errors,
	    "app.ini:2: k: the value is too long, 65536 bytes are allowed\n"
	    "app.ini:4: l: the value is too long, 65536 bytes are allowed\n");
	result_free(&res);
	strbuf_free(&text);
}

static void
continuation_goes_over_blank_and_comment_lines(void **state)
{
	(void)state;
	expect("[a]\nenv = A=1\n\n# c\n\tB=2\n  ; c\n    C=3  \nk = 1\n l\n",
	    "[a]@1 env@2=A=1|@5=B=2|@7=C=3 k@8=1|@9=l ", "");
	/* An indented header is a value too: listen takes [::1]:80. */
	expect("[a]\nlisten =\n  [::1]:80\n  [b]\n[c]\n",
	    "[a]@1 listen@2=|@3=[::1]:80|@4=[b] [c]@5 ", "");
}

static void
continuation_needs_a_key_above(void **state)
{
	(void)state;
	expect("  x\n y\n[a]\n  z\n  zz\nk = 1\n[b]\n q\n",
	    "[a]@3 k@6=1 [b]@7 ",
	    "app.ini:1: \"x\" is indented and continues a value, but no key "
	    "stands above it in its section; a key or [NAME] starts its "
	    "line\n"
	    "app.ini:4: \"z\" is indented and continues a value, but no key "
	    "stands above it in its section; a key or [NAME] starts its "
	    "line\n"
	    "app.ini:8: \"q\" is indented and continues a value, but no key "
	    "stands above it in its section; a key or [NAME] starts its "
	    "line\n");
	/* Below a refused line there is nothing more to say. */
	expect("[a]\nk = 1\nbad\n  x\nl = 2\n\x01\n  y\n",
	    "[a]@1 k@2=1 l@5=2 ",
	    "app.ini:3: \"bad\" has no =, KEY = VALUE is needed\n"
	    "app.ini:6: the line holds the control byte 0x01, text and tabs "
	    "are allowed\n");
}

static void
bad_headers_begin_a_section(void **state)
{
	(void)state;
	expect("[]\na = 1\n[Web]\nb = 1\n[-x]\n[w b]\n[web\nc = 1\n"
	       "[d] # c\nd = 1\n[e]f\n[[g]]\n[ h ]\n[_]\n[0_-]\n",
	    "[]@1 a@2=1 [Web]@3 b@4=1 [-x]@5 [w b]@6 [web]@7 c@8=1 [d]@9 "
	    "d@10=1 [e]@11 [[g]@12 [ h ]@13 [_]@14 [0_-]@15 ",
	    "app.ini:1: the section has no name, [NAME] is needed\n"
	    "app.ini:3: [Web] is not a section name, up to 32 of a-z, 0-9, _ "
	    "and - are allowed, a letter or digit first\n"
	    "app.ini:5: [-x] is not a section name, up to 32 of a-z, 0-9, _ "
	    "and - are allowed, a letter or digit first\n"
	    "app.ini:6: [w b] is not a section name, up to 32 of a-z, 0-9, _ "
	    "and - are allowed, a letter or digit first\n"
	    "app.ini:7: \"[web\" has no ], [NAME] is needed\n"
	    "app.ini:9: text behind [d], a comment needs a line of its own\n"
	    "app.ini:11: text behind [e], a comment needs a line of its own\n"
	    "app.ini:12: text behind [[g], a comment needs a line of its "
	    "own\n"
	    "app.ini:12: [[g] is not a section name, up to 32 of a-z, 0-9, _ "
	    "and - are allowed, a letter or digit first\n"
	    "app.ini:13: [ h ] is not a section name, up to 32 of a-z, 0-9, _ "
	    "and - are allowed, a letter or digit first\n"
	    "app.ini:14: [_] is not a section name, up to 32 of a-z, 0-9, _ "
	    "and - are allowed, a letter or digit first\n");
}

static void
bad_keys(void **state)
{
	(void)state;
	expect("[a]\n= 1\nmy key = 1\n\"k\" = 1\nk;l = 1\nlisten 1:80\n"
	       "k\xc3\xbc = 1\njust text\n]\nA.b-c_9 = 1\n",
	    "[a]@1 A.b-c_9@10=1 ",
	    "app.ini:2: \"\" is not a key, KEY = VALUE is needed\n"
	    "app.ini:3: \"my key\" is not a key, KEY = VALUE is needed\n"
	    "app.ini:4: \"\"k\"\" is not a key, KEY = VALUE is needed\n"
	    "app.ini:5: \"k;l\" is not a key, KEY = VALUE is needed\n"
	    "app.ini:6: \"listen 1\" is not a key, KEY = VALUE is needed\n"
	    "app.ini:7: \"k\xc3\xbc\" is not a key, KEY = VALUE is needed\n"
	    "app.ini:8: \"just text\" has no =, KEY = VALUE is needed\n"
	    "app.ini:9: \"]\" has no =, KEY = VALUE is needed\n");
}

static void
a_key_before_any_section_is_told_once(void **state)
{
	(void)state;
	expect("port = 80\n  x\ncommand = ./x\n[a]\nk = 1\n",
	    "[a]@4 k@5=1 ",
	    "app.ini:1: port: stands before any section, a [NAME] is needed "
	    "above it\n");
}

static void
duplicate_keys_reach_the_check(void **state)
{
	(void)state;
	expect("[a]\nk = 1\nk = 2\n", "[a]@1 k@2=1 k@3=2 ", "");
}

/* ---- limits ---- */

static void
value_limit(void **state)
{
	struct strbuf text = STRBUF_INIT;
	struct result res;

	(void)state;
	strbuf_printf(&text, "[a]\nk = %0*d\nl = %0*d\n\tmore\nm = 1\n",
	    CONF_VALUE_MAX, 0, CONF_VALUE_MAX + 1, 0);
	res = read_bytes(text.text, text.len);
	expect_errors(&res.errors, "app.ini:3: l: the value is too long, "
	    "65536 bytes are allowed\n");
	assert_int_equal(res.source.n_entries, 2);
	assert_int_equal(strlen(res.source.entries[0].lines.v[0]),
	    CONF_VALUE_MAX);
	result_free(&res);
	strbuf_free(&text);

	/* Joined, with the newlines. */
	strbuf_printf(&text, "[a]\nk = %0*d\n\t1\nl = %0*d\n\t1\n\t2\n\t3\n",
	    CONF_VALUE_MAX - 2, 0, CONF_VALUE_MAX - 3, 0);
	res = read_bytes(text.text, text.len);
	expect_errors(&res.errors, "app.ini:6: l: the value is too long, "
	    "65536 bytes are allowed\n");
	result_free(&res);
	strbuf_free(&text);
}

static void
file_limit(void **state)
{
	size_t len = CONF_FILE_MAX + 1;
	char *text = malloc(len);

	(void)state;
	assert_non_null(text);
	memset(text, '\n', len);
	expect_bytes(text, len - 1, "", "");
	expect_bytes(text, len, "", "app.ini: the file is too long, 4194304 "
	    "bytes are allowed\n");
	free(text);
}

static void
section_limit(void **state)
{
	struct strbuf text = STRBUF_INIT;
	struct result res;

	(void)state;
	for (unsigned i = 1; i <= 1024; i++)
		strbuf_printf(&text, "[s%u]\nk = %u\n", i, i);
	res = read_bytes(text.text, text.len);
	expect_errors(&res.errors, "");
	assert_int_equal(res.source.n_sections, 1024);
	assert_int_equal(res.source.n_entries, 1024);
	assert_int_equal(res.source.entries[1023].section, 1023);
	result_free(&res);

	strbuf_puts(&text, "[x]\nbad\nk = 1\n");
	res = read_bytes(text.text, text.len);
	expect_errors(&res.errors, "app.ini:2049: more than 1024 sections, "
	    "the rest of the file is not read\n");
	assert_int_equal(res.source.n_entries, 1024);
	result_free(&res);
	strbuf_free(&text);
}

static void
key_limit(void **state)
{
	struct strbuf text = STRBUF_INIT;
	struct result res;

	(void)state;
	strbuf_puts(&text, "[a]\n");
	for (unsigned i = 0; i <= 65536; i++)
		strbuf_puts(&text, "k=1\n");
	res = read_bytes(text.text, text.len);
	expect_errors(&res.errors, "app.ini:65538: more than 65536 keys, the "
	    "rest of the file is not read\n");
	assert_int_equal(res.source.n_entries, 65536);
	result_free(&res);
	strbuf_free(&text);
}

static void
error_limit(void **state)
{
	struct strbuf text = STRBUF_INIT;
	struct result res;

	(void)state;
	for (unsigned i = 0; i < CONF_ERRORS_MAX + 7; i++)
		strbuf_puts(&text, "bad\n");
	res = read_bytes(text.text, text.len);
	assert_int_equal(res.errors.n, CONF_ERRORS_MAX);
	assert_int_equal(res.errors.dropped, 7);
	result_free(&res);
	strbuf_free(&text);
}

static void
expect_first_lines(const struct conf_errors *errors, size_t dropped)
{
	assert_int_equal(errors->n, CONF_ERRORS_MAX);
	assert_int_equal(errors->dropped, dropped);
	for (unsigned i = 0; i < CONF_ERRORS_MAX; i++)
		assert_int_equal(errors->v[i].line, i + 1);
}

/* However many there are, and in whatever order they are found. */
static void
the_first_errors_by_line_are_kept(void **state)
{
	const unsigned counts[] = { 101, 999, 1000, 1001, 5000 };

	(void)state;
	for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
		struct conf_errors errors = { .file = "f" };

		for (unsigned line = counts[i]; line > 0; line--) {
			assert_false(conf_errors_full(&errors, line));
			conf_error_add(&errors, line, NULL, "x");
			assert_true(errors.n <= 1000);
		}
		conf_errors_sort(&errors);
		expect_first_lines(&errors, counts[i] - CONF_ERRORS_MAX);
		/* Sorted is sorted. */
		conf_errors_sort(&errors);
		expect_first_lines(&errors, counts[i] - CONF_ERRORS_MAX);
		assert_true(conf_errors_full(&errors, CONF_ERRORS_MAX));
		conf_errors_free(&errors);
		assert_false(conf_errors_full(&errors, CONF_ERRORS_MAX));

		for (unsigned line = 1; line <= counts[i]; line++)
			conf_error_add(&errors, line, NULL, "x");
		conf_errors_sort(&errors);
		expect_first_lines(&errors, counts[i] - CONF_ERRORS_MAX);
		conf_errors_free(&errors);
	}
}

/* ---- beside the file ---- */

static void
a_source_by_hand(void **state)
{
	struct conf_source source = { .sections = NULL };
	char *s;

	(void)state;
	assert_int_equal(conf_source_add_section(&source, "web", 0), 0);
	assert_int_equal(conf_source_add_entry(&source, 0, "port", "80"), 0);
	assert_int_equal(conf_source_add_entry(&source, 0, "command", "a\nb"),
	    0);
	assert_int_equal(conf_source_add_section(&source, "b", 0), 0);
	assert_int_equal(conf_source_add_entry(&source, 0, "x", ""), 0);
	s = describe(&source);
	assert_string_equal(s,
	    "[web]@0 port@0=80 command@0=a\nb [b]@0 x@0= ");
	free(s);
	conf_source_free(&source);
	assert_int_equal(source.n_entries, 0);
}

static void
errors_sort_by_line_and_keep_their_order(void **state)
{
	struct conf_errors errors = { .file = "f" };

	(void)state;
	conf_error_add(&errors, 9, NULL, "one");
	conf_error_add(&errors, 2, "key", "%s", "two");
	conf_error_add(&errors, 9, NULL, "three");
	conf_error_add(&errors, 0, NULL, "four");
	conf_error_add(&errors, 2, NULL, "five\nsix\x1b");
	conf_errors_sort(&errors);
	expect_errors(&errors, "f: four\nf:2: key: two\nf:2: five?six?\n"
			       "f:9: one\nf:9: three\n");
	conf_errors_free(&errors);
	assert_int_equal(errors.n, 0);

	/* Without a file, as for the command line. */
	errors.file = NULL;
	conf_error_add(&errors, 3, "port", "x");
	expect_errors(&errors, "port: x\n");
	conf_errors_free(&errors);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(inih_trap_line_over_198_bytes),
		cmocka_unit_test(inih_trap_long_comment_and_long_blank_line),
		cmocka_unit_test(inih_trap_semicolon_in_a_value),
		cmocka_unit_test(inih_trap_indented_port_is_no_second_port),
		cmocka_unit_test(inih_trap_nul),
		cmocka_unit_test(inih_trap_long_section_names),
		cmocka_unit_test(inih_trap_empty_sections_are_seen),
		cmocka_unit_test(inih_trap_duplicate_sections_are_seen),
		cmocka_unit_test(inih_trap_line_numbers),
		cmocka_unit_test(inih_trap_long_key),
		cmocka_unit_test(an_empty_file_holds_nothing),
		cmocka_unit_test(separators_and_blanks),
		cmocka_unit_test(crlf_and_bom),
		cmocka_unit_test(values_are_verbatim),
		cmocka_unit_test(control_bytes_are_errors),
		cmocka_unit_test(errors_of_a_value_carry_its_key),
		cmocka_unit_test(
		    continuation_goes_over_blank_and_comment_lines),
		cmocka_unit_test(continuation_needs_a_key_above),
		cmocka_unit_test(bad_headers_begin_a_section),
		cmocka_unit_test(bad_keys),
		cmocka_unit_test(a_key_before_any_section_is_told_once),
		cmocka_unit_test(duplicate_keys_reach_the_check),
		cmocka_unit_test(value_limit),
		cmocka_unit_test(file_limit),
		cmocka_unit_test(section_limit),
		cmocka_unit_test(key_limit),
		cmocka_unit_test(error_limit),
		cmocka_unit_test(the_first_errors_by_line_are_kept),
		cmocka_unit_test(a_source_by_hand),
		cmocka_unit_test(errors_sort_by_line_and_keep_their_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
