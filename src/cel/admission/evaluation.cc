#include "cel/admission/evaluation.h"

#include "base/encoding.h"

namespace keles::cel {

class Evaluation::Variables final : public LazyFields {
 public:
  Variables(Evaluation* evaluation, const NamedExpressions& all)
      : evaluation_(evaluation), all_(all), made_(all.size()) {}

  bool find(Run& run, std::string_view name, Val& out) const override {
    // The last of those that have the name, as it is the one that others were compiled with.
    for (size_t i = all_.size(); i-- > 0;) {
      if (all_[i].name != name) continue;
      out = value(run, i);
      return true;
    }
    return false;
  }
  size_t size() const override { return all_.size(); }
  std::string_view name_at(size_t i) const override { return all_[i].name; }

 private:
  struct Made {
    std::unique_ptr<Run> run;  // the memory of the value
    Val value;
    bool begun = false, done = false;
  };

  Val value(Run& asks, size_t i) const {
    Made& made = made_[i];
    if (made.done) return made.value;
    const std::string name = quoted(all_[i].name);
    if (made.begun) return asks.error("composited variable " + name + " needs itself");
    if (depth_ >= kMaxDepth) {
      return asks.error("composited variable " + name + " needs too many others");
    }
    made.begun = true;
    made.run = std::make_unique<Run>();
    ++depth_;
    made.value = evaluate(*made.run, all_[i].expression, name);
    --depth_;
    made.done = true;
    return made.value;
  }

  Val evaluate(Run& run, const CompiledExpression& e, const std::string& name) const {
    if (e.program == nullptr) {
      return run.error("composited variable " + name + " fails to compile: " + e.error);
    }
    evaluation_->bind(run);
    const Val v = e.program->evaluate(run);
    evaluation_->spent_on_variables_ += static_cast<int64_t>(run.cost());
    if (!v.is_error()) return v;
    return run.error("composited variable " + name +
                     " fails to evaluate: " + std::string(v.text()));
  }

  Evaluation* evaluation_;
  const NamedExpressions& all_;
  mutable std::vector<Made> made_;
  mutable int depth_ = 0;
};

Evaluation::Evaluation(const AdmissionInput& input, const NamedExpressions* variables,
                       int64_t budget)
    : input_(input),
      authorizer_(input.authorizer, input.user),
      request_resource_(Opaque::Kind::kResourceCheck, authorizer_),
      budget_(budget) {
  request_resource_.query = input.resource;
  request_resource_.query.is_resource = true;
  if (variables != nullptr) variables_ = std::make_unique<Variables>(this, *variables);
  bind(run_);
}

Evaluation::~Evaluation() = default;

void Evaluation::bind(Run& run) const {
  const auto data = [&](size_t variable, const Value* v) {
    run.bind(variable, v == nullptr ? Val::null() : wrap(run, *v, nullptr));
  };
  data(kObjectVariable, input_.object);
  data(kOldObjectVariable, input_.old_object);
  data(kNamespaceVariable, input_.namespace_object);
  data(kRequestVariable, input_.request);
  data(kParamsVariable, input_.params);
  if (input_.authorizer != nullptr) {
    run.bind(kAuthorizerVariable, Val::opaque(&authorizer_));
    run.bind(kRequestResourceVariable, Val::opaque(&request_resource_));
  }
  if (variables_ != nullptr) run.bind(kVariablesVariable, Val::lazy(variables_.get()));
}

Result<Val> Evaluation::evaluate(const CompiledExpression& e) {
  if (e.program == nullptr) return run_.error("compilation error: " + e.error);
  const Val v = e.program->evaluate(run_);
  budget_ -= spent_on_variables_;
  spent_on_variables_ = 0;
  if (budget_ >= 0) budget_ -= static_cast<int64_t>(run_.cost());
  if (budget_ < 0) return Status(Reason::kInvalid, std::string(kOutOfBudget));
  if (!v.is_error()) return v;
  return run_.error("expression '" + e.text + "' resulted in error: " + std::string(v.text()));
}

}  // namespace keles::cel
