#include "cel/program.h"

#include <array>
#include <utility>
#include <vector>

#include "cel/checker.h"
#include "cel/libraries.h"
#include "cel/node.h"
#include "cel/parser.h"
#include "cel/pattern.h"

namespace keles::cel {
namespace {

bool is_conversion(std::string_view function) {
  constexpr std::string_view kNames[] = {"bool", "bytes",  "double",    "duration", "dyn",
                                         "int",  "string", "timestamp", "type",     "uint"};
  return std::find(std::begin(kNames), std::end(kNames), function) != std::end(kNames);
}

struct OperatorName {
  std::string_view name;
  Operator op;
};
constexpr OperatorName kOperators[] = {{op::kLess, Operator::kLess},
                                       {op::kLessEquals, Operator::kLessEquals},
                                       {op::kGreater, Operator::kGreater},
                                       {op::kGreaterEquals, Operator::kGreaterEquals},
                                       {op::kAdd, Operator::kAdd},
                                       {op::kSubtract, Operator::kSubtract},
                                       {op::kMultiply, Operator::kMultiply},
                                       {op::kDivide, Operator::kDivide},
                                       {op::kModulo, Operator::kModulo},
                                       {op::kNegate, Operator::kNegate},
                                       {op::kNot, Operator::kNot},
                                       {op::kIn, Operator::kIn},
                                       {op::kNotStrictlyFalse, Operator::kNotStrictlyFalse}};

}  // namespace

// Makes nodes of a checked tree (or one that is only parsed).
class Planner {
 public:
  explicit Planner(const Env& env) : env_(env), program_(new Program()) {
    program_->constants_ = std::make_unique<Run>();
  }

  Result<ProgramPtr> run(const Expr& root) {
    TRY_ASSIGN(node, plan(root));
    program_->root_ = std::move(node);
    program_->slots_ = slots_;
    return ProgramPtr(std::move(program_));
  }

 private:
  Run& constants() { return *program_->constants_; }

  Result<NodePtr> plan(const Expr& e) {
    switch (e.kind) {
      case Expr::Kind::kLiteral:
        return NodePtr(std::make_unique<ConstantNode>(literal(e.literal)));
      case Expr::Kind::kIdent:
        return ident(e.name, e.resolved);
      case Expr::Kind::kSelect:
        return select(e);
      case Expr::Kind::kCall:
        return call(e);
      case Expr::Kind::kList:
        return list(e);
      case Expr::Kind::kMap:
        return map(e);
      case Expr::Kind::kStruct:
        return object(e);
      case Expr::Kind::kComprehension:
        return fold(e);
      default:
        return Status(Reason::kInvalid, "unknown type: " + e.name);
    }
  }

  Result<std::vector<NodePtr>> plan_all(const Expr* target, const std::vector<Expr*>& exprs) {
    std::vector<NodePtr> nodes;
    if (target != nullptr) {
      TRY_ASSIGN(node, plan(*target));
      nodes.push_back(std::move(node));
    }
    for (const Expr* e : exprs) {
      TRY_ASSIGN(node, plan(*e));
      nodes.push_back(std::move(node));
    }
    return nodes;
  }

  Val literal(const Literal& l) {
    switch (l.index()) {
      case 1:
        return Val::boolean(std::get<bool>(l));
      case 2:
        return Val::integer(std::get<int64_t>(l));
      case 3:
        return Val::unsigned_integer(std::get<uint64_t>(l));
      case 4:
        return Val::real(std::get<double>(l));
      case 5:
        return constants().string(std::get<std::string>(l));
      case 6:
        return Val::bytes(constants().copy(std::get<Bytes>(l).data));
      default:
        return Val::null();
    }
  }

  // --- names ----------------------------------------------------------------------------------

  // A comprehension's variable.
  struct Local {
    std::string name;
    size_t slot;
    const Node* init;
  };

  static NodePtr attribute_node(AttributePtr a) {
    return std::make_unique<AttributeNode>(std::move(a));
  }

  const Local* local(std::string_view name) const {
    for (auto v = locals_.rbegin(); v != locals_.rend(); ++v) {
      if (v->name == name) return &*v;
    }
    return nullptr;
  }

