#!/usr/bin/python3
"""Says which sources of a target are compiled together (cmake/unity.cmake).

unity.py TARGETS OUTPUT SIZE LINES   reads the lines of TARGETS (cmake/targets.cmake: name, type, folder, sources,
                                     links), writes into OUTPUT a line for each source that goes with others:
                                     target, group, source. Groups hold at most SIZE sources and LINES lines.

What a source keeps to itself (an unnamed namespace, `static`) would meet the same name in another one,
or change what a name means there: two sources go together only if neither mentions a name that the
other keeps to itself. So nobody has to think of the other sources when naming a helper.
What OUTPUT said before stays as far as it can, so that little is compiled anew when CMake runs again.
"""
import os
import re
import sys

WORD = r'[A-Za-z_][A-Za-z0-9_]*'
IGNORED = re.compile(r'//[^\n]*|/\*.*?\*/|R"(\w*)\((?:.|\n)*?\)\1"|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])+\'', re.S)
MENTION = re.compile(r'(?<![\w.])(?<!->)(?<!::)' + WORD)


def plain(text):
    """Without comments and texts; the lines stay. A digit separator is no quote."""
    text = re.sub(r"(?<=[0-9a-fA-F])'(?=[0-9a-fA-F])", '', text)
    return IGNORED.sub(lambda m: '\n' * m.group().count('\n') + ' ', text)


def without_templates(line):
    while True:
        shorter = re.sub(r'<[^<>()]*>', ' ', line)
        if shorter == line:
            return line
        line = shorter


def declared(line):
    """The names that a declaration beginning with this line brings in, each with what it stands for:
    an alias may be said twice, if it is the same one."""
    m = re.match(rf'(?:using|namespace) ({WORD}) *= *([^;]*)', line)
    if m:
        return {m.group(1): ' '.join(m.group(2).split())}
    m = re.match(rf'using ([\w:]*::)({WORD});', line)
    if m:
        return {m.group(2): m.group(1)}
    line = without_templates(line)
    m = re.match(rf'(?:class|struct|union|enum(?: class)?) ({WORD})', line)
    if m:
        return {m.group(1): None}
    line = re.sub(r'\[\[[^]]*\]\]|\balignas\([^)]*\)', ' ', line)
    m = re.match(rf'[^(={{;\[]*?({WORD}) *(?:[(={{;\[]|$)', line)
    if not m:
        return {}
    more = re.findall(rf', ({WORD}) *[={{(\[]', line) if '(' not in line.split('=')[0] else []
    return dict.fromkeys([m.group(1), *more])


def kept(text):
    """The names that a source keeps to itself, as declared() has them. The form is clang-format's:
    what stands in a namespace begins at the line's."""
    names, depth, spaces = {}, 0, []
    for line in text.split('\n'):
        if depth == len(spaces) and line[:1].strip() and line[0] not in '}#)':
            if re.match(r'(inline )?namespace(?: [\w:]+)? *{\s*$', line):
                spaces.append(line.split('{')[0].strip() == 'namespace')
                depth += 1
                continue
            if any(spaces) or line.startswith(('static ', 'using ', 'namespace ')):
                line_ = re.sub(r'^template *', '', without_templates(line)) if line.startswith('template') else line
                line_ = re.sub(r'^(?:static |constexpr |constinit |const |inline |extern )+', '', line_.strip())
                if line_:
                    names.update(declared(line_))
        depth += line.count('{') - line.count('}')
        while len(spaces) > depth:
            spaces.pop()
    # The enumerators of an enum without a scope.
    for m in re.finditer(r'^enum (?!class)[^{;]*{([^}]*)}', text, re.M):
        names.update(dict.fromkeys(re.findall(rf'({WORD})\s*(?:=|,|$)', m.group(1))))
    return names


class Names:
    """What a namespace of the API's views (api::core_v1) holds: the types that api/core/v1 describes."""

    def __init__(self, root):
        self.root, self.seen = root, {}

    def of(self, space):
        if space not in self.seen:
            folder = f'{self.root}/api/{space.removeprefix("api::").replace("_", "/", 1)}'
            self.seen[space] = set()
            for name in sorted(os.listdir(folder)) if os.path.isdir(folder) else []:
                with open(f'{folder}/{name}', encoding='utf-8') as f:
                    self.seen[space] |= set(re.findall(rf'^  ({WORD}):', f.read(), re.M))
        return self.seen[space]


