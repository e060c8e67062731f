// MutatingAdmissionPolicy: one policy after the other, each shown what the one before it made.
#include <string>
#include <utility>

#include "server/admission/round_memory.h"
#include "server/policies/metrics.h"
#include "server/policies/mutation.h"
#include "server/policies/plugins.h"
#include "server/policies/request.h"
#include "server/registry/versions.h"

namespace keles::policies {
namespace {

using Memory = admission::RoundMemory;

struct Fault {
  std::string message;
  bool invalid = false;  // the answer's reason; else Forbidden
};

// A policy that concerns the request, by one binding, with one param.
struct Invocation {
  const Policy* policy = nullptr;
  const Binding* binding = nullptr;
  matching::Match match;
  Param param;
  std::string key() const { return policy->name + "\n" + binding->name + "\n" + param.key; }
};

// One request's way past the policies.
struct Pass {
  Pass(const Sources* sources, const admission::Attributes* a, Document* object,
       const Value* before, TimePoint now)
      : sources(sources),
        a(a),
        object(object),
        before(before),
        full(*a, &object->root, before),
        asking(sources->auth, now) {}
  const Sources* sources;
  const admission::Attributes* a;
  Document* object;  // as the registry holds it
  const Value* before;
  matching::FullRequest full;
  matching::Asking asking;
  CatalogPtr catalog;
  std::vector<Invocation> invocations;
  // The version that policies work on now.
  const KindDesc* resource = nullptr;  // null: nobody has worked yet
  Document tree;                       // as the registry would hold it
  std::shared_ptr<Seen> seen;          // as policies see it
  bool dirty = false;                  // `tree` was changed since it was made of `object`
  Document space;                      // the namespace
  std::vector<Fault> faults;
  TimePoint began;  // since when the loop has been this request's
};

void add_fault(Pass& p, const Policy& policy, const Binding* binding, const std::string& why,
               bool invalid = false) {
  if (!policy.fails) return;
  std::string text = binding ? "policy '" + policy.name + "' with binding '" + binding->name + "'"
                             : "policy \"" + policy.name + "\"";
  p.faults.push_back({text + " denied request: " + why, invalid});
}

Task<Status> collect(Context ctx, Pass* p, const Hook* hook) {
  const Policy& policy = *hook->policy;
  const matching::Request& request = p->full.request();
  auto match = policy.criteria.match(request);
  if (!match.ok()) {
    add_fault(*p, policy, nullptr, "failed to configure policy: " + match.status().message());
    co_return Status();
  }
  if (!match->has_value()) co_return Status();
  auto kind = find_param_kind(policy, *p->catalog);
  if (!kind.ok()) {
    add_fault(*p, policy, nullptr, "failed to configure policy: " + kind.status().message());
    co_return Status();
  }
  for (const auto& binding : hook->bindings) {
    auto bound = binding->criteria.match(request);
    Status wrong = bound.status();
    if (wrong.ok() && !bound->has_value()) continue;
    std::vector<Param> params;
    if (wrong.ok()) {
      auto found = co_await collect_params(ctx, &request, *kind, &policy, binding.get());
      wrong = found.status();
      if (wrong.ok()) params = std::move(*found);
    }
    if (!wrong.ok()) {
      add_fault(*p, policy, binding.get(), "failed to configure binding: " + wrong.message());
      continue;
    }
    for (Param& param : params) {
      Invocation made;
      made.policy = &policy;
      made.binding = binding.get();
      made.match = **match;
      made.param = std::move(param);
      p->invocations.push_back(std::move(made));
    }
  }
  co_return Status();
}

// Brings what was changed back into the object.
Task<Status> take_back(Context ctx, Pass* p) {
  if (p->dirty) {
    auto made = co_await registry::as_version(ctx, p->seen->kind, &registry::worked_kind(*p->a),
                                              &p->tree.root);
    if (!made.ok()) {
      co_return Status::internal("failed to convert object: " + made.status().message());
    }
    *p->object = std::move(*made);
    p->full.set_object(&p->object->root);
  }
  p->dirty = false;
  p->resource = nullptr;
  co_return Status();
}

// Has the object worked on as `resource`.
Task<Status> work_as(Context ctx, Pass* p, const KindDesc* resource) {
  if (p->resource == resource) co_return Status();
  Status s = co_await take_back(ctx, p);
  if (!s.ok()) co_return s;
  auto seen = co_await see(ctx, p->a, resource, &p->object->root, p->before);
  if (!seen.ok()) co_return Status::internal(seen.status().message());
  p->seen = std::move(*seen);
  auto made = co_await registry::as_version(ctx, &registry::worked_kind(*p->a), p->seen->kind,
                                            &p->object->root);
  if (!made.ok()) co_return Status::internal(made.status().message());
  p->tree = std::move(*made);
  p->resource = resource;
  co_return Status();
}

// After a mutation: the next sees what it made.
void take(Pass& p, Document made) {
  p.tree = std::move(made);
  p.dirty = true;
  p.seen->object = api_form(*p.seen->kind, p.tree.root);
}

// Whether the conditions let it be invoked; what failed has been told. True, too, while somebody is
// to be asked.
bool meets_conditions(Pass& p, const Invocation& i, matching::Inputs& inputs, Loop& loop) {
  const Policy& policy = *i.policy;
  if (policy.conditions.empty()) return true;
  const TimePoint began = loop.now();
  const matching::Verdict verdict = policy.conditions.evaluate(inputs, &policy.variables);
  if (verdict.matches || p.asking.pending()) return true;
  matching::observe_conditions(policy.name, "policy", "validate", p.full.request().operation,
                               std::chrono::duration<double>(loop.now() - began).count(), verdict);
  if (!verdict.error.empty()) add_fault(p, policy, i.binding, verdict.error, true);
  return false;
}

Task<Status> invoke(Context ctx, Pass* p, const Invocation* i, Memory* memory) {
  Status s = co_await work_as(ctx, p, i->match.resource);
  if (!s.ok()) co_return s;
  Loop& loop = ctx.loop();
  const auto inputs_now = [&] {
    matching::Inputs inputs(&p->full.request(), i->match, p->seen->object_value(),
                            p->seen->before_value(), p->asking.variable());
    inputs.set_params(i->param.value ? &i->param.value->root : nullptr);
    return inputs;
  };
  for (;;) {
    matching::Inputs inputs = inputs_now();
    const bool meets = meets_conditions(*p, *i, inputs, loop);
    if (!meets) co_return Status();
    if (!p->asking.pending()) break;
    co_await p->asking.ask(ctx);
  }
  const Policy& policy = *i->policy;
  const std::string key = i->key();
  // Nobody is asked in the second round for the first time.
  if (p->a->reinvocation->second && !memory->again.contains(key)) co_return Status();
  bool changed = false;
  for (const Mutation& m : policy.mutations) {
    matching::Inputs inputs = inputs_now();
    inputs.set_namespace(&p->space.root);
    const cel::AdmissionInput values = inputs.values();
    TimePoint began = loop.now();
    Mutated made = mutate(policy, m, values, *p->seen->kind, p->tree.root, loop);
    while (p->asking.pending()) {
      co_await p->asking.ask(ctx);
      began = loop.now();
      made = mutate(policy, m, values, *p->seen->kind, p->tree.root, loop);
    }
    const std::string why = made.fatal.ok() ? made.error : made.fatal.message();
    observe_mutation(policy.name, i->binding->name, error_type(why),
                     std::chrono::duration<double>(loop.now() - began).count());
    if (!made.fatal.ok()) co_return made.fatal;
    if (!made.error.empty()) add_fault(*p, policy, i->binding, made.error, true);
    if (!made.applied) continue;
    changed = changed || !made.object.root.equals(p->tree.root);
    take(*p, std::move(made.object));
  }
  if (changed) {
    memory->changed();
    p->a->reinvocation->wanted = true;
  }
  if (policy.reinvoked) memory->asked.insert(key);
  co_return Status();
}

// What is refused: by all that refuse, in the words of the first.
Status verdict(const Pass& p) {
  if (p.faults.empty()) return {};
  const Fault& first = p.faults.front();
  StatusDetails details = forbidden(*p.a, "").details();
  for (const Fault& f : p.faults) details.causes.push_back({"", f.message, ""});
  return Status(first.invalid ? Reason::kInvalid : Reason::kForbidden, first.message,
                std::move(details), 403);
}

class Mutating final : public admission::Dynamic {
 public:
  explicit Mutating(const Sources* sources) : sources_(sources) {}
  std::string_view name() const override { return "MutatingAdmissionPolicy"; }
  bool validates() const override { return false; }
  bool concerns(const admission::Attributes& a) const override {
    return a.operation != admission::Operation::kDelete && policies::concerns(*sources_, a);
  }