  Result<NodePtr> ident(const std::string& name, bool resolved) {
    if (const Local* v = local(name.starts_with('.') ? name.substr(1) : name); v != nullptr) {
      return attribute_node(std::make_shared<SlotAttribute>(v->slot, v->init));
    }
    for (const std::string& candidate : env_.candidates(resolved ? "." + name : name)) {
      if (const Variable* v = env_.find_variable(candidate); v != nullptr) {
        return attribute_node(
            std::make_shared<VariableAttribute>(env_.index_of(*v), std::string(candidate)));
      }
      if (const TypePtr t = env_.find_type(candidate); t != nullptr) {
        return NodePtr(std::make_unique<ConstantNode>(Val::type(constants().copy(t->name))));
      }
    }
    // Only an unchecked expression gets here: it fails when it is evaluated.
    return attribute_node(
        std::make_shared<VariableAttribute>(Run::kMaxVariables - 1, std::string(name)));
  }

  // What qualifiers can be added to.
  static AttributePtr attribute_of(NodePtr node) {
    if (AttributeNode* a = node->attribute(); a != nullptr) return a->get();
    return std::make_shared<RelativeAttribute>(std::move(node));
  }

  // "a.b.c" of such a chain of selects; "" for anything else.
  static std::string qualified_name(const Expr& e) {
    std::string name;
    for (const Expr* at = &e; at != nullptr; at = at->target) {
      const bool part = at->kind == Expr::Kind::kIdent || at->kind == Expr::Kind::kSelect;
      if (!part || at->test_only) return "";
      name = name.empty() ? at->name : at->name + "." + name;
    }
    return name;
  }

  Result<NodePtr> select(const Expr& e) {
    // A variable may have dots in its name; a checked expression has it as one name already.
    if (const std::string name = qualified_name(e);
        !name.empty() && local(name.substr(0, name.find('.'))) == nullptr) {
      for (const std::string& candidate : env_.candidates(name)) {
        if (env_.find_variable(candidate) != nullptr) return ident(candidate, true);
      }
    }
    TRY_ASSIGN(operand, plan(*e.target));
    const AttributePtr a = attribute_of(std::move(operand));
    auto q = std::make_shared<Qualifier>();
    q->key = constants().string(e.name);
    q->test = e.test_only;
    a->add(std::move(q));
    auto node = std::make_unique<AttributeNode>(a);
    if (e.test_only) node->set_test();
    return NodePtr(std::move(node));
  }

  Result<NodePtr> index(const Expr& e, bool optional) {
    TRY_ASSIGN(operand, plan(*e.args[0]));
    TRY_ASSIGN(key, plan(*e.args[1]));
    const AttributePtr a = attribute_of(std::move(operand));
    auto q = std::make_shared<Qualifier>();
    q->optional = optional;
    if (const Val* constant = key->constant(); constant != nullptr) {
      if (!may_be_key(*constant)) {
        std::string type(type_name(*constant));
        if (constant->is(Val::Tag::kBytes)) type = "types.Bytes";
        if (constant->is(Val::Tag::kNull)) type = "types.Null";
        return Status(Reason::kInvalid, "invalid qualifier type: " + type);
      }
      q->key = *constant;
    } else if (AttributeNode* by = key->attribute(); by != nullptr) {
      q->by = by->get();
    } else {
      q->computed = std::move(key);
    }
    a->add(std::move(q));
    return attribute_node(a);
  }

  // --- calls ----------------------------------------------------------------------------------

  Result<NodePtr> call(const Expr& e) {
    if (e.name == op::kIndex) return index(e, false);
    if (e.name == op::kOptIndex || e.name == op::kOptSelect) return index(e, true);
    const Expr* target = e.target;
    const FunctionDecl* f = function_of(e, target);
    const std::string_view name = f == nullptr ? std::string_view(e.name) : f->name;
    TRY_ASSIGN(args, plan_all(target, e.args));
    if (name == op::kAnd || name == op::kOr) {
      return NodePtr(std::make_unique<LogicalNode>(name == op::kOr, std::move(args)));
    }
    if (name == op::kConditional) return conditional(std::move(args));
    if (name == op::kEquals || name == op::kNotEquals) {
      return NodePtr(std::make_unique<EqualNode>(name == op::kNotEquals, std::move(args[0]),
                                                 std::move(args[1])));
    }
    const Overload* overload = e.overloads.size() == 1 ? e.overloads[0] : nullptr;
    const std::string_view id = overload == nullptr ? "" : overload->id;
    for (const OperatorName& o : kOperators) {
      if (o.name == name) return operator_node(o.op, cost_rule(name, id), id, std::move(args));
    }
    if (args.size() == 2 && (id == "optional_or_optional" || (id.empty() && name == "or"))) {
      return NodePtr(
          std::make_unique<OptionalOrNode>(false, std::move(args[0]), std::move(args[1])));
    }
    if (args.size() == 2 && (id == "optional_orValue_value" || (id.empty() && name == "orValue"))) {
      return NodePtr(
          std::make_unique<OptionalOrNode>(true, std::move(args[0]), std::move(args[1])));
    }
    if (f == nullptr || args.size() > CallNode::kMaxArgs) {
      return NodePtr(std::make_unique<FaultNode>("no such overload: " + std::string(name)));
    }
    return function_call(*f, overload, std::move(args));
  }

