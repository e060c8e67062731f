// What a program is made of: nodes that are evaluated. Internal to the evaluator.
//
// Every node charges what upstream's charges for it, when upstream does: a name or a step to a
// field 1, a branch of `?:` nothing for the name itself, a call by its rule even if an argument
// failed.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "cel/env.h"
#include "cel/run.h"
#include "cel/runtime_cost.h"
#include "cel/val.h"

namespace keles::cel {

struct Frame {
  Run& run;
  Val* slots;  // the variables of comprehensions
};

class AttributeNode;

class Node {
 public:
  virtual ~Node() = default;
  virtual Val eval(Frame& f) const = 0;
  virtual const Val* constant() const { return nullptr; }
  virtual AttributeNode* attribute() { return nullptr; }
};
using NodePtr = std::unique_ptr<Node>;

class ConstantNode final : public Node {
 public:
  explicit ConstantNode(const Val& v) : value_(v) {}
  Val eval(Frame&) const override { return value_; }
  const Val* constant() const override { return &value_; }

 private:
  Val value_;
};

// What fails when it is evaluated: a function that is not there, of an expression that was only
// parsed.
class FaultNode final : public Node {
 public:
  explicit FaultNode(std::string message) : message_(std::move(message)) {}
  Val eval(Frame&) const override { return Val::error(message_); }

 private:
  std::string message_;
};

// A value and the way from it to a part: x.a[0][b].
class Attribute;
using AttributePtr = std::shared_ptr<Attribute>;

struct Qualifier {
  Val key;           // when neither of:
  AttributePtr by;   // a name is the key
  NodePtr computed;  // the key is computed
  bool optional = false;
  bool test = false;  // has()
};

class Attribute {
 public:
  virtual ~Attribute() = default;
  Val resolve(Frame& f) const;
  void add(std::shared_ptr<const Qualifier> q) { qualifiers_.push_back(std::move(q)); }
  // Whether the name (or what it stands on) is charged when it is evaluated on its own.
  virtual bool charged() const { return true; }

 protected:
  virtual Val base(Frame& f) const = 0;

 private:
  std::vector<std::shared_ptr<const Qualifier>> qualifiers_;
};

class VariableAttribute final : public Attribute {
 public:
  VariableAttribute(size_t index, std::string name)
      : index_(index), missing_("no such attribute(s): " + std::move(name)) {}

 protected:
  Val base(Frame& f) const override {
    const Val& v = f.run.variable(index_);
    return v.is(Val::Tag::kUnset) ? Val::error(missing_) : v;
  }

 private:
  size_t index_;
  std::string missing_;
};

// A comprehension's variable. The accumulator gets its first value when it is first read.
class SlotAttribute final : public Attribute {
 public:
  SlotAttribute(size_t slot, const Node* init) : slot_(slot), init_(init) {}

 protected:
  Val base(Frame& f) const override {
    Val& v = f.slots[slot_];
    if (v.is(Val::Tag::kUnset) && init_ != nullptr) v = init_->eval(f);
    return v;
  }

 private:
  size_t slot_;
  const Node* init_;
};

class RelativeAttribute final : public Attribute {
 public:
  explicit RelativeAttribute(NodePtr operand) : operand_(std::move(operand)) {}

 protected:
  Val base(Frame& f) const override { return operand_->eval(f); }

 private:
  NodePtr operand_;
};

class ConditionalAttribute final : public Attribute {
 public:
  ConditionalAttribute(NodePtr condition, AttributePtr yes, AttributePtr no)
      : condition_(std::move(condition)), yes_(std::move(yes)), no_(std::move(no)) {}
  bool charged() const override { return false; }

 protected:
  Val base(Frame& f) const override;

 private:
  NodePtr condition_;
  AttributePtr yes_, no_;
};

class AttributeNode final : public Node {
 public:
  explicit AttributeNode(AttributePtr a) : attribute_(std::move(a)) {}
  Val eval(Frame& f) const override;
  AttributeNode* attribute() override { return this; }
  const AttributePtr& get() const { return attribute_; }
  void set_test() { test_ = true; }

 private:
  AttributePtr attribute_;
  bool test_ = false;
};

// --- calls -------------------------------------------------------------------------------------

class LogicalNode final : public Node {
 public:
  LogicalNode(bool is_or, std::vector<NodePtr> terms) : or_(is_or), terms_(std::move(terms)) {}
  Val eval(Frame& f) const override;

