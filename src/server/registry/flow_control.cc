// FlowSchemas and PriorityLevelConfigurations.
#include <algorithm>
#include <cmath>
#include <set>

#include "api/flowcontrol_v1.h"
#include "machinery/codec_json.h"
#include "machinery/equality.h"
#include "server/registry/cells.h"
#include "server/registry/checks.h"
#include "server/registry/strategy.h"

namespace keles::registry {
namespace {

using api::flowcontrol_v1::FlowSchema;
using api::flowcontrol_v1::FlowSchemaSpec;
using api::flowcontrol_v1::NonResourcePolicyRule;
using api::flowcontrol_v1::PolicyRulesWithSubjects;
using api::flowcontrol_v1::PriorityLevelConfiguration;
using api::flowcontrol_v1::PriorityLevelConfigurationSpec;
using api::flowcontrol_v1::ResourcePolicyRule;
using api::flowcontrol_v1::Subject;

const FieldPath kSpec("spec");
using Texts = List<std::string_view>;

// What every cluster has and nobody may change.
constexpr std::string_view kAllRules =
    R"("resourceRules":[{"verbs":["*"],"apiGroups":["*"],"resources":["*"],"clusterScope":true,)"
    R"("namespaces":["*"]}],"nonResourceRules":[{"verbs":["*"],"nonResourceURLs":["*"]}])";

std::string mandatory_schema(std::string_view name) {
  const std::string rules(kAllRules);
  if (name == "exempt") {
    return R"({"priorityLevelConfiguration":{"name":"exempt"},"matchingPrecedence":1,"rules":[{)"
           R"("subjects":[{"kind":"Group","group":{"name":"system:masters"}}],)" +
           rules + "}]}";
  }
  if (name != "catch-all") return {};
  return R"({"priorityLevelConfiguration":{"name":"catch-all"},"matchingPrecedence":10000,)"
         R"("distinguisherMethod":{"type":"ByUser"},"rules":[{"subjects":[)"
         R"({"kind":"Group","group":{"name":"system:unauthenticated"}},)"
         R"({"kind":"Group","group":{"name":"system:authenticated"}}],)" +
         rules + "}]}";
}

bool same_as(const TypeDesc& type, const Value& v, std::string_view json) {
  auto other = parse_json(json);
  return other.ok() && same_meaning(type, v, other->root);
}

void validate_condition_types(FieldErrors& e, const Value& object) {
  const FieldPath p = FieldPath("status")["conditions"];
  std::set<std::string_view> seen;
  size_t i = 0;
  for (const Value& c : object["status"]["conditions"].items()) {
    const FieldPath at = p[i++]["type"];
    const std::string_view type = c["type"].as_string();
    if (!seen.insert(type).second) field::duplicate(e, at, type);
    if (type.empty()) field::required(e, at);
  }
}

void validate_status(const HookContext&, const Value& now, const Value&, FieldErrors& e) {
  validate_condition_types(e, now);
}

// --- FlowSchema ---------------------------------------------------------------------------------

bool has_star(const Texts& texts) {
  return std::any_of(texts.begin().at, texts.end().at,
                     [](const Value& v) { return v.as_string() == "*"; });
}

void validate_verbs(FieldErrors& e, const FieldPath& p, const Texts& verbs) {
  static const Words kVerbs = {"create", "delete", "deletecollection", "get",  "list",
                               "patch",  "proxy",  "update",           "watch"};
  if (verbs.empty()) {
    field::required(e, p, "verbs must contain at least one value");
  } else if (has_star(verbs)) {
    if (verbs.size() > 1) {
      field::invalid(e, p, verbs.value(), "if '*' is present, must not specify other verbs");
    }
  } else if (!std::all_of(verbs.begin().at, verbs.end().at,
                          [](const Value& v) { return is_one_of(v.as_string(), kVerbs); })) {
    not_supported_as(e, p, value_text(verbs.value()), kVerbs);
  }
}

void validate_star(FieldErrors& e, const FieldPath& p, const Texts& texts, const char* none,
                   const char* others) {
  if (texts.empty()) {
    field::required(e, p, "resource rules must supply at least one " + std::string(none));
  } else if (texts.size() > 1 && has_star(texts)) {
    field::invalid(e, p, texts.value(),
                   "if '*' is present, must not specify other " + std::string(others));
  }
}

void validate_resource_rule(FieldErrors& e, const FieldPath& p, const ResourcePolicyRule& rule) {
  validate_verbs(e, p["verbs"], rule.verbs());
  validate_star(e, p["apiGroups"], rule.api_groups(), "api group", "api groups");
  validate_star(e, p["resources"], rule.resources(), "resource", "resources");
  const FieldPath at = p["namespaces"];
  const Texts namespaces = rule.namespaces();
  if (namespaces.empty() && !rule.cluster_scope()) {
    field::required(e, at,
                    "resource rules that are not cluster scoped must supply at least one "
                    "namespace");
  } else if (has_star(namespaces)) {
    if (namespaces.size() > 1) {
      field::invalid(e, at, namespaces.value(),
                     "if '*' is present, must not specify other namespaces");
    }
  } else {
    size_t i = 0;
    for (std::string_view ns : namespaces) {
      for (const std::string& m : check_dns1123_label(ns)) {
        field::invalid(e, at[i], ns,
                       "each member of this list must be '*' or a DNS-1123 label; " + m);
      }
      ++i;
    }
  }
}

const char* url_error(std::string_view url) {
  if (url.empty()) return "must not be empty";
  if (url == "/") return nullptr;
  if (url[0] != '/') return "must start with slash";
  if (url.find(' ') != url.npos) return "must not contain white-space";
  if (url.find("//") != url.npos) return "must not contain double slash";
  const auto stars = std::count(url.begin(), url.end(), '*');
  if (stars > 1 || (stars == 1 && url.substr(url.size() - 2) != "/*")) {
    return "wildcard can only do suffix matching";
  }
  return nullptr;
}

void validate_url_rule(FieldErrors& e, const FieldPath& p, const NonResourcePolicyRule& rule) {
  validate_verbs(e, p["verbs"], rule.verbs());
  const FieldPath at = p["nonResourceURLs"];
  const Texts urls = rule.non_resource_urls();
  if (urls.empty()) {
    field::required(e, at, "nonResourceURLs must contain at least one value");
  } else if (has_star(urls)) {
    if (urls.size() > 1) {
      field::invalid(e, at, urls.value(),
                     "if '*' is present, must not specify other non-resource URLs");
    }
  } else {
    size_t i = 0;
    for (std::string_view url : urls) {
      if (const char* why = url_error(url)) field::invalid(e, at[i], url, why);
      ++i;
    }
  }
}

struct SubjectKind {
  std::string_view kind, member;
};
constexpr SubjectKind kSubjects[] = {
    {"ServiceAccount", "serviceAccount"}, {"User", "user"}, {"Group", "group"}};

void validate_subject(FieldErrors& e, const FieldPath& p, const Subject& subject) {
  const std::string_view kind = subject.kind();
  for (const SubjectKind& k : kSubjects) {
    if (k.kind != kind) continue;
    const FieldPath at = p[k.member];
    const Value& own = subject.value()[k.member];
    const std::string_view name = own["name"].as_string();
    if (own.is_null()) {
      field::required(e, at,
                      std::string(k.member) + " is required when subject kind is '" +
                          std::string(k.kind) + "'");
    } else if (k.kind != "ServiceAccount") {
      if (name.empty()) field::required(e, at["name"]);
    } else {
      if (name != "*") check_name(e, at["name"], name, check_dns1123_subdomain);
      const std::string_view ns = own["namespace"].as_string();
      if (ns.empty()) {
        field::required(e, at["namespace"], "must specify namespace for service account");
      } else {
        field::invalid_each(e, at["namespace"], ns, check_dns1123_label(ns));
      }
    }
    for (const SubjectKind& other : kSubjects) {
      if (other.kind == kind || subject.value()[other.member].is_null()) continue;
      field::forbidden(e, p[other.member],
                       std::string(other.member) + " is forbidden when subject kind is not '" +
                           std::string(other.kind) + "'");
    }
    return;
  }
  field::not_supported(e, p["kind"], kind, {"Group", "ServiceAccount", "User"});
}

void validate_rules(FieldErrors& e, const FieldPath& p, const PolicyRulesWithSubjects& rules) {
  size_t i = 0;
  if (rules.subjects().empty()) {
    field::required(e, p["subjects"], "subjects must contain at least one value");
  }
  for (const Subject& s : rules.subjects()) validate_subject(e, p["subjects"][i++], s);
  if (rules.resource_rules().empty() && rules.non_resource_rules().empty()) {
    field::required(e, p, "at least one of resourceRules and nonResourceRules has to be non-empty");
  }
  i = 0;
  for (const auto& r : rules.resource_rules()) {
    validate_resource_rule(e, p["resourceRules"][i++], r);
  }
  i = 0;
  for (const auto& r : rules.non_resource_rules()) {
    validate_url_rule(e, p["nonResourceRules"][i++], r);
  }
}

void validate_schema(const HookContext&, const Value& now, FieldErrors& e) {
  constexpr int64_t kLast = 10000;
  const FlowSchema schema(now);
  const FlowSchemaSpec spec = schema.spec();
  const std::string_view name = schema.metadata().name();
  const FieldPath at = kSpec["matchingPrecedence"];
  const int64_t precedence = spec.matching_precedence();
  if (precedence <= 0) field::invalid(e, at, precedence, "must be a positive value");
  if (precedence > kLast) field::invalid(e, at, precedence, "must not be greater than 10000");
  if (precedence == 1 && name != "exempt") {
    field::invalid(e, at, precedence,
                   "only the schema named 'exempt' may have matchingPrecedence 1");
  }
  if (const auto method = spec.distinguisher_method();
      method && !is_one_of(method.type(), {"ByNamespace", "ByUser"})) {
    not_supported_as(e, kSpec["distinguisherMethod"]["type"], struct_text(method),
                     {"ByNamespace", "ByUser"});
  }
  const std::string_view level = spec.priority_level_configuration().name();
  const FieldPath at_level = kSpec["priorityLevelConfiguration"]["name"];
  if (level.empty()) {
    field::required(e, at_level, "must reference a priority level");
  } else {
    field::invalid_each(e, at_level, level, check_dns1123_subdomain(level));
  }
  size_t i = 0;
  for (const auto& rules : spec.rules()) validate_rules(e, kSpec["rules"][i++], rules);
  if (const std::string fixed = mandatory_schema(name);
      !fixed.empty() && !same_as(FlowSchemaSpec::descriptor(), spec.value(), fixed)) {
    invalid_as(e, kSpec, struct_text(spec),
               "spec of '" + std::string(name) + "' must equal the fixed value");
  }
  validate_condition_types(e, now);
}

// --- PriorityLevelConfiguration -----------------------------------------------------------------

void percent(FieldErrors& e, const FieldPath& p, int64_t n) {
  if (n < 0 || n > 100) field::invalid(e, p, n, "must be between 0 and 100, inclusive");
}

void validate_queuing(FieldErrors& e, const FieldPath& p,
                      const api::flowcontrol_v1::QueuingConfiguration& q) {
  constexpr int64_t kMostQueues = 10'000'000, kMostBits = 60;
  const int64_t queues = q.queues(), hand = q.hand_size(), length = q.queue_length_limit();
  if (length <= 0) field::invalid(e, p["queueLengthLimit"], length, "must be positive");
  if (queues <= 0) {
    field::invalid(e, p["queues"], queues, "must be positive");
  } else if (queues > kMostQueues) {
    field::invalid(e, p["queues"], queues, "must not be greater than 10000000");
  }
  if (hand <= 0) {
    field::invalid(e, p["handSize"], hand, "must be positive");
  } else if (hand > queues) {
    field::invalid(e, p["handSize"], hand,
                   "should not be greater than queues (" + std::to_string(queues) + ")");
  } else if (std::ceil(std::log2(static_cast<double>(queues)) * static_cast<double>(hand)) >
             static_cast<double>(kMostBits)) {
    field::invalid(e, p["handSize"], hand,
                   "required entropy bits of deckSize " + std::to_string(queues) +
                       " and handSize " + std::to_string(hand) + " should not be greater than 60");
  }
}

void validate_limited(FieldErrors& e, const FieldPath& p,
                      const api::flowcontrol_v1::LimitedPriorityLevelConfiguration& limited) {
  if (int64_t n = limited.nominal_concurrency_shares(); n < 0) {
    field::invalid(e, p["nominalConcurrencyShares"], n, "must be a non-negative integer");
  }
  const auto response = limited.limit_response();
  const FieldPath at = p["limitResponse"];
  if (response.type() == "Reject") {
    if (response.has_queuing()) {
      field::forbidden(e, at["queuing"],
                       "must be nil if limited.limitResponse.type is not Limited");
    }
  } else if (response.type() == "Queue") {
    if (response.has_queuing()) {
      validate_queuing(e, at["queuing"], response.queuing());
    } else {
      field::required(e, at["queuing"],
                      "must not be empty if limited.limitResponse.type is Limited");
    }
  } else {
    field::not_supported(e, at["type"], response.type(), {"Queue", "Reject"});
  }
  if (limited.has_lendable_percent()) percent(e, p["lendablePercent"], limited.lendable_percent());
  if (limited.has_borrowing_limit_percent() && limited.borrowing_limit_percent() < 0) {
    field::invalid(e, p["borrowingLimitPercent"], limited.borrowing_limit_percent(),
                   "if specified, must be a non-negative integer");
  }
}

void validate_level_spec(FieldErrors& e, const PriorityLevelConfigurationSpec& spec,
                         std::string_view name) {
  const std::string_view type = spec.type();
  if ((name == "exempt") != (type == "Exempt")) {
    field::invalid(e, kSpec["type"], type, "must be 'Exempt' if and only if `name` is 'exempt'");
  }
  if (type == "Exempt") {
    if (spec.has_limited()) {
      field::forbidden(e, kSpec["limited"], "must be nil if the type is not Limited");
    }
    const auto exempt = spec.exempt();
    const FieldPath p = kSpec["exempt"];
    if (int64_t n = exempt.nominal_concurrency_shares(); n < 0) {
      field::invalid(e, p["nominalConcurrencyShares"], n, "must be a non-negative integer");
    }
    percent(e, p["lendablePercent"], exempt.lendable_percent());
  } else if (type == "Limited") {
    if (spec.has_exempt()) {
      field::forbidden(e, kSpec["exempt"], "must be nil if the type is Limited");
    }
    if (spec.has_limited()) {
      validate_limited(e, kSpec["limited"], spec.limited());
    } else {
      field::required(e, kSpec["limited"], "must not be empty when type is Limited");
    }
  } else {
    field::not_supported(e, kSpec["type"], type, {"Exempt", "Limited"});
  }
}

void validate_mandatory_level(FieldErrors& e, const PriorityLevelConfigurationSpec& spec,
                              std::string_view name) {
  const TypeDesc& type = PriorityLevelConfigurationSpec::descriptor();
  if (name == "exempt") {
    Document without;
    without.root = deep_copy(without.arena, spec.value());
    without.root.erase("exempt");
    if (!same_as(type, without.root, R"({"type":"Exempt"})")) {
      invalid_as(e, kSpec, struct_text(spec),
                 "spec of 'exempt' except the 'spec.exempt' field must equal the fixed value");
    }
  } else if (name == "catch-all") {
    if (!same_as(type, spec.value(),
                 R"({"type":"Limited","limited":{"nominalConcurrencyShares":5,)"
                 R"("lendablePercent":0,"limitResponse":{"type":"Reject"}}})")) {
      invalid_as(e, kSpec, struct_text(spec), "spec of 'catch-all' must equal the fixed value");
    }
  }
}

void validate_level(const HookContext&, const Value& now, FieldErrors& e) {
  constexpr std::string_view kZeroShares =
      "flowcontrol.k8s.io/v1beta3-preserve-zero-concurrency-shares";
  const PriorityLevelConfiguration level(now);
  const std::string_view name = level.metadata().name();
  if (level.metadata().annotations().contains(kZeroShares)) {
    field::forbidden(e, FieldPath("metadata")["annotations"],
                     "annotation '" + std::string(kZeroShares) + "' is forbidden");
  }
  validate_level_spec(e, level.spec(), name);
  validate_mandatory_level(e, level.spec(), name);
  validate_condition_types(e, now);
}

void flow_schema_cells(const HookContext& ctx, const Value& o, Cells& out) {
  CellWriter w(ctx, out);
  w.text("DistinguisherMethod", or_none(o["spec"]["distinguisherMethod"]["type"].as_string()));
  const Value& dangling = find_condition(o["status"]["conditions"], "Dangling");
  w.text("MissingPL", or_else(dangling["status"].as_string(), "?"));
}

void priority_level_cells(const HookContext& ctx, const Value& o, Cells& out) {
  CellWriter w(ctx, out);
  const Value& limited = o["spec"]["limited"];
  const Value& queuing = limited["limitResponse"]["queuing"];
  auto text = [](const Value& v) { return v.is_null() ? "<none>" : std::to_string(v.as_int()); };
  const Value& shares = limited.is_null() ? o["spec"]["exempt"]["nominalConcurrencyShares"]
                                          : limited["nominalConcurrencyShares"];
  w.text("NominalConcurrencyShares", text(shares));
  w.text("Queues", text(queuing["queues"]));
  w.text("HandSize", text(queuing["handSize"]));
  w.text("QueueLengthLimit", text(queuing["queueLengthLimit"]));
}

}  // namespace

extern const Strategy kFlowSchemaStrategy{.prepare_for_status_update = take_only_status,
                                          .validate = validate_schema,
                                          .validate_status_update = validate_status,
                                          .described = false,
                                          .metadata_again = MetadataAgain::kWhole,
                                          .cells = flow_schema_cells};
extern const Strategy kPriorityLevelStrategy{.prepare_for_status_update = take_only_status,
                                             .validate = validate_level,
                                             .validate_status_update = validate_status,
                                             .described = false,
                                             .metadata_again = MetadataAgain::kWhole,
                                             .cells = priority_level_cells};

}  // namespace keles::registry
