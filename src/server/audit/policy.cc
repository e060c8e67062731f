#include "server/audit/policy.h"

#include <algorithm>
#include <array>

#include "api/audit_v1.h"
#include "machinery/validation.h"

namespace keles::audit {
namespace {

const ConfigKind kKind{"audit.k8s.io/v1", "Policy"};
constexpr std::array<std::string_view, 4> kLevels{"None", "Metadata", "Request", "RequestResponse"};
constexpr std::array<std::string_view, 4> kStages{"RequestReceived", "ResponseStarted",
                                                  "ResponseComplete", "Panic"};

template <size_t n>
int place(const std::array<std::string_view, n>& list, std::string_view text) {
  auto at = std::find(list.begin(), list.end(), text);
  return at == list.end() ? -1 : static_cast<int>(at - list.begin());
}

bool holds(const std::vector<std::string>& list, std::string_view text) {
  return std::find(list.begin(), list.end(), text) != list.end();
}

std::vector<std::string> texts(List<std::string_view> list) {
  std::vector<std::string> out;
  for (std::string_view s : list) out.emplace_back(s);
  return out;
}

uint8_t read_stages(FieldErrors& e, const FieldPath& p, List<std::string_view> stages) {
  uint8_t bits = 0;
  size_t i = 0;
  for (std::string_view s : stages) {
    const int at = place(kStages, s);
    if (at < 0) {
      field::invalid(e, p[i], s,
                     "allowed stages are RequestReceived,ResponseStarted,ResponseComplete,Panic");
    } else {
      bits = static_cast<uint8_t>(bits | 1u << at);
    }
    ++i;
  }
  return bits;
}

Level read_level(FieldErrors& e, const FieldPath& p, std::string_view level) {
  const int at = place(kLevels, level);
  if (level.empty()) {
    field::required(e, p);
  } else if (at < 0) {
    field::not_supported(e, p, level, kLevels);
  }
  return static_cast<Level>(std::max(at, 0));
}

void check_urls(FieldErrors& e, const FieldPath& p, const std::vector<std::string>& urls) {
  for (size_t i = 0; i < urls.size(); ++i) {
    const std::string& url = urls[i];
    if (url == "*") continue;
    if (!url.starts_with('/')) {
      field::invalid(e, p[i], url, "non-resource URL rules must begin with a '/' character");
    }
    if (const size_t star = url.find('*'); star != std::string::npos && star + 1 < url.size()) {
      field::invalid(e, p[i], url,
                     "non-resource URL wildcards '*' must be the final character of the rule");
    }
  }
}

bool path_matches(std::string_view path, std::string_view spec) {
  if (spec == "*" || spec == path) return true;
  if (!spec.ends_with('*')) return false;
  spec.remove_suffix(1);
  return path.starts_with(spec);
}

}  // namespace

std::string_view level_name(Level level) { return kLevels[static_cast<size_t>(level)]; }
std::string_view stage_name(Stage stage) { return kStages[static_cast<size_t>(stage)]; }

Result<Policy> Policy::of(const ConfigFile& file) {
  const api::audit_v1::Policy p(file.root());
  Policy out;
  FieldErrors e;
  out.omitted_ = read_stages(e, FieldPath("omitStages"), p.omit_stages());
  out.omit_managed_fields_ = p.omit_managed_fields();
  const FieldPath rules("rules");
  if (p.rules().empty()) field::required(e, rules, "a policy has at least one rule");
  for (const api::audit_v1::PolicyRule& r : p.rules()) {
    const FieldPath here = rules[out.rules_.size()];
    Rule rule;
    rule.then.level = read_level(e, here["level"], r.level());
    rule.users = texts(r.users());
    rule.groups = texts(r.user_groups());
    rule.verbs = texts(r.verbs());
    rule.namespaces = texts(r.namespaces());
    rule.urls = texts(r.non_resource_urls());
    check_urls(e, here["nonResourceURLs"], rule.urls);
    for (const api::audit_v1::GroupResources& g : r.resources()) {
      const FieldPath at = here["resources"][rule.resources.size()];
      if (!g.group().empty() && g.group() != "*") {
        field::invalid_each(e, at["group"], g.group(), check_dns1123_subdomain(g.group()));
      }
      if (!g.resource_names().empty() && g.resources().empty()) {
        field::invalid(e, at["resourceNames"], g.resource_names().value(),
                       "using resourceNames requires at least one resource");
      }
      rule.resources.push_back(
          {std::string(g.group()), texts(g.resources()), texts(g.resource_names())});
    }
    rule.then.omitted =
        static_cast<uint8_t>(out.omitted_ | read_stages(e, here["omitStages"], r.omit_stages()));
    rule.then.omit_managed_fields =
        r.has_omit_managed_fields() ? r.omit_managed_fields() : out.omit_managed_fields_;
    if (!rule.urls.empty() && (!rule.resources.empty() || !rule.namespaces.empty())) {
      field::invalid(e, here["nonResourceURLs"], r.non_resource_urls().value(),
                     "rules cannot apply to both regular resources and non-resource URLs");
    }
    out.rules_.push_back(std::move(rule));
  }
  TRY(file.check(e));
  return out;
}

Result<Policy> Policy::parse(std::string name, std::string text) {
  TRY_ASSIGN(file, ConfigFile::parse(std::move(name), std::move(text), kKind));
  return of(file);
}

Result<Policy> Policy::load(const std::string& path) {
  TRY_ASSIGN(file, ConfigFile::read(path, kKind));
  return of(file);
}

bool Policy::matches_resource(const Rule& rule, const Question& q) {
  if (!q.is_resource) return false;
  // What lies in no namespace has the empty one.
  if (!rule.namespaces.empty() && !holds(rule.namespaces, q.ns)) return false;
  if (rule.resources.empty()) return true;
  std::string combined(q.resource);
  if (!q.subresource.empty()) combined.append("/").append(q.subresource);
  for (const Resources& r : rule.resources) {
    if (r.group != "*" && r.group != q.group) continue;
    if (r.resources.empty()) return true;
    if (!r.names.empty() && !holds(r.names, q.name)) continue;
    for (const std::string& one : r.resources) {
      const std::string_view v = one;
      if (v == "*" || v == combined) return true;
      if (!q.subresource.empty() && v.starts_with("*/") && v.substr(2) == q.subresource)
        return true;
      if (v.ends_with("/*") && v.substr(0, v.size() - 2) == q.resource) return true;
    }
  }
  return false;
}

bool Policy::matches(const Rule& rule, const Question& q) {
  if (!rule.users.empty() && !holds(rule.users, q.user)) return false;
  if (!rule.groups.empty()) {
    if (!q.groups) return false;
    const bool member = std::any_of(q.groups->begin(), q.groups->end(),
                                    [&](const std::string& g) { return holds(rule.groups, g); });
    if (!member) return false;
  }
  if (!rule.verbs.empty() && !holds(rule.verbs, q.verb)) return false;
  if (!rule.namespaces.empty() || !rule.resources.empty()) return matches_resource(rule, q);
  if (rule.urls.empty()) return true;
  return !q.is_resource &&
         std::any_of(rule.urls.begin(), rule.urls.end(),
                     [&](const std::string& spec) { return path_matches(q.path, spec); });
}

Decision Policy::decide(const Question& q) const {
  for (const Rule& rule : rules_) {
    if (matches(rule, q)) return rule.then;
  }
  Decision none;
  none.omitted = omitted_;
  none.omit_managed_fields = omit_managed_fields_;
  return none;
}

}  // namespace keles::audit