 private:
  bool or_;
  std::vector<NodePtr> terms_;
};

class EqualNode final : public Node {
 public:
  EqualNode(bool negated, NodePtr a, NodePtr b)
      : negated_(negated), a_(std::move(a)), b_(std::move(b)) {}
  Val eval(Frame& f) const override;

 private:
  bool negated_;
  NodePtr a_, b_;
};

// Operators with two operands, and with one (b is null).
enum class Operator : uint8_t {
  kLess,
  kLessEquals,
  kGreater,
  kGreaterEquals,
  kAdd,
  kSubtract,
  kMultiply,
  kDivide,
  kModulo,
  kNegate,
  kNot,
  kIn,
  kNotStrictlyFalse,
};
Val apply(Run& run, Operator o, const Val& a, const Val& b);

class OperatorNode final : public Node {
 public:
  OperatorNode(Operator o, CostRule cost, NodePtr a, NodePtr b)
      : operator_(o), cost_(cost), a_(std::move(a)), b_(std::move(b)) {}
  Val eval(Frame& f) const override;

 private:
  Operator operator_;
  CostRule cost_;
  NodePtr a_, b_;
};

// x in [1, 2, 3]: a literal list costs nothing to be searched.
class MemberOfNode final : public Node {
 public:
  MemberOfNode(NodePtr a, const Val& list) : a_(std::move(a)), list_(list) {}
  Val eval(Frame& f) const override;

 private:
  NodePtr a_;
  Val list_;
};

class CallNode final : public Node {
 public:
  static constexpr size_t kMaxArgs = 8;
  // `overload` is null where the arguments decide.
  CallNode(const FunctionDecl& f, const Overload* overload, CostRule cost,
           std::vector<NodePtr> args)
      : function_(f), overload_(overload), cost_(cost), args_(std::move(args)) {}
  Val eval(Frame& f) const override;

 private:
  Val call(Run& run, std::span<const Val> args) const;
  const FunctionDecl& function_;
  const Overload* overload_;
  CostRule cost_;
  std::vector<NodePtr> args_;
};

// matches, find and findAll with a literal pattern.
class Pattern;
class PatternNode final : public Node {
 public:
  enum class What : uint8_t { kMatches, kFind, kFindAll };
  PatternNode(What what, std::shared_ptr<const Pattern> p, std::vector<NodePtr> args)
      : what_(what), pattern_(std::move(p)), args_(std::move(args)) {}
  Val eval(Frame& f) const override;

 private:
  What what_;
  std::shared_ptr<const Pattern> pattern_;
  std::vector<NodePtr> args_;
};

class OptionalOrNode final : public Node {
 public:
  OptionalOrNode(bool value, NodePtr a, NodePtr b)
      : value_(value), a_(std::move(a)), b_(std::move(b)) {}
  Val eval(Frame& f) const override;

 private:
  bool value_;
  NodePtr a_, b_;
};

class ListNode final : public Node {
 public:
  ListNode(std::vector<NodePtr> elements, std::vector<bool> optional)
      : elements_(std::move(elements)), optional_(std::move(optional)) {}
  Val eval(Frame& f) const override;

 private:
  std::vector<NodePtr> elements_;
  std::vector<bool> optional_;
};

class MapNode final : public Node {
 public:
  MapNode(std::vector<NodePtr> entries, std::vector<bool> optional)
      : entries_(std::move(entries)), optional_(std::move(optional)) {}
  Val eval(Frame& f) const override;

 private:
  Val build(Frame& f) const;
  std::vector<NodePtr> entries_;
  std::vector<bool> optional_;
};

// Object{field: value, ...}
class ObjectNode final : public Node {
 public:
  ObjectNode(std::string_view type, std::vector<std::string_view> names,
             std::vector<NodePtr> values, std::vector<bool> optional)
      : type_(type),
        names_(std::move(names)),
        values_(std::move(values)),
        optional_(std::move(optional)) {}
  Val eval(Frame& f) const override;

 private:
  Val build(Frame& f) const;
  std::string_view type_;
  std::vector<std::string_view> names_;
  std::vector<NodePtr> values_;
  std::vector<bool> optional_;
};

class FoldNode final : public Node {
 public:
  NodePtr range, init, condition, step, result;
  size_t slot = 0, slot2 = 0, accumulator = 0;
  bool two = false;
  Val eval(Frame& f) const override;

 private:
  // False ends the loop.
  bool once(Frame& f) const;
  Val run_over(Frame& f, const Val& over) const;
};

// Whether a value may stand in x[...].
bool may_be_key(const Val& key);

// Whether a value may be an argument of the type.
bool is_of_type(Run& run, const Type& t, const Val& v);

}  // namespace keles::cel
