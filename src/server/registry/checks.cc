#include "server/registry/checks.h"

#include <algorithm>
#include <cctype>
#include <map>
#include <set>

#include "base/encoding.h"
#include "machinery/codec_json.h"
#include "machinery/quantity.h"

namespace keles::registry {
namespace {

void add(FieldErrors& e, const FieldPath& p, std::string_view type, std::string message,
         std::string_view detail) {
  if (!detail.empty()) message.append(": ").append(detail);
  e.push_back({std::string(type), std::move(message), p.text()});
}

std::string supported_text(Words supported) {
  std::string s;
  for (std::string_view w : supported) s += (s.empty() ? "supported values: " : ", ") + quoted(w);
  return s;
}

}  // namespace

void validate_finalizer_names(FieldErrors& e, const Value& meta) {
  size_t i = 0;
  for (const Value& f : meta["finalizers"].items()) {
    const FieldPath at = FieldPath("metadata")["finalizers"][i++];
    const std::string_view name = f.as_string();
    if (name.find('/') != name.npos) continue;
    if (name == "kubernetes" || name == "foregroundDeletion" || name == "orphan") continue;
    field::invalid(e, at, name,
                   "name is neither a standard finalizer name nor is it fully qualified");
  }
}

std::string value_text(const Value& v) { return to_json(v); }

void invalid_as(FieldErrors& e, const FieldPath& p, std::string_view shown,
                std::string_view detail) {
  add(e, p, "FieldValueInvalid", "Invalid value: " + std::string(shown), detail);
}
void duplicate_as(FieldErrors& e, const FieldPath& p, std::string_view shown,
                  std::string_view detail) {
  add(e, p, "FieldValueDuplicate", "Duplicate value: " + std::string(shown), detail);
}
void not_supported_as(FieldErrors& e, const FieldPath& p, std::string_view shown, Words supported) {
  add(e, p, "FieldValueNotSupported", "Unsupported value: " + std::string(shown),
      supported_text(supported));
}
void too_long_characters(FieldErrors& e, const FieldPath& p, size_t most) {
  add(e, p, "FieldValueTooLong", "Too long",
      "may not be more than " + std::to_string(most) + (most == 1 ? " character" : " characters"));
}
void too_few(FieldErrors& e, const FieldPath& p, size_t actual, size_t least) {
  add(e, p, "FieldValueTooFew", "Too few: " + std::to_string(actual),
      "must have at least " + std::to_string(least) + (least == 1 ? " item" : " items"));
}
void type_invalid(FieldErrors& e, const FieldPath& p, std::string_view shown,
                  std::string_view detail) {
  add(e, p, "FieldValueTypeInvalid", "Invalid value: " + std::string(shown), detail);
}

bool is_one_of(std::string_view word, Words words) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

void check_word(FieldErrors& e, const FieldPath& p, std::string_view word, Words words) {
  if (word.empty()) {
    field::required(e, p);
  } else {
    check_known(e, p, word, words);
  }
}

void check_known(FieldErrors& e, const FieldPath& p, std::string_view word, Words words) {
  if (!is_one_of(word, words)) field::not_supported(e, p, word, words);
}

void check_name(FieldErrors& e, const FieldPath& p, std::string_view name,
                Messages (*check)(std::string_view)) {
  if (name.empty()) {
    field::required(e, p);
  } else {
    field::invalid_each(e, p, name, check(name));
  }
}

namespace {
std::string all_of(const Messages& messages, std::string_view between) {
  std::string s;
  for (const std::string& m : messages) s.append(s.empty() ? "" : between).append(m);
  return s;
}

bool is_http_path(std::string_view s) {
  constexpr std::string_view kMarks = "/-._~%!$&'()*+,;=:";
  return !s.empty() && std::all_of(s.begin(), s.end(), [&](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) != 0 || kMarks.find(c) != kMarks.npos;
  });
}
}  // namespace

void check_qualified_domain(FieldErrors& e, const FieldPath& p, std::string_view name) {
  if (name.empty()) {
    field::required(e, p);
  } else if (auto bad = check_dns1123_subdomain(name); !bad.empty()) {
    field::invalid(e, p, name, all_of(bad, ","));
  } else if (std::count(name.begin(), name.end(), '.') < 2) {
    field::invalid(e, p, name, "should be a domain with at least three segments separated by dots");
  }
}

