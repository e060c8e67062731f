// Templates at work: each node of the tree over a value, as text/template walks it.
#include "kubectl/go_template.h"

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "kubectl/errors.h"
#include "kubectl/go_format.h"
#include "kubectl/go_template_tree.h"

namespace keles::kubectl {
namespace {

using Node = TemplateNode;
using Kind = GoValue::Kind;
using Takes = TemplateFunction::Takes;
using Evaluated = Result<GoValue>;

constexpr int kMaxCalls = 200, kMaxDepth = 2000;
constexpr uint64_t kMaxSteps = 10'000'000;
constexpr size_t kMaxMade = 64u << 20;

enum class Flow { kNext, kBreak, kContinue };

// What is counted over all templates of one execution.
struct Budget {
  uint64_t steps = 0;
  size_t made = 0;
  int depth = 0;
};

class Run {
 public:
  Run(const TemplateSet& set, std::string_view name, bool allow_missing, Budget& budget,
      std::string* out)
      : set_(set), name_(name), allow_missing_(allow_missing), budget_(budget), out_(out) {}

  Status execute(const Node& root, const GoValue& data, int calls) {
    calls_ = calls;
    variables_.push_back({"$", data});
    TRY(walk(data, root));
    return Status();
  }

 private:
  struct Variable {
    std::string name;
    GoValue value;
  };
  struct Deeper {
    explicit Deeper(Budget& b) : budget(b) { ++budget.depth; }
    ~Deeper() { --budget.depth; }
    Budget& budget;
  };

  void at(const Node& n) { node_ = &n; }
  Status error(std::string message) const;
  Status step();
  Status write(std::string_view text);

  Result<Flow> walk(const GoValue& dot, const Node& n);
  Result<Flow> branch(const GoValue& dot, const Node& n);
  Result<Flow> range(const GoValue& dot, const Node& n);
  Result<Flow> iterate(const Node& n, const GoValue& index, const GoValue& element);
  Status call_template(const GoValue& dot, const Node& n);

  Evaluated pipeline(const GoValue& dot, const Node& pipe);
  Evaluated command(const GoValue& dot, const Node& command, const GoValue* last);
  Evaluated variable(const Node& n, std::span<const Node::Ptr> args, const GoValue* last);
  Evaluated chain(const GoValue& dot, const Node& n, std::span<const Node::Ptr> args,
                  const GoValue* last);
  Evaluated fields(GoValue receiver, std::span<const std::string> names,
                   std::span<const Node::Ptr> args, const GoValue* last);
  Evaluated field(const GoValue& receiver, const std::string& name, bool has_arguments);
  Evaluated function(const GoValue& dot, const Node& n, const Node& whole,
                     std::span<const Node::Ptr> args, const GoValue* last);
  Evaluated choose(const GoValue& dot, bool is_or, std::span<const Node::Ptr> args,
                   const GoValue* last);
  Evaluated argument(const GoValue& dot, std::optional<Takes> takes, const Node& n);
  Evaluated as(std::optional<Takes> takes, const GoValue& v);
  Status no_function(std::span<const Node::Ptr> args, const GoValue* last);
  Status set_variable(const std::string& name, const GoValue& v);

