#include "cel/rules.h"

#include <optional>
#include <unordered_map>
#include <utility>

#include "base/encoding.h"
#include "cel/text.h"
#include "machinery/ratchet_time.h"
#include "machinery/rule_words.h"
#include "machinery/schema_check.h"

namespace keles::cel {
namespace {

constexpr std::string_view kSelf = "self", kOldSelf = "oldSelf", kTypeName = "selfType";
constexpr size_t kSelfIndex = 0, kOldSelfIndex = 1;

std::string trimmed(std::string_view s) { return std::string(trim_space(s)); }

// Compiles one expression; true when it has become a program of the type.
bool compile_one(std::string_view text, const Env& env, TypeKind wanted, const char* prefix,
                 const char* wrong_type, const char* not_planned, CompiledRule& rule,
                 ProgramPtr& program, uint64_t& max_cost, std::string& error) {
  const Result<Expression> e = Expression::compile(text, env);
  if (!e.ok()) {
    error = prefix + e.status().message();
    return false;
  }
  if (e->type()->kind != wanted) {
    error = wrong_type;
    return false;
  }
  if (wanted == TypeKind::kBool) rule.uses_old_self = e->names(kOldSelf);
  const Result<ProgramPtr> planned = e->plan();
  if (!planned.ok()) {
    error = not_planned + planned.status().message();
    return false;
  }
  program = *planned;
  max_cost = e->estimate().max;
  return true;
}

void compile_rule(const Value& schema, const Env& env, CompiledRule& r) {
  if (trimmed(r.rule).empty()) return;
  if (!compile_one(r.rule, env, TypeKind::kBool,
                   "compilation failed: ", "cel expression must evaluate to a bool",
                   "program instantiation failed: ", r, r.program, r.max_cost, r.error)) {
    return;
  }
  if (!r.message_expression.empty() &&
      !compile_one(
          r.message_expression, env, TypeKind::kString,
          "messageExpression compilation failed: ", "messageExpression must evaluate to a string",
          "messageExpression instantiation failed: ", r, r.message_program, r.message_max_cost,
          r.message_error)) {
    return;
  }
  if (!r.field_path.empty()) {
    const SchemaField f = find_schema_field(schema, r.field_path, true);
    if (f.error.empty()) r.normalized_path = f.path;
  }
}

StatusCause cause(std::string_view type, std::string_view words, const std::string& path,
                  std::string_view detail) {
  return {std::string(type),
          std::string(words) + (detail.empty() ? "" : ": ") + std::string(detail),
          path.empty() ? "<nil>" : path};
}

// --- correlation -------------------------------------------------------------------------------

// The key of an item of a list of maps; nothing when it has none.
std::optional<std::string> item_key(const Value& item, const DeclType& list) {
  std::string out;
  for (const std::string& name : list.list_map_keys) {
    const Value* v = item.find(name);
    if (v == nullptr || v->is_null() || v->is_list() || v->is_map()) return std::nullopt;
    out += static_cast<char>('0' + static_cast<int>(v->kind()));
    out += rule_words::shown(*v);
    out += '\0';
  }
  return out;
}

// Old items by their keys; of any other list, none is found.
class OldItems {
 public:
  OldItems(const DeclType* list, const Value* before) {
    if (list == nullptr || before == nullptr || !before->is_list() ||
        list->list_type != DeclType::ListType::kMap || list->list_map_keys.empty()) {
      return;
    }
    list_ = list;
    for (const Value& v : before->items()) {
      if (const auto key = item_key(v, *list)) items_.emplace(*key, &v);
    }
  }
  const Value* find(const Value& item) const {
    if (list_ == nullptr) return nullptr;
    const auto key = item_key(item, *list_);
    if (!key) return nullptr;
    const auto at = items_.find(*key);
    return at == items_.end() ? nullptr : at->second;
  }
  bool empty() const { return list_ == nullptr; }

 private:
  const DeclType* list_ = nullptr;
  std::unordered_map<std::string, const Value*> items_;
};

const DeclType* member_type(const DeclType& t, std::string_view name) {
  if (t.kind == DeclType::Kind::kMap) return t.element.get();
  if (t.kind != DeclType::Kind::kObject) return nullptr;
  const DeclField* f = t.find(name);
  return f == nullptr || f->implied ? nullptr : f->type.get();
}

// Whether nothing was changed, as upstream compares: members that no schema describes count as
// changed, items of lists of maps are compared by key.
bool unchanged(const DeclType* t, const Value& now, const Value& before) {
  if (now.kind() != before.kind() || now.is_null()) return now.equals(before);
  if (now.is_list()) {
    const OldItems old(t, &before);
    if (old.empty()) return now.equals(before);
    if (now.size() != before.size()) return false;
    for (const Value& v : now.items()) {
      const Value* was = old.find(v);
      if (was == nullptr || !unchanged(t->element.get(), v, *was)) return false;
    }
    return true;
  }
  if (now.is_map()) {
    if (now.size() != before.size()) return false;
    for (const Member& m : now.members()) {
      const Value* was = before.find(m.key());
      const DeclType* type = t == nullptr ? nullptr : member_type(*t, m.key());
      if (was == nullptr || type == nullptr || !unchanged(type, m.value, *was)) return false;
    }
    return true;
  }
  return now.equals(before);
}

// A place in the new object and where it was in the old one.
struct Place {
  const Value* now = nullptr;  // null: it cannot be correlated
  const Value* before = nullptr;
  const DeclType* type = nullptr;
  bool same() const {
    if (now == nullptr) return false;
    const RatchetTime comparing;
    return unchanged(type, *now, *before);
  }
};
struct Correlation {
  Place here, parent;