  // An expression that was only parsed may still say "a.b.f(x)" of the function "a.b.f".
  const FunctionDecl* function_of(const Expr& e, const Expr*& target) const {
    if (target != nullptr) {
      const std::string prefix = qualified_name(*target);
      if (!prefix.empty() && e.overloads.empty()) {
        for (const std::string& candidate : env_.candidates(prefix + "." + e.name)) {
          if (const FunctionDecl* f = find_function(candidate); f != nullptr) {
            target = nullptr;
            return f;
          }
        }
      }
    }
    for (const std::string& candidate : env_.candidates(e.name)) {
      if (const FunctionDecl* f = find_function(candidate); f != nullptr) return f;
    }
    return nullptr;
  }

  Result<NodePtr> operator_node(Operator o, CostRule cost, std::string_view id,
                                std::vector<NodePtr> args) {
    if (o == Operator::kIn && id == "in_list") {
      if (const Val* list = args[1]->constant(); list != nullptr && literal_set(*list)) {
        if (list->size() == 0) {
          return NodePtr(std::make_unique<ConstantNode>(Val::boolean(false)));
        }
        return NodePtr(std::make_unique<MemberOfNode>(std::move(args[0]), *list));
      }
    }
    NodePtr second = args.size() > 1 ? std::move(args[1]) : nullptr;
    return NodePtr(std::make_unique<OperatorNode>(o, cost, std::move(args[0]), std::move(second)));
  }

  bool literal_set(const Val& list) {
    if (!list.is(Val::Tag::kList)) return false;
    for (size_t i = 0; i < list.size(); ++i) {
      switch (list_at(constants(), list, i).tag()) {
        case Val::Tag::kBool:
        case Val::Tag::kInt:
        case Val::Tag::kUint:
        case Val::Tag::kDouble:
        case Val::Tag::kString:
          break;
        default:
          return false;
      }
    }
    return true;
  }

  Result<NodePtr> conditional(std::vector<NodePtr> args) {
    AttributePtr yes = attribute_of(std::move(args[1]));
    AttributePtr no = attribute_of(std::move(args[2]));
    return attribute_node(
        std::make_shared<ConditionalAttribute>(std::move(args[0]), std::move(yes), std::move(no)));
  }

  Result<NodePtr> function_call(const FunctionDecl& f, const Overload* overload,
                                std::vector<NodePtr> args) {
    const std::string_view id = overload == nullptr ? "" : overload->id;
    const bool matches = f.name == "matches" && args.size() == 2;
    if (matches || ((f.name == "find" || f.name == "findAll") && args.size() >= 2)) {
      if (const Val* text = args[1]->constant(); text != nullptr && text->is(Val::Tag::kString)) {
        TRY_ASSIGN(pattern, Pattern::compile(text->text()));
        const auto what = matches            ? PatternNode::What::kMatches
                          : f.name == "find" ? PatternNode::What::kFind
                                             : PatternNode::What::kFindAll;
        return NodePtr(std::make_unique<PatternNode>(what, pattern, std::move(args)));
      }
    }
    const bool folds = args.size() == 1 && is_conversion(f.name) && args[0]->constant() != nullptr;
    auto node = std::make_unique<CallNode>(f, overload, cost_rule(f.name, id), std::move(args));
    if (!folds) return NodePtr(std::move(node));
    return fold_constant(std::move(node));
  }

  // --- literals -------------------------------------------------------------------------------

  // What it gives is made now, once.
  Result<NodePtr> fold_constant(NodePtr node) {
    Run& run = constants();
    run.restart(UINT64_MAX);
    Frame frame{run, run.slots(0)};
    const Val v = node->eval(frame);
    if (v.is_error()) return Status(Reason::kInvalid, std::string(v.text()));
    seal(v);
    program_->shared_.push_back(std::move(node));
    return NodePtr(std::make_unique<ConstantNode>(v));
  }

  // Nothing can be written behind a constant: other threads read it.
  static void seal(const Val& v) {
    if (v.store() != Val::Store::kMade) return;
    if (v.is(Val::Tag::kList)) {
      const_cast<ListBody*>(v.list_body())->capacity = v.list_body()->used;
    } else if (v.is(Val::Tag::kMap)) {
      const_cast<MapBody*>(v.map_body())->capacity = v.map_body()->used;
    }
  }

