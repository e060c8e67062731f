// ValidatingAdmissionPolicy: every policy is asked, and what they refuse is told by the first.
#include <algorithm>
#include <utility>

#include "machinery/codec_json.h"
#include "server/policies/judgement.h"
#include "server/policies/metrics.h"
#include "server/policies/plugins.h"
#include "server/policies/request.h"

namespace keles::policies {
namespace {

constexpr size_t kMostAnnotation = 10 * 1024;

struct Denial {
  std::string message;
  Reason reason = Reason::kInvalid;
};

// One request's way past the policies.
struct Pass {
  Pass(const Sources* sources, const admission::Attributes* a, const Value* object,
       const Value* before, TimePoint now)
      : sources(sources),
        a(a),
        object(object),
        before(before),
        full(*a, object, before),
        asking(sources->auth, now) {}
  const Sources* sources;
  const admission::Attributes* a;
  const Value *object, *before;
  matching::FullRequest full;
  matching::Asking asking;
  CatalogPtr catalog;
  std::shared_ptr<Seen> seen;  // as it was asked for last
  const KindDesc* seen_for = nullptr;
  Document space;  // the namespace
  bool has_space = false;
  std::vector<Denial> denied;
  TimePoint began;  // since when the loop has been this request's
};

// One policy, and what its bindings publish together.
struct Asked {
  const Policy* policy = nullptr;
  matching::Match match;
  std::vector<std::pair<std::string, std::vector<std::string>>> annotations;

