#include "server/webhooks/webhooks.h"

#include <mutex>
#include <utility>

#include "base/sync.h"
#include "server/matching/conditions.h"
#include "server/objects/keys.h"
#include "server/webhooks/hook.h"
#include "server/webhooks/plugins.h"
#include "server/webhooks/review.h"
#include "store/follow.h"
#include "store/unreadable.h"

namespace keles::webhooks {
namespace {

constexpr int kCalls = 64;  // of one webhook at a time, on one loop

// The configurations of one kind, and what was made of each.
struct Followed {
  Followed(std::string_view kind, bool mutating, callout::Options options,
           callout::CredentialsFor credentials)
      : prefix(registry::kind_prefix(*find_kind("admissionregistration.k8s.io", "v1", kind))),
        mutating(mutating),
        callees(with(std::move(options), std::move(credentials))) {}
  static callout::Options with(callout::Options options, callout::CredentialsFor credentials) {
    options.credentials = std::move(credentials);
    return options;
  }
  struct Known {
    ObjectPtr object;
    Hooks hooks;
  };
  const std::string prefix;
  const bool mutating;
  Callees callees;
  std::map<std::string, Known, std::less<>> known;  // by name: the order in which they are asked
  Published published{std::make_shared<const Index>()};

  // One that did not change keeps what was made of it, connections and compiled conditions too.
  void refresh(const StoreSnapshot& state) {
    std::map<std::string, Known, std::less<>> now;
    state.scan(prefix, prefix, [&](std::string_view, const ObjectPtr& object) {
      const std::string name(object->name());
      Known& to = now[name];
      if (const auto was = known.find(name); was != known.end() && was->second.object == object) {
        to = was->second;
      } else {
        to.object = object;
        to.hooks = read_hooks(*object, mutating, callees);
      }
      return true;
    });
    auto all = std::make_shared<Index>();
    all->whole = unreadable_in(state, prefix);
    for (const auto& [name, k] : now) {
      all->hooks.insert(all->hooks.end(), k.hooks.begin(), k.hooks.end());
    }
    known = std::move(now);
    published.store(std::move(all));
  }
};

}  // namespace

Options options_for(Store* store) {
  Options out;
  out.callout.find_service = callout::services_of(store);
  out.callout.calls = kCalls;
  out.callout.answer_bytes = kMaxAnswerBytes;
  return out;
}

struct Webhooks::State {
  State(Store* store, const auth::Auth* auth, Options options)
      : store(store),
        auth(auth),
        mutating("MutatingWebhookConfiguration", true, options.callout, options.mutating),
        validating("ValidatingWebhookConfiguration", false, options.callout, options.validating) {}
  Store* store;
  const auth::Auth* auth;
  std::mutex mutex;  // of all that follows but what is published
  Followed mutating, validating;
};

Webhooks::Webhooks(Store* store, const auth::Auth* auth, Options options)
    : state_(std::make_unique<State>(store, auth, std::move(options))) {
  refresh();
}
Webhooks::~Webhooks() = default;

void Webhooks::refresh() {
  std::lock_guard lock(state_->mutex);
  auto snapshot = state_->store->snapshot();
  state_->mutating.refresh(*snapshot);
  state_->validating.refresh(*snapshot);
}

std::shared_ptr<admission::Dynamic> Webhooks::mutating() const {
  return make_mutating(&state_->mutating.published, state_->auth);
}
std::shared_ptr<admission::Dynamic> Webhooks::validating() const {
  return make_validating(&state_->validating.published, state_->auth);
}

Task<void> Webhooks::run(Context ctx) {
  TaskGroup group(ctx.loop());
  for (const Followed* f : {&state_->mutating, &state_->validating}) {
    group.spawn(follow(ctx, state_->store, f->prefix, [this] { refresh(); }));
  }
  co_await group.join();
}

}  // namespace keles::webhooks
