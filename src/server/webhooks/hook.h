// One webhook of a configuration, made ready to be called. Constant; any thread.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/loop.h"
#include "machinery/object.h"
#include "server/callout/callout.h"
#include "server/matching/conditions.h"
#include "server/matching/match.h"

namespace keles::webhooks {

enum class SideEffects : uint8_t { kNotSaid, kNone, kSome };

struct Hook {
  std::string configuration, name;
  std::string uid;  // configuration/name/n: names are not unique
  matching::Criteria criteria;
  matching::Conditions conditions;
  bool mutating = false;
  bool fails = true;  // failurePolicy
  bool reinvoked = false;
  SideEffects side_effects = SideEffects::kNotSaid;
  Duration timeout = 10s;
  std::string_view review_version;  // "" when it takes none that we know
  std::shared_ptr<callout::Callee> callee;
  std::string no_callee;  // why there is none
};
using HookPtr = std::shared_ptr<const Hook>;
using Hooks = std::vector<HookPtr>;

// Callees by their client configuration: those of one share its connections, and it outlives a
// change of anything else. One thread at a time.
class Callees {
 public:
  explicit Callees(callout::Options options) : options_(std::move(options)) {}
  Result<std::shared_ptr<callout::Callee>> get(const Value& client_config);

 private:
  callout::Options options_;
  std::map<std::string, std::weak_ptr<callout::Callee>> all_;
};

// Of a MutatingWebhookConfiguration or ValidatingWebhookConfiguration, in its order.
Hooks read_hooks(const Object& configuration, bool mutating, Callees& callees);

}  // namespace keles::webhooks
