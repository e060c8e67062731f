// Sets of paths into an object, as trees: which fields somebody manages, which ones changed.
//
// A set is a level of elements, sorted, each of which may be a member itself and may have a level
// of its own below it. Levels are immutable and live in an Arena (and view texts that outlive it,
// or live in it); operations make what differs and share the rest, so that a result that equals
// its input IS the input. A null level is the empty set; a level is never empty, and an element
// that is no member has something below it.
//
// Pure functions, any thread. Form and order of elements: KEP-555, fieldsV1.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "machinery/value.h"

namespace keles::apply {

// One step of a path. The body's text is canonical: equal elements have equal texts.
//   'f'  a field of a struct, a key of a map: its name
//   'k'  an item of a list with keys: {"containerPort":80,"protocol":"TCP"}, sorted by name
//   'v'  an item of a set: its value as JSON
//   'i'  an item of any other list: its index
struct PathElement {
  std::string_view body;
  char kind = 'f';
  bool operator==(const PathElement&) const = default;
};
// Upstream's order: fields, keys, values, indices; numbers by size.
int compare(const PathElement& a, const PathElement& b);
// As error messages show it: .name, [name="a",port=80], [="value"], [3].
std::string to_string(const PathElement& e);

struct PathLevel;
using PathSet = const PathLevel*;

struct PathEntry {
  PathElement element;
  PathSet below = nullptr;
  bool member = false;
};

struct PathLevel {
  const PathEntry* entries;
  size_t count;
  std::span<const PathEntry> all() const { return {entries, count}; }
};

inline std::span<const PathEntry> entries_of(PathSet s) {
  return s ? s->all() : std::span<const PathEntry>();
}
const PathEntry* find(PathSet s, const PathElement& e);
size_t size(PathSet s);  // members
bool equal(PathSet a, PathSet b);

PathSet unite(Arena& arena, PathSet a, PathSet b);
PathSet intersect(Arena& arena, PathSet a, PathSet b);
// Members of `a` that are not in `b`; what is below a removed member stays.
PathSet subtract(Arena& arena, PathSet a, PathSet b);
// The same, and with a member of `b` everything below it goes.
PathSet subtract_deep(Arena& arena, PathSet a, PathSet b);
// What lies at or below the places that a pattern names, and the way to them: {"spec",
// "containers", "*", "resources"}. A pattern that is a prefix of a path covers it.
using PathPattern = std::vector<std::string_view>;
PathSet keep_matching(Arena& arena, PathSet s, std::span<const PathPattern> patterns);

// A set of fields named by dotted paths: "spec", "metadata.labels".
PathSet fields_set(Arena& arena, std::span<const std::string_view> paths);

// Members as texts, members of a level before what is below it: ".spec.replicas".
std::vector<std::string> list_paths(PathSet s);

// --- fieldsV1 ---
inline constexpr int kMaxPathDepth = 200;
// Nothing when the text is no fieldsV1. The set views `text`. Elements of a kind that nobody knows
// are left out.
struct ParsedSet {
  PathSet set = nullptr;
};
std::optional<ParsedSet> parse_fields_v1(Arena& arena, std::string_view text);
std::string to_fields_v1(PathSet s);

// Collects entries of one level after another without allocating: levels are made inside out, each
// from what was pushed since its begin().
class LevelStack {
 public:
  explicit LevelStack(Arena& arena) : arena_(arena) {}
  size_t begin() const { return entries_.size(); }
  void push(const PathElement& e, bool member, PathSet below) {
    if (member || below) entries_.push_back({e, below, member});
  }
  // The level of everything since `from`, which leaves the stack. Elements pushed more than once
  // become one.
  PathSet end(size_t from);
  Arena& arena() { return arena_; }

 private:
  Arena& arena_;
  std::vector<PathEntry> entries_;
};

}  // namespace keles::apply
