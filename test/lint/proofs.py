"""Tests that can fail: each compares something, and waits for a state rather than for time."""
import re

import cxx

SLEEP = re.compile(r"(?:^|[;&|(]|\bdo|\bthen)\s*sleep\s")
# A reader that leaves early: who writes to it may be told so, or not, by who is faster.
LEAVES = re.compile(r"\|\s*(?:head\b|grep\s+(?:-\w+\s+)*-\w*q|sed\s[^|]*\dq\b)")
# A definition's conditions are null at first, which kubectl's wait takes for an error rather than for not yet.
HASTY = re.compile(r"^\$.*\bkubectl wait\b.*--for[ =]condition.*\bcrds?[/ ]")
QUOTED = re.compile(r"'[^']*'|\"(?:[^\"\\]|\\.)*\"")
EXPECTATION = re.compile(r"^(?:EXPECT|ASSERT)_|^(?:ADD_FAILURE|FAIL)$")
TESTS = {"TEST", "TEST_F", "TEST_P", "TYPED_TEST"}


def check(tree, report):
    for path in tree.files("test/e2e/*.e2e"):
        check_transcript(tree.read(path), lambda *found, p=path: report(p, *found))
    for path in tree.files("*_test.cc"):
        check_tests(tree.read(path), lambda *found, p=path: report(p, *found))


def check_transcript(text, report):
    step = None

    def end():
        if step and step["shown"] and all(s.strip() in ("...", "*") for s in step["shown"]):
            report(step["line"], "a step whose output may be anything",
                   "show what matters of it, or send it to /dev/null when the next step looks")

    for number, line in enumerate(text.split("\n"), 1):
        if re.match(r"[$~]", line):
            end()
            step = {"line": number, "shown": []}
        if re.match(r"[$~>]", line) and SLEEP.search(QUOTED.sub("", re.sub(r"^(?:[$>]|~\d*) ", "", line))):
            report(number, "a step that sleeps", "wait for the state that it stands for, with a step that begins with `~`")
        if HASTY.match(line):
            report(number, "a wait for a definition's condition that fails while there are none",
                   "begin the step with `~`")
        if re.match(r"[$~>]", line) and LEAVES.search(QUOTED.sub("", line)):
            report(number, "a step whose reader leaves before its writer, who then may fail",
                   "read to the end: `sed -n 1p`, `grep ... >/dev/null`")
        elif line and not re.match(r"[$~>#]", line) and step:
            step["shown"].append(line)
    end()


def check_tests(text, report):
    """A TEST in which no expectation is named, nor in what it names in this file, and so on."""
    root = cxx.tree(text)
    functions, tests = {}, []
    for group in _groups(root):
        for i, item in enumerate(group.items):
            if item.kind != "group" or item.role != "block" or not i:
                continue
            name = _name(group.items, i)
            if name is None:
                continue
            words = {t.text for t in cxx.flat(item.items) if t.kind == "word"}
            if name.text in TESTS:
                tests.append((name.line, str(group.items[i - 1]), words))
            functions.setdefault(name.text, set()).update(words)
    for line, what, words in tests:
        seen, todo = set(), set(words)
        while todo and not any(EXPECTATION.match(w) for w in todo):
            seen |= todo
            todo = {w for name in todo if name in functions for w in functions[name]} - seen
        if not todo:
            report(line, f"a test that expects nothing: {what}", "say what must hold, or remove it")


def _groups(group):
    yield group
    for item in group.items:
        if item.kind == "group":
            yield from _groups(item)


def _name(items, i):
    """The word by which the function, closure, struct or class whose body is at `i` is known."""
    head = items[max(0, i - 9):i]
    start = max((j for j, t in enumerate(head)
                 if t.kind == "group" and t.role == "block" or t.kind == "mark" and t.text == ";"), default=-1)
    head = head[start + 1:]
    for j, item in enumerate(head):
        if item.kind == "word" and item.text in ("struct", "class") and j + 1 < len(head):
            return head[j + 1]  # what it does counts for who names it
    for j in range(len(head) - 1, 0, -1):
        if head[j].kind == "group" and head[j].text == "(" and head[j - 1].kind == "word":
            return head[j - 1]
        if head[j].kind == "mark" and head[j].text == "=" and head[j - 1].kind == "word":
            return head[j - 1]  # auto f = [...
    return None
