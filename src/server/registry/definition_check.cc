#include "server/registry/definition_check.h"

#include <algorithm>
#include <array>
#include <map>
#include <optional>
#include <set>

#include "base/ascii.h"
#include "base/encoding.h"
#include "machinery/codec_json.h"
#include "machinery/equality.h"
#include "machinery/text_formats.h"
#include "server/registry/webhook_check.h"

namespace keles::registry {
namespace {

constexpr size_t kMaxSelectableFields = 8;
constexpr std::string_view kApproved = "api-approved.kubernetes.io";

std::string joined(const Messages& messages) {
  std::string out;
  for (const std::string& m : messages) out += (out.empty() ? "" : ",") + m;
  return out;
}

bool is_established(const Value& crd) {
  for (const Value& c : crd["status"]["conditions"].items()) {
    if (c["type"].as_string() == "Established") return c["status"].as_string() == "True";
  }
  return false;
}

const Value& schema_of(const Value& version) { return version["schema"]["openAPIV3Schema"]; }

// Whether some version's schema is so.
bool any_schema_is(const Value& spec, bool (*is)(const Value&)) {
  const auto versions = spec["versions"].items();
  return std::any_of(versions.begin(), versions.end(),
                     [&](const Value& v) { return schema_of(v).is_map() && is(schema_of(v)); });
}
bool is_not_structural(const Value& schema) { return !is_structural(schema); }

// Whether every version has the same there: upstream then speaks of the whole spec.
bool is_shared(const Value& versions, std::string_view member) {
  const auto all = versions.items();
  return std::all_of(all.begin(), all.end(),
                     [&](const Value& v) { return v[member].equals(all.front()[member]); });
}

struct Options {
  SchemaCheckOptions schema;
  bool review_version = true, immutable_names = false, openapi_schema = true;
  bool invalid_ca_bundle = true;
  std::set<std::string_view> unchanged;        // versions with the schema that they had
  std::set<std::string_view> many_selectable;  // versions that had too many, and these ("": all)
};

bool recognized(const Value& versions) {
  const auto all = versions.items();
  return std::any_of(all.begin(), all.end(), [](const Value& v) {
    return v.as_string() == "v1" || v.as_string() == "v1beta1";
  });
}

const Value& version_named(const Value& spec, std::string_view name) {
  for (const Value& v : spec["versions"].items()) {
    if (v["name"].as_string() == name) return v;
  }
  return Value::null();
}

Options options_of_update(const Value& now, const Value& before) {
  const Value& old = before["spec"];
  const Value& old_review = old["conversion"]["webhook"]["conversionReviewVersions"];
  Options o;
  o.review_version = old_review.empty() || recognized(old_review);
  o.immutable_names = is_established(before);
  const auto versions = old["versions"].items();
  o.openapi_schema = std::all_of(versions.begin(), versions.end(),
                                 [](const Value& v) { return schema_of(v).is_map(); });
  o.schema.valid_types = !any_schema_is(old, has_invalid_types);
  o.schema.structural = !any_schema_is(old, is_not_structural);
  o.schema.pruned_defaults = !any_schema_is(old, has_unpruned_defaults);
  o.schema.atomic_sets = !any_schema_is(old, has_non_atomic_sets);
  o.schema.map_keys = !any_schema_is(old, has_invalid_map_keys);
  const std::string_view bundle =
      old["conversion"]["webhook"]["clientConfig"]["caBundle"].as_string();
  o.invalid_ca_bundle =
      !is_established(before) || (!bundle.empty() && !check_ca_bundle(bundle).empty());
  for (const Value& v : now["spec"]["versions"].items()) {
    const std::string_view name = v["name"].as_string();
    const Value& was = version_named(old, name);
    if (was.is_null()) continue;
    if (schema_of(v).equals(schema_of(was))) o.unchanged.insert(name);
    if (was["selectableFields"].size() > kMaxSelectableFields &&
        was["selectableFields"].equals(v["selectableFields"])) {
      o.many_selectable.insert(name);
    }
  }
  return o;
}

// --- names --------------------------------------------------------------------------------------

void check_names(FieldErrors& e, const Value& names, const FieldPath& p) {
  auto label = [&](const FieldPath& at, std::string_view s, bool mixed_case) {
    if (s.empty()) return;
    std::string why = joined(check_dns1035_label(mixed_case ? ascii_lower(s) : std::string(s)));
    if (why.empty()) return;
    if (mixed_case) why = "may have mixed case, but should otherwise match: " + why;
    field::invalid(e, at, s, std::move(why));
  };
  auto labels = [&](const char* list) {
    size_t i = 0;
    for (const Value& v : names[list].items()) {
      const FieldPath at = p[list][i++];
      std::string why = joined(check_dns1035_label(v.as_string()));
      if (!why.empty()) field::invalid(e, at, v.as_string(), std::move(why));
    }
  };
  label(p["plural"], names["plural"].as_string(), false);
  label(p["singular"], names["singular"].as_string(), false);
  label(p["kind"], names["kind"].as_string(), true);
  label(p["listKind"], names["listKind"].as_string(), true);
  labels("shortNames");
  const std::string_view kind = names["kind"].as_string();
  if (!kind.empty() && kind == names["listKind"].as_string()) {
    field::invalid(e, p["listKind"], kind, "kind and listKind may not be the same");
  }
  labels("categories");
}

// --- what a version has -------------------------------------------------------------------------

void check_simple_path(FieldErrors& e, const FieldPath& p, std::string_view path) {
  if (path[0] != '.') {
    field::invalid(e, p, path, "must be a simple json path starting with .");
  }
}

void check_scale(FieldErrors& e, const Value& subresources, const FieldPath& p) {
  if (!subresources["scale"].is_map()) return;
  const Value& scale = subresources["scale"];
  auto path = [&](const char* name, std::string_view root) {
    const std::string_view text = scale[name].as_string();
    const std::string at = std::string("scale.") + name;
    if (text.empty()) {
      field::required(e, p[std::string_view(at)]);
    } else if (text[0] != '.') {
      check_simple_path(e, p[std::string_view(at)], text);
    } else if (!text.starts_with(root)) {
      std::string under(root.substr(0, root.size() - 1));
      field::invalid(e, p[std::string_view(at)], text, "should be a json path under " + under);
    }
  };
  path("specReplicasPath", ".spec.");
  path("statusReplicasPath", ".status.");
  const std::string_view selector = scale["labelSelectorPath"].as_string();
  if (selector.empty()) return;
  const FieldPath at = p["scale.labelSelectorPath"];
  if (selector[0] != '.') {
    check_simple_path(e, at, selector);
  } else if (!selector.starts_with(".spec.") && !selector.starts_with(".status.")) {
    field::invalid(e, at, selector, "should be a json path under either .spec or .status");
  }
}

void check_columns(FieldErrors& e, const Value& columns, const FieldPath& p) {
  constexpr std::array<std::string_view, 5> kTypes = {"boolean", "date", "integer", "number",
                                                      "string"};
  constexpr std::array<std::string_view, 8> kFormats = {"byte",  "date",  "date-time", "double",
                                                        "float", "int32", "int64",     "password"};
  auto one_of = [](const auto& all) {
    std::string out;
    for (std::string_view s : all) out.append(out.empty() ? "" : ",").append(s);
    return "must be one of " + out;
  };
  size_t i = 0;
  for (const Value& c : columns.items()) {
    const FieldPath at = p[i++];
    if (c["name"].as_string().empty()) field::required(e, at["name"]);
    const std::string_view type = c["type"].as_string(), format = c["format"].as_string(),
                           path = c["jsonPath"].as_string();
    if (type.empty()) {
      field::required(e, at["type"], one_of(kTypes));
    } else if (std::find(kTypes.begin(), kTypes.end(), type) == kTypes.end()) {
      field::invalid(e, at["type"], type, one_of(kTypes));
    }
    if (!format.empty() && std::find(kFormats.begin(), kFormats.end(), format) == kFormats.end()) {
      field::invalid(e, at["format"], format, one_of(kFormats));
    }
    if (path.empty()) {
      field::required(e, at["JSONPath"]);
    } else {
      check_simple_path(e, at["JSONPath"], path);
    }
  }
}

void check_selectable(FieldErrors& e, const Value& fields, const Value& schema, const FieldPath& p,
                      bool may_be_many) {
  std::set<std::string> seen;
  size_t i = 0;
  for (const Value& f : fields.items()) {
    const FieldPath at = p[i++]["jsonPath"];
    const std::string_view path = f["jsonPath"].as_string();
    if (path.empty()) {
      field::required(e, at);
      continue;
    }
    const SchemaField found = find_schema_field(schema, path, false);
    if (!found.error.empty()) {
      field::invalid(e, at, path, "is an invalid path: " + found.error);
      continue;
    }
    if (found.path == "metadata" || found.path.starts_with("metadata.")) {
      field::invalid(e, at, path, "must not point to fields in metadata");
    }
    const std::string_view type = (*found.found)["type"].as_string();
    if (type != "string" && type != "boolean" && type != "integer") {
      field::invalid(e, at, path,
                     "must point to a field of type string, boolean or integer. Enum string fields "
                     "and strings with formats are allowed.");
    }
    if (!seen.insert(found.path).second) field::duplicate(e, at, path);
  }
  if (seen.size() > kMaxSelectableFields && !may_be_many) {
    field::too_many(e, p, seen.size(), kMaxSelectableFields);
  }
}

// U+0000 to U+001F and what Unicode says of the rest, as far as one byte tells; texts are UTF-8.
void check_deprecation(FieldErrors& e, const Value& version, const FieldPath& p) {
  const Value& warning = version["deprecationWarning"];
  if (!warning.is_string()) return;
  const std::string_view s = warning.as_string();
  if (!version["deprecated"].as_bool()) {
    field::invalid(e, p, s, "can only be set for deprecated versions");
    return;
  }
  if (s.size() > 256) field::invalid(e, p, s, "must be <= 256 characters long");
  if (s.empty()) field::invalid(e, p, s, "must not be an empty string");
  const auto control = std::find_if(
      s.begin(), s.end(), [](char c) { return static_cast<unsigned char>(c) < ' ' || c == 0x7f; });
  if (control != s.end()) {
    field::invalid(e, p, s,
                   "must only contain printable UTF-8 characters; non-printable character found at "
                   "index " +
                       std::to_string(control - s.begin()));
  }
}

// --- conversion ---------------------------------------------------------------------------------

void check_review_versions(FieldErrors& e, const Value& versions, bool wants_known,
                           const FieldPath& p) {
  if (versions.empty()) {
    field::required(e, p);
    return;
  }
  std::set<std::string_view> seen;
  size_t i = 0;
  for (const Value& v : versions.items()) {
    const FieldPath at = p[i++];
    if (!seen.insert(v.as_string()).second) {
      field::invalid(e, at, v.as_string(), "duplicate version");
      continue;
    }
    field::invalid_each(e, at, v.as_string(), check_dns1035_label(v.as_string()));
  }
  if (wants_known && !recognized(versions)) {
    field::invalid(e, p, versions, "must include at least one of v1, v1beta1");
  }
}

void check_conversion(FieldErrors& e, const Value& conversion, const Options& o,
                      const FieldPath& p) {
  if (!conversion.is_map()) return;
  const std::string_view strategy = conversion["strategy"].as_string();
  if (strategy.empty()) {
    field::required(e, p["strategy"]);
  } else if (strategy != "None" && strategy != "Webhook") {
    field::not_supported(e, p["strategy"], strategy, {"None", "Webhook"});
  }
  const Value& config = conversion["webhook"]["clientConfig"];
  const Value& reviews = conversion["webhook"]["conversionReviewVersions"];
  const FieldPath at = p["webhookClientConfig"];
  if (strategy != "Webhook") {
    constexpr const char* kWhy = "should not be set when strategy is not set to Webhook";
    if (config.is_map()) field::forbidden(e, at, kWhy);
    if (!reviews.empty()) field::forbidden(e, p["conversionReviewVersions"], kWhy);
    return;
  }
  if (!config.is_map()) {
    field::required(e, at, "required when strategy is set to Webhook");
  } else {
    check_webhook_client(e, config, at);
    const std::string_view bundle = config["caBundle"].as_string();
    if (!bundle.empty() && !o.invalid_ca_bundle) {
      std::string why = check_ca_bundle(bundle);
      if (!why.empty()) field::invalid(e, at["caBundle"], bundle, std::move(why));
    }
  }
  check_review_versions(e, reviews, o.review_version, p["conversionReviewVersions"]);
}

// --- spec ---------------------------------------------------------------------------------------

// Versions as upstream shows them in an error: by the names of Go, without what is shared.
std::string versions_shown(const Value& versions) {
  if (versions.empty()) return "null";
  std::string out;
  for (const Value& v : versions.items()) {
    auto flag = [&](std::string_view name) { return v[name].as_bool() ? "true" : "false"; };
    auto part = [&](std::string_view name) {
      return is_shared(versions, name) ? std::string("null") : to_json(v[name]);
    };
    std::string name, warning = to_json(v["deprecationWarning"]);
    write_json_string(name, v["name"].as_string());
    out += (out.empty() ? "" : ",");
    out += "{\"Name\":" + name + ",\"Served\":" + flag("served") +
           ",\"Storage\":" + flag("storage") + ",\"Deprecated\":" + flag("deprecated") +
           ",\"DeprecationWarning\":" + warning + ",\"Schema\":" + part("schema") +
           ",\"Subresources\":" + part("subresources") +
           ",\"AdditionalPrinterColumns\":" + part("additionalPrinterColumns") +
           ",\"SelectableFields\":" + part("selectableFields") + "}";
  }
  return "[" + out + "]";
}

class SpecCheck {
 public:
  SpecCheck(FieldErrors& errors, const Value& spec, Options options,
            const DefinitionExpressions& expressions)
      : e_(errors), spec_(spec), o_(std::move(options)), expressions_(expressions) {
    o_.schema.check_default = expressions.check_default;
    keeps_unknown_ = spec["preserveUnknownFields"].as_bool();
    for (size_t i = 0; i < kShared.size(); ++i) {
      shared_[i] = is_shared(spec["versions"], kShared[i]);
    }
  }

