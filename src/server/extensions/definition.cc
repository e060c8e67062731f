#include "server/extensions/definition.h"

#include <algorithm>

#include "machinery/codec_json.h"
#include "machinery/schema_check.h"
#include "server/objects/meta.h"

namespace keles::server {
namespace {

using registry::edit_map;
using registry::metadata;
using registry::set_condition;
using registry::set_text;

constexpr std::string_view kApproval = "api-approved.kubernetes.io";

std::vector<std::string> texts(const Value& list) {
  std::vector<std::string> out;
  for (const Value& v : list.items()) out.emplace_back(v.as_string());
  return out;
}

std::string text(const Value& v) { return std::string(v.as_string()); }

DefinitionNames read_names(const Value& v) {
  return {text(v["plural"]),   text(v["singular"]),    text(v["kind"]),
          text(v["listKind"]), texts(v["shortNames"]), texts(v["categories"])};
}

void write_names(Document& d, const DefinitionNames& names) {
  Value out = Value::map();
  auto put = [&](std::string_view key, const std::string& value) {
    if (!value.empty()) set_text(d, out, key, value);
  };
  auto list = [&](std::string_view key, const std::vector<std::string>& values) {
    if (values.empty()) return;
    Value v = Value::list();
    for (const std::string& s : values) v.append(d.arena, Value::string(d.arena.copy(s)));
    out.set(d.arena, key, v);
  };
  put("plural", names.plural);
  put("singular", names.singular);
  list("shortNames", names.short_names);
  put("kind", names.kind);
  put("listKind", names.list_kind);
  list("categories", names.categories);
  edit_map(d, d.root, "status").set(d.arena, "acceptedNames", out);
}

const Value& condition(const Value& root, std::string_view type) {
  for (const Value& c : root["status"]["conditions"].items()) {
    if (c["type"].as_string() == type) return c;
  }
  return Value::null();
}

bool is_true(const Value& root, std::string_view type) {
  return condition(root, type)["status"].as_string() == "True";
}

struct Finding {
  std::string_view status, reason;
  std::string message;
};

bool says(const Value& c, const Finding& f) {
  return c["status"].as_string() == f.status && c["reason"].as_string() == f.reason &&
         c["message"].as_string() == f.message;
}

// Gives each name that is free; tells the last that is not.
class Naming {
 public:
  Naming(const Definition& d, const NamesInUse& used) : d_(d), used_(used), out_(d.accepted) {}

  Finding run() {
    one(&DefinitionNames::plural, used_.resources, "PluralConflict");
    one(&DefinitionNames::singular, used_.resources, "SingularConflict");
    short_names();
    one(&DefinitionNames::kind, used_.kinds, "KindConflict");
    one(&DefinitionNames::list_kind, used_.kinds, "ListKindConflict");
    out_.categories = d_.wanted.categories;
    if (!found_.status.empty()) return found_;
    return {"True", "NoConflicts", "no conflicts found"};
  }
  const DefinitionNames& accepted() const { return out_; }

 private:
  using Used = std::set<std::string, std::less<>>;
  static std::string in_use(const std::string& name) { return '"' + name + "\" is already in use"; }

  void one(std::string DefinitionNames::*name, const Used& used, std::string_view reason) {
    const std::string& wanted = d_.wanted.*name;
    if (wanted != d_.accepted.*name && used.contains(wanted)) {
      found_ = {"False", reason, in_use(wanted)};
    } else {
      out_.*name = wanted;
    }
  }

  void short_names() {
    const auto& have = d_.accepted.short_names;
    if (d_.wanted.short_names == have) return;
    std::vector<std::string> taken;
    for (const std::string& s : d_.wanted.short_names) {
      const bool own = std::find(have.begin(), have.end(), s) != have.end();
      if (!own && used_.resources.contains(s)) taken.push_back(in_use(s));
    }
    if (taken.empty()) {
      out_.short_names = d_.wanted.short_names;
      return;
    }
    std::string all;
    for (const std::string& t : taken) all += (all.empty() ? "" : ", ") + t;
    found_ = {"False", "ShortNamesConflict", taken.size() == 1 ? all : '[' + all + ']'};
  }

