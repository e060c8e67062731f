#include "server/policies/policies.h"

#include <map>
#include <mutex>
#include <utility>

#include "base/sync.h"
#include "server/auth/auth.h"
#include "server/matching/attributes.h"
#include "server/objects/keys.h"
#include "server/policies/plugins.h"
#include "store/follow.h"
#include "store/unreadable.h"

namespace keles::policies {
namespace {

std::string prefix_of(std::string_view kind) {
  return registry::kind_prefix(*find_kind("admissionregistration.k8s.io", "v1", kind));
}

// Objects under a prefix, and what was made of each: one that did not change keeps it.
template <class T>
class Followed {
 public:
  template <class Read>
  void refresh(const StoreSnapshot& state, const std::string& prefix, const Read& read) {
    std::map<std::string, Known, std::less<>> now;
    state.scan(prefix, prefix, [&](std::string_view, const ObjectPtr& object) {
      Known& to = now[std::string(object->name())];
      const auto was = known_.find(object->name());
      if (was != known_.end() && was->second.object == object) {
        to = was->second;
      } else {
        to = {object, read(*object)};
      }
      return true;
    });
    known_ = std::move(now);
  }
  template <class F>
  void each(const F& f) const {
    for (const auto& [name, k] : known_) f(k.made);
  }

 private:
  struct Known {
    ObjectPtr object;
    std::shared_ptr<const T> made;
  };
  std::map<std::string, Known, std::less<>> known_;
};

// The policies of one kind with their bindings.
struct Family {
  Family(std::string_view policy, std::string_view binding, bool mutating)
      : policies(prefix_of(policy)), bindings(prefix_of(binding)), mutating(mutating) {}
  const std::string policies, bindings;  // prefixes
  const bool mutating;
  Followed<Policy> policy;
  Followed<Binding> binding;
  Sources sources;

  void refresh(const StoreSnapshot& state) {
    policy.refresh(state, policies, [&](const Object& o) { return read_policy(o, mutating); });
    binding.refresh(state, bindings, read_binding);
    std::map<std::string_view, std::vector<std::shared_ptr<const Binding>>> by_policy;
    binding.each(
        [&](const std::shared_ptr<const Binding>& b) { by_policy[b->policy].push_back(b); });
    std::vector<Hook> hooks;
    policy.each([&](const std::shared_ptr<const Policy>& p) {
      const auto at = by_policy.find(p->name);
      if (at != by_policy.end()) hooks.push_back({p, std::move(at->second)});
    });
    Status whole = unreadable_in(state, policies);
    if (whole.ok()) whole = unreadable_in(state, bindings);
    sources.index.store(std::make_shared<const Index>(std::move(hooks), std::move(whole)));
  }
};

}  // namespace

bool concerns(const Sources& sources, const admission::Attributes& a) {
  const std::shared_ptr<const Index> index = sources.index.load();
  // Nor of reviews: who may not even ask who they are could not put a policy right.
  if (matching::is_exempt(*a.kind) || auth::Auth::is_review(*a.kind)) return false;
  if (!index->whole().ok()) return true;
  if (index->hooks().empty()) return false;
  return index->concerns(matching::outline(a));
}

struct Policies::State {
  explicit State(Store* store) : store(store) {}
  Store* store;
  std::mutex mutex;  // of all but what is published
  Family mutating{"MutatingAdmissionPolicy", "MutatingAdmissionPolicyBinding", true};
  Family validating{"ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding", false};
};

Policies::Policies(Store* store, const CatalogSource* kinds, const auth::Auth* auth)
    : state_(std::make_unique<State>(store)) {
  for (Family* f : {&state_->mutating, &state_->validating}) {
    f->sources.kinds = kinds;
    f->sources.auth = auth;
  }
  refresh();
}
Policies::~Policies() = default;

void Policies::refresh() {
  std::lock_guard lock(state_->mutex);
  auto snapshot = state_->store->snapshot();
  state_->mutating.refresh(*snapshot);
  state_->validating.refresh(*snapshot);
}

std::shared_ptr<admission::Dynamic> Policies::mutating() const {
  return make_mutating(&state_->mutating.sources);
}
std::shared_ptr<admission::Dynamic> Policies::validating() const {
  return make_validating(&state_->validating.sources);
}

Task<void> Policies::run(Context ctx) {
  TaskGroup group(ctx.loop());
  for (const Family* f : {&state_->mutating, &state_->validating}) {
    for (const std::string& prefix : {f->policies, f->bindings}) {
      group.spawn(follow(ctx, state_->store, prefix, [this] { refresh(); }));
    }
  }
  co_await group.join();
}

}  // namespace keles::policies
