"""What a source uses of the language's library it includes, itself or through a header of ours.

Where the standard headers are compiled once for all sources (cmake/precompiled.cmake), a source that
leaves one out compiles all the same, and fails where they are not: with another compiler, or under a
compiler cache. What another library's header happens to include does not count.
"""
import os
import re

INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]+(?:"([^"]+)"|<([^>]+)>)', re.M)
USE = re.compile(r"\bstd::(?:(?:ranges|this_thread|chrono|filesystem)\b|\w+)")
# What is no code: comments, texts, characters.
IDLE = re.compile(r"//[^\n]*|/\*.*?\*/|R\"([^()\\\s]{0,16})\(.*?\)\1\"|\"(?:[^\"\\\n]|\\.)*\"|(?<![0-9a-fA-F])'(?:[^'\\\n]|\\.)+'", re.S)

# Header: the names it is for. A name that several have needs one of them.
NAMES = {
    "algorithm": "all_of any_of clamp copy copy_n count count_if equal equal_range fill find find_if find_if_not for_each includes "
                 "inplace_merge is_sorted lower_bound max max_element min min_element minmax minmax_element mismatch none_of "
                 "nth_element partial_sort partition ranges remove_if replace replace_if reverse rotate search set_difference sort "
                 "stable_partition stable_sort transform unique upper_bound",
    "array": "array",
    "atomic": "atomic atomic_flag memory_order_acquire memory_order_relaxed memory_order_release",
    "bit": "bit_cast bit_ceil countl_zero countr_zero has_single_bit popcount rotl rotr",
    "charconv": "chars_format from_chars to_chars",
    "chrono": "chrono chrono_literals",
    "cmath": "ceil fabs floor isfinite isinf isnan llround log pow round sqrt",
    "compare": "partial_ordering strong_ordering weak_ordering",
    "concepts": "convertible_to derived_from floating_point integral same_as",
    "condition_variable": "condition_variable",
    "coroutine": "coroutine_handle noop_coroutine suspend_always suspend_never",
    "cstdio": "fclose fflush fopen fprintf fputs fread fwrite perror printf puts snprintf sscanf vsnprintf",
    "cstdlib": "abort atoi exit free getenv malloc strtod strtol strtoll strtoull system",
    "cstring": "memchr memcmp memcpy memmove memset strchr strcmp strerror strlen strstr",
    "deque": "deque",
    "filesystem": "filesystem",
    "fstream": "fstream ifstream ofstream",
    "functional": "bind function greater invoke less not_fn reference_wrapper",
    "future": "async future promise",
    "iostream": "cerr cin cout",
    "iterator": "back_inserter istreambuf_iterator make_move_iterator next prev",
    "limits": "numeric_limits",
    "list": "list",
    "map": "map multimap",
    "memory": "enable_shared_from_this make_shared make_unique shared_ptr static_pointer_cast unique_ptr weak_ptr",
    "mutex": "call_once lock_guard mutex once_flag scoped_lock unique_lock",
    "numeric": "accumulate gcd iota",
    "optional": "make_optional nullopt optional",
    "semaphore": "binary_semaphore counting_semaphore",
    "set": "multiset set",
    "source_location": "source_location",
    "span": "span",
    "sstream": "istringstream ostringstream stringstream",
    "string": "getline stod stoi stol stoll stoul stoull string to_string",
    "string_view": "string_view",
    "thread": "this_thread thread",
    "tuple": "forward_as_tuple make_tuple tie tuple",
    "type_traits": "conditional_t decay_t enable_if_t is_base_of_v is_constructible_v is_convertible_v is_integral_v is_same_v is_void_v "
                   "remove_cvref_t",
    "unordered_map": "unordered_map",
    "unordered_set": "unordered_set",
    "utility": "as_const exchange forward make_pair move pair swap",
    "variant": "get_if holds_alternative monostate variant visit",
    "vector": "vector",
}
HOME = {name: header for header, names in NAMES.items() for name in names.split()}
# Headers that the language says bring another's names, or that are made of them.
BRINGS = {"string": {"string_view"}, "map": {"utility"}, "iostream": {"string"}, "fstream": {"string"}, "sstream": {"string"}}
# Every container's header declares what walks over it.
ANYWHERE = {"make_move_iterator", "next", "prev"}


class Headers:
    def __init__(self, tree):
        self.tree, self._closed = tree, {}
        self.rooms = [os.path.dirname(p) for p in tree.files("*CMakeLists.txt")]

    def resolve(self, includer, name):
        places = [os.path.join("src", name), name, os.path.join(os.path.dirname(includer), name)]
        if name.startswith("api/") or name == "kinds.h":  # compiled from api/ over these
            places += ["src/machinery/view.h", "src/machinery/schema.h"]
        return [p for p in map(os.path.normpath, places) if self.tree.has(p)]

    def standard(self, path):
        """The standard headers that a file names, or those of ours that it includes name."""
        if path not in self._closed:
            self._closed[path] = found = set()  # a circle ends here
            for ours, theirs in INCLUDE.findall(self.tree.read(path)):
                if theirs:
                    found |= {theirs} | BRINGS.get(theirs, set())
                for header in self.resolve(path, ours) if ours else ():
                    found |= self.standard(header)
        return self._closed[path]


def blank(match):
    return re.sub(r"[^\n]", " ", match[0])


def check(tree, report):
    headers = Headers(tree)
    for path in tree.files("*.cc", "*.h"):
        have, said = headers.standard(path), set()
        code = IDLE.sub(blank, tree.read(path))
        for m in USE.finditer(code):
            name = m[0][len("std::"):]
            header = HOME.get(name)
            if header is None or header in have or header in said or name in ANYWHERE:
                continue
            said.add(header)
            report(path, code.count("\n", 0, m.start()) + 1, f"std::{name}, and no <{header}>", f"#include <{header}>")
