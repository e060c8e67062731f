// Which requests a webhook, a policy or a binding is about: resource rules, match policy, namespace
// and object selectors (admissionregistration.k8s.io/v1). Made once from a configuration, then
// constant; any thread. Order of the questions and texts of errors are upstream's.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "machinery/labels.h"
#include "machinery/value.h"
#include "server/matching/request.h"

namespace keles::matching {

enum class Scope : uint8_t { kAll, kCluster, kNamespaced };

// A RuleWithOperations, or a NamedRuleWithOperations.
struct Rule {
  std::vector<std::string> operations, groups, versions, resources, names;
  Scope scope = Scope::kAll;

  static Rule read(const Value& rule);
  // The request, were it for `as`, a resource that is equivalent to its own. Not names.
  bool matches(const Request& request, const KindDesc& as) const;
  bool matches_name(std::string_view name) const;  // no names: any
};

// As what a request is shown to who asked for it.
struct Match {
  const KindDesc* resource = nullptr;  // the request's own, or an equivalent
  GroupVersionKind kind;               // of the body
};

class Criteria {
 public:
  // Of a MutatingWebhook or ValidatingWebhook: without rules it is about nothing.
  static Criteria of_webhook(const Value& webhook);
  // Of MatchResources (matchConstraints of a policy, matchResources of a binding): without rules it
  // is about everything. Null is an empty one.
  static Criteria of_match_resources(const Value& match);

  // Whether any rule could be about the request: looks at no object, selector or name. Cheap, to
  // be asked of all first; false is certain.
  bool may_concern(const Request& request) const;

  // None: the request is none of its business. An error (a selector that does not parse, a
  // namespace that is not there) only where the rules do match.
  Result<std::optional<Match>> match(const Request& request) const;

 private:
  std::optional<Match> find(const std::vector<Rule>& rules, const Request& request) const;
  Result<bool> selects_namespace(const Request& request) const;
  Result<bool> selects_object(const Request& request) const;

  std::vector<Rule> rules_, excluded_;
  bool equivalent_ = false;
  bool all_without_rules_ = false;
  Result<Selector> namespaces_ = Selector(), objects_ = Selector();
};

}  // namespace keles::matching