  void run() {
    group_and_scope();
    schemas_there();
    const Value& versions = spec_["versions"];
    size_t i = 0;
    for (const Value& v : versions.items()) version(v, kSpec["versions"][i++]);
    whole_versions();
    const Value& names = spec_["names"];
    for (const char* name : {"plural", "singular", "kind", "listKind"}) {
      if (names[name].as_string().empty()) field::required(e_, kSpec["names"][name]);
    }
    check_names(e_, names, kSpec["names"]);
    shared_parts();
    const std::string_view strategy = spec_["conversion"]["strategy"].as_string();
    if (spec_["conversion"].is_map() && strategy != "None" && keeps_unknown_) {
      field::invalid(e_, kSpec["conversion"]["strategy"], strategy,
                     "must be None if spec.preserveUnknownFields is true");
    }
    check_conversion(e_, spec_["conversion"], o_, kSpec["conversion"]);
  }

 private:
  enum Part { kSchema, kSubresources, kColumns, kSelectable };
  static constexpr std::array<std::string_view, 4> kShared = {
      "schema", "subresources", "additionalPrinterColumns", "selectableFields"};
  const FieldPath kSpec = FieldPath("spec");

  void group_and_scope() {
    const std::string_view group = spec_["group"].as_string(), scope = spec_["scope"].as_string();
    if (group.empty()) {
      field::required(e_, kSpec["group"]);
    } else if (std::string why = joined(check_dns1123_subdomain(group)); !why.empty()) {
      field::invalid(e_, kSpec["group"], group, std::move(why));
    } else if (group.find('.') == group.npos) {
      field::invalid(e_, kSpec["group"], group, "should be a domain with at least one dot");
    }
    if (scope.empty()) {
      field::required(e_, kSpec["scope"]);
    } else if (scope != "Cluster" && scope != "Namespaced") {
      field::not_supported(e_, kSpec["scope"], scope, {"Cluster", "Namespaced"});
    }
  }