  static bool all_constant(const std::vector<NodePtr>& nodes) {
    for (const NodePtr& n : nodes) {
      if (n->constant() == nullptr) return false;
    }
    return true;
  }

  Result<NodePtr> list(const Expr& e) {
    TRY_ASSIGN(elements, plan_all(nullptr, e.args));
    const bool constant = all_constant(elements);
    auto node = std::make_unique<ListNode>(std::move(elements), e.optional);
    if (!constant) return NodePtr(std::move(node));
    return fold_constant(std::move(node));
  }

  Result<NodePtr> map(const Expr& e) {
    TRY_ASSIGN(entries, plan_all(nullptr, e.args));
    const bool constant = all_constant(entries);
    auto node = std::make_unique<MapNode>(std::move(entries), e.optional);
    if (!constant) return NodePtr(std::move(node));
    return fold_constant(std::move(node));
  }

  Result<NodePtr> object(const Expr& e) {
    for (const std::string& candidate : env_.candidates(e.name)) {
      if (env_.find_made_type(candidate) == nullptr) continue;
      TRY_ASSIGN(values, plan_all(nullptr, e.args));
      std::vector<std::string_view> names;
      for (const std::string& name : e.fields) names.push_back(constants().copy(name));
      return NodePtr(std::make_unique<ObjectNode>(constants().copy(candidate), std::move(names),
                                                  std::move(values), e.optional));
    }
    return Status(Reason::kInvalid, "unknown type: " + e.name);
  }

  // --- comprehensions -------------------------------------------------------------------------

  Result<NodePtr> fold(const Expr& e) {
    const Expr::Comprehension& c = *e.comprehension;
    auto node = std::make_unique<FoldNode>();
    TRY_ASSIGN(init, plan(*c.init));
    node->init = std::move(init);
    TRY_ASSIGN(range, plan(*c.range));
    node->range = std::move(range);
    node->two = !c.variable2.empty();
    node->accumulator = slots_++;
    node->slot = slots_++;
    if (node->two) node->slot2 = slots_++;
    const size_t scope = locals_.size();
    locals_.push_back({c.variable, node->slot, nullptr});
    if (node->two) locals_.push_back({c.variable2, node->slot2, nullptr});
    locals_.push_back({c.accumulator, node->accumulator, node->init.get()});
    TRY_ASSIGN(condition, plan(*c.condition));
    node->condition = std::move(condition);
    TRY_ASSIGN(step, plan(*c.step));
    node->step = std::move(step);
    locals_.resize(scope);
    locals_.push_back({c.accumulator, node->accumulator, node->init.get()});
    TRY_ASSIGN(result, plan(*c.result));
    node->result = std::move(result);
    locals_.resize(scope);
    return NodePtr(std::move(node));
  }

  const Env& env_;
  std::unique_ptr<Program> program_;
  std::vector<Local> locals_;
  size_t slots_ = 0;
};

Program::Program() = default;
Program::~Program() = default;

Val Program::evaluate(Run& run) const {
  run.restart(run.cost_limit());
  Frame frame{run, run.slots(slots_)};
  const Val v = root_->eval(frame);
  return run.stopped() ? run.stop_error() : v;
}

Result<Expression> Expression::compile(std::string_view text, const Env& env) {
  const Source source(text);
  Issues issues;
  std::shared_ptr<Ast> ast = parse(source, issues, env.bindings_allowed());
  if (issues.empty()) check(*ast, source, env, issues);
  if (issues.empty() && env.validating()) validate(*ast, source, issues);
  if (!issues.empty()) return Status(Reason::kInvalid, issues.to_string(source));
  return Expression(std::move(ast), env);
}

Result<Expression> Expression::parse_only(std::string_view text, const Env& env) {
  const Source source(text);
  Issues issues;
  std::shared_ptr<Ast> ast = parse(source, issues, env.bindings_allowed());
  if (!issues.empty()) return Status(Reason::kInvalid, issues.to_string(source));
  visit_post_order(ast->root, [](Expr* e) { e->type = dyn_type(); });
  return Expression(std::move(ast), env);
}

bool Expression::names(std::string_view variable) const {
  bool found = false;
  // A comprehension's variable of that name is found too: as upstream, which looks at names only.
  visit_post_order(ast_->root,
                   [&](Expr* e) { found |= e->kind == Expr::Kind::kIdent && e->name == variable; });
  return found;
}

CostRange Expression::estimate() const { return estimate_cost(*ast_->root, *env_); }

Result<ProgramPtr> Expression::plan() const { return Planner(*env_).run(*ast_->root); }

}  // namespace keles::cel