void check_domain_name(FieldErrors& e, const FieldPath& p, std::string_view name) {
  if (name.empty()) return field::required(e, p);
  if (name.back() == '.') name.remove_suffix(1);
  if (auto bad = check_dns1123_subdomain(name); !bad.empty()) {
    return field::invalid(e, p, name, all_of(bad, ","));
  }
  if (name.find('.') == name.npos) {
    return field::invalid(e, p, name,
                          "should be a domain with at least two segments separated by dots");
  }
  for (std::string_view rest = name; !rest.empty();) {
    const std::string_view label = rest.substr(0, rest.find('.'));
    if (auto bad = check_dns1123_label(label); !bad.empty()) {
      return field::invalid(e, p, label, all_of(bad, ","));
    }
    rest.remove_prefix(std::min(rest.size(), label.size() + 1));
  }
}

void check_domain_path(FieldErrors& e, const FieldPath& p, std::string_view text) {
  if (text.empty()) return field::required(e, p);
  const size_t slash = text.find('/');
  if (slash == text.npos || slash == 0 || slash + 1 == text.size()) {
    return field::invalid(e, p, text, "must be a domain-prefixed path (such as \"acme.io/foo\")");
  }
  const std::string_view host = text.substr(0, slash), path = text.substr(slash + 1);
  field::invalid_each(e, p, host, check_dns1123_subdomain(host));
  if (!is_http_path(path)) {
    field::invalid(e, p, path,
                   "Invalid path (regex used for validation is "
                   "'[A-Za-z0-9/\\-._~%!$&'()*+,;=:]+')");
  }
}

void no_backsteps(FieldErrors& e, const FieldPath& p, std::string_view path) {
  if (("/" + std::string(path) + "/").find("/../") != std::string::npos) {
    field::invalid(e, p, path, "must not contain '..'");
  }
}

void validate_selector(FieldErrors& e, const FieldPath& p, const Value& selector, bool any_values) {
  if (!any_values) return validate_label_selector(e, p, selector);
  Document fine;
  fine.root = deep_copy(fine.arena, selector);
  if (Value* list = fine.root.is_map() ? fine.root.find("matchExpressions") : nullptr) {
    for (Value& r : list->items()) {
      Value* values = r.is_map() ? r.find("values") : nullptr;
      if (!values || !values->is_list()) continue;
      for (Value& v : values->items()) v = Value::string("any");
    }
  }
  validate_label_selector(e, p, fine.root);
}

// --- conditions ---------------------------------------------------------------------------------