  void schemas_there() {
    if (!keeps_unknown_) o_.schema.structural = true;
    const bool common = shared_[kSchema] && schema_of(spec_["versions"].at(0)).is_map();
    if (!common && (o_.openapi_schema || !keeps_unknown_)) {
      size_t i = 0;
      for (const Value& v : spec_["versions"].items()) {
        const FieldPath at = kSpec["versions"][i++]["schema"]["openAPIV3Schema"];
        if (schema_of(v).is_map()) continue;
        if (o_.openapi_schema) {
          field::required(e_, at);
        } else if (v["served"].as_bool()) {
          field::required(e_, at, "because otherwise all fields are pruned");
        }
      }
    }
    if (any_schema_is(spec_, has_defaults)) {
      o_.schema.structural = true;
      if (keeps_unknown_) {
        field::invalid(e_, kSpec["preserveUnknownFields"], Value(true),
                       "must be false in order to use defaults in the schema");
      }
    }
    if (any_schema_is(spec_, has_extensions)) o_.schema.structural = true;
  }

  void version(const Value& v, const FieldPath& p) {
    const std::string_view name = v["name"].as_string();
    if (std::string why = joined(check_dns1035_label(name)); !why.empty()) {
      field::invalid(e_, p["name"], name, std::move(why));
    }
    check_deprecation(e_, v, p["deprecationWarning"]);
    if (!shared_[kSchema]) {
      schema(v["schema"], p["schema"].text(), has_status(v), o_.unchanged.contains(name));
    }
    if (!shared_[kSubresources]) check_scale(e_, v["subresources"], p["subresources"]);
    if (!shared_[kColumns]) {
      check_columns(e_, v["additionalPrinterColumns"], p["additionalPrinterColumns"]);
    }
    const Value& fields = v["selectableFields"];
    if (shared_[kSelectable] || fields.empty()) return;
    // Upstream looks for the schema in the version, where it is not when all have the same.
    if (shared_[kSchema] || !schema_of(v).is_map()) {
      field::invalid(e_, p["selectableFields"], "",
                     "may only be set when `version.schema.openAPIV3Schema` is not included");
    } else {
      check_selectable(e_, fields, schema_of(v), p["selectableFields"],
                       o_.many_selectable.contains(name));
    }
  }