  const Definition& d_;
  const NamesInUse& used_;
  DefinitionNames out_;
  Finding found_;
};

// KEP-1111: who may define kinds in the community's own groups.
std::optional<Finding> approval(const Definition& d, const Value& root) {
  auto below = [&](std::string_view domain) {
    return d.group == domain || (d.group.size() > domain.size() && d.group.ends_with(domain) &&
                                 d.group[d.group.size() - domain.size() - 1] == '.');
  };
  if (!below("k8s.io") && !below("kubernetes.io")) return std::nullopt;
  const std::string said = text(metadata(root)["annotations"][kApproval]);
  const std::string start =
      "protected groups must have approval annotation \"" + std::string(kApproval) + "\"";
  const std::string see = ", see https://github.com/kubernetes/enhancements/pull/1111";
  if (said.empty()) return Finding{"False", "MissingAnnotation", start + see};
  if (said.starts_with("unapproved")) {
    return Finding{"False", "UnapprovedAnnotation", "not approved: \"" + said + '"'};
  }
  const size_t scheme = said.find("://");
  if (scheme != said.npos && scheme > 0 && said.size() > scheme + 3 && said[scheme + 3] != '/') {
    return Finding{"True", "ApprovedAnnotation", "approved in " + said};
  }
  return Finding{"False", "InvalidAnnotation",
                 start + " with either a URL or a reason starting with \"unapproved\"" + see};
}

// Definitions that an older server took: what is created now is held to structural schemas.
std::optional<Finding> non_structural(const Value& spec) {
  std::vector<std::string> all;
  if (spec["preserveUnknownFields"].as_bool()) {
    all.push_back("spec.preserveUnknownFields: Invalid value: true: must be false");
  }
  size_t i = 0;
  for (const Value& version : spec["versions"].items()) {
    const std::string path = "spec.versions[" + std::to_string(i++) + "].schema.openAPIV3Schema";
    const Value& schema = version["schema"]["openAPIV3Schema"];
    if (!schema.is_map()) continue;
    if (const std::string why = structure_failure(schema); !why.empty()) {
      return Finding{
          "Unknown", "StructuralError",
          "failed to check validation schema for version " + text(version["name"]) + ": " + why};
    }
    FieldErrors errors;
    check_structure(errors, schema, path);
    for (const StatusCause& e : errors) {
      std::string one = e.field + ": " + e.message;
      if (std::find(all.begin(), all.end(), one) == all.end()) all.push_back(std::move(one));
    }
  }
  if (all.empty()) return std::nullopt;
  std::string message;
  for (const std::string& one : all) message += (message.empty() ? "" : ", ") + one;
  return Finding{"True", "Violations", all.size() > 1 ? '[' + message + ']' : message};
}

void set(Document& d, std::string_view type, const Finding& f, WallTime now) {
  set_condition(d, type, f.status, f.reason, f.message, now);
}

void remove_condition(Document& d, std::string_view type) {
  Value* list = edit_map(d, d.root, "status").find("conditions");
  for (size_t i = 0; list && i < list->items().size(); ++i) {
    if (list->at(i)["type"].as_string() != type) continue;
    list->erase_at(i);
    return;
  }
}

}  // namespace

Definition read_definition(ObjectPtr object) {
  Definition d;
  DocumentPtr tree = object->tree();
  const Value& root = tree->root;
  d.name = object->name();
  d.group = text(root["spec"]["group"]);
  d.wanted = read_names(root["spec"]["names"]);
  d.accepted = read_names(root["status"]["acceptedNames"]);
  for (const Value& v : root["spec"]["versions"].items()) {
    if (v["served"].as_bool()) d.served.push_back(text(v["name"]));
  }
  d.names_accepted = is_true(root, "NamesAccepted");
  d.established = is_true(root, "Established");
  d.terminating = is_true(root, "Terminating");
  d.deletion_begun = d.terminating && condition(root, "Terminating")["reason"].as_string() !=
                                          "InstanceDeletionPending";
  d.deleting = registry::deleting(root);
  const auto held = registry::finalizers(root);
  d.to_clean = d.deleting && std::find(held.begin(), held.end(), kCleanupFinalizer) != held.end();
  d.made_of = std::string(object->uid()) + '/' +
              std::to_string(metadata(root)["generation"].as_int()) + '/' +
              to_json(root["status"]["acceptedNames"]);
  d.object = std::move(object);
  return d;
}

void add_names(NamesInUse& used, const DefinitionNames& accepted) {
  used.resources.insert(accepted.plural);
  used.resources.insert(accepted.singular);
  used.resources.insert(accepted.short_names.begin(), accepted.short_names.end());
  used.kinds.insert(accepted.kind);
  used.kinds.insert(accepted.list_kind);
}

std::optional<Document> plan_status(const Definition& d, const NamesInUse& used, WallTime now,
                                    DefinitionNames* accepted) {
  DocumentPtr tree = d.object->tree();
  const Value& root = tree->root;
  std::optional<Document> out;  // a copy, once there is something to change
  auto edit = [&]() -> Document& {
    if (!out) out = tree->clone();
    return *out;
  };
  *accepted = d.accepted;
  if (d.wanted != d.accepted) {
    Naming naming(d, used);
    const Finding names = naming.run();
    if (naming.accepted() != d.accepted || !says(condition(root, "NamesAccepted"), names)) {
      *accepted = naming.accepted();
      write_names(edit(), *accepted);
      set(edit(), "NamesAccepted", names, now);
      if (!d.established && names.status == "True") {
        set(edit(), "Established", {"False", "Installing", "the initial names have been accepted"},
            now);
      } else if (condition(root, "Established").is_null()) {
        set(edit(), "Established", {"False", "NotAccepted", "not all names are accepted"}, now);
      }
    }
  }
  constexpr std::string_view kPolicy = "KubernetesAPIApprovalPolicyConformant";
  if (auto found = approval(d, root); found && !says(condition(root, kPolicy), *found)) {
    set(edit(), kPolicy, *found, now);
  }
  return out;
}

std::optional<Document> plan_structure(const Definition& d, WallTime now) {
  DocumentPtr tree = d.object->tree();
  constexpr std::string_view kStructure = "NonStructuralSchema";
  const Value& before = condition(tree->root, kStructure);
  const std::optional<Finding> found = non_structural(tree->root["spec"]);
  if (found ? says(before, *found) : before.is_null()) return std::nullopt;
  Document out = tree->clone();
  if (found) {
    set(out, kStructure, *found, now);
  } else {
    remove_condition(out, kStructure);
  }
  return out;
}

std::optional<Document> plan_established(const Definition& d, WallTime now) {
  if (!d.names_accepted || d.established) return std::nullopt;
  Document out = d.object->tree()->clone();
  set(out, "Established", {"True", "InitialNamesAccepted", "the initial names have been accepted"},
      now);
  return out;
}

Document with_terminating(const ObjectPtr& definition, bool status, std::string_view reason,
                          std::string_view message, bool last, WallTime now) {
  Document out = definition->tree()->clone();
  set(out, "Terminating", {status ? "True" : "False", reason, std::string(message)}, now);
  if (last) {
    auto held = registry::finalizers(out.root);
    std::erase(held, kCleanupFinalizer);
    registry::set_finalizers(out, held);
  }
  return out;
}

}  // namespace keles::server
