// Macros: calls that are syntax for a comprehension or a test. Known by the parser only.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cel/ast.h"

namespace keles::cel {

struct MacroFault {
  int32_t offset;
  std::string message;
};

struct Expansion {
  Expr* expr = nullptr;  // null: it is an ordinary call
  std::optional<MacroFault> fault;
};

// `target` is null for `f(args)`. `offset` is where the call's parenthesis stands. `bindings`:
// cel.bind is one.
Expansion expand_macro(Ast& ast, int32_t offset, std::string_view function, Expr* target,
                       const std::vector<Expr*>& args, bool bindings = false);

}  // namespace keles::cel