  const TemplateSet& set_;
  std::string_view name_;
  bool allow_missing_;
  Budget& budget_;
  std::string* out_;
  const Node* node_ = nullptr;
  int calls_ = 0;
  std::vector<Variable> variables_;
};

Status Run::error(std::string message) const {
  std::string_view before = std::string_view(set_.text).substr(0, node_->position);
  size_t line_start = before.rfind('\n');
  size_t column = line_start == before.npos ? before.size() : before.size() - line_start - 1;
  long lines = std::count(before.begin(), before.end(), '\n');
  return failure("template: " + set_.name + ":" + std::to_string(lines + 1) + ":" +
                 std::to_string(column) + ": executing " + go_quote(name_) + " at <" +
                 node_->to_string() + ">: " + std::move(message));
}

Status Run::step() {
  if (++budget_.steps > kMaxSteps) return error("more than 10000000 steps");
  if (budget_.depth > kMaxDepth) return error("exceeded maximum depth (2000)");
  return Status();
}

Status Run::write(std::string_view text) {
  if (out_->size() + text.size() > kMaxGoText) return error("more than 64 MiB of output");
  *out_ += text;
  return Status();
}

Result<Flow> Run::walk(const GoValue& dot, const Node& n) {
  at(n);
  Deeper deeper(budget_);
  TRY(step());
  switch (n.type) {
    case Node::Type::kText:
      TRY(write(n.text));
      return Flow::kNext;
    case Node::Type::kAction: {
      TRY_ASSIGN(value, pipeline(dot, *n.pipe));
      if (!n.pipe->declared.empty()) return Flow::kNext;
      at(n);
      if (!value.valid()) {
        TRY(write("<no value>"));
      } else {
        TRY_ASSIGN(text, go_sprint(std::span<const GoValue>(&value, 1)));
        TRY(write(text));
      }
      return Flow::kNext;
    }
    case Node::Type::kBreak:
      return Flow::kBreak;
    case Node::Type::kContinue:
      return Flow::kContinue;
    case Node::Type::kIf:
    case Node::Type::kWith:
      return branch(dot, n);
    case Node::Type::kRange:
      return range(dot, n);
    case Node::Type::kTemplate:
      TRY(call_template(dot, n));
      return Flow::kNext;
    default:
      for (const Node::Ptr& part : n.parts) {
        TRY_ASSIGN(flow, walk(dot, *part));
        if (flow != Flow::kNext) return Flow(flow);
      }
      return Flow::kNext;
  }
}

Result<Flow> Run::branch(const GoValue& dot, const Node& n) {
  const size_t scope = variables_.size();
  TRY_ASSIGN(value, pipeline(dot, *n.pipe));
  Result<Flow> flow = Flow::kNext;
  if (is_true(value)) {
    flow = walk(n.type == Node::Type::kWith ? value : dot, *n.list);
  } else if (n.else_list) {
    flow = walk(dot, *n.else_list);
  }
  variables_.resize(scope);
  return flow;
}

Result<Flow> Run::iterate(const Node& n, const GoValue& index, const GoValue& element) {
  const std::vector<Node::Ptr>& declared = n.pipe->declared;
  const size_t scope = variables_.size();
  if (!declared.empty() && n.pipe->assigns) {
    TRY(set_variable(declared[0]->names[0], declared.size() > 1 ? index : element));
    if (declared.size() > 1) TRY(set_variable(declared[1]->names[0], element));
  } else if (!declared.empty()) {
    variables_[scope - 1].value = element;
    if (declared.size() > 1) variables_[scope - 2].value = index;
  }
  at(n);
  TRY(step());
  Result<Flow> flow = walk(element, *n.list);
  variables_.resize(scope);
  return flow;
}

Result<Flow> Run::range(const GoValue& dot, const Node& n) {
  const size_t outer = variables_.size();
  TRY_ASSIGN(value, pipeline(dot, *n.pipe));
  bool any = false;
  // True to go on.
  auto one = [&](const GoValue& index, const GoValue& element) -> Result<bool> {
    any = true;
    TRY_ASSIGN(flow, iterate(n, index, element));
    return flow != Flow::kBreak;
  };
  if (value.kind == Kind::kList) {
    for (size_t i = 0; i < value.count; ++i) {
      TRY_ASSIGN(more, one(GoValue::integer(static_cast<int64_t>(i)), value.element(i)));
      if (!more) break;
    }
  } else if (value.kind == Kind::kMap) {
    std::vector<const Member*> members;
    for (const Member& m : value.tree->members()) members.push_back(&m);
    std::sort(members.begin(), members.end(),
              [](const Member* a, const Member* b) { return a->key() < b->key(); });
    for (const Member* m : members) {
      TRY_ASSIGN(more,
                 one(GoValue::of(Value::string(m->key()), false), GoValue::of(m->value, true)));
      if (!more) break;
    }
  } else if (value.integral()) {
    if (n.pipe->declared.size() > 1) {
      return error("can't use " + std::to_string(value.i) +
                   " to iterate over more than one variable");
    }
    for (int64_t i = 0; i < value.i; ++i) {
      TRY_ASSIGN(more, one(GoValue(), GoValue::integer(i, value.kind)));
      if (!more) break;
    }
  } else if (!value.nothing()) {
    TRY_ASSIGN(text, go_sprint(std::span<const GoValue>(&value, 1)));
    return error("range can't iterate over " + text);
  }
  Result<Flow> flow = Flow::kNext;
  if (!any && n.else_list) flow = walk(dot, *n.else_list);
  variables_.resize(outer);
  return flow;
}

Status Run::call_template(const GoValue& dot, const Node& n) {
  auto found = set_.templates.find(n.value);
  if (found == set_.templates.end()) {
    return error("template " + go_quote(n.value) + " not defined");
  }
  if (calls_ == kMaxCalls) {
    return error("exceeded maximum template depth (" + std::to_string(kMaxCalls) + ")");
  }
  GoValue data;
  if (n.pipe) {
    TRY_ASSIGN(value, pipeline(dot, *n.pipe));
    data = value;
  }
  Run inner(set_, found->first, allow_missing_, budget_, out_);
  return inner.execute(*found->second, data, calls_ + 1);
}

Evaluated Run::pipeline(const GoValue& dot, const Node& pipe) {
  at(pipe);
  Deeper deeper(budget_);
  TRY(step());
  GoValue value;
  const GoValue* last = nullptr;
  for (const Node::Ptr& one : pipe.parts) {
    TRY_ASSIGN(made, command(dot, *one, last));
    value = made.inner();
    last = &value;
  }
  for (const Node::Ptr& v : pipe.declared) {
    if (pipe.assigns) {
      TRY(set_variable(v->names[0], value));
    } else {
      variables_.push_back({v->names[0], value});
    }
  }
  return value;
}

Status Run::no_function(std::span<const Node::Ptr> args, const GoValue* last) {
  if (args.size() <= 1 && !last) return Status();
  return error("can't give argument to non-function " + args[0]->to_string());
}

Evaluated Run::command(const GoValue& dot, const Node& command, const GoValue* last) {
  const std::vector<Node::Ptr>& args = command.parts;
  const Node& first = *args[0];
  switch (first.type) {
    case Node::Type::kField:
      at(first);
      return fields(dot, first.names, args, last);
    case Node::Type::kChain:
      return chain(dot, first, args, last);
    case Node::Type::kIdentifier:
      return function(dot, first, command, args, last);
    case Node::Type::kPipe:
      TRY(no_function(args, last));
      return pipeline(dot, first);
    case Node::Type::kVariable:
      return variable(first, args, last);
    default:
      break;
  }
  at(first);
  TRY(no_function(args, last));
  if (first.type == Node::Type::kDot) return dot;
  if (first.type == Node::Type::kNil) return error("nil is not a command");
  if (!first.constant.valid()) return error(first.text + " overflows int");
  return first.constant;
}

Evaluated Run::variable(const Node& n, std::span<const Node::Ptr> args, const GoValue* last) {
  at(n);
  const GoValue* value = nullptr;
  for (const Variable& v : variables_) {
    if (v.name == n.names[0]) value = &v.value;
  }
  if (!value) return error("undefined variable: " + n.names[0]);
  if (n.names.size() == 1) {
    TRY(no_function(args, last));
    return *value;
  }
  return fields(*value, std::span(n.names).subspan(1), args, last);
}

Status Run::set_variable(const std::string& name, const GoValue& v) {
  for (size_t i = variables_.size(); i-- > 0;) {
    if (variables_[i].name != name) continue;
    variables_[i].value = v;
    return Status();
  }
  return error("undefined variable: " + name);
}

Evaluated Run::chain(const GoValue& dot, const Node& n, std::span<const Node::Ptr> args,
                     const GoValue* last) {
  at(n);
  TRY_ASSIGN(receiver, argument(dot, std::nullopt, *n.parts[0]));
  return fields(receiver, n.names, args, last);
}

Evaluated Run::fields(GoValue receiver, std::span<const std::string> names,
                      std::span<const Node::Ptr> args, const GoValue* last) {
  for (size_t i = 0; i < names.size(); ++i) {
    const bool has_arguments = i + 1 == names.size() && (args.size() > 1 || last);
    TRY_ASSIGN(inside, field(receiver, names[i], has_arguments));
    receiver = inside;
  }
  return receiver;
}

Evaluated Run::field(const GoValue& receiver, const std::string& name, bool has_arguments) {
  if (!receiver.valid()) {
    if (!allow_missing_) return error("nil data; no entry for key " + go_quote(name));
    return GoValue();
  }
  if (receiver.kind == Kind::kNil) return error("nil pointer evaluating interface {}." + name);
  if (receiver.kind != Kind::kMap) {
    return error("can't evaluate field " + name + " in type " +
                 std::string(receiver.static_type()));
  }
  if (has_arguments) return error(name + " is not a method but has arguments");
  if (const Value* found = receiver.tree->find(name)) return GoValue::of(*found, true);
  if (!allow_missing_) return error("map has no entry for key " + go_quote(name));
  return GoValue();
}

// `takes`: nothing when any value will do as it is.
Evaluated Run::as(std::optional<Takes> takes, const GoValue& v) {
  if (!takes || *takes == Takes::kReflected) return v;
  if (*takes == Takes::kAny) return v.inner();
  if (!v.valid()) return error("invalid value; expected string");
  if (v.kind != Kind::kString) {
    return error("wrong type for value; expected string; got " + std::string(v.type()));
  }
  return v.inner();
}

Evaluated Run::argument(const GoValue& dot, std::optional<Takes> takes, const Node& n) {
  at(n);
  const std::span<const Node::Ptr> none;
  Evaluated value = GoValue();
  switch (n.type) {
    case Node::Type::kDot:
      return as(takes, dot);
    case Node::Type::kNil:
      if (takes == Takes::kString) return error("cannot assign nil to string");
      return GoValue();
    case Node::Type::kField:
      value = fields(dot, n.names, none, nullptr);
      break;
    case Node::Type::kVariable:
      value = variable(n, none, nullptr);
      break;
    case Node::Type::kPipe:
      value = pipeline(dot, n);
      break;
    case Node::Type::kIdentifier:
      value = function(dot, n, n, none, nullptr);
      break;
    case Node::Type::kChain:
      value = chain(dot, n, none, nullptr);
      break;
    default:
      if (takes == Takes::kString && n.type != Node::Type::kString) {
        return error("expected string; found " + n.to_string());
      }
      if (!n.constant.valid()) return error(n.text + " overflows int");
      return n.constant;
  }
  if (!value.ok()) return value;
  return as(takes, *value);
}

// and, or: arguments only as far as they count.
Evaluated Run::choose(const GoValue& dot, bool is_or, std::span<const Node::Ptr> args,
                      const GoValue* last) {
  GoValue value;
  for (const Node::Ptr& arg : args) {
    TRY_ASSIGN(one, argument(dot, Takes::kReflected, *arg));
    value = one;
    if (is_true(value) == is_or) return value;
  }
  return last ? *last : value;
}

Evaluated Run::function(const GoValue& dot, const Node& n, const Node& whole,
                        std::span<const Node::Ptr> args, const GoValue* last) {
  at(n);
  const TemplateFunction& f = *template_function(n.text);
  const std::string name = f.name;
  if (!args.empty()) args = args.subspan(1);
  const size_t given = args.size() + (last ? 1 : 0);
  if (f.variadic && given < f.fixed) {
    return error("wrong number of args for " + name + ": want at least " + std::to_string(f.fixed) +
                 " got " + std::to_string(args.size()));
  }
  if (!f.variadic && given != f.fixed) {
    return error("wrong number of args for " + name + ": want " + std::to_string(f.fixed) +
                 " got " + std::to_string(given));
  }
  if (name == "and" || name == "or") return choose(dot, name == "or", args, last);
  std::vector<GoValue> values;
  for (const Node::Ptr& arg : args) {
    TRY_ASSIGN(one, argument(dot, values.empty() ? f.first : f.rest, *arg));
    values.push_back(one);
  }
  if (last) {
    TRY_ASSIGN(one, as(values.empty() ? f.first : f.rest, *last));
    values.push_back(one);
  }
  Evaluated made = GoValue();
  if (name == "call") {
    // No value of a tree is a function.
    const GoValue& v = values[0];
    std::string callee = args.empty() ? v.kind == Kind::kString ? std::string(v.s)
                                        : !v.valid()            ? "<invalid Value>"
                                                     : "<" + std::string(v.type()) + " Value>"
                                      : args[0]->to_string();
    made = failure(v.nothing() ? "call of nil"
                               : "non-function " + callee + " of type " + std::string(v.type()));
  } else {
    made = f.run(values);
  }
  if (!made.ok()) {
    at(whole);
    return error("error calling " + name + ": " + made.status().message());
  }
  if (made->owner) budget_.made += made->owner->size();
  if (budget_.made > kMaxMade) return error("more than 64 MiB of texts made");
  return made;
}

}  // namespace

Result<GoTemplate> GoTemplate::parse(std::string_view name, std::string_view text) {
  TRY_ASSIGN(set, parse_template(name, text));
  GoTemplate out;
  out.set_ = std::move(set);
  return out;
}

Status GoTemplate::execute(const Value& data, std::string* out) const {
  Budget budget;
  Run run(*set_, set_->name, allow_missing_, budget, out);
  return run.execute(*set_->templates.find(set_->name)->second, GoValue::of(data, false), 0);
}

}  // namespace keles::kubectl
