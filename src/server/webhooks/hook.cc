#include "server/webhooks/hook.h"

#include <algorithm>

#include "machinery/codec_json.h"
#include "server/callout/review_version.h"
#include "server/webhooks/review.h"

namespace keles::webhooks {
namespace {

SideEffects read_effects(const Value& v) {
  if (!v.is_string()) return SideEffects::kNotSaid;
  const std::string_view s = v.as_string();
  return s == "None" || s == "NoneOnDryRun" ? SideEffects::kNone : SideEffects::kSome;
}

}  // namespace

Result<std::shared_ptr<callout::Callee>> Callees::get(const Value& client_config) {
  std::string key;
  write_json(key, client_config, true);
  std::erase_if(all_, [](const auto& entry) { return entry.second.expired(); });
  std::weak_ptr<callout::Callee>& known = all_[key];
  if (auto callee = known.lock()) return callee;
  TRY_ASSIGN(target, callout::Target::read(client_config));
  auto callee = std::make_shared<callout::Callee>(std::move(target), options_);
  known = callee;
  return callee;
}

Hooks read_hooks(const Object& configuration, bool mutating, Callees& callees) {
  Hooks out;
  const DocumentPtr tree = configuration.tree();
  std::map<std::string, int> names;
  for (const Value& v : tree->root["webhooks"].items()) {
    auto hook = std::make_shared<Hook>();
    hook->configuration = configuration.name();
    hook->name = v["name"].as_string();
    hook->uid = hook->configuration + "/" + hook->name + "/" + std::to_string(names[hook->name]++);
    hook->mutating = mutating;
    hook->fails = v["failurePolicy"].as_string() != "Ignore";
    hook->reinvoked = v["reinvocationPolicy"].as_string() == "IfNeeded";
    hook->side_effects = read_effects(v["sideEffects"]);
    if (const int64_t n = v["timeoutSeconds"].as_int(); n > 0) {
      hook->timeout = std::chrono::seconds(std::min<int64_t>(n, 30));
    }
    hook->review_version = callout::known_version(v["admissionReviewVersions"]);
    hook->criteria = matching::Criteria::of_webhook(v);
    matching::Variables variables;
    variables.authorizer = true;
    hook->conditions = matching::Conditions::compile(v["matchConditions"], variables, hook->fails);
    auto callee = callees.get(v["clientConfig"]);
    if (callee.ok()) {
      hook->callee = std::move(*callee);
    } else {
      hook->no_callee = callee.status().message();
    }
    out.push_back(std::move(hook));
  }
  return out;
}

}  // namespace keles::webhooks
