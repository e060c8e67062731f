#include "machinery/apply/updater.h"

#include <algorithm>
#include <array>
#include <map>
#include <optional>

#include "machinery/codec_json.h"

namespace keles::apply {
namespace {

constexpr std::string_view kLastApplied = "kubectl.kubernetes.io/last-applied-configuration";
constexpr size_t kMostAnnotations = 256 * 1024;  // bytes, of all annotations together
constexpr std::string_view kKubectl = "kubectl";

// What nobody manages: the server's own metadata.
constexpr std::array<std::string_view, 9> kNotManaged{
    "metadata.name",       "metadata.namespace",     "metadata.creationTimestamp",
    "metadata.selfLink",   "metadata.uid",           "metadata.clusterName",
    "metadata.generation", "metadata.managedFields", "metadata.resourceVersion"};

Status plain_error(std::string text) { return Status(Reason::kUnknown, std::move(text)); }

std::string gvk_text(std::string_view api_version, std::string_view kind) {
  const bool core = api_version.find('/') == std::string_view::npos;
  return (core ? "/" : "") + std::string(api_version) + ", Kind=" + std::string(kind);
}

const Value& list_of(const Value& root) { return root["metadata"]["managedFields"]; }

struct Conflict {
  Manager manager;
  PathSet set;
};

const Resets& no_resets() {
  static const Resets kNone({});
  return kNone;
}

// One write: its arena, what does not count, and the trees in the versions that managers used.
class Session {
 public:
  explicit Session(const Write& w) : w_(w), resets_(w.resets ? *w.resets : no_resets()) {}

  Arena& arena() { return arena_; }
  const TypeDesc& type() const { return *w_.kind->type; }
  std::string_view version() const { return w_.kind->api_version(); }

  // A set without what the write cannot change, and without what nobody manages.
  PathSet not_reset(PathSet s) {
    if (!resets_.only().empty()) s = keep_matching(arena_, s, resets_.only());
    return subtract_deep(arena_, s, resets_.paths());
  }
  PathSet counted(PathSet s) { return subtract_deep(arena_, s, resets_.skipped()); }

  Changes compare(const TypeDesc& type, const Value& before, const Value& after, bool partial) {
    Changes c = compare_trees(arena_, type, before, after, {resets_.skipped(), partial});
    if (!resets_.only().empty()) {
      c.removed = keep_matching(arena_, c.removed, resets_.only());
      c.changed = keep_matching(arena_, c.changed, resets_.only());
    }
    return c;
  }

  // Forgets managers of versions that are gone, and brings the others' sets in line with the
  // description.
  void reconcile(Managers& managers) {
    std::erase_if(managers.all(), [this](const Manager& m) { return !type_of(m.api_version); });
    for (Manager& m : managers.all()) {
      m.set = as_described(arena_, *type_of(m.api_version), m.set);
    }
  }

  // What others than `self` lose by the change. They lose it unless there are conflicts (and no
  // force), which are given back.
  std::vector<Conflict> take_from_others(Managers& managers, const Manager* self,
                                         const Value& before, const Value& after, Changes own,
                                         bool partial, bool force,
                                         const Manager* gets_all = nullptr) {
    std::vector<Conflict> conflicts;
    struct Loss {
      Manager* manager;
      PathSet set;
    };
    std::vector<Loss> losses;
    std::map<std::string_view, Changes> by_version{{version(), own}};
    for (Manager& m : managers.all()) {
      if (self && m.same_identity(*self)) continue;
      auto [at, fresh] = by_version.try_emplace(m.api_version);
      if (fresh) {
        Document l = w_.versions->convert(before, version(), m.api_version);
        Document r = w_.versions->convert(after, version(), m.api_version);
        at->second = compare(*type_of(m.api_version), l.root, r.root, partial);
        held_.push_back(std::move(l));
        held_.push_back(std::move(r));
      }
      const Changes& c = at->second;
      PathSet taken = intersect(arena_, m.set, c.changed);
      if (taken) conflicts.push_back({m, taken});
      // What it would lose and get back at once stays where it is.
      if (gets_all && m.same_identity(*gets_all)) taken = nullptr;
      losses.push_back({&m, unite(arena_, taken, c.removed)});
    }
    if (!force && !conflicts.empty()) return conflicts;
    for (const Loss& l : losses) l.manager->set = subtract(arena_, l.manager->set, l.set);
    managers.drop_empty();
    return conflicts;
  }

