// The tree that the parser makes of an expression, macros expanded, and what the checker writes
// into it. Nodes belong to their Ast and are freed with it. One thread at a time while it is made.
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "cel/operator_names.h"
#include "cel/type.h"

namespace keles::cel {

struct Overload;

struct Bytes {
  std::string data;
  bool operator==(const Bytes&) const = default;
};
// null is monostate.
using Literal = std::variant<std::monostate, bool, int64_t, uint64_t, double, std::string, Bytes>;

struct Expr {
  enum class Kind : uint8_t {
    kLiteral,
    kIdent,
    kSelect,  // target.name, or has(target.name)
    kCall,    // name(args), or target.name(args)
    kList,    // args
    kMap,     // args: key, value, key, value, ...
    kStruct,  // name{fields: args}
    kComprehension,
    kFaulty,  // stands for what could not be parsed
  };
  struct Comprehension {
    Expr *range, *init, *condition, *step, *result;
    std::string variable, variable2, accumulator;  // variable2: "" when there is one only
  };

  Kind kind = Kind::kFaulty;
  bool test_only = false;
  uint16_t nesting = 0;  // operators and steps below it, as the parser bounds them
  int32_t offset = -1;   // where errors point, in code points
  Literal literal;
  std::string name;
  Expr* target = nullptr;
  std::vector<Expr*> args;
  // Of a list its elements, of a map or struct its entries, that are written with `?`.
  std::vector<bool> optional;
  std::vector<std::string> fields;
  std::vector<int32_t> entry_offsets;  // of a map or struct, each entry's colon
  Comprehension* comprehension = nullptr;

  // The checker's. A select that names a variable or type as a whole has become an ident; the
  // name of a resolved ident is the whole one.
  bool resolved = false;
  TypePtr type;
  std::vector<const Overload*> overloads;

  bool is_optional(size_t i) const { return i < optional.size() && optional[i]; }
};

class Ast {
 public:
  Expr* root = nullptr;
  Expr* make(Expr::Kind kind, int32_t offset) {
    Expr& e = exprs_.emplace_back();
    e.kind = kind;
    e.offset = offset;
    return &e;
  }
  Expr::Comprehension* make_comprehension() { return &comprehensions_.emplace_back(); }
  // A copy of all below, at the same places of the text.
  Expr* copy(const Expr* e);
  size_t size() const { return exprs_.size(); }

 private:
  std::deque<Expr> exprs_;
  std::deque<Expr::Comprehension> comprehensions_;
};

// Calls `f` for each node below `e` and then for `e`.
template <class F>
void visit_post_order(Expr* e, const F& f) {
  if (e == nullptr) return;
  visit_post_order(e->target, f);
  for (Expr* arg : e->args) visit_post_order(arg, f);
  if (const Expr::Comprehension* c = e->comprehension; c != nullptr) {
    for (Expr* part : {c->range, c->init, c->condition, c->step, c->result}) {
      visit_post_order(part, f);
    }
  }
  f(e);
}

}  // namespace keles::cel