  // What is wrong here is let pass: nothing was changed here, or in what this is a part of.
  bool lenient() const { return here.now != nullptr ? here.same() : parent.same(); }

  Correlation member(std::string_view name) const {
    if (here.now == nullptr) return *this;
    // apiVersion and kind are those of the request.
    if (parent.now == nullptr && (name == "apiVersion" || name == "kind")) return {};
    Correlation c{{}, here};
    const DeclType* type = here.type == nullptr ? nullptr : member_type(*here.type, name);
    const Value* now = here.now->find(name);
    const Value* before = here.before->find(name);
    if (type != nullptr && now != nullptr && before != nullptr) c.here = {now, before, type};
    return c;
  }
  Correlation item(const Value& now, const Value* before) const {
    if (here.now == nullptr) return *this;
    Correlation c{{}, here};
    if (before != nullptr && here.type != nullptr) {
      c.here = {&now, before, here.type->element.get()};
    }
    return c;
  }
};

}  // namespace

std::string CompiledRule::shown() const { return trimmed(message.empty() ? rule : message); }

std::vector<CompiledRule> compile_rules(const Value& schema, const DeclPtr& decl) {
  std::vector<CompiledRule> out;
  Env plain, optional;
  for (Env* env : {&plain, &optional}) {
    env->forbid_json_patch();
    env->add_object(std::string(kSelf), decl, kTypeName);
    env->add_object(std::string(kOldSelf), decl, kTypeName, env == &optional);
  }
  for (const Value& v : schema["x-kubernetes-validations"].items()) {
    CompiledRule& r = out.emplace_back();
    r.rule = v["rule"].as_string();
    r.message = v["message"].as_string();
    r.message_expression = v["messageExpression"].as_string();
    r.reason = v["reason"].as_string();
    r.field_path = v["fieldPath"].as_string();
    r.says_optional_old_self = v["optionalOldSelf"].is_bool();
    r.optional_old_self = v["optionalOldSelf"].as_bool();
    compile_rule(schema, r.optional_old_self ? optional : plain, r);
  }
  return out;
}

// --- the tree ------------------------------------------------------------------------------------

struct RuleTree::Node {
  std::string type;  // "object"
  DeclPtr decl;      // null: nothing is declared, and `rules` cannot be run
  bool undeclared = false;
  bool old_members = true;  // members of the map correlate by their names
  std::vector<CompiledRule> rules;
  std::unique_ptr<Node> items, additional;
  std::vector<std::pair<std::string, std::unique_ptr<Node>>> properties;
  std::vector<std::unique_ptr<Node>> all_of;
  bool empty() const {
    return rules.empty() && !undeclared && !items && !additional && properties.empty() &&
           all_of.empty();
  }
};

RuleTree::RuleTree() = default;
RuleTree::~RuleTree() = default;

namespace {

bool has_rules(const Value& schema) {
  if (!schema.is_map()) return false;
  if (!schema["x-kubernetes-validations"].empty()) return true;
  for (const Member& m : schema["properties"].members()) {
    if (has_rules(m.value)) return true;
  }
  for (const Value& v : schema["allOf"].items()) {
    if (has_rules(v)) return true;
  }
  return has_rules(schema["items"]) || has_rules(schema["additionalProperties"]);
}

}  // namespace

class RuleTreeBuilder {
 public:
  using Node = RuleTree::Node;