namespace {

constexpr size_t kMaxReason = 1024, kMaxMessage = 32 * 1024;

bool is_condition_reason(std::string_view s) {
  auto letter = [](char c) { return std::isalpha(static_cast<unsigned char>(c)) != 0; };
  auto word = [](char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_'; };
  return !s.empty() && letter(s.front()) && word(s.back()) &&
         std::all_of(s.begin(), s.end(), [&](char c) { return word(c) || c == ',' || c == ':'; });
}

void validate_condition(FieldErrors& e, const FieldPath& p, const Value& c) {
  validate_label_key(e, p["type"], c["type"].as_string());
  check_known(e, p["status"], c["status"].as_string(), {"False", "True", "Unknown"});
  if (int64_t seen = c["observedGeneration"].as_int(); seen < 0) {
    field::invalid(e, p["observedGeneration"], seen, "must be greater than or equal to zero");
  }
  if (c["lastTransitionTime"].as_string().empty()) field::required(e, p["lastTransitionTime"]);
  std::string_view reason = c["reason"].as_string();
  if (reason.empty()) {
    field::required(e, p["reason"]);
  } else {
    if (!is_condition_reason(reason)) {
      field::invalid(e, p["reason"], reason,
                     "a condition reason must start with alphabetic character, optionally followed "
                     "by a string of alphanumeric characters or '_,:', and must end with an "
                     "alphanumeric character or '_' (e.g. 'my_name',  or 'MY_NAME',  or 'MyName',  "
                     "or 'ReasonA,ReasonB',  or 'ReasonA:ReasonB', regex used for validation is "
                     "'[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?')");
    }
    if (reason.size() > kMaxReason) field::too_long(e, p["reason"], kMaxReason);
  }
  if (c["message"].as_string().size() > kMaxMessage) field::too_long(e, p["message"], kMaxMessage);
}

}  // namespace

void validate_conditions(FieldErrors& e, const FieldPath& p, const Value& conditions) {
  std::set<std::string_view> seen;
  size_t i = 0;
  for (const Value& c : conditions.items()) {
    const FieldPath at = p[i++];
    if (!seen.insert(c["type"].as_string()).second) field::duplicate(e, at["type"], c["type"]);
    validate_condition(e, at, c);
  }
}

// --- resources ----------------------------------------------------------------------------------

namespace {

constexpr std::string_view kHugePages = "hugepages-", kRequests = "requests.";

bool starts_with(std::string_view s, std::string_view prefix) {
  return s.substr(0, prefix.size()) == prefix;
}

bool is_quota_huge_page(std::string_view name) {
  return is_huge_page(name) || starts_with(name, "requests.hugepages-");
}

// What both limits and quotas know; each has one of its own besides.
bool is_counted(std::string_view name) {
  return is_one_of(name, {"pods", "resourcequotas", "services", "replicationcontrollers", "secrets",
                          "configmaps", "persistentvolumeclaims", "services.nodeports",
                          "services.loadbalancers"});
}

bool is_measured(std::string_view name) {
  return is_one_of(name, {"cpu", "memory", "ephemeral-storage", "requests.cpu", "requests.memory",
                          "requests.ephemeral-storage", "requests.storage", "limits.cpu",
                          "limits.memory", "limits.ephemeral-storage"});
}

}  // namespace

bool is_huge_page(std::string_view name) { return starts_with(name, kHugePages); }

bool is_native_resource(std::string_view name) {
  return name.find('/') == name.npos || name.find("kubernetes.io/") != name.npos;
}

bool is_extended_resource(std::string_view name) {
  return !is_native_resource(name) && !starts_with(name, kRequests) &&
         check_qualified_name(std::string(kRequests) + std::string(name)).empty();
}

bool is_integer_resource(std::string_view name) {
  return is_counted(name) || is_extended_resource(name);
}

bool is_standard_resource(std::string_view name) {
  return is_counted(name) || is_measured(name) || name == "storage" || is_quota_huge_page(name);
}

bool is_standard_quota_resource(std::string_view name) {
  return is_counted(name) || is_measured(name) || is_quota_huge_page(name);
}

bool is_standard_container_resource(std::string_view name) {
  return is_one_of(name, {"cpu", "memory", "ephemeral-storage"}) || is_huge_page(name);
}

void validate_resource_name(FieldErrors& e, const FieldPath& p, std::string_view name) {
  auto bad = check_qualified_name(name);
  if (!bad.empty()) {
    field::invalid_each(e, p, name, std::move(bad));
  } else if (name.find('/') == name.npos && !is_standard_resource(name)) {
    field::invalid(e, p, name, "must be a standard resource type or fully qualified");
  }
}

void validate_container_resource_name(FieldErrors& e, const FieldPath& p, std::string_view name) {
  validate_resource_name(e, p, name);
  if (name.find('/') == name.npos) {
    if (!is_standard_container_resource(name)) {
      field::invalid(e, p, name, "must be a standard resource for containers");
    }
  } else if (!is_native_resource(name) && !is_extended_resource(name)) {
    field::invalid(e, p, name, "doesn't follow extended resource name standard");
  }
}

void validate_quota_resource_name(FieldErrors& e, const FieldPath& p, std::string_view name) {
  validate_resource_name(e, p, name);
  if (name.find('/') == name.npos && !is_standard_quota_resource(name)) {
    field::invalid(e, p, name, "must be a standard resource for quota");
  }
}

void nonnegative_quantity(FieldErrors& e, const FieldPath& p, std::string_view amount) {
  if (Quantity::parse_or_zero(amount).sign() < 0) {
    field::invalid(e, p, amount, "must be greater than or equal to 0");
  }
}

void positive_quantity(FieldErrors& e, const FieldPath& p, std::string_view amount) {
  if (Quantity::parse_or_zero(amount).sign() <= 0) {
    field::invalid(e, p, amount, "must be greater than zero");
  }
}

void validate_amount(FieldErrors& e, const FieldPath& p, std::string_view name,
                     std::string_view amount) {
  nonnegative_quantity(e, p, amount);
  if (is_integer_resource(name) && Quantity::parse_or_zero(amount).milli_value() % 1000 != 0) {
    field::invalid(e, p, amount, "must be an integer");
  }
}

}  // namespace keles::registry