  static bool has_status(const Value& v) { return v["subresources"]["status"].is_map(); }

  void whole_versions() {
    const Value& versions = spec_["versions"];
    size_t stored = 0;
    std::set<std::string_view> names;
    for (const Value& v : versions.items()) {
      stored += v["storage"].as_bool();
      names.insert(v["name"].as_string());
    }
    auto wrong = [&](std::string_view why) {
      e_.push_back({"FieldValueInvalid",
                    "Invalid value: " + versions_shown(versions) + ": " + std::string(why),
                    "spec.versions"});
    };
    if (names.size() != versions.size()) wrong("must contain unique version names");
    if (stored != 1) wrong("must have exactly one version marked as storage version");
    if (versions.empty()) return;
    const std::string_view first = versions.at(0)["name"].as_string();
    if (first.empty()) return;
    if (std::string why = joined(check_dns1035_label(first)); !why.empty()) {
      field::invalid(e_, kSpec["version"], first, std::move(why));
    }
  }

  void shared_parts() {
    const Value& versions = spec_["versions"];
    if (versions.empty()) return;
    const Value& first = versions.at(0);
    const std::string_view name = first["name"].as_string();
    if (shared_[kSchema]) {
      const auto all = versions.items();
      schema(first["schema"], "spec.validation", std::any_of(all.begin(), all.end(), has_status),
             o_.unchanged.contains(name));
    }
    if (shared_[kSubresources]) check_scale(e_, first["subresources"], kSpec["subresources"]);
    if (shared_[kColumns]) {
      check_columns(e_, first["additionalPrinterColumns"], kSpec["additionalPrinterColumns"]);
    }
    const Value& fields = first["selectableFields"];
    if (!shared_[kSelectable] || fields.empty()) return;
    if (!shared_[kSchema] || !first["schema"].is_map()) {
      field::invalid(e_, kSpec["selectableFields"], "",
                     "may only be set when validations.schema is included");
    } else {
      check_selectable(e_, fields, schema_of(first), kSpec["selectableFields"],
                       o_.many_selectable.contains(name));
    }
  }