  // Rules are those of `rules`, which is `schema` or one of its allOf.
  static std::unique_ptr<Node> build(const Value& rules, const Value& schema, const DeclPtr& decl) {
    auto node = std::make_unique<Node>();
    node->type = schema["type"].as_string();
    node->decl = decl;
    const std::string_view map_type = schema["x-kubernetes-map-type"].as_string();
    node->old_members = map_type.empty() || map_type == "granular" || map_type == "atomic";
    if (!rules["x-kubernetes-validations"].empty()) {
      node->undeclared = decl == nullptr;
      if (decl != nullptr) node->rules = compile_rules(rules, decl);
    }
    const DeclPtr element = decl == nullptr ? nullptr : decl->element;
    if (rules["items"].is_map() && schema["items"].is_map()) {
      keep(build(rules["items"], schema["items"], element), node->items);
    }
    for (const Member& m : rules["properties"].members()) {
      const Value* property = schema["properties"].find(m.key());
      const DeclField* f = decl == nullptr ? nullptr : decl->find(m.key());
      // What expressions know nothing of is not looked at either.
      if (property == nullptr || f == nullptr || f->type->kind == DeclType::Kind::kUnknown)
        continue;
      std::unique_ptr<Node> child = build(m.value, *property, f->type);
      if (!child->empty()) node->properties.emplace_back(m.key(), std::move(child));
    }
    if (rules["additionalProperties"].is_map() && schema["additionalProperties"].is_map()) {
      keep(build(rules["additionalProperties"], schema["additionalProperties"], element),
           node->additional);
    }
    for (const Value& v : rules["allOf"].items()) {
      std::unique_ptr<Node> child = build(v, schema, decl);
      if (!child->empty()) node->all_of.push_back(std::move(child));
    }
    return node;
  }

 private:
  static void keep(std::unique_ptr<Node> node, std::unique_ptr<Node>& to) {
    if (!node->empty()) to = std::move(node);
  }
};

std::shared_ptr<const RuleTree> RuleTree::compile(const Value& schema, bool resource_root) {
  if (!has_rules(schema)) return nullptr;
  std::unique_ptr<Node> root =
      RuleTreeBuilder::build(schema, schema, decl_type(schema, resource_root));
  if (root->empty()) return nullptr;
  std::shared_ptr<RuleTree> tree(new RuleTree());
  tree->root_ = std::move(root);
  return tree;
}

// --- objects -------------------------------------------------------------------------------------

// One object held against the rules. Every function returns false once the budget is used up.
class RuleCheck {
 public:
  using Node = RuleTree::Node;
  explicit RuleCheck(RuleTree::Check& check) : check_(check) {}

  bool validate(const Node& node, const TreePath& path, const Value& now, const Value* before,
                const Correlation& c) {
    if (now.is_null()) return true;
    if (before != nullptr && before->is_null()) before = nullptr;
    if (!expressions(node, path, now, before, c)) return false;
    for (const auto& part : node.all_of) {
      if (!validate(*part, path, now, before, {{}, c.parent})) return false;
    }
    if (now.is_list()) return list(node, path, now, before, c);
    if (now.is_map()) return map(node, path, now, before, c);
    return true;
  }

 private:
  bool list(const Node& node, const TreePath& path, const Value& now, const Value* before,
            const Correlation& c) {
    if (node.items == nullptr) return true;
    const OldItems old(node.decl.get(), before);
    size_t i = 0;
    for (const Value& v : now.items()) {
      const Value* was = old.find(v);
      if (!validate(*node.items, path.index(i++), v, was, c.item(v, was))) return false;
    }
    return true;
  }

  bool map(const Node& node, const TreePath& path, const Value& now, const Value* before,
           const Correlation& c) {
    const auto old = [&](std::string_view key) {
      return before != nullptr && node.old_members ? before->find(key) : nullptr;
    };
    if (node.additional != nullptr) {
      for (const Member& m : now.members()) {
        if (!validate(*node.additional, path.key(m.key()), m.value, old(m.key()),
                      c.member(m.key()))) {
          return false;
        }
      }
    }
    for (const auto& [name, child] : node.properties) {
      const Value* v = now.find(name);
      if (v == nullptr) continue;
      if (!validate(*child, path.child(name), *v, old(name), c.member(name))) return false;
    }
    return true;
  }

  void refuse(const Node& node, const TreePath& path, const std::string& detail) {
    add(cause("FieldValueInvalid", "Invalid value: " + quoted(node.type), path.text(), detail));
  }
  void add(StatusCause c) { check_.errors.push_back(std::move(c)); }
  bool used_up() {
    check_.budget = -1;
    return false;
  }
  bool out_of_budget(const Node& node, const TreePath& path) {
    refuse(node, path,
           "validation failed due to running out of cost budget, no further validation rules will "
           "be run");
    return used_up();
  }

