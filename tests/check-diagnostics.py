"""Are the messages that clusterd.8 lists in its DIAGNOSTICS said by clusterd?

Each is put together of what the string constants of the source have between
their conversions, of what the system says of an errno, and of examples: numbers,
addresses, paths, names. So of any two words of a message that follow each other
one is an example, or they do so in a constant, or one constant ends there, or
another begins.
"""

import os
import re
import sys

PAGE = "man/clusterd.8"
PREFIX = re.compile(r"^(?:web(?:\[\d+\])?(?: pid \d+)?: |app\.ini:\d+: \w+: )")
# Numbers, durations, addresses and paths; names of apps and programs.
EXAMPLE = re.compile(r"(?:[\d./\[\]:]|udp:).*|web|nginx|node|deploy\.sh|kill")
STRING = re.compile(r'"((?:[^"\\\n]|\\.)*)"')
# Of one constant, where a macro is within it.
JOINT = re.compile(r'"\s*(?:PRI\w+\s*)?"')
COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)
CONVERSION = re.compile(
    r"%[-+ #0]*[\d*]*(?:\.[\d*]+)?(?:hh|h|ll|l|z|j)?[a-zA-Z%]")


def read(path):
    with open(path, encoding="utf-8") as f:
        return f.read()


def words_of(text):
    return [word.strip('();"') for word in text.split()]


def diagnostics():
    """Each with the number of its line."""
    text = read(PAGE)
    begin = text.index("\n.Sh DIAGNOSTICS\n") + 1
    text = text[:text.index("\n.Sh ", begin)]
    for item in re.finditer(r"^\.It ((?:.*\\\n)*.*)$", text[begin:],
                            re.MULTILINE):
        said = item[1].replace("\\\n", "").replace(r"\(dq", '"')
        yield text.count("\n", 0, begin + item.start()) + 1, said


def fragments():
    """The words of each."""
    yield from (words_of(os.strerror(n)) for n in range(1, 134))
    for directory, _, names in os.walk("src"):
        for name in names:
            if not name.endswith((".c", ".h")):
                continue
            text = COMMENT.sub(" ", read(os.path.join(directory, name)))
            for string in STRING.findall(JOINT.sub("", text)):
                string = string.replace('\\"', '"').replace(r"\n", " ")
                for fragment in CONVERSION.split(string):
                    yield words_of(fragment)


pairs, firsts, lasts = set(), set(), set()
for words in filter(None, fragments()):
    pairs.update(zip(words, words[1:]))
    firsts.add(words[0])
    lasts.add(words[-1])


def singulars(word):
    """As constants have it before the conversion of a plural's end."""
    word = word.rstrip("),")
    return word, word.removesuffix("s"), word.removesuffix("es")


def is_said(one, two):
    return EXAMPLE.match(one) or EXAMPLE.match(two) or two in firsts or \
        (one, two) in pairs or any(w in lasts for w in singulars(one)) or \
        any((one, w) in pairs for w in singulars(two))


wrong = n = 0
for line, message in diagnostics():
    n += 1
    words = words_of(PREFIX.sub("", message))
    for one, two in zip(words, words[1:]):
        if not is_said(one, two):
            wrong += 1
            print('%s:%d: nobody says "%s %s", as in: %s' %
                  (PAGE, line, one, two, message))
            break
if n == 0:
    print("%s: no DIAGNOSTICS" % PAGE)
if wrong or n == 0:
    sys.exit(1)
print("%s: %d diagnostics, all are said" % (PAGE, n))
