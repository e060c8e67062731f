// Field paths, field errors, and the checks of metadata. See validation.h.
#include <set>

#include "base/ascii.h"
#include "machinery/codec_json.h"
#include "machinery/go_number.h"
#include "machinery/validation.h"

namespace keles {
namespace {

constexpr size_t kAnnotationsLimit = 256 * 1024;

// As Go prints it: a text quoted, another scalar plain, anything else as JSON.
void plain_text(const Value& v, std::string* out) {
  if (v.is_string()) {
    *out += quoted(v.as_string());
  } else if (v.is_double()) {
    *out += go_double(v.as_double());
  } else {
    write_json(*out, v);
  }
}

std::string with_detail(std::string s, const std::string& detail) {
  if (!detail.empty()) s += ": " + detail;
  return s;
}

void add(FieldErrors& e, const FieldPath& p, std::string type, std::string message) {
  e.push_back({std::move(type), std::move(message), p.text()});
}

template <class Range>
void add_not_supported(FieldErrors& e, const FieldPath& p, std::string_view value,
                       const Range& supported) {
  std::string detail;
  for (std::string_view s : supported) {
    detail += (detail.empty() ? "supported values: " : ", ") + quoted(s);
  }
  add(e, p, "FieldValueNotSupported", with_detail("Unsupported value: " + quoted(value), detail));
}

void validate_owner_references(FieldErrors& e, const FieldPath& p, const Value& refs) {
  std::string controller;
  for (const Value& ref : refs.items()) {
    std::string_view api_version = ref["apiVersion"].as_string(), kind = ref["kind"].as_string();
    if (api_version.empty() || api_version.back() == '/') {
      field::invalid(e, p["apiVersion"], api_version, "version must not be empty");
    }
    for (std::string_view name : {"kind", "name", "uid"}) {
      if (ref[name].as_string().empty()) field::invalid(e, p[name], "", "must not be empty");
    }
    if (api_version == "v1" && kind == "Event") {
      field::invalid(e, p, ref, "/v1, Kind=Event is disallowed from being an owner");
    }
    if (!ref["controller"].as_bool()) continue;
    std::string name = std::string(kind) + "/" + std::string(ref["name"].as_string());
    if (!controller.empty()) {
      field::invalid(e, p, refs,
                     "Only one reference can have Controller set to true. Found \"true\" in "
                     "references for " +
                         controller + " and " + name);
    } else {
      controller = name;
    }
  }
}

void validate_finalizers(FieldErrors& e, const FieldPath& p, const Value& finalizers) {
  bool orphan = false, foreground = false;
  for (const Value& f : finalizers.items()) {
    field::invalid_each(e, p, f.as_string(), check_qualified_name(f.as_string()));
    orphan = orphan || f.as_string() == "orphan";
    foreground = foreground || f.as_string() == "foregroundDeletion";
  }
  if (orphan && foreground) {
    field::invalid(e, p, finalizers, "finalizer orphan and foregroundDeletion cannot be both set");
  }
}

void validate_common(FieldErrors& e, const Value& meta, const FieldPath& p) {
  validate_labels(e, p["labels"], meta["labels"]);
  validate_annotations(e, p["annotations"], meta["annotations"]);
  validate_owner_references(e, p["ownerReferences"], meta["ownerReferences"]);
}

}  // namespace

std::string FieldPath::text() const {
  if (size_ == 0) return "<nil>";
  std::string s;
  for (size_t i = 0; i < size_; ++i) {
    const Part& part = parts_[i];
    if (part.kind == kName) {
      if (!s.empty()) s += ".";
      s += part.name;
    } else if (part.kind == kKey) {
      s.append("[").append(part.name).append("]");
    } else {
      s += "[" + std::to_string(part.kind) + "]";
    }
  }
  return s;
}

namespace field {

void required(FieldErrors& e, const FieldPath& p, std::string detail) {
  add(e, p, "FieldValueRequired", with_detail("Required value", detail));
}
void invalid(FieldErrors& e, const FieldPath& p, std::string_view value, std::string detail) {
  add(e, p, "FieldValueInvalid", with_detail("Invalid value: " + quoted(value), detail));
}
void invalid(FieldErrors& e, const FieldPath& p, int64_t value, std::string detail) {
  add(e, p, "FieldValueInvalid", with_detail("Invalid value: " + std::to_string(value), detail));
}
void invalid(FieldErrors& e, const FieldPath& p, const Value& value, std::string detail) {
  std::string s = "Invalid value: ";
  if (value.is_null()) {
    s += "null";
  } else {
    plain_text(value, &s);
  }
  add(e, p, "FieldValueInvalid", with_detail(std::move(s), detail));
}
void invalid_each(FieldErrors& e, const FieldPath& p, std::string_view value,
                  std::vector<std::string> details) {
  for (std::string& d : details) invalid(e, p, value, std::move(d));
}
void not_supported(FieldErrors& e, const FieldPath& p, std::string_view value,
                   std::span<const std::string_view> supported) {
  add_not_supported(e, p, value, supported);
}
void not_supported(FieldErrors& e, const FieldPath& p, std::string_view value,
                   std::initializer_list<std::string_view> supported) {
  add_not_supported(e, p, value, supported);
}
void forbidden(FieldErrors& e, const FieldPath& p, std::string detail) {
  add(e, p, "FieldValueForbidden", with_detail("Forbidden", detail));
}
void duplicate(FieldErrors& e, const FieldPath& p, std::string_view value) {
  add(e, p, "FieldValueDuplicate", "Duplicate value: " + quoted(value));
}
void duplicate(FieldErrors& e, const FieldPath& p, const Value& value) {
  std::string s = "Duplicate value: ";
  plain_text(value, &s);
  add(e, p, "FieldValueDuplicate", std::move(s));
}
void not_found(FieldErrors& e, const FieldPath& p, std::string_view value) {
  add(e, p, "FieldValueNotFound", "Not found: " + quoted(value));
}
void too_long(FieldErrors& e, const FieldPath& p, size_t max_bytes) {
  add(e, p, "FieldValueTooLong",
      "Too long: may not be more than " + std::to_string(max_bytes) +
          (max_bytes == 1 ? " byte" : " bytes"));
}
void too_many(FieldErrors& e, const FieldPath& p, size_t actual, size_t most) {
  add(e, p, "FieldValueTooMany",
      "Too many: " + std::to_string(actual) + ": must have at most " + std::to_string(most) +
          (most == 1 ? " item" : " items"));
}
void nonnegative(FieldErrors& e, const FieldPath& p, int64_t value) {
  if (value < 0) invalid(e, p, value, "must be greater than or equal to 0");
}
void immutable(FieldErrors& e, const FieldPath& p, const Value& now, const Value& before) {
  if (!now.equals(before)) invalid(e, p, now, "field is immutable");
}

}  // namespace field

void validate_label_key(FieldErrors& e, const FieldPath& p, std::string_view key) {
  field::invalid_each(e, p, key, check_qualified_name(key));
}

void validate_labels(FieldErrors& e, const FieldPath& p, const Value& labels) {
  for (const Member& m : labels.members()) {
    validate_label_key(e, p, m.key());
    field::invalid_each(e, p, m.value.as_string(), check_label_value(m.value.as_string()));
  }
}

void validate_annotations(FieldErrors& e, const FieldPath& p, const Value& annotations) {
  size_t total = 0;
  for (const Member& m : annotations.members()) {
    field::invalid_each(e, p, m.key(), check_qualified_name(ascii_lower(m.key())));
    total += m.key().size() + m.value.as_string().size();
  }
  if (total > kAnnotationsLimit) field::too_long(e, p, kAnnotationsLimit);
}

void validate_label_selector(FieldErrors& e, const FieldPath& p, const Value& selector) {
  validate_labels(e, p["matchLabels"], selector["matchLabels"]);
  size_t i = 0;
  for (const Value& r : selector["matchExpressions"].items()) {
    FieldPath at = p["matchExpressions"][i++];
    std::string_view op = r["operator"].as_string();
    if (op == "In" || op == "NotIn") {
      if (r["values"].empty()) {
        field::required(e, at["values"], "must be specified when `operator` is 'In' or 'NotIn'");
      }
    } else if (op == "Exists" || op == "DoesNotExist") {
      if (!r["values"].empty()) {
        field::forbidden(e, at["values"],
                         "may not be specified when `operator` is 'Exists' or 'DoesNotExist'");
      }
    } else {
      field::invalid(e, at["operator"], op, "not a valid selector operator");
    }
    validate_label_key(e, at["key"], r["key"].as_string());
    size_t j = 0;
    for (const Value& v : r["values"].items()) {
      field::invalid_each(e, at["values"][j++], v.as_string(), check_label_value(v.as_string()));
    }
  }
}

void validate_object_meta(FieldErrors& e, const Value& meta, bool namespaced, NameCheck name_check,
                          const FieldPath& p) {
  std::string_view name = meta["name"].as_string(), ns = meta["namespace"].as_string(),
                   generate = meta["generateName"].as_string();
  if (!generate.empty()) {
    field::invalid_each(e, p["generateName"], generate, name_check(generate, true));
  }
  if (name.empty()) {
    field::required(e, p["name"], "name or generateName is required");
  } else {
    field::invalid_each(e, p["name"], name, name_check(name, false));
  }
  if (namespaced) {
    if (ns.empty()) {
      field::required(e, p["namespace"]);
    } else {
      field::invalid_each(e, p["namespace"], ns, check_dns1123_label(ns));
    }
  } else if (!ns.empty()) {
    field::forbidden(e, p["namespace"], "not allowed on this type");
  }
  field::nonnegative(e, p["generation"], meta["generation"].as_int());
  validate_common(e, meta, p);
  validate_finalizers(e, p["finalizers"], meta["finalizers"]);
}

void validate_object_meta_update(FieldErrors& e, const Value& now, const Value& before,
                                 bool unconditional, const FieldPath& p) {
  if (!before["deletionTimestamp"].is_null()) {
    std::set<std::string_view> old;
    for (const Value& f : before["finalizers"].items()) old.insert(f.as_string());
    std::set<std::string_view> extra;
    for (const Value& f : now["finalizers"].items()) {
      if (!old.count(f.as_string())) extra.insert(f.as_string());
    }
    if (!extra.empty()) {
      std::string list;
      for (std::string_view f : extra) list += (list.empty() ? "" : ", ") + quoted(f);
      field::forbidden(e, p["finalizers"],
                       "no new finalizers can be added if the object is being deleted, found new "
                       "finalizers []string{" +
                           list + "}");
    }
  }
  if (!unconditional && now["resourceVersion"].as_string().empty()) {
    field::invalid(e, p["resourceVersion"], "", "must be specified for an update");
  }
  if (now["generation"].as_int() < before["generation"].as_int()) {
    field::invalid(e, p["generation"], now["generation"].as_int(), "must not be decremented");
  }
  for (std::string_view name : {"name", "namespace", "uid", "creationTimestamp",
                                "deletionTimestamp", "deletionGracePeriodSeconds"}) {
    field::immutable(e, p[name], now[name], before[name]);
  }
  validate_common(e, now, p);
}

}  // namespace keles
