// ValidatingAdmissionWebhook: all that the request concerns, at the same time.
#include <deque>
#include <map>
#include <string>
#include <utility>

#include "base/log.h"
#include "base/sync.h"
#include "server/matching/attributes.h"
#include "server/webhooks/call.h"
#include "server/webhooks/plugins.h"
#include "server/webhooks/versions.h"

namespace keles::webhooks {
namespace {

// One webhook that is to be asked. Stays where it is.
struct Asked {
  matching::Match match;
  HookPtr hook;
  Question question;
};

class Validating final : public admission::Dynamic {
 public:
  Validating(const Published* hooks, const auth::Auth* auth) : hooks_(hooks), auth_(auth) {}
  std::string_view name() const override { return "ValidatingAdmissionWebhook"; }
  bool admits() const override { return false; }
  bool concerns(const admission::Attributes& a) const override {
    return webhooks::concerns(*hooks_->load(), a);
  }

  Task<Status> validate(Context ctx, const admission::Attributes* a, const Value* object,
                        const Value* before) override {
    auto index = hooks_->load();
    if (!index->whole.ok()) co_return index->whole;
    const matching::FullRequest full(*a, object, before);
    matching::Asking asking(auth_, ctx.loop().now());
    std::map<const KindDesc*, std::shared_ptr<Shown>> versions;
    std::deque<Asked> asked;
    for (const HookPtr& hook : index->hooks) {
      auto match = hook->criteria.match(full.request());
      if (!match.ok()) co_return match.status();
      if (!match->has_value()) continue;
      const matching::Match found = **match;
      std::shared_ptr<Shown>& shown = versions[found.resource];
      if (!shown) {
        auto made = co_await show(ctx, a, found.resource, object, before);
        if (!made.ok()) co_return Status::internal(made.status().message());
        shown = std::move(*made);
      }
      if (!hook->conditions.empty()) {
        auto meets = co_await meets_conditions(ctx, hook.get(), &full.request(), &found,
                                               shown.get(), &asking);
        if (!meets.ok()) co_return meets.status();
        if (!*meets) continue;
      }
      asked.emplace_back();
      Asked& one = asked.back();
      one.match = found;
      one.hook = hook;
      one.question.hook = hook.get();
      one.question.attributes = a;
      one.question.request = &full.request();
      one.question.match = &one.match;
      one.question.shown = shown.get();
    }
    if (asked.empty()) co_return Status();
    if (ctx.done()) {
      co_return Status::timeout("Timeout: request did not complete within requested timeout");
    }
    Status first;
    TaskGroup group(ctx.loop());
    for (size_t i = 0; i < asked.size(); ++i) {
      group.spawn(ask(ctx, &asked[i].question, i, &first));
    }
    co_await group.join();
    co_return first;
  }

 private:
  // The first that says no, in the order of their answers, is what the client is told.
  static Task<void> ask(Context ctx, const Question* q, size_t i, Status* first) {
    const TimePoint began = ctx.loop().now();
    Called called = co_await call(ctx, q);
    Status s = settle(
        *q, called, ctx.loop().now() - began,
        "failed-open.validating.webhook.admission.k8s.io/round_0_index_" + std::to_string(i));
    if (s.ok()) co_return;
    if (first->ok()) *first = std::move(s);
  }

  const Published* hooks_;
  const auth::Auth* auth_;
};

}  // namespace

bool concerns(const Index& index, const admission::Attributes& a) {
  if ((index.hooks.empty() && index.whole.ok()) || matching::is_exempt(*a.kind)) return false;
  if (!index.whole.ok()) return true;
  const matching::Request request = matching::outline(a);
  for (const HookPtr& hook : index.hooks) {
    if (hook->criteria.may_concern(request)) return true;
  }
  return false;
}

std::shared_ptr<admission::Dynamic> make_validating(const Published* hooks,
                                                    const auth::Auth* auth) {
  return std::make_shared<Validating>(hooks, auth);
}

}  // namespace keles::webhooks