  // An update by `name`: what it changed is its own now.
  void record(Managers& managers, std::string_view name, const Value& before, const Value& after) {
    Changes c = compare(type(), before, after, false);
    if (c.empty()) return;
    reconcile(managers);
    const Manager self = identity(name, false);
    take_from_others(managers, nullptr, before, after, c, false, true, &self);
    if (c.changed) {
      Manager& own = managers.of(self);
      own.set = unite(arena_, own.set, c.changed);
      own.time = w_.now;
    }
    managers.cap_updates(kMaxUpdateManagers);
  }

  Manager identity(std::string_view name, bool applied) const {
    Manager m;
    m.name = name.empty() ? std::string_view("unknown") : name;
    m.api_version = version();
    m.subresource = w_.subresource;
    m.applied = applied;
    return m;
  }

  const TypeDesc* type_of(std::string_view api_version) const {
    if (api_version != version()) return w_.versions->type_of(api_version);
    return w_.kind->type;
  }

  // `merged` without what its manager named the last time, and does not now, and nobody holds.
  void prune(Document& merged, const Managers& managers, const Manager& last) {
    const TypeDesc* then = type_of(last.api_version);
    if (!then || !last.set) return;
    const Manager* now = const_cast<Managers&>(managers).find(last);
    if (now && now->api_version == last.api_version && !subtract(arena_, last.set, now->set)) {
      return;  // everything is named again
    }
    Document m = in_version(merged, version(), last.api_version);
    PathSet named = with_named_fields(arena_, *then, last.set);
    PathSet before = names(*then, m.root);
    Document pruned = m.clone();
    remove_fields(pruned.arena, *then, pruned.root, named);
    add_back(m, pruned, last.api_version, managers);
    PathSet after = names(*then, pruned.root);
    PathSet gone = intersect(arena_, subtract(arena_, before, after), named);
    remove_fields(m.arena, *then, m.root, gone);
    if (last.api_version == version()) {
      merged = std::move(m);
    } else {
      merged = w_.versions->convert(m.root, last.api_version, version());
    }
  }

 private:
  Document in_version(const Document& d, std::string_view from, std::string_view to) {
    return from == to ? d.clone() : w_.versions->convert(d.root, from, to);
  }

  // Everything that the tree names, with the fields on the way. The tree must outlive the set.
  PathSet names(const TypeDesc& type, const Value& v) {
    held_.emplace_back();
    held_.back().root = deep_copy(held_.back().arena, v);
    return with_named_fields(arena_, type, fields_of(arena_, type, held_.back().root));
  }

  // `pruned` gets back what somebody manages, first what is managed in its own version.
  void add_back(const Document& merged, Document& pruned, std::string_view version,
                const Managers& managers) {
    std::vector<std::pair<std::string_view, PathSet>> by_version{{version, nullptr}};
    for (const Manager& m : managers.all()) {
      auto at = std::find_if(by_version.begin(), by_version.end(),
                             [&](auto& x) { return x.first == m.api_version; });
      if (at == by_version.end()) at = by_version.insert(at, {m.api_version, nullptr});
      at->second = unite(arena_, at->second, m.set);
    }
    for (const auto& [v, managed] : by_version) {
      const TypeDesc* type = type_of(v);
      if (!type || (!managed && v != version)) continue;
      Document whole = in_version(merged, version, v);
      Document less = in_version(pruned, version, v);
      PathSet kept =
          unite(arena_, names(*type, less.root), with_named_fields(arena_, *type, managed));
      remove_fields(whole.arena, *type, whole.root,
                    subtract(arena_, names(*type, whole.root), kept));
      pruned = in_version(whole, v, version);
    }
  }

