// MutatingAdmissionWebhook: one webhook after the other, each shown what the one before it made.
#include <string>
#include <utility>

#include "base/encoding.h"
#include "machinery/codec_json.h"
#include "server/admission/answer.h"
#include "server/admission/round_memory.h"
#include "server/matching/attributes.h"
#include "server/webhooks/call.h"
#include "server/webhooks/patching.h"
#include "server/webhooks/plugins.h"
#include "server/webhooks/versions.h"

namespace keles::webhooks {
namespace {

using Memory = admission::RoundMemory;

std::string index_key(std::string_view prefix, int round, size_t i) {
  return std::string(prefix) + "round_" + std::to_string(round) + "_index_" + std::to_string(i);
}

std::string words_of(const Hook& hook) {
  std::string out = "{\"configuration\":";
  write_json_string(out, hook.configuration);
  out += ",\"webhook\":";
  write_json_string(out, hook.name);
  return out;
}

constexpr std::string_view kMutation = "mutation.webhook.admission.k8s.io/",
                           kPatch = "patch.webhook.admission.k8s.io/",
                           kFailedOpen = "failed-open.mutation.webhook.admission.k8s.io/";

// One request's way past the webhooks.
struct Pass {
  Pass(const admission::Attributes* a, Document* object, const Value* before)
      : a(a), object(object), before(before), full(*a, object ? &object->root : nullptr, before) {}
  const admission::Attributes* a;
  Document* object;  // null on a delete
  const Value* before;
  matching::FullRequest full;
  std::shared_ptr<Shown> shown;  // null until somebody is to see it
  const KindDesc* shown_for = nullptr;
  bool dirty = false;  // `shown` was changed since it was made of `object`
  int round = 0;
};

// Brings what was changed back into the object.
Task<Status> take_back(Context ctx, Pass* p) {
  if (!p->dirty) co_return Status();
  auto made = co_await registry::as_version(ctx, p->shown->kind, &registry::worked_kind(*p->a),
                                            p->shown->object);
  if (!made.ok()) co_return Status::internal(made.status().message());
  *p->object = std::move(*made);
  p->dirty = false;
  p->full.set_object(&p->object->root);
  p->shown = nullptr;
  co_return Status();
}

// Has it shown as `resource`.
Task<Status> show_as(Context ctx, Pass* p, const KindDesc* resource) {
  if (p->shown && p->shown_for == resource) co_return Status();
  Status back = co_await take_back(ctx, p);
  if (!back.ok()) co_return back;
  const Value* object = p->object ? &p->object->root : nullptr;
  auto shown = co_await show(ctx, p->a, resource, object, p->before);
  if (!shown.ok()) co_return Status::internal(shown.status().message());
  p->shown = std::move(*shown);
  p->shown_for = resource;
  p->full.set_object(p->shown->object);
  co_return Status();
}

// What the answer's patch does; the call has failed where it cannot be done.
Called take_patch(Pass* p, const Hook& hook, Called called, size_t i, Loop& loop, bool* changed) {
  if (called.kind != Called::Kind::kAllowed || called.patch.empty()) return called;
  if (!p->object) {
    auto any = parse_json(called.patch);
    if (any.ok() && any->root.is_list() && any->root.empty()) return called;
    return refused(Status::internal("admission webhook " + quoted(hook.name) +
                                    " attempted to modify the object, which is not supported for "
                                    "this operation"));
  }
  auto patched =
      apply_answer(*p->shown->kind, p->shown->object_text, *p->shown->object, called.patch, loop);
  if (!patched.ok() && patched.status().is(Reason::kBadRequest)) {
    return call_failed(
        hook, "received undecodable patch in webhook response: " + patched.status().message(), 503);
  }
  if (!patched.ok()) return refused(patched.status());
  if (!patched->applied) return called;
  *changed = patched->changed;
  annotate(*p->a, index_key(kPatch, p->round, i),
           words_of(hook) + ",\"patch\":" + called.patch + ",\"patchType\":\"JSONPatch\"}");
  p->shown->made = std::move(patched->object);
  p->shown->object = &p->shown->made.root;
  p->shown->object_text = object_text(*p->shown->kind, p->shown->object);
  p->full.set_object(p->shown->object);
  p->dirty = true;
  return called;
}

class Mutating final : public admission::Dynamic {
 public:
  Mutating(const Published* hooks, const auth::Auth* auth) : hooks_(hooks), auth_(auth) {}
  std::string_view name() const override { return "MutatingAdmissionWebhook"; }
  bool validates() const override { return false; }
  bool concerns(const admission::Attributes& a) const override {
    return webhooks::concerns(*hooks_->load(), a);
  }

  Task<Status> admit(Context ctx, const admission::Attributes* a, Document* object,
                     const Value* before) override {
    auto index = hooks_->load();
    if (!index->whole.ok()) co_return index->whole;
    const Hooks& hooks = index->hooks;
    std::shared_ptr<Memory> memory = Memory::of(this, *a, object);
    Pass pass(a, object, before);
    pass.round = a->reinvocation->second ? 1 : 0;
    Status s;
    for (size_t i = 0; i < hooks.size() && s.ok(); ++i) {
      s = co_await ask(ctx, &pass, hooks[i].get(), i, memory.get());
    }
    if (s.ok()) s = co_await take_back(ctx, &pass);
    if (s.ok() && object && !memory->asked.empty()) {
      memory->output = std::make_shared<Document>(object->clone());
    }
    co_return s;
  }

 private:
  Task<Status> ask(Context ctx, Pass* p, const Hook* hook, size_t i, Memory* memory) {
    auto match = hook->criteria.match(p->full.request());
    if (!match.ok()) co_return match.status();
    if (!match->has_value()) co_return Status();
    const matching::Match found = **match;
    if (!hook->conditions.empty()) {
      Status s = co_await show_as(ctx, p, found.resource);
      if (!s.ok()) co_return s;
      matching::Asking asking(auth_, ctx.loop().now());
      auto meets =
          co_await meets_conditions(ctx, hook, &p->full.request(), &found, p->shown.get(), &asking);
      if (!meets.ok()) co_return meets.status();
      if (!*meets) co_return Status();
    }
    // Nobody is asked in the second round for the first time.
    if (p->round == 1 && !memory->again.contains(hook->uid)) co_return Status();
    Status s = co_await show_as(ctx, p, found.resource);
    if (!s.ok()) co_return s;
    const TimePoint began = ctx.loop().now();
    Question q;
    q.hook = hook;
    q.attributes = p->a;
    q.request = &p->full.request();
    q.match = &found;
    q.shown = p->shown.get();
    Called called = co_await call(ctx, &q);
    bool changed = false;
    called = take_patch(p, *hook, std::move(called), i, ctx.loop(), &changed);
    annotate(*p->a, index_key(kMutation, p->round, i),
             words_of(*hook) + ",\"mutated\":" + (changed ? "true}" : "false}"));
    s = settle(q, called, ctx.loop().now() - began, index_key(kFailedOpen, p->round, i));
    if (changed) {
      memory->changed();
      p->a->reinvocation->wanted = true;
    }
    if (hook->reinvoked) memory->asked.insert(hook->uid);
    if (s.ok() && ctx.done()) {
      co_return Status::timeout("Timeout: request did not complete within requested timeout");
    }
    co_return s;
  }

  const Published* hooks_;
  const auth::Auth* auth_;
};

}  // namespace

std::shared_ptr<admission::Dynamic> make_mutating(const Published* hooks, const auth::Auth* auth) {
  return std::make_shared<Mutating>(hooks, auth);
}

}  // namespace keles::webhooks
