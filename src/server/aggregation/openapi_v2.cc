// Merging the OpenAPI v2 documents of extension API servers into this server's own.
#include <map>
#include <set>

#include "machinery/codec_json.h"
#include "server/aggregation/documents.h"
#include "server/objects/meta.h"

namespace keles::aggregation {
namespace {

constexpr int kMaxDepth = 200;

// What a "$ref" leads to: a section of the document and a name in it.
constexpr std::string_view kSections[] = {"definitions", "parameters"};

struct Target {
  std::string_view section, name;
  auto operator<=>(const Target&) const = default;
};

std::optional<Target> target_of(std::string_view ref) {
  for (std::string_view section : kSections) {
    const std::string prefix = "#/" + std::string(section) + "/";
    if (ref.starts_with(prefix)) return Target{section, ref.substr(prefix.size())};
  }
  return std::nullopt;
}

// Calls `fn` with every "$ref" below `v`.
template <class Fn>
void each_ref(Value& v, Fn& fn, int depth = 0) {
  if (depth > kMaxDepth) return;
  for (Value& item : v.items()) each_ref(item, fn, depth + 1);
  for (Member& m : v.members()) {
    if (m.key() == "$ref" && m.value.is_string()) {
      fn(m.value);
    } else {
      each_ref(m.value, fn, depth + 1);
    }
  }
}

// Adds one document's paths below `prefix`, and what they need.
class Adder {
 public:
  Adder(Document& into, Document& from, std::string prefix)
      : into_(into), from_(from), prefix_(std::move(prefix)) {}

  void add() {
    Value& paths = registry::edit_map(into_, into_.root, "paths");
    Value* theirs = from_.root.find("paths");
    if (!theirs) return;
    for (Member& m : theirs->members()) {
      const std::string_view path = m.key();
      if (!path.starts_with(prefix_)) continue;
      if (paths.find(path)) continue;
      need(m.value);
      wanted_.push_back(&m);
    }
    name_all();
    for (Member* m : wanted_) {
      rename(m->value);
      paths.set(into_.arena, into_.arena.copy(m->key()), deep_copy(into_.arena, m->value));
    }
    for (const auto& [target, name] : names_) copy(target, name);
  }

 private:
  // Marks all that `v` refers to, over any number of steps.
  void need(Value& v) {
    std::vector<Value*> open{&v};
    while (!open.empty()) {
      Value* at = open.back();
      open.pop_back();
      auto found = [&](Value& ref) {
        auto target = target_of(ref.as_string());
        if (!target || names_.contains(*target)) return;
        Value* section = from_.root.find(target->section);
        Value* what = section ? section->find(target->name) : nullptr;
        if (!what) return;
        names_[*target] = std::string(target->name);
        open.push_back(what);
      };
      each_ref(*at, found);
    }
  }
  // A name that is free here, or taken by the very same.
  void name_all() {
    for (auto& [target, name] : names_) {
      const Value& taken = into_.root[target.section];
      const Value& mine = from_.root[target.section][target.name];
      for (int n = 2; n < 1000; ++n) {
        const Value* other = taken.find(name);
        if (!other || other->equals(mine)) break;
        name = std::string(target.name) + "_v" + std::to_string(n);
      }
    }
  }
  void rename(Value& v) {
    auto renamed = [&](Value& ref) {
      auto target = target_of(ref.as_string());
      auto at = target ? names_.find(*target) : names_.end();
      if (at == names_.end() || at->second == target->name) return;
      ref = Value::string(from_.arena.copy("#/" + std::string(target->section) + "/" + at->second));
    };
    each_ref(v, renamed);
  }
  void copy(const Target& target, const std::string& name) {
    Value& section = registry::edit_map(into_, into_.root, target.section);
    if (section.find(name)) return;
    Document own;
    own.root = deep_copy(own.arena, from_.root[target.section][target.name]);
    rename(own.root);
    section.set(into_.arena, into_.arena.copy(name), deep_copy(into_.arena, own.root));
  }

  Document& into_;
  Document& from_;
  std::string prefix_;
  std::vector<Member*> wanted_;
  std::map<Target, std::string> names_;  // where it is there, and its name here
};

}  // namespace

Document merge_openapi_v2(const Value& local, const View& view) {
  Document d;
  d.root = deep_copy(d.arena, local);
  for (const Remote& r : view.remotes) {
    if (!r.documents->openapi_v2) continue;
    auto theirs = parse_json(*r.documents->openapi_v2);
    if (!theirs.ok()) continue;  // it was checked when it was fetched
    Adder(d, *theirs, "/" + r.service->path() + "/").add();
  }
  return d;
}

}  // namespace keles::aggregation
