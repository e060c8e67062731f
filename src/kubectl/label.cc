// label and annotate: the same command over two maps.
#include <algorithm>

#include "kubectl/verbs.h"
#include "kubectl/write.h"
#include "machinery/codec_json.h"

namespace keles::kubectl {
namespace {

struct Words {
  const char *map, *what, *done;
};
constexpr Words kLabels{"labels", "label", "labeled"};
constexpr Words kAnnotations{"annotations", "annotation", "annotated"};

struct Changes {
  std::vector<std::pair<std::string, std::string>> set;
  std::vector<std::string> removed;
};

bool is_change(std::string_view arg) {
  return arg.find('=') != arg.npos || (arg.ends_with('-') && arg.size() > 1);
}

Result<Changes> parse_changes(const Words& words, Args* args) {
  auto first = std::find_if(args->begin(), args->end(), is_change);
  Changes out;
  for (auto it = first; it != args->end(); ++it) {
    size_t eq = it->find('=');
    if (!is_change(*it)) {
      return failure("all resources must be specified before " + std::string(words.what) +
                     " changes: " + *it);
    }
    if (eq == it->npos) {
      out.removed.push_back(it->substr(0, it->size() - 1));
    } else if (eq == 0) {
      return failure("invalid " + std::string(words.what) + " spec: " + *it);
    } else {
      out.set.emplace_back(it->substr(0, eq), it->substr(eq + 1));
    }
  }
  args->erase(first, args->end());
  for (const auto& [key, value] : out.set) {
    if (std::find(out.removed.begin(), out.removed.end(), key) != out.removed.end()) {
      return failure("can not both modify and remove a " + std::string(words.what) +
                     " in the same command");
    }
  }
  return out;
}

class Marker {
 public:
  // No session: the objects are files' alone.
  Marker(const Words& words, Session* session, Writer& writer, Changes changes)
      : words_(words), session_(session), writer_(writer), changes_(std::move(changes)) {}
  bool overwrite = false;
  std::string resource_version;

  Status change(const Found& f) {
    const Value& now = f.object.root["metadata"][words_.map];
    TRY(check(now));
    bool changed = false, shrunk = false;
    Document patch;
    Value& map = at(patch, std::string("metadata.") + words_.map);
    map = Value::map();
    for (const auto& [key, value] : changes_.set) {
      const Value* old = now.find(key);
      if (old && old->as_string() == value) continue;
      changed = true;
      map.set(patch.arena, patch.arena.copy(key), text(patch, value));
    }
    for (const std::string& key : changes_.removed) {
      if (!now.find(key)) {
        print(std::string(words_.what) + " \"" + key + "\" not found.\n");
        continue;
      }
      changed = shrunk = true;
      map.set(patch.arena, patch.arena.copy(key), Value());
    }
    bool labels = words_.map == kLabels.map;
    if (!changed) return writer_.report(f.object.root, labels ? "not labeled" : words_.done);
    if (!resource_version.empty()) put(patch, "metadata.resourceVersion", resource_version);
    Result<Document> made = send(f, patch);
    if (!made.ok()) return made.status();
    bool fewer = shrunk && changes_.set.empty() && !overwrite;
    return writer_.report(made->root, labels && fewer ? "unlabeled" : words_.done);
  }

 private:
  Result<Document> send(const Found& f, const Document& patch) {
    if (!session_ || writer_.client_only()) return apply_merge_patch(f.object.root, patch.root);
    return writer_.patch(*session_, *f.resource, f.ns, f.name, PatchType::kMerge,
                         to_json(patch.root));
  }

  Status check(const Value& now) const {
    if (overwrite) return Status();
    std::vector<std::string> taken;
    for (const auto& [key, value] : changes_.set) {
      const Value* old = now.find(key);
      if (!old || old->as_string() == value) continue;
      std::string has = "'" + key + "' already has a value (" + std::string(old->as_string()) + ")";
      if (words_.map == kLabels.map) return failure(has + ", and --overwrite is false");
      taken.push_back(has);
    }
    if (taken.empty()) return Status();
    std::string all;
    for (const std::string& t : taken) all += (all.empty() ? "" : "; ") + t;
    return failure("--overwrite is false but found the following declared annotation(s): " + all);
  }