  bool expressions(const Node& node, const TreePath& path, const Value& now, const Value* before,
                   const Correlation& c) {
    if (node.undeclared) {
      refuse(node, path,
             "rule compiler initialization error: failed to convert to declType for CEL validation "
             "rules");
      return true;
    }
    if (node.rules.empty()) return true;
    if (check_.budget <= 0) return out_of_budget(node, path);
    Run run;
    bool old_is_bound = false;
    for (const CompiledRule& r : node.rules) old_is_bound |= r.uses_old_self;
    run.bind(kSelfIndex, wrap(run, now, node.decl.get()));
    Val old, optional_old;
    if (old_is_bound) {
      optional_old = Val::optional(nullptr);
      if (before != nullptr) {
        old = wrap(run, *before, node.decl.get());
        optional_old = run.some(old);
      }
    }
    for (const CompiledRule& r : node.rules) {
      if (!r.error.empty()) {
        refuse(node, path, "rule compile error: " + r.error);
        continue;
      }
      if (r.program == nullptr) continue;
      if (r.uses_old_self && before == nullptr && !r.optional_old_self) continue;
      run.bind(kOldSelfIndex, r.optional_old_self ? optional_old : old);
      const Val v = r.program->evaluate(run);
      if (run.cost() > static_cast<uint64_t>(check_.budget)) return out_of_budget(node, path);
      check_.budget -= static_cast<int64_t>(run.cost());
      if (v.is_error()) {
        if (!failed(node, path, r, v.text())) return false;
        continue;
      }
      if (v.is_true()) continue;
      run.bind(kOldSelfIndex, old);
      if (!broken(node, path, r, run, now, !r.uses_old_self && c.lenient())) return false;
    }
    return true;
  }

  bool failed(const Node& node, const TreePath& path, const CompiledRule& r,
              std::string_view error) {
    const std::string why(error);
    if (error.starts_with("no such overload")) {
      refuse(node, path,
             "'" + why +
                 "': call arguments did not match a supported operator, function or macro "
                 "signature for rule: " +
                 r.shown());
      return true;
    }
    if (error.starts_with("operation cancelled")) {
      refuse(node, path,
             "'" + why +
                 "': no further validation rules will be run due to call cost exceeds limit for "
                 "rule: " +
                 r.shown());
      return used_up();
    }
    refuse(node, path, why + " evaluating rule: " + r.shown());
    return true;
  }

  // The rule does not hold.
  bool broken(const Node& node, const TreePath& path, const CompiledRule& r, Run& run,
              const Value& now, bool lenient) {
    const TreePath inner = path.child(r.normalized_path);
    const std::string at = r.normalized_path.empty() ? path.text() : inner.text();
    const auto tell = [&](StatusCause c) {
      if (lenient && check_.warnings != nullptr) {
        check_.warnings->push_back(c.field + ": " + c.message);
      } else {
        add(std::move(c));
      }
    };
    std::string detail = r.message.empty() ? "failed rule: " + r.shown() : r.shown();
    if (r.message_program != nullptr) {
      std::string fatal;
      if (!message(r, run, detail, fatal)) {
        tell(cause("FieldValueInvalid", "Invalid value: " + quoted(node.type), at, fatal));
        return used_up();
      }
    }
    const bool plain = node.type != "object" && node.type != "array";
    const std::string value = plain ? ": " + rule_words::shown(now) : "";
    if (r.reason == "FieldValueForbidden") {
      tell(cause(r.reason, "Forbidden", at, detail));
    } else if (r.reason == "FieldValueRequired") {
      tell(cause(r.reason, "Required value", at, detail));
    } else if (r.reason == "FieldValueDuplicate") {
      tell(cause(r.reason, "Duplicate value" + value, at, ""));
    } else {
      tell(cause("FieldValueInvalid", "Invalid value" + value, at, detail));
    }
    return true;
  }

  // What the rule's messageExpression gives, where it gives something that can be shown. False when
  // the budget ended it: why is in `fatal`.
  bool message(const CompiledRule& r, Run& run, std::string& detail, std::string& fatal) {
    const Val v = r.message_program->evaluate(run);
    if (run.cost() > static_cast<uint64_t>(check_.budget)) {
      fatal =
          "messageExpression evaluation failed due to running out of cost budget, no further "
          "validation rules will be run";
      return false;
    }
    if (v.is_error() && v.text().starts_with("operation cancelled")) {
      fatal =
          "no further validation rules will be run due to call cost exceeds limit for "
          "messageExpression: " +
          quoted(r.message_expression);
      return false;
    }
    check_.budget -= static_cast<int64_t>(run.cost());
    if (!v.is(Val::Tag::kString)) return true;
    const std::string_view text = trim_space(v.text());
    if (!text.empty() && text.size() <= kMaxMessageBytes && text.find('\n') == text.npos) {
      detail = text;
    }
    return true;
  }

  RuleTree::Check& check_;
};

void RuleTree::check(Check& check, const Value& now, const Value* before) const {
  Correlation c;
  if (check.warnings != nullptr && before != nullptr && !before->is_null()) {
    c.here = {&now, before, root_->decl.get()};
  }
  const TreePath path = check.path.empty() ? TreePath() : TreePath::text(check.path);
  RuleCheck(check).validate(*root_, path, now, before, c);
}

}  // namespace keles::cel
