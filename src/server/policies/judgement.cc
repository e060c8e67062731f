#include "server/policies/judgement.h"

#include <optional>

#include "cel/text.h"

namespace keles::policies {
namespace {

double seconds_since(Loop& loop, TimePoint began) {
  return std::chrono::duration<double>(loop.now() - began).count();
}

// All of the policy as one decision.
Judgement failed(const Policy& policy, std::string message) {
  Judgement out;
  Decision& d = out.decisions.emplace_back();
  d.failed = true;
  d.denied = policy.fails;
  d.message = std::move(message);
  return out;
}

// What an expression gives for a message: nothing where it is of no use.
std::string usable(const cel::Val& v) {
  if (!v.is(cel::Val::Tag::kString)) return {};
  const std::string_view text = cel::trim_space(v.text());
  if (text.size() > cel::kMaxMessageBytes || text.find('\n') != text.npos) return {};
  return std::string(text);
}

// The messages of all validations, made whether they are needed or not: they cost.
struct Messages {
  std::vector<std::string> texts;
  std::string out_of_budget;
};
Messages make_messages(const Policy& policy, const cel::AdmissionInput& values, int64_t budget) {
  Messages out;
  cel::Evaluation evaluation(values, &policy.variables, budget);
  for (const Validation& v : policy.validations) {
    std::string& text = out.texts.emplace_back();
    if (!v.message || !out.out_of_budget.empty()) continue;
    const Result<cel::Val> made = evaluation.evaluate(*v.message);
    if (made.ok()) {
      text = usable(*made);
    } else {
      out.out_of_budget = made.status().message();
    }
  }
  if (!out.out_of_budget.empty()) out.texts.assign(policy.validations.size(), "");
  return out;
}

std::string message_of(const Validation& v, const std::string& made) {
  if (!made.empty()) return made;
  if (!v.fixed_message.empty()) return v.fixed_message;
  return "failed expression: " + std::string(cel::trim_space(v.expression.text));
}

Note note_of(const Policy& policy, const AuditAnnotation& a, const cel::Val& v) {
  Note out;
  out.key = a.key;
  if (v.is_error()) {
    out.kind = policy.fails ? Note::Kind::kFailed : Note::Kind::kNone;
    out.text = v.text();
  } else if (v.is(cel::Val::Tag::kString)) {
    out.text = cel::trim_space(v.text());
    out.kind = out.text.empty() ? Note::Kind::kNone : Note::Kind::kPublish;
  } else if (!v.is(cel::Val::Tag::kNull)) {
    out.kind = Note::Kind::kFailed;
    out.text = "valueExpression '" + a.value.text +
               "' resulted in unsupported return type: " + std::string(cel::type_name(v)) +
               ". Return type must be either string or null.";
  }
  return out;
}

// False when the budget is used up; `why` says so.
bool validate(const Policy& policy, const cel::AdmissionInput& values, Loop& loop, Judgement& out,
              std::string& why) {
  cel::Evaluation evaluation(values, &policy.variables);
  std::vector<bool> refused;
  for (const Validation& v : policy.validations) {
    const TimePoint began = loop.now();
    const Result<cel::Val> value = evaluation.evaluate(v.expression);
    if (!value.ok()) {
      why = value.status().message();
      return false;
    }
    Decision& d = out.decisions.emplace_back();
    d.seconds = seconds_since(loop, began);
    refused.push_back(!value->is_error() && !value->is_true());
    if (!value->is_error()) continue;
    d.failed = true;
    d.denied = policy.fails;
    d.message = value->text();
  }
  const Messages messages = make_messages(policy, values, evaluation.budget());
  for (size_t i = 0; i < out.decisions.size(); ++i) {
    Decision& d = out.decisions[i];
    if (d.failed) continue;
    if (!messages.out_of_budget.empty()) {
      d.failed = true;
      d.denied = policy.fails;
      d.message = "failed messageExpression: " + messages.out_of_budget;
    } else if (refused[i]) {
      d.denied = true;
      d.reason = policy.validations[i].reason;
      d.message = message_of(policy.validations[i], messages.texts[i]);
    }
  }
  return true;
}

bool annotate(const Policy& policy, const cel::AdmissionInput& values, Loop& loop, Judgement& out,
              std::string& why) {
  if (policy.annotations.empty()) return true;
  cel::Evaluation evaluation(values, &policy.variables);
  for (const AuditAnnotation& a : policy.annotations) {
    const TimePoint began = loop.now();
    const Result<cel::Val> value = evaluation.evaluate(a.value);
    if (!value.ok()) {
      why = value.status().message();
      return false;
    }
    Note note = note_of(policy, a, *value);
    note.seconds = seconds_since(loop, began);
    out.notes.push_back(std::move(note));
  }
  return true;
}

}  // namespace

Judgement judge(const Policy& policy, matching::Inputs& inputs, const Value* space,
                std::string_view operation, const matching::Asking& asking, Loop& loop) {
  if (!policy.conditions.empty()) {
    inputs.set_namespace(nullptr);
    const TimePoint began = loop.now();
    const matching::Verdict verdict = policy.conditions.evaluate(inputs, &policy.variables);
    if (asking.pending()) return {};
    if (!verdict.matches) {
      matching::observe_conditions(policy.name, "policy", "validate", operation,
                                   seconds_since(loop, began), verdict);
    }
    if (!verdict.error.empty()) return failed(policy, verdict.error);
    if (!verdict.matches) return {};
  }
  inputs.set_namespace(space);
  const cel::AdmissionInput values = inputs.values();
  Judgement out;
  std::string why;
  if (!validate(policy, values, loop, out, why) || !annotate(policy, values, loop, out, why)) {
    return failed(policy, std::move(why));
  }
  return out;
}

}  // namespace keles::policies