  void schema(const Value& holder, const std::string& path, bool status, bool unchanged) {
    const Value& s = holder["openAPIV3Schema"];
    if (!s.is_map()) return;
    o_.schema.status_enabled = status;
    const size_t before = e_.size();
    check_custom_schema(e_, s, path, o_.schema);
    if (e_.size() == before && expressions_.check_schema) {
      expressions_.check_schema(e_, s, path + ".openAPIV3Schema", unchanged);
    }
  }

  FieldErrors& e_;
  const Value& spec_;
  Options o_;
  const DefinitionExpressions& expressions_;
  bool keeps_unknown_ = false;
  std::array<bool, 4> shared_{};
};

// --- status, approval ---------------------------------------------------------------------------

void check_stored_versions(FieldErrors& e, const Value& crd) {
  const FieldPath p = FieldPath("status")["storedVersions"];
  const Value& stored = crd["status"]["storedVersions"];
  if (stored.empty()) {
    field::invalid(e, p, stored.is_list() ? stored : Value::null(),
                   "must have at least one stored version");
    return;
  }
  std::map<std::string_view, size_t> left;
  for (size_t i = 0; i < stored.size(); ++i) left[stored.at(i).as_string()] = i;
  for (const Value& v : crd["spec"]["versions"].items()) {
    const std::string_view name = v["name"].as_string();
    if (left.erase(name) == 0 && v["storage"].as_bool()) {
      field::invalid(e, p, stored, "must have the storage version " + std::string(name));
    }
  }
  for (const auto& [name, i] : left) {
    const std::string n(name);
    field::invalid(e, p[i], name,
                   "missing from spec.versions; " + n +
                       " was previously a storage version, and must remain in spec.versions until "
                       "a storage migration ensures no data remains persisted in " +
                       n + " and removes " + n + " from status.storedVersions");
  }
}

enum class Approval { kMissing, kBypassed, kApproved, kInvalid };

Approval approval_of(const Value& crd) {
  const std::string_view s = crd["metadata"]["annotations"][kApproved].as_string();
  if (s.empty()) return Approval::kMissing;
  if (s.starts_with("unapproved")) return Approval::kBypassed;
  const size_t scheme = s.find("://");
  const bool host = scheme != s.npos && scheme > 0 && scheme + 3 < s.size() && s[scheme + 3] != '/';
  return host && is_request_uri(s) ? Approval::kApproved : Approval::kInvalid;
}

// Groups of the community need its consent.
void check_approval(FieldErrors& e, const Value& crd, const Value* before) {
  const std::string_view group = crd["spec"]["group"].as_string();
  const bool community = group == "k8s.io" || group.ends_with(".k8s.io") ||
                         group == "kubernetes.io" || group.ends_with(".kubernetes.io");
  const Approval now = approval_of(crd);
  if (!community || (before != nullptr && approval_of(*before) == now)) return;
  const FieldPath p = FieldPath("metadata")["annotations"].key(kApproved);
  const std::string start = "protected groups must have approval annotation " + quoted(kApproved);
  const std::string end = ", see https://github.com/kubernetes/enhancements/pull/1111";
  if (now == Approval::kMissing) field::required(e, p, start + end);
  if (now == Approval::kInvalid) {
    field::invalid(e, p, crd["metadata"]["annotations"][kApproved].as_string(),
                   start + " with either a URL or a reason starting with \"unapproved\"" + end);
  }
}

}  // namespace

void check_definition(FieldErrors& errors, const Value& now, const Value* before,
                      const DefinitionExpressions& expressions) {
  const Value& spec = now["spec"];
  const FieldPath at("spec");
  if (before == nullptr) {
    const std::string wanted = std::string(spec["names"]["plural"].as_string()) + "." +
                               std::string(spec["group"].as_string());
    const std::string_view name = now["metadata"]["name"].as_string();
    if (name != wanted) {
      field::invalid(errors, FieldPath("metadata")["name"], name,
                     "must be spec.names.plural+\".\"+spec.group");
    }
    SpecCheck(errors, spec, Options(), expressions).run();
  } else {
    const Value& old = (*before)["spec"];
    Options o = options_of_update(now, *before);
    const bool fixed = o.immutable_names;
    SpecCheck(errors, spec, std::move(o), expressions).run();
    if (fixed) {
      field::immutable(errors, at["scope"], spec["scope"], old["scope"]);
      field::immutable(errors, at["names"]["kind"], spec["names"]["kind"], old["names"]["kind"]);
    }
    field::immutable(errors, at["group"], spec["group"], old["group"]);
    field::immutable(errors, at["names"]["plural"], spec["names"]["plural"],
                     old["names"]["plural"]);
  }
  check_definition_status(errors, now);
  check_stored_versions(errors, now);
  check_approval(errors, now, before);
  const bool kept = before != nullptr && (*before)["spec"]["preserveUnknownFields"].as_bool();
  if (!kept && spec["preserveUnknownFields"].as_bool()) {
    field::invalid(errors, at["preserveUnknownFields"], Value(true),
                   "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in "
                   "spec.versions[*].schema instead");
  }
}

void check_definition_status(FieldErrors& errors, const Value& now) {
  check_names(errors, now["status"]["acceptedNames"], FieldPath("status")["acceptedNames"]);
}

std::vector<std::string> definition_warnings(const Value& now, const Value* before) {
  auto formats = [](const Value& crd) {
    std::vector<std::string> out;
    const Value& versions = crd["spec"]["versions"];
    const bool shared = is_shared(versions, "schema");
    for (const Value& v : versions.items()) {
      for (std::string& f : unknown_formats(schema_of(v))) out.push_back(std::move(f));
      if (shared) break;
    }
    return out;
  };
  std::set<std::string> known;
  if (before != nullptr) {
    for (std::string& f : formats(*before)) known.insert(std::move(f));
  }
  std::vector<std::string> out;
  for (const std::string& f : formats(now)) {
    if (!known.contains(f)) out.push_back("unrecognized format " + quoted(f));
  }
  return out;
}

}  // namespace keles::registry