  const Words& words_;
  Session* session_;
  Writer& writer_;
  Changes changes_;
};

Status check_local(const Words& words, const Writer& writer, const Query& q) {
  if (writer.dry() && !writer.client_only()) {
    return failure("cannot specify --local and --dry-run=server - did you mean --dry-run=client?");
  }
  if (q.args.empty()) return Status();
  const std::string file = words.map == kLabels.map ? "pod" : "rsrc";
  return failure("can only use local files by -f " + file + ".yaml or --filename=" + file +
                 ".json when --local=true is set");
}

Status mark(Invocation& in, const Words& words) {
  Query q;
  bool overwrite = false, list = false, local = false;
  std::string resource_version;
  Writer writer(std::string("kubectl-") + words.what);
  if (words.map == kAnnotations.map) writer.set_field_manager("kubectl-annotate");
  q.files.add_to(in.flags, std::string("identifying the resource to update the ") + words.map);
  in.flags.add("selector", &q.label_selector, "Selector (label query) to filter on", 'l');
  in.flags.add("field-selector", &q.field_selector, "Selector (field query) to filter on");
  in.flags.add("all", &q.all, "Select all resources, in the namespace of the specified types");
  in.flags.add("all-namespaces", &q.all_namespaces,
               "If true, check the specified action in all namespaces.", 'A');
  in.flags.add("overwrite", &overwrite, "If true, allow values to be overwritten");
  in.flags.add("list", &list,
               std::string("If true, display the ") + words.map + " for a given resource.");
  in.flags.add(
      "local", &local,
      std::string("If true, ") + words.what + " will NOT contact api-server but run locally.");
  in.flags.add("resource-version", &resource_version,
               "If non-empty, the update will only succeed if this is the current "
               "resource-version for the object.");
  writer.add_to(in.flags);
  TRY(in.parse());
  TRY_ASSIGN(changes, parse_changes(words, &in.args));
  if (in.args.empty() && q.files.files.empty()) {
    return failure(
        "one or more resources must be specified as <resource> <name> or "
        "<resource>/<name>");
  }
  if (changes.set.empty() && changes.removed.empty() && !list) {
    return failure("at least one " + std::string(words.what) + " update is required");
  }
  TRY(writer.prepare());
  q.args = in.args;
  if (local) TRY(check_local(words, writer, q));
  std::vector<Status> errors;
  Session* session = nullptr;
  if (!local) {
    TRY_ASSIGN(opened, in.session());
    session = opened;
  }
  TRY_ASSIGN(found, local ? local_objects(q) : find_objects(*session, q, &errors));
  Marker marker(words, session, writer, changes);
  marker.overwrite = overwrite;
  marker.resource_version = resource_version;
  for (const Found& f : found) {
    if (list) {
      if (found.size() > 1)
        print("Listing " + std::string(words.map) + " for " + f.display() + ":\n");
      std::vector<std::string> lines;
      for (const Member& m : f.object.root["metadata"][words.map].members()) {
        std::string indent = found.size() > 1 ? " " : "";
        lines.push_back(indent + std::string(m.key()) + "=" + std::string(m.value.as_string()));
      }
      std::sort(lines.begin(), lines.end());
      for (const std::string& line : lines) print(line + "\n");
      continue;
    }
    Status s = marker.change(f);
    if (!s.ok()) errors.push_back(s);
  }
  return combine(std::move(errors));
}

}  // namespace

Status label(Invocation& in) { return mark(in, kLabels); }
Status annotate(Invocation& in) { return mark(in, kAnnotations); }

}  // namespace keles::kubectl