  void publish(const std::string& key, std::string value) {
    if (value.size() > kMostAnnotation) value.resize(kMostAnnotation);
    auto at = std::find_if(annotations.begin(), annotations.end(),
                           [&](const auto& known) { return known.first == key; });
    if (at == annotations.end()) at = annotations.insert(at, {key, {}});
    auto& values = at->second;
    if (std::find(values.begin(), values.end(), value) == values.end()) {
      values.push_back(std::move(value));
    }
  }
};

// The first who says something under a key has said it.
void add_annotation(const admission::Attributes& a, std::string key, std::string value) {
  if (!a.annotations) return;
  for (const auto& [known, text] : *a.annotations) {
    if (known == key) return;
  }
  a.annotations->emplace_back(std::move(key), std::move(value));
}

std::string denied_by(const Policy& policy, const Binding* binding, const std::string& message) {
  std::string out = "ValidatingAdmissionPolicy '" + policy.name + "'";
  if (binding) out += " with binding '" + binding->name + "'";
  return out + " denied request: " + message;
}

// What is wrong with the configuration is a refusal, unless failures do not count.
void add_fault(Pass& p, const Policy& policy, const Binding* binding, const std::string& why) {
  if (!policy.fails) return;
  const std::string what =
      binding ? "failed to configure binding: " : "failed to configure policy: ";
  p.denied.push_back({denied_by(policy, binding, what + why), Reason::kInvalid});
}

std::string failure_text(const Binding& binding, size_t index, const std::string& message) {
  std::string out = "[{\"message\":";
  write_json_string(out, message);
  out += ",\"policy\":";
  write_json_string(out, binding.policy);
  out += ",\"binding\":";
  write_json_string(out, binding.name);
  out += ",\"expressionIndex\":" + std::to_string(index) + ",\"validationActions\":[";
  for (const std::string& action : binding.actions) {
    if (&action != &binding.actions.front()) out += ',';
    write_json_string(out, action);
  }
  return out + "]}]";
}

void carry_out(Pass& p, const Policy& policy, const Binding& binding, size_t index,
               const Decision& d) {
  const std::string_view error = error_type(d.message);
  const auto observe = [&](std::string_view action) {
    observe_validation(policy.name, binding.name, error, action, d.seconds);
  };
  if (!d.denied) {
    if (d.failed) observe("allow");
    return;
  }
  for (const std::string& action : binding.actions) {
    if (action == "Deny") {
      p.denied.push_back({denied_by(policy, &binding, d.message), d.reason});
      observe("deny");
    } else if (action == "Audit") {
      add_annotation(*p.a, "validation.policy.admission.k8s.io/validation_failure",
                     failure_text(binding, index, d.message));
      observe("audit");
    } else if (action == "Warn") {
      if (p.a->warnings) {
        p.a->warnings->push_back("Validation failed for ValidatingAdmissionPolicy '" + policy.name +
                                 "' with binding '" + binding.name + "': " + d.message);
      }
      observe("warn");
    }
  }
}

void carry_out(Pass& p, Asked& asked, const Binding& binding, const Judgement& judgement) {
  const Policy& policy = *asked.policy;
  for (size_t i = 0; i < judgement.decisions.size(); ++i) {
    carry_out(p, policy, binding, i, judgement.decisions[i]);
  }
  for (const Note& note : judgement.notes) {
    if (note.kind == Note::Kind::kPublish) {
      asked.publish(note.key, note.text);
    } else if (note.kind == Note::Kind::kFailed) {
      p.denied.push_back({denied_by(policy, &binding, note.text), Reason::kInvalid});
      observe_validation(policy.name, binding.name, error_type(note.text), "deny", note.seconds);
    }
  }
}

// Has the objects shown as the policy wants them.
Task<Status> show(Context ctx, Pass* p, const KindDesc* resource) {
  if (p->seen && p->seen_for == resource) co_return Status();
  auto seen = co_await see(ctx, p->a, resource, p->object, p->before);
  if (!seen.ok()) co_return seen.status();
  p->seen = std::move(*seen);
  p->seen_for = resource;
  co_return Status();
}

Task<Status> ask_binding(Context ctx, Pass* p, Asked* asked, const KindDesc* param_kind,
                         const Binding* binding) {
  const Policy& policy = *asked->policy;
  const matching::Request& request = p->full.request();
  auto match = binding->criteria.match(request);
  if (!match.ok()) {
    add_fault(*p, policy, binding, match.status().message());
    co_return Status();
  }
  if (!match->has_value()) co_return Status();
  auto params = co_await collect_params(ctx, &request, param_kind, &policy, binding);
  if (!params.ok()) {
    add_fault(*p, policy, binding, params.status().message());
    co_return Status();
  }
  if (params->empty()) co_return Status();
  Status shown = co_await show(ctx, p, asked->match.resource);
  if (!shown.ok()) {
    add_fault(*p, policy, binding, "failed to convert object version: " + shown.message());
    co_return Status();
  }
  if (!p->has_space) {
    Status s = read_request_namespace(*p->a, request, &p->space);
    if (!s.ok()) co_return s;
    p->has_space = true;
  }
  for (const Param& param : *params) {
    matching::Inputs inputs(&request, asked->match, p->seen->object_value(),
                            p->seen->before_value(), p->asking.variable());
    inputs.set_params(param.value ? &param.value->root : nullptr);
    Judgement judgement;
    for (;;) {
      judgement = judge(policy, inputs, &p->space.root, request.operation, p->asking, ctx.loop());
      if (!p->asking.pending()) break;
      co_await p->asking.ask(ctx);
    }
    carry_out(*p, *asked, *binding, judgement);
    Status s = co_await rest(ctx, &p->began);
    if (!s.ok()) co_return s;
  }
  co_return Status();
}

Task<Status> ask_policy(Context ctx, Pass* p, const Hook* hook) {
  const Policy& policy = *hook->policy;
  auto match = policy.criteria.match(p->full.request());
  if (!match.ok()) {
    add_fault(*p, policy, nullptr, match.status().message());
    co_return Status();
  }
  if (!match->has_value()) co_return Status();
  auto kind = find_param_kind(policy, *p->catalog);
  if (!kind.ok()) {
    add_fault(*p, policy, nullptr, kind.status().message());
    co_return Status();
  }
  Asked asked;
  asked.policy = &policy;
  asked.match = **match;
  for (const auto& binding : hook->bindings) {
    Status s = co_await ask_binding(ctx, p, &asked, *kind, binding.get());
    if (!s.ok()) co_return s;
  }
  for (auto& [key, values] : asked.annotations) {
    std::string text;
    for (const std::string& v : values) text += (text.empty() ? "" : ", ") + v;
    add_annotation(*p->a, policy.name + "/" + key, std::move(text));
  }
  co_return Status();
}

// What is refused, in the words of the first who refused.
Status verdict(const Pass& p) {
  if (p.denied.empty()) return {};
  const Denial& first = p.denied.front();
  const Status status = forbidden(*p.a, first.message);
  StatusDetails details = status.details();
  details.causes.push_back({"", first.message, ""});
  return Status(first.reason, status.message(), std::move(details));
}

class Validating final : public admission::Dynamic {
 public:
  explicit Validating(const Sources* sources) : sources_(sources) {}
  std::string_view name() const override { return "ValidatingAdmissionPolicy"; }
  bool admits() const override { return false; }
  bool concerns(const admission::Attributes& a) const override {
    return policies::concerns(*sources_, a);
  }

  Task<Status> validate(Context ctx, const admission::Attributes* a, const Value* object,
                        const Value* before) override {
    const std::shared_ptr<const Index> index = sources_->index.load();
    if (!index->whole().ok()) co_return index->whole();
    Pass pass(sources_, a, object, before, ctx.loop().now());
    pass.catalog = sources_->kinds->current();
    pass.began = ctx.loop().now();
    const std::vector<const Hook*> hooks = index->candidates(pass.full.request());
    for (const Hook* hook : hooks) {
      Status s = co_await ask_policy(ctx, &pass, hook);
      if (!s.ok()) co_return s;
    }
    co_return verdict(pass);
  }

 private:
  const Sources* sources_;
};

}  // namespace

std::shared_ptr<admission::Dynamic> make_validating(const Sources* sources) {
  return std::make_shared<Validating>(sources);
}

}  // namespace keles::policies
