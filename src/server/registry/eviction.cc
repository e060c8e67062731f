// pods/eviction: a delete that asks the pod's disruption budget first. The order of decisions is
// upstream's, so that a client that retries on 429 sees what it would see there.
#include "machinery/labels.h"
#include "server/objects/keys.h"
#include "server/objects/meta.h"
#include "server/registry/registry.h"
#include "store/unreadable.h"

namespace keles::registry {
namespace {

constexpr int kTries = 20;               // of an eviction that others' writes overtake
constexpr size_t kMostDisrupted = 2000;  // evictions that the disruption controller has not seen
constexpr std::string_view kViolates =
    "Cannot evict pod as it would violate the pod's disruption budget.";

const KindDesc& pod_kind() {
  static const KindDesc* const k = find_kind("", "v1", "Pod");
  return *k;
}
const KindDesc& budget_kind() {
  static const KindDesc* const k = find_kind("policy", "v1", "PodDisruptionBudget");
  return *k;
}

bool over(const Value& pod) {
  auto phase = pod["status"]["phase"].as_string();
  return phase == "Succeeded" || phase == "Failed" || deleting(pod);
}

bool ready(const Value& pod) {
  for (const Value& c : pod["status"]["conditions"].items()) {
    if (c["type"].as_string() == "Ready") return c["status"].as_string() == "True";
  }
  return false;
}

Status too_many(std::string why, int retry_after_seconds) {
  StatusDetails details;
  details.retry_after_seconds = retry_after_seconds;
  details.causes.push_back({"DisruptionBudget", std::move(why), ""});
  return Status(Reason::kTooManyRequests, std::string(kViolates), std::move(details));
}

Status still_processed(std::string_view budget) {
  return too_many(
      "The disruption budget " + std::string(budget) + " is still being processed by the server.",
      10);
}

// Why a budget that allows none does not.
std::string reason_of(std::string_view name, const Value& status) {
  const std::string budget = "The disruption budget " + std::string(name);
  const Value* allowed = nullptr;
  for (const Value& c : status["conditions"].items()) {
    if (c["type"].as_string() == "DisruptionAllowed") allowed = &c;
  }
  const bool said = allowed && (*allowed)["status"].as_string() == "False" &&
                    !(*allowed)["message"].as_string().empty();
  const std::string reason(said ? (*allowed)["reason"].as_string() : "");
  const std::string message(said ? (*allowed)["message"].as_string() : "");
  const int64_t desired = status["desiredHealthy"].as_int();
  const int64_t current = status["currentHealthy"].as_int();
  if (reason == "SyncFailed") {
    return budget + " does not allow evicting pods currently because it failed sync: " + message;
  }
  if (current <= desired) {
    return budget + " needs " + std::to_string(desired) + " healthy pods and has " +
           std::to_string(current) + " currently";
  }
  if (said) return budget + " does not allow evicting pods currently (" + reason + "): " + message;
  return budget + " does not allow evicting pods currently";
}

Status may_disrupt(std::string_view name, const Value& budget) {
  const Value& status = budget["status"];
  if (status["observedGeneration"].as_int() < metadata(budget)["generation"].as_int()) {
    return still_processed(name);
  }
  if (status["disruptionsAllowed"].as_int() < 0) {
    return Status::forbidden("policy", "poddisruptionbudget", name,
                             "pdb disruptions allowed is negative");
  }
  if (status["disruptedPods"].size() > kMostDisrupted) {
    return Status::forbidden("policy", "poddisruptionbudget", name,
                             "DisruptedPods map too big - too many evictions not confirmed by PDB "
                             "controller");
  }
  if (status["disruptionsAllowed"].as_int() == 0) return too_many(reason_of(name, status), 0);
  return {};
}

// A pod that is not ready does not count as healthy, and need not wait for the budget.
bool unhealthy_may_go(const Value& pod, const Value& budget) {
  if (ready(pod)) return false;
  if (budget["spec"]["unhealthyPodEvictionPolicy"].as_string() == "AlwaysAllow") return true;
  const int64_t desired = budget["status"]["desiredHealthy"].as_int();
  return desired > 0 && budget["status"]["currentHealthy"].as_int() >= desired;
}

// Fails when a budget of the namespace cannot be read: nobody knows which pods it holds.
Result<std::vector<ObjectPtr>> budgets_of(const StoreSnapshot& state, const ObjectPtr& pod) {
  std::vector<ObjectPtr> out;
  DocumentPtr tree = pod->tree();
  const std::string prefix = list_prefix(budget_kind(), std::string(pod->namespace_()));
  auto look = [&](std::string_view, const ObjectPtr& b) {
    auto selector = Selector::from_label_selector(b->tree()->root["spec"]["selector"]);
    if (selector.ok() && selector->matches(metadata(tree->root)["labels"])) out.push_back(b);
    return true;
  };
  TRY(scan_whole(state, prefix, look));
  return out;
}

Result<DeleteRequest> options_of(const Value& eviction, std::string_view pod,
                                 const WriteRequest& how) {
  if (meta(eviction, "name") != pod) {
    return Status::bad_request("name in URL does not match name in Eviction object");
  }
  DeleteRequest request = read_delete_options(eviction["deleteOptions"]);
  if (request.ignore_store_read_error) {
    return Status::invalid(
        "policy", "Eviction", pod,
        {{"FieldValueInvalid",
          "Invalid value: true: can not be set for pod eviction, try after removing the option",
          "deleteOptions.ignoreStoreReadErrorWithClusterBreakingPotential"}});
  }
  if (how.dry_run && !request.dry_run.empty() &&
      request.dry_run != std::vector<std::string>{"All"}) {
    std::string inside;
    for (const std::string& v : request.dry_run) inside += (inside.empty() ? "" : " ") + v;
    return Status::bad_request("Non-matching dry-run options in request and content: [All] and [" +
                               inside + "]");
  }
  if (how.dry_run) request.dry_run = {"All"};
  TRY(check_delete_options(request));
  return request;
}

}  // namespace

// One disruption less is allowed, and the pod is named, so that the controller does not count it.
Task<Status> Registry::spend_disruption(Context ctx, ObjectPtr budget, std::string pod,
                                        bool dry_run) {
  Loop* loop = &ctx.loop();
  std::string ns(budget->namespace_()), name(budget->name());
  auto change = [&pod, loop](const ObjectPtr& current, Document& next) -> Result<Outcome> {
    next = current->tree()->clone();
    TRY(may_disrupt(current->name(), next.root));
    Value& status = edit_map(next, next.root, "status");
    const int64_t left = status["disruptionsAllowed"].as_int() - 1;
    status.set(next.arena, "disruptionsAllowed", Value(left));
    set_text(next, edit_map(next, status, "disruptedPods"), pod, time_text(loop->wall_now()));
    if (left == 0 && set_condition(next, "DisruptionAllowed", "False", "InsufficientPods", "",
                                   loop->wall_now())) {
      const int64_t seen = next.root["status"]["observedGeneration"].as_int();
      Value& condition = edit_condition(next, "DisruptionAllowed");
      condition.set(next.arena, "observedGeneration", Value(seen));
    }
    return Outcome::kStore;
  };
  auto done = co_await modify(ctx, &budget_kind(), ns, name, std::move(change), dry_run);
  co_return done.status();
}

// Says on the pod why it goes, then deletes it.
Task<Status> Registry::disrupt_pod(Context ctx, std::string ns, std::string pod,
                                   DeleteRequest request, WriteRequest how) {
  if (request.dry_run.empty()) {
    Loop* loop = &ctx.loop();
    auto change = [&request, loop](const ObjectPtr& current, Document& next) -> Result<Outcome> {
      TRY(check_preconditions(*current, request));
      next = current->tree()->clone();
      const bool changed = set_condition(next, "DisruptionTarget", "True", "EvictionByEvictionAPI",
                                         "Eviction API: evicting", loop->wall_now());
      return changed ? Outcome::kStore : Outcome::kNothing;
    };
    auto marked = co_await modify(ctx, &pod_kind(), ns, pod, std::move(change), false);
    if (!marked.ok()) co_return marked.status();
    if (!request.resource_version.empty()) {
      request.resource_version = std::to_string(marked->object->revision());
    }
  }
  auto gone = co_await remove(ctx, &pod_kind(), ns, pod, std::move(request), std::move(how));
  co_return gone.status();
}

Task<Status> Registry::evict_pod(Context ctx, std::string ns, std::string pod, Document eviction,
                                 WriteRequest how) {
  auto options = options_of(eviction.root, pod, how);
  if (!options.ok()) co_return options.status();
  const DeleteRequest request = *options;
  const bool dry_run = !request.dry_run.empty(), pinned = !request.resource_version.empty();

  // Whether a pod may go, and its deletion, are about one state of it: another one is judged anew.
  for (int attempt = 0; attempt < kTries; ++attempt) {
    auto found = co_await get(ctx, &pod_kind(), ns, pod);
    if (!found.ok()) co_return found.status();
    DocumentPtr tree = (*found)->tree();
    DeleteRequest mine = request;
    const bool exempt = over(tree->root) || tree->root["status"]["phase"].as_string() == "Pending";
    std::string budget;
    if (exempt) {
      if (!over(tree->root) && !pinned)
        mine.resource_version = std::to_string((*found)->revision());
    } else {
      auto state = store_->snapshot();
      auto all = budgets_of(*state, *found);
      if (!all.ok()) co_return all.status();
      const std::vector<ObjectPtr>& budgets = *all;
      if (budgets.size() > 1) {
        co_return Status(Reason::kInternalError,
                         "This pod has more than one PodDisruptionBudget, which the eviction "
                         "subresource does not support.");
      }
      if (!budgets.empty() && unhealthy_may_go(tree->root, budgets[0]->tree()->root)) {
        budget = budgets[0]->name();
        mine.resource_version =
            pinned ? request.resource_version : std::to_string((*found)->revision());
      } else if (!budgets.empty()) {
        Status refused = co_await spend_disruption(ctx, budgets[0], pod, dry_run);
        if (!refused.ok()) co_return refused;
      }
    }
    Status done = co_await disrupt_pod(ctx, ns, pod, std::move(mine), how);
    if (!done.is(Reason::kConflict) || pinned) co_return done;
    if (!budget.empty()) co_return still_processed(budget);
    if (!exempt) co_return done;
  }
  co_return Status::conflict("", "pods", pod,
                             "the object has been modified; please apply your changes to the "
                             "latest version and try again");
}

}  // namespace keles::registry
