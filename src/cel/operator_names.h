// Operators are functions by these names, as in upstream's messages.
#pragma once

#include <string_view>

namespace keles::cel::op {

inline constexpr std::string_view kConditional = "_?_:_", kAnd = "_&&_", kOr = "_||_", kNot = "!_",
                                  kEquals = "_==_", kNotEquals = "_!=_", kLess = "_<_",
                                  kLessEquals = "_<=_", kGreater = "_>_", kGreaterEquals = "_>=_",
                                  kAdd = "_+_", kSubtract = "_-_", kMultiply = "_*_",
                                  kDivide = "_/_", kModulo = "_%_", kNegate = "-_", kIndex = "_[_]",
                                  kOptIndex = "_[?_]", kOptSelect = "_?._", kIn = "@in",
                                  kNotStrictlyFalse = "@not_strictly_false",
                                  kMapInsert = "cel.@mapInsert";

}  // namespace keles::cel::op
