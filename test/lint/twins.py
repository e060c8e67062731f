"""No two files define a class of one qualified name.

Linked together they are one to the linker (the one definition rule), which takes whichever comes first and says
nothing: one of the two then works on the other's members. What only one file needs belongs into an unnamed namespace.
The form is clang-format's: what stands in a namespace begins at the line's start.
"""
import re

from standard import IDLE, blank

OPENED = re.compile(r"(?:inline )?namespace ?([\w:]*)[^{;=]*{")
CLASS = re.compile(r"(?:class|struct|union) (?:\[\[[^]]*\]\] |alignas\([^)]*\) )?((?:\w+::)*\w+)([^;{(=]*){")
# Programs of their own, which are not linked with one another (but with what is below src/).
APART = ("fuzz/", "bench/", "test/")


def definitions(text):
    """The qualified name and the line of every class that a file defines for others to see, too."""
    code, spaces = IDLE.sub(blank, text), []
    lines, whole = code.split("\n"), text.split("\n")
    for i, line in enumerate(lines):
        if line.startswith(("namespace ", "inline namespace ")):
            opened = OPENED.match(line)
            if opened and "}" not in line:
                spaces.append(opened[1])
        elif spaces and whole[i].startswith("}  // namespace"):
            spaces.pop()
        elif line.startswith(("class ", "struct ", "union ")) and "" not in spaces:
            # The head may go on for some lines; a specialization is another class for each argument.
            found = CLASS.match(" ".join(lines[i:i + 6]))
            if found and not found[2].lstrip().startswith("<"):
                yield "::".join([*spaces, found[1]]), i + 1


def check(tree, report):
    seen = {}
    for path in tree.files("*.cc", "*.h"):
        room = next((a for a in APART if path.startswith(a)), "")
        for name, line in definitions(tree.read(path)):
            for other, at, its_room in seen.setdefault(name, []):
                if other != path and "" in (room, its_room):
                    report(path, line, f"{name} is defined in {other}:{at}, too",
                           "another name, or (what only this file needs) an unnamed namespace")
            seen[name].append((path, line, room))