class Headers:
    """Our headers, as sources see them: below src/ by their path, or beside them."""

    def __init__(self, root):
        self.root, self.seen, self.names = root, {}, Names(root)

    def find(self, name, beside):
        for folder in (f'{self.root}/src', beside, self.root):
            path = os.path.normpath(f'{folder}/{name}')
            if os.path.isfile(path):
                return path
        return None

    def included(self, raw, folder):
        """The headers that a text includes, at any depth."""
        out, todo = set(), [(raw, folder)]
        while todo:
            text, beside = todo.pop()
            for name in re.findall(r'^#include "([^"]+)"', text, re.M):
                path = self.find(name, beside)
                if path and path not in out:
                    out.add(path)
                    todo.append((self.text(path), os.path.dirname(path)))
        return out

    def text(self, path):
        return self.read(path)[0]

    def mentioned(self, path):
        return self.read(path)[1]

    def read(self, path):
        if path not in self.seen:
            with open(path, encoding='utf-8') as f:
                raw = f.read()
            self.seen[path] = (raw, set(MENTION.findall(plain(raw))))
        return self.seen[path]


class Source:
    def __init__(self, path, headers):
        self.path = path
        with open(path, encoding='utf-8') as f:
            raw = f.read()
        self.known = headers
        self.headers = headers.included(raw, os.path.dirname(path))
        text = plain(raw)
        self.lines = raw.count('\n')
        self.kept = kept(text)
        self.mentioned = set(MENTION.findall(text))
        # Whole namespaces that it makes its own names.
        self.opens = set(re.findall(r'^using namespace ([\w:]+);', text, re.M)) - {'std::chrono_literals'}
        self.alone = (bool(re.search(r'^#\s*(?:define|undef|pragma)\b', text, re.M)) or 'int main(' in text or
                      any(not space.startswith('api::') for space in self.opens))

    def keeps_from(self, other):
        """Whether the other one, or a header that it brings in, mentions what this one keeps to itself."""
        if any(what is None or other.kept.get(name) != what
               for name, what in self.kept.items() if name in other.mentioned):
            return True
        brought = [self.known.mentioned(h) for h in other.headers - self.headers]
        if any(not names.isdisjoint(self.kept) for names in brought):
            return True
        for space in self.opens:
            own = self.known.names.of(space)
            if any(not names.isdisjoint(own) for names in brought):
                return True
            if space not in other.opens and not other.mentioned.isdisjoint(own):
                return True
        return False

    def fits(self, other):
        return not self.keeps_from(other) and not other.keeps_from(self)


def still_together(sources, before):
    """The groups of before, without those that do not fit the ones before them any more."""
    out = []
    for paths in before:
        group = []
        for s in (sources[p] for p in paths if p in sources):
            if not s.alone and all(s.fits(o) for o in group):
                group.append(s)
        if group:
            out.append(group)
    return out


def groups(sources, before, size, lines):
    """Those that few others can stand beside first, each to the smallest group that takes it."""
    out = still_together({s.path: s for s in sources}, before)
    placed = {s.path for group in out for s in group}
    sources = [s for s in sources if not s.alone]
    foes = {s.path: sum(not s.fits(o) for o in sources) for s in sources}
    wanted = -(-len(sources) // size)
    for s in sorted(sources, key=lambda s: (-foes[s.path], s.path)):
        if s.path in placed:
            continue
        able = [g for g in out if len(g) < size and sum(o.lines for o in g) + s.lines <= lines
                and all(s.fits(o) for o in g)]
        if able and len(out) >= wanted:
            min(able, key=lambda g: sum(o.lines for o in g)).append(s)
        else:
            out.append([s])
    return [g for g in out if len(g) > 1]


def read_groups(path):
    """target -> its groups, lists of paths."""
    out = {}
    if os.path.exists(path):
        for line in open(path, encoding='utf-8'):
            target, group, source = line.rstrip('\n').split('\t')
            out.setdefault(target, {}).setdefault(group, []).append(source)
    return {target: list(known.values()) for target, known in out.items()}


def main():
    targets, output, size, lines = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    headers = Headers(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    before, rows = read_groups(output), []
    for line in open(targets, encoding='utf-8'):
        name, _, folder, sources, _ = line.rstrip('\n').split('\t')
        paths = [os.path.join(folder, s) for s in sources.split(';') if s.endswith('.cc')]
        known = [Source(p, headers) for p in paths if os.path.exists(p) and '/generated/' not in p]
        for i, group in enumerate(groups(known, before.get(name, []), size, lines)):
            rows += [f'{name}\t{i}\t{s.path}\n' for s in group]
    with open(output, 'w', encoding='utf-8') as f:
        f.writelines(rows)


if __name__ == '__main__':
    main()