  const Write& w_;
  const Resets& resets_;
  Arena arena_;
  std::vector<Document> held_;  // trees that sets view
};

Value encode(const Write& w, Managers& managers, Arena& out) {
  return managers.encode(out, w.text_fields);
}

void put(Document& d, Value managed) {
  Value& meta = d.root.get_or_add(d.arena, "metadata");
  if (!meta.is_map()) meta = Value::map();
  if (managed.is_null()) {
    meta.erase("managedFields");
  } else {
    meta.set(d.arena, "managedFields", managed);
  }
}

// An empty list, or one empty entry: all managers are to be forgotten.
bool forgets(const Value& list) {
  if (!list.is_list()) return false;
  return list.empty() || (list.size() == 1 && list.at(0).empty());
}

Managers decode_or_none(Arena& arena, const Value& list) {
  auto d = Managers::decode(arena, list);
  return d.ok() ? std::move(*d) : Managers(arena);
}

// The managers from which an update goes on.
Managers managers_of_update(const Write& w, Arena& arena, const Value* live, const Value& said) {
  if (w.subresource.empty()) {
    if (forgets(said)) return Managers(arena);
    auto d = Managers::decode(arena, said);
    if (d.ok() && !d->empty()) return std::move(*d);
  }
  return live ? decode_or_none(arena, list_of(*live)) : Managers(arena);
}

// --- conflicts ---

std::string message_of(std::vector<Conflict>& conflicts, size_t fields) {
  if (fields == 1) {
    return "Apply failed with 1 conflict: conflict with " + print_manager(conflicts[0].manager) +
           ": " + list_paths(conflicts[0].set)[0];
  }
  std::string out = "Apply failed with " + std::to_string(fields) + " conflicts: ";
  bool first = true;
  for (const Conflict& c : conflicts) {
    if (!first) out += '\n';
    first = false;
    out += "conflicts with " + print_manager(c.manager) + ":";
    for (const std::string& path : list_paths(c.set)) out += "\n- " + path;
  }
  return out;
}

Status conflict_status(std::vector<Conflict> conflicts) {
  std::sort(conflicts.begin(), conflicts.end(), [](const Conflict& a, const Conflict& b) {
    return a.manager.identity() < b.manager.identity();
  });
  StatusDetails details;
  size_t fields = 0;
  for (const Conflict& c : conflicts) {
    for (std::string& path : list_paths(c.set)) {
      ++fields;
      details.causes.push_back(
          {"FieldManagerConflict", "conflict with " + print_manager(c.manager), std::move(path)});
    }
  }
  return Status(Reason::kConflict, message_of(conflicts, fields), std::move(details));
}

// What `kubectl apply` wrote into the live object the other way, and what is still so: that
// kubectl may take over (KEP-555, migration from client-side apply).
PathSet allowed_by_last_applied(Session& s, const Write& w, const Value& live, Document& last) {
  std::string_view text = live["metadata"]["annotations"][kLastApplied].as_string();
  if (text.empty()) return nullptr;
  auto parsed = parse_json(text);
  if (!parsed.ok() || parsed->root["apiVersion"].as_string() != w.kind->api_version()) {
    return nullptr;
  }
  last = std::move(*parsed);
  if (!check_typed(s.type(), last.root).empty()) return nullptr;
  Changes c = compare_trees(s.arena(), s.type(), last.root, live);
  PathSet out = fields_of(s.arena(), s.type(), last.root);
  return subtract(s.arena(), subtract(s.arena(), out, c.changed), c.removed);
}

// --- apply ---

// The annotation that client-side apply goes by follows what kubectl applies here.
void follow_last_applied(const Write& w, const Value& config, Document& object) {
  Value* meta = object.root.find("metadata");
  Value* annotations = meta ? meta->find("annotations") : nullptr;
  if (w.manager != kKubectl || !annotations || !annotations->is_map() ||
      (*annotations)[kLastApplied].as_string().empty()) {
    return;
  }
  Document words;
  words.root = deep_copy(words.arena, config);
  if (Value* m = words.root.find("metadata")) {
    if (Value* a = m->find("annotations")) a->erase(kLastApplied);
  }
  std::string text;
  write_json(text, words.root, true);
  text += '\n';
  size_t total = text.size() + kLastApplied.size();
  for (const Member& m : annotations->members()) {
    if (m.key() != kLastApplied) total += m.key().size() + m.value.as_string().size();
  }
  if (total > kMostAnnotations) {
    annotations->erase(kLastApplied);
  } else {
    annotations->set(object.arena, kLastApplied, Value::string(object.arena.copy(text)));
  }
}

Status check_config(const Write& w, const Value* live, const Value& config) {
  std::string_view version = config["apiVersion"].as_string(), kind = config["kind"].as_string();
  if (version != w.kind->api_version() || kind != w.kind->kind) {
    return Status::bad_request("invalid object type: " + gvk_text(version, kind));
  }
  if (!list_of(config).is_null()) return Status::bad_request("metadata.managedFields must be nil");
  std::vector<std::string> problems = check_typed(*w.kind->type, config);
  if (problems.empty()) return {};
  std::string text = problems[0];
  if (problems.size() > 1) {
    text = "errors:";
    for (const std::string& p : problems) text += "\n  " + p;
  }
  (void)live;
  const Value& meta = config["metadata"];
  return plain_error(
      "failed to create typed patch object (" + std::string(meta["namespace"].as_string()) + "/" +
      std::string(meta["name"].as_string()) + "; " + gvk_text(version, kind) + "): " + text);
}

struct Outcome {
  Document object;
  bool unchanged = false;
};

// One try: on conflicts nothing is changed but `managers`, which are then of no use.
Result<Outcome> try_apply(Session& s, const Write& w, const Value& live, const Value& config,
                          Managers& managers, bool force, std::vector<Conflict>& conflicts) {
  s.reconcile(managers);
  Outcome out;
  out.object.root = deep_copy(out.object.arena, live);
  merge_into(out.object.arena, s.type(), out.object.root, config);
  Manager& own = managers.of(s.identity(w.manager, true));
  const Manager last = own;
  // The server's own metadata counts as named until what is no longer named is gone.
  PathSet named = s.not_reset(fields_of(s.arena(), s.type(), config));
  own.set = named;
  own.api_version = s.version();
  const Manager self = own;
  s.prune(out.object, managers, last);
  managers.of(self).set = s.counted(named);
  Changes c = s.compare(s.type(), live, out.object.root, true);
  conflicts = s.take_from_others(managers, &self, live, out.object.root, c, true, force);
  if (!force && !conflicts.empty()) return conflict_status(conflicts);
  managers.drop_empty();
  out.unchanged = same_tree(s.type(), live, out.object.root);
  if (!out.unchanged) {
    if (Manager* m = managers.find(self)) m->time = w.now;
  }
  return out;
}

}  // namespace

Resets::Resets(std::span<const std::string_view> paths, std::vector<PathPattern> only)
    : paths_(fields_set(arena_, paths)),
      skipped_(unite(arena_, paths_, fields_set(arena_, kNotManaged))),
      only_(std::move(only)) {}

void track_update(const Write& w, const Value* live, Document& next) {
  Session s(w);
  static const Value kNothing = Value::map();
  Managers managers = managers_of_update(w, s.arena(), live, list_of(next.root));
  // An object that nobody tracks is not tracked by updates.
  if (!live || !managers.empty()) {
    s.record(managers, w.manager, live ? *live : kNothing, next.root);
  }
  put(next, encode(w, managers, next.arena));
}

Result<Applied> apply_config(const Write& w, const Value* live, const Value& config) {
  static const Value kNothing = Value::map();
  TRY(check_config(w, live, config));
  Session s(w);
  const Value& there = live ? *live : kNothing;
  auto decoded = Managers::decode(s.arena(), list_of(there));
  if (!decoded.ok()) return decoded.status().with_prefix("failed to decode managed fields");
  Managers managers = std::move(*decoded);
  // What was there before anybody applied belongs to one who cannot be asked.
  if (managers.empty() && live) s.record(managers, "before-first-apply", kNothing, there);

  const Managers kept = managers;
  std::vector<Conflict> conflicts;
  auto done = try_apply(s, w, there, config, managers, w.force, conflicts);
  if (!done.ok() && done.status().is(Reason::kConflict) && w.manager == kKubectl) {
    Document last;
    PathSet allowed = allowed_by_last_applied(s, w, there, last);
    if (allowed) {
      std::vector<Conflict> left;
      for (const Conflict& c : conflicts) {
        PathSet set = subtract(s.arena(), c.set, allowed);
        if (set) left.push_back({c.manager, set});
      }
      if (!left.empty()) return conflict_status(std::move(left));
      managers = kept;
      done = try_apply(s, w, there, config, managers, true, conflicts);
    }
  }
  if (!done.ok()) return done.status();
  Applied out;
  out.object = std::move(done->object);
  out.unchanged = done->unchanged;
  follow_last_applied(w, config, out.object);
  put(out.object, encode(w, managers, out.object.arena));
  return out;
}

}  // namespace keles::apply