  Task<Status> admit(Context ctx, const admission::Attributes* a, Document* object,
                     const Value* before) override {
    if (!object) co_return Status();
    const std::shared_ptr<const Index> index = sources_->index.load();
    if (!index->whole().ok()) co_return index->whole();
    std::shared_ptr<Memory> memory = Memory::of(this, *a, object);
    Pass pass(sources_, a, object, before, ctx.loop().now());
    pass.catalog = sources_->kinds->current();
    pass.began = ctx.loop().now();
    const std::vector<const Hook*> hooks = index->candidates(pass.full.request());
    Status s;
    for (const Hook* hook : hooks) {
      s = co_await collect(ctx, &pass, hook);
      if (!s.ok()) co_return s;
    }
    if (!pass.invocations.empty()) {
      s = read_request_namespace(*a, pass.full.request(), &pass.space);
    }
    for (size_t i = 0; i < pass.invocations.size() && s.ok(); ++i) {
      s = co_await invoke(ctx, &pass, &pass.invocations[i], memory.get());
      if (s.ok()) s = co_await rest(ctx, &pass.began);
    }
    if (!s.ok()) co_return s;
    s = co_await take_back(ctx, &pass);
    if (!s.ok()) co_return s;
    if (!memory->asked.empty()) memory->output = std::make_shared<Document>(object->clone());
    co_return verdict(pass);
  }

 private:
  const Sources* sources_;
};

}  // namespace

std::shared_ptr<admission::Dynamic> make_mutating(const Sources* sources) {
  return std::make_shared<Mutating>(sources);
}

}  // namespace keles::policies
