// From text to tree: CEL's grammar, macros expanded. Bounded: at most 100,000 code points, and 250
// levels of each rule of the grammar.
// Source: the CEL language definition, "Syntax" and "Macros"; Kubernetes' environment of 1.36.
#pragma once

#include <memory>

#include "cel/ast.h"
#include "cel/source.h"

namespace keles::cel {

inline constexpr size_t kMaxExpressionRunes = 100'000;
inline constexpr int kMaxExpressionDepth = 250;

// What comprehensions accumulate into; no user can write this name.
inline constexpr std::string_view kAccumulator = "@result";

// Null with at least one issue, or the tree. Faults are upstream's texts; after a fault of syntax,
// further ones may be left untold.
// `bindings`: cel.bind is a macro.
std::unique_ptr<Ast> parse(const Source& source, Issues& issues, bool bindings = false);

}  // namespace keles::cel
